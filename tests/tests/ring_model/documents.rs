//! The documents of a scenario: real ones, made by the real rules, and numbered.
//!
//! Everything that depends on a document, a node and an epoch alone is asked of `larder-ring` once, here, and looked up
//! while the model is explored.

use std::collections::{HashMap, HashSet};

use larder_ring::{Epoch, Phase, Reads, Ring, RingDocument, RingKind, RingNode, Sighting, Trust};

/// A node: its place among [`NAMES`].
pub(crate) type NodeId = u8;
/// A set of nodes, a bit each.
pub(crate) type Nodes = u8;
/// A document: its place in [`Documents`].
pub(crate) type DocumentId = u8;

/// What the model needs to know of a document.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) document: RingDocument,
    pub(crate) phase: Phase,
    /// The owner of the key in the present ring.
    pub(crate) present: NodeId,
    /// The owner of the key in the next ring; in the phase `active`, and where the key does not move, the present one.
    pub(crate) next: NodeId,
    /// The nodes of both rings.
    pub(crate) all: Nodes,
    /// The nodes of the ring that is read.
    pub(crate) read: Nodes,
    /// What an item keeps of its epoch: the epoch's place among all epochs of the scenario.
    pub(crate) stamp: u8,
    /// For each node and stamp, whether the item may be believed.
    trust: Vec<Vec<Trust>>,
}

/// All documents that there can be in a scenario.
#[derive(Debug)]
pub(crate) struct Documents {
    known: Vec<Known>,
    /// Document, list and lost nodes: what follows.
    following: HashMap<(DocumentId, u8, Nodes), Option<DocumentId>>,
    /// A document and one that can follow.
    steps: HashSet<(DocumentId, DocumentId)>,
    /// Number of the founding, list and lost nodes: the document that begins again after all have been lost.
    founded: HashMap<(u8, u8, Nodes), DocumentId>,
    /// For each node and stamp, the lowest stamp that is believed in the same documents.
    same_trust: Vec<Vec<u8>>,
    founded_later_ms: u64,
}

impl Documents {
    /// The documents that there can be in `world`, from the first of its lists on.
    pub(crate) fn of(world: &World<'_>) -> Self {
        let key = key_with(world.owners);
        let lists = 0..world.lists.len() as u8;
        let mut documents = vec![RingDocument::first(world.listed(0, 0), NOW_MS)];
        let mut following = HashMap::new();
        let mut founded = HashMap::new();
        let mut to_do = vec![(0, 0, 0)];
        for (list, lost) in
            lists.clone().flat_map(|list| subsets(world.may_be_lost).map(move |lost| (list, lost)))
        {
            let listed = world.listed(list, lost);
            for founding in (1..=world.foundings).filter(|_| !listed.is_empty()) {
                let now_ms = NOW_MS + u64::from(founding) * world.founded_later_ms;
                let id = number(&mut documents, RingDocument::first(listed.clone(), now_ms));
                founded.insert((founding, list, lost), id);
                to_do.push((id, list, lost));
            }
        }
        while let Some((id, list, lost)) = to_do.pop() {
            if following.contains_key(&(id, list, lost)) {
                continue;
            }
            let next = world.following(&documents[usize::from(id)], list, lost);
            let next = next.map(|next| number(&mut documents, next));
            following.insert((id, list, lost), next);
            let later_lists = list..lists.end;
            let reached =
                later_lists.flat_map(|list| subsets(world.may_be_lost).map(move |lost| (list, lost)));
            for (later, more) in reached.filter(|(_, more)| more & lost == lost) {
                to_do.extend(next.into_iter().chain([id]).map(|id| (id, later, more)));
            }
        }
        let mut epochs: Vec<Epoch> = documents.iter().map(|document| document.epoch).collect();
        epochs.sort_unstable();
        epochs.dedup();
        let known: Vec<_> =
            documents.into_iter().map(|document| Known::of(document, &key, &epochs)).collect();
        let same_trust = same_trust(&known, epochs.len());
        let steps = following.iter().filter_map(|((from, ..), to)| Some((*from, (*to)?))).collect();
        let founded_later_ms = world.founded_later_ms;
        Self { known, following, steps, founded, same_trust, founded_later_ms }
    }

