//! A fleet that has lost its ring document on all nodes: what its environments go on with, and the publisher that
//! founds another one over what the first left behind.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use larder_cache::{Cache, Loaded, OriginGuard, Outcome, Policy, Tag, Unfinished, Written};
use larder_client::{Cluster, Config, Endpoint, Ttl};
use larder_local::{ConfigReply, LocalCluster, NodeId};
use larder_ring::{Phase, RingDocument};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::support::*;

// Epochs that jump.

/// Epochs are tagged by 16 bits of a time in seconds: a jump of more than 9 h 6 min makes what is old look new.
#[tokio::test]
async fn no_jump_of_the_epoch_keeps_a_key_from_being_cached() {
    for hours in [1, 6, 12, 18, 24] {
        let loads = reads_after_a_jump(hours, &Policy::fresh_for(Ttl::clamped(3600))).await;
        assert!(loads <= 1, "{hours} h: {loads} loads of 20 reads");
    }
}

#[tokio::test]
async fn no_jump_of_the_epoch_keeps_a_table_from_being_cached() {
    for hours in [6, 12] {
        let policy = Policy { tags: vec![Tag::new(["flights"])], ..Policy::fresh_for(Ttl::clamped(3600)) };
        let loads = reads_after_a_jump(hours, &policy).await;
        assert!(loads <= 2, "{hours} h: {loads} loads of 20 reads: the key's, and once more for its tag's");
    }
}

#[tokio::test]
async fn a_batch_after_a_jump_of_the_epoch_loads_each_key_once() {
    let (local, old) = fleet_of(2, 12).await;
    let (keys, calls) = (keys(40), AtomicU64::new(0));
    read_many(&old, &keys, &calls).await;
    forget(&local).await;
    finish(&publisher(&local)).await;
    let cold = cache_of(&local);
    calls.store(0, SeqCst);
    for _ in 0..3 {
        read_many(&cold, &keys, &calls).await;
        read_many(&old, &keys, &calls).await;
    }
    assert!(calls.load(SeqCst) <= 40, "{} loads of 40 keys", calls.load(SeqCst));
}

/// How often the origin is asked in 20 reads of one key by two environments, after a fleet that was deployed so many
/// hours ago has lost its document and another one is founded.
async fn reads_after_a_jump(hours: u64, policy: &Policy) -> u64 {
    let (local, old) = fleet_of(2, hours).await;
    let calls = AtomicU64::new(0);
    let key = key("flights:17");
    read(&old, &key, policy, &calls).await;
    forget(&local).await;
    // The environment that knows the document fills the cache again, under the epoch of before.
    until("it is cached", || async { read(&old, &key, policy, &calls).await == Outcome::Hit }).await;
    check(&finish(&publisher(&local)).await, &[Phase::Active], "12");
    let new = cache_of(&local);
    calls.store(0, SeqCst);
    for _ in 0..10 {
        for cache in [&old, &new] {
            read(cache, &key, policy, &calls).await;
        }
    }
    assert_eq!(read(&new, &key, policy, &calls).await, Outcome::Hit, "{hours} h");
    calls.load(SeqCst)
}

// Environments without a document.

#[tokio::test]
async fn calls_side_by_side_after_a_rest_all_go_on_without_the_document() {
    let (local, _) = settled(2).await;
    let cluster = client(&local);
    look(&cluster).await;
    forget(&local).await;
    for _ in 0..5 {
        rest().await;
        let keys = keys(8);
        let got = futures_util::future::join_all(keys.iter().map(|key| cluster.get(key))).await;
        assert!(got.iter().all(Result::is_ok), "{got:?}");
    }
}

#[tokio::test]
async fn a_table_with_a_namespace_is_cached_while_the_document_is_lost() {
    let (local, old) = fleet_of(2, 1).await;
    let policy = Policy { tags: vec![Tag::new(["flights"])], ..Policy::fresh_for(Ttl::clamped(3600)) };
    let (calls, key) = (AtomicU64::new(0), key("flights:17"));
    read(&old, &key, &policy, &calls).await;
    forget(&local).await;
    for _ in 0..5 {
        rest().await;
        assert_eq!(read(&old, &key, &policy, &calls).await, Outcome::Hit);
    }
}

