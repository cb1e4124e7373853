//! Many environments at one key: one loads, the others wait a moment for it, and nobody stores what is out of date.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use larder_cache::{Counts, Outcome};
use tokio::sync::Barrier;

use crate::support::{
    Memcached, Origin, PATIENCE, PATIENT, SLACK, environment, impatient, key, late, says, told,
};

#[tokio::test]
async fn of_two_hundred_environments_that_miss_at_once_one_loads_and_all_get_the_value() {
    let (node, origin) = (Memcached::start(), Arc::new(Origin::shut()));
    let start = Arc::new(Barrier::new(ENVIRONMENTS + 1));
    let readers: Vec<_> = (0..ENVIRONMENTS)
        .map(|nth| {
            let (cache, origin, start) = (environment(&[&node]), Arc::clone(&origin), Arc::clone(&start));
            tokio::spawn(async move {
                // Connects, so that nobody is late.
                let own = key(&format!("own:{nth}"));
                cache.get_or_load(&own, &PATIENT, late(), || async { NONE }).await.0.unwrap();
                start.wait().await;
                cache.get_or_load(&key("hot"), &PATIENT, late(), || origin.value("v")).await
            })
        })
        .collect();
    start.wait().await;
    origin.begun(1).await;
    // Everyone is asked for the key more than once, so all have missed it by then.
    node.asked(3 * ENVIRONMENTS as u64).await;
    origin.open();

    let (mut winners, mut waits) = (0, 0);
    for reader in readers {
        let (answer, counts) = reader.await.unwrap();
        let (outcome, value) = told(answer);
        assert_eq!(value.as_deref(), Some("v"));
        if outcome == Outcome::Miss {
            assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });
            winners += 1;
        } else {
            assert_eq!(counts, Counts { hits: 1, waits: counts.waits, ..Counts::default() });
            waits += counts.waits;
        }
    }
    assert_eq!((winners, origin.calls().len()), (1, 1));
    assert!(waits as usize > ENVIRONMENTS / 2, "only {waits} of {ENVIRONMENTS} have waited");
}

#[tokio::test]
async fn a_loser_waits_and_then_loads_on_its_own_without_filling() {
    let (node, origin, stuck) = (Memcached::start(), Origin::new(), Origin::shut());
    let (winner, loser) = (environment(&[&node]), environment(&[&node]));
    let key = key("k");
    let never = winner.get_or_load(&key, &PATIENT, late(), || stuck.value("never"));
    let lost = async {
        stuck.begun(1).await;
        let begin = Instant::now();
        let read = loser.get_or_load(&key, &impatient(150), late(), || origin.value("v")).await;
        (read, begin.elapsed())
    };
    let ((answer, counts), took) = first_of(lost, never).await;
    let answer = answer.unwrap();
    assert_eq!(answer.node, Some(node.name()), "the node has said that it is missing");
    assert_eq!(told::<()>(Ok(answer)), says(Outcome::Miss, "v"));
    assert_eq!(counts, Counts { misses: 1, waits: 1, origin_calls: 1, ..Counts::default() });
    assert!(took >= Duration::from_millis(150) && took < Duration::from_millis(150) + SLACK, "{took:?}");
    node.check("mg k f v", "VA 0 f0 Z\r\n\r\n");
}

