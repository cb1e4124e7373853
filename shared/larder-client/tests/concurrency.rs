//! Many tasks on one cluster, on one thread and on two: nobody ever gets somebody else's value.
//!
//! What is random comes from a seed that is printed; `SEED` sets it.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use larder_client::{Claim, Cluster, Item, Key, ReadOptions, Stored};
use support::memcached::Memcached;
use support::{MINUTE, PATIENCE, config, item, key};
use tokio::time::timeout;

#[tokio::test]
async fn sixty_four_tasks_on_one_thread_get_their_own_values() {
    everyone_reads_what_was_written().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_on_two_threads_get_their_own_values() {
    everyone_reads_what_was_written().await;
}

#[tokio::test]
async fn calls_dropped_at_random_on_one_thread_harm_nobody() {
    dropped_calls_harm_nobody().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_at_random_on_two_threads_harm_nobody() {
    dropped_calls_harm_nobody().await;
}

/// Replies may not pile up unread while a request is still being written, or both sides wait for ever.
#[tokio::test]
async fn large_values_both_ways_at_once_do_not_block_each_other() {
    let node = Memcached::start();
    let cluster = node.cluster();
    let values: Vec<String> = (0..16).map(|number| number.to_string().repeat(400_000)).collect();
    let keys: Vec<Key> = (0..16).map(|number| key(&format!("key-{number}"))).collect();
    let all = keys.iter().zip(&values).flat_map(|(key, value)| [(key, value); 3]);
    let calls = all.map(|(key, value)| {
        let cluster = &cluster;
        async move {
            cluster.set(item(key, value)).await.unwrap();
            assert_eq!(cluster.get(key).await.unwrap().unwrap().value, value);
        }
    });
    timeout(PATIENCE, join_all(calls)).await.expect("nobody should wait for ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_tasks_that_read_one_missing_key_one_wins_and_fills_it() {
    let node = Memcached::start();
    let cluster = node.cluster();
    let options = ReadOptions { lease_for: Some(MINUTE), ..ReadOptions::default() };
    for round in 0..50 {
        let key = key(&format!("key-{round}"));
        let tasks = (0..64).map(|_| {
            let (cluster, key) = (cluster.clone(), key.clone());
            tokio::spawn(async move {
                match cluster.read(&key, options).await.unwrap().claim {
                    Claim::Won(lease) => {
                        assert_eq!(cluster.fill(item(&key, "v"), &lease).await.unwrap(), Stored::Yes);
                        1
                    }
                    _ => 0,
                }
            })
        });
        let won: u32 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(won, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_count_every_call_once() {
    let nodes = [(); 2].map(|()| Memcached::start());
    let cluster = cluster_of(&nodes);
    let keys: Vec<Key> = (0..4).map(|number| key(&format!("counter-{number}"))).collect();
    let tasks = (0..TASKS).map(|_| {
        let (cluster, keys) = (cluster.clone(), keys.clone());
        tokio::spawn(async move {
            for key in keys.iter().cycle().take(100) {
                cluster.increment(key, 1, Some((MINUTE, 1))).await.unwrap();
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
    for key in &keys {
        assert_eq!(cluster.increment(key, 0, None).await.unwrap(), Some(TASKS as u64 * 25));
    }
}

/// Every task has keys of its own, where it finds what it wrote last, and all read some that never change.
async fn everyone_reads_what_was_written() {
    let nodes = [(); 3].map(|()| Memcached::start());
    let before = connections(&nodes).await;
    let cluster = cluster_of(&nodes);
    let shared = shared_keys(&cluster).await;
    let mut seeds = seed();
    let tasks = (0..TASKS).map(|task| {
        let (cluster, shared, rng) = (cluster.clone(), shared.clone(), seeds.fork());
        tokio::spawn(write_and_read(cluster, task, shared, rng))
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
    let opened: Vec<u64> =
        connections(&nodes).await.iter().zip(before).map(|(now, before)| now - before).collect();
    // One of ours, and one that asks for this number.
    assert_eq!(opened, [2, 2, 2]);
}

async fn write_and_read(cluster: Cluster, task: usize, shared: Vec<Key>, mut rng: Rng) {
    let own: Vec<Key> = (0..4).map(|number| key(&format!("own-{task}-{number}"))).collect();
    let mut written: Vec<Option<String>> = vec![None; own.len()];
    for round in 0..ROUNDS {
        let at = rng.usize(..own.len());
        match rng.u8(..6) {
            0 => {
                written[at] = Some(value(&own[at], round, &mut rng));
                cluster.set(item(&own[at], written[at].as_ref().unwrap())).await.unwrap();
            }
            1 => {
                let deleted = cluster.delete(&own[at]).await.unwrap();
                assert_eq!(deleted, written[at].take().is_some());
            }
            2 => {
                let values: Vec<String> = own.iter().map(|key| value(key, round, &mut rng)).collect();
                let items: Vec<_> = own.iter().zip(&values).map(|(key, value)| item(key, value)).collect();
                assert!(cluster.set_many(&items).await.is_empty());
                written = values.into_iter().map(Some).collect();
            }
            3 => {
                let found = cluster.get_many(&[&own[..], &shared].concat()).await;
                let found: Vec<_> = found.into_iter().map(|found| content(found.unwrap())).collect();
                assert_eq!(found[..own.len()], written);
                for (key, found) in shared.iter().zip(&found[own.len()..]) {
                    assert_eq!(found.as_ref(), Some(&key.to_string()));
                }
            }
            4 => {
                let read = cluster.read(&own[at], ReadOptions::default()).await.unwrap();
                assert_eq!(content(read.item), written[at]);
            }
            _ => assert_eq!(content(cluster.get(&own[at]).await.unwrap()), written[at]),
        }
    }
}

/// A call that is dropped may have been carried out or not, also later. So a value is right if it was ever written
/// under its key, whole.
async fn dropped_calls_harm_nobody() {
    let nodes = [(); 3].map(|()| Memcached::start());
    let cluster = cluster_of(&nodes);
    let shared = shared_keys(&cluster).await;
    let mut seeds = seed();
    let tasks = (0..TASKS).map(|task| {
        let (cluster, shared, rng) = (cluster.clone(), shared.clone(), seeds.fork());
        tokio::spawn(call_and_drop(cluster, task, shared, rng))
    });
    let dropped: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert!(dropped > TASKS * ROUNDS / 20, "only {dropped} calls were dropped");
    for key in &shared {
        assert_eq!(content(cluster.get(key).await.unwrap()), Some(key.to_string()));
    }
}

async fn call_and_drop(cluster: Cluster, task: usize, shared: Vec<Key>, mut rng: Rng) -> usize {
    let own = key(&format!("own-{task}"));
    let mut dropped = 0;
    for round in 0..ROUNDS {
        let polls = if rng.bool() { rng.usize(1..4) } else { usize::MAX };
        let is_dropped = match rng.u8(..4) {
            0 => {
                let value = value(&own, round, &mut rng);
                match impatient(cluster.set(item(&own, &value)), polls).await {
                    Some(stored) => {
                        stored.unwrap();
                        false
                    }
                    None => true,
                }
            }
            1 => match impatient(cluster.get(&own), polls).await {
                Some(found) => {
                    check_value(&own, found.unwrap());
                    false
                }
                None => true,
            },
            2 => {
                let at = rng.usize(..shared.len());
                match impatient(cluster.get(&shared[at]), polls).await {
                    Some(found) => {
                        assert_eq!(content(found.unwrap()), Some(shared[at].to_string()));
                        false
                    }
                    None => true,
                }
            }
            _ => match impatient(cluster.get_many(&shared), polls).await {
                Some(found) => {
                    for (key, found) in shared.iter().zip(found) {
                        assert_eq!(content(found.unwrap()), Some(key.to_string()));
                    }
                    false
                }
                None => true,
            },
        };
        dropped += usize::from(is_dropped);
    }
    dropped
}

/// Polls `call` so many times at most, then drops it where it stands.
async fn impatient<T>(call: impl Future<Output = T>, mut polls: usize) -> Option<T> {
    let mut call = pin!(call);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if polls == 1 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A value that tells its key and round, and whether it is whole; of 1 byte to some kilobytes more.
fn value(key: &Key, round: usize, rng: &mut Rng) -> String {
    let filling = "x".repeat(if rng.u8(..20) == 0 { rng.usize(..20_000) } else { rng.usize(..200) });
    format!("<{key} {round} {filling}>")
}

fn check_value(key: &Key, item: Option<Item>) {
    if let Some(value) = content(item) {
        assert!(value.starts_with(&format!("<{key} ")) && value.ends_with('>'), "{key}: {value:.200}");
        assert_eq!(value.matches(['<', '>']).count(), 2, "{key}: {value:.200}");
    }
}

fn content(item: Option<Item>) -> Option<String> {
    item.map(|item| String::from_utf8(item.value.into()).unwrap())
}

/// Keys on all nodes, each with itself as its value.
async fn shared_keys(cluster: &Cluster) -> Vec<Key> {
    let keys: Vec<Key> = (0..20).map(|number| key(&format!("shared-{number}"))).collect();
    let items: Vec<_> = keys.iter().map(|key| item(key, key)).collect();
    assert!(cluster.set_many(&items).await.is_empty());
    keys
}

fn cluster_of(nodes: &[Memcached]) -> Cluster {
    let mut config = config(&nodes.iter().map(|node| node.address).collect::<Vec<_>>());
    config.mark_down = Duration::ZERO;
    Cluster::new(config).unwrap()
}

/// How many connections each node has taken so far, this one included.
async fn connections(nodes: &[Memcached]) -> Vec<u64> {
    let told = cluster_of(nodes).stats(None).await.unwrap();
    let count = |stats: Vec<(String, String)>| {
        stats.into_iter().find(|(name, _)| name == "total_connections").unwrap().1.parse().unwrap()
    };
    told.into_iter().map(|told| count(told.stats.unwrap())).collect()
}

fn seed() -> Rng {
    let seed =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    Rng::with_seed(seed)
}

const TASKS: usize = 64;
/// Ten thousand calls in all.
const ROUNDS: usize = 160;
