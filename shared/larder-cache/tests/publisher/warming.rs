//! What the fleet reads most is copied to the nodes that are about to own it, within limits.

use std::time::Duration;

use bytes::Bytes;
use larder_cache::{
    Cache, Counted, OriginGuard, Outcome, Policy, Publisher, Record, WarmUp, Warmed, record_key,
};
use larder_client::{Cluster, Key, NewItem, Ttl};
use larder_local::{LocalCluster, NodeId};
use larder_ring::{Phase, RingDocument};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test]
async fn what_moves_is_copied_with_its_flags_and_the_rest_of_its_time_and_nothing_else_is_touched() {
    let (local, document) = growing(2, Phase::Active).await;
    let next = after(&document, &ring_nodes(&local));
    let environment = Environment::new(&local);
    let moving: Vec<Key> =
        moving_keys(&next, 1, 3).take(10).chain(moving_keys(&next, 2, 3).take(10)).collect();
    let staying: Vec<Key> = moving_keys(&next, 1, 1).take(10).collect();
    let whole = moving.iter().enumerate().filter(|(at, _)| !(7..=9).contains(at)).map(|(_, key)| key);
    for key in whole.clone().chain(&staying) {
        environment.fill(key, Some(&key.to_string())).await;
    }
    environment.fill(&moving[7], None).await;
    // What is about to end is not worth a copy, and what is missing cannot be copied.
    let all: Vec<Key> = moving.iter().chain(&staying).cloned().collect();
    tell(&local, 1, 0, &all[..15]).await;
    tell(&local, 2, 5, &all[15..]).await;
    for key in &moving {
        // Some of its time is over.
        ask(endpoint(&local, NodeId(1)), format!("mg {key} T700\r\n").as_bytes()).await;
        ask(endpoint(&local, NodeId(2)), format!("mg {key} T700\r\n").as_bytes()).await;
    }
    environment.load(&moving[8], Some("ends soon"), 2).await;

    let report = finish(&publisher(&local)).await;
    check(&report, &STEPS, "123");
    let Warmed { moving: keys, copied, there, missing, failed, .. } = report.warmed;
    assert_eq!((keys, there, failed), (20, 0, 0), "{report:?}");
    assert_eq!((copied + missing, missing >= 1), (20, true), "{report:?}");
    let warming = report.published[1].epoch;
    for (at, key) in moving.iter().enumerate().filter(|(at, _)| ![8, 9].contains(at)) {
        let found = ask(endpoint(&local, NodeId(3)), format!("mg {key} t f s\r\n").as_bytes()).await;
        let found: Vec<&str> = found.split(' ').collect();
        let ["HD", left, flags, len] = found[..] else { panic!("{key}: {found:?}") };
        let left: u64 = left[1..].parse().unwrap();
        assert!((700 - 20..=700).contains(&left), "{key} has {left} s left");
        let format = if at == 7 { 2 } else { 1 };
        assert_eq!(flags, format!("f{}", u32::from(warming.stamp()) << 16 | format), "{key}");
        assert_eq!(len, format!("s{}", if at == 7 { 0 } else { key.to_string().len() }), "{key}");
    }
    for key in &staying {
        let there = ask(endpoint(&local, NodeId(3)), format!("mg {key}\r\n").as_bytes()).await;
        let here = ask(endpoint(&local, NodeId(1)), format!("mg {key} h\r\n").as_bytes()).await;
        assert_eq!((&*there, &*here), ("EN", "HD h0"), "{key} has been touched");
    }
    for key in whole.chain(&staying) {
        environment.hits(key, &key.to_string()).await;
    }
}

#[tokio::test]
async fn a_node_that_leaves_hands_over_what_is_read() {
    let (local, document) = settled(3).await;
    let environment = Environment::new(&local);
    let moving: Vec<Key> = moving_keys(&document, 3, 3).take(20).collect();
    for key in &moving {
        environment.fill(key, Some("handed over")).await;
    }
    tell(&local, 3, 7, &moving).await;
    let third = ring_node(&local.nodes()[2]);
    let report = publisher(&local).retire(&third, soon()).await.unwrap();
    assert_eq!((report.warmed.copied, report.warmed.moving), (20, 20));
    until("the environment follows", || async {
        look(&environment.cluster).await;
        environment.cluster.ring_document().await.unwrap() == report.document
    })
    .await;
    local.remove_node(NodeId(3)).await.unwrap();
    for key in &moving {
        environment.hits(key, "handed over").await;
    }
}

