//! Replies of the meta protocol, decoded one at a time from the front of a buffer.

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::{
    Decoded, Len, Limits, ProtocolError, Refusal, excerpt, line_end, number, take_frame, trimmed,
};
use crate::skip::TooLong;

/// One answer of the meta protocol.
///
/// Source: memcached `doc/protocol.txt`, "Meta Commands".
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// `VA`: a value, perhaps of length 0. It shares the receive buffer; nothing is copied.
    Value(Bytes, ReplyFlags),
    /// `VA` with a value over the limit, which is skipped.
    TooLong(TooLong, ReplyFlags),
    /// `HD`: done, or there, without a value.
    Done(ReplyFlags),
    /// `EN`: `mg` found nothing.
    Miss(ReplyFlags),
    /// `NF`: `ms` with a CAS token, `md` or `ma` found nothing.
    NotFound(ReplyFlags),
    /// `NS`: not stored, for the mode did not allow it.
    NotStored(ReplyFlags),
    /// `EX`: not done, for the CAS token is another by now.
    Exists(ReplyFlags),
    /// `MN`: the answer to `mn`.
    Noop,
    /// The node refused the request.
    Refused(Refusal),
}

/// What a node tells beside a reply, in whatever order (`X W`, but `Z X`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReplyFlags {
    /// `W`: the caller won the right to fill the item.
    pub won: bool,
    /// `Z`: somebody else won it before.
    pub lost: bool,
    /// `X`: the item is stale.
    pub stale: bool,
    /// `c`: the CAS token.
    pub cas: Option<u64>,
    /// `f`: the client flags.
    pub client_flags: Option<u32>,
    /// `t`: the seconds that remain, [`u64::MAX`] for ever (`-1` on the wire).
    pub ttl_secs: Option<u64>,
    /// `s`: the value's length.
    pub size: Option<u64>,
    /// `h`: whether the item was read before.
    pub hit_before: Option<bool>,
    /// `l`: seconds since it was last read.
    pub last_access_secs: Option<u64>,
    /// `O`: the number that the request carried.
    pub opaque: Option<u32>,
}

/// Takes one reply off the front of `buffer`.
///
/// A reply that is not whole leaves the buffer as it was; the length it declares is compared with `limits` as
/// soon as it is read. An error means that the stream cannot be followed any further: drop the connection.
pub fn decode(buffer: &mut BytesMut, limits: &Limits) -> Result<Decoded<Reply>, ProtocolError> {
    let Some(line_len) = line_end(buffer, limits)? else {
        return Ok(Decoded::NeedMore { missing: 1 });
    };
    let line = trimmed(&buffer[..line_len]);
    if let Some(rest) = line.strip_prefix(b"VA ") {
        let digits = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let declared = number(&rest[..digits]).ok_or_else(|| bad("value length", line))?;
        let len = Len::of(declared, limits)?;
        let flags = ReplyFlags::parse(&rest[digits..], line)?;
        return match len {
            Len::Taken(len) => {
                let frame = take_frame(buffer, line_len, len)?;
                Ok(frame.map(|mut frame| Reply::Value(frame.split_off(line_len), flags)))
            }
            Len::Skipped(too_long) => {
                buffer.advance(line_len);
                Ok(Decoded::TooLong(Reply::TooLong(too_long, flags), too_long.skip()))
            }
        };
    }
    let reply = decode_line(line)?;
    let _ = buffer.split_to(line_len);
    Ok(Decoded::Reply(reply))
}

fn decode_line(line: &[u8]) -> Result<Reply, ProtocolError> {
    if line == b"MN" {
        return Ok(Reply::Noop);
    }
    if let Some(refusal) = Refusal::parse(line) {
        return Ok(Reply::Refused(refusal));
    }
    let (code, flags) = line.split_at(line.len().min(2));
    if !flags.is_empty() && flags[0] != b' ' {
        return Err(ProtocolError::UnknownReply(excerpt(line)));
    }
    let reply = match code {
        b"HD" => Reply::Done,
        b"EN" => Reply::Miss,
        b"NF" => Reply::NotFound,
        b"NS" => Reply::NotStored,
        b"EX" => Reply::Exists,
        _ => return Err(ProtocolError::UnknownReply(excerpt(line))),
    };
    Ok(reply(ReplyFlags::parse(flags, line)?))
}