    pub(crate) fn get(&self, id: DocumentId) -> &Known {
        &self.known[usize::from(id)]
    }

    /// What follows from a document where `list` is the list and `lost` are the lost nodes.
    pub(crate) fn following(&self, id: DocumentId, list: u8, lost: Nodes) -> Option<DocumentId> {
        self.following[&(id, list, lost)]
    }

    /// Whether `to` can be the very next document after `from`.
    pub(crate) fn is_step(&self, from: DocumentId, to: DocumentId) -> bool {
        self.steps.contains(&(from, to))
    }

    /// How often all documents were lost before this one.
    pub(crate) fn founding(&self, id: DocumentId) -> u8 {
        ((self.get(id).document.time_ms - NOW_MS) / self.founded_later_ms) as u8
    }

    /// The document of a fleet that has lost all others, for so often.
    pub(crate) fn founded(&self, founding: u8, list: u8, lost: Nodes) -> DocumentId {
        self.founded[&(founding, list, lost)]
    }

    /// The stamp by which the model tells items of `node` apart: items that are believed in the same documents are one
    /// state, not several.
    pub(crate) fn distinct_stamp(&self, node: NodeId, stamp: u8) -> u8 {
        self.same_trust[usize::from(node)][usize::from(stamp)]
    }
}

impl Known {
    fn of(document: RingDocument, key: &[u8], epochs: &[Epoch]) -> Self {
        let owner = |nodes: &[RingNode]| {
            let ring = Ring::new(KIND, nodes).unwrap();
            id_of(&ring.nodes()[ring.owner(key)])
        };
        let history = document.ownership(KIND);
        let trust = (0..NAMES.len())
            .map(|at| {
                let node = &node(NAMES[at]);
                epochs.iter().map(|epoch| history.trust(key, node, epoch.stamp())).collect()
            })
            .collect();
        let present = owner(&document.nodes);
        let read = match document.phase.reads() {
            Reads::Present => &document.nodes,
            Reads::NextThenPresent | Reads::Next => &document.next,
        };
        Self {
            phase: document.phase,
            present,
            next: if document.next.is_empty() { present } else { owner(&document.next) },
            all: set_of(&document.all_nodes()),
            read: set_of(read),
            stamp: epochs.binary_search(&document.epoch).unwrap() as u8,
            trust,
            document,
        }
    }

    /// Whether an item of `node` is believed. One of an unknown epoch is not: the client replaces it.
    pub(crate) fn trusts(&self, node: NodeId, stamp: u8) -> bool {
        self.trust[usize::from(node)][usize::from(stamp)] == Trust::Trusted
    }

    fn is_read(&self, node: NodeId) -> bool {
        match self.phase.reads() {
            Reads::Present => node == self.present,
            Reads::NextThenPresent => node == self.present || node == self.next,
            Reads::Next => node == self.next,
        }
    }
}

/// What decides which documents there can be.
pub(crate) struct World<'a> {
    /// The lists that discovery tells, one after the other.
    pub(crate) lists: &'a [&'a str],
    /// Which node owns the key in the ring of which nodes.
    pub(crate) owners: &'a [(&'a str, char)],
    /// Nodes that may be lost, at any time.
    pub(crate) may_be_lost: Nodes,
    /// How often all documents may be lost.
    pub(crate) foundings: u8,
    /// By how many milliseconds the epoch jumps each time that a document is founded anew.
    pub(crate) founded_later_ms: u64,
    /// Documents of this phase are not published.
    pub(crate) left_out: Option<Phase>,
}

