//! The ring document: the small record that says which ring the fleet uses now.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::history::{History, Reign};
use crate::hot::HotKey;
use crate::kind::RingKind;
use crate::node::RingNode;
use crate::phase::{Phase, Reads};
use crate::ring::Ring;

/// The small record that says which ring the fleet uses now. It is itself cached, on every node, under
/// [`RING_KEY`](Self::RING_KEY), with client flags that tell it from any other.
///
/// Stored as JSON that a person can read; every node is named once:
///
/// ```
/// use larder_ring::{Phase, RingDocument};
///
/// let document = RingDocument::parse(br#"{
///     "larder_ring": 1, "epoch": 1764096015, "phase": "warming", "time_ms": 1764096020123,
///     "names": ["cache-1:11211", "cache-2:11211", "cache-3:11211"],
///     "nodes": [0, 1], "next": [0, 1, 2],
///     "history": [{"from": 1764096001, "nodes": [0, 1]}, {"from": 1764096015, "nodes": [0, 1, 2]}],
///     "hot": {"flights:17": {"copies": 3, "phase": "reading"}}, "check_ms": 1000
/// }"#)?;
/// assert_eq!((document.phase, document.next.len()), (Phase::Warming, 3));
/// assert_eq!(document.hot["flights:17"].copies, 3);
/// assert_eq!(RingDocument::parse(&document.encode())?, document);
/// # Ok::<(), larder_ring::MalformedDocument>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RingDocument {
    /// Which document this is. A higher one takes the place of a lower one, never the other way round.
    pub epoch: Epoch,
    /// How far the fleet has moved from `nodes` to `next`.
    pub phase: Phase,
    /// The present ring, in the order in which the ring numbers them; at least one.
    pub nodes: Vec<RingNode>,
    /// The next ring; empty in the phase `active` and in no other.
    pub next: Vec<RingNode>,
    /// Nodes that discovery lists and the ring leaves out, for they are to be removed.
    pub retired: Vec<RingNode>,
    /// Which ring was in force when, the oldest first; at most [`MAX_HISTORY`](Self::MAX_HISTORY).
    pub history: Vec<Reign>,
    /// Whether older reigns have been dropped from `history`.
    pub history_is_cut: bool,
    /// Hot keys, and how many copies each has.
    pub hot: BTreeMap<String, HotKey>,
    /// How old the view of an environment may grow before it looks at the document again, at most: environments with a
    /// longer interval of their own go by this one, and the publisher waits for it. Set when the first document is
    /// published, whole milliseconds; `None` where each goes by its own.
    pub check_interval: Option<Duration>,
    /// When it was published, by the publisher's clock: milliseconds since 1970. Of two documents under one epoch the
    /// later one counts; the warm-up and the cool-down of `scale` begin here.
    pub time_ms: u64,
}

impl RingDocument {
    /// The key under which it is stored. No key that is composed can be this one, for the `~` in it.
    pub const RING_KEY: &'static str = "larder~ring";
    /// The reigns that are remembered. What was stored before them is not trusted any more.
    pub const MAX_HISTORY: usize = 32;
    /// The longest document, in bytes: what 40 nodes with the longest names and a full history come to, and some.
    pub const MAX_LEN: usize = 64 << 10;
    /// The longest `check_interval`.
    pub const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(3600);
    /// The most hot keys.
    pub const MAX_HOT: usize = 256;
    /// The most bytes of hot keys, all together.
    pub const MAX_HOT_LEN: usize = 4 << 10;

    /// Reads a document; refuses what is malformed, of another format, or contradicts itself.
    pub fn parse(json: &[u8]) -> Result<Self, MalformedDocument> {
        if json.len() > Self::MAX_LEN {
            return Err(MalformedDocument::TooLong(json.len()));
        }
        let Format { larder_ring } = serde_json::from_slice(json).map_err(json_error)?;
        if larder_ring != FORMAT {
            return Err(MalformedDocument::Format(larder_ring));
        }
        let document = serde_json::from_slice::<Written>(json).map_err(json_error)?.read()?;
        document.check()?;
        Ok(document)
    }

    /// Writes it as JSON on one line.
    pub fn encode(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(&Written::of(self)).expect("numbers, strings and lists are JSON");
        json.push(b'\n');
        json
    }

