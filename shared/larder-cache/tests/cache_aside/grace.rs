//! Values near their end and past it: one reader refreshes them, the others do not wait, and an origin that fails is
//! left alone.

use std::sync::LazyLock;
use std::time::Duration;

use larder_cache::{Answer, Counts, LoadError, Outcome, Policy};
use larder_client::Ttl;

use crate::support::{Memcached, NO_DOCUMENT, Origin, PATIENT, environment, key, late, says, told};

/// Values are kept for 100 s after they were fresh, and refreshed for the last 10 s in which they are.
static KEPT: LazyLock<Policy> = LazyLock::new(|| Policy {
    grace: Duration::from_secs(100),
    early: Duration::from_secs(10),
    jitter: 0.0,
    ..PATIENT.clone()
});

#[tokio::test]
async fn a_value_is_stored_for_its_freshness_and_its_grace() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let _ = cache.get_or_load(&key("k"), &KEPT, late(), || origin.value("v")).await;
    assert!((1098..=1100).contains(&ttl(&node, "k")));
    let _ = cache.get_or_load(&key("none"), &KEPT, late(), || origin.no_record()).await;
    assert!((138..=140).contains(&ttl(&node, "none")), "30 s, and all in which it may be refreshed");
}

#[tokio::test]
async fn a_fresh_value_near_its_end_is_refreshed_by_one_and_a_hit_for_the_others() {
    check_refreshed(105, Outcome::Hit).await;
}

#[tokio::test]
async fn a_value_in_its_grace_is_refreshed_by_one_and_stale_for_the_others() {
    check_refreshed(95, Outcome::Stale).await;
}

/// A value that has `secs` left is refreshed by one reader, and of this `outcome` for the others meanwhile.
async fn check_refreshed(secs: u32, outcome: Outcome) {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    node.check(&format!("ms k 3 T{secs} F1\r\nold"), "HD\r\n");
    let key = key("k");
    let refreshes = first.get_or_load(&key, &KEPT, late(), || origin.value("new"));
    let meanwhile = async {
        origin.begun(1).await;
        let read = second.get_or_load(&key, &KEPT, late(), || origin.value("never")).await;
        origin.open();
        read
    };
    let ((refreshed, refresh), (answer, _)) = tokio::join!(refreshes, meanwhile);
    let age = answer.as_ref().unwrap().age.unwrap().as_secs();
    assert!((1100 - u64::from(secs)..1103 - u64::from(secs)).contains(&age), "{age} s");
    assert_eq!(told(answer), says(outcome, "old"));
    assert_eq!(told(refreshed), says(Outcome::Miss, "new"));
    assert_eq!(refresh, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });
    let (answer, _) = second.get_or_load(&key, &KEPT, late(), || origin.value("never")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "new"));
}

#[tokio::test]
async fn a_value_that_is_fresh_for_long_yet_is_refreshed_by_nobody() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.check("ms k 3 T115 F1\r\nold", "HD\r\n");
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &KEPT, late(), || origin.value("never")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "old"));
    assert_eq!(counts, Counts { hits: 1, ..Counts::default() });
}

#[tokio::test]
async fn where_the_origin_fails_a_value_in_its_grace_is_answered_if_the_policy_allows() {
    for allowed in [true, false] {
        let (node, origin) = (Memcached::start(), Origin::new());
        node.check("ms k 3 T95 F1\r\nold", "HD\r\n");
        let policy = Policy { stale_on_error: allowed, ..KEPT.clone() };
        let read = environment(&[&node]).get_or_load(&key("k"), &policy, late(), || origin.failure()).await;
        match read {
            (Ok(answer), counts) if allowed => {
                assert_eq!(told::<()>(Ok(answer)), says(Outcome::Stale, "old"));
                assert_eq!(counts, Counts { stale: 1, origin_calls: 1, ..Counts::default() });
                assert!(node.ask("mg k v").contains("\r\nold\r\n"));
            }
            (Err(LoadError::Origin(_)), _) if !allowed => {}
            read => panic!("{read:?}"),
        }
    }
}

