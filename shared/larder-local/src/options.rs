//! What a cluster is started with.

use crate::{FunctionUrl, LocalError, MAX_NAME_LEN, MAX_NODES};
use std::env;
use std::path::PathBuf;

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name: the first part of host names, the id in notices. Letters, digits and hyphens.
    pub name: String,
    /// How many nodes to start with, 1 to [`MAX_NODES`].
    pub nodes: usize,
    /// The port of the endpoint and, where each node can have an address of its own, of every node. 0 lets the system
    /// choose a port for each.
    pub port: u16,
    /// Where sockets, logs and the hosts file live, made if missing. `None` is a fresh one that goes with the cluster.
    pub dir: Option<PathBuf>,
    /// The memcached program. The default is what `MEMCACHED` names, or the one on `PATH`.
    pub memcached: PathBuf,
    /// The memory for items of each node, in MiB.
    pub memory_mib: u32,
    /// More arguments for memcached, after the cluster's own.
    pub memcached_args: Vec<String>,
    /// The first version in the configuration. ElastiCache starts low again for a cluster that is made anew.
    pub config_version: u64,
    /// The function that gets a notice of every change.
    pub notify: Option<FunctionUrl>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "larder".into(),
            nodes: 3,
            port: 0,
            dir: None,
            memcached: env::var_os("MEMCACHED").map_or_else(|| "memcached".into(), PathBuf::from),
            memory_mib: 64,
            memcached_args: Vec::new(),
            config_version: 1,
            notify: None,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), LocalError> {
        if !(1..=MAX_NODES).contains(&self.nodes) {
            return Err(LocalError::NodeCount);
        }
        check_name(&self.name)
    }
}

/// A name becomes part of host names and of a path, so it holds nothing that means something there.
pub(crate) fn check_name(name: &str) -> Result<(), LocalError> {
    let fits = (1..=MAX_NAME_LEN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { Ok(()) } else { Err(LocalError::Name(name.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_leave_its_directory_or_break_a_host_name_is_refused() {
        for name in ["", "../x", "a b", "a.b", "a|b", &"a".repeat(MAX_NAME_LEN + 1)] {
            let options = Options { name: name.into(), ..Options::default() };
            assert!(matches!(options.check(), Err(LocalError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_cluster_without_nodes_or_with_too_many_is_refused() {
        for nodes in [0, MAX_NODES + 1] {
            let options = Options { nodes, ..Options::default() };
            assert!(matches!(options.check(), Err(LocalError::NodeCount)), "{nodes}");
        }
    }
}
