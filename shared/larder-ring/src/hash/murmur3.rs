//! MurmurHash3, x86 32-bit, seed 0, fed in pieces.

/// A hash under way.
///
/// It is a small value: copying it after a common beginning saves hashing that beginning again for every key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Murmur3 {
    hash: u32,
    /// Bytes that do not fill a block yet, the first one lowest.
    tail: u32,
    len: u32,
}

impl Murmur3 {
    /// Adds one byte.
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.tail |= u32::from(byte) << (8 * (self.len % 4));
        self.len = self.len.wrapping_add(1);
        if self.len.is_multiple_of(4) {
            self.block(self.tail);
            self.tail = 0;
        }
    }

    /// Adds `bytes`.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    /// Adds the low eight bits of each character of `text`, as pymemcache does.
    ///
    /// pymemcache's own MurmurHash3 reads a Python string character by character and masks each with 255: for ASCII
    /// that is the bytes, for other text it is not UTF-8. Where `text` is not UTF-8 each broken sequence counts as
    /// one U+FFFD.
    pub(crate) fn characters(&mut self, text: &[u8]) {
        if text.is_ascii() {
            return self.bytes(text);
        }
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                self.byte(character as u32 as u8);
            }
            if !chunk.invalid().is_empty() {
                self.byte(char::REPLACEMENT_CHARACTER as u32 as u8);
            }
        }
    }

    /// The hash of all bytes so far.
    pub(crate) fn finish(self) -> u32 {
        let mut hash = self.hash;
        if !self.len.is_multiple_of(4) {
            hash ^= scramble(self.tail);
        }
        hash ^= self.len;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }

    #[inline]
    fn block(&mut self, word: u32) {
        self.hash = (self.hash ^ scramble(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
}

#[inline]
fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_values() {
        check("", 0);
        check("a", 0x3c25_69b2);
        check("hello", 0x248b_fa47);
        check("hello, world", 0x149b_bb7f);
        check("The quick brown fox jumps over the lazy dog", 0x2e4f_f723);
    }

    #[test]
    fn pieces_make_the_same_hash_as_the_whole() {
        let text = b"cache-0001:11211-flights/42";
        for at in 0..text.len() {
            let mut pieces = Murmur3::default();
            pieces.bytes(&text[..at]);
            pieces.bytes(&text[at..]);
            assert_eq!(pieces.finish(), whole(text), "cut at {at}");
        }
    }

    #[test]
    fn a_character_counts_as_its_low_byte() {
        let mut text = Murmur3::default();
        text.characters("aé€".as_bytes());
        assert_eq!(text.finish(), whole(&[b'a', 0xe9, 0xac]));
    }

    fn whole(bytes: &[u8]) -> u32 {
        let mut hash = Murmur3::default();
        hash.bytes(bytes);
        hash.finish()
    }

    #[track_caller]
    fn check(text: &str, expected: u32) {
        assert_eq!(whole(text.as_bytes()), expected, "{text}");
    }
}
