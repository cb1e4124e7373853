//! The changes of nodes that a run makes.

use clap::ValueEnum;
use fastrand::Rng;
use larder_local::{LocalCluster, LocalError, NodeId};
use serde::Serialize;
use std::fmt::{self, Display};
use std::time::Duration;
use tokio::time::sleep;

/// A kind of change.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A node more.
    Add,
    /// The last node goes.
    Remove,
    /// An empty node takes a node's place, under its name, at another address.
    Replace,
    /// A node dies; half of the time later it is replaced, as ElastiCache does.
    Kill,
    /// A node restarts, at its address, empty.
    Reboot,
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "a node is added",
            Self::Remove => "the last node is removed",
            Self::Replace => "a node is replaced",
            Self::Kill => "a node is killed",
            Self::Reboot => "a node is restarted",
        })
    }
}

impl Kind {
    /// All of them, in an order in which each can be made and keys come back to nodes that had them before.
    pub(crate) const ALL: [Self; 5] = [Self::Add, Self::Remove, Self::Replace, Self::Kill, Self::Reboot];
}

/// A change of one node of a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    /// The node that is changed; for [`Kind::Add`], which has none yet, any.
    pub(crate) node: NodeId,
    /// How long a killed node stays dead.
    pub(crate) dead_for: Duration,
}

impl Change {
    /// A change of `kind`, of the last node or one by chance.
    pub(crate) fn choose(
        kind: Kind,
        cluster: &LocalCluster,
        dead_for: Duration,
        random: &mut Rng,
    ) -> Result<Self, LocalError> {
        let nodes = cluster.nodes();
        let node = match kind {
            Kind::Remove => nodes.last(),
            Kind::Add | Kind::Replace | Kind::Kill | Kind::Reboot => random.choice(&nodes),
        };
        let node = node.ok_or(LocalError::NodeCount)?.id;
        Ok(Self { kind, node, dead_for })
    }

    /// Makes the change; the configuration endpoint lists it when this returns.
    pub(crate) async fn make(&self, cluster: &LocalCluster) -> Result<(), LocalError> {
        match self.kind {
            Kind::Add => cluster.add_node().await.map(drop),
            Kind::Remove => cluster.remove_node(self.node).await.map(drop),
            Kind::Replace => cluster.replace_node(self.node).await.map(drop),
            Kind::Reboot => cluster.reboot_node(self.node).await.map(drop),
            Kind::Kill => {
                cluster.kill_node(self.node).await?;
                sleep(self.dead_for).await;
                bring_back(cluster, self.node).await
            }
        }
    }
}

/// Replaces a dead node, or restarts it where this machine has no address for a replacement.
async fn bring_back(cluster: &LocalCluster, node: NodeId) -> Result<(), LocalError> {
    match cluster.replace_node(node).await {
        Err(LocalError::NoSecondAddress) => cluster.reboot_node(node).await.map(drop),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_local::{NodeState, Options};

    #[tokio::test]
    async fn every_change_leaves_a_cluster_of_running_nodes() {
        let cluster = LocalCluster::start(Options { nodes: 2, ..Options::default() }).await.unwrap();
        let mut random = Rng::with_seed(3);
        for (kind, nodes) in Kind::ALL.into_iter().zip([3, 2, 2, 2, 2]) {
            if kind == Kind::Replace && !cfg!(target_os = "linux") {
                continue;
            }
            let before = cluster.nodes();
            let change = Change::choose(kind, &cluster, Duration::ZERO, &mut random).unwrap();
            change.make(&cluster).await.unwrap();
            let after = cluster.nodes();
            assert_eq!(after.len(), nodes, "{kind:?}");
            assert!(after.iter().all(|node| node.state == NodeState::Running), "{kind:?}");
            let pids =
                |nodes: &[larder_local::NodeStatus]| nodes.iter().map(|node| node.pid).collect::<Vec<_>>();
            assert_ne!(pids(&before), pids(&after), "{kind:?}");
        }
    }
}
