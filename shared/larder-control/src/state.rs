//! What the control plane tells of a cluster.

use std::cmp::Ordering;
use std::fmt;
use std::time::SystemTime;

/// A cluster at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterState {
    /// The cluster's id, as in its notices.
    pub id: String,
    /// Whether it is being changed.
    pub status: ClusterStatus,
    /// The engine's version, such as `1.6.22`.
    pub engine_version: String,
    /// How many nodes it has, those that are being made included.
    pub node_count: u32,
    /// Its nodes, by their numbers.
    pub nodes: Vec<Node>,
    /// What is about to change.
    pub pending: Pending,
    /// Where its notices are published; `None` if nowhere.
    pub topic: Option<Topic>,
    /// Whether its nodes speak TLS.
    pub has_tls: bool,
}

impl ClusterState {
    /// Whether a change may be asked for: the cluster is available and nothing waits to be changed.
    ///
    /// What waits for the maintenance window counts, too, because the next change would take it along at once; one that
    /// waits could be a new engine, which empties every node.
    pub fn takes_changes(&self) -> bool {
        self.status == ClusterStatus::Available && self.pending.is_nothing()
    }
}

/// Whether a cluster is being changed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClusterStatus {
    /// It serves, and takes changes.
    Available,
    /// It is being made.
    Creating,
    /// It is being changed.
    Modifying,
    /// Some of its nodes are being restarted.
    Rebooting,
    /// It is being deleted.
    Deleting,
    /// In ElastiCache's own words, small letters, such as `incompatible-network`.
    Other(String),
}

impl ClusterStatus {
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "available" => Self::Available,
            "creating" => Self::Creating,
            "modifying" => Self::Modifying,
            "rebooting cluster nodes" => Self::Rebooting,
            "deleting" => Self::Deleting,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// ElastiCache's own word.
impl fmt::Display for ClusterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Available => "available",
            Self::Creating => "creating",
            Self::Modifying => "modifying",
            Self::Rebooting => "rebooting cluster nodes",
            Self::Deleting => "deleting",
            Self::Other(word) => word,
        })
    }
}

/// One node of a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Whether it serves.
    pub status: NodeStatus,
    /// Its name and port, which are its place on the ring; `None` while it is being made.
    pub endpoint: Option<(String, u16)>,
}

/// Whether a node serves.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NodeStatus {
    /// It serves.
    Available,
    /// It is being made.
    Creating,
    /// It is being restarted, and comes back empty.
    Rebooting,
    /// It is being taken away.
    Deleting,
    /// In the control plane's own words, small letters: a local node may be `paused` or `failed`.
    Other(String),
}

impl NodeStatus {
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "available" => Self::Available,
            "creating" => Self::Creating,
            "rebooting" => Self::Rebooting,
            "deleting" => Self::Deleting,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A node's number within its cluster, such as `0001`. It is not given twice while the cluster lives.
///
/// Numbers are ordered as numbers, so the node that was made last is the greatest.
///
/// ```
/// use larder_control::NodeId;
///
/// assert!(NodeId::new("9999") < NodeId::new("10000"));
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct NodeId(Box<str>);

impl NodeId {
    /// Takes the number as it is written.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The number as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for NodeId {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |id: &Self| id.0.len();
        key(self).cmp(&key(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is about to change in a cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pending {
    /// How many nodes there will be.
    pub node_count: Option<u32>,
    /// The nodes that will go.
    pub ids_to_remove: Vec<NodeId>,
    /// What else, in words: `engine version`, `node type`, …
    pub others: Vec<&'static str>,
}

impl Pending {
    /// Whether nothing is about to change.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the notices of a cluster are published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topic {
    /// The SNS topic.
    pub arn: String,
    /// Whether ElastiCache publishes to it. It stops where the topic is encrypted or its policy does not let it in.
    pub is_active: bool,
}

/// Something that happened to a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterEvent {
    /// When.
    pub at: SystemTime,
    /// What, in a sentence for people, such as `Added cache node 0004 in availability zone eu-west-1a`.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_the_words_it_came_in() {
        for word in [
            "available",
            "creating",
            "modifying",
            "rebooting cluster nodes",
            "deleting",
            "incompatible-network",
        ] {
            assert_eq!(ClusterStatus::of(word).to_string(), word);
        }
    }

    #[test]
    fn anything_that_waits_keeps_further_changes_out() {
        let quiet = ClusterState {
            id: "larder".to_owned(),
            status: ClusterStatus::Available,
            engine_version: "1.6.22".to_owned(),
            node_count: 0,
            nodes: Vec::new(),
            pending: Pending::default(),
            topic: None,
            has_tls: false,
        };
        assert!(quiet.takes_changes());
        for pending in [
            Pending { node_count: Some(3), ..Pending::default() },
            Pending { ids_to_remove: vec![NodeId::new("0001")], ..Pending::default() },
            Pending { others: vec!["engine version"], ..Pending::default() },
        ] {
            assert!(!ClusterState { pending, ..quiet.clone() }.takes_changes());
        }
        for word in ["modifying", "creating", "snapshotting"] {
            let status = ClusterStatus::of(word);
            assert!(!ClusterState { status, ..quiet.clone() }.takes_changes(), "{word}");
        }
    }
}