#[tokio::test]
async fn limits_in_keys_bytes_rate_and_time_are_kept_and_the_most_read_come_first() {
    let keys = async {
        let (local, keys) = full(40, 10).await;
        let warmed = warm(&local, WarmUp { keys: 12, ..warm_up() }).await;
        assert_eq!((warmed.copied, warmed.moving), (12, 40));
        for (at, key) in keys.iter().enumerate() {
            let found = ask(endpoint(&local, NodeId(3)), format!("mg {key}\r\n").as_bytes()).await;
            assert_eq!(found, if at < 12 { "HD" } else { "EN" }, "key {at}");
        }
    };
    let bytes = async {
        let (local, _) = full(40, 10_000).await;
        let warmed = warm(&local, WarmUp { bytes: 200_000, ..warm_up() }).await;
        assert_eq!((warmed.copied, warmed.bytes), (20, 200_000));
    };
    let rate_and_time = |rate, range: std::ops::RangeInclusive<usize>| async move {
        let (local, _) = full(150, 10).await;
        let most = Duration::from_secs(1) + client(&local).settle_time();
        let begun = Instant::now();
        let warmed = warm(&local, WarmUp { keys_per_sec: rate, most, ..warm_up() }).await;
        assert!(range.contains(&warmed.copied), "{warmed:?} at {rate} keys a second");
        let longest = most + client(&local).settle_time() + Duration::from_secs(4);
        assert!(begun.elapsed() < longest, "{:?} at {rate} keys a second", begun.elapsed());
    };
    tokio::join!(keys, bytes, rate_and_time(10, 1..=20), rate_and_time(50, 16..=100));
}

#[tokio::test]
async fn a_warm_up_lasts_for_its_least_time() {
    let (local, document) = growing(2, Phase::Warming).await;
    let least = Duration::from_millis(1000);
    warm(&local, WarmUp { least, ..warm_up() }).await;
    let took = Duration::from_millis(now_ms() - document.time_ms);
    assert!(took >= least + client(&local).settle_time(), "{took:?}");
}

#[tokio::test]
async fn a_newer_value_is_not_copied_over() {
    let (local, document) = growing(2, Phase::Warming).await;
    let environment = Environment::new(&local);
    let keys: Vec<Key> = moving_keys(&document, 1, 3).take(20).collect();
    for key in &keys {
        // Stored before the change, at the present owner.
        let flags = u32::from(document.history[0].from.stamp()) << 16 | 1;
        let set = format!("ms {key} 3 T1000 F{flags}\r\nold\r\n");
        assert_eq!(ask(endpoint(&local, NodeId(1)), set.as_bytes()).await, "HD");
    }
    for key in &keys[..10] {
        environment.hits(key, "old").await;
        delete(&environment.cluster, key).await;
        environment.fill(key, Some("new")).await;
    }
    tell(&local, 1, 0, &keys).await;
    let report = warm(&local, warm_up()).await;
    assert_eq!((report.there, report.copied), (10, 10), "{report:?}");
    for (at, key) in keys.iter().enumerate() {
        environment.hits(key, if at < 10 { "new" } else { "old" }).await;
    }
}

