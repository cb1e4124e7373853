//! What an environment tells the others: the keys that it read most, as an item on a node.
//!
//! A person can read it:
//!
//! ```text
//! larder-hot 1 1760000000
//! 4711 flights:17
//! 12 flights:18
//! ```
//!
//! The first line names the format, its version, and when it was written, in seconds since 1970. Every other line holds
//! a count and a key. Thousands of environments share a few slots on every node: each adds to what stands there. Where
//! two do so at once, one is lost, which changes little.

use std::cmp::Reverse;

use bytes::Bytes;
use larder_client::{InvalidKey, Key, Ttl};

use crate::policy::fnv1a;
use crate::sketch::Counted;

/// The keys that an environment read most, as they are stored on a node. None of them is one of our own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    time_secs: u64,
    keys: Vec<(Key, u64)>,
}

impl Record {
    /// How many slots a node has, each for one record.
    pub const SLOTS: usize = 8;
    /// How long a record is stored.
    pub const TTL: Ttl = Ttl::clamped(15 * 60);
    /// The longest record, in bytes.
    pub const MAX_LEN: usize = 16 << 10;

    /// The slot in which what was counted of `key` is told. Each record then holds other keys, so that all of them hold
    /// more than the few that everybody reads.
    pub fn slot_of(key: &Key) -> usize {
        (fnv1a(key.as_bytes()) % Self::SLOTS as u64) as usize
    }

    /// Writes a record of what was `counted`, in `max_len` bytes or [`MAX_LEN`](Self::MAX_LEN) at most.
    ///
    /// Only what is [`certain`](Counted::certain) of a count is told, for the errors of many environments would add
    /// up. The largest stand first, and those that find no room are left out, as are the keys of our own. The first
    /// line is written in any case.
    pub fn encode(counted: &[Counted], now_secs: u64, max_len: usize) -> Bytes {
        let told = |counted: &&Counted| counted.certain() > 0 && !is_reserved(&counted.key);
        let mut told: Vec<&Counted> = counted.iter().filter(told).collect();
        told.sort_by_key(|counted| Reverse(counted.certain()));
        let mut text = format!("{NAME} {VERSION} {now_secs}\n").into_bytes();
        for counted in told {
            let (count, key) = (counted.certain().to_string(), counted.key.as_bytes());
            if text.len() + count.len() + 1 + key.len() + 1 > max_len.min(Self::MAX_LEN) {
                break;
            }
            text.extend([count.as_bytes(), b" ", key, b"\n"].into_iter().flatten());
        }
        text.into()
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// A [`MalformedRecord`] for anything that [`encode`](Self::encode) does not write, bar the order of the lines. The
    /// bytes may be hostile: [`MAX_LEN`](Self::MAX_LEN) of them hold 4,092 keys at most.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedRecord> {
        if bytes.len() > Self::MAX_LEN {
            return Err(MalformedRecord::TooLong { len: bytes.len() });
        }
        let text = bytes.strip_suffix(b"\n").ok_or(MalformedRecord::Cut)?;
        let mut lines = text.split(|byte| *byte == b'\n');
        let time_secs = decode_first(lines.next().unwrap_or_default())?;
        let keys = (2..)
            .zip(lines)
            .map(|(line, text)| decode_line(text).map_err(|fault| MalformedRecord::Line { line, fault }));
        Ok(Self { time_secs, keys: keys.collect::<Result<_, _>>()? })
    }

    /// When it was written, in seconds since 1970 by the clock of the writer.
    pub fn time_secs(&self) -> u64 {
        self.time_secs
    }

    /// The keys and their counts, at least 1 each, in the order written.
    pub fn keys(&self) -> &[(Key, u64)] {
        &self.keys
    }

    pub(crate) fn into_keys(self) -> Vec<(Key, u64)> {
        self.keys
    }
}

/// The key of the record in `slot`; slots are counted from 0, and after the last one from 0 again.
pub fn record_key(slot: usize) -> Key {
    let key = format!("larder~hot~{}", slot % Record::SLOTS);
    Key::new(key.as_bytes()).expect("letters, tildes and a few digits are a key")
}

