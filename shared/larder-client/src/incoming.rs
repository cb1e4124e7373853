//! What has come on a connection and is not decoded yet, and what of it is to be skipped.

use bytes::BytesMut;
use larder_meta::{Decoded, Limits, ProtocolError, Reply, Skip, Text, decode, decode_text};

/// What a decoder finds at the front of a buffer.
type Step<T> = Result<Decoded<T>, ProtocolError>;

/// The bytes that have come. A reply whose value is over the limit is held back until its value has been skipped, so
/// that the bytes behind a reply that was handed out always are those of another one.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) bytes: BytesMut,
    skipping: Option<(Held, Skip)>,
}

/// The reply whose value is being skipped. Boxed, for it is rare.
#[derive(Debug)]
enum Held {
    Reply(Box<Reply>),
    Text(Box<Text>),
}

/// A whole reply, or how many bytes are missing at least.
pub(crate) enum Next<T> {
    Reply(T),
    NeedMore { missing: usize },
}

impl Incoming {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(capacity), skipping: None }
    }

    /// Whether nothing has come that is not decoded, nor is any of it to be skipped.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.skipping.is_none()
    }

    /// The next reply of the meta protocol.
    pub(crate) fn reply(&mut self, limits: &Limits) -> Result<Next<Reply>, ProtocolError> {
        self.next(limits, decode, |reply| Held::Reply(Box::new(reply)), Held::into_reply)
    }

    /// The next line of a classic answer.
    pub(crate) fn text(&mut self, limits: &Limits) -> Result<Next<Text>, ProtocolError> {
        self.next(limits, decode_text, |text| Held::Text(Box::new(text)), Held::into_text)
    }

    fn next<T>(
        &mut self,
        limits: &Limits,
        decode: impl FnOnce(&mut BytesMut, &Limits) -> Step<T>,
        hold: impl FnOnce(T) -> Held,
        release: impl FnOnce(Held) -> Result<T, ProtocolError>,
    ) -> Result<Next<T>, ProtocolError> {
        if self.skipping.is_none() {
            match decode(&mut self.bytes, limits)? {
                Decoded::Reply(reply) => return Ok(Next::Reply(reply)),
                Decoded::NeedMore { missing } => return Ok(Next::NeedMore { missing }),
                Decoded::TooLong(reply, skip) => self.skipping = Some((hold(reply), skip)),
            }
        }
        if let Some((_, skip)) = &mut self.skipping
            && let Decoded::NeedMore { missing } = skip.advance(&mut self.bytes)?
        {
            return Ok(Next::NeedMore { missing });
        }
        match self.skipping.take() {
            Some((held, _)) => release(held).map(Next::Reply),
            None => Ok(Next::NeedMore { missing: 1 }),
        }
    }
}

impl Held {
    fn into_reply(self) -> Result<Reply, ProtocolError> {
        match self {
            Self::Reply(reply) => Ok(*reply),
            Self::Text(text) => Err(ProtocolError::UnknownReply(format!("{text:.80?}"))),
        }
    }

    fn into_text(self) -> Result<Text, ProtocolError> {
        match self {
            Self::Text(text) => Ok(*text),
            Self::Reply(reply) => Err(ProtocolError::UnknownReply(format!("{reply:.80?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { value_len: 4, line_len: 64 };

    #[test]
    fn a_reply_over_the_limit_comes_when_its_value_has_been_skipped() {
        let wire = b"VA 5 c7\r\nabcde\r\nVA 2\r\nhi\r\n";
        for cut in 0..wire.len() {
            let mut incoming = Incoming::default();
            let mut replies = Vec::new();
            for piece in [&wire[..cut], &wire[cut..]] {
                incoming.bytes.extend_from_slice(piece);
                while let Next::Reply(reply) = incoming.reply(&LIMITS).unwrap() {
                    replies.push(reply);
                }
            }
            let [Reply::TooLong(too_long, flags), Reply::Value(value, _)] = &replies[..] else {
                panic!("cut at {cut}: {replies:?}")
            };
            assert_eq!((too_long.value_len, flags.cas, &value[..]), (5, Some(7), &b"hi"[..]));
            assert!(incoming.is_empty());
        }
    }

    #[test]
    fn a_value_that_is_being_skipped_is_not_nothing() {
        let mut incoming = Incoming::default();
        incoming.bytes.extend_from_slice(b"VALUE k 0 5\r\n");
        assert!(matches!(incoming.text(&LIMITS), Ok(Next::NeedMore { missing: 7 })));
        assert!(incoming.bytes.is_empty() && !incoming.is_empty());
    }
}
