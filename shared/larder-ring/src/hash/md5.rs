//! MD5, one message at a time or several side by side.
//!
//! Hashing is the whole cost of a look-up, and MD5's steps hang one on the other: a processor spends most of a single
//! hash waiting. So [`Lanes`] takes several messages through the steps together, over plain arrays that the compiler
//! may turn into vector instructions, and over AVX2 where the processor has it.
//!
//! Source: RFC 1321.

#[cfg(target_arch = "x86_64")]
mod avx2;

use std::array;

/// The four words of a digest; written out little-endian, in order, they are its sixteen bytes.
pub(crate) type Digest = [u32; 4];

/// Messages that go through the steps together.
pub(crate) const LANES: usize = 16;

/// The longest message that fits a lane, in bytes: two blocks, less the mark and the length that end every message.
pub(crate) const LANE_LEN: usize = 2 * BLOCK_LEN - TRAILER_LEN;

/// The digest of `message`.
#[inline]
pub(crate) fn md5(message: &[u8]) -> Digest {
    let (blocks, rest) = message.as_chunks::<BLOCK_LEN>();
    let mut state = INITIAL.map(|word| [word]);
    for block in blocks {
        state = compress(state, &block_words(block).map(|word| [word]));
    }
    let mut last = [0_u8; BLOCK_LEN];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = END_MARK;
    if rest.len() + TRAILER_LEN > BLOCK_LEN {
        state = compress(state, &block_words(&last).map(|word| [word]));
        last = [0; BLOCK_LEN];
    }
    last[BLOCK_LEN - 8..].copy_from_slice(&bit_len(message));
    compress(state, &block_words(&last).map(|word| [word])).map(|[word]| word)
}

/// The words of all lanes under way: word `w` of lane `l` is `[w][l]`.
type State = [[u32; LANES]; 4];

/// Messages laid side by side, to be hashed together.
pub(crate) struct Lanes {
    /// The message in each lane, ended as MD5 wants it: one block long, or two.
    messages: [[[u8; BLOCK_LEN]; 2]; LANES],
    /// Which lanes hold a message of two blocks.
    long: [bool; LANES],
}

impl Lanes {
    /// Lanes that hold nothing worth hashing yet.
    pub(crate) fn new() -> Self {
        Self { messages: [[[0; BLOCK_LEN]; 2]; LANES], long: [false; LANES] }
    }

    /// Lays `message` in `lane`.
    ///
    /// # Panics
    ///
    /// When `message` is longer than [`LANE_LEN`] or there is no such lane.
    #[inline]
    pub(crate) fn lay(&mut self, lane: usize, message: &[u8]) {
        let long = message.len() + TRAILER_LEN > BLOCK_LEN;
        self.long[lane] = long;
        let blocks = &mut self.messages[lane];
        if long {
            end_message(blocks.as_flattened_mut(), message);
        } else {
            end_message(&mut blocks[0], message);
        }
    }

    /// The digests of all lanes: word `w` of the digest of lane `l` is `[w][l]`.
    ///
    /// A lane that was never laid, or was laid in an earlier round, has a digest that means nothing new.
    pub(crate) fn digests(&self) -> [[u32; LANES]; 4] {
        self.digests_by(Self::take_block)
    }

    #[inline(always)]
    fn digests_by(&self, take_block: impl Fn(&Self, usize, &State) -> State) -> State {
        let mut state = take_block(self, 0, &INITIAL.map(|word| [word; LANES]));
        if self.long.contains(&true) {
            let longer = take_block(self, 1, &state);
            for (short, long) in state.iter_mut().zip(&longer) {
                for (lane, word) in short.iter_mut().enumerate() {
                    if self.long[lane] {
                        *word = long[lane];
                    }
                }
            }
        }
        state
    }

    /// Takes block `block` of every lane into `state`.
    fn take_block(&self, block: usize, state: &State) -> State {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, as the line above found out; the function asks for nothing else.
            #[allow(unsafe_code)]
            return unsafe { avx2::take_block(&self.messages, block, state) };
        }
        self.take_block_plain(block, state)
    }

    /// The same, four lanes at a time: as many as every processor's vectors hold.
    fn take_block_plain(&self, block: usize, state: &State) -> State {
        const WIDTH: usize = 4;
        let mut taken = *state;
        for first in (0..LANES).step_by(WIDTH) {
            let mut words = [[0; WIDTH]; BLOCK_WORDS];
            for (lane, message) in self.messages[first..first + WIDTH].iter().enumerate() {
                for (lanes, word) in words.iter_mut().zip(block_words(&message[block])) {
                    lanes[lane] = word;
                }
            }
            let some = state.map(|lanes| array::from_fn::<_, WIDTH, _>(|lane| lanes[first + lane]));
            for (taken, some) in taken.iter_mut().zip(compress(some, &words)) {
                taken[first..first + WIDTH].copy_from_slice(&some);
            }
        }
        taken
    }
}

