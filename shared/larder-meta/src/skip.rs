//! Values over the limit: thrown away as they come, so that the replies behind them can be read.

use bytes::{Buf, BytesMut};

use crate::frame::{Decoded, ProtocolError};

/// A value that is over the limit, as its reply declares it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the value has {value_len} bytes, the limit is {limit}")]
pub struct TooLong {
    /// Bytes declared.
    pub value_len: u64,
    /// Bytes allowed, [`Limits::value_len`](crate::Limits::value_len).
    pub limit: usize,
}

/// What is left to skip of a value and of the line end behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Skip {
    value_len: u64,
    left: u64,
}

impl TooLong {
    /// All of the value.
    pub(crate) fn skip(self) -> Skip {
        Skip { value_len: self.value_len, left: self.value_len + LINE_END.len() as u64 }
    }
}

impl Skip {
    /// Takes off the front of `buffer` what belongs to the value; a reply means that it has ended. Never asks for more
    /// than [`MOST_PIECE_BYTES`] at once, however much is missing.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Unterminated`] where no line end stands behind the value: its length was a lie.
    pub fn advance(&mut self, buffer: &mut BytesMut) -> Result<Decoded<()>, ProtocolError> {
        let line_end = LINE_END.len() as u64;
        let of_value = self.left.saturating_sub(line_end).min(buffer.len() as u64);
        buffer.advance(of_value as usize);
        self.left -= of_value;
        if self.left > line_end || buffer.len() < LINE_END.len() {
            let missing = (self.left - buffer.len() as u64).min(MOST_PIECE_BYTES);
            return Ok(Decoded::NeedMore { missing: missing as usize });
        }
        if !buffer.starts_with(LINE_END) {
            return Err(ProtocolError::Unterminated(self.value_len as usize));
        }
        buffer.advance(LINE_END.len());
        self.left = 0;
        Ok(Decoded::Reply(()))
    }
}

/// Longest value that is skipped. A longer one costs more time than a new connection, which it ends.
pub const MOST_SKIPPED_BYTES: u64 = 128 << 20;
/// Most that is asked for at once of a value that is skipped.
pub const MOST_PIECE_BYTES: u64 = 64 << 10;
const LINE_END: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_skipped_with_its_line_end_wherever_it_is_cut() {
        let wire = b"abcde\r\nMN\r\n";
        for cut in 0..=wire.len() {
            let mut skip = TooLong { value_len: 5, limit: 1 }.skip();
            let mut buffer = BytesMut::from(&wire[..cut]);
            let first = skip.advance(&mut buffer);
            buffer.extend_from_slice(&wire[cut..]);
            if let Some(missing @ 1..) = 7usize.checked_sub(cut) {
                assert_eq!(first, Ok(Decoded::NeedMore { missing }), "cut at {cut}");
                assert_eq!(skip.advance(&mut buffer), Ok(Decoded::Reply(())), "cut at {cut}");
            }
            assert_eq!(buffer, &b"MN\r\n"[..], "cut at {cut}");
        }
    }

    #[test]
    fn a_long_value_is_asked_for_in_pieces() {
        let mut skip = TooLong { value_len: 100 << 20, limit: 1 }.skip();
        let missing = MOST_PIECE_BYTES as usize;
        assert_eq!(skip.advance(&mut BytesMut::new()), Ok(Decoded::NeedMore { missing }));
    }

    #[test]
    fn a_value_without_a_line_end_is_refused() {
        let mut skip = TooLong { value_len: 2, limit: 1 }.skip();
        let refused = skip.advance(&mut BytesMut::from(&b"abcd"[..]));
        assert_eq!(refused, Err(ProtocolError::Unterminated(2)));
    }
}
