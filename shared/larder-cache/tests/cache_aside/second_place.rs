//! The second place of a tag's number: one node that fails takes no more with it than its own keys, and nothing that
//! was forgotten comes back by it.

use std::collections::HashSet;
use std::time::Duration;

use larder_cache::{Cache, Forget, Invalidation, OriginGuard, Outcome, Policy, Tag};
use larder_client::{Cluster, Config, Key};
use tokio::time::{Instant, sleep};

use crate::support::{
    Memcached, Origin, PATIENT, SLACK, config, environment, in_millis, key, late, says, told,
};

#[tokio::test]
async fn a_node_that_fails_takes_its_own_keys_out_of_a_namespace_and_no_others() {
    let (mut nodes, origin, policy) = (nodes(), Origin::new(), tagged());
    let cache = environment(&all(&nodes));
    for key in keys() {
        let (answer, _) = cache.get_or_load(&key, &policy, late(), || origin.value("v")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "v"));
    }
    let at = place(&cache, &nodes, tag().key()).await;
    nodes[at].kill();
    for cache in [environment(&all(&nodes)), cache] {
        for key in keys() {
            let is_on_it = cache.cluster().owner(&key).await.unwrap() == nodes[at].name();
            let outcome = if is_on_it { Outcome::Bypass } else { Outcome::Hit };
            let (answer, counts) = cache.get_or_load(&key, &policy, late(), || origin.value("v")).await;
            assert_eq!(told(answer), says(outcome, "v"), "{key}");
            assert_eq!(counts.origin_calls, u32::from(is_on_it));
        }
    }
}

#[tokio::test]
async fn what_was_forgotten_while_the_first_place_was_down_is_answered_from_no_second() {
    let (mut nodes, origin, policy) = (nodes(), Origin::new(), tagged());
    let cache = environment(&all(&nodes));
    let at = place(&cache, &nodes, tag().key()).await;
    let key = key_elsewhere(&cache, &nodes[at]).await;
    let _ = cache.get_or_load(&key, &policy, late(), || origin.value("old")).await;
    nodes[at].kill();
    assert!(cache.forget_tag(&tag(), late()).await.is_err(), "the first place has not been told");
    let (answer, _) =
        environment(&all(&nodes)).get_or_load(&key, &policy, late(), || origin.value("new")).await;
    assert_eq!(told(answer), says(Outcome::Bypass, "new"));
}

#[tokio::test]
async fn a_first_place_that_was_cut_off_is_told_by_the_repetition() {
    let (nodes, origin, policy) = (nodes(), Origin::new(), tagged());
    let cache = hasty(&nodes);
    let at = place(&cache, &nodes, tag().key()).await;
    let key = key_elsewhere(&cache, &nodes[at]).await;
    let _ = cache.get_or_load(&key, &policy, late(), || origin.value("old")).await;
    nodes[at].pause();
    let invalidation = Invalidation { keys: vec![tag().key().clone()], how: Forget::Hard };
    let told_first = cache.invalidate(&invalidation, in_millis(500)).await;
    let left = told_first.left.expect("it could not be told");
    let (answer, _) = cache.get_or_load(&key, &policy, late(), || origin.value("new")).await;
    assert_eq!(told(answer), says(Outcome::Bypass, "new"));
    nodes[at].go_on();
    let begin = Instant::now();
    while cache.invalidate(&left, late()).await.left.is_some() {
        assert!(begin.elapsed() < crate::support::PATIENCE);
    }
    let (answer, _) = cache.get_or_load(&key, &policy, late(), || origin.value("new")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "new"));
}

#[tokio::test]
async fn a_first_place_that_comes_back_empty_gets_a_number_and_the_second_the_same() {
    let (mut nodes, origin, policy) = (nodes(), Origin::new(), tagged());
    let cache = environment(&all(&nodes));
    let at = place(&cache, &nodes, tag().key()).await;
    let key = key_elsewhere(&cache, &nodes[at]).await;
    let _ = cache.get_or_load(&key, &policy, late(), || origin.value("old")).await;
    let before = numbers(&cache, &nodes).await;
    assert_eq!((before.len(), before[0] == before[1]), (2, true));
    nodes[at].restart();
    let (answer, _) =
        environment(&all(&nodes)).get_or_load(&key, &policy, late(), || origin.value("new")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "new"));
    let now = numbers(&cache, &nodes).await;
    assert_eq!((now.len(), now[0] == now[1], now[0] == before[0]), (2, true, false));
}

#[tokio::test]
async fn a_second_place_that_was_lost_is_restored_by_readers() {
    let (nodes, origin, policy) = (nodes(), Origin::new(), tagged());
    let cache = environment(&all(&nodes));
    let _ = cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
    let before = numbers(&cache, &nodes).await;
    for place in tag().places().skip(1) {
        nodes.iter().for_each(|node| drop(node.ask(&format!("md {place}"))));
    }
    assert_eq!(numbers(&cache, &nodes).await.len(), 1);
    let begin = Instant::now();
    while numbers(&cache, &nodes).await.len() < 2 {
        assert!(begin.elapsed() < crate::support::PATIENCE);
        let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("never")).await;
        assert_eq!(told(answer), says(Outcome::Hit, "v"));
    }
    assert_eq!(numbers(&cache, &nodes).await, before);
}