/// Writes `message`, the mark that ends it and its length over all of `blocks`.
#[inline(always)]
fn end_message(blocks: &mut [u8], message: &[u8]) {
    blocks.fill(0);
    blocks[..message.len()].copy_from_slice(message);
    blocks[message.len()] = END_MARK;
    let len_at = blocks.len() - 8;
    blocks[len_at..].copy_from_slice(&bit_len(message));
}

/// Takes one block of each of `L` messages into `state`.
#[inline(always)]
fn compress<const L: usize>(state: [[u32; L]; 4], words: &[[u32; L]; BLOCK_WORDS]) -> [[u32; L]; 4] {
    let [mut a, mut b, mut c, mut d] = state;
    macro_rules! four_steps {
        ($($first:literal)*) => {$(
            a = step::<{ $first }, L>(a, b, c, d, words);
            d = step::<{ $first + 1 }, L>(d, a, b, c, words);
            c = step::<{ $first + 2 }, L>(c, d, a, b, words);
            b = step::<{ $first + 3 }, L>(b, c, d, a, words);
        )*};
    }
    four_steps!(0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60);
    let mut sum = state;
    for (sum, add) in sum.iter_mut().zip([a, b, c, d]) {
        for (sum, add) in sum.iter_mut().zip(add) {
            *sum = sum.wrapping_add(add);
        }
    }
    sum
}

/// Step `I` of the 64, for all lanes.
///
/// The sum that does not hang on `b`, which is the word of the step before, comes first: the processor has it ready
/// by the time `b` is known.
#[inline(always)]
fn step<const I: usize, const L: usize>(
    a: [u32; L],
    b: [u32; L],
    c: [u32; L],
    d: [u32; L],
    words: &[[u32; L]; BLOCK_WORDS],
) -> [u32; L] {
    let word = &words[match I / 16 {
        0 => I,
        1 => (5 * I + 1) % 16,
        2 => (3 * I + 5) % 16,
        _ => (7 * I) % 16,
    }];
    let mut next = [0; L];
    for lane in 0..L {
        let (b, c, d) = (b[lane], c[lane], d[lane]);
        let ready = a[lane].wrapping_add(SINES[I]).wrapping_add(word[lane]);
        let mixed = match I / 16 {
            0 => ready.wrapping_add(d ^ (b & (c ^ d))),
            1 => ready.wrapping_add(c & !d).wrapping_add(b & d),
            2 => ready.wrapping_add(b ^ (c ^ d)),
            _ => ready.wrapping_add(c ^ (b | !d)),
        };
        next[lane] = mixed.rotate_left(SHIFTS[I / 16][I % 4]).wrapping_add(b);
    }
    next
}

#[inline(always)]
fn block_words(block: &[u8; BLOCK_LEN]) -> [u32; BLOCK_WORDS] {
    let mut words = [0; BLOCK_WORDS];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

#[inline(always)]
fn bit_len(message: &[u8]) -> [u8; 8] {
    (message.len() as u64).wrapping_mul(8).to_le_bytes()
}

const BLOCK_LEN: usize = 64;
const BLOCK_WORDS: usize = BLOCK_LEN / 4;
/// The byte that ends a message, and after it the 64-bit length.
const TRAILER_LEN: usize = 1 + 8;
const END_MARK: u8 = 0x80;
const INITIAL: Digest = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The whole part of 2^32 times |sin(i + 1)|.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_suite_of_the_rfc() {
        check("", "d41d8cd98f00b204e9800998ecf8427e");
        check("a", "0cc175b9c0f1b6a831c399e269772661");
        check("abc", "900150983cd24fb0d6963f7d28e17f72");
        check("message digest", "f96b697d7cb7938d525a2f31aaf161d0");
        check("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b");
        check(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "d174ab98d277d9f5a5611c2c9f419d9f",
        );
        check(
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a",
        );
    }

    #[test]
    fn the_sines_are_sines() {
        for (i, sine) in SINES.iter().enumerate() {
            assert_eq!(*sine, (((i + 1) as f64).sin().abs() * 4_294_967_296.0) as u32, "step {i}");
        }
    }

    #[test]
    fn every_lane_hashes_like_one_message_whatever_its_length_and_its_neighbours() {
        let text: Vec<u8> = (0..LANE_LEN as u8).collect();
        let mut lanes = Lanes::new();
        for first in 0..=LANE_LEN {
            let len = |lane: usize| (first + lane * 37) % (LANE_LEN + 1);
            for lane in 0..LANES {
                lanes.lay(lane, &text[..len(lane)]);
            }
            for digests in [lanes.digests(), lanes.digests_by(Lanes::take_block_plain)] {
                for lane in 0..LANES {
                    assert_eq!(
                        digests.map(|word| word[lane]),
                        md5(&text[..len(lane)]),
                        "{} bytes",
                        len(lane)
                    );
                }
            }
        }
    }

    #[track_caller]
    fn check(message: &str, expected: &str) {
        let hex: String = md5(message.as_bytes())
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, expected, "{message}");
    }
}
