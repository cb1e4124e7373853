//! Why no ring can be made of a node list.

use crate::kind::RingKind;
use crate::node::InvalidNode;

/// Why no ring can be made of a node list.
///
/// Nodes are named as `HOST:PORT`, as their [`Display`](std::fmt::Display) writes them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The list is empty.
    #[error("the node list is empty: give at least one HOST:PORT")]
    NoNodes,
    /// The list is longer than any ring here.
    #[error("{given} nodes are more than the {max} a ring takes: split the fleet into several clusters")]
    TooManyNodes {
        /// Nodes in the list.
        given: usize,
        /// Nodes a ring takes.
        max: usize,
    },
    /// A host or port that no node can have.
    #[error(transparent)]
    Node(#[from] InvalidNode),
    /// The ring knows nodes by address, and one has none.
    #[error("ring {kind} needs the IP address of every node, and {node} has none: write HOST:PORT@IP")]
    MissingIp {
        /// The ring asked for.
        kind: RingKind,
        /// The node without address.
        node: String,
    },
    /// The ring prints addresses as Java does, and one is not an address.
    #[error(
        "ring {kind} needs the IP address of every node, and that of {node} is not one: write HOST:PORT@IP"
    )]
    NotAnIp {
        /// The ring asked for.
        kind: RingKind,
        /// The node with that text for an address.
        node: String,
    },
    /// The library refuses a node of weight 0.
    #[error(
        "ring {kind} refuses weight 0, as of {node}: leave the node out, or give it a weight of 1 or more"
    )]
    ZeroWeight {
        /// The ring asked for.
        kind: RingKind,
        /// The node of weight 0.
        node: String,
    },
    /// No node has a weight, so none would own a key.
    #[error("every node has weight 0: give at least one a weight of 1 or more")]
    NoWeight,
    /// The weights add up to more than the libraries count to.
    #[error("the weights add up to {total}, more than {max}: divide them all by the same number")]
    WeightOverflow {
        /// The sum of all weights.
        total: u64,
        /// The largest sum taken.
        max: u64,
    },
    /// The library refuses a list that names a node twice.
    #[error("ring {kind} refuses a node named twice, as {node}: name it once and give it a weight")]
    Repeated {
        /// The ring asked for.
        kind: RingKind,
        /// The node named twice.
        node: String,
    },
}