#[tokio::test]
async fn a_lost_document_costs_no_connection_to_the_endpoint() {
    let (local, _) = settled(3).await;
    let (endpoint, accepted) = counting_door(local.config_endpoint()).await;
    let host = endpoint.ip().to_string();
    let endpoint = Endpoint::Configuration { host, port: endpoint.port() };
    let cluster = Cluster::new(Config { endpoint, ..config(&local) }).unwrap();
    look(&cluster).await;
    forget(&local).await;
    let before = accepted.load(SeqCst);
    for key in keys(40) {
        rest().await;
        cluster.get(&key).await.unwrap();
    }
    assert_eq!(accepted.load(SeqCst) - before, 0);
}

/// It holds the ring document, so it is a node of a cluster; its configuration comes back.
#[tokio::test]
async fn a_cold_environment_writes_to_no_node_while_the_endpoint_knows_none() {
    let (local, reader) = fleet_of(3, 6).await;
    let (keys, policy, calls) = (keys(30), Policy::fresh_for(Ttl::clamped(3600)), AtomicU64::new(0));
    for key in &keys {
        read(&reader, key, &policy, &calls).await;
    }
    let writer = cache_of(&local);
    local.answer_config(ConfigReply::NotSupported).await.unwrap();
    for key in &keys[..3] {
        assert_eq!(read(&writer, key, &policy, &calls).await, Outcome::Bypass);
    }
    local.answer_config(ConfigReply::Topology).await.unwrap();
    for key in &keys {
        let intent = writer.intend(key, &policy, soon()).await;
        let new = Loaded::raw("new").of_version(2);
        assert_eq!(writer.written(intent, &new, &policy, soon()).await.unwrap(), Written::Stored);
    }
    for key in &keys {
        let load = || async { Ok::<_, Infallible>(Some(Bytes::from_static(b"loaded"))) };
        let answer = reader.get_or_load(key, &policy, soon(), load).await.0.unwrap();
        assert_eq!(answer.value.as_deref(), Some(&b"new"[..]), "{key}");
    }
}

/// Environments may have gone by two lists of nodes at that time: one has loaded what another has written elsewhere.
#[tokio::test]
async fn what_was_loaded_under_no_document_is_loaded_once_more_under_the_first() {
    let local = start(3).await;
    let (keys, calls) = (keys(20), AtomicU64::new(0));
    let without = cache_of(&local);
    for _ in 0..2 {
        read_many(&without, &keys, &calls).await;
    }
    assert_eq!(calls.load(SeqCst), 20, "without a document they are cached");
    check(&finish(&publisher(&local)).await, &[Phase::Active], "123");
    let cold = cache_of(&local);
    for _ in 0..3 {
        for cache in [&cold, &without] {
            read_many(cache, &keys, &calls).await;
        }
    }
    assert_eq!(calls.load(SeqCst), 40);
}

// A silent node among them.

#[tokio::test]
async fn a_silent_node_takes_its_own_keys_along_and_no_others() {
    let (local, warm) = fleet_of(3, 6).await;
    let (keys, calls, policy) = (keys(30), AtomicU64::new(0), Policy::fresh_for(Ttl::clamped(3600)));
    for key in &keys {
        read(&warm, key, &policy, &calls).await;
    }
    forget(&local).await;
    let silent = format!("{}:{}", local.nodes()[2].name, local.nodes()[2].port);
    local.pause_node(NodeId(3)).await.unwrap();
    rest().await;
    // Before a publisher has noticed, and after it has founded another document.
    for founded in [false, true] {
        if founded {
            let report = publisher(&local).reconcile(soon()).await.unwrap();
            assert_eq!(phases(&report), [Phase::Active], "{report:?}");
        }
        for cache in [&warm, &cache_of(&local)] {
            let mut bypassed = BTreeMap::new();
            for _ in 0..2 {
                for key in &keys {
                    let owner = cache.cluster().owner(key).await.unwrap();
                    let outcome = read(cache, key, &policy, &calls).await;
                    if outcome == Outcome::Bypass {
                        *bypassed.entry(owner.to_string()).or_insert(0) += 1;
                    }
                }
            }
            let others: Vec<_> = bypassed.keys().filter(|node| **node != silent).collect();
            assert!(others.is_empty(), "founded {founded}: {bypassed:?}, silent is {silent}");
        }
    }
    local.resume_node(NodeId(3)).await.unwrap();
    let report = finish(&publisher(&local)).await;
    all_hold(report.document.as_ref().unwrap(), &held(&local).await);
}

