//! Bob Jenkins' one-at-a-time hash with libhashkit's signed bytes.

/// Hashes `bytes` as libmemcached's default key hash does on x86.
///
/// libhashkit adds each byte as a C `char`: signed on x86, so bytes from 128 on are sign-extended; unsigned in Linux
/// builds for ARM, where the same library routes such keys differently. This function always answers as on x86; keys
/// in ASCII are the same everywhere.
///
/// Source: libmemcached `src/libhashkit/one_at_a_time.cc`; B. Jenkins, Dr. Dobb's Journal, September 1997.
pub(crate) fn one_at_a_time(bytes: &[u8]) -> u32 {
    let mut hash = 0_u32;
    for byte in bytes {
        hash = hash.wrapping_add(*byte as i8 as u32);
        hash = hash.wrapping_add(hash << 10);
        hash ^= hash >> 6;
    }
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_values() {
        assert_eq!(one_at_a_time(b""), 0);
        assert_eq!(one_at_a_time(b"a"), 0xca2e_9442);
        assert_eq!(one_at_a_time(b"The quick brown fox jumps over the lazy dog"), 0x519e_91f5);
    }

    #[test]
    fn high_bytes_are_signed() {
        assert_ne!(one_at_a_time(&[0x80]), {
            let hash = 0x80_u32 + (0x80 << 10);
            let hash = hash ^ (hash >> 6);
            let hash = hash.wrapping_add(hash << 3);
            let hash = hash ^ (hash >> 11);
            hash.wrapping_add(hash << 15)
        });
    }
}
