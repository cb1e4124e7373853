//! The guard of the origin: however many miss at once, so many loads are under way and no more.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use larder_cache::{Cache, Counts, LoadError, OriginGuard, Outcome, Policy};
use larder_client::{Cluster, Ttl};

use crate::support::{
    Memcached, Origin, PATIENT, SLACK, config, environment, impatient, in_millis, key, late, says, told,
};

#[tokio::test]
async fn no_more_loads_than_the_guard_allows_are_under_way_at_once() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let cache = guarded(&node, 3);
    let reads = join_all((0..50).map(|id| {
        let (cache, origin) = (&cache, &origin);
        async move {
            let key = key(&format!("flights:{id}"));
            cache.get_or_load(&key, &PATIENT, late(), || origin.value("v")).await
        }
    }));
    let conduct = async {
        node.asked(50).await;
        origin.begun(3).await;
        origin.open();
    };
    let (reads, ()) = tokio::join!(reads, conduct);
    for (answer, counts) in reads {
        assert_eq!(told(answer), says(Outcome::Miss, "v"));
        assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });
    }
    assert_eq!((origin.calls().len(), origin.most_at_once()), (50, 3));
}

#[tokio::test]
async fn a_guard_that_stays_shut_is_an_error_in_time_and_the_lease_goes_back() {
    let node = Memcached::start();
    // Through the wait of the policy, and through half of what the deadline leaves.
    for (policy, limit) in [(impatient(200), 40_000), (PATIENT.clone(), 400)] {
        let (stuck, origin, cache) = (Origin::shut(), Origin::new(), guarded(&node, 1));
        let (first, second) = (key("first"), key("second"));
        let holds = cache.get_or_load(&first, &policy, late(), || stuck.value("never"));
        let guarded = async {
            stuck.begun(1).await;
            let begin = Instant::now();
            let read = cache.get_or_load(&second, &policy, in_millis(limit), || origin.value("v")).await;
            (read, begin.elapsed())
        };
        let ((answer, counts), took) = tokio::select! {
            guarded = guarded => guarded,
            _ = holds => panic!("the origin is shut"),
        };
        assert!(matches!(answer, Err(LoadError::Guarded)), "{answer:?}");
        assert_eq!(counts, Counts { errors: 1, ..Counts::default() });
        assert!(took < Duration::from_millis(200) + SLACK, "{took:?}");
        assert!(origin.calls().is_empty());
        node.comes_to("mg second v", "EN\r\n").await;
        node.check("md first", "HD\r\n");
    }
}