/// Why bytes are no record. Messages never repeat the bytes, which may be hostile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedRecord {
    /// It is longer than any record.
    #[error("the record has {len} bytes, more than {}", Record::MAX_LEN)]
    TooLong {
        /// The length, in bytes.
        len: usize,
    },
    /// The last line has no end.
    #[error("the record is cut short")]
    Cut,
    /// The first line is not that of a record.
    #[error("line 1 does not say what this is, and of when")]
    NotARecord,
    /// It has a format that we do not know.
    #[error("version {0} of the record is not known")]
    Version(u64),
    /// One of the other lines cannot be read.
    #[error("line {line} of the record: {fault}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: MalformedLine,
    },
}

/// What is wrong with a line of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedLine {
    /// It does not begin with a decimal number from 1, in 64 bits, and a blank.
    #[error("no count")]
    Count,
    /// What follows the count is no key.
    #[error(transparent)]
    Key(InvalidKey),
    /// The key is one of our own, which no reader reads.
    #[error("a reserved key")]
    Reserved,
}

fn decode_first(line: &[u8]) -> Result<u64, MalformedRecord> {
    let words: Vec<&[u8]> = line.splitn(4, |byte| *byte == b' ').collect();
    let [name, version, rest @ ..] = &words[..] else { return Err(MalformedRecord::NotARecord) };
    let version = number(version).filter(|_| *name == NAME.as_bytes()).ok_or(MalformedRecord::NotARecord)?;
    if version != VERSION {
        return Err(MalformedRecord::Version(version));
    }
    match rest {
        [time_secs] => number(time_secs).ok_or(MalformedRecord::NotARecord),
        _ => Err(MalformedRecord::NotARecord),
    }
}

fn decode_line(line: &[u8]) -> Result<(Key, u64), MalformedLine> {
    let blank = line.iter().position(|byte| *byte == b' ').ok_or(MalformedLine::Count)?;
    let count = number(&line[..blank]).filter(|count| *count > 0).ok_or(MalformedLine::Count)?;
    let key = Key::new(&line[blank + 1..]).map_err(MalformedLine::Key)?;
    if is_reserved(&key) { Err(MalformedLine::Reserved) } else { Ok((key, count)) }
}

/// The decimal number that `digits` are; no sign, no blanks.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    digits.parse().ok()
}

/// Whether `key` is one under which we store what is not the application's.
pub(crate) fn is_reserved(key: &Key) -> bool {
    key.as_bytes().starts_with(RESERVED)
}

