//! A local cluster, how to reach it, and the ring documents on its nodes.

use larder_client::{Cluster, Config, Key, NewItem, Stored, Ttl};
use larder_local::{LocalCluster, Options};
use larder_ring::{Phase, RingDocument, RingKind, RingNode, Sighting};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) async fn cluster(nodes: usize) -> LocalCluster {
    LocalCluster::start(Options { nodes, ..Options::default() }).await.unwrap()
}

/// The arguments that lead to `cluster`.
pub(crate) fn reach(cluster: &LocalCluster) -> String {
    format!("--config-endpoint {} --hosts-file {}", cluster.config_endpoint(), cluster.hosts_file().display())
}

/// A client of its own, as an environment has it that starts now.
pub(crate) fn client(cluster: &LocalCluster) -> Cluster {
    let endpoint = cluster.config_endpoint().to_string().parse().unwrap();
    Cluster::new(Config { hosts_file: Some(cluster.hosts_file()), ..Config::new(endpoint) }).unwrap()
}

/// The nodes as discovery lists them.
pub(crate) fn listed(cluster: &LocalCluster) -> Vec<RingNode> {
    let listed = cluster.nodes().into_iter();
    listed
        .map(|node| RingNode { ip: Some(node.ip.to_string()), ..RingNode::new(node.name, node.port) })
        .collect()
}

/// Publishes the ring of the nodes that are listed.
pub(crate) async fn publish_first(cluster: &LocalCluster) -> RingDocument {
    publish(cluster, RingDocument::first(listed(cluster), now_ms())).await
}

/// Takes the change that began with `document`, to the nodes that are listed, as far as `phase`.
pub(crate) async fn publish_up_to(
    cluster: &LocalCluster,
    document: &RingDocument,
    phase: Phase,
) -> RingDocument {
    let mut document = document.clone();
    while document.phase != phase {
        let seen = Sighting { listed: &listed(cluster), lost: &[] };
        let next = document.following(RingKind::default(), seen, now_ms()).unwrap();
        document = publish(cluster, next).await;
    }
    document
}

/// Stores `document` on all its nodes, whatever they hold.
pub(crate) async fn publish(cluster: &LocalCluster, document: RingDocument) -> RingDocument {
    let client = client(cluster);
    for node in document.all_nodes() {
        let node = client.direct(&node);
        let before = node.document().await.unwrap().map(|held| held.version);
        assert_eq!(node.store_document(&document, before.as_ref()).await.unwrap(), Stored::Yes);
    }
    document
}

/// Stores `value` under each of `keys`, as an environment does that starts now.
pub(crate) async fn store(cluster: &LocalCluster, keys: &[Key], value: &[u8]) {
    let client = client(cluster);
    for key in keys {
        client.set(NewItem { key, value, client_flags: 1, ttl: Ttl::clamped(600) }).await.unwrap();
    }
}

pub(crate) fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|number| Key::new(format!("flights:{number}").as_bytes()).unwrap()).collect()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
