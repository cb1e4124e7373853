//! The nodes in use and the rings over them: one value, replaced whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use larder_discovery::Topology;
use larder_meta::Key;
use larder_ring::{
    Epoch, History, HotKey, HotPhase, Phase, Ring, RingDocument, RingError, RingKind, RingNode, Trust,
};

use crate::node::Node;
use crate::place::{Copies, Place};
use crate::site::Told;

/// The nodes in use and the rings over them.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// What discovery said; `None` for a fixed list.
    pub(crate) topology: Option<Topology>,
    /// What the fleet has agreed on; `None` where nobody has published anything, so that the topology is the ring.
    pub(crate) document: Option<RingDocument>,
    /// The client flags that the document is stored with.
    pub(crate) document_flags: Option<u32>,
    history: Option<History>,
    ring: Ring,
    /// The next ring, while there is one, and where its nodes stand in `nodes`.
    next: Option<(Ring, Vec<usize>)>,
    /// The nodes of the present ring in its order, and then those of the next ring that are not among them.
    nodes: Vec<Arc<Node>>,
    /// The hot keys of the document.
    hot: HashMap<Key, Copies>,
    /// Whether the document is lost on all nodes, so that copies are written and not read.
    is_lost: AtomicBool,
    /// Whether all nodes that answered have said that they hold no document.
    is_bare: AtomicBool,
}

impl Fleet {
    /// The fleet of a list that does not change.
    pub(crate) fn fixed(kind: RingKind, list: &[RingNode]) -> Result<Self, RingError> {
        let nodes = list.iter().map(|node| Arc::new(Node::of_ring(node))).collect();
        let ring = Ring::new(kind, list)?;
        Ok(Self {
            topology: None,
            document: None,
            document_flags: None,
            history: None,
            ring,
            next: None,
            nodes,
            hot: HashMap::new(),
            is_lost: false.into(),
            is_bare: false.into(),
        })
    }

    /// The fleet of `topology`, in the ring of `document` if there is one. Nodes that `before` has, too, stay the
    /// same, unless they were replaced.
    pub(crate) fn new(
        kind: RingKind,
        topology: Topology,
        document: Option<RingDocument>,
        before: Option<&Self>,
    ) -> Result<Self, RingError> {
        let listed: Vec<_> = topology.nodes().iter().map(ring_node).collect();
        let present = document.as_ref().map_or(&listed, |document| &document.nodes);
        let ring = Ring::new(kind, present)?;
        let all = document.as_ref().map_or_else(|| listed.clone(), RingDocument::all_nodes);
        let next = match document.as_ref().filter(|document| !document.next.is_empty()) {
            Some(document) => Some((Ring::new(kind, &document.next)?, places(&document.next, &all))),
            None => None,
        };
        let known: HashMap<&str, &Arc<Node>> =
            before.iter().flat_map(|fleet| &fleet.nodes).map(|node| (&*node.name, node)).collect();
        let nodes = all.iter().map(|node| {
            // Where discovery saw it last is newer than what the document says of its address.
            let listed = topology.nodes().iter().find(|listed| listed.id() == node.identity());
            let node = listed.cloned().map_or_else(|| Node::of_ring(node), Node::new);
            known.get(&*node.name).map_or_else(|| Arc::new(node), |known| Arc::clone(known))
        });
        let nodes = nodes.collect();
        let history = document.as_ref().map(|document| document.ownership(kind));
        let document_flags = document.as_ref().map(RingDocument::client_flags);
        let hot = document.as_ref().map(hot).unwrap_or_default();
        let is_lost =
            before.is_some_and(|before| before.document == document && before.is_lost.load(Relaxed));
        let topology = Some(topology);
        let mut fleet = Self {
            topology,
            document,
            document_flags,
            history,
            ring,
            next,
            nodes,
            hot,
            is_lost: is_lost.into(),
            is_bare: false.into(),
        };
        fleet.tell_sites(before);
        Ok(fleet)
    }

    /// Tells the nodes where they stand by now, by what discovery and the document say; one that stands elsewhere is
    /// another node.
    fn tell_sites(&mut self, before: Option<&Self>) {
        let follow = |node: &Arc<Node>| {
            let told_before = before.map_or_else(Told::default, |before| before.told_of(&node.id));
            let history = self.document.iter().flat_map(|document| document.addresses_left(&node.id));
            let another = node.follow(told_before, self.told_of(&node.id), &Vec::from_iter(history));
            another.unwrap_or_else(|| Arc::clone(node))
        };
        self.nodes = self.nodes.iter().map(follow).collect();
    }

