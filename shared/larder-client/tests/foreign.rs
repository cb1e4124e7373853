//! What other programs leave on our nodes: values that are longer than we take.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use futures_util::future::{join, join_all};
use larder_client::{Claim, Cluster, Error, Key, NodeError, ReadOptions, Stored};
use support::memcached::Memcached;
use support::{MINUTE, fault, item, key, text};

#[tokio::test]
async fn a_value_over_the_limit_costs_its_own_key_alone() {
    for node in Memcached::each_with(&NODE_LIMIT) {
        let cluster = node.cluster();
        let keys = stored_around_a_long_one(&node, &cluster).await;
        let before = connections(&cluster).await;
        for _ in 0..2 {
            check_one_fault(&keys, cluster.get_many(&keys).await, |item| item.is_some());
            check_one_fault(&keys, cluster.read_many(&keys, LEASE).await, |read| read.item.is_some());
        }
        assert_eq!(connections(&cluster).await, before, "a connection was given up");
    }
}

#[tokio::test]
async fn a_value_over_the_limit_leaves_the_leases_of_its_connection() {
    for node in Memcached::each_with(&NODE_LIMIT) {
        let cluster = node.cluster();
        stored_around_a_long_one(&node, &cluster).await;
        let mine = key("mine");
        let Claim::Won(lease) = cluster.read(&mine, LEASE).await.unwrap().claim else { panic!("no lease") };
        check_too_long(&fault(cluster.get(&key("long")).await));
        check_too_long(&fault(cluster.read(&key("long"), LEASE).await));
        assert_eq!(cluster.fill(item(&mine, "v"), &lease).await.unwrap(), Stored::Yes);
    }
}

#[tokio::test]
async fn readers_beside_a_value_over_the_limit_get_theirs() {
    for node in Memcached::each_with(&NODE_LIMIT) {
        let cluster = node.cluster();
        let keys = stored_around_a_long_one(&node, &cluster).await;
        let (long, others): (Vec<Key>, Vec<Key>) =
            keys.into_iter().partition(|key| *key == self::key("long"));
        let others = join_all(others.iter().map(|key| cluster.get(key)));
        let (long, others) = join(cluster.get(&long[0]), others).await;
        check_too_long(&fault(long));
        assert!(others.into_iter().all(|got| text(got).is_some()));
    }
}

#[tokio::test]
async fn a_node_with_a_value_over_the_limit_is_not_marked_down() {
    for node in Memcached::each_with(&NODE_LIMIT) {
        let cluster = node.cluster();
        stored_around_a_long_one(&node, &cluster).await;
        for _ in 0..5 {
            check_too_long(&fault(cluster.get(&key("long")).await));
        }
        cluster.set(item(&key("long"), "short")).await.unwrap();
        assert_eq!(text(cluster.get(&key("long")).await).unwrap(), "short");
    }
}

/// Stores short values, and a long one in their midst; answers their keys.
async fn stored_around_a_long_one(node: &Memcached, cluster: &Cluster) -> Vec<Key> {
    let mut keys: Vec<Key> = (0..40).map(|number| key(&format!("k{number}"))).collect();
    let items: Vec<_> = keys.iter().map(|key| item(key, "v")).collect();
    assert!(cluster.set_many(&items).await.is_empty());
    assert_eq!(node.ask(&format!("ms long {LONG} T0\r\n{}", "v".repeat(LONG))), "HD\r\n");
    keys.insert(20, key("long"));
    keys
}

#[track_caller]
fn check_one_fault<T: std::fmt::Debug>(
    keys: &[Key],
    found: Vec<Result<T, Error>>,
    is_hit: impl Fn(&T) -> bool,
) {
    for (key, found) in keys.iter().zip(found) {
        match found {
            Ok(found) => assert!(is_hit(&found), "{key}"),
            Err(Error::Node { source, .. }) => {
                assert_eq!(*key, self::key("long"), "{source:?}");
                check_too_long(&source);
            }
            Err(other) => panic!("{key}: {other:?}"),
        }
    }
}

#[track_caller]
fn check_too_long(error: &NodeError) {
    let NodeError::ValueTooLong(too_long) = error else { panic!("{error:?}") };
    assert_eq!((too_long.value_len, too_long.limit), (LONG as u64, 1 << 20));
}

/// How many connections the node has taken so far.
async fn connections(cluster: &Cluster) -> u64 {
    let stats = cluster.stats(None).await.unwrap().remove(0).stats.unwrap();
    stats.iter().find(|(name, _)| name == "total_connections").unwrap().1.parse().unwrap()
}

/// 2 MiB, which a node takes that is started so.
const LONG: usize = 2 << 20;
const NODE_LIMIT: [&str; 2] = ["-I", "8m"];
const LEASE: ReadOptions = ReadOptions { lease_for: Some(MINUTE), recache_below_secs: None, usage: false };