#[tokio::test]
async fn whatever_ring_chose_it_a_second_place_is_forgotten() {
    for how in [Forget::Hard, Forget::Soft(larder_client::Ttl::clamped(30))] {
        let nodes = nodes();
        let cache = environment(&all(&nodes));
        for place in tag().places() {
            let at = self::place(&cache, &nodes, &place).await;
            nodes[at].check(&format!("ms {place} 8 T0 F255\r\n01234567"), "HD\r\n");
        }
        let invalidation = Invalidation { keys: vec![tag().key().clone()], how };
        assert!(cache.invalidate(&invalidation, late()).await.left.is_none());
        for place in tag().places().skip(1) {
            let at = self::place(&cache, &nodes, &place).await;
            nodes[at].check(&format!("mg {place} v"), "EN\r\n");
        }
    }
}

#[tokio::test]
async fn who_made_up_a_number_and_died_holds_nobody_up() {
    let (node, origin, policy) = (Memcached::start(), Origin::new(), tagged());
    node.ask(&format!("mg {} N30 t v", tag().key()));
    let begin = Instant::now();
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let (answer, _) =
            environment(&[&node]).get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
        assert_eq!(told(answer), says(outcome, "v"));
    }
    assert!(begin.elapsed() < SLACK, "{:?}", begin.elapsed());
}

/// Readers make, restore and lose numbers while others forget the tag: no number that was there before one was done is
/// there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_from_before_an_invalidation_is_at_either_place_after_it() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let nodes = nodes();
    let forgets = environment(&all(&nodes));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let environments: Vec<Cache> = (0..6).map(|_| environment(&all(&nodes))).collect();
    let readers = environments.iter().enumerate().map(async |(at, cache)| {
        let (origin, policy) = (Origin::new(), tagged());
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            let (answer, _) =
                cache.get_or_load(&key(&format!("k{at}")), &policy, late(), || origin.value("v")).await;
            answer.unwrap();
        }
    });
    let forgetter = async {
        let mut old: HashSet<Vec<u8>> = HashSet::new();
        for _ in 0..300 {
            sleep(Duration::from_micros(random.u64(..3000))).await;
            old.extend(numbers(&forgets, &nodes).await);
            if random.bool() {
                // It is lost, and to be restored.
                let place = tag().places().nth(random.usize(1..4)).unwrap();
                let _ = forgets.cluster().delete(&place).await;
            }
            forgets.forget_tag(&tag(), late()).await.unwrap();
            for _ in 0..3 {
                let now = numbers(&forgets, &nodes).await;
                assert!(now.iter().all(|number| !old.contains(number)), "seed {seed}");
            }
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        old.len()
    };
    let (old, _) = tokio::join!(forgetter, futures_util::future::join_all(readers.collect::<Vec<_>>()));
    assert!(old > 100, "only {old} numbers were seen");
}

fn nodes() -> Vec<Memcached> {
    (0..3).map(|_| Memcached::start()).collect()
}

fn all(nodes: &[Memcached]) -> Vec<&Memcached> {
    nodes.iter().collect()
}

/// An environment that does not wait for long, and tries again soon.
fn hasty(nodes: &[Memcached]) -> Cache {
    let config = Config {
        timeout: Duration::from_millis(300),
        mark_down: Duration::from_millis(1),
        ..config(&all(nodes))
    };
    Cache::new(Cluster::new(config).unwrap(), OriginGuard::new(100))
}

fn tag() -> Tag {
    Tag::new(["a"])
}

fn tagged() -> Policy {
    Policy { tags: vec![tag()], ..PATIENT.clone() }
}

fn keys() -> impl Iterator<Item = Key> {
    (0..60).map(|id| key(&format!("flights:{id}")))
}

/// Which of `nodes` owns `key`.
async fn place(cache: &Cache, nodes: &[Memcached], key: &Key) -> usize {
    let owner = cache.cluster().owner(key).await.unwrap();
    nodes.iter().position(|node| node.name() == owner).unwrap()
}

async fn key_elsewhere(cache: &Cache, node: &Memcached) -> Key {
    for key in keys() {
        if cache.cluster().owner(&key).await.unwrap() != node.name() {
            return key;
        }
    }
    panic!("{} owns all", node.name());
}

/// The numbers that are at the places of the tag, where its keys' owners are alive.
async fn numbers(cache: &Cache, nodes: &[Memcached]) -> Vec<Vec<u8>> {
    let mut numbers = Vec::new();
    for key in tag().places() {
        let at = place(cache, nodes, &key).await;
        let reply = nodes[at].ask_bytes(&format!("mg {key} v"));
        if let Some(value) = reply.strip_prefix(b"VA 8\r\n").or(reply.strip_prefix(b"VA 8 \r\n")) {
            numbers.push(value[..8].to_vec());
        }
    }
    numbers
}
