//! The control plane: what ElastiCache's API tells of a cluster, and how nodes are asked for and taken away.
//!
//! ```text
//!                                ┌─ ElastiCache ──▶ the API, signed: DescribeCacheClusters, DescribeEvents,
//!  describe, events        ──▶   │                  ModifyCacheCluster
//!  grow_to, remove_nodes         │
//!        ControlPlane            └─ Local ────────▶ control.sock of a cluster that `larder local up` runs
//! ```
//!
//! A client needs none of this: it finds its nodes by the configuration endpoint, which answers where the API does not.
//! The API tells what that endpoint cannot: what is *about* to change, what has happened, and whether notices arrive.
//! In private subnets it is reached through an interface endpoint that may not be there, so its absence is an error of
//! its own, [`ControlError::Unreachable`], and comes soon.
//!
//! Nothing is connected or loaded before the first call, no connection outlives its call, and nothing is read from the
//! environment: what a function is told, [`settings`] reads from values at hand.
//!
//! ```no_run
//! # async fn example(control: larder_control::ControlPlane) -> Result<(), larder_control::ControlError> {
//! let state = control.describe().await?;
//! if state.takes_changes() {
//!     control.grow_to(state.node_count + 1).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `control_plane.rs` | [`ControlPlane`]: the four calls, to one of the two sides |
//! | `elasticache.rs`, `translate.rs`, `fault.rs` | the API: calls, what its answers mean, what its errors mean |
//! | `local.rs` | the control socket of a local cluster |
//! | `state.rs`, `error.rs` | what is told, and what can go wrong |
//! | `settings.rs` | which side a function is told to use |

mod control_plane;
mod elasticache;
mod error;
mod fault;
mod local;
pub mod settings;
mod state;
mod translate;

pub use control_plane::ControlPlane;
pub use elasticache::{ApiConfig, ElastiCache, MAX_EVENTS};
pub use error::ControlError;
pub use larder_lambda::aws::Credentials;
pub use local::Local;
pub use state::{ClusterEvent, ClusterState, ClusterStatus, Node, NodeId, NodeStatus, Pending, Topic};
