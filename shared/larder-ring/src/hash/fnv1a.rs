//! twemproxy's `fnv1a_64`, which keeps only 32 bits from start to end.

/// Hashes `bytes` as twemproxy's `hash_fnv1a_64` does.
///
/// Offset and prime are the 64-bit ones cut to 32 bits. Short keys that differ only in their last byte land close
/// together: the ring inherits that clustering. Bytes from 128 on are sign-extended, as `char` is signed on x86.
///
/// Source: twemproxy `src/hashkit/nc_fnv.c`.
pub(crate) fn twemproxy_fnv1a_64(bytes: &[u8]) -> u32 {
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ (*byte as i8 as u32)).wrapping_mul(PRIME))
}

/// 0xcbf29ce484222325 cut to 32 bits.
const OFFSET: u32 = 0x8422_2325;
/// 0x100000001b3 cut to 32 bits.
const PRIME: u32 = 0x0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_low_half_of_the_64_bit_hash_for_ascii() {
        let whole = |bytes: &[u8]| {
            bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            })
        };
        for text in ["", "a", "foobar", "flights/2026-11-21/BA117"] {
            assert_eq!(twemproxy_fnv1a_64(text.as_bytes()), whole(text.as_bytes()) as u32, "{text}");
        }
        assert_eq!(whole(b"foobar"), 0x8594_4171_f739_67e8, "the published value");
    }

    #[test]
    fn high_bytes_are_signed() {
        assert_eq!(twemproxy_fnv1a_64(&[0xff]), (OFFSET ^ 0xffff_ffff).wrapping_mul(PRIME));
    }
}
