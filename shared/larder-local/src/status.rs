//! What a cluster looks like from outside, as it is printed and sent over the control socket.

use crate::NodeId;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A cluster at one moment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// The name of the cluster; the id in its notices.
    pub name: String,
    /// Where the configuration endpoint listens: an address to connect to as it stands.
    pub config_endpoint: SocketAddr,
    /// The name of the configuration endpoint in the hosts file.
    pub config_name: String,
    /// The version in the configuration.
    pub config_version: u64,
    /// The file, in the format of `/etc/hosts`, in which the names stand. Written anew at every change.
    pub hosts_file: PathBuf,
    /// The process that holds the cluster.
    pub pid: u32,
    /// The listed nodes, sorted by name.
    pub nodes: Vec<NodeStatus>,
}

/// One node at one moment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeStatus {
    /// Its number.
    pub id: NodeId,
    /// Its host name, which a replacement keeps.
    pub name: String,
    /// Its address now.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// `ip:port`, to connect to as it stands.
    pub endpoint: SocketAddr,
    /// Whether it answers.
    pub state: NodeState,
    /// The memcached process, or the last one if it has ended.
    pub pid: u32,
    /// The version that memcached names.
    pub version: String,
}

/// Whether a node answers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It answers.
    Running,
    /// Its process is stopped: connections are taken and nothing is answered.
    Paused,
    /// Its process has ended: connections are refused, and it stays listed.
    Failed,
}

impl NodeState {
    /// The word that stands for it in print.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }
}