    /// What is told of the address of the node `id`.
    fn told_of(&self, id: &RingNode) -> Told<'_> {
        let listed = self.topology.iter().flat_map(Topology::nodes).find(|node| node.id() == id.identity());
        let recorded = self.document.as_ref().and_then(|document| document.node(id));
        let (listed, recorded) =
            (listed.and_then(|node| node.ip.as_deref()), recorded.and_then(|node| node.ip.as_deref()));
        Told { listed, recorded }
    }

    /// Where `key` is read and written.
    pub(crate) fn place(&self, key: &Key) -> Place<'_> {
        self.place_of(key.as_bytes(), self.ring.owner(key.as_bytes()))
    }

    fn place_of(&self, key: &[u8], owner: usize) -> Place<'_> {
        let present = &self.nodes[owner];
        let (Some((next, places)), Some(document)) = (&self.next, &self.document) else {
            return Place::Settled(present);
        };
        match &self.nodes[places[next.owner(key)]] {
            next if Arc::ptr_eq(next, present) => Place::Settled(present),
            next => Place::Moving { phase: document.phase, present, next },
        }
    }

    /// The nodes with the indices of the `keys` that go to them, without those that get none. Where `members` are
    /// given, only these of the keys are looked at.
    pub(crate) fn route<'f, K: AsRef<[u8]>>(
        &'f self,
        keys: &[K],
        members: Option<&[u32]>,
        choose: impl Fn(Place<'f>) -> &'f Arc<Node>,
    ) -> Vec<(&'f Arc<Node>, Vec<u32>)> {
        let count = members.map_or(keys.len(), <[u32]>::len);
        let share = count / self.nodes.len() + count / 8;
        let mut routed: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        let mut put = |key: usize, owner: usize| {
            let at = match self.next {
                None => owner,
                Some(_) => self.position(choose(self.place_of(keys[key].as_ref(), owner))),
            };
            let routed = &mut routed[at];
            if routed.is_empty() {
                routed.reserve(share + 1);
            }
            routed.push(key as u32);
        };
        match members {
            None => self.ring.owners(keys, put),
            Some(members) => members.iter().for_each(|member| {
                let key = *member as usize;
                put(key, self.ring.owner(keys[key].as_ref()));
            }),
        }
        self.nodes.iter().zip(routed).filter(|(_, keys)| !keys.is_empty()).collect()
    }

    fn position(&self, node: &Arc<Node>) -> usize {
        self.nodes.iter().position(|other| Arc::ptr_eq(other, node)).unwrap_or_default()
    }

    /// Whether the fleet moves from one ring to another.
    pub(crate) fn is_moving(&self) -> bool {
        self.next.is_some()
    }

    /// Whether `node` can confirm that this is the ring in force; see [`RingDocument::is_witness`].
    pub(crate) fn is_witness(&self, node: &Node) -> bool {
        self.document.as_ref().is_none_or(|document| document.is_witness(&node.id))
    }

    /// The same of `node` alone, not of another one of its name.
    pub(crate) fn has_witness(&self, node: &Arc<Node>) -> bool {
        self.is_witness(node) && self.nodes.iter().any(|other| Arc::ptr_eq(other, node))
    }

    /// Whether nobody is known to hold a document: one node without it may be new, or have lost it.
    pub(crate) fn is_bare(&self) -> bool {
        self.document.is_none() && self.is_bare.load(Relaxed)
    }

    /// All nodes that answered have said that they hold no document.
    pub(crate) fn note_bare(&self) {
        self.is_bare.store(true, Relaxed);
    }

    /// The copies of `key`, if it is a hot one.
    pub(crate) fn copies_of(&self, key: &Key) -> Option<Copies> {
        let copies = *self.hot.get(key)?;
        Some(Copies { is_read: copies.is_read && !self.is_lost.load(Relaxed), ..copies })
    }

    /// Whether there are hot keys.
    pub(crate) fn is_hot(&self) -> bool {
        !self.hot.is_empty()
    }

    /// All nodes have said that they have lost the document: whoever comes now knows of no copies, and writes none.
    pub(crate) fn note_lost(&self) {
        self.is_lost.store(true, Relaxed);
    }

    /// Whether the document is lost on all nodes.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Relaxed)
    }

    /// Whether keys that move are read from two owners.
    pub(crate) fn is_warming(&self) -> bool {
        self.document.as_ref().is_some_and(|document| document.phase == Phase::Warming)
    }

    /// The indices of those of the `keys` whose place is as `wanted`, and of the others. Where `members` are given,
    /// only these of the keys are looked at.
    pub(crate) fn split<'f, K: AsRef<[u8]>>(
        &'f self,
        keys: &[K],
        members: Option<&[u32]>,
        wanted: impl Fn(Place<'f>) -> bool,
    ) -> (Vec<u32>, Vec<u32>) {
        let is_wanted = |member: &u32| {
            let key = keys[*member as usize].as_ref();
            wanted(self.place_of(key, self.ring.owner(key)))
        };
        match members {
            None => (0..keys.len() as u32).partition(is_wanted),
            Some(members) => members.iter().copied().partition(is_wanted),
        }
    }

    /// Whether an item that `node` holds under `key` may be believed, by the stamp in its client flags.
    pub(crate) fn trust(&self, key: &Key, node: &Node, stamp: u16) -> Trust {
        match &self.history {
            None => Trust::Trusted,
            Some(history) => history.trust(key.as_bytes(), &node.id, stamp),
        }
    }

    /// The epoch of its document.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.document.as_ref().map(|document| document.epoch)
    }

    /// What items that are stored under this ring are stamped with.
    pub(crate) fn stamp(&self) -> u16 {
        self.epoch().map_or(Epoch::NO_DOCUMENT, Epoch::stamp)
    }

    /// The node with this host and port.
    pub(crate) fn node(&self, id: &RingNode) -> Option<Arc<Node>> {
        self.nodes.iter().find(|node| node.id.identity() == id.identity()).cloned()
    }

    /// All nodes, those of the present ring first, in its order.
    pub(crate) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }
}

/// The hot keys of `document`, but for what is no key.
fn hot(document: &RingDocument) -> HashMap<Key, Copies> {
    let copies = |hot: &HotKey| Copies { count: hot.copies, is_read: hot.phase == HotPhase::Reading };
    document.hot.iter().filter_map(|(key, hot)| Some((Key::new(key.as_bytes()).ok()?, copies(hot)))).collect()
}

/// Where each of `list` stands in `all`, which holds them all.
fn places(list: &[RingNode], all: &[RingNode]) -> Vec<usize> {
    let place = |node: &RingNode| all.iter().position(|other| other.identity() == node.identity());
    list.iter().map(|node| place(node).unwrap_or_default()).collect()
}

fn ring_node(node: &larder_discovery::Node) -> RingNode {
    RingNode { host: node.host.clone(), port: node.port, weight: 1, ip: node.ip.clone() }
}
