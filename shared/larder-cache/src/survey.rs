//! A look at a cluster: which nodes there are, and which ring document each of them holds.

use std::net::IpAddr;

use futures_util::future::join_all;
use larder_client::{Cluster, DirectNode, Error, HeldVersion, NodeError, Stored};
use larder_ring::{MalformedDocument, RingDocument, RingKind, RingNode};

use crate::publisher::PublishError;

/// What the nodes hold.
pub(crate) struct Survey {
    pub(crate) listed: Vec<RingNode>,
    pub(crate) nodes: Vec<Surveyed>,
    /// Machines that live on although others have taken their places, at other addresses: who is connected to one does
    /// not know.
    pub(crate) predecessors: Vec<Surveyed>,
    /// The latest document on any of them.
    pub(crate) current: Option<RingDocument>,
}

/// What a look at one node has shown.
pub(crate) struct Surveyed {
    pub(crate) id: RingNode,
    pub(crate) node: DirectNode,
    pub(crate) held: Held,
}

/// What one node holds.
pub(crate) enum Held {
    /// A document.
    Document(Box<RingDocument>, HeldVersion),
    /// Something that is no document.
    Malformed(HeldVersion, MalformedDocument),
    /// Nothing.
    Nothing,
    /// Nothing, for it is dead: connections are refused, and with the process its memory is gone.
    Dead,
    /// That is not known. Others may reach it.
    Silent,
}

impl Held {
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::Dead | Self::Silent)
    }
}

impl Survey {
    /// Asks discovery for the nodes, and the nodes for their documents.
    pub(crate) async fn take(cluster: &Cluster) -> Result<Self, PublishError> {
        let topology = cluster.discover().await.map_err(PublishError::Nodes)?;
        let topology = topology.filter(|topology| !topology.is_single()).ok_or(PublishError::NoCluster)?;
        let kind = cluster.ring_kind();
        let listed: Vec<RingNode> =
            topology.nodes().iter().map(|node| ring_node(kind, node.id(), node.ip.as_ref())).collect();
        let mut nodes = ask(cluster, listed.clone()).await;
        let remembered = cluster.ring_document().await.map_err(PublishError::Nodes)?;
        let mut current = latest(&nodes, remembered.as_ref());
        // What is not listed any more may still answer, and may know of others.
        for _ in 0..MOST_GENERATIONS {
            let known = |id: &RingNode| nodes.iter().any(|node| node.id.identity() == id.identity());
            let unknown: Vec<_> =
                current.iter().flat_map(RingDocument::all_nodes).filter(|id| !known(id)).collect();
            if unknown.is_empty() {
                break;
            }
            nodes.extend(ask(cluster, unknown).await);
            current = latest(&nodes, remembered.as_ref());
        }
        if let Some(format) = nodes.iter().find_map(Surveyed::other_format) {
            return Err(PublishError::Format(format));
        }
        nodes.sort_by(|one, other| one.node.name().cmp(other.node.name()));
        let known = current.as_ref().map(RingDocument::all_nodes).unwrap_or_default();
        let listed = Box::pin(with_addresses(cluster, listed, &known)).await;
        let predecessors = match &current {
            Some(current) => Box::pin(ask_at_addresses(cluster, replaced(current, &listed))).await,
            None => Vec::new(),
        };
        Ok(Self { listed, nodes, predecessors, current })
    }

    pub(crate) fn unreachable(&self) -> impl Iterator<Item = &Surveyed> {
        self.nodes.iter().filter(|node| !node.held.is_known())
    }

    /// The nodes that do not answer, which does not say that they are dead.
    pub(crate) fn silent(&self) -> Vec<RingNode> {
        let silent = self.nodes.iter().filter(|node| matches!(node.held, Held::Silent));
        silent.map(|node| node.id.clone()).collect()
    }

    /// How many items the nodes hold that answer.
    pub(crate) async fn count_items(&self, cluster: &Cluster) -> u64 {
        let Ok(stats) = cluster.stats(None).await else { return 0 };
        let stats = stats.into_iter().filter_map(|node| node.stats.ok()).flatten();
        let counts = stats.filter(|(name, _)| name == "curr_items");
        counts.filter_map(|(_, count)| count.parse::<u64>().ok()).sum()
    }

    fn is_unreachable(&self, id: &RingNode) -> bool {
        self.unreachable().any(|node| node.id.identity() == id.identity())
    }

    /// Whether no node holds the document in force: all have lost it, or it stands on one that is silent.
    pub(crate) fn is_held_by_nobody(&self) -> bool {
        !self.nodes.iter().any(|node| matches!(node.held, Held::Document(..)))
    }

    pub(crate) fn is_listed(&self, id: &RingNode) -> bool {
        id.is_in(&self.listed)
    }

