//! What happened to a cluster, and what follows from it.

/// An event of a cluster, as a notice names it.
///
/// Those that a Memcached cluster can have stand here one by one. The list is open: what ElastiCache adds to it,
/// and what only replication groups have, is [`Other`](Event::Other).
///
/// Source: AWS, *Amazon ElastiCache for Memcached*, "Event Notifications and Amazon SNS", table of events.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A node was added and is ready.
    AddCacheNodeComplete,
    /// A node could not be added: the subnets have no free addresses left.
    AddCacheNodeFailed,
    /// A node was removed.
    RemoveCacheNodeComplete,
    /// The machine of a node failed, and the node is being replaced under its name.
    CacheNodeReplaceStarted,
    /// The node that takes a failed one's place is there, empty, perhaps at another address.
    CacheNodeReplaceComplete,
    /// Nodes were rebooted, which empties them. Comes twice: for the end and for the new start.
    CacheNodesRebooted,
    /// The cluster, or a member of a replication group, is ready.
    CacheClusterProvisioningComplete,
    /// The cluster could not be created: its network is not there.
    CacheClusterProvisioningFailed,
    /// The nodes are of another type now, each replaced on the way.
    CacheClusterScalingComplete,
    /// The nodes could not be given another type.
    CacheClusterScalingFailed,
    /// Parameters were changed.
    CacheClusterParametersChanged,
    /// A security group was changed.
    CacheClusterSecurityGroupModified,
    /// The cluster and all its nodes were deleted.
    DeleteCacheClusterComplete,
    /// A node will be replaced, in a window that the notice names.
    NodeReplacementScheduled,
    /// A node will be replaced in another window than was said before.
    NodeReplacementRescheduled,
    /// A node will not be replaced after all.
    NodeReplacementCanceled,
    /// A node may be updated.
    ServiceUpdateAvailableForNode,
    /// Something changed: the notices of 2015 say what in a sentence alone, which stands in the details.
    Changed,
    /// Any other event, by its name, without `ElastiCache:`: 1 to [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) visible
    /// ASCII characters.
    Other(String),
}

/// What follows from an event.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Effect {
    /// Nodes came, went, were emptied or moved to another address: compare the nodes with the ring now.
    Nodes,
    /// The cluster is gone.
    Gone,
    /// Something failed that a person should look at.
    Alarm,
    /// Nothing but a line in the log.
    Log,
}

impl Event {
    /// The event that is called `name`, in any case.
    pub(crate) fn from_name(name: &str) -> Self {
        let is_it = |event: &Self| event.name().eq_ignore_ascii_case(name);
        NAMED.into_iter().find(is_it).unwrap_or_else(|| Self::Other(name.to_owned()))
    }

    /// The name as ElastiCache writes it, without `ElastiCache:`. [`Changed`](Event::Changed), which has no name
    /// there, has its own.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::AddCacheNodeComplete => "AddCacheNodeComplete",
            Self::AddCacheNodeFailed => "AddCacheNodeFailed",
            Self::RemoveCacheNodeComplete => "RemoveCacheNodeComplete",
            Self::CacheNodeReplaceStarted => "CacheNodeReplaceStarted",
            Self::CacheNodeReplaceComplete => "CacheNodeReplaceComplete",
            Self::CacheNodesRebooted => "CacheNodesRebooted",
            Self::CacheClusterProvisioningComplete => "CacheClusterProvisioningComplete",
            Self::CacheClusterProvisioningFailed => "CacheClusterProvisioningFailed",
            Self::CacheClusterScalingComplete => "CacheClusterScalingComplete",
            Self::CacheClusterScalingFailed => "CacheClusterScalingFailed",
            Self::CacheClusterParametersChanged => "CacheClusterParametersChanged",
            Self::CacheClusterSecurityGroupModified => "CacheClusterSecurityGroupModified",
            Self::DeleteCacheClusterComplete => "DeleteCacheClusterComplete",
            Self::NodeReplacementScheduled => "NodeReplacementScheduled",
            Self::NodeReplacementRescheduled => "NodeReplacementRescheduled",
            Self::NodeReplacementCanceled => "NodeReplacementCanceled",
            Self::ServiceUpdateAvailableForNode => "ServiceUpdateAvailableForNode",
            Self::Changed => "Changed",
            Self::Other(name) => name,
        }
    }

    /// What follows for the cluster that the event is about.
    ///
    /// A notice may name a member of a replication group, whose end is not the end of the group:
    /// [`Notice::effect_on`](crate::Notice::effect_on) knows of that.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::AddCacheNodeComplete
            | Self::RemoveCacheNodeComplete
            | Self::CacheNodeReplaceStarted
            | Self::CacheNodeReplaceComplete
            | Self::CacheNodesRebooted
            | Self::CacheClusterProvisioningComplete
            | Self::CacheClusterScalingComplete
            | Self::Changed => Effect::Nodes,
            Self::DeleteCacheClusterComplete => Effect::Gone,
            Self::AddCacheNodeFailed
            | Self::CacheClusterProvisioningFailed
            | Self::CacheClusterScalingFailed => Effect::Alarm,
            Self::CacheClusterParametersChanged
            | Self::CacheClusterSecurityGroupModified
            | Self::NodeReplacementScheduled
            | Self::NodeReplacementRescheduled
            | Self::NodeReplacementCanceled
            | Self::ServiceUpdateAvailableForNode
            | Self::Other(_) => Effect::Log,
        }
    }
}

