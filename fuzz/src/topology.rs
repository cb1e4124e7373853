//! A topology: what is true of every one that is read.

use std::collections::HashSet;

use larder_discovery::{MAX_NODES, MAX_PAYLOAD_LEN, Node, Topology};

/// Checks that `payload` is refused, or read as a topology with nodes, each once, that says the same when it is read
/// again, even in a tidier writing.
pub fn check(payload: &[u8]) {
    let Ok(topology) = Topology::parse(payload) else { return };
    assert!(payload.len() <= MAX_PAYLOAD_LEN);
    assert_eq!(topology.text().as_bytes(), payload);
    assert!((1..=MAX_NODES).contains(&topology.nodes().len()));
    let ids: HashSet<_> = topology.nodes().iter().map(Node::id).collect();
    assert_eq!(ids.len(), topology.nodes().len(), "a node stands twice in {topology:?}");
    assert!(topology.diff(&topology).is_empty());

    let again = Topology::parse(tidy(&topology).as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{topology:?} is not read again: {error}"));
    assert_eq!((again.version(), again.nodes()), (topology.version(), topology.nodes()));
    assert!(topology.diff(&again).is_empty());
}

/// The payload as ElastiCache would write it.
fn tidy(topology: &Topology) -> String {
    let node = |node: &Node| {
        format!(
            "{}|{}|{}",
            bracketed(&node.host),
            node.ip.as_deref().map_or_else(String::new, bracketed),
            node.port
        )
    };
    let nodes: Vec<_> = topology.nodes().iter().map(node).collect();
    format!("{}\n{}\n", topology.version(), nodes.join(" "))
}

/// Brackets are taken off once, so a host that has some left needs another pair.
fn bracketed(host: &str) -> String {
    if host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}
