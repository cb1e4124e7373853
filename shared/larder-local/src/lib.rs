//! A local ElastiCache: real memcached processes behind a configuration endpoint.
//!
//! ```text
//!   client ──▶ endpoint   127.0.0.1:P ─┐             config get cluster: answered here,
//!   client ──▶ node 0001  127.0.0.2:P ─┼─▶ door ──▶  in ElastiCache's bytes; all else: memcached
//!   client ──▶ node 0002  127.0.0.3:P ─┘   each connection has its own to memcached, over a Unix socket
//! ```
//!
//! As on ElastiCache, every node answers for the configuration, and the endpoint is one more name of a node. So each
//! memcached process stands behind a door of ours, which reads requests just far enough to find those questions and
//! never reads a reply. **The door costs time**: one more hop on the way, which takes a round trip over loopback from
//! 16 to 30 µs in an optimised build, so figures about speed come from memcached itself and not from here. In behaviour
//! it is not to be seen: bytes, order, ends of streams and refused connections are the node's own.
//!
//! Nothing of the wire is shared with Larder's client: a mistake made on both sides would hide.
//!
//! Names stand in a file of the format of `/etc/hosts`; the machine's own is never touched. No process outlives the one
//! that started it, whatever ends that (see `watchdog`).
//!
//! ```
//! use larder_local::{LocalCluster, NodeId, Options};
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = LocalCluster::start(Options { nodes: 2, ..Options::default() }).await?;
//! cluster.remove_node(NodeId(2)).await?;
//!
//! let mut client = TcpStream::connect(cluster.config_endpoint())?;
//! client.write_all(b"config get cluster\r\nquit\r\n")?;
//! let mut reply = String::new();
//! client.read_to_string(&mut reply)?;
//!
//! let node = &cluster.nodes()[0];
//! let payload = format!("2\nlarder.local.0001.cache.internal|{}|{}\n", node.ip, node.port);
//! assert_eq!(reply, format!("CONFIG cluster 0 {}\r\n{payload}\r\nEND\r\n", payload.len()));
//! # Ok(())
//! # }
//! ```

mod addresses;
mod cluster;
mod config;
mod control;
mod error;
mod fleet;
mod front;
mod hosts;
mod memcached;
mod node_id;
mod notice;
mod options;
mod post;
mod requests;
mod status;
mod watchdog;
mod work_dir;

pub use cluster::LocalCluster;
pub use config::ConfigReply;
pub use control::{AskError, Control, Request, ask};
pub use error::LocalError;
pub use node_id::{InvalidNodeId, NodeId};
pub use options::Options;
pub use post::{FunctionUrl, InvalidFunctionUrl};
pub use status::{NodeState, NodeStatus, Status};
pub use watchdog::Watchdog;
pub use work_dir::cluster_dir;

/// The most nodes a cluster has: ElastiCache's own default quota.
pub const MAX_NODES: usize = 40;

/// The longest name of a cluster, as on ElastiCache.
pub const MAX_NAME_LEN: usize = 50;
