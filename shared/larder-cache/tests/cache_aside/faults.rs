//! A cache that fails makes a read slower, never an error.

use std::time::{Duration, Instant};

use larder_cache::{Batch, Counts, Outcome};
use larder_client::{Cluster, Config, Endpoint, Key};

use crate::support::{
    Broken, Memcached, Origin, PATIENT, SLACK, cache, config, environment, impatient, in_millis, key, late,
    says, told,
};

#[tokio::test]
async fn with_all_nodes_dead_everything_comes_from_the_origin() {
    let (mut nodes, origin) = (three(), Origin::new());
    nodes.iter_mut().for_each(Memcached::kill);
    let cache = environment(&nodes.each_ref());

    let batch =
        cache.get_or_load_many(&keys(), &PATIENT, late(), |missing| origin.values("v", missing)).await;
    assert_eq!(origin.calls(), [Vec::from_iter(0..KEYS)]);
    assert_eq!(batch.counts, Counts { bypasses: KEYS as u32, origin_calls: 1, ..Counts::default() });
    check_all_values(batch, |_| Outcome::Bypass);

    let (answer, counts) = cache.get_or_load(&key("one"), &PATIENT, late(), || origin.value("v")).await;
    let answer = answer.unwrap();
    assert_eq!((answer.outcome, answer.node, answer.age), (Outcome::Bypass, None, None));
    assert_eq!(counts, Counts { bypasses: 1, origin_calls: 1, ..Counts::default() });
}

#[tokio::test]
async fn with_one_node_dead_only_its_keys_bypass_the_cache() {
    let (mut nodes, origin) = (three(), Origin::new());
    let is_dead = owned_by(&nodes, 1).await;
    let cache = environment(&nodes.each_ref());
    let all = cache.get_or_load_many(&keys(), &PATIENT, late(), |missing| origin.values("v", missing)).await;
    assert_eq!(all.counts.fills, KEYS as u32);
    nodes[1].kill();

    let batch =
        cache.get_or_load_many(&keys(), &PATIENT, late(), |missing| origin.values("v", missing)).await;
    let dead: Vec<usize> = (0..KEYS).filter(|index| is_dead[*index]).collect();
    assert_eq!(origin.calls()[1], dead);
    let hits = (KEYS - dead.len()) as u32;
    let counts = Counts { hits, bypasses: dead.len() as u32, origin_calls: 1, ..Counts::default() };
    assert_eq!(batch.counts, counts);
    check_all_values(batch, |index| if is_dead[index] { Outcome::Bypass } else { Outcome::Hit });
}

#[tokio::test]
async fn a_node_that_comes_back_is_used_again() {
    let (mut node, origin) = (Memcached::start(), Origin::new());
    let mark_down = Duration::from_millis(1);
    let cache = cache(Config { mark_down, max_mark_down: mark_down, ..config(&[&node]) });
    let _ = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("v1")).await;
    node.restart();
    let deadline = Instant::now() + crate::support::PATIENCE;
    while Instant::now() < deadline {
        let (answer, counts) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("v2")).await;
        assert_eq!(told(answer).1.as_deref(), Some("v2"));
        if counts.fills == 1 {
            return node.check("mg k v", "VA 2\r\nv2\r\n");
        }
    }
    panic!("the node was not used again");
}