#[tokio::test]
async fn where_the_origin_fails_a_fresh_value_is_a_hit_whatever_the_policy_says() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.check("ms k 3 T105 F1\r\nold", "HD\r\n");
    let policy = Policy { stale_on_error: false, ..KEPT.clone() };
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &policy, late(), || origin.failure()).await;
    assert_eq!(told(answer), says(Outcome::Hit, "old"));
    assert_eq!(counts, Counts { hits: 1, origin_calls: 1, ..Counts::default() });
}

#[tokio::test]
async fn an_origin_that_failed_is_left_alone_for_its_time_and_then_asked_again() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let caches = [environment(&[&node]), environment(&[&node])];
    let policy = Policy { error_for: Some(Ttl::clamped(5)), ..KEPT.clone() };
    let (answer, counts) = caches[0].get_or_load(&key("k"), &policy, late(), || origin.failure()).await;
    assert!(matches!(answer, Err(LoadError::Origin(_))), "{answer:?}");
    assert_eq!(counts, Counts { errors: 1, origin_calls: 1, ..Counts::default() });
    let ttl = ttl(&node, "k");
    assert!((113..=115).contains(&ttl), "5 s, and all in which it may be refreshed: {ttl} s");
    for cache in &caches {
        let (answer, counts) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("never")).await;
        assert!(matches!(answer, Err(LoadError::Failing)), "{answer:?}");
        assert_eq!(counts, Counts { errors: 1, failing: 1, ..Counts::default() });
    }
    assert_eq!(origin.calls().len(), 1);

    // Its time is over.
    node.check("ms k 0 T109 F3\r\n", "HD\r\n");
    let (answer, counts) = caches[1].get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_load_that_takes_longer_than_the_origin_may_has_failed() {
    let (node, stuck) = (Memcached::start(), Origin::shut());
    let (load_for, error_for) = (Duration::from_millis(50), Some(Ttl::clamped(50)));
    let policy = Policy { load_for, error_for, ..KEPT.clone() };
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &policy, late(), || stuck.value("never")).await;
    assert!(matches!(answer, Err(LoadError::Slow(had)) if had <= load_for), "{answer:?}");
    assert_eq!(counts, Counts { errors: 1, origin_calls: 1, ..Counts::default() });
    node.check("mg k f", &format!("HD f{}\r\n", 3 + NO_DOCUMENT));
}

#[tokio::test]
async fn a_caller_who_has_no_time_leaves_no_word_against_the_origin() {
    let (node, stuck) = (Memcached::start(), Origin::shut());
    let policy = Policy { error_for: Some(Ttl::clamped(50)), ..KEPT.clone() };
    let deadline = crate::support::in_millis(100);
    let (answer, _) =
        environment(&[&node]).get_or_load(&key("k"), &policy, deadline, || stuck.value("never")).await;
    assert!(matches!(answer, Err(LoadError::Deadline)), "{answer:?}");
    node.comes_to("mg k f", "EN\r\n").await;
}

#[tokio::test]
async fn a_batch_answers_what_is_fresh_and_refreshes_what_is_not_by_one_call() {
    let (node, origin) = (Memcached::start(), Origin::new());
    for (key, secs) in [("fresh", 1000), ("early", 105), ("grace", 50)] {
        node.check(&format!("ms {key} 3 T{secs} F1\r\nold"), "HD\r\n");
    }
    let keys = ["fresh", "missing", "early", "grace", "early"].map(key);
    let cache = environment(&[&node]);
    let batch = cache.get_or_load_many(&keys, &KEPT, late(), |missing| origin.values("new", missing)).await;
    assert_eq!(origin.calls(), [[1, 2, 3]]);
    let value = |answer: Result<Answer, _>| told::<crate::support::Broken>(answer).1.unwrap();
    let values: Vec<String> = batch.answers.into_iter().map(value).collect();
    assert_eq!(values, ["old", "new 1", "new 2", "new 3", "old"]);
    assert_eq!(batch.counts, Counts { hits: 2, misses: 3, origin_calls: 1, fills: 3, ..Counts::default() });
}

/// The seconds that the item under `key` has left.
#[track_caller]
fn ttl(node: &Memcached, key: &str) -> u64 {
    let reply = node.ask(&format!("mg {key} t"));
    reply.trim_end().strip_prefix("HD t").and_then(|ttl| ttl.parse().ok()).expect(&reply)
}
