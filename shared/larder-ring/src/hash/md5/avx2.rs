//! MD5's steps over AVX2 vectors: two vectors of eight lanes, in turn.
//!
//! The steps of one vector hang on each other; those of the other fill the waits. Left alone with plain arrays, the
//! compiler does one vector to its end before the other, or no vectors at all; hence the instructions by name. There
//! are loops where a closure would read better, because a closure handed to a function without AVX2 stays a call.

use std::arch::x86_64::*;

use super::{BLOCK_LEN, BLOCK_WORDS, LANES, SHIFTS, SINES, State};

/// Takes block `block` of the message in every lane into `state`.
#[target_feature(enable = "avx2")]
pub(super) fn take_block(messages: &[[[u8; BLOCK_LEN]; 2]; LANES], block: usize, state: &State) -> State {
    let words = words(messages, block);
    let mut start = [[_mm256_setzero_si256(); VECTORS]; 4];
    for (vectors, lanes) in start.iter_mut().zip(state) {
        for (vector, lanes) in vectors.iter_mut().zip(lanes.as_chunks().0) {
            *vector = load(lanes);
        }
    }
    let [mut a, mut b, mut c, mut d] = start;
    macro_rules! round {
        ($round:literal, $times:literal, $plus:literal) => {
            for first in (0..BLOCK_WORDS).step_by(4) {
                let word = |step: usize| &words[($times * (first + step) + $plus) % BLOCK_WORDS];
                let sine = |step: usize| SINES[BLOCK_WORDS * $round + first + step];
                a = step::<$round, { left($round, 0) }, { right($round, 0) }>(a, b, c, d, word(0), sine(0));
                d = step::<$round, { left($round, 1) }, { right($round, 1) }>(d, a, b, c, word(1), sine(1));
                c = step::<$round, { left($round, 2) }, { right($round, 2) }>(c, d, a, b, word(2), sine(2));
                b = step::<$round, { left($round, 3) }, { right($round, 3) }>(b, c, d, a, word(3), sine(3));
            }
        };
    }
    round!(0, 1, 0);
    round!(1, 5, 1);
    round!(2, 3, 5);
    round!(3, 7, 0);
    let mut taken = *state;
    for (lanes, (start, end)) in taken.iter_mut().zip(start.iter().zip([a, b, c, d])) {
        for (lanes, (start, end)) in lanes.as_chunks_mut().0.iter_mut().zip(start.iter().zip(end)) {
            *lanes = store(_mm256_add_epi32(*start, end));
        }
    }
    taken
}

/// One word of every lane.
type Word = [__m256i; VECTORS];

/// A step of round `ROUND`, which turns words left by `LEFT` bits, that is right by `RIGHT`; see [`super::step`].
#[target_feature(enable = "avx2")]
#[inline]
fn step<const ROUND: usize, const LEFT: i32, const RIGHT: i32>(
    a: Word,
    b: Word,
    c: Word,
    d: Word,
    word: &Word,
    sine: u32,
) -> Word {
    let sine = _mm256_set1_epi32(sine as i32);
    let mut next = a;
    for at in 0..VECTORS {
        let (b, c, d) = (b[at], c[at], d[at]);
        let ready = _mm256_add_epi32(_mm256_add_epi32(a[at], sine), word[at]);
        let mixed = match ROUND {
            0 => _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d))),
            1 => _mm256_or_si256(_mm256_andnot_si256(d, c), _mm256_and_si256(d, b)),
            2 => _mm256_xor_si256(b, _mm256_xor_si256(c, d)),
            _ => _mm256_xor_si256(c, _mm256_or_si256(b, _mm256_xor_si256(d, _mm256_set1_epi32(-1)))),
        };
        let sum = _mm256_add_epi32(ready, mixed);
        let turned = _mm256_or_si256(_mm256_slli_epi32::<LEFT>(sum), _mm256_srli_epi32::<RIGHT>(sum));
        next[at] = _mm256_add_epi32(turned, b);
    }
    next
}

/// Block `block` of all messages, turned so that each word of it stands together for all lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn words(messages: &[[[u8; BLOCK_LEN]; 2]; LANES], block: usize) -> [Word; BLOCK_WORDS] {
    let mut words = [[_mm256_setzero_si256(); VECTORS]; BLOCK_WORDS];
    for vector in 0..VECTORS {
        for first in (0..BLOCK_WORDS).step_by(WIDTH) {
            let mut rows = [_mm256_setzero_si256(); WIDTH];
            for (row, message) in rows.iter_mut().zip(&messages[vector * WIDTH..]) {
                let mut some = [0; WIDTH];
                for (word, bytes) in some.iter_mut().zip(&message[block].as_chunks().0[first..]) {
                    *word = u32::from_le_bytes(*bytes);
                }
                *row = load(&some);
            }
            for (word, turned) in words[first..].iter_mut().zip(turned(rows)) {
                word[vector] = turned;
            }
        }
    }
    words
}

/// Rows for columns: word `i` of row `j` becomes word `j` of row `i`.
#[target_feature(enable = "avx2")]
#[inline]
fn turned(rows: [__m256i; WIDTH]) -> [__m256i; WIDTH] {
    let mut fours = [rows; 2];
    for (half, fours) in fours.iter_mut().enumerate() {
        let [a, b, c, d] = [rows[4 * half], rows[4 * half + 1], rows[4 * half + 2], rows[4 * half + 3]];
        let (low_ab, high_ab) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (low_cd, high_cd) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        fours[0] = _mm256_unpacklo_epi64(low_ab, low_cd);
        fours[1] = _mm256_unpackhi_epi64(low_ab, low_cd);
        fours[2] = _mm256_unpacklo_epi64(high_ab, high_cd);
        fours[3] = _mm256_unpackhi_epi64(high_ab, high_cd);
    }
    let mut turned = rows;
    for at in 0..WIDTH / 2 {
        turned[at] = _mm256_permute2x128_si256::<0x20>(fours[0][at], fours[1][at]);
        turned[WIDTH / 2 + at] = _mm256_permute2x128_si256::<0x31>(fours[0][at], fours[1][at]);
    }
    turned
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(words: &[u32; WIDTH]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = *words;
    _mm256_setr_epi32(a as i32, b as i32, c as i32, d as i32, e as i32, f as i32, g as i32, h as i32)
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(vector: __m256i) -> [u32; WIDTH] {
    [
        _mm256_extract_epi32::<0>(vector) as u32,
        _mm256_extract_epi32::<1>(vector) as u32,
        _mm256_extract_epi32::<2>(vector) as u32,
        _mm256_extract_epi32::<3>(vector) as u32,
        _mm256_extract_epi32::<4>(vector) as u32,
        _mm256_extract_epi32::<5>(vector) as u32,
        _mm256_extract_epi32::<6>(vector) as u32,
        _mm256_extract_epi32::<7>(vector) as u32,
    ]
}

const fn left(round: usize, step: usize) -> i32 {
    SHIFTS[round][step] as i32
}

const fn right(round: usize, step: usize) -> i32 {
    32 - left(round, step)
}

/// Words in a vector.
const WIDTH: usize = 8;
const VECTORS: usize = LANES / WIDTH;
