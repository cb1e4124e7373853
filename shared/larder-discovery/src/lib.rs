//! What ElastiCache says about its nodes: the configuration payload, its changes, and notices.
//!
//! A configuration endpoint answers `config get cluster` with a frame around a short text. The frame is
//! `larder-meta`'s business; the text becomes a [`Topology`] here, and two of them become a [`TopologyDiff`].
//!
//! ```text
//! CONFIG cluster 0 136\r\n                            ┐ frame, read by its length
//! 12\n                                                │ ┐ config version
//! name.0001.…|10.82.235.120|11211 name.0002.…|…\n     │ ┘ host|ip|port, one blank between nodes
//! \r\nEND\r\n                                         ┘
//! ```
//!
//! What happens to a cluster ElastiCache also says by itself, through SNS. The text of such a message becomes a
//! [`Notice`], whose [`Effect`] says what to do about it.
//!
//! ```text
//! {"ElastiCache:AddCacheNodeComplete":"larder"}
//!               └─ event               └─ cluster
//! ```
//!
//! Nothing here touches a socket, a clock or the environment: bytes go in, values come out.
//!
//! ```
//! use larder_discovery::Topology;
//!
//! let before = Topology::parse(b"12\na.0001.cache|10.0.0.1|11211 a.0002.cache|10.0.0.2|11211\n")?;
//! let after = Topology::parse(b"12\na.0001.cache|10.0.0.9|11211 a.0002.cache|10.0.0.2|11211\n")?;
//!
//! // A node replaced in place keeps its name, and the config version with it: only the whole text tells.
//! assert_eq!(before.version(), after.version());
//! assert_ne!(before, after);
//! assert_eq!(before.diff(&after).moved[0].node.to_string(), "a.0001.cache:11211");
//! # Ok::<(), larder_discovery::MalformedTopology>(())
//! ```

mod diff;
mod event;
mod malformed;
mod malformed_notice;
mod node;
mod notice;
mod topology;

pub use diff::{Moved, TopologyDiff, VersionStep};
pub use event::{Effect, Event};
pub use malformed::{MalformedNode, MalformedTopology};
pub use malformed_notice::{MAX_EXCERPT_LEN, MalformedNotice, NoticeFault};
pub use node::{MAX_FIELD_LEN, Node};
pub use notice::{MAX_ID_LEN, MAX_NAME_LEN, MAX_NOTICE_LEN, Notice};
pub use topology::{MAX_NODES, MAX_PAYLOAD_LEN, Topology};
