//! What changes for the nodes between two topologies.

use std::collections::HashMap;

use crate::node::Node;
use crate::topology::Topology;

/// The changes from one topology to the next, node by node.
///
/// Nodes are the same when their host and port are. Empty lists and an unmoved version may still hide two
/// different texts (a blank more or less): compare the topologies to know whether there is news at all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopologyDiff {
    /// Nodes only the next topology has, in its order.
    pub added: Vec<Node>,
    /// Nodes only the earlier topology has, in its order.
    pub removed: Vec<Node>,
    /// Nodes in both whose ip field changed, in the next one's order. They keep their place on the ring; their
    /// connections lead to the old machine.
    pub moved: Vec<Moved>,
    /// The nodes in both stand in another order: a ring by index changes, a ring by name does not.
    pub reordered: bool,
    /// Where the config version went.
    pub version: VersionStep,
}

/// A node that kept its name and changed its ip field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moved {
    /// The node as it is now.
    pub node: Node,
    /// What its ip field said before.
    pub from: Option<String>,
}

/// Where the config version went from one topology to the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VersionStep {
    /// It stayed, as it does when a node is replaced in place.
    Same,
    /// It grew, as it does when nodes are added or removed.
    Up,
    /// It fell: the cluster behind the name was created again. As much news as growing.
    Down,
}

impl TopologyDiff {
    /// Whether the next topology has the same nodes, addresses and order under the same version.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.changes_nodes() && self.moved.is_empty() && !self.reordered && self.version == VersionStep::Same
    }

    /// Whether nodes came or went, so that keys change their owner.
    #[must_use]
    pub fn changes_nodes(&self) -> bool {
        !self.added.is_empty() || !self.removed.is_empty()
    }

    pub(crate) fn between(before: &Topology, after: &Topology) -> Self {
        let old: HashMap<_, _> = before.nodes().iter().map(|node| (node.id(), node)).collect();
        let new: HashMap<_, _> = after.nodes().iter().map(|node| (node.id(), node)).collect();
        let stayed_before = before.nodes().iter().filter(|node| new.contains_key(&node.id()));
        let stayed_after = after.nodes().iter().filter(|node| old.contains_key(&node.id()));
        Self {
            added: only(after, |node| !old.contains_key(&node.id())),
            removed: only(before, |node| !new.contains_key(&node.id())),
            moved: after.nodes().iter().filter_map(|node| moved(old.get(&node.id())?, node)).collect(),
            reordered: !stayed_before.map(Node::id).eq(stayed_after.map(Node::id)),
            version: match after.version().cmp(&before.version()) {
                std::cmp::Ordering::Less => VersionStep::Down,
                std::cmp::Ordering::Equal => VersionStep::Same,
                std::cmp::Ordering::Greater => VersionStep::Up,
            },
        }
    }
}

fn only(topology: &Topology, keep: impl Fn(&Node) -> bool) -> Vec<Node> {
    topology.nodes().iter().filter(|node| keep(node)).cloned().collect()
}

fn moved(before: &Node, after: &Node) -> Option<Moved> {
    (before.ip != after.ip).then(|| Moved { node: after.clone(), from: before.ip.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_changes_nothing() {
        check("12\na|10.0.0.1|1 b||1\n", "12\na|10.0.0.1|1 b||1\n", "");
    }

    #[test]
    fn a_node_added_is_named() {
        check("12\na||1 c||1\n", "13\na||1 b||1 c||1\n", "up +b:1");
    }

    #[test]
    fn a_node_removed_is_named() {
        check("12\na||1 b||1 c||1\n", "13\na||1 c||1\n", "up -b:1");
    }

    #[test]
    fn a_list_that_shrinks_to_one_node_and_grows_back_is_followed() {
        check("12\na||1 b||1 c||1\n", "13\nb||1\n", "up -a:1 -c:1");
        check("13\nb||1\n", "14\na||1 b||1 c||1\n", "up +a:1 +c:1");
    }

    #[test]
    fn a_node_replaced_in_place_moves_under_the_same_version() {
        check("12\na|10.0.0.1|1 b||1\n", "12\na|10.0.0.2|1 b||1\n", "~a:1(10.0.0.1>10.0.0.2)");
    }

    #[test]
    fn two_nodes_that_swap_their_addresses_both_move() {
        check(
            "12\na|10.0.0.1|1 b|10.0.0.2|1\n",
            "12\na|10.0.0.2|1 b|10.0.0.1|1\n",
            "~a:1(10.0.0.1>10.0.0.2) ~b:1(10.0.0.2>10.0.0.1)",
        );
    }

    #[test]
    fn an_ip_that_appears_or_goes_is_a_move() {
        check("12\na||1\n", "12\na|10.0.0.1|1\n", "~a:1(>10.0.0.1)");
        check("12\na|10.0.0.1|1\n", "12\na||1\n", "~a:1(10.0.0.1>)");
    }

    #[test]
    fn another_port_is_another_node() {
        check("12\na||1\n", "12\na||2\n", "+a:2 -a:1");
    }

    #[test]
    fn a_lower_version_is_still_news() {
        check("12\na||1\n", "1\na||1\n", "down");
        check("12\na||1\n", "1\nb||1\n", "down +b:1 -a:1");
    }

    #[test]
    fn another_order_is_told_for_rings_by_index() {
        check("12\na||1 b||1\n", "12\nb||1 a||1\n", "reordered");
    }

    #[test]
    fn a_node_put_in_between_is_no_reordering_of_the_others() {
        check("12\na||1 c||1\n", "12\na||1 b||1 c||1\n", "+b:1");
    }

    #[test]
    fn a_blank_more_is_another_text_and_no_change_of_nodes() {
        let before = topology("12\na||1 b||1\n");
        let after = topology("12\na||1  b||1\n");
        assert_ne!(before, after);
        assert!(before.diff(&after).is_empty());
    }

    #[test]
    fn a_single_server_that_learns_discovery_gets_its_nodes() {
        let before = Topology::single("cfg", 1);
        assert_eq!(shown(&before.diff(&topology("1\na||1 b||1\n"))), "up +a:1 +b:1 -cfg:1");
    }

    /// Compares the diff in a short form: version, reordered, `+added`, `-removed`, `~moved(from>to)`.
    #[track_caller]
    fn check(before: &str, after: &str, expected: &str) {
        let diff = topology(before).diff(&topology(after));
        assert_eq!(shown(&diff), expected, "{before:?} to {after:?}");
        assert_eq!(diff.is_empty(), expected.is_empty());
        assert_eq!(diff.changes_nodes(), expected.contains(['+', '-']));
    }

    fn topology(text: &str) -> Topology {
        Topology::parse(text.as_bytes()).unwrap()
    }

    fn shown(diff: &TopologyDiff) -> String {
        let version = match diff.version {
            VersionStep::Same => None,
            VersionStep::Up => Some("up".to_owned()),
            VersionStep::Down => Some("down".to_owned()),
        };
        let moved = diff.moved.iter().map(|Moved { node, from }| {
            format!("~{node}({}>{})", from.as_deref().unwrap_or(""), node.ip.as_deref().unwrap_or(""))
        });
        version
            .into_iter()
            .chain(diff.reordered.then(|| "reordered".to_owned()))
            .chain(diff.added.iter().map(|node| format!("+{node}")))
            .chain(diff.removed.iter().map(|node| format!("-{node}")))
            .chain(moved)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
