//! One key: what is missing is loaded once and found from then on, and nothing is taken for ours that is not.

use std::time::Duration;

use larder_cache::{Answer, Counts, LoadError, Outcome, Policy};
use larder_client::Ttl;

use crate::support::{
    Broken, Memcached, NO_DOCUMENT, Origin, PATIENT, config, environment, impatient, in_millis, key, late,
    says, told,
};

#[tokio::test]
async fn a_miss_loads_and_fills_and_the_next_read_is_a_hit() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (first, second) = (environment(&[&node]), environment(&[&node]));

    let (answer, counts) =
        first.get_or_load(&key("flights:17"), &PATIENT, late(), || origin.value("EWR-IAH")).await;
    let missed = Answer {
        value: Some("EWR-IAH".into()),
        version: None,
        outcome: Outcome::Miss,
        node: Some(node.name()),
        age: None,
    };
    assert_eq!(answer.unwrap(), missed);
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });

    let (answer, counts) =
        second.get_or_load(&key("flights:17"), &PATIENT, late(), || origin.value("another")).await;
    let hit = answer.unwrap();
    let age = hit.age.expect("a hit has an age");
    assert!(age <= Duration::from_secs(5), "{age:?}");
    assert_eq!(hit, Answer { outcome: Outcome::Hit, age: Some(age), ..missed });
    assert_eq!(counts, Counts { hits: 1, ..Counts::default() });
    assert_eq!(origin.calls(), [[0]]);
}

#[tokio::test]
async fn the_age_is_the_time_since_the_value_was_stored() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, key) = (environment(&[&node]), key("k"));
    let policy = Policy { jitter: 0.0, ..PATIENT.clone() };
    node.check("ms k 3 T300 F1\r\nold", "HD\r\n");
    let (answer, _) = cache.get_or_load(&key, &policy, late(), || origin.value("new")).await;
    let age = answer.unwrap().age.expect("a hit has an age").as_secs();
    assert!((700..=720).contains(&age), "{age} s");
}

#[tokio::test]
async fn values_are_stored_for_their_time_less_jitter() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let mut ttls = Vec::new();
    for id in 0..20 {
        let text = format!("flights:{id}");
        let (answer, _) = cache.get_or_load(&key(&text), &PATIENT, late(), || origin.value("v")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "v"));
        ttls.push(ttl(&node, &text));
    }
    // 1000 s less 15 % at most, and what may have passed since.
    assert!(ttls.iter().all(|ttl| (830..=1000).contains(ttl)), "{ttls:?}");
    ttls.sort_unstable();
    assert!(ttls[19] - ttls[0] > 50, "stored together, ending together: {ttls:?}");
}

#[tokio::test]
async fn what_the_origin_does_not_have_is_remembered_for_its_own_time() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, key) = (environment(&[&node]), key("k"));
    let policy = Policy { negative_for: Ttl::clamped(100), ..PATIENT.clone() };

    let (answer, counts) = cache.get_or_load(&key, &policy, late(), || origin.no_record()).await;
    assert_eq!(told(answer), (Outcome::Miss, None));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });
    let ttl = ttl(&node, "k");
    assert!((70..=100).contains(&ttl), "{ttl} s");

    let (answer, counts) = cache.get_or_load(&key, &policy, late(), || origin.value("now it has")).await;
    assert_eq!(told(answer), (Outcome::Hit, None));
    assert_eq!(counts, Counts { hits: 1, negative_hits: 1, ..Counts::default() });
}

#[tokio::test]
async fn an_empty_value_is_a_value() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let (answer, _) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("")).await;
        assert_eq!(told(answer), says(outcome, ""));
    }
}

#[tokio::test]
async fn a_failed_load_stores_nothing_and_the_next_reader_wins_at_once() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (first, second) = (environment(&[&node]), environment(&[&node]));

    let (answer, counts) = first.get_or_load(&key("k"), &PATIENT, late(), || origin.failure()).await;
    let error = answer.unwrap_err();
    assert!(matches!(&error, LoadError::Origin(source) if **source == Broken), "{error:?}");
    assert_eq!(counts, Counts { errors: 1, origin_calls: 1, ..Counts::default() });
    node.comes_to("mg k f v", "EN\r\n").await;

    let (answer, counts) = second.get_or_load(&key("k"), &PATIENT, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });
}

