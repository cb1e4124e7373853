//! What can go wrong with a local cluster.

use crate::NodeId;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a cluster could not be started or changed. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The memcached program could not be started.
    #[error("could not start {}: install memcached, or name the program in MEMCACHED", program.display())]
    Program {
        /// The program that was tried.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// memcached ended, or stayed silent, instead of answering its first question.
    #[error("memcached did not come up: {reason}; it printed: {printed}")]
    NotReady {
        /// How it ended, or how long it was awaited.
        reason: String,
        /// The end of what it printed.
        printed: String,
    },
    /// An address could not be listened on.
    #[error("could not listen on {address}: choose another port, or 0 to let the system choose")]
    Listen {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// This machine has no second loopback address for a replacement.
    #[error(
        "a replaced node gets a new address and this machine has only 127.0.0.1: \
         add one (`sudo ifconfig lo0 alias 127.0.0.2 up` on macOS) and try again"
    )]
    NoSecondAddress,
    /// The number is not, or no longer, that of a node.
    #[error("there is no node {0}; `larder local status` lists the nodes")]
    UnknownNode(NodeId),
    /// The node has failed, and only a reboot or a replacement brings it back.
    #[error("node {0} has failed: reboot or replace it first")]
    NotRunning(NodeId),
    /// The last node was to be removed.
    #[error("a cluster keeps at least one node")]
    LastNode,
    /// More nodes than ElastiCache gives one cluster.
    #[error("a cluster has 1 to {max} nodes", max = crate::MAX_NODES)]
    NodeCount,
    /// The name would not do as a part of a host name.
    #[error("a cluster's name is 1 to {max} letters, digits and hyphens: {0:?} is not", max = crate::MAX_NAME_LEN)]
    Name(String),
    /// Another process holds a cluster in this directory.
    #[error("a cluster already runs in {}: give this one another name", .0.display())]
    AlreadyRunning(PathBuf),
    /// The directory for sockets and the hosts file could not be used.
    #[error("could not use the directory {}", path.display())]
    Dir {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The path of the directory leaves no room for a socket's name in it.
    #[error("the path {} is too long for a socket: choose a shorter directory", .0.display())]
    DirTooLong(PathBuf),
    /// A part of the system that the cluster stands on failed.
    #[error("could not {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The cluster has ended.
    #[error("the cluster has ended")]
    Ended,
}