#[tokio::test]
async fn a_guard_that_stays_shut_leaves_a_stale_value_to_answer() {
    let (node, stuck, origin) = (Memcached::start(), Origin::shut(), Origin::new());
    node.check("ms k 3 T100 F1\r\nold\r\nmd k I T30", "HD\r\nHD\r\n");
    let cache = guarded(&node, 1);
    let (first, second) = (key("first"), key("k"));
    let policy = impatient(50);
    let holds = cache.get_or_load(&first, &policy, late(), || stuck.value("never"));
    let guarded = async {
        stuck.begun(1).await;
        cache.get_or_load(&second, &policy, late(), || origin.value("v")).await
    };
    let (answer, counts) = tokio::select! {
        guarded = guarded => guarded,
        _ = holds => panic!("the origin is shut"),
    };
    assert_eq!(told(answer), says(Outcome::Stale, "old"));
    assert_eq!(counts, Counts { stale: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_winner_that_stands_at_the_guard_is_alive_and_gives_up_before_it_seems_dead() {
    let (node, stuck, origin) = (Memcached::start(), Origin::shut(), Origin::new());
    let cache = guarded(&node, 1);
    let (first, second) = (key("first"), key("second"));
    let policy = Policy { load_for: Duration::from_millis(1000), ..PATIENT.clone() };
    let holds = cache.get_or_load(&first, &PATIENT, late(), || stuck.value("never"));
    let wins = async {
        stuck.begun(1).await;
        cache.get_or_load(&second, &policy, late(), || origin.value("never")).await
    };
    let loses = async {
        node.asked(2).await;
        environment(&[&node]).get_or_load(&second, &policy, late(), || origin.value("v")).await
    };
    let ((winner, _), (loser, counts)) = tokio::select! {
        both = join(wins, loses) => both,
        _ = holds => panic!("the origin is shut"),
    };
    assert!(matches!(winner, Err(LoadError::Guarded)), "{winner:?}");
    assert_eq!(told(loser), says(Outcome::Miss, "v"));
    let counted = Counts { misses: 1, waits: 1, origin_calls: 1, fills: 1, ..Counts::default() };
    assert_eq!(counts, counted, "nothing was taken over");
}

#[tokio::test]
async fn a_load_that_the_guard_has_left_no_time_says_nothing_of_the_origin() {
    let (node, slow, stuck) = (Memcached::start(), Origin::shut(), Origin::shut());
    let cache = guarded(&node, 1);
    let (first, second) = (key("first"), key("second"));
    let error_for = Some(Ttl::clamped(50));
    let policy = Policy { load_for: Duration::from_millis(1000), error_for, ..PATIENT.clone() };
    let holds = async {
        let read = cache.get_or_load(&first, &policy, late(), || slow.value("v"));
        let lets_go = async {
            node.asked(2).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
            slow.open();
        };
        join(read, lets_go).await.0
    };
    let waits = async {
        slow.begun(1).await;
        cache.get_or_load(&second, &policy, late(), || stuck.value("never")).await
    };
    let ((held, _), (waited, counts)) = join(holds, waits).await;
    assert_eq!(told(held), says(Outcome::Miss, "v"));
    assert!(matches!(waited, Err(LoadError::Guarded)), "{waited:?}");
    assert_eq!(counts, Counts { errors: 1, origin_calls: 1, ..Counts::default() });
    node.comes_to("mg second f", "EN\r\n").await;
}

#[tokio::test]
async fn hits_pass_a_guard_that_is_shut() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.check("ms k 1 T100 F1\r\nv", "HD\r\n");
    let (answer, _) =
        guarded(&node, 0).get_or_load(&key("k"), &PATIENT, late(), || origin.value("never")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "v"));
}

#[tokio::test]
async fn the_loads_of_a_dead_cache_are_guarded_too() {
    let (mut node, origin) = (Memcached::start(), Origin::new());
    node.kill();
    let cache = guarded(&node, 2);
    let reads = (0..20).map(|id| {
        let (cache, origin) = (&cache, &origin);
        async move {
            let key = key(&format!("flights:{id}"));
            cache.get_or_load(&key, &PATIENT, late(), || origin.value("v")).await
        }
    });
    for (answer, _) in join_all(reads).await {
        assert_eq!(told(answer), says(Outcome::Bypass, "v"));
    }
    assert_eq!((origin.calls().len(), origin.most_at_once()), (20, 2));
}

#[tokio::test]
async fn times_without_an_end_are_bounded_by_the_deadline() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let policy = Policy {
        load_for: Duration::MAX,
        wait_for: Duration::MAX,
        grace: Duration::MAX,
        early: Duration::MAX,
        ..PATIENT.clone()
    };
    let cache = environment(&[&node]);
    node.check("mg held N100 v", "VA 0 W\r\n\r\n");
    for name in ["k", "held"] {
        let load = || origin.value("v");
        let (answer, _) = cache.get_or_load(&key(name), &policy, in_millis(500), load).await;
        assert_eq!(told(answer), says(Outcome::Miss, "v"), "{name}");
    }
}

/// An environment that has `most` loads under way at once at most.
fn guarded(node: &Memcached, most: usize) -> Cache {
    Cache::new(Cluster::new(config(&[node])).unwrap(), OriginGuard::new(most))
}
