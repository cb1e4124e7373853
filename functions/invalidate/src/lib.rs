//! Has the cache forget what a failed invalidation left, until it is done; or keys that are named by hand.
//!
//! ```text
//!  messages of SQS ─┐              ┌─ all keys forgotten ──▶ done: SQS deletes the message
//!                   ├─▶ ask ─▶ run ┤
//!  {"keys": […]} ───┘              ├─ some are left ───────▶ reported: SQS hands the message over again
//!                                  └─ malformed ───────────▶ reported: ends in the dead-letter queue
//! ```
//!
//! | event | what it asks for |
//! | --- | --- |
//! | a batch of SQS, each message one that [`Invalidation::encode`](larder_cache::Invalidation::encode) wrote | each by itself |
//! | messages of SNS that say the same | the same; the invocation fails where any key is left, so that Lambda tries again and keeps what fails |
//! | `{"keys": ["flights:17"]}`, with `"soft_secs": 30` where the value may live on as stale | the same for these keys |
//!
//! A message may stand in an envelope of SNS, EventBridge or a Lambda destination
//! ([`envelope`](larder_lambda::envelope)); a custom event of EventBridge has the keys in its `detail`.
//!
//! A message is done or not, as a whole: keys of it that are forgotten twice do no harm. What there is no time for is
//! reported without asking a node, so a batch that begins late ends in time. Nothing is to be done about what has been
//! loaded in between; [`Invalidation`](larder_cache::Invalidation) says why.
//!
//! The event source must report failures by message (`ReportBatchItemFailures`): without it Lambda takes every answer
//! as success of the whole batch, and what is left would be lost.

pub mod answer;
pub mod ask;
mod failure;
mod handle;
pub mod metrics;
pub mod settings;

pub use failure::Failure;
pub use handle::{Handled, Work, handle};
