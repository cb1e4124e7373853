//! Near values: what an environment reads most costs its node nothing for a moment, and is dropped by its own writes.

use std::time::Duration;

use larder_cache::{
    Answer, Cache, Counts, Forget, Invalidation, Loaded, Outcome, Policy, Sampler, Sampling, Tag,
};
use tokio::time::sleep;

use crate::support::{Memcached, Origin, PATIENT, environment, key, late, says, told};

#[tokio::test]
async fn a_hot_key_is_answered_without_asking_its_node_until_its_time_is_over() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = sampling(&[&node]);
    heat(&cache, &near(), "v").await;
    let asked = node.gets();
    for _ in 0..10 {
        let (answer, counts) = cache.get_or_load(&key("k"), &near(), late(), || origin.value("no")).await;
        assert_eq!(counts, Counts { hits: 1, near_hits: 1, ..Counts::default() });
        let answer: Answer = answer.unwrap();
        assert_eq!((answer.outcome, answer.value, answer.node), (Outcome::Hit, Some("v".into()), None));
        assert!(answer.age.is_some());
    }
    assert_eq!((node.gets(), origin.calls().len()), (asked, 0));
    // Somebody else writes it.
    node.check("ms k 3 T900 F1\r\nnew", "HD\r\n");
    let (answer, _) = cache.get_or_load(&key("k"), &near(), late(), || origin.value("no")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "v"));
    sleep(NEAR_FOR + Duration::from_millis(1)).await;
    let (answer, _) = cache.get_or_load(&key("k"), &near(), late(), || origin.value("no")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "new"));
}

#[tokio::test]
async fn a_batch_asks_the_nodes_for_what_is_not_near() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = sampling(&[&node]);
    heat(&cache, &near(), "v").await;
    let asked = node.gets();
    let keys = [key("a"), key("k"), key("b"), key("k")];
    let policy = near();
    let batch = cache.get_or_load_many(&keys, &policy, late(), |indices| origin.values("loaded", indices));
    let batch = batch.await;
    let values: Vec<_> = batch.answers.into_iter().map(told).collect();
    let (a, b) = (says(Outcome::Miss, "loaded 0"), says(Outcome::Miss, "loaded 2"));
    assert_eq!(values, [a, says(Outcome::Hit, "v"), b, says(Outcome::Hit, "v")]);
    let expected =
        Counts { hits: 2, near_hits: 2, misses: 2, origin_calls: 1, fills: 2, ..Counts::default() };
    assert_eq!(batch.counts, expected);
    assert_eq!(node.gets(), asked + 2);
}

#[tokio::test]
async fn what_is_not_hot_or_has_tags_or_is_not_to_be_near_is_read_from_its_node() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let tagged = Policy { tags: vec![Tag::new(["t"])], ..near() };
    for policy in [tagged, PATIENT.clone()] {
        let cache = sampling(&[&node]);
        heat(&cache, &policy, "v").await;
        let asked = node.gets();
        drop(cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await);
        assert!(node.gets() > asked, "{policy:?}");
    }
    // Read as often, among many others: one of a hundred is not hot.
    let (cache, policy) = (sampling(&[&node]), near());
    for _ in 0..20 {
        let keys: Vec<_> = (0..100).map(|id| key(&format!("cold{id}"))).collect();
        let batch = cache.get_or_load_many(&keys, &policy, late(), |indices| origin.values("v", indices));
        assert_eq!(batch.await.counts.near_hits, 0);
    }
}