/// The events that a notice names.
const NAMED: [Event; 17] = [
    Event::AddCacheNodeComplete,
    Event::AddCacheNodeFailed,
    Event::RemoveCacheNodeComplete,
    Event::CacheNodeReplaceStarted,
    Event::CacheNodeReplaceComplete,
    Event::CacheNodesRebooted,
    Event::CacheClusterProvisioningComplete,
    Event::CacheClusterProvisioningFailed,
    Event::CacheClusterScalingComplete,
    Event::CacheClusterScalingFailed,
    Event::CacheClusterParametersChanged,
    Event::CacheClusterSecurityGroupModified,
    Event::DeleteCacheClusterComplete,
    Event::NodeReplacementScheduled,
    Event::NodeReplacementRescheduled,
    Event::NodeReplacementCanceled,
    Event::ServiceUpdateAvailableForNode,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of AWS's table; those of replication groups alone come last.
    const TABLE: [(&str, Effect); 29] = [
        ("AddCacheNodeComplete", Effect::Nodes),
        ("AddCacheNodeFailed", Effect::Alarm),
        ("RemoveCacheNodeComplete", Effect::Nodes),
        ("CacheNodeReplaceStarted", Effect::Nodes),
        ("CacheNodeReplaceComplete", Effect::Nodes),
        ("CacheNodesRebooted", Effect::Nodes),
        ("CacheClusterProvisioningComplete", Effect::Nodes),
        ("CacheClusterProvisioningFailed", Effect::Alarm),
        ("CacheClusterParametersChanged", Effect::Log),
        ("CacheClusterSecurityGroupModified", Effect::Log),
        ("CacheClusterScalingComplete", Effect::Nodes),
        ("CacheClusterScalingFailed", Effect::Alarm),
        ("DeleteCacheClusterComplete", Effect::Gone),
        ("NodeReplacementScheduled", Effect::Log),
        ("NodeReplacementRescheduled", Effect::Log),
        ("NodeReplacementCanceled", Effect::Log),
        ("ServiceUpdateAvailableForNode", Effect::Log),
        // In no table, seen in the field.
        ("ServiceUpdateAvailable", Effect::Log),
        ("CreateReplicationGroupComplete", Effect::Log),
        ("FailoverComplete", Effect::Log),
        ("ReplicationGroupIncreaseReplicaCountStarted", Effect::Log),
        ("ReplicationGroupIncreaseReplicaCountFinished", Effect::Log),
        ("ReplicationGroupScalingComplete", Effect::Log),
        ("ReplicationGroupScalingFailed", Effect::Log),
        ("CertificateRenewalComplete", Effect::Log),
        ("SnapshotComplete", Effect::Log),
        ("SnapshotFailed", Effect::Log),
        // In nobody's table yet.
        ("NodeTeleported", Effect::Log),
        ("Changed", Effect::Log),
    ];

    #[test]
    fn every_name_of_the_table_has_its_effect_and_stays_the_name() {
        for (at, (name, effect)) in TABLE.into_iter().enumerate() {
            let event = Event::from_name(name);
            assert_eq!((event.name(), event.effect()), (name, effect), "{event:?}");
            assert_eq!(matches!(event, Event::Other(_)), at >= NAMED.len(), "{event:?}");
        }
    }

    #[test]
    fn a_name_in_any_case_is_the_same_event() {
        for event in NAMED {
            assert_eq!(Event::from_name(&event.name().to_ascii_lowercase()), event);
            assert_eq!(Event::from_name(&event.name().to_ascii_uppercase()), event);
        }
    }

    #[test]
    fn a_name_that_only_begins_like_another_is_another_event() {
        for name in ["AddCacheNodeCompleted", "AddCacheNode", "CacheNodesReboote", ""] {
            assert_eq!(Event::from_name(name), Event::Other(name.to_owned()));
        }
    }

    #[test]
    fn a_change_without_a_name_is_looked_into() {
        assert_eq!(Event::Changed.effect(), Effect::Nodes);
    }
}
