//! Keys: checked once, so that no request can be built from a key that the node would misread.

use sha2::{Digest, Sha256};

/// A memcached key: 1 to 250 bytes, no blanks, no control bytes.
///
/// The check is a security boundary: memcached up to 1.6.22 answers an over-long key with an error and then
/// *executes the data block* as commands, and a key with a line end in it is two commands.
///
/// Source: memcached `doc/protocol.txt`, "Keys".
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(Box<[u8]>);

impl Key {
    /// The longest key a node takes, in bytes.
    pub const MAX_LEN: usize = 250;

    /// Takes `bytes` as a key, unchanged.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidKey> {
        if !(1..=Self::MAX_LEN).contains(&bytes.len()) {
            return Err(InvalidKey::Length(bytes.len()));
        }
        if let Some(at) = bytes.iter().position(|byte| *byte <= b' ' || *byte == 0x7f) {
            return Err(InvalidKey::Byte { at });
        }
        if bytes.starts_with(RESERVED) {
            return Err(InvalidKey::Reserved);
        }
        Ok(Self(bytes.into()))
    }

    /// Makes a key of `parts`, joined by `:`; different parts never give the same key.
    ///
    /// Bytes other than letters, digits, `.`, `_` and `-` are written as `%XX`, so a `:` inside a part cannot be
    /// taken for the joint, and an empty part stays visible. What would be longer than [`Key::MAX_LEN`] is cut to
    /// a readable prefix, `~`, and 32 hex digits: the first 128 bits of the SHA-256 of the whole. No unshortened
    /// key holds a `~`.
    ///
    /// Fails for no parts, or one empty part, which would be an empty key.
    ///
    /// ```
    /// use larder_meta::Key;
    ///
    /// assert_eq!(Key::compose(["flights", "17"])?.as_bytes(), b"flights:17");
    /// assert_ne!(Key::compose(["a:b", "c"])?, Key::compose(["a", "b:c"])?);
    /// assert_eq!(Key::compose(["notes", &"x".repeat(300)])?.as_bytes().len(), Key::MAX_LEN);
    /// # Ok::<(), larder_meta::InvalidKey>(())
    /// ```
    pub fn compose<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Result<Self, InvalidKey> {
        let mut whole = Vec::with_capacity(64);
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                whole.push(b':');
            }
            escape(part.as_ref(), &mut whole);
        }
        if whole.len() > Self::MAX_LEN {
            shorten(&mut whole);
        }
        Self::new(&whole)
    }

    /// The key of copy `number` of what is kept under this one, for a key that one node alone cannot serve: copy 0 is
    /// the key itself, the others have `~` and the number behind it.
    ///
    /// What would be longer than [`Key::MAX_LEN`] is cut as by [`compose`](Self::compose). No composed key is a copy of
    /// another one; one that was taken as it is, with a `~` in it, may be.
    ///
    /// ```
    /// use larder_meta::Key;
    ///
    /// let key = Key::compose(["flights", "17"])?;
    /// assert_eq!(key.copy_at(0), key);
    /// assert_eq!(key.copy_at(2).as_bytes(), b"flights:17~2");
    /// # Ok::<(), larder_meta::InvalidKey>(())
    /// ```
    #[must_use]
    pub fn copy_at(&self, number: u32) -> Self {
        if number == 0 {
            return self.clone();
        }
        let mut whole = [&self.0, format!("~{number}").as_bytes()].concat();
        if whole.len() > Self::MAX_LEN {
            shorten(&mut whole);
        }
        Self(whole.into())
    }

    /// The key's bytes, as they go over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The key is empty or over [`Key::MAX_LEN`]; holds its length in bytes.
    #[error("a key has 1 to 250 bytes, this one has {0}; compose it from parts to have it shortened")]
    Length(usize),
    /// A blank or control byte stands at this offset.
    #[error("a key has no blanks and no control bytes, this one has one at byte {at}")]
    Byte {
        /// Offset of the first such byte, from 0.
        at: usize,
    },
    /// The key belongs to ElastiCache: overwriting it would mislead every client of the cluster.
    #[error("keys that begin with AmazonElastiCache: belong to ElastiCache")]
    Reserved,
}

