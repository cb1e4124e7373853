//! What an exchange waits for, and what it gets.

use larder_meta::{Limits, ProtocolError, Refusal, Reply, Text, Version};

use crate::incoming::{Incoming, Next};

/// The shape of an answer, and what has come of it.
#[derive(Debug)]
pub(crate) enum Awaited {
    /// The engine's version, which a connection asks for itself.
    Greeting,
    /// One reply of the meta protocol.
    Reply,
    /// So many more replies.
    Replies { left: usize, got: Vec<Reply> },
    /// Replies up to `MN`, which closes a batch of quiet requests; at most so many.
    UntilNoop { most: usize, got: Vec<Reply> },
    /// Lines of classic answers, of which so many have not ended; at most so many lines.
    Texts { left: usize, most: usize, got: Vec<Text> },
    /// Another answer, and one reply behind it.
    WithReply { first: Box<Awaited>, got: Option<Box<Answer>> },
}

/// A whole answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Replies(Vec<Reply>),
    Texts(Vec<Text>),
    WithReply(Box<Answer>, Reply),
}

/// How far decoding got.
pub(crate) enum Progress {
    NeedMore { missing: usize },
    Greeted(Version),
    Whole(Answer),
}

impl Awaited {
    /// `count` replies, at least one.
    pub(crate) fn replies(count: usize) -> Self {
        Self::Replies { left: count, got: Vec::with_capacity(count) }
    }

    /// What is left to say of `requests` quiet ones that `mn` closes.
    pub(crate) fn until_noop(requests: usize) -> Self {
        Self::UntilNoop { most: requests, got: Vec::new() }
    }

    /// The lines of `commands` classic commands, at most `most` without those that end them.
    pub(crate) fn texts(commands: usize, most: usize) -> Self {
        Self::Texts { left: commands, most, got: Vec::with_capacity(most.min(MOST_LINES_AT_FIRST)) }
    }

    /// `first`, and one reply more.
    pub(crate) fn with_reply(first: Self) -> Self {
        Self::WithReply { first: Box::new(first), got: None }
    }

    /// Takes from `incoming` what belongs to this answer.
    pub(crate) fn decode(
        &mut self,
        incoming: &mut Incoming,
        limits: &Limits,
    ) -> Result<Progress, ProtocolError> {
        match self {
            Self::Greeting => Ok(match incoming.text(limits)? {
                Next::NeedMore { missing } => Progress::NeedMore { missing },
                Next::Reply(Text::Version(version)) => Progress::Greeted(version),
                Next::Reply(other) => return Err(ProtocolError::UnknownReply(format!("{other:?}"))),
            }),
            Self::Reply => Ok(match incoming.reply(limits)? {
                Next::NeedMore { missing } => Progress::NeedMore { missing },
                Next::Reply(reply) => Progress::Whole(Answer::Reply(reply)),
            }),
            Self::Replies { left, got } => {
                while *left > 0 {
                    match incoming.reply(limits)? {
                        Next::NeedMore { missing } => return Ok(Progress::NeedMore { missing }),
                        Next::Reply(reply) => got.push(reply),
                    }
                    *left -= 1;
                }
                Ok(Progress::Whole(Answer::Replies(std::mem::take(got))))
            }
            Self::UntilNoop { most, got } => loop {
                match incoming.reply(limits)? {
                    Next::NeedMore { missing } => return Ok(Progress::NeedMore { missing }),
                    Next::Reply(Reply::Noop) => {
                        return Ok(Progress::Whole(Answer::Replies(std::mem::take(got))));
                    }
                    Next::Reply(reply) if got.len() == *most => return Err(surplus(&reply)),
                    Next::Reply(reply) => got.push(reply),
                }
            },
            Self::Texts { left, most, got } => {
                while *left > 0 {
                    match incoming.text(limits)? {
                        Next::NeedMore { missing } => return Ok(Progress::NeedMore { missing }),
                        Next::Reply(Text::End) => *left -= 1,
                        Next::Reply(refused @ Text::Refused(_)) => {
                            *left -= 1;
                            got.push(refused);
                        }
                        Next::Reply(text) if got.len() == *most => return Err(surplus(&text)),
                        Next::Reply(text) => got.push(text),
                    }
                }
                Ok(Progress::Whole(Answer::Texts(std::mem::take(got))))
            }
            Self::WithReply { first, got } => {
                if got.is_none() {
                    match first.decode(incoming, limits)? {
                        Progress::Whole(answer) => *got = Some(Box::new(answer)),
                        progress => return Ok(progress),
                    }
                }
                Ok(match incoming.reply(limits)? {
                    Next::NeedMore { missing } => Progress::NeedMore { missing },
                    Next::Reply(reply) => match got.take() {
                        Some(answer) => Progress::Whole(Answer::WithReply(answer, reply)),
                        None => return Err(surplus(&reply)),
                    },
                })
            }
        }
    }

    /// Whether part of the answer has been decoded.
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Self::Greeting | Self::Reply => false,
            Self::Replies { got, .. } | Self::UntilNoop { got, .. } => !got.is_empty(),
            Self::Texts { got, .. } => !got.is_empty(),
            Self::WithReply { first, got } => got.is_some() || first.has_begun(),
        }
    }
}

impl Answer {
    /// The one reply; an exchange gets the shape that it asked for.
    pub(crate) fn into_reply(self) -> Result<Reply, ProtocolError> {
        match self {
            Self::Reply(reply) => Ok(reply),
            other => Err(other.unexpected()),
        }
    }

    /// The replies, in the order of their requests.
    pub(crate) fn into_replies(self) -> Result<Vec<Reply>, ProtocolError> {
        match self {
            Self::Replies(replies) => Ok(replies),
            other => Err(other.unexpected()),
        }
    }

    /// The lines, without those that only end an answer.
    pub(crate) fn into_texts(self) -> Result<Vec<Text>, ProtocolError> {
        match self {
            Self::Texts(texts) => Ok(texts),
            other => Err(other.unexpected()),
        }
    }

    /// The answer, and the reply behind it.
    pub(crate) fn into_parts(self) -> Result<(Answer, Reply), ProtocolError> {
        match self {
            Self::WithReply(answer, reply) => Ok((*answer, reply)),
            other => Err(other.unexpected()),
        }
    }

    /// Whether it is the answer of a node that may have taken a data block for commands.
    pub(crate) fn may_have_run_data(&self) -> bool {
        let is_unsound = |refusal: &Refusal| !refusal.leaves_connection_sound();
        match self {
            Self::Reply(reply) => matches!(reply, Reply::Refused(refusal) if is_unsound(refusal)),
            Self::Replies(replies) => {
                replies.iter().any(|reply| matches!(reply, Reply::Refused(refusal) if is_unsound(refusal)))
            }
            Self::Texts(_) => false,
            Self::WithReply(answer, _) => answer.may_have_run_data(),
        }
    }

    /// The error for a reply that does not answer what was asked.
    pub(crate) fn unexpected(&self) -> ProtocolError {
        ProtocolError::UnknownReply(format!("{self:.80?}"))
    }
}

/// The error for more than was asked for.
fn surplus(reply: &impl std::fmt::Debug) -> ProtocolError {
    ProtocolError::UnknownReply(format!("{reply:.80?}"))
}

/// Room for so many lines is reserved before they come.
const MOST_LINES_AT_FIRST: usize = 1024;
