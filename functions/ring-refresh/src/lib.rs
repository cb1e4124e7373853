//! Publishes the ring document, which says which ring all functions use, when cache nodes come, go, are replaced or
//! rebooted.
//!
//! ```text
//!  notices of ElastiCache ─┐
//!  a schedule ─────────────┼─▶ ask ─▶ Publisher::reconcile ─▶ answer
//!  {"reconcile": true} ────┘              │         │
//!                              discovery ◀┘         └▶ documents on the nodes, warm copies
//! ```
//!
//! A notice says when to look; what there is says discovery. So notices that come late, twice or in any order do no
//! harm, and one that is lost is made up for by the schedule. A run that ends early is finished by the next one, for
//! all that it knows stands on the nodes.
//!
//! | event | what is done |
//! | --- | --- |
//! | notices of ElastiCache by SNS, or by SQS | the ring is brought to what is listed if one of them says that nodes changed; the others are counted and logged |
//! | an event of a schedule, `{"reconcile": true}`, either by SNS or SQS, too | the ring is brought to what is listed |
//! | anything else | an error |
//!
//! Any of these may stand in an envelope of SNS, EventBridge or a Lambda destination
//! ([`envelope`](larder_lambda::envelope)), as it does where a dead letter is sent again. What cannot be read is
//! counted and logged, and the rest is done first. Then a message of SQS is reported by its id, so that it ends in the
//! dead-letter queue. In an event of SNS a text that is no notice fails nothing: another try reads no more, and the
//! schedule makes up for it. A record of another service fails the invocation, which sends it to the dead letters.
//! Where the function may ask ElastiCache's API, it compares what that says with the ring, and says so where the topic
//! of the notices is not active; an API that cannot be reached is no failure. What the function is told by its
//! environment stands in [`settings`].

pub mod answer;
mod app;
pub mod ask;
mod compare;
mod failure;
mod handle;
pub mod metrics;
pub mod settings;

pub use app::App;
pub use compare::Comparison;
pub use failure::Failure;
pub use handle::{Handled, Work, handle};