    /// The client flags that it is stored with: the stamp of its epoch, and below it a digest of all of it.
    ///
    /// The digest, because the epoch alone does not name a document: a publisher that crashes may leave one on a single
    /// node, and when that node is lost the next publisher makes another one under the same epoch.
    pub fn client_flags(&self) -> u32 {
        let digest = self
            .encode()
            .iter()
            .fold(FNV_BASIS, |digest, byte| (digest ^ u32::from(*byte)).wrapping_mul(FNV_PRIME));
        u32::from(self.epoch.stamp()) << 16 | (digest ^ digest >> 16) & 0xffff
    }

    /// The stamp of the epoch of the document that is stored with `client_flags`.
    pub const fn stamp_in(client_flags: u32) -> u16 {
        (client_flags >> 16) as u16
    }

    /// Whether it takes the place of `other`: it has a later epoch, or the same one and was published later. Where even
    /// the times are the same, what is written decides, so that all decide alike.
    pub fn is_later_than(&self, other: &Self) -> bool {
        let by_time = (self.epoch, self.time_ms).cmp(&(other.epoch, other.time_ms));
        by_time.then_with(|| self.encode().cmp(&other.encode())).is_gt()
    }

    /// Whether `node` can confirm that this is the document in force: it is in both rings, where there are two, so that
    /// it hears of every later one. A node that comes or leaves may be given up before it is told, and keep this one
    /// for ever; where no node stays, those can that everybody reads.
    pub fn is_witness(&self, node: &RingNode) -> bool {
        let stays = |node: &RingNode| node.is_in(&self.nodes) && node.is_in(&self.next);
        match self.phase.reads() {
            _ if self.nodes.iter().any(stays) => stays(node),
            Reads::Present => node.is_in(&self.nodes),
            Reads::NextThenPresent | Reads::Next => node.is_in(&self.next),
        }
    }

    /// What says whether an old item may still speak, for rings of this kind.
    pub fn ownership(&self, kind: RingKind) -> History {
        History::new(kind, self.epoch, !self.history_is_cut, &self.history)
    }

    /// Every node of both rings, each once, those of the present ring first.
    pub fn all_nodes(&self) -> Vec<RingNode> {
        let mut all = self.nodes.clone();
        all.extend(self.next.iter().filter(|node| !node.is_in(&self.nodes)).cloned());
        all
    }

    /// The node of its rings with the identity of `node`, the present ring first.
    pub fn node(&self, node: &RingNode) -> Option<&RingNode> {
        self.nodes.iter().chain(&self.next).find(|other| other.identity() == node.identity())
    }

    /// The addresses at which `node` has stood in the rings of the history, but for the one at which it stands now; none
    /// where that is not known.
    pub fn addresses_left(&self, node: &RingNode) -> impl Iterator<Item = IpAddr> {
        let address = |node: &RingNode| node.ip.as_ref()?.parse::<IpAddr>().ok();
        let now = self.node(node).and_then(address);
        let before = self.history.iter().flat_map(|reign| &reign.nodes);
        let before = before.filter(|other| other.identity() == node.identity()).filter_map(address);
        before.filter(move |ip| now.is_some_and(|now| now != *ip))
    }

    fn check(&self) -> Result<(), MalformedDocument> {
        let wrong = MalformedDocument::Contradiction;
        if (self.phase == Phase::Active) != self.next.is_empty() {
            return Err(wrong("there is a next ring exactly while the phase is not active"));
        }
        if self.history.len() > Self::MAX_HISTORY || self.hot.len() > Self::MAX_HOT {
            return Err(wrong("the history or the list of hot keys is too long"));
        }
        if self.hot.keys().map(String::len).sum::<usize>() > Self::MAX_HOT_LEN {
            return Err(wrong("the hot keys are too long"));
        }
        if !self.hot.values().all(|hot| HotKey::COPIES.contains(&hot.copies)) {
            return Err(wrong("a hot key has 2 to 16 copies"));
        }
        let is_interval =
            |interval: Duration| (Duration::from_millis(1)..=Self::MAX_CHECK_INTERVAL).contains(&interval);
        if !self.check_interval.is_none_or(is_interval) {
            return Err(wrong("the check interval is from 1 ms to an hour"));
        }
        let lists = [&self.nodes].into_iter().chain(self.history.iter().map(|reign| &reign.nodes));
        if lists.clone().any(Vec::is_empty) {
            return Err(wrong("a ring has no nodes"));
        }
        if lists.chain([&self.next, &self.retired]).any(|list| has_twins(list)) {
            return Err(wrong("a node stands in a list twice"));
        }
        if self.nodes.len().max(self.next.len()) > Ring::MAX_NODES {
            return Err(wrong("there are more nodes than a ring takes"));
        }
        let is_reign = |reign: &Reign| {
            reign.from <= self.epoch && reign.to.is_none_or(|to| reign.from < to && to <= self.epoch)
        };
        if !self.history.iter().all(is_reign) || !self.history.is_sorted_by_key(|reign| reign.from) {
            return Err(wrong("the history is out of order"));
        }
        Ok(())
    }
}

