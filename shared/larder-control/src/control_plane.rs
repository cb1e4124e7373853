//! The four calls, to one of two sides.

use std::time::Duration;

use crate::{ClusterEvent, ClusterState, ControlError, ElastiCache, Local, NodeId};

/// Who knows the nodes of one cluster and changes them.
///
/// Every call is bounded in time by its side, and may be dropped: a change that was under way may then still be made. A
/// call of the API lives on the heap, for the SDK's futures are large, and so deeply nested that a handler around them
/// would not compile.
#[derive(Debug)]
pub enum ControlPlane {
    /// A cluster of ElastiCache.
    ElastiCache(ElastiCache),
    /// A cluster that `larder local up` runs.
    Local(Local),
}

impl ControlPlane {
    /// The cluster as it is now, with its nodes and what is about to change.
    pub async fn describe(&self) -> Result<ClusterState, ControlError> {
        match self {
            Self::ElastiCache(api) => Box::pin(api.describe()).await,
            Self::Local(socket) => socket.describe().await,
        }
    }

    /// What happened to the cluster in the last `since`, rounded up to minutes; ElastiCache remembers 14 days.
    ///
    /// At most [`MAX_EVENTS`](crate::MAX_EVENTS), in the order of time. A local cluster remembers nothing.
    pub async fn events(&self, since: Duration) -> Result<Vec<ClusterEvent>, ControlError> {
        match self {
            Self::ElastiCache(api) => Box::pin(api.events(since)).await,
            Self::Local(_) => Ok(Vec::new()),
        }
    }

    /// Asks for nodes until there are `count`, at once and not in the next maintenance window.
    ///
    /// ElastiCache answers before they are there, and tells of each by a notice; a local cluster has them when this
    /// returns. Asking for what is already there, or asked for, changes nothing.
    pub async fn grow_to(&self, count: u32) -> Result<(), ControlError> {
        match self {
            Self::ElastiCache(api) => Box::pin(api.grow_to(count)).await,
            Self::Local(socket) => socket.grow_to(count).await,
        }
    }

    /// Asks for exactly the nodes `ids` to go, so that `left` remain, at once and not in the next maintenance window.
    ///
    /// Both are asked for to guard against a list that has changed since it was read: where they do not agree with the
    /// nodes that are there, the whole is [`ControlError::Refused`].
    pub async fn remove_nodes(&self, ids: &[NodeId], left: u32) -> Result<(), ControlError> {
        if ids.is_empty() || left == 0 {
            return Err(ControlError::Refused("a removal names nodes, and leaves at least one".to_owned()));
        }
        match self {
            Self::ElastiCache(api) => Box::pin(api.remove_nodes(ids, left)).await,
            Self::Local(socket) => socket.remove_nodes(ids, left).await,
        }
    }
}
