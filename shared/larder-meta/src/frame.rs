//! Lines, lengths and limits: what both decoders share.

use bytes::{Bytes, BytesMut};

use crate::skip::{MOST_SKIPPED_BYTES, Skip, TooLong};

/// What a decoder found at the front of the buffer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decoded<T> {
    /// One whole reply; its bytes are taken off the buffer.
    Reply(T),
    /// A reply whose value is over the limit. Its line is taken off the buffer; its value is to be skipped before
    /// anything else is decoded.
    TooLong(T, Skip),
    /// The reply is not whole, the buffer is as it was.
    NeedMore {
        /// At least so many bytes are missing (1 where the length is not known yet).
        missing: usize,
    },
}

impl<T> Decoded<T> {
    /// The same with `change` made to the reply.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Decoded<U> {
        match self {
            Self::Reply(reply) => Decoded::Reply(change(reply)),
            Self::TooLong(reply, skip) => Decoded::TooLong(change(reply), skip),
            Self::NeedMore { missing } => Decoded::NeedMore { missing },
        }
    }
}

/// How much a reply may hold. Compared with every declared length before anything is reserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Longest value, in bytes. memcached's own limit for an item is 1 MiB unless `max_item_size` says otherwise. A
    /// longer one is skipped, up to [`MOST_SKIPPED_BYTES`].
    pub value_len: usize,
    /// Longest line, in bytes.
    pub line_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { value_len: 1 << 20, line_len: 2048 }
    }
}

/// The peer broke the protocol; where one reply ends and the next begins is not known any more.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A line that is no reply to what was asked; holds its beginning, escaped.
    #[error("expected a reply, got the line \"{0}\"")]
    UnknownReply(String),
    /// A reply whose part of this name is no number, or too large a one.
    #[error("the reply has no proper {what} in the line \"{line}\"")]
    BadNumber {
        /// Which part.
        what: &'static str,
        /// The beginning of the line, escaped.
        line: String,
    },
    /// A declared length over the limit, of a value that cannot be skipped: it is longer than
    /// [`MOST_SKIPPED_BYTES`], or there is no other reply to wait for.
    #[error("the reply declares a value of {declared} bytes, the limit is {limit}")]
    ValueTooLong {
        /// Bytes declared.
        declared: u64,
        /// Bytes allowed, [`Limits::value_len`].
        limit: usize,
    },
    /// More bytes without a line end than a line may have, [`Limits::line_len`].
    #[error("the reply has no line end within {0} bytes")]
    LineTooLong(usize),
    /// A value that is not followed by a line end: its length was a lie.
    #[error("the value of {0} bytes does not end with a line end")]
    Unterminated(usize),
}

/// A node's refusal of one request, in its own words.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// `ERROR`, or `ERROR unknown command`: it does not know the command.
    #[error("the node does not know the command")]
    UnknownCommand,
    /// `CLIENT_ERROR`: it did not like the request. The data block may have been taken for commands, so the
    /// connection cannot be trusted any more.
    #[error("the node refused the request: {0}")]
    Client(String),
    /// `SERVER_ERROR`, or `ERROR` with other words: it could not, for example for want of memory. The connection is
    /// sound, as long as the node keeps it.
    #[error("the node failed: {0}")]
    Server(String),
}

impl Refusal {
    /// The refusal that `line` holds, if it is one.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        if line == b"ERROR" {
            Some(Self::UnknownCommand)
        } else if let Some(words) = line.strip_prefix(b"ERROR ") {
            // A proxy may name the command that it does not know; memcached itself says that it has no connection left.
            let is_unknown = words.to_ascii_lowercase().starts_with(b"unknown command");
            Some(if is_unknown { Self::UnknownCommand } else { Self::Server(excerpt(words)) })
        } else if let Some(words) = line.strip_prefix(b"CLIENT_ERROR ") {
            Some(Self::Client(excerpt(words)))
        } else {
            line.strip_prefix(b"SERVER_ERROR ").map(|words| Self::Server(excerpt(words)))
        }
    }

    /// Whether replies after this one can be told apart.
    pub fn leaves_connection_sound(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

/// The length of the first line with its end, or how many bytes are missing at least.
pub(crate) fn line_end(buffer: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
    match memchr::memchr(b'\n', buffer) {
        Some(at) if at < limits.line_len => Ok(Some(at + 1)),
        None if buffer.len() < limits.line_len => Ok(None),
        _ => Err(ProtocolError::LineTooLong(limits.line_len)),
    }
}

/// A line without its end and trailing blanks (1.6.12 and 1.6.17 write `HD ` and `NF `).
pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    line.trim_ascii_end()
}

/// What a declared length comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Len {
    /// Within the limit.
    Taken(usize),
    /// Over it.
    Skipped(TooLong),
}

impl Len {
    /// Compares a declared length with the limits.
    pub(crate) fn of(declared: u64, limits: &Limits) -> Result<Self, ProtocolError> {
        let limit = limits.value_len;
        match usize::try_from(declared) {
            Ok(len) if len <= limit => Ok(Self::Taken(len)),
            _ if declared <= MOST_SKIPPED_BYTES => Ok(Self::Skipped(TooLong { value_len: declared, limit })),
            _ => Err(ProtocolError::ValueTooLong { declared, limit }),
        }
    }
}

/// Takes a line of `line_len` bytes, its value of `len` bytes and the line end behind it off `buffer`; answers
/// line and value.
pub(crate) fn take_frame(
    buffer: &mut BytesMut,
    line_len: usize,
    len: usize,
) -> Result<Decoded<Bytes>, ProtocolError> {
    let whole = line_len + len + 2;
    if buffer.len() < whole {
        return Ok(Decoded::NeedMore { missing: whole - buffer.len() });
    }
    if &buffer[whole - 2..whole] != b"\r\n" {
        return Err(ProtocolError::Unterminated(len));
    }
    let mut frame = buffer.split_to(whole).freeze();
    frame.truncate(whole - 2);
    Ok(Decoded::Reply(frame))
}

/// A decimal number without sign, all of `digits`, at most `u64::MAX`.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}

/// The beginning of `line`, escaped, for an error.
pub(crate) fn excerpt(line: &[u8]) -> String {
    trimmed(&line[..line.len().min(MOST_EXCERPT_BYTES)]).escape_ascii().to_string()
}

const MOST_EXCERPT_BYTES: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_only_and_fits() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"+1", b"1 ", b"0x1", b"18446744073709551616", b"000000000000000000001"]
        {
            assert_eq!(number(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn only_a_server_error_leaves_the_connection_sound() {
        let sound = |line: &[u8]| Refusal::parse(line).map(|refusal| refusal.leaves_connection_sound());
        assert_eq!(sound(b"SERVER_ERROR out of memory storing object"), Some(true));
        assert_eq!(sound(b"CLIENT_ERROR bad data chunk"), Some(false));
        assert_eq!(sound(b"ERROR"), Some(false));
        assert_eq!(sound(b"ERRORS"), None);
    }

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt(b"a\x00b\r\n"), "a\\x00b");
        assert_eq!(excerpt(&[b'x'; 500]).len(), MOST_EXCERPT_BYTES);
    }
}