#[tokio::test]
async fn a_write_in_the_middle_of_a_warm_up_holds() {
    let (local, keys) = full(60, 3).await;
    let environment = Environment::new(&local);
    let run = tokio::spawn({
        let publisher = Publisher::new(client(&local), WarmUp { keys_per_sec: 40, ..warm_up() });
        async move { finish(&publisher).await }
    });
    // Keys that are copied already, that are being copied, and that are yet to be copied.
    let mut written = Vec::new();
    while !run.is_finished() {
        for key in keys.iter().skip(written.len() % 7).step_by(7) {
            delete(&environment.cluster, key).await;
            environment.fill(key, Some("new")).await;
            written.push(key);
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(run.await.unwrap().warmed.copied > 0);
    assert!(written.len() > 60);
    for key in written {
        environment.hits(key, "new").await;
    }
}

#[tokio::test]
async fn records_that_cannot_be_read_are_left_out() {
    let (local, _) = full(5, 10).await;
    let texts = ["larder-hot 2 0\n", "larder-hot 1 0\n0 flights:1\n", "", "\u{0}"];
    for (node, (slot, text)) in
        [1, 2].into_iter().flat_map(|node| (1..).zip(texts).map(move |put| (node, put)))
    {
        put(&local, node, &record_key(slot), text.as_bytes()).await;
    }
    let warmed = warm(&local, warm_up()).await;
    assert_eq!((warmed.copied, warmed.moving), (5, 5));
}

#[tokio::test]
async fn many_short_runs_finish_a_change_though_none_of_them_finishes_the_warm_up() {
    let (local, _) = full(150, 10).await;
    let warm_up = WarmUp { keys_per_sec: 20, most: Duration::from_millis(1200), ..warm_up() };
    let publisher = Publisher::new(client(&local), warm_up);
    let mut runs = 0;
    until("the change is finished", || {
        runs += 1;
        let run =
            publisher.reconcile(Instant::now() + client(&local).settle_time() + Duration::from_millis(150));
        async move { run.await.unwrap().unfinished.is_none() }
    })
    .await;
    assert!(runs > 2, "{runs} runs");
}

#[tokio::test]
async fn a_warm_up_whose_time_was_over_before_the_run_began_is_not_begun_anew() {
    let (local, _) = full(20, 10).await;
    let (_, document) = held(&local).await.pop().unwrap();
    let document = document.unwrap();
    place(&local, &RingDocument { time_ms: now_ms() - 6000, ..document }).await;
    assert_eq!(warm(&local, warm_up()).await, Warmed { moving: 20, ..Warmed::default() });
}

/// A cluster that is warming, in which `keys` keys move from node 1 to node 3, each with a value of `len` bytes. The
/// catalogue has them all, and those that come first are read most.
async fn full(keys: usize, len: usize) -> (LocalCluster, Vec<Key>) {
    let (local, document) = growing(2, Phase::Warming).await;
    let keys: Vec<Key> = moving_keys(&document, 1, 3).take(keys).collect();
    let flags = u32::from(document.history[0].from.stamp()) << 16 | 1;
    let value = "x".repeat(len);
    let sets: String =
        keys.iter().map(|key| format!("ms {key} {len} T1000 F{flags} q\r\n{value}\r\n")).collect();
    assert_eq!(ask(endpoint(&local, NodeId(1)), (sets + "mn\r\n").as_bytes()).await, "MN");
    for (slot, keys) in keys.chunks(100).enumerate() {
        tell(&local, 2, slot, keys).await;
    }
    (local, keys)
}

/// Lets a publisher finish the change, and answers what it has copied.
async fn warm(local: &LocalCluster, warm_up: WarmUp) -> Warmed {
    let report = finish(&Publisher::new(client(local), warm_up)).await;
    check(&report, &STEPS[2..], "123");
    report.warmed
}

/// Puts a record on a node that says that `keys` are read, the first ones most.
async fn tell(local: &LocalCluster, node: u16, slot: usize, keys: &[Key]) {
    let count = |at: usize| 10_000 / (at as u64 + 1) / (slot as u64 + 1) + 1;
    let counted = keys.iter().enumerate();
    let counted = counted.map(|(at, key)| Counted { key: key.clone(), count: count(at), error: 0 });
    let record = Record::encode(&counted.collect::<Vec<_>>(), now_ms() / 1000, Record::MAX_LEN);
    put(local, node, &record_key(slot), &record).await;
}

async fn put(local: &LocalCluster, node: u16, key: &Key, value: &[u8]) {
    let node = local.nodes().into_iter().find(|found| found.id == NodeId(node)).unwrap();
    let item = NewItem { key, value, client_flags: 0, ttl: Record::TTL };
    client(local).direct(&ring_node(&node)).set(item).await.unwrap();
}

/// An environment whose values live for 1000 s.
struct Environment {
    cluster: Cluster,
    cache: Cache,
}

impl Environment {
    fn new(local: &LocalCluster) -> Self {
        let cluster = client(local);
        Self { cache: Cache::new(cluster.clone(), OriginGuard::new(4)), cluster }
    }

    /// Reads `key`, which is missing, so that it is filled with `value`.
    async fn fill(&self, key: &Key, value: Option<&str>) {
        self.load(key, value, 1000).await;
    }

    async fn load(&self, key: &Key, value: Option<&str>, secs: u64) {
        let ttl = Ttl::clamped(secs);
        let policy = Policy { jitter: 0.0, negative_for: ttl, ..without_window(ttl) };
        let load = || async { Ok::<_, ()>(value.map(|value| Bytes::copy_from_slice(value.as_bytes()))) };
        until("the key is filled", || async {
            let (answer, counts) = self.cache.get_or_load(key, &policy, soon(), load).await;
            let outcome = answer.unwrap().outcome;
            assert_ne!(outcome, Outcome::Hit, "{key}");
            counts.fills == 1
        })
        .await;
    }

    /// Reads `key`, which is there.
    async fn hits(&self, key: &Key, value: &str) {
        let load = || async { Ok::<Option<Bytes>, ()>(None) };
        let policy = without_window(Ttl::clamped(1000));
        until("the cache answers", || async {
            let (answer, _) = self.cache.get_or_load(key, &policy, soon(), load).await;
            let answer = answer.unwrap();
            let is_hit = answer.outcome != Outcome::Bypass;
            if is_hit {
                assert_eq!(
                    (answer.outcome, answer.value.as_deref()),
                    (Outcome::Hit, Some(value.as_bytes())),
                    "{key}"
                );
            }
            is_hit
        })
        .await;
    }
}

/// For values that are kept for as long as they are fresh.
fn without_window(ttl: Ttl) -> Policy {
    Policy { grace: Duration::ZERO, early: Duration::ZERO, ..Policy::fresh_for(ttl) }
}
