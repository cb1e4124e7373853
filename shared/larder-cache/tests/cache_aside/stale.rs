//! Values that were marked stale: one reader refreshes them, what the others get is the policy's word.

use larder_cache::{Answer, Cache, Counts, LoadError, Outcome, Policy};
use larder_client::Key;

use crate::support::{
    Memcached, NO_DOCUMENT, Origin, PATIENT, config, environment, impatient, key, late, says, told,
};

#[tokio::test]
async fn one_reader_refreshes_a_stale_value_and_the_others_get_the_old_one_meanwhile() {
    let (node, origin) = (stale("old"), Origin::shut());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let key = key("k");
    let refreshes = first.get_or_load(&key, &PATIENT, late(), || origin.value("new"));
    let meanwhile = async {
        origin.begun(1).await;
        let read = second.get_or_load(&key, &PATIENT, late(), || origin.value("never")).await;
        origin.open();
        read
    };
    let ((refreshed, refresh), (answer, counts)) = tokio::join!(refreshes, meanwhile);

    let old = Answer {
        value: Some("old".into()),
        version: None,
        outcome: Outcome::Stale,
        node: Some(node.name()),
        age: None,
    };
    assert_eq!(answer.unwrap(), old);
    assert_eq!(counts, Counts { stale: 1, ..Counts::default() });
    assert_eq!(told(refreshed), says(Outcome::Miss, "new"));
    assert_eq!(refresh, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });

    let (answer, _) = second.get_or_load(&key, &PATIENT, late(), || origin.value("never")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "new"));
    assert_eq!(origin.calls().len(), 1);
}

#[tokio::test]
async fn a_stale_value_is_answered_where_the_origin_fails_and_stays() {
    let (node, origin) = (stale("old"), Origin::new());
    let cache = environment(&[&node]);
    let (answer, counts) = read(&cache, &key("k"), &PATIENT, &origin).await;
    assert_eq!(told(answer), says(Outcome::Stale, "old"));
    assert_eq!(counts, Counts { stale: 1, origin_calls: 1, ..Counts::default() });
    assert!(node.ask("mg k v").contains("\r\nold\r\n"));
}

#[tokio::test]
async fn without_leave_to_answer_stale_values_others_wait_for_the_new_one() {
    let (node, origin) = (stale("old"), Origin::shut());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let key = key("k");
    let strict = Policy { stale_after_invalidate: false, ..PATIENT.clone() };
    let before = node.gets();
    let refreshes = first.get_or_load(&key, &strict, late(), || origin.value("new"));
    let waits = async {
        origin.begun(1).await;
        second.get_or_load(&key, &strict, late(), || origin.value("never")).await
    };
    let conduct = async {
        // The first, the second, and the second again: it waits.
        node.asked(before + 3).await;
        origin.open();
    };
    let (_, (answer, counts), ()) = tokio::join!(refreshes, waits, conduct);
    assert_eq!(told(answer), says(Outcome::Hit, "new"));
    assert_eq!(counts, Counts { hits: 1, waits: 1, ..Counts::default() });
    assert_eq!(origin.calls().len(), 1);
}

#[tokio::test]
async fn without_leave_to_answer_stale_values_a_wait_in_vain_ends_at_the_origin() {
    let (node, origin) = (stale("old"), Origin::new());
    assert!(node.ask("mg k t").contains(" W"));
    let strict = Policy { stale_after_invalidate: false, ..impatient(30) };
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &strict, late(), || origin.value("new")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "new"));
    assert_eq!(counts, Counts { misses: 1, waits: 1, origin_calls: 1, ..Counts::default() });
}

#[tokio::test]
async fn without_leave_to_answer_stale_values_a_failing_origin_is_an_error() {
    let (node, origin) = (stale("old"), Origin::new());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let strict = Policy { stale_after_invalidate: false, ..PATIENT.clone() };
    for cache in [first, second] {
        let (answer, counts) = read(&cache, &key("k"), &strict, &origin).await;
        assert!(matches!(answer, Err(LoadError::Origin(_))), "{answer:?}");
        assert_eq!(counts, Counts { errors: 1, origin_calls: 1, ..Counts::default() });
        node.comes_to("mg k v", "EN\r\n").await;
    }
}

#[tokio::test]
async fn a_new_value_too_long_for_the_node_leaves_no_old_one_there() {
    let (node, origin) = (stale("old"), Origin::new());
    let long = "x".repeat(config(&[&node]).max_item_len);
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &PATIENT, late(), || origin.value(&long)).await;
    assert_eq!(told(answer), says(Outcome::Miss, &long));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills_failed: 1, ..Counts::default() });
    node.check("mg k f s", &format!("HD f{} s8\r\n", 5 + NO_DOCUMENT));
}

#[tokio::test]
async fn a_stale_item_of_another_schema_is_no_answer() {
    let (node, origin) = (stale("old"), Origin::new());
    let policy = Policy { schema: 1, ..PATIENT.clone() };
    let (answer, _) = read(&environment(&[&node]), &key("k"), &policy, &origin).await;
    assert!(matches!(answer, Err(LoadError::Origin(_))), "{answer:?}");
}

#[tokio::test]
async fn that_there_was_no_record_is_no_answer_where_the_origin_fails() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.check("ms k 0 T100 F2\r\n", "HD\r\n");
    node.check("md k I T30", "HD\r\n");
    let (answer, counts) = read(&environment(&[&node]), &key("k"), &PATIENT, &origin).await;
    assert!(matches!(answer, Err(LoadError::Origin(_))), "{answer:?}");
    assert_eq!(counts, Counts { errors: 1, origin_calls: 1, ..Counts::default() });
}

/// Reads `key` while the origin fails.
async fn read(
    cache: &Cache,
    key: &Key,
    policy: &Policy,
    origin: &Origin,
) -> (Result<Answer, LoadError<crate::support::Broken>>, Counts) {
    cache.get_or_load(key, policy, late(), || origin.failure()).await
}

/// A node that has `value` under `k`, marked stale.
fn stale(value: &str) -> Memcached {
    let node = Memcached::start();
    node.check(&format!("ms k {} T100 F1\r\n{value}", value.len()), "HD\r\n");
    node.check("md k I T30", "HD\r\n");
    node
}