#[tokio::test]
async fn an_endpoint_that_refuses_leaves_the_origin() {
    let mut node = Memcached::start();
    node.kill();
    check_unknown_cluster(node.port()).await;
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_leaves_the_origin_enough_time() {
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    check_unknown_cluster(silent.local_addr().unwrap().port()).await;
}

async fn check_unknown_cluster(port: u16) {
    let endpoint = Endpoint::Configuration { host: "127.0.0.1".to_owned(), port };
    let (cache, origin) = (cache(Config { endpoint, ..config(&[]) }), Origin::new());
    for _ in 0..2 {
        let (begin, deadline) = (Instant::now(), in_millis(1000));
        let batch =
            cache.get_or_load_many(&keys(), &PATIENT, deadline, |missing| origin.values("v", missing)).await;
        assert_eq!(batch.counts, Counts { bypasses: KEYS as u32, origin_calls: 1, ..Counts::default() });
        check_all_values(batch, |_| Outcome::Bypass);
        assert!(begin.elapsed() < Duration::from_millis(1000) + SLACK, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_node_that_hangs_leaves_the_origin_enough_time_and_the_other_nodes_alone() {
    let (nodes, origin) = (three(), Origin::new());
    let hangs = owned_by(&nodes, 2).await;
    let cache = environment(&nodes.each_ref());
    nodes[2].pause();
    // Before the connection has ever answered, and once more.
    for healthy in [Outcome::Miss, Outcome::Hit] {
        let (begin, deadline) = (Instant::now(), in_millis(1000));
        let batch =
            cache.get_or_load_many(&keys(), &PATIENT, deadline, |missing| origin.values("v", missing)).await;
        assert!(begin.elapsed() < Duration::from_millis(1000) + SLACK, "{:?}", begin.elapsed());
        check_all_values(batch, |index| if hangs[index] { Outcome::Bypass } else { healthy });
    }
}

#[tokio::test]
async fn one_key_whose_node_hangs_comes_from_the_origin_in_time() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let _ = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("v1")).await;
    node.pause();
    let begin = Instant::now();
    let (answer, counts) =
        cache.get_or_load(&key("k"), &PATIENT, in_millis(1000), || origin.value("v2")).await;
    assert!(begin.elapsed() < Duration::from_millis(1000) + SLACK, "{:?}", begin.elapsed());
    assert_eq!(told(answer), says(Outcome::Bypass, "v2"));
    assert_eq!(counts, Counts { bypasses: 1, origin_calls: 1, ..Counts::default() });
}

#[tokio::test]
async fn nodes_are_asked_side_by_side() {
    let (nodes, origin) = (three(), Origin::new());
    let timeout = Duration::from_secs(1);
    let cache = cache(Config { timeout, ..config(&nodes.each_ref()) });
    nodes.iter().for_each(Memcached::pause);
    let begin = Instant::now();
    let batch =
        cache.get_or_load_many(&keys(), &PATIENT, late(), |missing| origin.values("v", missing)).await;
    assert_eq!(batch.counts, Counts { bypasses: KEYS as u32, origin_calls: 1, ..Counts::default() });
    assert!(begin.elapsed() < 2 * timeout, "one after the other: {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_node_that_hangs_while_we_wait_for_others_leaves_the_origin_enough_time() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    assert!(node.ask("mg k N30 t").contains('W'));
    let begin = Instant::now();
    let (key, policy) = (key("k"), impatient(200));
    let read = cache.get_or_load(&key, &policy, in_millis(1000), || origin.value("v"));
    let conduct = async {
        // The raw reader, ours, and ours again: it waits.
        node.asked(3).await;
        node.pause();
    };
    let ((answer, counts), ()) = tokio::join!(read, conduct);
    assert!(begin.elapsed() < Duration::from_millis(1000) + SLACK, "{:?}", begin.elapsed());
    assert_eq!(told(answer).1.as_deref(), Some("v"));
    assert_eq!((counts.waits, counts.origin_calls, counts.errors), (1, 1, 0));
}

#[tokio::test]
async fn a_node_that_hangs_or_dies_before_the_fill_costs_the_fill_alone() {
    for dies in [false, true] {
        let (mut node, origin) = (Memcached::start(), Origin::shut());
        let (cache, key) = (environment(&[&node]), key("k"));
        let begin = Instant::now();
        let read = cache.get_or_load(&key, &PATIENT, in_millis(1000), || origin.value("v"));
        let conduct = async {
            origin.begun(1).await;
            if dies {
                node.kill()
            } else {
                node.pause()
            }
            origin.open();
        };
        let ((answer, counts), ()) = tokio::join!(read, conduct);
        assert!(begin.elapsed() < Duration::from_millis(1000) + SLACK, "{:?}", begin.elapsed());
        assert_eq!(told(answer), says(Outcome::Miss, "v"));
        let (fills_refused, fills_failed) = if dies { (1, 0) } else { (0, 1) };
        assert_eq!(
            counts,
            Counts { misses: 1, origin_calls: 1, fills_refused, fills_failed, ..Counts::default() }
        );
    }
}

/// Every key has its value, with the outcome that it should have.
#[track_caller]
fn check_all_values(batch: Batch<Broken>, outcome: impl Fn(usize) -> Outcome) {
    for (index, answer) in batch.answers.into_iter().enumerate() {
        assert_eq!(told(answer), says(outcome(index), &format!("v {index}")));
    }
}

/// Of each key, whether the node with the index `nth` owns it.
async fn owned_by(nodes: &[Memcached; 3], nth: usize) -> Vec<bool> {
    let cluster = Cluster::new(config(&nodes.each_ref())).unwrap();
    let mut owned = Vec::new();
    for key in keys() {
        owned.push(cluster.owner(&key).await.unwrap() == nodes[nth].name());
    }
    assert!(owned.contains(&true) && owned.contains(&false));
    owned
}

fn three() -> [Memcached; 3] {
    [Memcached::start(), Memcached::start(), Memcached::start()]
}

fn keys() -> Vec<Key> {
    (0..KEYS).map(|id| key(&format!("flights:{id}"))).collect()
}

const KEYS: usize = 60;