impl World<'_> {
    fn listed(&self, list: u8, lost: Nodes) -> Vec<RingNode> {
        let listed = nodes(self.lists[usize::from(list)]) & !lost;
        members(listed).map(|id| node(NAMES[usize::from(id)])).collect()
    }

    fn following(&self, document: &RingDocument, list: u8, lost: Nodes) -> Option<RingDocument> {
        let listed = self.listed(list, lost);
        let now_ms = NOW_MS + 10 * u64::from(list) + u64::from(lost.count_ones());
        let lost: Vec<_> = members(lost).map(|id| node(NAMES[usize::from(id)])).collect();
        let seen = Sighting { listed: &listed, lost: &lost };
        let next = document.following(KIND, seen, now_ms.max(document.time_ms))?;
        if Some(next.phase) == self.left_out { next.following(KIND, seen, next.time_ms) } else { Some(next) }
    }
}

fn number(documents: &mut Vec<RingDocument>, document: RingDocument) -> DocumentId {
    let at = documents.iter().position(|known| *known == document).unwrap_or_else(|| {
        documents.push(document);
        documents.len() - 1
    });
    DocumentId::try_from(at).unwrap()
}

fn same_trust(known: &[Known], epochs: usize) -> Vec<Vec<u8>> {
    let column = |node: NodeId, stamp: u8| -> Vec<bool> {
        let readers = known.iter().filter(|document| document.is_read(node));
        readers.map(|document| document.trusts(node, stamp)).collect()
    };
    (0..NAMES.len() as NodeId)
        .map(|node| {
            let columns: Vec<_> = (0..epochs as u8).map(|stamp| column(node, stamp)).collect();
            let first = |of: &Vec<bool>| columns.iter().position(|column| column == of);
            columns.iter().map(|column| first(column).unwrap_or(0) as u8).collect()
        })
        .collect()
}

/// A key with these owners in the rings of these nodes.
fn key_with(owners: &[(&str, char)]) -> Vec<u8> {
    let is_owned = |key: &[u8]| {
        owners.iter().all(|(list, owner)| {
            let list: Vec<_> = list.chars().map(node).collect();
            let ring = Ring::new(KIND, &list).unwrap();
            ring.nodes()[ring.owner(key)] == node(*owner)
        })
    };
    let keys = (0..MOST_KEYS).map(|number| format!("flights:{number}").into_bytes());
    keys.into_iter().find(|key| is_owned(key)).expect("a key in a few has these owners")
}

/// The nodes with these letters.
pub(crate) fn nodes(letters: &str) -> Nodes {
    letters.chars().fold(0, |set, letter| set | 1 << id_of(&node(letter)))
}

/// The members of a set.
pub(crate) fn members(set: Nodes) -> impl Iterator<Item = NodeId> {
    (0..NAMES.len() as NodeId).filter(move |id| has(set, *id))
}

pub(crate) fn has(set: Nodes, id: NodeId) -> bool {
    set & (1 << id) != 0
}

fn subsets(set: Nodes) -> impl Iterator<Item = Nodes> {
    (0..1 << NAMES.len()).filter(move |subset| subset & !set == 0)
}

fn set_of(list: &[RingNode]) -> Nodes {
    list.iter().fold(0, |set, node| set | 1 << id_of(node))
}

fn id_of(node: &RingNode) -> NodeId {
    let at = NAMES.iter().position(|name| node.host == name.to_string());
    at.expect("a node of the scenario") as NodeId
}

fn node(name: char) -> RingNode {
    RingNode::new(name, 11211)
}

/// The set of all nodes.
pub(crate) const ALL: Nodes = (1 << NAMES.len()) - 1;
/// The nodes of all scenarios.
pub(crate) const NAMES: [char; 3] = ['a', 'b', 'c'];
const KIND: RingKind = RingKind::LibmemcachedKetamaWeighted;
const NOW_MS: u64 = 1_764_096_001_000;
const MOST_KEYS: u32 = 10_000;
