//! No ring at all: the key's hash modulo the number of nodes.

use crate::key_hash::KeyHash;

/// Nodes numbered in list order. Adding one moves nearly every key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modulo {
    pub(crate) key_hash: KeyHash,
    /// At least 1.
    pub(crate) nodes: u32,
}

impl Modulo {
    #[inline]
    pub(crate) fn owner(self, key: &[u8]) -> usize {
        (self.key_hash.of(key) % self.nodes) as usize
    }
}