/// Why bytes are no ring document. The document at hand stays in use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedDocument {
    /// It is longer than [`RingDocument::MAX_LEN`].
    #[error("{0} bytes are more than a ring document has")]
    TooLong(usize),
    /// It is no JSON, or not of this shape.
    #[error("not the JSON of a ring document: {0}")]
    Json(String),
    /// It is written in a format of another version of Larder.
    #[error("format {0} of the ring document is not known here: update the functions that read it")]
    Format(u64),
    /// A node's name is none.
    #[error("a node of the ring document: {0}")]
    Node(#[from] crate::InvalidNode),
    /// Its parts contradict each other.
    #[error("the ring document contradicts itself: {0}")]
    Contradiction(&'static str),
}

fn json_error(error: serde_json::Error) -> MalformedDocument {
    MalformedDocument::Json(error.to_string())
}

fn has_twins(list: &[RingNode]) -> bool {
    let mut seen = std::collections::HashSet::new();
    !list.iter().all(|node| seen.insert(node.identity()))
}

/// What tells the format, whatever else there is.
#[derive(Deserialize)]
struct Format {
    larder_ring: u64,
}

/// The document as it is written: nodes are named once and then numbered.
#[derive(Deserialize, Serialize)]
struct Written {
    larder_ring: u64,
    epoch: u64,
    phase: Phase,
    time_ms: u64,
    names: Vec<String>,
    nodes: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    next: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<usize>,
    history: Vec<WrittenReign>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    history_is_cut: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    hot: BTreeMap<String, HotKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check_ms: Option<u64>,
}

#[derive(Deserialize, Serialize)]
struct WrittenReign {
    from: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
    nodes: Vec<usize>,
}

impl Written {
    fn of(document: &RingDocument) -> Self {
        let mut names = Vec::new();
        let mut numbers = |list: &[RingNode]| {
            let mut number = |node: &RingNode| {
                let name = node.to_string();
                names.iter().position(|known| *known == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                })
            };
            list.iter().map(&mut number).collect()
        };
        Self {
            larder_ring: FORMAT,
            epoch: document.epoch.number(),
            phase: document.phase,
            time_ms: document.time_ms,
            nodes: numbers(&document.nodes),
            next: numbers(&document.next),
            retired: numbers(&document.retired),
            history: document
                .history
                .iter()
                .map(|reign| WrittenReign {
                    from: reign.from.number(),
                    to: reign.to.map(Epoch::number),
                    nodes: numbers(&reign.nodes),
                })
                .collect(),
            history_is_cut: document.history_is_cut,
            hot: document.hot.clone(),
            check_ms: document.check_interval.map(|interval| interval.as_millis() as u64),
            names,
        }
    }

    fn read(self) -> Result<RingDocument, MalformedDocument> {
        let names = self.names.iter().map(|name| name.parse()).collect::<Result<Vec<RingNode>, _>>()?;
        names.iter().try_for_each(RingNode::check)?;
        let list = |numbers: &[usize]| {
            let nodes = numbers.iter().map(|number| names.get(*number).cloned());
            nodes.collect::<Option<Vec<_>>>().ok_or(MalformedDocument::Contradiction("a node has no name"))
        };
        let epoch = |number| Epoch::new(number).ok_or(MalformedDocument::Contradiction("an epoch is none"));
        let reigns = self.history.iter().map(|reign| {
            let to = reign.to.map(epoch).transpose()?;
            Ok(Reign { from: epoch(reign.from)?, to, nodes: list(&reign.nodes)? })
        });
        Ok(RingDocument {
            epoch: epoch(self.epoch)?,
            phase: self.phase,
            nodes: list(&self.nodes)?,
            next: list(&self.next)?,
            retired: list(&self.retired)?,
            history: reigns.collect::<Result<_, MalformedDocument>>()?,
            history_is_cut: self.history_is_cut,
            hot: self.hot,
            check_interval: self.check_ms.map(Duration::from_millis),
            time_ms: self.time_ms,
        })
    }
}

/// FNV-1a, 32 bits.
const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;
/// The format that is written and read here.
const FORMAT: u64 = 1;
