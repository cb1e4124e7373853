//! Adds a node to the cluster, or takes one away without a dip: by an alarm or by hand.
//!
//! ```text
//!  alarm's message ─┐              ┌─ out ─▶ ControlPlane::grow_to            (the notice of the new node does the rest)
//!                   ├─▶ ask ─▶ plan┤
//!  {"nodes": ±1} ───┘              ├─ in ──▶ Ring::retire ─▶ ControlPlane::remove_nodes
//!                                  │            ▲                  │ refused
//!                                  │            └── Ring::restore ◀┘
//!                                  └─ not now ─▶ why
//! ```
//!
//! One node at a time, and none while the cluster is being changed, while anything waits to be changed, at a bound, or
//! within the cool-down ([`settings`]). Going in, the node that was made last goes: the others are warmed with what it
//! holds and the ring is switched *before* it is taken away. Where an earlier run was cut off in between, the node that
//! it left out of the ring goes first, cool-down or not; going out, it is taken back into the ring instead of a new
//! one.
//!
//! | event | what it asks for |
//! | --- | --- |
//! | `{"nodes": 1}`, `{"nodes": -1}` | a node more, a node less |
//! | an alarm named in the settings that went to `ALARM`: by SNS, as a direct alarm action, or by EventBridge | the same, as the settings say |
//! | any other message of SNS | nothing; the answer says what it was |
//! | one of these by SQS, or in another envelope ([`envelope`](larder_lambda::envelope)) | the same; of SQS, what cannot be read or fails is reported by its id |
//!
//! The ring document tells when the last change was. Where it cannot be read nothing is changed, and the invocation
//! fails; where it is lost, or has not followed the nodes yet, the cluster's last event counts instead. Two runs at
//! once in one direction take away the same node, or ask for the same number of nodes. In opposite directions one may
//! take the node back into the ring that the other one removes; ring-refresh then publishes the ring without it.
//!
//! The answer says what was done ([`answer`]). What ought to have worked and did not is an error of the invocation
//! ([`Failure`]): of an alarm's message Lambda then makes another try, which finds the cluster as it is by then, so a
//! repetition does no harm. An alarm speaks once, when its state changes: a step that is refused here, by the cool-down
//! say, is not asked for again before the alarm has been quiet.

pub mod answer;
mod app;
pub mod ask;
mod failure;
mod handle;
pub mod metrics;
pub mod plan;
mod published;
mod ring;
pub mod settings;

pub use app::App;
pub use failure::Failure;
pub use handle::{Handled, RESERVE, SHORTEST_RETIREMENT, Work, handle};
pub use published::PublishedRing;
pub use ring::{Retired, Ring, RingError, RingState};
