//! An incremental decoder: what it may take off its buffer, and when.

use std::fmt::Debug;

use bytes::BytesMut;
use larder_meta::{Decoded, Limits, MOST_PIECE_BYTES, ProtocolError, Skip};

/// Takes one reply off the front of a buffer.
pub type Decode<T> = fn(&mut BytesMut, &Limits) -> Result<Decoded<T>, ProtocolError>;

/// Checks `decode` on a stream of bytes:
///
/// - a reply takes bytes off the front of the buffer and leaves the others as they were; what is not whole takes none,
///   and no decoding reserves memory;
/// - of the bytes that are said to be missing, all are: with fewer there is no reply;
/// - a value over the limit is skipped to its end, in pieces of a bounded size;
/// - wherever the stream is cut, the same replies come out of it, and the same error.
///
/// Answers the replies.
pub fn check<T: Debug + PartialEq>(decode: Decode<T>, stream: &[u8]) -> Vec<T> {
    let whole = decode_pieces(decode, [stream]);
    let (before, after) = stream.split_at(somewhere(stream));
    assert_eq!(decode_pieces(decode, [before, after]), whole, "cut after {} bytes", before.len());
    if stream.len() <= MOST_SINGLE_BYTES {
        assert_eq!(decode_pieces(decode, stream.chunks(1)), whole, "byte by byte");
    }
    whole.replies
}

/// All that came out of a stream.
#[derive(Debug, PartialEq)]
struct Outcome<T> {
    replies: Vec<T>,
    error: Option<ProtocolError>,
}

fn decode_pieces<'a, T: Debug>(decode: Decode<T>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome<T> {
    let mut buffer = BytesMut::new();
    let mut least_len = 0;
    let mut replies = Vec::new();
    let mut skipped: Option<Skip> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            if let Some(skip) = &mut skipped {
                match skip.advance(&mut buffer) {
                    Ok(Decoded::NeedMore { missing }) => {
                        assert!(missing > 0 && missing as u64 <= MOST_PIECE_BYTES, "{missing} missing");
                        break;
                    }
                    Ok(_) => skipped = None,
                    Err(error) => return Outcome { replies, error: Some(error) },
                }
            }
            let len = buffer.len();
            match step(decode, &mut buffer) {
                Ok(Decoded::Reply(reply)) => {
                    assert!(len >= least_len, "{reply:?} of {len} bytes, {least_len} were needed");
                    replies.push(reply);
                    least_len = 0;
                }
                Ok(Decoded::TooLong(reply, skip)) => {
                    assert!(len >= least_len, "{reply:?} of {len} bytes, {least_len} were needed");
                    replies.push(reply);
                    skipped = Some(skip);
                    least_len = 0;
                }
                Ok(Decoded::NeedMore { missing }) => {
                    least_len = len + missing;
                    break;
                }
                Err(error) => return Outcome { replies, error: Some(error) },
            }
        }
    }
    Outcome { replies, error: None }
}

/// One call of `decode`, and what it may do to the buffer.
fn step<T>(decode: Decode<T>, buffer: &mut BytesMut) -> Result<Decoded<T>, ProtocolError> {
    let (before, capacity) = (buffer.clone(), buffer.capacity());
    let decoded = decode(buffer, &LIMITS)?;
    assert!(buffer.capacity() <= capacity, "decoding has reserved memory");
    match &decoded {
        Decoded::Reply(_) | Decoded::TooLong(..) => {
            assert!(buffer.len() < before.len(), "a reply out of nothing");
        }
        Decoded::NeedMore { missing } => {
            assert!(*missing > 0, "nothing is missing");
            assert_eq!(buffer.len(), before.len(), "part of a reply is gone");
        }
    }
    assert!(before.ends_with(buffer), "bytes have changed");
    Ok(decoded)
}

/// A place to cut `stream` at, another one for another stream.
fn somewhere(stream: &[u8]) -> usize {
    let sum = stream.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    sum % (stream.len() + 1)
}

/// Small ones, so that short inputs reach them.
const LIMITS: Limits = Limits { value_len: 256, line_len: 192 };
/// Byte by byte costs the square of the length.
const MOST_SINGLE_BYTES: usize = 128;