impl ReplyFlags {
    /// Reads the flags of `line`, separated by one blank or more. One that we do not ask for is passed over.
    fn parse(flags: &[u8], line: &[u8]) -> Result<Self, ProtocolError> {
        let mut all = Self::default();
        for flag in flags.split(|byte| *byte == b' ') {
            let Some((letter, token)) = flag.split_first() else { continue };
            match letter {
                b'W' => all.won = true,
                b'Z' => all.lost = true,
                b'X' => all.stale = true,
                b'c' => all.cas = Some(number(token).ok_or_else(|| bad("CAS token", line))?),
                b'f' => all.client_flags = Some(narrow(token).ok_or_else(|| bad("client flags", line))?),
                b't' if token == b"-1" => all.ttl_secs = Some(u64::MAX),
                b't' => all.ttl_secs = Some(number(token).ok_or_else(|| bad("TTL", line))?),
                b's' => all.size = Some(number(token).ok_or_else(|| bad("size", line))?),
                b'h' => all.hit_before = Some(number(token).ok_or_else(|| bad("hit flag", line))? > 0),
                b'l' => all.last_access_secs = Some(number(token).ok_or_else(|| bad("last access", line))?),
                b'O' => all.opaque = Some(narrow(token).ok_or_else(|| bad("opaque", line))?),
                _ => {}
            }
        }
        Ok(all)
    }
}

fn narrow(token: &[u8]) -> Option<u32> {
    number(token).and_then(|number| u32::try_from(number).ok())
}