/// Appends `part` with every byte percent-encoded that could be mistaken for something else.
fn escape(part: &[u8], out: &mut Vec<u8>) {
    for &byte in part {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Cuts `whole` to [`Key::MAX_LEN`]: what fits of it, `~`, and the digest of all of it.
fn shorten(whole: &mut Vec<u8>) {
    let digest = Sha256::digest(&whole[..]);
    whole.truncate(Key::MAX_LEN - 1 - 2 * DIGEST_LEN);
    whole.push(b'~');
    for byte in &digest[..DIGEST_LEN] {
        whole.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// 128 bits: two keys that differ collide by chance once in 2^64 keys, and cannot be made to.
const DIGEST_LEN: usize = 16;
const RESERVED: &[u8] = b"AmazonElastiCache:";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_has_1_to_250_bytes() {
        check(b"", Err(InvalidKey::Length(0)));
        check(b"k", Ok(()));
        check(&[b'k'; 250], Ok(()));
        check(&[b'k'; 251], Err(InvalidKey::Length(251)));
    }

    #[test]
    fn blanks_and_control_bytes_are_refused_wherever_they_stand() {
        for byte in (0..=b' ').chain([0x7f]) {
            check(&[byte], Err(InvalidKey::Byte { at: 0 }));
            check(&[b'k', byte, b'k'], Err(InvalidKey::Byte { at: 1 }));
        }
        check("ключ".as_bytes(), Ok(()));
    }

    #[test]
    fn the_key_of_elasticache_is_refused() {
        check(b"AmazonElastiCache:cluster", Err(InvalidKey::Reserved));
        check(b"AmazonElastiCache", Ok(()));
    }

    #[test]
    fn a_copy_of_a_long_key_is_as_long_and_another_one() {
        let longest = Key::new(&[b'k'; 250]).unwrap();
        let copies: std::collections::HashSet<Key> = (0..16).map(|number| longest.copy_at(number)).collect();
        assert_eq!(copies.len(), 16);
        assert!(copies.iter().all(|copy| copy.as_bytes().len() == Key::MAX_LEN));
        // One that finds room keeps its end.
        assert!(Key::new(&[b'k'; 247]).unwrap().copy_at(15).as_bytes().ends_with(b"kk~15"));
    }

    #[test]
    fn a_separator_inside_a_part_is_not_a_joint() {
        assert_eq!(Key::compose(["a:b", "c d"]).unwrap().as_bytes(), b"a%3ab:c%20d");
        assert_eq!(Key::compose(["a", ""]).unwrap().as_bytes(), b"a:");
        assert_eq!(Key::compose([""; 1]), Err(InvalidKey::Length(0)));
    }

    #[test]
    fn a_long_key_keeps_a_readable_prefix_and_a_digest_of_all() {
        let (one, other) = ("x".repeat(300), format!("{}y", "x".repeat(299)));
        let one = Key::compose(["t", &one]).unwrap();
        assert_eq!(one.as_bytes().len(), Key::MAX_LEN);
        assert!(one.as_bytes().starts_with(b"t:xxx"));
        // printf 't:xxx…' (300 x) | sha256sum, first 32 digits
        assert!(one.as_bytes().ends_with(b"~7ddd5452964b26e3f6093a277c5e8829"), "{one}");
        assert_ne!(one, Key::compose(["t", &other]).unwrap());
    }

    proptest! {
        #[test]
        fn a_copy_is_a_key_and_no_copy_of_another_key_or_number_nor_composed(
            one in prop::collection::vec("[a-z:~]{1,130}", 1..3),
            other in prop::collection::vec("[a-z:~]{1,130}", 1..3),
            (i, j) in (0u32..16, 0u32..16)
        ) {
            let (one, other) = (Key::compose(&one).unwrap(), Key::compose(&other).unwrap());
            let copy = one.copy_at(i);
            prop_assert_eq!(Key::new(copy.as_bytes()), Ok(copy.clone()));
            prop_assert_eq!(copy == other.copy_at(j), one == other && i == j);
        }

        #[test]
        fn composing_is_injective(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
            if let (Ok(x), Ok(y)) = (Key::compose(&a), Key::compose(&b)) {
                prop_assert_eq!(x == y, a == b);
            }
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<(), InvalidKey>) {
        assert_eq!(Key::new(bytes).map(|_| ()), expected, "key: {}", bytes.escape_ascii());
    }
}
