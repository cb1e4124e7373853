//! What is to be done for a change that was asked for, given the cluster as it is: no call, no clock.

use std::time::{Duration, SystemTime};

use larder_control::{ClusterState, Node, NodeId};
use larder_ring::RingNode;

use crate::ask::Change;
use crate::ring::RingState;

/// Within what the cluster is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// The fewest nodes that are left.
    pub min_nodes: u32,
    /// The most nodes that are asked for.
    pub max_nodes: u32,
    /// How long after a change of the ring, or one of ours, the next may be made.
    pub cool_down: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Have nodes added until there are so many.
    Out {
        /// How many.
        to: u32,
    },
    /// Take a node back into the ring that an earlier run left out of it and did not take away.
    Back {
        /// Its number.
        id: NodeId,
        /// Its place on the ring.
        node: RingNode,
    },
    /// Have one node taken away.
    In {
        /// Its number.
        id: NodeId,
        /// Its place on the ring.
        node: RingNode,
        /// How many are left.
        to: u32,
    },
}

/// Why nothing is done now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The cluster is being changed, or something waits to be changed, which the next change would take along.
    #[error("{0}")]
    Changing(String),
    /// There are as many nodes as there may be.
    #[error("there may be {0} nodes at most")]
    AtMost(u32),
    /// There are as few nodes as there may be.
    #[error("there are to be {0} nodes at least")]
    AtLeast(u32),
    /// The last change is not long enough ago.
    #[error("the last change was {}s ago, the next may be made in {}s", .since.as_secs(), .again_in.as_secs())]
    CoolDown {
        /// How long ago it was.
        since: Duration,
        /// When to ask again.
        again_in: Duration,
    },
    /// ElastiCache has no room for another node.
    #[error("{0}")]
    NoRoom(String),
}

/// The plan for `change` of a cluster that is as `state` says, whose ring is as `ring` says, at `now`.
///
/// The node that goes is the one with the greatest number: it was made last, so a node that was added for a rush goes
/// with it, and those that stay have their names from the beginning. A node that an earlier run left out of the ring
/// goes before it, and does not wait for the cool-down, because that run was not finished.
pub fn plan(
    change: Change,
    state: &ClusterState,
    ring: &RingState,
    bounds: &Bounds,
    now: SystemTime,
) -> Result<Plan, Refusal> {
    if !state.takes_changes() {
        return Err(Refusal::Changing(what_changes(state)));
    }
    let left_out = state.nodes.iter().filter(|node| is_retired(node, ring)).max_by_key(|node| &node.id);
    let since = ring.last_change.map(|last| apart(last, now)).filter(|since| *since < bounds.cool_down);
    let cool_down = since.map(|since| Refusal::CoolDown { since, again_in: bounds.cool_down - since });
    match (change, left_out.and_then(placed), cool_down) {
        (Change::In, ..) if state.node_count <= bounds.min_nodes => Err(Refusal::AtLeast(bounds.min_nodes)),
        (Change::In, Some((id, node)), _) => Ok(Plan::In { id, node, to: state.node_count - 1 }),
        (Change::Out, None, _) if state.node_count >= bounds.max_nodes => {
            Err(Refusal::AtMost(bounds.max_nodes))
        }
        (_, _, Some(refusal)) => Err(refusal),
        (Change::Out, Some((id, node)), None) => Ok(Plan::Back { id, node }),
        (Change::Out, None, None) => Ok(Plan::Out { to: state.node_count + 1 }),
        (Change::In, None, None) => {
            let newest = state.nodes.iter().max_by_key(|node| &node.id).and_then(placed);
            let nameless = || Refusal::Changing("the node that would go has no name yet".to_owned());
            let (id, node) = newest.ok_or_else(nameless)?;
            Ok(Plan::In { id, node, to: state.node_count - 1 })
        }
    }
}

/// Whether the ring has followed the last change of the nodes, so that its own time tells when that was: it has the
/// nodes that are listed, but for those that it leaves out, and no other.
pub fn has_followed(ring: &RingState, state: &ClusterState) -> bool {
    let is_known = |node: &Node| is_among(node, &ring.nodes) || is_among(node, &ring.retired);
    let is_listed = |node: &RingNode| state.nodes.iter().any(|listed| is_at(listed, node));
    let is_retired = |node: &RingNode| node.is_in(&ring.retired);
    state.nodes.iter().all(is_known) && ring.nodes.iter().all(|node| is_listed(node) || is_retired(node))
}