#[tokio::test]
async fn what_this_environment_writes_or_forgets_is_gone_at_once() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let policy = near();
    let read = async |cache: &Cache| {
        told(cache.get_or_load(&key("k"), &policy, late(), || origin.value("loaded")).await.0)
    };
    let cache = sampling(&[&node]);
    node.store("k", 1, b"v");
    heat(&cache, &policy, "v").await;
    cache.forget(&key("k"), &policy, late()).await.unwrap();
    assert_eq!(read(&cache).await, says(Outcome::Miss, "loaded"));

    let cache = sampling(&[&node]);
    node.store("k", 1, b"v");
    heat(&cache, &policy, "v").await;
    let invalidation = Invalidation { keys: vec![key("k")], how: Forget::Hard };
    assert_eq!(cache.invalidate(&invalidation, late()).await.done, 1);
    assert_eq!(read(&cache).await, says(Outcome::Miss, "loaded"));

    let cache = sampling(&[&node]);
    node.store("k", 1, b"v");
    heat(&cache, &policy, "v").await;
    let intent = cache.intend(&key("k"), &policy, late()).await;
    // The old value comes near once more while the origin changes.
    heat(&cache, &policy, "v").await;
    cache.written(intent, &Loaded::raw("written"), &policy, late()).await.unwrap();
    assert_eq!(read(&cache).await, says(Outcome::Hit, "written"));
}

#[tokio::test]
async fn a_near_value_is_no_answer_for_whoever_asks_for_a_later_version() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, other) = (sampling(&[&node]), environment(&[&node]));
    let policy = near();
    let v1 = Loaded::raw("v1").of_version(1);
    for _ in 0..20 {
        drop(cache.get_or_load(&key("k"), &policy, late(), || origin.loaded(v1.clone())).await);
    }
    other.forget(&key("k"), &policy, late()).await.unwrap();
    let v2 = Loaded::raw("v2").of_version(2);
    drop(other.get_or_load(&key("k"), &policy, late(), || origin.loaded(v2.clone())).await);
    let (answer, counts) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("no")).await;
    assert_eq!((told(answer), counts.near_hits), (says(Outcome::Hit, "v1"), 1));
    let (answer, counts) =
        cache.get_at_least(&key("k"), 2, &policy, late(), || origin.value("not asked")).await;
    assert_eq!((told(answer), counts.near_hits), (says(Outcome::Hit, "v2"), 0));
}

#[tokio::test]
async fn a_value_that_is_to_be_refreshed_early_is_not_kept_from_it() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, policy) = (sampling(&[&node]), Policy { early: Duration::from_secs(100), ..near() });
    heat(&cache, &policy, "v").await;
    // In its last hundred seconds, with somebody who refreshes it.
    let cache = sampling(&[&node]);
    node.check("mg k T90", "HD\r\n");
    node.check("mg k R100 t", "HD t90 W\r\n");
    for _ in 0..20 {
        let (answer, counts) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
        assert_eq!((told(answer), counts.near_hits), (says(Outcome::Hit, "v"), 0));
    }
}

#[tokio::test]
async fn a_value_is_near_until_the_time_comes_in_which_it_is_to_be_refreshed() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, policy) = (sampling(&[&node]), Policy { early: Duration::from_secs(100), ..near() });
    heat(&cache, &policy, "v").await;
    let cache = sampling(&[&node]);
    node.check("mg k T101", "HD\r\n");
    heat(&cache, &policy, "v").await;
    // Less than the second that it had left, and much less than it is near otherwise.
    sleep(Duration::from_millis(1100)).await;
    let asked = node.gets();
    drop(cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await);
    assert!(node.gets() > asked);
}

/// Has `cache` read `k`, which is `value`, until it is hot.
async fn heat(cache: &Cache, policy: &Policy, value: &str) {
    let origin = Origin::new();
    for _ in 0..20 {
        let (answer, _) = cache.get_or_load(&key("k"), policy, late(), || origin.value(value)).await;
        assert_eq!(told(answer).1.as_deref(), Some(value));
    }
}

/// An environment that samples all of its reads.
fn sampling(nodes: &[&Memcached]) -> Cache {
    let sampling = Sampling { one_in: 1, ..Sampling::default() };
    environment(nodes).sampled_by(Sampler::new(sampling, fastrand::Rng::with_seed(7)))
}

fn near() -> Policy {
    Policy { near_for: Some(NEAR_FOR), ..PATIENT.clone() }
}

/// Long enough for a busy machine.
const NEAR_FOR: Duration = Duration::from_secs(3);
