//! Which node owns a key: the rings of libmemcached, spymemcached and others, byte for byte.
//!
//! Every memcached client decides by itself which node holds a key. Two clients share a cache only if they decide
//! alike, to the last bit: one rounding done otherwise, and some keys are written here and looked for there. This crate
//! makes the decision of thirteen client set-ups; the default is libmemcached's `ketama_weighted`, which most of them
//! can be set to ([`RingKind`] says who agrees with whom).
//!
//! ```
//! use larder_ring::{Ring, RingKind, RingNode};
//!
//! let nodes = ["cache-1:11211", "cache-2:11211", "cache-3:11211:2"]
//!     .map(|text| text.parse::<RingNode>().expect("HOST:PORT or HOST:PORT:WEIGHT"));
//! let ring = Ring::new(RingKind::default(), &nodes)?;
//!
//! // One key, without allocating.
//! let owner = ring.owner(b"flights/42");
//! assert_eq!(nodes[owner].host, "cache-1");
//!
//! // Many keys, hashed side by side: a quarter of the time for each.
//! let keys = ["flights/42", "flights/43", "flights/44"];
//! let mut per_node = [0; 3];
//! ring.owners(&keys, |_key, owner| per_node[owner] += 1);
//! assert_eq!(per_node.iter().sum::<usize>(), keys.len());
//!
//! // What a fourth node would take over.
//! let grown = Ring::new(ring.kind(), &[&nodes[..], &["cache-4:11211".parse()?]].concat())?;
//! let moved = ring.moved(&grown);
//! assert!((0.15..0.25).contains(&moved.share), "about a fifth: one weight in five");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Which ring a fleet uses, and how it gets from one to the next, says the [`RingDocument`]: it is stored on the nodes
//! themselves, and read in passing.
//!
//! | file | holds |
//! | --- | --- |
//! | `ring.rs`, `kind.rs`, `node.rs`, `moved.rs` | [`Ring`]: the owner of every key; what moves between two rings |
//! | `continuum.rs`, `points.rs`, `modulo.rs`, `rendezvous.rs`, `share.rs`, `hash/` | the ways of thirteen libraries |
//! | `document.rs`, `epoch.rs`, `phase.rs` | [`RingDocument`]: which ring is in use |
//! | `change.rs` | the steps from one ring to the next |
//! | `hot.rs` | [`HotKey`]: keys with copies on several nodes |
//! | `history.rs` | [`History`]: whether an old item may still speak |
//!
//! The crate is pure: no socket, no clock, no environment. A [`Ring`] never changes; another node list is another ring.

mod change;
mod continuum;
mod document;
mod epoch;
mod error;
mod hash;
mod history;
mod hot;
mod key_hash;
mod kind;
mod modulo;
mod moved;
mod node;
mod node_name;
mod phase;
mod points;
mod rendezvous;
mod ring;
mod share;

pub use change::Sighting;
pub use document::{MalformedDocument, RingDocument};
pub use epoch::Epoch;
pub use error::RingError;
pub use history::{History, Reign, Trust};
pub use hot::{HotKey, HotPhase};
pub use kind::{RingKind, UnknownRing};
pub use moved::{Measure, Moved};
pub use node::{InvalidNode, RingNode};
pub use phase::{Phase, Reads, Writes};
pub use ring::Ring;
