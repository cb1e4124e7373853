//! From a key to its place among the points.

use sha2::{Digest, Sha384};

use crate::hash::fnv1a::twemproxy_fnv1a_64;
use crate::hash::java::string_hash_code;
use crate::hash::md5::md5;
use crate::hash::one_at_a_time::one_at_a_time;

/// The hash a library applies to keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyHash {
    /// The first word of MD5, little-endian.
    Md5,
    /// The first word of SHA-384, little-endian.
    Sha384,
    OneAtATime,
    Crc32,
    TwemproxyFnv1a64,
    JavaString,
}

impl KeyHash {
    /// The hash of `key`. Allocates nothing.
    #[inline]
    pub(crate) fn of(self, key: &[u8]) -> u32 {
        match self {
            Self::Md5 => md5(key)[0],
            Self::Sha384 => {
                let digest = Sha384::digest(key);
                u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
            }
            Self::OneAtATime => one_at_a_time(key),
            Self::Crc32 => crc32fast::hash(key),
            Self::TwemproxyFnv1a64 => twemproxy_fnv1a_64(key),
            Self::JavaString => string_hash_code(key),
        }
    }
}