#[tokio::test]
async fn a_loser_whose_winner_fails_wins_in_its_place_and_fills() {
    let (node, origin, failing) = (Memcached::start(), Origin::new(), Origin::shut());
    let (winner, loser) = (environment(&[&node]), environment(&[&node]));
    let key = key("k");
    let fails = winner.get_or_load(&key, &PATIENT, late(), || failing.failure());
    let lost = async {
        failing.begun(1).await;
        loser.get_or_load(&key, &PATIENT, late(), || origin.value("v")).await
    };
    let conduct = async {
        // The winner, the loser, and the loser again: it waits.
        node.asked(3).await;
        failing.open();
    };
    let ((failed, _), (answer, counts), ()) = tokio::join!(fails, lost, conduct);
    assert!(failed.is_err());
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
    assert_eq!(counts, Counts { misses: 1, waits: 1, origin_calls: 1, fills: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_fill_after_a_delete_is_refused_and_the_value_answered() {
    let node = Memcached::start();
    check_refused(&node, || node.check("md k", "HD\r\n")).await;
    node.check("mg k v", "EN\r\n");
}

#[tokio::test]
async fn a_fill_after_a_delete_and_another_lease_is_refused_and_the_value_answered() {
    let node = Memcached::start();
    check_refused(&node, || {
        node.check("md k", "HD\r\n");
        assert!(node.ask("mg k N30 t").contains('W'));
    })
    .await;
    node.check("mg k f v", "VA 0 f0 Z\r\n\r\n");
}

#[tokio::test]
async fn a_fill_over_a_newer_value_is_refused_and_the_value_answered() {
    let node = Memcached::start();
    check_refused(&node, || node.check("ms k 5 T100 F1\r\nnewer", "HD\r\n")).await;
    node.check("mg k v", "VA 5\r\nnewer\r\n");
}

#[tokio::test]
async fn a_fill_after_a_restart_is_refused_though_the_cas_token_is_the_same_again() {
    let (mut node, origin) = (Memcached::start(), Origin::shut());
    let (cache, key, other) = (environment(&[&node]), key("k"), key("other"));
    let read = cache.get_or_load(&key, &PATIENT, late(), || origin.value("old"));
    let conduct = async {
        origin.begun(1).await;
        let before = node.ask("mg k c");
        node.restart();
        node.check("mg k N30 c", &before.replace('Z', "W"));
        // A connection that the fill could take, if it were not bound to its own.
        let (answer, _) = cache.get_or_load(&other, &PATIENT, late(), || async { NONE }).await;
        assert_eq!(told(answer), (Outcome::Miss, None));
        origin.open();
    };
    let ((answer, counts), ()) = tokio::join!(read, conduct);
    assert_eq!(told(answer), says(Outcome::Miss, "old"));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills_refused: 1, ..Counts::default() });
    node.check("mg k f v", "VA 0 f0 Z\r\n\r\n");
}

/// Loads a value while `meanwhile` happens to the lease.
async fn check_refused(node: &Memcached, meanwhile: impl FnOnce()) {
    let (origin, cache) = (Origin::shut(), environment(&[node]));
    let key = key("k");
    let read = cache.get_or_load(&key, &PATIENT, late(), || origin.value("old"));
    let conduct = async {
        origin.begun(1).await;
        meanwhile();
        origin.open();
    };
    let ((answer, counts), ()) = tokio::join!(read, conduct);
    assert_eq!(told(answer), says(Outcome::Miss, "old"));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills_refused: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_reader_that_is_gone_in_the_middle_of_its_load_costs_others_their_wait_at_most() {
    let node = Memcached::start();
    for of_same_environment in [false, true] {
        let (stuck, origin) = (Origin::shut(), Origin::new());
        let (gone, other) = (environment(&[&node]), environment(&[&node]));
        let other = if of_same_environment { &gone } else { &other };
        let key = key(&format!("k:{of_same_environment}"));
        let read = gone.get_or_load(&key, &PATIENT, late(), || stuck.value("never"));
        first_of(stuck.begun(1), read).await;

        let begin = Instant::now();
        let (answer, counts) = other.get_or_load(&key, &impatient(100), late(), || origin.value("v")).await;
        let took = begin.elapsed();
        assert_eq!(told(answer), says(Outcome::Miss, "v"));
        // Dropped in the same environment, the connection may or may not have outlived it; the lease has.
        assert_eq!(counts, Counts { misses: 1, waits: 1, origin_calls: 1, ..Counts::default() });
        assert!(took < Duration::from_millis(100) + SLACK, "{took:?}");
    }
}

#[tokio::test]
async fn a_reader_may_be_dropped_anywhere_and_others_still_read() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let shared = environment(&[&node]);
    for polls in 1..40 {
        let key = key(&format!("k:{polls}"));
        let read = shared.get_or_load(&key, &PATIENT, late(), || origin.value("v"));
        let is_over = dropped_after(polls, read).await;
        let others = (0..4).map(|nth| {
            let (own, shared, origin, key) = (environment(&[&node]), &shared, &origin, &key);
            async move {
                let cache = if nth % 2 == 0 { &own } else { shared };
                let begin = Instant::now();
                let (answer, _) = cache.get_or_load(key, &impatient(40), late(), || origin.value("v")).await;
                assert_eq!(told(answer).1.as_deref(), Some("v"), "dropped after {polls} polls");
                assert!(begin.elapsed() < Duration::from_millis(40) + SLACK, "dropped after {polls} polls");
            }
        });
        join_all(others).await;
        if is_over {
            return;
        }
    }
    panic!("a read takes fewer polls");
}

/// Polls `future` so many times at most and drops it; answers whether it has ended.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> bool {
    let mut future = std::pin::pin!(future);
    let mut count = 0;
    std::future::poll_fn(|cx| {
        count += 1;
        match future.as_mut().poll(cx) {
            std::task::Poll::Ready(_) => std::task::Poll::Ready(true),
            std::task::Poll::Pending if count == polls => std::task::Poll::Ready(false),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    })
    .await
}

/// What `first` answers; `second`, which must not end before, is dropped.
async fn first_of<T, U>(first: impl Future<Output = T>, second: impl Future<Output = U>) -> T {
    tokio::select! {
        biased;
        first = first => first,
        _ = second => panic!("the second ended first"),
        () = tokio::time::sleep(PATIENCE) => panic!("neither ended"),
    }
}

const ENVIRONMENTS: usize = 200;
const NONE: Result<Option<Bytes>, ()> = Ok(None);