const NAME: &str = "larder-hot";
const VERSION: u64 = 1;
const RESERVED: &[u8] = b"larder~";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_text_with_the_most_read_first() {
        let told = [counted("flights:18", 12, 0), counted("flights:17", 5000, 289)];
        let text = Record::encode(&told, 1_760_000_000, usize::MAX);
        assert_eq!(text, "larder-hot 1 1760000000\n4711 flights:17\n12 flights:18\n");
        let record = Record::decode(&text).unwrap();
        assert_eq!(record.time_secs(), 1_760_000_000);
        assert_eq!(record.keys(), [(key("flights:17"), 4711), (key("flights:18"), 12)]);
    }

    #[test]
    fn nothing_is_told_of_what_is_not_certain_and_of_our_own_keys() {
        let told = [counted("a", 7, 7), counted("larder~ring", 9, 0), counted("larder", 1, 0)];
        assert_eq!(Record::encode(&told, 5, usize::MAX), "larder-hot 1 5\n1 larder\n");
    }

    #[test]
    fn a_record_without_room_holds_its_first_line_alone() {
        let text = Record::encode(&[counted("k", 1, 0)], 5, 0);
        assert_eq!(text, "larder-hot 1 5\n");
        assert_eq!(Record::decode(&text).unwrap().keys(), []);
    }

    #[test]
    fn what_finds_no_room_are_the_least_read() {
        let told = [counted("b", 1, 0), counted("a", 2, 0)];
        assert_eq!(Record::encode(&told, 5, 19), "larder-hot 1 5\n2 a\n");
        assert_eq!(Record::encode(&told, 5, 18), "larder-hot 1 5\n");
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_reason() {
        check(b"", MalformedRecord::Cut);
        check(b"larder-hot 1 5\n1 k", MalformedRecord::Cut);
        check(&[b'\n'; Record::MAX_LEN + 1], MalformedRecord::TooLong { len: Record::MAX_LEN + 1 });
        for first in
            ["", "larder-hot", "larder-hot 1", "larder-hot 1 ", "larder-hot 1 5 6", "larder-hot 1 5 "]
        {
            check(format!("{first}\n").as_bytes(), MalformedRecord::NotARecord);
        }
        for first in ["larder-cold 1 5", "larder-hot one 5", "larder-hot 1 +5", "larder-hot 1 5\r", " 1 5"] {
            check(format!("{first}\n").as_bytes(), MalformedRecord::NotARecord);
        }
        check(b"larder-hot 2 and more\n???\n", MalformedRecord::Version(2));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for line in ["", "k", "0 k", "-1 k", "+1 k", " k", "18446744073709551616 k"] {
            check_line(line, MalformedLine::Count);
        }
        check_line("1 ", MalformedLine::Key(InvalidKey::Length(0)));
        check_line("1  k", MalformedLine::Key(InvalidKey::Byte { at: 0 }));
        check_line("1 k\r", MalformedLine::Key(InvalidKey::Byte { at: 1 }));
        check_line("1 AmazonElastiCache:cluster", MalformedLine::Key(InvalidKey::Reserved));
        check_line("1 larder~hot~0", MalformedLine::Reserved);
    }

    #[test]
    fn the_slots_of_a_node_have_keys_of_their_own() {
        assert_eq!(record_key(0).as_bytes(), b"larder~hot~0");
        assert_eq!(record_key(7).as_bytes(), b"larder~hot~7");
        assert_eq!(record_key(8), record_key(0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            keys in prop::collection::btree_map(any_key(), 1u64.., 0..40), time_secs: u64
        ) {
            let counted: Vec<Counted> =
                keys.iter().map(|(key, count)| Counted { key: key.clone(), count: *count, error: 0 }).collect();
            let record = Record::decode(&Record::encode(&counted, time_secs, usize::MAX)).unwrap();
            prop_assert_eq!(record.time_secs(), time_secs);
            prop_assert!(record.keys().is_sorted_by(|one, next| one.1 >= next.1));
            prop_assert_eq!(record.into_keys().into_iter().collect::<std::collections::BTreeMap<_, _>>(), keys);
        }

        #[test]
        fn a_record_of_any_length_is_a_record(
            keys in prop::collection::vec((any_key(), any::<u64>(), any::<u64>()), 0..200), max_len in 34usize..40_000
        ) {
            let counted: Vec<Counted> =
                keys.into_iter().map(|(key, count, error)| Counted { key, count, error }).collect();
            let text = Record::encode(&counted, u64::MAX, max_len);
            prop_assert!(text.len() <= max_len.min(Record::MAX_LEN));
            prop_assert!(Record::decode(&text).is_ok());
        }

        #[test]
        fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::decode(&bytes);
        }

        #[test]
        fn what_is_taken_keeps_its_promises(text in "larder-hot [12] [0-9]{1,21}(\n[0-9]{0,2} (larder~|[a-c~]){0,3})*\n?") {
            if let Ok(record) = Record::decode(text.as_bytes()) {
                prop_assert_eq!(record.keys().len() + 1, text.lines().count());
                for (key, count) in record.keys() {
                    prop_assert!(*count > 0 && !key.as_bytes().starts_with(b"larder~"));
                }
            }
        }
    }

    /// Any key but those of our own.
    fn any_key() -> impl Strategy<Value = Key> {
        let bytes = prop::collection::vec(any::<u8>(), 1..=Key::MAX_LEN);
        let key = bytes.prop_filter_map("no key", |bytes| {
            let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte > b' ' && *byte != 0x7f).collect();
            Key::new(&bytes).ok()
        });
        key.prop_filter("reserved", |key| !is_reserved(key))
    }

    fn counted(key: &str, count: u64, error: u64) -> Counted {
        Counted { key: self::key(key), count, error }
    }

    fn key(key: &str) -> Key {
        Key::new(key.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: MalformedRecord) {
        assert_eq!(Record::decode(bytes), Err(expected), "record: {}", bytes.escape_ascii());
    }

    #[track_caller]
    fn check_line(line: &str, fault: MalformedLine) {
        let text = format!("larder-hot 1 5\n1 first\n{line}\n1 last\n");
        check(text.as_bytes(), MalformedRecord::Line { line: 3, fault });
    }
}