fn bad(what: &'static str, line: &[u8]) -> ProtocolError {
    ProtocolError::BadNumber { what, line: excerpt(line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: ReplyFlags = ReplyFlags {
        won: false,
        lost: false,
        stale: false,
        cas: None,
        client_flags: None,
        ttl_secs: None,
        size: None,
        hit_before: None,
        last_access_secs: None,
        opaque: None,
    };

    #[test]
    fn each_code_is_its_own_reply() {
        check(b"HD\r\n", Reply::Done(NONE));
        check(b"EN\r\n", Reply::Miss(NONE));
        check(b"NF\r\n", Reply::NotFound(NONE));
        check(b"NS\r\n", Reply::NotStored(NONE));
        check(b"EX\r\n", Reply::Exists(NONE));
        check(b"MN\r\n", Reply::Noop);
        check(b"VA 2\r\nhi\r\n", value(b"hi", NONE));
    }

    #[test]
    fn a_value_may_be_empty_and_may_hold_line_ends() {
        check(b"VA 0 t9\r\n\r\n", value(b"", ReplyFlags { ttl_secs: Some(9), ..NONE }));
        check(b"VA 6\r\n\r\nEN\r\n\r\n", value(b"\r\nEN\r\n", NONE));
    }

    #[test]
    fn flags_come_in_any_order() {
        let won = ReplyFlags { stale: true, won: true, cas: Some(3), ..NONE };
        check(b"VA 2 c3 X W\r\nv1\r\n", value(b"v1", won));
        check(b"VA 2 W c3 X\r\nv1\r\n", value(b"v1", won));
        let lost = ReplyFlags { stale: true, lost: true, cas: Some(3), ..NONE };
        check(b"VA 2 c3 Z X\r\nv1\r\n", value(b"v1", lost));
    }

    #[test]
    fn all_flags_are_read_and_unknown_ones_passed_over() {
        let all = ReplyFlags {
            won: true,
            cas: Some(u64::MAX),
            client_flags: Some(u32::MAX),
            ttl_secs: Some(u64::MAX),
            size: Some(5),
            hit_before: Some(true),
            last_access_secs: Some(12),
            opaque: Some(7),
            ..NONE
        };
        check(b"HD kfoo b c18446744073709551615 f4294967295 t-1 s5 h1 l12 O7 y9 W\r\n", Reply::Done(all));
        check(b"HD h0\r\n", Reply::Done(ReplyFlags { hit_before: Some(false), ..NONE }));
    }

    /// Engines 1.6.12 and 1.6.17 end `HD` and `NF` with a blank, and put two before an opaque; 1.6.18 does not.
    #[test]
    fn blanks_of_1_6_12_are_passed_over() {
        check(b"HD \r\n", Reply::Done(NONE));
        check(b"NF \r\n", Reply::NotFound(NONE));
        check(b"NF  O3\r\n", Reply::NotFound(ReplyFlags { opaque: Some(3), ..NONE }));
    }

    /// A miss of 1.6.12 and 1.6.17 echoes neither key nor opaque; from 1.6.18 on it does.
    #[test]
    fn a_miss_may_or_may_not_echo() {
        check(b"EN\r\n", Reply::Miss(NONE));
        check(b"EN O3 kfoo\r\n", Reply::Miss(ReplyFlags { opaque: Some(3), ..NONE }));
    }

    #[test]
    fn refusals_are_replies_in_the_words_of_the_node() {
        check(b"ERROR\r\n", Reply::Refused(Refusal::UnknownCommand));
        check(b"CLIENT_ERROR invalid flag\r\n", Reply::Refused(Refusal::Client("invalid flag".into())));
        check(
            b"SERVER_ERROR object too large for cache\r\n",
            Reply::Refused(Refusal::Server("object too large for cache".into())),
        );
    }

    #[test]
    fn a_line_that_is_no_reply_is_named() {
        for line in [
            &b"VALUE k 0 2\r\n"[..],
            b"END\r\n",
            b"\r\n",
            b"\n",
            b"hd\r\n",
            b"HDX\r\n",
            b"MN x\r\n",
            b"OK\r\n",
            b"H\r\n",
        ] {
            let named = trimmed(line).escape_ascii().to_string();
            check_error(line, ProtocolError::UnknownReply(named));
        }
    }

    #[test]
    fn a_bad_number_is_named() {
        for (line, what) in [
            ("VA x", "value length"),
            ("VA -1", "value length"),
            ("VA 18446744073709551616", "value length"),
            ("VA  2", "value length"),
            ("HD cx", "CAS token"),
            ("HD f4294967296", "client flags"),
            ("HD t-2", "TTL"),
            ("HD s", "size"),
            ("HD h", "hit flag"),
            ("HD l1.5", "last access"),
            ("EN Oabc", "opaque"),
        ] {
            check_error(
                format!("{line}\r\n").as_bytes(),
                ProtocolError::BadNumber { what, line: line.into() },
            );
        }
    }

    #[test]
    fn a_value_over_the_limit_is_told_before_it_comes_and_is_to_be_skipped() {
        let too_long = TooLong { value_len: 1_048_577, limit: 1 << 20 };
        let mut buffer = BytesMut::from(&b"VA 1048577 c7\r\nvvv"[..]);
        let reply = Reply::TooLong(too_long, ReplyFlags { cas: Some(7), ..NONE });
        let decoded = decode(&mut buffer, &Limits::default());
        assert_eq!(decoded, Ok(Decoded::TooLong(reply, too_long.skip())));
        assert_eq!(buffer, &b"vvv"[..]);
    }

    #[test]
    fn a_declared_length_over_what_is_skipped_is_refused_before_the_value_comes() {
        let declared = crate::MOST_SKIPPED_BYTES + 1;
        check_error(
            format!("VA {declared}\r\n").as_bytes(),
            ProtocolError::ValueTooLong { declared, limit: 1 << 20 },
        );
        check_error(
            b"VA 18446744073709551615\r\n",
            ProtocolError::ValueTooLong { declared: u64::MAX, limit: 1 << 20 },
        );
    }

    #[test]
    fn a_value_that_is_longer_than_declared_is_refused() {
        check_error(b"VA 2\r\nabc\r\n", ProtocolError::Unterminated(2));
    }

    #[test]
    fn a_line_without_end_is_refused_at_its_limit() {
        let endless = vec![b'x'; Limits::default().line_len];
        check_error(&endless, ProtocolError::LineTooLong(2048));
        let mut late_end = endless;
        late_end.extend(b"\r\n");
        check_error(&late_end, ProtocolError::LineTooLong(2048));
    }

    #[test]
    fn a_long_value_says_how_much_is_missing() {
        let mut buffer = BytesMut::from(&b"VA 1000\r\nabc"[..]);
        assert_eq!(decode(&mut buffer, &Limits::default()), Ok(Decoded::NeedMore { missing: 999 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_and_consumed_only_as_a_whole_reply(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            match decode(&mut buffer, &Limits::default()) {
                Ok(Decoded::Reply(_) | Decoded::TooLong(..)) => prop_assert!(buffer.len() < bytes.len()),
                _ => prop_assert_eq!(&buffer[..], &bytes[..]),
            }
        }
    }

    fn value(bytes: &[u8], flags: ReplyFlags) -> Reply {
        Reply::Value(Bytes::copy_from_slice(bytes), flags)
    }

    /// Decodes `wire` whole, with another reply behind it, and cut at every byte.
    #[track_caller]
    fn check(wire: &[u8], expected: Reply) {
        let limits = Limits::default();
        let mut buffer = BytesMut::from(wire);
        buffer.extend_from_slice(b"MN\r\n");
        assert_eq!(
            decode(&mut buffer, &limits),
            Ok(Decoded::Reply(expected)),
            "wire: {}",
            wire.escape_ascii()
        );
        assert_eq!(buffer, &b"MN\r\n"[..], "wire: {}", wire.escape_ascii());
        for cut in 0..wire.len() {
            let mut buffer = BytesMut::from(&wire[..cut]);
            let decoded = decode(&mut buffer, &limits);
            let Ok(Decoded::NeedMore { missing }) = decoded else {
                panic!("cut at {cut}: {decoded:?}, wire: {}", wire.escape_ascii())
            };
            assert!(missing > 0 && missing <= wire.len() - cut, "cut at {cut}: {missing} missing");
            assert_eq!(buffer, wire[..cut], "a reply cut short was consumed");
        }
    }

    #[track_caller]
    fn check_error(wire: &[u8], expected: ProtocolError) {
        let decoded = decode(&mut BytesMut::from(wire), &Limits::default());
        assert_eq!(decoded, Err(expected), "wire: {}", wire.escape_ascii());
    }
}
