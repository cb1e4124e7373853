//! What can go wrong, told by what the caller would do next.

use std::error::Error;
use std::io;

/// Why an invalidation was not sent, or not all of it. The whole may be sent again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Too much is asked of the queue for now.
    #[error("not now: {0}")]
    Busy(String),
    /// There is no such queue.
    #[error("no such queue: {0}")]
    NotFound(String),
    /// The caller's rights do not allow it, or its credentials are not, or no longer, valid.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// It was refused; asking again does not help.
    #[error("refused: {0}")]
    Refused(String),
    /// No connection was made: no interface endpoint in the subnets, no such name, nobody listens.
    #[error("the queue is out of reach")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Asked, and not answered: the time was over, the connection lost, or it failed over there. Whether it was sent is
    /// not known.
    #[error("the queue gave no answer")]
    NoAnswer(#[source] Box<dyn Error + Send + Sync>),
    /// The deadline was over before all was sent.
    #[error("the deadline passed")]
    Deadline,
    /// The directory of a file queue could not be read, or not be written.
    #[error("the queue's directory failed")]
    Directory(#[from] io::Error),
}
