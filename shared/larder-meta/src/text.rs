//! Classic replies, decoded line by line: many values of one `get`, statistics, the version, and the cluster's
//! configuration.

use bytes::{Bytes, BytesMut};

use crate::Version;
use crate::frame::{
    Decoded, Len, Limits, ProtocolError, Refusal, excerpt, line_end, number, take_frame, trimmed,
};
use crate::skip::TooLong;

/// One line of a classic answer, with its data block where it has one.
///
/// Source: memcached `doc/protocol.txt`; Amazon ElastiCache user guide, "Adding Auto Discovery To Your Client
/// Library", for `CONFIG`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Text {
    /// `VALUE <key> <flags> <length> [<cas>]` and the value. Key and value share the receive buffer.
    Value {
        /// The key, as asked.
        key: Bytes,
        /// Client flags.
        client_flags: u32,
        /// The value, perhaps of length 0; a lease that nobody filled looks like that, too.
        value: Bytes,
    },
    /// `VALUE` with a value over the limit, which is skipped.
    TooLong {
        /// The key, as asked.
        key: Bytes,
        /// How long it is.
        too_long: TooLong,
    },
    /// `CONFIG <name> <flags> <length>` and its payload: the nodes of an ElastiCache cluster.
    Config(Bytes),
    /// `STAT <name> <value>`; the value may hold blanks.
    Stat {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// `VERSION <text>`
    Version(Version),
    /// `END`: nothing more to come.
    End,
    /// The node refused the request.
    Refused(Refusal),
}

/// Takes one line, with its data block, off the front of `buffer`.
///
/// The end of a value or payload is found by its declared length alone, never by looking for `END`: a payload
/// may hold that word. Limits and errors are those of [`decode`](crate::decode).
pub fn decode_text(buffer: &mut BytesMut, limits: &Limits) -> Result<Decoded<Text>, ProtocolError> {
    let Some(line_len) = line_end(buffer, limits)? else {
        return Ok(Decoded::NeedMore { missing: 1 });
    };
    let line = trimmed(&buffer[..line_len]);
    if let Some(rest) = line.strip_prefix(b"VALUE ") {
        let header = BlockHeader::parse(rest, line, limits)?;
        let key = VALUE_WORD_LEN..VALUE_WORD_LEN + header.key_len;
        return match header.len {
            Len::Taken(len) => Ok(take_frame(buffer, line_len, len)?.map(|frame| Text::Value {
                key: frame.slice(key),
                client_flags: header.client_flags,
                value: frame.slice(line_len..),
            })),
            Len::Skipped(too_long) => {
                let key = buffer.split_to(line_len).freeze().slice(key);
                Ok(Decoded::TooLong(Text::TooLong { key, too_long }, too_long.skip()))
            }
        };
    }
    if let Some(rest) = line.strip_prefix(b"CONFIG ") {
        let header = BlockHeader::parse(rest, line, limits)?;
        let len = match header.len {
            Len::Taken(len) => len,
            // The whole answer is this one payload.
            Len::Skipped(TooLong { value_len, limit }) => {
                return Err(ProtocolError::ValueTooLong { declared: value_len, limit });
            }
        };
        let frame = take_frame(buffer, line_len, len)?;
        return Ok(frame.map(|mut frame| Text::Config(frame.split_off(line_len))));
    }
    let text = decode_line(line)?;
    let _ = buffer.split_to(line_len);
    Ok(Decoded::Reply(text))
}

/// What stands before a data block: where the key ends in the line, the client flags, the length.
#[derive(Clone, Copy)]
struct BlockHeader {
    key_len: usize,
    client_flags: u32,
    len: Len,
}

impl BlockHeader {
    /// Reads `<key> <flags> <length> [<cas>]`.
    fn parse(rest: &[u8], line: &[u8], limits: &Limits) -> Result<Self, ProtocolError> {
        let mut words = rest.split(|byte| *byte == b' ');
        let key_len = words.next().map_or(0, <[u8]>::len);
        let bad = |what| ProtocolError::BadNumber { what, line: excerpt(line) };
        let client_flags = words
            .next()
            .and_then(number)
            .and_then(|flags| u32::try_from(flags).ok())
            .ok_or_else(|| bad("client flags"))?;
        let declared = words.next().and_then(number).ok_or_else(|| bad("value length"))?;
        if let Some(cas) = words.next() {
            number(cas).ok_or_else(|| bad("CAS token"))?;
        }
        if key_len == 0 || words.next().is_some() {
            return Err(ProtocolError::UnknownReply(excerpt(line)));
        }
        Ok(Self { key_len, client_flags, len: Len::of(declared, limits)? })
    }
}

