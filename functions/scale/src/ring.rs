//! The ring, as far as a node that goes away is concerned.

use std::error::Error;
use std::time::SystemTime;

use larder_ring::RingNode;
use tokio::time::Instant;

/// Who says which ring the fleet uses.
///
/// Every call is over by its `deadline`.
pub trait Ring {
    /// Leaves `node` out of the ring: warms the others with what it holds, then switches the fleet to the ring without
    /// it.
    ///
    /// When this returns nobody asks the node any more, and it may be taken away. Where it is left out already, there
    /// is nothing to do. After an error the node may be anywhere on its way out; [`restore`](Self::restore) brings it
    /// back.
    fn retire(
        &self,
        node: &RingNode,
        deadline: Instant,
    ) -> impl Future<Output = Result<Retired, RingError>> + Send;

    /// Takes `node` back into the ring, wherever it was on its way out. Where it is in the ring, there is nothing to
    /// do.
    fn restore(
        &self,
        node: &RingNode,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), RingError>> + Send;

    /// The ring as the nodes have it. An error where that cannot be found out.
    fn state(&self, deadline: Instant) -> impl Future<Output = Result<RingState, RingError>> + Send;
}

/// The ring as the nodes have it; empty where no node has one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RingState {
    /// When it was last changed.
    pub last_change: Option<SystemTime>,
    /// Its nodes, and those of the ring that follows, where there is one.
    pub nodes: Vec<RingNode>,
    /// The nodes that are left out, or on their way out, though the cluster may still list them.
    pub retired: Vec<RingNode>,
}

/// What it took to leave a node out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retired {
    /// The epoch of the ring without the node.
    pub epoch: u64,
    /// How many keys were copied to the nodes that stay.
    pub copied_keys: u64,
}

/// Why a ring was not changed.
pub type RingError = Box<dyn Error + Send + Sync>;
