//! The nodes in use and the ring over them: one value, replaced whole.

use std::collections::HashMap;
use std::sync::Arc;

use larder_discovery::Topology;
use larder_meta::Key;
use larder_ring::{Ring, RingError, RingKind, RingNode};

use crate::node::Node;

/// The nodes in use and the ring over them.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// What discovery said; `None` for a fixed list.
    pub(crate) topology: Option<Topology>,
    ring: Ring,
    nodes: Vec<Arc<Node>>,
}

impl Fleet {
    /// The fleet of a list that does not change.
    pub(crate) fn fixed(kind: RingKind, list: &[RingNode]) -> Result<Self, RingError> {
        let seen = |node: &RingNode| larder_discovery::Node {
            host: node.host.clone(),
            port: node.port,
            ip: node.ip.clone(),
        };
        let nodes = list.iter().map(|node| Arc::new(Node::new(seen(node)))).collect();
        Ok(Self { topology: None, ring: Ring::new(kind, list)?, nodes })
    }

    /// The fleet of `topology`. Nodes that `before` has, too, keep their connections, unless they have moved.
    pub(crate) fn discovered(
        kind: RingKind,
        topology: Topology,
        before: Option<&Self>,
    ) -> Result<Self, RingError> {
        let list: Vec<_> = topology.nodes().iter().map(ring_node).collect();
        let ring = Ring::new(kind, &list)?;
        let known: HashMap<&str, &Arc<Node>> =
            before.iter().flat_map(|fleet| &fleet.nodes).map(|node| (&*node.name, node)).collect();
        let nodes = topology
            .nodes()
            .iter()
            .map(|seen| match known.get(seen.to_string().as_str()) {
                Some(node) => Arc::clone(node),
                None => Arc::new(Node::new(seen.clone())),
            })
            .collect();
        let fleet = Self { topology: Some(topology), ring, nodes };
        fleet.follow_moves(before);
        Ok(fleet)
    }

    /// Tells the nodes that changed their address since `before`.
    fn follow_moves(&self, before: Option<&Self>) {
        let Some((before, now)) =
            before.and_then(|fleet| fleet.topology.as_ref()).zip(self.topology.as_ref())
        else {
            return;
        };
        for moved in before.diff(now).moved {
            let name = moved.node.to_string();
            if let Some(node) = self.nodes.iter().find(|node| *node.name == *name) {
                node.moved(moved.node);
            }
        }
    }

    /// The node that owns `key`.
    pub(crate) fn owner(&self, key: &Key) -> &Arc<Node> {
        &self.nodes[self.ring.owner(key.as_bytes())]
    }

    /// The nodes with the indices of the `keys` that they own, without those that own none.
    pub(crate) fn route<K: AsRef<[u8]>>(&self, keys: &[K]) -> impl Iterator<Item = (&Arc<Node>, Vec<u32>)> {
        let share = keys.len() / self.nodes.len() + keys.len() / 8;
        let mut owned: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        self.ring.owners(keys, |key, owner| {
            let owned = &mut owned[owner];
            if owned.is_empty() {
                owned.reserve(share + 1);
            }
            owned.push(key as u32);
        });
        self.nodes.iter().zip(owned).filter(|(_, keys)| !keys.is_empty())
    }

    /// The nodes, in the order of the topology.
    pub(crate) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }
}

fn ring_node(node: &larder_discovery::Node) -> RingNode {
    RingNode { host: node.host.clone(), port: node.port, weight: 1, ip: node.ip.clone() }
}