    /// The nodes that are listed, but for new ones that do not answer yet. One that the ring has, and that fails, keeps
    /// its place.
    pub(crate) fn answering_or_known(&self, current: &RingDocument) -> Vec<RingNode> {
        let known = current.all_nodes();
        self.listed.iter().filter(|id| id.is_in(&known) || !self.is_unreachable(id)).cloned().collect()
    }

    /// Whether a node is listed that `current` leaves out without a reason, which is that it does not answer.
    pub(crate) fn leaves_out(&self, current: &RingDocument) -> bool {
        self.listed.iter().any(|id| !id.is_in(&current.nodes) && !id.is_in(&current.retired))
    }

    /// The nodes of `current` that do not answer and are not listed, or are dead and have not come to own anything yet.
    ///
    /// A new node that is silent is not lost while it is listed: those who reach it go by the document that it holds,
    /// and may not be left two steps behind.
    pub(crate) fn lost(&self, current: &RingDocument) -> Vec<RingNode> {
        let is_new = |node: &Surveyed| !node.id.is_in(&current.nodes);
        let is_dead = |node: &Surveyed| matches!(node.held, Held::Dead);
        let is_lost = |node: &&Surveyed| !self.is_listed(&node.id) || is_new(node) && is_dead(node);
        let all = current.all_nodes();
        let lost = self.unreachable().filter(|node| node.id.is_in(&all)).filter(is_lost);
        lost.map(|node| node.id.clone()).collect()
    }

    /// Whether a node holds up the step from `current` to another document, for it may hold an older one yet, and
    /// somebody look there.
    pub(crate) fn is_held_up(&self, current: &RingDocument) -> bool {
        let (all, lost) = (current.all_nodes(), self.lost(current));
        let is_looked_at = |id: &RingNode| id.is_in(&all) || id.is_in(&current.retired);
        self.unreachable().any(|node| is_looked_at(&node.id) && !node.id.is_in(&lost))
    }

    /// The nodes of `current` that are off the list and silent, which does not say that they are dead.
    pub(crate) fn vanished(&self, current: &RingDocument) -> Vec<RingNode> {
        let all = current.all_nodes();
        let mut vanished = self.silent();
        vanished.retain(|id| id.is_in(&all) && !self.is_listed(id));
        vanished
    }
}

impl Surveyed {
    /// The format of what the node holds, if it is not known here.
    fn other_format(&self) -> Option<u64> {
        match &self.held {
            Held::Malformed(_, MalformedDocument::Format(format)) => Some(*format),
            _ => None,
        }
    }

    /// Stores `document` in the place of what the node held when it was asked.
    pub(crate) async fn store(&self, document: &RingDocument) -> Result<Stored, Error> {
        let before = match &self.held {
            Held::Document(_, version) | Held::Malformed(version, _) => Some(version),
            Held::Nothing | Held::Dead | Held::Silent => None,
        };
        self.node.store_document(document, before).await
    }
}

/// A listed node. A cluster with TLS may list no addresses, or the name in the place of one; that is kept only for a ring
/// that is built on it.
fn ring_node(kind: RingKind, (host, port): (&str, u16), ip: Option<&String>) -> RingNode {
    let is_kept = |ip: &&String| kind.needs_ip() || ip.parse::<IpAddr>().is_ok();
    RingNode { ip: ip.filter(is_kept).cloned(), ..RingNode::new(host, port) }
}

/// The `listed` nodes with the addresses to which their names lead, where none are listed: nothing else would tell that
/// a node was replaced. A name that cannot be resolved keeps the address by which the node is `known`.
async fn with_addresses(cluster: &Cluster, listed: Vec<RingNode>, known: &[RingNode]) -> Vec<RingNode> {
    let named = listed.into_iter().map(|node| async {
        if node.ip.is_some() || cluster.ring_kind().needs_ip() || node.host.parse::<IpAddr>().is_ok() {
            return node;
        }
        let known = known.iter().find(|known| known.identity() == node.identity());
        let known = known.and_then(|known| known.ip.clone());
        let resolved = cluster.direct(&node).resolve().await;
        RingNode { ip: address_of(&resolved, known), ..node }
    });
    join_all(named).await
}

/// The address of a node whose name leads to the addresses `resolved`, if it is `known` by one so far. Of the same
/// family as that one, or IPv4 if there is any; where several do, none says which machine it is.
fn address_of(resolved: &[IpAddr], known: Option<String>) -> Option<String> {
    let before = known.as_deref().and_then(|known| known.parse::<IpAddr>().ok());
    let has_v4 = resolved.iter().any(IpAddr::is_ipv4);
    let is_v4 = before.map_or(has_v4, |before| before.is_ipv4());
    let mut of_family: Vec<&IpAddr> = resolved.iter().filter(|ip| ip.is_ipv4() == is_v4).collect();
    of_family.sort();
    of_family.dedup();
    match of_family[..] {
        [address] => Some(address.to_string()),
        _ => known,
    }
}