fn decode_line(line: &[u8]) -> Result<Text, ProtocolError> {
    if line == b"END" {
        return Ok(Text::End);
    }
    if let Some(stat) = line.strip_prefix(b"STAT ") {
        let (name, value) = stat.split_at(stat.iter().position(|byte| *byte == b' ').unwrap_or(stat.len()));
        return Ok(Text::Stat { name: lossy(name), value: lossy(value.trim_ascii_start()) });
    }
    if let Some(version) = line.strip_prefix(b"VERSION ") {
        return Ok(Text::Version(Version::new(&lossy(version))));
    }
    Refusal::parse(line).map(Text::Refused).ok_or_else(|| ProtocolError::UnknownReply(excerpt(line)))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const VALUE_WORD_LEN: usize = b"VALUE ".len();

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of AWS, 136 bytes by count.
    const PAYLOAD: &str = "12\nmyCluster.pc4ldq.0001.use1.cache.amazonaws.com|10.82.235.120|11211 \
                           myCluster.pc4ldq.0002.use1.cache.amazonaws.com|10.80.249.27|11211\n";

    #[test]
    fn the_configuration_of_elasticache_is_taken_by_its_length() {
        let wire = format!("CONFIG cluster 0 136\r\n{PAYLOAD}\r\n");
        check(wire.as_bytes(), Text::Config(Bytes::from(PAYLOAD)));
    }

    #[test]
    fn an_old_elasticache_answers_the_configuration_as_a_value() {
        let wire = format!("VALUE AmazonElastiCache:cluster 0 136\r\n{PAYLOAD}\r\n");
        let key = Bytes::from("AmazonElastiCache:cluster");
        check(wire.as_bytes(), Text::Value { key, client_flags: 0, value: Bytes::from(PAYLOAD) });
    }

    #[test]
    fn a_payload_may_hold_the_word_end() {
        check(b"CONFIG cluster 0 8\r\n1\r\nEND\r\n\r\n", Text::Config(Bytes::from("1\r\nEND\r\n")));
    }

    #[test]
    fn a_configuration_with_a_false_length_is_refused() {
        let wire = format!("CONFIG cluster 0 80\r\n{PAYLOAD}\r\nEND\r\n");
        check_error(wire.as_bytes(), ProtocolError::Unterminated(80));
    }

    #[test]
    fn a_plain_memcached_knows_no_configuration() {
        check(b"ERROR\r\n", Text::Refused(Refusal::UnknownCommand));
        check(b"END\r\n", Text::End);
    }

    #[test]
    fn a_value_has_key_flags_and_length_and_may_have_a_cas_token() {
        let value =
            |bytes: &'static str| Text::Value { key: "k".into(), client_flags: 7, value: bytes.into() };
        check(b"VALUE k 7 2\r\nhi\r\n", value("hi"));
        check(b"VALUE k 7 0 99\r\n\r\n", value(""));
        check(b"VALUE k 7 5\r\nEND\r\n\r\n", value("END\r\n"));
    }

    #[test]
    fn a_value_over_the_limit_is_told_with_its_key_and_is_to_be_skipped() {
        let too_long = TooLong { value_len: 2 << 20, limit: 1 << 20 };
        let mut buffer = BytesMut::from(&b"VALUE key 7 2097152\r\nvvv"[..]);
        let decoded = decode_text(&mut buffer, &Limits::default());
        let text = Text::TooLong { key: "key".into(), too_long };
        assert_eq!(decoded, Ok(Decoded::TooLong(text, too_long.skip())));
        assert_eq!(buffer, &b"vvv"[..]);
    }

    #[test]
    fn a_statistic_may_have_blanks_in_its_value() {
        let stat = |name: &str, value: &str| Text::Stat { name: name.into(), value: value.into() };
        check(b"STAT curr_items 12\r\n", stat("curr_items", "12"));
        check(b"STAT libevent 2.1.12 stable\r\n", stat("libevent", "2.1.12 stable"));
        check(b"STAT empty\r\n", stat("empty", ""));
    }

    #[test]
    fn the_version_is_the_rest_of_its_line() {
        check(b"VERSION 1.6.22\r\n", Text::Version(Version::new("1.6.22")));
    }

    #[test]
    fn a_broken_line_is_named() {
        let bad = |what, line: &str| ProtocolError::BadNumber { what, line: line.into() };
        check_error(b"VALUE k 0\r\n", bad("value length", "VALUE k 0"));
        check_error(b"VALUE k\r\n", bad("client flags", "VALUE k"));
        check_error(b"VALUE k x 1\r\n", bad("client flags", "VALUE k x 1"));
        check_error(b"VALUE k 0 -1\r\n", bad("value length", "VALUE k 0 -1"));
        check_error(b"VALUE k 0 1 x\r\n", bad("CAS token", "VALUE k 0 1 x"));
        check_error(b"VALUE  0 1\r\n", ProtocolError::UnknownReply("VALUE  0 1".into()));
        check_error(b"VALUE k 0 1 2 3\r\n", ProtocolError::UnknownReply("VALUE k 0 1 2 3".into()));
        check_error(b"STORED\r\n", ProtocolError::UnknownReply("STORED".into()));
        check_error(
            b"CONFIG cluster 0 2000000\r\n",
            ProtocolError::ValueTooLong { declared: 2_000_000, limit: 1 << 20 },
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_and_consumed_only_as_a_whole_line(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            match decode_text(&mut buffer, &Limits::default()) {
                Ok(Decoded::Reply(_) | Decoded::TooLong(..)) => prop_assert!(buffer.len() < bytes.len()),
                _ => prop_assert_eq!(&buffer[..], &bytes[..]),
            }
        }
    }

    /// Decodes `wire` whole, and cut at every byte.
    #[track_caller]
    fn check(wire: &[u8], expected: Text) {
        let limits = Limits::default();
        let mut buffer = BytesMut::from(wire);
        buffer.extend_from_slice(b"END\r\n");
        assert_eq!(
            decode_text(&mut buffer, &limits),
            Ok(Decoded::Reply(expected)),
            "wire: {}",
            wire.escape_ascii()
        );
        assert_eq!(buffer, &b"END\r\n"[..]);
        for cut in 0..wire.len() {
            let mut buffer = BytesMut::from(&wire[..cut]);
            let decoded = decode_text(&mut buffer, &limits);
            assert!(matches!(decoded, Ok(Decoded::NeedMore { missing: 1.. })), "cut at {cut}: {decoded:?}");
            assert_eq!(buffer, wire[..cut], "a line cut short was consumed");
        }
    }

    #[track_caller]
    fn check_error(wire: &[u8], expected: ProtocolError) {
        let decoded = decode_text(&mut BytesMut::from(wire), &Limits::default());
        assert_eq!(decoded, Err(expected), "wire: {}", wire.escape_ascii());
    }
}
