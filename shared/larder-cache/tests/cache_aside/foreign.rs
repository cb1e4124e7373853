//! Items that are not of this cache: they are replaced once, and do not cost an origin call for every read.

use larder_cache::{Cache, Counts, Outcome, Policy, TimedList};
use larder_client::{Key, Ttl};
use std::time::Duration;

use crate::support::{Memcached, Origin, PATIENT, environment, key, late, says, told};

#[tokio::test]
async fn an_item_that_is_not_ours_costs_one_load_whatever_it_is() {
    for store in [
        "ms k 5 T0 F0\r\nhello",
        "ms k 0 T0 F0\r\n",
        "ms k 5 T100 F0\r\nhello",
        "ms k 5 T0 F7\r\nhello",
        "ms k 5 T0 F255\r\nhello",
        // Compressed, with tags, with a version, too long to be cached: and nothing of it there.
        "ms k 5 T0 F9\r\nhello",
        "ms k 5 T100 F9\r\nhello",
        "ms k 5 T100 F65\r\nhello",
        "ms k 5 T100 F17\r\nhello",
        "ms k 5 T100 F5\r\nhello",
        // Formats of ours, and never to end.
        "ms k 5 T0 F1\r\nhello",
        "ms k 0 T0 F2\r\n",
        "ms k 0 T0 F3\r\n",
        "ms k 8 T0 F5\r\n01234567",
        // Times that no such item has.
        "ms k 0 T9999 F2\r\n",
        "ms k 0 T9999 F3\r\n",
        "ms k 8 T9999 F5\r\n01234567",
    ] {
        let (node, origin) = (Memcached::start(), Origin::new());
        node.check(store, "HD\r\n");
        let policy = Policy { error_for: Some(Ttl::MIN), ..PATIENT.clone() };
        let (first, second) = (environment(&[&node]), environment(&[&node]));
        let (answer, counts) = first.get_or_load(&key("k"), &policy, late(), || origin.value("ours")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "ours"), "{store:?}");
        let expected = Counts { misses: 1, origin_calls: 1, fills: 1, foreign: 1, ..Counts::default() };
        assert_eq!(counts, expected, "{store:?}");
        let (answer, counts) = second.get_or_load(&key("k"), &policy, late(), || origin.value("never")).await;
        assert_eq!(told(answer), says(Outcome::Hit, "ours"), "{store:?}");
        assert_eq!(counts, Counts { hits: 1, ..Counts::default() }, "{store:?}");
    }
}

#[tokio::test]
async fn of_many_that_meet_a_foreign_item_one_loads() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.check("ms k 5 T0 F0\r\nhello", "HD\r\n");
    let environments: Vec<Cache> = (0..20).map(|_| environment(&[&node])).collect();
    let key = key("k");
    let reads =
        environments.iter().map(|cache| cache.get_or_load(&key, &PATIENT, late(), || origin.value("v")));
    for (answer, _) in futures_util::future::join_all(reads).await {
        assert_eq!(told(answer).1.as_deref(), Some("v"));
    }
    // One that had read the item before it was removed may find the lease given back; none loads beside another.
    assert_eq!(origin.most_at_once(), 1, "{:?}", origin.calls());
}

#[tokio::test]
async fn a_batch_replaces_what_is_foreign_with_one_load() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let keys: Vec<Key> = (0..4).map(|id| key(&format!("k{id}"))).collect();
    node.check("ms k1 5 T0 F0\r\nhello", "HD\r\n");
    node.check("ms k3 5 T0 F1\r\nhello", "HD\r\n");
    let cache = environment(&[&node]);
    let load = |missing| origin.values("v", missing);
    let batch = cache.get_or_load_many(&keys, &PATIENT, late(), load).await;
    assert_eq!((batch.counts.foreign, batch.counts.fills), (2, 4));
    let batch = cache.get_or_load_many(&keys, &PATIENT, late(), load).await;
    assert_eq!(batch.counts, Counts { hits: 4, ..Counts::default() });
}

#[tokio::test]
async fn a_list_that_never_ends_is_no_list_and_is_replaced() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let list = TimedList::new(key("list"), Duration::from_secs(30), Duration::from_secs(5)).unwrap();
    let cache = environment(&[&node]);
    let rows = || async { origin.value("v").await.map(|_| larder_cache::ListItems::of(["1"])) };
    let (answer, _) = cache.read_list(&list, late(), rows).await;
    assert_eq!(&answer.unwrap().items[..], b"[1]");
    // As it was stored, but for its time.
    node.check("mg list T0", "HD\r\n");
    for (outcome, calls) in [(Outcome::Miss, 2), (Outcome::Hit, 2)] {
        let (answer, _) = cache.read_list(&list, late(), rows).await;
        assert_eq!((answer.unwrap().outcome, origin.calls().len()), (outcome, calls));
    }
}

#[tokio::test]
async fn a_foreign_item_at_the_place_of_a_lists_lease_is_removed() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let list = TimedList::new(key("list"), Duration::from_secs(30), Duration::from_secs(5)).unwrap();
    node.check("ms larder~refresh~list 5 T0 F0\r\nhello", "HD\r\n");
    let cache = environment(&[&node]);
    let rows = || async { origin.value("v").await.map(|_| larder_cache::ListItems::of(["1"])) };
    cache.refresh_list(&list, Duration::ZERO, late(), rows).await.unwrap();
    node.check("mg larder~refresh~list v", "EN\r\n");
}