#[tokio::test]
async fn a_silent_node_gets_the_document_that_was_founded_without_it() {
    let (local, document) = growing(3, Phase::Leaving).await;
    local.pause_node(NodeId(1)).await.unwrap();
    for id in 2..=4 {
        local.reboot_node(NodeId(id)).await.unwrap();
    }
    let report = finish(&publisher(&local)).await;
    check(&report, &[Phase::Active], "1234");
    let founded = report.document.unwrap();
    assert!(founded.epoch > document.epoch);

    local.resume_node(NodeId(1)).await.unwrap();
    check(&finish(&publisher(&local)).await, &[], "1234");
    all_hold(&founded, &held(&local).await);
}

#[tokio::test]
async fn where_all_nodes_are_silent_no_document_is_founded() {
    let local = start(2).await;
    let publisher = publisher(&local);
    // So that the nodes are known.
    look(&client(&local)).await;
    let known = publisher.document(soon()).await.unwrap();
    assert_eq!(known, None);
    for id in [1, 2] {
        local.pause_node(NodeId(id)).await.unwrap();
    }
    let report = publisher.reconcile(in_millis(4_000)).await;
    let is_unfinished = |report: &larder_cache::Report| {
        matches!(report.unfinished, Some(Unfinished::Unreachable | Unfinished::OutOfTime))
            && report.published.is_empty()
    };
    // The nodes' own names may be silent to discovery, too.
    assert!(report.as_ref().map_or(true, is_unfinished), "{report:?}");
}

// Tools.

/// A fleet whose first document was published so many hours ago, and an environment that goes by it.
async fn fleet_of(nodes: usize, hours: u64) -> (LocalCluster, Cache) {
    let local = start(nodes).await;
    let document = RingDocument::first(ring_nodes(&local), now_ms() - hours * 3_600_000);
    place(&local, &document).await;
    let cache = cache_of(&local);
    look(cache.cluster()).await;
    assert_eq!(cache.cluster().ring_document().await.unwrap(), Some(document));
    (local, cache)
}

fn cache_of(local: &LocalCluster) -> Cache {
    Cache::new(client(local), OriginGuard::new(10))
}

/// Removes the document from all nodes, as `larder ring forget` does: what they hold beside it stays.
async fn forget(local: &LocalCluster) {
    for node in local.nodes() {
        assert_eq!(ask(node.endpoint, b"md larder~ring\r\n").await, "HD");
    }
}

/// Lets two intervals of every environment pass, so that nothing that it knows of the ring counts any more: the clock
/// decides that.
async fn rest() {
    sleep(Duration::from_millis(45)).await;
}

fn keys(count: usize) -> Vec<larder_client::Key> {
    (0..count).map(|number| key(&format!("flights:{number}"))).collect()
}

async fn read(cache: &Cache, key: &larder_client::Key, policy: &Policy, calls: &AtomicU64) -> Outcome {
    let load = || async {
        calls.fetch_add(1, SeqCst);
        Ok::<_, Infallible>(Some(Bytes::from_static(b"v")))
    };
    cache.get_or_load(key, policy, soon(), load).await.0.unwrap().outcome
}

async fn read_many(cache: &Cache, keys: &[larder_client::Key], calls: &AtomicU64) {
    let policy = Policy::fresh_for(Ttl::clamped(3600));
    let load = |missing: Vec<usize>| async move {
        calls.fetch_add(missing.len() as u64, SeqCst);
        Ok::<_, Infallible>(vec![Some(Bytes::from_static(b"v")); missing.len()])
    };
    let batch = cache.get_or_load_many(keys, &policy, soon(), load).await;
    eprintln!("{:?}", batch.counts);
    assert!(batch.answers.iter().all(Result::is_ok), "{:?}", batch.answers);
}

/// A second address of `to`, and how many connections it has accepted.
async fn counting_door(to: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                let mut node = TcpStream::connect(to).await.unwrap();
                // It ends when either side does.
                let _ = copy_bidirectional(&mut client, &mut node).await;
            });
        }
    });
    (address, accepted)
}
