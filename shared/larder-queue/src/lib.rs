//! Where invalidations that failed wait to be repeated.
//!
//! ```text
//!                                   ┌─ Sqs ────────▶ SendMessageBatch ─▶ functions/invalidate
//!  what is left ──▶ Queue::send ──▶ │
//!                                   └─ FileQueue ──▶ a file each       ─▶ larder invalidate
//! ```
//!
//! Between two invocations nothing runs on Lambda, so what could not be done is not kept in memory for later: it is
//! sent away within the same invocation, to where it outlives the environment. [`Queue::send`] has returned well only
//! if it does.
//!
//! ```no_run
//! # async fn example(cache: larder_cache::Cache) -> Result<(), Box<dyn std::error::Error>> {
//! use larder_cache::{Forget, Invalidation};
//! use larder_client::Key;
//! use larder_queue::{FileQueue, Queue};
//! use tokio::time::{Duration, Instant};
//!
//! let queue = FileQueue::new("/var/lib/larder/queue");
//! let deadline = Instant::now() + Duration::from_secs(2);
//! let invalidation = Invalidation { keys: vec![Key::compose(["flights", "17"])?], how: Forget::Hard };
//! // The origin has committed.
//! if let Some(left) = cache.invalidate(&invalidation, deadline - Duration::from_secs(1)).await.left {
//!     queue.send(&left, deadline).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A message may come twice, late, and out of order; [`Invalidation`](larder_cache::Invalidation) says why that does no
//! harm.
//!
//! | file | holds |
//! | --- | --- |
//! | `queue.rs` | [`Queue`], and [`InvalidationQueue`], the one that was chosen |
//! | `config.rs` | [`QueueConfig`]: a queue by its URL |
//! | `sqs.rs`, `fault.rs` | [`Sqs`]: calls, and what its errors mean |
//! | `file.rs` | [`FileQueue`], and [`Waiting`] messages of it |
//! | `error.rs` | [`QueueError`]: what can go wrong |
//! | `settings.rs` | which queue a function is told to use |

mod config;
mod error;
mod fault;
mod file;
mod queue;
pub mod settings;
mod sqs;

pub use config::{InvalidQueueUrl, QueueConfig};
pub use error::QueueError;
pub use file::{FileQueue, Waiting};
pub use larder_lambda::aws::Credentials;
pub use queue::{InvalidationQueue, Queue};
pub use sqs::{Sqs, SqsConfig};
