//! How a fleet is made to follow a change of its nodes: the one place where a publisher of the ring comes in.
//!
//! Nobody publishes here: the change is made, the configuration endpoint lists it, and each environment finds that by
//! itself, when it next asks.

use super::change::Change;
use super::clock::Stamp;
use super::ring_mark::RingMark;
use larder_local::LocalCluster;

/// A ring that every environment is to follow.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    /// Since when it can be known.
    pub(crate) at: Stamp,
    pub(crate) ring: RingMark,
}

/// Makes `change` and whatever lets the fleet follow it; answers the rings that are to be followed, in their order.
///
/// None where the nodes are in the end where they were, as after a restart.
pub(crate) async fn carry_out(change: &Change, cluster: &LocalCluster) -> anyhow::Result<Vec<Publication>> {
    let before = RingMark::listed(&cluster.status());
    change.make(cluster).await?;
    let ring = RingMark::listed(&cluster.status());
    let is_new = ring != before;
    Ok(is_new.then(|| Publication { at: Stamp::now(), ring }).into_iter().collect())
}
