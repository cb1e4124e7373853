//! The ring documents on the nodes of a cluster.

use anyhow::bail;
use futures_util::future::join_all;
use larder_client::{Cluster, DirectNode, Error, HeldDocument};
use larder_ring::{Phase, RingDocument, RingNode};

/// What every node holds, asked node by node: one that fails keeps no other back.
pub(crate) struct Documents {
    /// The nodes that discovery lists, in its order, then those that only a document names.
    pub(crate) nodes: Vec<Holder>,
}

/// A node, and what it holds.
pub(crate) struct Holder {
    pub(crate) id: RingNode,
    pub(crate) node: DirectNode,
    /// `None` where it holds nothing.
    pub(crate) held: Result<Option<HeldDocument>, Error>,
}

impl Documents {
    /// Asks the configuration endpoint for the nodes, and the nodes for their documents; then those nodes that the
    /// latest document names and nobody listed, a few times at most.
    pub(crate) async fn ask(cluster: &Cluster) -> anyhow::Result<Self> {
        let Some(topology) = cluster.discover().await?.filter(|topology| !topology.is_single()) else {
            bail!(
                "the endpoint knows of no cluster, so there is no ring document: name a configuration endpoint"
            )
        };
        let listed = topology.nodes().iter();
        let listed = listed
            .map(|node| RingNode { ip: node.ip.clone(), ..RingNode::new(node.host.clone(), node.port) });
        let mut documents = Self { nodes: holders(cluster, listed).await };
        for _ in 0..MOST_GENERATIONS {
            let named = documents.in_force().map(RingDocument::all_nodes).unwrap_or_default();
            let unknown: Vec<_> = named.into_iter().filter(|id| !documents.has(id)).collect();
            if unknown.is_empty() {
                break;
            }
            documents.nodes.extend(holders(cluster, unknown).await);
        }
        Ok(documents)
    }

    /// The document in force: the latest one. `None` where no node holds one that can be read.
    pub(crate) fn in_force(&self) -> Option<&RingDocument> {
        let held = self.nodes.iter().filter_map(Holder::document);
        held.reduce(|one, other| if other.is_later_than(one) { other } else { one })
    }

    /// Whether a node could not be asked, so that it may hold a later document.
    pub(crate) fn has_silent(&self) -> bool {
        self.nodes.iter().any(|node| node.held.is_err())
    }

    fn has(&self, id: &RingNode) -> bool {
        self.nodes.iter().any(|node| node.id.identity() == id.identity())
    }
}

impl Holder {
    /// What it holds, if that is a document.
    pub(crate) fn document(&self) -> Option<&RingDocument> {
        self.held.as_ref().ok()?.as_ref()?.document.as_ref().ok()
    }
}

async fn holders(cluster: &Cluster, ids: impl IntoIterator<Item = RingNode>) -> Vec<Holder> {
    let asked = ids.into_iter().map(|id| async {
        let node = cluster.direct(&id);
        let held = node.document().await;
        Holder { id, node, held }
    });
    join_all(asked).await
}

/// The phase as a document names it.
pub(crate) fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Active => "active",
        Phase::Joining => "joining",
        Phase::Warming => "warming",
        Phase::Leaving => "leaving",
    }
}

/// `host:port`.
pub(crate) fn place_of(node: &RingNode) -> String {
    RingNode::new(node.host.clone(), node.port).to_string()
}

/// Several of them.
pub(crate) fn places_of(nodes: &[RingNode]) -> String {
    nodes.iter().map(place_of).collect::<Vec<_>>().join(" ")
}

/// How often a document may name nodes that nobody listed.
const MOST_GENERATIONS: usize = 4;
