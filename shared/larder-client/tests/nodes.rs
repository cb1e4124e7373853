//! Nodes that are killed, stopped and come back, and what the others do meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use futures_util::future::join_all;
use larder_client::{Claim, Cluster, Config, Endpoint, Error, Item, Key, NodeError, ReadOptions, Stored};
use larder_meta::MOST_SKIPPED_BYTES;
use larder_ring::RingNode;
use support::memcached::Memcached;
use support::script::{Script, Step, exchange, expect, opening};
use support::{Hosts, MINUTE, PATIENCE, config, fault, item, key, key_on, pass, text};
use tokio::time::Instant;

#[tokio::test]
async fn the_keys_of_a_killed_node_are_errors_and_all_others_are_answered() {
    let mut nodes = [(); 3].map(|()| Memcached::start());
    let cluster = cluster_of(&nodes);
    let keys = filled(&cluster, 90).await;
    nodes[1].kill();
    check_all_but(&cluster, &keys, nodes[1].address).await;
    let reads = cluster.read_many(&keys, ReadOptions::default()).await;
    check_partial(
        &cluster,
        &keys,
        nodes[1].address,
        reads.into_iter().map(|read| read.map(|read| read.item)),
    )
    .await;

    let items: Vec<_> = keys.iter().map(|key| item(key, "new")).collect();
    for failure in cluster.set_many(&items).await {
        assert_eq!(*cluster.owner(&keys[failure.index]).await.unwrap(), *nodes[1].address.to_string());
    }
    let told = cluster.stats(None).await.unwrap();
    assert_eq!(told.iter().map(|told| told.stats.is_ok()).collect::<Vec<_>>(), [true, false, true]);
}

#[tokio::test]
async fn a_node_that_comes_back_is_used_again_after_its_pause() {
    let mut nodes = [(); 2].map(|()| Memcached::start());
    let cluster = cluster_of(&nodes);
    let key = key_on(&cluster, nodes[0].address).await;
    cluster.set(item(&key, "1")).await.unwrap();
    nodes[0].kill();
    fault(cluster.get(&key).await);
    nodes[0].restart();
    assert!(matches!(fault(cluster.get(&key).await), NodeError::Down { .. }));
    pass(PAUSE).await;
    assert_eq!(text(cluster.get(&key).await), None, "it is empty, for it was restarted");
    cluster.set(item(&key, "2")).await.unwrap();
    assert_eq!(text(cluster.get(&key).await).unwrap(), "2");
}

#[tokio::test]
async fn a_node_restarted_at_rest_is_not_noticed_by_the_caller() {
    let mut node = Memcached::start();
    let cluster = node.cluster();
    cluster.set(item(&key("k"), "1")).await.unwrap();
    node.restart();
    assert_eq!(text(cluster.get(&key("k")).await), None);
    cluster.set(item(&key("k"), "2")).await.unwrap();
    node.restart();
    pass(Duration::from_secs(3)).await;
    cluster.set(item(&key("k"), "3")).await.unwrap();
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "3");
}

#[tokio::test]
async fn a_stopped_node_costs_a_batch_its_deadline_and_the_next_one_nothing() {
    let nodes = [(); 3].map(|()| Memcached::start());
    let cluster = Cluster::new(Config { timeout: A_MOMENT, mark_down: PAUSE, ..config_of(&nodes) }).unwrap();
    let keys = filled(&cluster, 90).await;
    nodes[2].stop();
    let asked = Instant::now();
    check_all_but(&cluster, &keys, nodes[2].address).await;
    assert!(asked.elapsed() >= A_MOMENT && asked.elapsed() < PATIENCE);

    for found in cluster.get_many(&keys).await {
        assert!(!matches!(found, Err(Error::Node { source: NodeError::Deadline, .. })), "{found:?}");
    }
    nodes[2].resume();
    pass(PAUSE).await;
    // One of the keys is the probe's, the others go with it, for they are one batch.
    for (key, found) in keys.iter().zip(cluster.get_many(&keys).await) {
        assert_eq!(text(found).unwrap(), key.to_string());
    }
}

