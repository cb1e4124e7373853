//! The queue, seen by whoever has something to send.

use larder_cache::Invalidation;
use tokio::time::Instant;

use crate::{FileQueue, QueueError, Sqs};

/// Keeps what is sent until somebody has done it.
pub trait Queue {
    /// Sends `invalidation`, in as many messages as it takes, by `deadline`. None is sent of one without keys.
    ///
    /// After an error any of the messages may have been sent; the whole may be sent again. The same if the future is
    /// dropped.
    fn send(
        &self,
        invalidation: &Invalidation,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// The queue that a URL names.
///
/// A call of the API lives on the heap, for the SDK's futures are large, and so deeply nested that a handler around
/// them would not compile.
#[derive(Debug)]
pub enum InvalidationQueue {
    /// A queue of SQS.
    Sqs(Sqs),
    /// A directory on the own machine.
    File(FileQueue),
}

impl Queue for InvalidationQueue {
    async fn send(&self, invalidation: &Invalidation, deadline: Instant) -> Result<(), QueueError> {
        match self {
            Self::Sqs(sqs) => Box::pin(sqs.send(invalidation, deadline)).await,
            Self::File(file) => file.send(invalidation, deadline).await,
        }
    }
}