#[tokio::test]
async fn client_flags_mean_on_the_wire_what_the_design_says() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let policy = Policy { schema: 9, ..PATIENT.clone() };
    let load = || origin.value("v");
    let _ = cache.get_or_load(&key("found"), &policy, late(), load).await;
    node.check("mg found f v", &format!("VA 1 f{}\r\nv\r\n", 1 + 9 * 256 + NO_DOCUMENT));
    let _ = cache.get_or_load(&key("not-found"), &policy, late(), || origin.no_record()).await;
    node.check("mg not-found f v", &format!("VA 0 f{}\r\n\r\n", 2 + 9 * 256 + NO_DOCUMENT));
}

#[tokio::test]
async fn an_item_of_another_schema_is_a_miss_and_stays_as_it_is() {
    for (store, stored) in [
        // A value of schema 1.
        ("set k 257 100 5\r\nhello", "VA 5 f257\r\nhello\r\n"),
        // "No such record" of schema 255.
        ("set k 65282 100 0\r\n", "VA 0 f65282\r\n\r\n"),
    ] {
        let (node, origin) = (Memcached::start(), Origin::new());
        let cache = environment(&[&node]);
        node.check(store, "STORED\r\n");
        for _ in 0..2 {
            let (answer, counts) =
                cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("ours")).await;
            assert_eq!(told(answer), says(Outcome::Miss, "ours"), "{store:?}");
            assert_eq!(counts, Counts { misses: 1, origin_calls: 1, ..Counts::default() }, "{store:?}");
        }
        node.check("mg k f v", stored);
    }
}

#[tokio::test]
async fn an_item_of_ours_is_a_hit_whoever_stored_it() {
    let (node, origin) = (Memcached::start(), Origin::new());
    // Schema 7, epoch 513.
    let client_flags = 1 + 7 * 256 + 513 * 65536;
    node.check(&format!("set k {client_flags} 100 5\r\nhello"), "STORED\r\n");
    let policy = Policy { schema: 7, ..PATIENT.clone() };
    let (answer, _) =
        environment(&[&node]).get_or_load(&key("k"), &policy, late(), || origin.value("ours")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "hello"));
    assert!(origin.calls().is_empty());
}

#[tokio::test]
async fn a_lease_is_never_a_value() {
    let (node, origin) = (Memcached::start(), Origin::new());
    assert!(node.ask("mg k N30 t").contains('W'));
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &impatient(30), late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
    assert_eq!(counts, Counts { misses: 1, waits: 1, origin_calls: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_value_too_long_for_the_node_is_answered_and_nobody_waits_for_it() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let long = "x".repeat(config(&[&node]).max_item_len);
    for cache in [first, second] {
        let (answer, counts) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value(&long)).await;
        assert_eq!(told(answer), says(Outcome::Miss, &long));
        assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills_failed: 1, ..Counts::default() });
        node.check("mg k f s", &format!("HD f{} s8\r\n", 5 + NO_DOCUMENT));
    }
}

#[tokio::test]
async fn a_load_that_never_ends_is_an_error_by_the_deadline_and_its_lease_goes_back() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let started = std::time::Instant::now();
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &PATIENT, in_millis(200), || origin.value("v")).await;
    let took = started.elapsed();
    assert!(matches!(answer, Err(LoadError::Deadline)), "{answer:?}");
    assert_eq!(counts, Counts { errors: 1, origin_calls: 1, ..Counts::default() });
    assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(200) + crate::support::SLACK);
    node.comes_to("mg k f v", "EN\r\n").await;
}

/// The seconds that the item under `key` has left.
#[track_caller]
fn ttl(node: &Memcached, key: &str) -> u64 {
    let reply = node.ask(&format!("mg {key} t"));
    reply.trim_end().strip_prefix("HD t").and_then(|ttl| ttl.parse().ok()).expect(&reply)
}