#[tokio::test]
async fn one_silent_node_of_forty_takes_its_own_keys_only() {
    let node = Memcached::start();
    // The system takes the connection; nobody ever answers.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let names: Vec<String> = (0..40).map(|number| format!("n{number}.test")).collect();
    let hosts = Hosts::new(names.iter().map(|name| (&**name, Ipv4Addr::LOCALHOST.into())));
    let port = |number| if number == 7 { silent.local_addr().unwrap().port() } else { node.address.port() };
    let list = (0..40).map(|number| RingNode {
        host: names[number].clone(),
        port: port(number),
        weight: 1,
        ip: None,
    });
    let endpoint = Endpoint::Nodes(list.collect());
    let cluster =
        Cluster::new(Config { timeout: A_MOMENT, hosts_file: Some(hosts.path()), ..Config::new(endpoint) })
            .unwrap();

    let keys: Vec<Key> = (0..2000).map(|number| key(&format!("key-{number}"))).collect();
    let (mut lost, mut missed) = (0, 0);
    for (key, found) in keys.iter().zip(cluster.get_many(&keys).await) {
        match found {
            Ok(found) => {
                assert_eq!(found, None);
                missed += 1;
            }
            Err(Error::Node { node, source: NodeError::Deadline }) => {
                assert_eq!(*node, *cluster.owner(key).await.unwrap());
                assert!(node.starts_with("n7.test:"), "{node}");
                lost += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((1..200).contains(&lost), "{lost} keys of {}", lost + missed);
}

#[tokio::test]
async fn a_failed_node_is_left_alone_and_then_tried_by_one() {
    let failure = [&opening()[..], &[expect(GET_K), Step::Close]].concat();
    let script =
        Script::start([failure, [opening(), exchange(GET_K, HIT), exchange(GET_K, HIT)].concat()]).await;
    let cluster = script.cluster_with(|config| config.mark_down = PAUSE);
    assert!(matches!(fault(cluster.get(&key("k")).await), NodeError::Lost { .. }));
    for _ in 0..10 {
        let NodeError::Down { retry_in } = fault(cluster.get(&key("k")).await) else { panic!("not down") };
        assert!(retry_in > Duration::ZERO && retry_in <= PAUSE, "{retry_in:?}");
    }
    pass(PAUSE).await;
    let (found, down): (Vec<_>, Vec<_>) = join_all([(); 8].map(|()| async { cluster.get(&key("k")).await }))
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!(found.len(), 1);
    for down in down {
        assert!(matches!(fault(down), NodeError::Down { retry_in: Duration::ZERO }));
    }
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
    script.finish(cluster).await;
}

#[tokio::test]
async fn calls_that_fail_together_are_one_failure_of_the_node() {
    let requests = GET_K.repeat(64);
    let failure = [&opening()[..], &[expect(requests), Step::Close]].concat();
    let script = Script::start([failure, [opening(), exchange(GET_K, HIT)].concat()]).await;
    let cluster =
        script.cluster_with(|config| (config.mark_down, config.max_mark_down) = (PAUSE, 10 * PAUSE));
    for failed in join_all([(); 64].map(|()| async { cluster.get(&key("k")).await })).await {
        fault(failed);
    }
    pass(PAUSE).await;
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
    script.finish(cluster).await;
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_mark_the_node_down() {
    let slow = [expect(GET_K), Step::ExpectEnd];
    let script =
        Script::start([[&opening()[..], &slow].concat(), [opening(), exchange(GET_K, HIT)].concat()]).await;
    let cluster = script.cluster();
    let late = fault(cluster.until(Instant::now() + A_MOMENT / 10).get(&key("k")).await);
    assert!(matches!(late, NodeError::Deadline), "{late:?}");
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
    script.finish(cluster).await;
}

#[tokio::test]
async fn callers_in_a_hurry_find_a_silent_node_out_together() {
    let node = Memcached::start();
    let cluster = Cluster::new(Config { timeout: A_MOMENT, ..config(&[node.address]) }).unwrap();
    cluster.set(item(&key("k"), "v")).await.unwrap();
    node.stop();
    let began = Instant::now();
    loop {
        let late = fault(cluster.until(Instant::now() + A_MOMENT / 20).get(&key("k")).await);
        match late {
            NodeError::Deadline => assert!(began.elapsed() < PATIENCE, "nobody found it out"),
            late => break assert!(matches!(late, NodeError::Down { .. }), "{late:?}"),
        }
    }
    assert!(began.elapsed() >= A_MOMENT, "it was given too little time");
    node.resume();
}

#[tokio::test]
async fn a_value_too_long_to_be_skipped_ends_its_connection_and_no_more() {
    let too_long = format!("VA {} f0\r\n", MOST_SKIPPED_BYTES + 1);
    let script = Script::start([
        [opening(), exchange(GET_K, &too_long)].concat(),
        [opening(), exchange(GET_K, HIT)].concat(),
    ]);
    let script = script.await;
    let cluster = script.cluster();
    let refused = fault(cluster.get(&key("k")).await);
    assert!(refused.to_string().contains("protocol"), "{refused:?}");
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
    script.finish(cluster).await;
}

/// A restarted node gives the same CAS tokens again: an old lease must not fit a new item.
#[tokio::test]
async fn a_lease_ends_with_its_node() {
    for mut node in Memcached::each() {
        let cluster = node.cluster();
        let options = ReadOptions { lease_for: Some(MINUTE), ..ReadOptions::default() };
        let read = cluster.read(&key("k"), options).await.unwrap();
        let Claim::Won(old) = read.claim else { panic!("{read:?}") };
        node.restart();
        let read = node.cluster().read(&key("k"), options).await.unwrap();
        let Claim::Won(_new) = read.claim else { panic!("{read:?}") };

        assert_eq!(cluster.fill(item(&key("k"), "old"), &old).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key("k")).await), None);
        assert_eq!(cluster.fill(item(&key("k"), "old"), &old).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key("k")).await), None);
    }
}

