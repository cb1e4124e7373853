//! `java.lang.String.hashCode`.

/// Hashes the text in `utf8` as Java hashes the `String` that holds it, as an unsigned number.
///
/// Java counts UTF-16 units, so the bytes are read as UTF-8 first. A Java client cannot hold a key that is not text;
/// where `utf8` is not UTF-8, each broken sequence counts as one U+FFFD, which is what Java makes of such bytes when
/// it decodes them. Allocates nothing.
///
/// Source: the specification of `String.hashCode`; spymemcached `DefaultHashAlgorithm.NATIVE_HASH`.
pub(crate) fn string_hash_code(utf8: &[u8]) -> u32 {
    let add = |hash: u32, unit: u16| hash.wrapping_mul(31).wrapping_add(u32::from(unit));
    utf8.utf8_chunks().fold(0, |hash, chunk| {
        let hash = chunk.valid().encode_utf16().fold(hash, add);
        if chunk.invalid().is_empty() { hash } else { add(hash, REPLACEMENT) }
    })
}

/// U+FFFD, the replacement character.
const REPLACEMENT: u16 = 0xfffd;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_java() {
        check("", 0);
        check("a", 97);
        check("hello", 99_162_322);
        check("larder-fleet:flights/42", 3_981_985_551);
    }

    #[test]
    fn counts_utf_16_units() {
        check("é", 0xe9);
        check("😀", 0xd83d * 31 + 0xde00);
    }

    #[test]
    fn a_broken_sequence_counts_as_the_replacement_character() {
        assert_eq!(string_hash_code(b"a\xffb"), string_hash_code("a\u{fffd}b".as_bytes()));
    }

    #[track_caller]
    fn check(text: &str, expected: u32) {
        assert_eq!(string_hash_code(text.as_bytes()), expected, "{text}");
    }
}