fn is_retired(node: &Node, ring: &RingState) -> bool {
    is_among(node, &ring.retired)
}

fn is_among(node: &Node, places: &[RingNode]) -> bool {
    places.iter().any(|place| is_at(node, place))
}

fn is_at(node: &Node, place: &RingNode) -> bool {
    node.endpoint.as_ref().is_some_and(|(host, port)| (host, *port) == (&place.host, place.port))
}

fn placed(node: &Node) -> Option<(NodeId, RingNode)> {
    let (host, port) = node.endpoint.clone()?;
    Some((node.id.clone(), RingNode::new(host, port)))
}

fn what_changes(state: &ClusterState) -> String {
    let pending = &state.pending;
    let mut waits = Vec::new();
    if let Some(count) = pending.node_count {
        waits.push(format!("{count} nodes"));
    }
    waits.extend(pending.ids_to_remove.iter().map(|id| format!("removal of {id}")));
    waits.extend(pending.others.iter().map(|other| (*other).to_owned()));
    match waits.as_slice() {
        [] => format!("the cluster is {}", state.status),
        waits => format!("the cluster is {}, and these wait: {}", state.status, waits.join(", ")),
    }
}

/// The time between two moments; clocks of different machines may turn them round.
fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|turned| turned.duration())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use larder_control::{ClusterStatus, NodeStatus, Pending};

    use super::*;

    const BOUNDS: Bounds = Bounds { min_nodes: 2, max_nodes: 4, cool_down: Duration::from_secs(600) };
    const NOW: SystemTime = UNIX_EPOCH;

    fn cluster(ids: &[&str]) -> ClusterState {
        let node = |id: &&str| Node {
            id: NodeId::new(*id),
            status: NodeStatus::Available,
            endpoint: Some((format!("{id}.cache"), 11211)),
        };
        ClusterState {
            id: "air".to_owned(),
            status: ClusterStatus::Available,
            engine_version: "1.6.22".to_owned(),
            node_count: ids.len() as u32,
            nodes: ids.iter().map(node).collect(),
            pending: Pending::default(),
            topic: None,
            has_tls: false,
        }
    }

    fn changed(at: SystemTime) -> RingState {
        RingState { last_change: Some(at), ..RingState::default() }
    }

    #[track_caller]
    fn check(change: Change, state: &ClusterState, expected: Result<Plan, Refusal>) {
        assert_eq!(plan(change, state, &RingState::default(), &BOUNDS, NOW), expected, "{change:?}");
    }

    #[test]
    fn one_node_comes_or_the_newest_goes() {
        let state = cluster(&["0001", "0012", "0003"]);
        check(Change::Out, &state, Ok(Plan::Out { to: 4 }));
        let node = RingNode::new("0012.cache", 11211);
        check(Change::In, &state, Ok(Plan::In { id: NodeId::new("0012"), node, to: 2 }));
    }

    #[test]
    fn bounds_are_kept_in_one_direction_and_let_back_in_from_the_other() {
        let (few, many) = (cluster(&["1"]), cluster(&["1", "2", "3", "4", "5"]));
        check(Change::In, &few, Err(Refusal::AtLeast(2)));
        check(Change::Out, &many, Err(Refusal::AtMost(4)));
        check(Change::Out, &few, Ok(Plan::Out { to: 2 }));
        let node = RingNode::new("5.cache", 11211);
        check(Change::In, &many, Ok(Plan::In { id: NodeId::new("5"), node, to: 4 }));
        check(Change::In, &cluster(&["1", "2"]), Err(Refusal::AtLeast(2)));
        check(Change::Out, &cluster(&["1", "2", "3", "4"]), Err(Refusal::AtMost(4)));
    }

    #[test]
    fn a_cluster_that_changes_is_left_alone() {
        let state = ClusterState { status: ClusterStatus::Modifying, ..cluster(&["1", "2", "3"]) };
        for change in [Change::Out, Change::In] {
            check(change, &state, Err(Refusal::Changing("the cluster is modifying".to_owned())));
        }
    }

    #[test]
    fn what_waits_for_the_maintenance_window_is_not_taken_along() {
        let pending = Pending {
            node_count: Some(2),
            ids_to_remove: vec![NodeId::new("0003")],
            others: vec!["engine version"],
        };
        let state = ClusterState { pending, ..cluster(&["0001", "0002", "0003"]) };
        let waits = "the cluster is available, and these wait: 2 nodes, removal of 0003, engine version";
        check(Change::In, &state, Err(Refusal::Changing(waits.to_owned())));
    }

    #[test]
    fn a_change_is_not_followed_by_another_before_the_cool_down_is_over() {
        let state = cluster(&["1", "2", "3"]);
        let at = |secs: u64| NOW + Duration::from_secs(secs);
        let planned = |last| plan(Change::Out, &state, &changed(last), &BOUNDS, at(1_000));
        let again_in = Duration::from_secs(1);
        let since = Duration::from_secs(599);
        assert_eq!(planned(at(401)), Err(Refusal::CoolDown { since, again_in }));
        assert_eq!(planned(at(400)), Ok(Plan::Out { to: 4 }));
    }

    #[test]
    fn a_clock_that_is_a_little_ahead_does_not_end_the_cool_down_and_one_that_is_far_ahead_does_not_prolong_it()
     {
        let state = cluster(&["1", "2", "3"]);
        let ring = |ahead| changed(NOW + Duration::from_secs(ahead));
        let planned = |ahead| plan(Change::Out, &state, &ring(ahead), &BOUNDS, NOW);
        assert!(matches!(planned(5), Err(Refusal::CoolDown { .. })));
        assert_eq!(planned(86_400), Ok(Plan::Out { to: 4 }));
    }
    #[test]
    fn a_node_that_was_left_out_of_the_ring_and_is_still_there_goes_first_and_at_once() {
        let state = cluster(&["1", "2", "3"]);
        let node = RingNode::new("2.cache", 11211);
        let ring = RingState { retired: vec![node.clone()], ..changed(NOW) };
        let planned = plan(Change::In, &state, &ring, &BOUNDS, NOW);
        assert_eq!(planned, Ok(Plan::In { id: NodeId::new("2"), node, to: 2 }));
        assert_eq!(plan(Change::In, &cluster(&["1", "2"]), &ring, &BOUNDS, NOW), Err(Refusal::AtLeast(2)));
    }

    #[test]
    fn a_node_that_was_left_out_of_the_ring_comes_back_before_a_new_one_comes() {
        let state = cluster(&["1", "2", "3", "4"]);
        let node = RingNode::new("2.cache", 11211);
        let gone = RingNode::new("2.cache", 11212);
        let ring = RingState { retired: vec![gone.clone(), node.clone()], ..RingState::default() };
        let planned = |ring: &RingState| plan(Change::Out, &state, ring, &BOUNDS, NOW);
        assert_eq!(planned(&ring), Ok(Plan::Back { id: NodeId::new("2"), node }));
        assert!(matches!(
            planned(&RingState { last_change: Some(NOW), ..ring }),
            Err(Refusal::CoolDown { .. })
        ));
        let gone = RingState { retired: vec![gone], ..RingState::default() };
        assert_eq!(planned(&gone), Err(Refusal::AtMost(4)));
    }

    #[test]
    fn a_ring_has_followed_where_it_has_the_nodes_that_are_listed() {
        let places =
            |ids: &[&str]| ids.iter().map(|id| RingNode::new(format!("{id}.cache"), 11211)).collect();
        for (nodes, retired, listed, expected) in [
            (&["1", "2"][..], &[][..], &["1", "2"][..], true),
            (&["1", "2"], &[], &["1", "2", "3"], false),
            (&["1", "2", "3"], &[], &["1", "2"], false),
            (&["1", "2"], &["3"], &["1", "2", "3"], true),
            (&["1", "2"], &["3"], &["1", "2"], true),
            (&["1", "2", "3"], &["3"], &["1", "2"], true),
            (&[], &[], &["1", "2"], false),
        ] {
            let ring = RingState { last_change: None, nodes: places(nodes), retired: places(retired) };
            let followed = has_followed(&ring, &cluster(listed));
            assert_eq!(followed, expected, "{nodes:?} without {retired:?}, listed {listed:?}");
        }
    }
}