/// The same for a version that was read to be compared with.
#[tokio::test]
async fn a_cas_token_ends_with_its_node() {
    for mut node in Memcached::each() {
        let cluster = Cluster::new(Config { mark_down: Duration::from_millis(1), ..config(&[node.address]) });
        let (cluster, stock) = (cluster.unwrap(), key("stock"));
        cluster.set(item(&stock, "10")).await.unwrap();
        let (_, cas) = cluster.get_with_cas(&stock).await.unwrap().unwrap();
        node.restart();
        // The first token of the new process is that of the old one.
        node.cluster().set(item(&stock, "7")).await.unwrap();
        // The old connection may be found broken only now.
        let first = cluster.compare_and_set(item(&stock, "9"), cas).await;
        assert!(matches!(first, Err(_) | Ok(Stored::Refused)), "{first:?}");
        for _ in 0..3 {
            assert_eq!(cluster.compare_and_set(item(&stock, "9"), cas).await.unwrap(), Stored::Refused);
            assert_eq!(text(cluster.get(&stock).await).unwrap(), "7");
        }
    }
}

#[tokio::test]
async fn a_cas_token_ends_with_its_connection_and_the_next_read_gives_another() {
    for node in Memcached::each() {
        let (cluster, stock) = (node.cluster(), key("stock"));
        cluster.set(item(&stock, "10")).await.unwrap();
        let (_, cas) = cluster.get_with_cas(&stock).await.unwrap().unwrap();
        pass(2 * cluster_config().max_idle).await;
        assert_eq!(cluster.compare_and_set(item(&stock, "9"), cas).await.unwrap(), Stored::Refused);
        let (_, cas) = cluster.get_with_cas(&stock).await.unwrap().unwrap();
        assert_eq!(cluster.compare_and_set(item(&stock, "9"), cas).await.unwrap(), Stored::Yes);
    }
}

#[tokio::test]
async fn a_cas_token_that_a_rest_has_not_ended_is_good() {
    for node in Memcached::each() {
        let (cluster, stock) = (node.cluster(), key("stock"));
        cluster.set(item(&stock, "10")).await.unwrap();
        let (_, cas) = cluster.get_with_cas(&stock).await.unwrap().unwrap();
        pass(2 * cluster_config().look_after_idle).await;
        assert_eq!(cluster.compare_and_set(item(&stock, "9"), cas).await.unwrap(), Stored::Yes);
    }
}

fn cluster_config() -> Config {
    config_of(&[])
}

fn config_of(nodes: &[Memcached]) -> Config {
    config(&nodes.iter().map(|node| node.address).collect::<Vec<_>>())
}

fn cluster_of(nodes: &[Memcached]) -> Cluster {
    Cluster::new(Config { mark_down: PAUSE, ..config_of(nodes) }).unwrap()
}

/// Stores `count` keys, each with itself as its value.
async fn filled(cluster: &Cluster, count: usize) -> Vec<Key> {
    let keys: Vec<Key> = (0..count).map(|number| key(&format!("key-{number}"))).collect();
    let items: Vec<_> = keys.iter().map(|key| item(key, key)).collect();
    assert!(cluster.set_many(&items).await.is_empty());
    keys
}

async fn check_all_but(cluster: &Cluster, keys: &[Key], dead: SocketAddr) {
    let found = cluster.get_many(keys).await;
    check_partial(cluster, keys, dead, found.into_iter()).await;
}

/// The keys of `dead` are its errors, all others are hits.
async fn check_partial(
    cluster: &Cluster,
    keys: &[Key],
    dead: SocketAddr,
    found: impl Iterator<Item = Result<Option<Item>, Error>>,
) {
    let dead = dead.to_string();
    let mut failed = 0;
    for (key, found) in keys.iter().zip(found) {
        let owner = cluster.owner(key).await.unwrap();
        match found {
            Err(Error::Node { node, .. }) => {
                assert_eq!((&*node, &*owner), (&*dead, &*dead), "{key}");
                failed += 1;
            }
            found => {
                assert_ne!(*owner, *dead, "{key}");
                assert_eq!(text(found).unwrap(), key.to_string());
            }
        }
    }
    assert!((1..keys.len()).contains(&failed), "{failed} of {} keys failed", keys.len());
}

/// What `get` of `k` sends.
const GET_K: &str = "mg k f v\r\n";
const HIT: &str = "VA 1 f1\r\nv\r\n";
/// How long a failed node is left alone in these tests.
const PAUSE: Duration = Duration::from_secs(10);
/// A deadline that is meant to pass, but not for those who are asked and answer.
const A_MOMENT: Duration = Duration::from_secs(1);