async fn ask(cluster: &Cluster, ids: Vec<RingNode>) -> Vec<Surveyed> {
    join_all(ids.into_iter().map(|id| ask_one(cluster.direct(&id), id))).await
}

/// Asks the machines at the addresses of `ids`; answers those that hold a document.
async fn ask_at_addresses(cluster: &Cluster, ids: Vec<RingNode>) -> Vec<Surveyed> {
    let nodes = ids.into_iter().filter_map(|id| Some(ask_one(cluster.direct_at_address(&id)?, id)));
    let mut asked = join_all(nodes).await;
    asked.retain(|node| matches!(node.held, Held::Document(..)));
    asked
}

async fn ask_one(node: DirectNode, id: RingNode) -> Surveyed {
    let held = match node.document().await {
        Ok(None) => Held::Nothing,
        Ok(Some(held)) => match held.document {
            Ok(document) => Held::Document(Box::new(document), held.version),
            Err(error) => Held::Malformed(held.version, error),
        },
        Err(error) => {
            let held = if is_refused(&error) { Held::Dead } else { Held::Silent };
            let error = &error as &dyn std::error::Error;
            tracing::warn!(node = node.name(), error, "node not asked for its ring document");
            held
        }
    };
    Surveyed { id, node, held }
}

/// The nodes of `current` as they stood at other addresses than those that are `listed`: in it, and in the reign that
/// is in force, which begins anew when everyone has left them.
fn replaced(current: &RingDocument, listed: &[RingNode]) -> Vec<RingNode> {
    let reign = current.history.last().map_or(&[][..], |reign| &reign.nodes);
    let is_elsewhere = |node: &&RingNode| {
        let now = listed.iter().find(|listed| listed.identity() == node.identity());
        now.is_some_and(|now| node.ip.is_some() && now.ip.is_some() && node.ip != now.ip)
    };
    let mut replaced: Vec<RingNode> =
        current.nodes.iter().chain(reign).filter(is_elsewhere).cloned().collect();
    replaced.sort();
    replaced.dedup();
    replaced
}

/// The latest document: on a node, or `remembered` from there if none holds it any more. Two that differ under one
/// epoch are the work of two runs of which one could not reach the node that decides, or of one that lost its memory in
/// between; environments take the one that was published later, and so do we.
fn latest(nodes: &[Surveyed], remembered: Option<&RingDocument>) -> Option<RingDocument> {
    let documents = nodes.iter().filter_map(|node| match &node.held {
        Held::Document(document, _) => Some(&**document),
        _ => None,
    });
    let held = documents.max_by_key(|document| (document.epoch, document.time_ms, document.encode()));
    let is_later = |one: &&RingDocument| held.is_none_or(|held| one.is_later_than(held));
    remembered.filter(is_later).or(held).cloned()
}

fn is_refused(error: &Error) -> bool {
    match error {
        Error::Node { source: NodeError::Connect(error), .. } => {
            error.kind() == std::io::ErrorKind::ConnectionRefused
        }
        _ => false,
    }
}

/// How often a document may name nodes that nobody listed.
const MOST_GENERATIONS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_one_address_of_its_family_to_which_its_name_leads() {
        for (resolved, known, expected) in [
            (&["10.0.0.1"][..], None, Some("10.0.0.1")),
            (&["10.0.0.2"], Some("10.0.0.1"), Some("10.0.0.2")),
            (&["::1", "10.0.0.2"], Some("10.0.0.1"), Some("10.0.0.2")),
            (&["::2", "10.0.0.2"], Some("::1"), Some("::2")),
            (&["::2"], Some("10.0.0.1"), Some("10.0.0.1")),
            (&["::2"], None, Some("::2")),
            (&[], Some("10.0.0.1"), Some("10.0.0.1")),
            (&[], None, None),
            (&["10.0.0.1", "10.0.0.2"], Some("10.0.0.3"), Some("10.0.0.3")),
            (&["10.0.0.1", "10.0.0.1"], None, Some("10.0.0.1")),
        ] {
            let ips: Vec<IpAddr> = resolved.iter().map(|ip| ip.parse().unwrap()).collect();
            let address = address_of(&ips, known.map(str::to_owned));
            assert_eq!(address.as_deref(), expected, "{resolved:?} {known:?}");
        }
    }

    #[test]
    fn a_name_in_the_place_of_an_address_is_none() {
        let listed = |ip: &str| ring_node(RingKind::default(), ("a", 1), Some(&ip.to_owned())).ip;
        assert_eq!(listed("a"), None);
        assert_eq!(listed("10.0.0.1").as_deref(), Some("10.0.0.1"));
    }
}
