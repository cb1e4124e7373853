//! The list of a node's keys, line by line, as its LRU crawler writes it.

use bytes::BytesMut;

use crate::Key;
use crate::frame::{Decoded, Limits, ProtocolError, Refusal, excerpt, line_end, number, trimmed};

/// Asks for the keys of a node, in the order of its hash table; the order of the LRU (`all`) misses keys that are
/// moved meanwhile. Must be the only request on its connection.
pub const DUMP_KEYS: &[u8] = b"lru_crawler metadump hash\r\n";

/// One line of a node's list of keys.
///
/// Source: memcached `doc/protocol.txt`, "LRU_Crawler". Off on ElastiCache from 1.6.17 on, unknown to Serverless.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Dumped {
    /// `key=… exp=…`: an item.
    Key {
        /// Its key, without the percent encoding of the list.
        key: Key,
        /// When it ends, in seconds since 1970; `None` for never.
        expires_at_secs: Option<u64>,
    },
    /// An item whose key no request of ours can name.
    Skipped,
    /// `END`
    End,
    /// The node refused: its crawler is off, or busy.
    Refused(Refusal),
}

/// Takes one line off the front of `buffer`. Lines end with a bare line feed; newer engines begin with `OK`.
pub fn decode_dump(buffer: &mut BytesMut, limits: &Limits) -> Result<Decoded<Dumped>, ProtocolError> {
    let Some(line_len) = line_end(buffer, limits)? else {
        return Ok(Decoded::NeedMore { missing: 1 });
    };
    let dumped = decode_line(trimmed(&buffer[..line_len]))?;
    let _ = buffer.split_to(line_len);
    Ok(Decoded::Reply(dumped))
}

fn decode_line(line: &[u8]) -> Result<Dumped, ProtocolError> {
    let Some(rest) = line.strip_prefix(b"key=") else {
        return match line {
            b"END" => Ok(Dumped::End),
            b"OK" => Ok(Dumped::Skipped),
            _ if line.starts_with(b"BUSY") => Ok(Dumped::Refused(Refusal::Server(excerpt(line)))),
            _ => Refusal::parse(line)
                .or_else(|| line.starts_with(b"ERROR ").then(|| Refusal::Client(excerpt(line))))
                .map(Dumped::Refused)
                .ok_or_else(|| ProtocolError::UnknownReply(excerpt(line))),
        };
    };
    let key_len = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let bad = |what| ProtocolError::BadNumber { what, line: excerpt(line) };
    let expiry = rest[key_len..].strip_prefix(b" exp=").ok_or_else(|| bad("expiry"))?;
    let expiry = &expiry[..memchr::memchr(b' ', expiry).unwrap_or(expiry.len())];
    let expires_at_secs = match expiry {
        b"-1" => None,
        digits => Some(number(digits).ok_or_else(|| bad("expiry"))?),
    };
    Ok(match unescaped(&rest[..key_len]).and_then(|key| Key::new(&key).ok()) {
        Some(key) => Dumped::Key { key, expires_at_secs },
        None => Dumped::Skipped,
    })
}

/// `escaped` without its percent encoding; `None` where that is broken, or the key too long.
fn unescaped(escaped: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            key.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            key.push(*byte);
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_key_and_expiry() {
        let line = b"key=a%3Ab%25c exp=1795243500 la=1795243440 cas=1 fetch=no cls=1 size=69\n";
        check(line, Dumped::Key { key: Key::new(b"a:b%c").unwrap(), expires_at_secs: Some(1_795_243_500) });
        let line = b"key=k exp=-1 la=1795243440 cas=2 fetch=no cls=1 size=63 flags=0 \n";
        check(line, Dumped::Key { key: Key::new(b"k").unwrap(), expires_at_secs: None });
    }

    #[test]
    fn a_key_that_no_request_can_name_is_skipped() {
        check(b"key=a%0Ab exp=-1 la=1\n", Dumped::Skipped);
        check(b"key=a%4 exp=-1 la=1\n", Dumped::Skipped);
        check(b"key= exp=-1 la=1\n", Dumped::Skipped);
    }

    #[test]
    fn the_list_begins_and_ends_and_may_be_refused() {
        check(b"OK\r\n", Dumped::Skipped);
        check(b"END\r\n", Dumped::End);
        check(b"ERROR\r\n", Dumped::Refused(Refusal::UnknownCommand));
        let busy = "BUSY currently processing crawler request";
        check(format!("{busy}\r\n").as_bytes(), Dumped::Refused(Refusal::Server(busy.into())));
        let off = "lru crawler disabled";
        check(format!("CLIENT_ERROR {off}\r\n").as_bytes(), Dumped::Refused(Refusal::Client(off.into())));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        for line in ["key=k", "key=k la=1", "key=k exp=x", "VALUE k 0 1"] {
            let decoded =
                decode_dump(&mut BytesMut::from(format!("{line}\n").as_bytes()), &Limits::default());
            assert!(decoded.as_ref().is_err_and(|error| error.to_string().contains(line)), "{decoded:?}");
        }
    }

    #[track_caller]
    fn check(line: &[u8], expected: Dumped) {
        let mut buffer = BytesMut::from(line);
        let decoded = decode_dump(&mut buffer, &Limits::default());
        assert_eq!(decoded, Ok(Decoded::Reply(expected)), "line: {}", line.escape_ascii());
        assert!(buffer.is_empty());
        let mut cut = BytesMut::from(&line[..line.len() - 1]);
        assert_eq!(decode_dump(&mut cut, &Limits::default()), Ok(Decoded::NeedMore { missing: 1 }));
    }
}
