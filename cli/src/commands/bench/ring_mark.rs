//! Which ring an environment routes by, and which it should.

use larder_client::Cluster;
use larder_local::Status;
use larder_ring::Epoch;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// A name for one ring, the same wherever it is seen; only good to be compared.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct RingMark(String);

impl RingMark {
    /// The ring that `cluster` routes by now; `None` where it knows of none yet.
    ///
    /// It is that of the ring document at hand; without one, that of the list of nodes, addresses included: after a
    /// replacement a name means another node.
    pub(crate) async fn routed_by(cluster: &Cluster) -> Option<Self> {
        if let Some(document) = cluster.ring_document().await.ok()? {
            return Some(Self::published(document.epoch));
        }
        let topology = cluster.topology().await.ok()??;
        let nodes = topology.nodes().iter();
        let nodes = nodes.map(|node| place(&node.host, node.port, node.ip.as_deref().unwrap_or("-")));
        Some(Self::of_list(topology.version(), nodes))
    }

    /// The ring that was published under `epoch`.
    pub(crate) fn published(epoch: Epoch) -> Self {
        Self(format!("epoch {epoch}"))
    }

    /// The ring of the nodes that the configuration endpoint lists.
    pub(crate) fn listed(status: &Status) -> Self {
        let nodes = status.nodes.iter().map(|node| place(&node.name, node.port, node.ip));
        Self::of_list(status.config_version, nodes)
    }

    fn of_list(version: u64, nodes: impl Iterator<Item = String>) -> Self {
        Self(format!("{version}: {}", nodes.collect::<Vec<_>>().join(" ")))
    }
}

fn place(host: &str, port: u16, ip: impl Display) -> String {
    format!("{host}:{port}@{ip}")
}

impl Display for RingMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_client::Config;
    use larder_local::{LocalCluster, NodeId, Options};
    use std::time::Duration;

    #[tokio::test]
    async fn both_sides_give_a_ring_the_same_name_and_a_replacement_changes_it() {
        let local = LocalCluster::start(Options { nodes: 2, ..Options::default() }).await.unwrap();
        let endpoint = local.config_endpoint().to_string().parse().unwrap();
        let hosts_file = Some(local.hosts_file());
        let discovery_interval = Duration::ZERO;
        let config = Config { hosts_file, discovery_interval, ..Config::new(endpoint) };
        let cluster = Cluster::new(config).unwrap();
        let first = RingMark::listed(&local.status());
        assert_eq!(RingMark::routed_by(&cluster).await, Some(first.clone()));

        if cfg!(target_os = "linux") {
            local.replace_node(NodeId(1)).await.unwrap();
        } else {
            local.add_node().await.unwrap();
        }
        let second = RingMark::listed(&local.status());
        assert_eq!(RingMark::routed_by(&cluster).await, Some(second.clone()));
        assert_ne!(first, second);
    }
}
