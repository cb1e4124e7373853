//! Winners who die: whoever has seen their lease for longer than a load may take takes it over, and one only.

use std::sync::LazyLock;
use std::time::Duration;

use larder_cache::{Counts, LoadError, Outcome, Policy};
use tokio::time::{Instant, sleep};

use crate::support::{
    Memcached, Origin, PATIENCE, PATIENT, Turnstile, environment, environment_behind, key, late, says, told,
};

/// A winner has 300 ms, and losers wait for as long as it takes.
static QUICK: LazyLock<Policy> = LazyLock::new(|| Policy { load_for: LOAD_FOR, ..PATIENT.clone() });

#[tokio::test]
async fn a_loser_takes_the_lease_of_a_dead_winner_over_and_fills() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let dead = node.ask("mg k N60 c t");
    assert!(dead.contains('W'), "{dead}");
    let begin = Instant::now();
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &QUICK, late(), || origin.value("v")).await;
    assert!(begin.elapsed() >= LOAD_FOR, "a winner has its time: {:?}", begin.elapsed());
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
    let taken = Counts { misses: 1, waits: 1, takeovers: 1, origin_calls: 1, fills: 1, ..Counts::default() };
    assert_eq!(counts, taken);
    node.check("mg k v", "VA 1\r\nv\r\n");
    let cas = dead.split_whitespace().find_map(|flag| flag.strip_prefix('c')).unwrap();
    node.check(&format!("ms k 4 T60 F1 C{cas}\r\nlate"), "EX\r\n");
}

#[tokio::test]
async fn of_many_losers_one_takes_over_and_the_others_get_its_value() {
    let (node, origin) = (Memcached::start(), Origin::new());
    assert!(node.ask("mg k N60 t").contains('W'));
    let losers: Vec<_> = (0..20).map(|_| environment(&[&node])).collect();
    let key = key("k");
    let reads = losers.iter().map(|loser| loser.get_or_load(&key, &QUICK, late(), || origin.value("v")));
    let mut takeovers = 0;
    for (answer, counts) in futures_util::future::join_all(reads).await {
        assert_eq!(told(answer).1.as_deref(), Some("v"));
        takeovers += counts.takeovers;
    }
    assert_eq!((takeovers, origin.calls().len()), (1, 1));
}

#[tokio::test]
async fn who_has_lost_to_the_one_who_took_over_waits_for_it_too() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    assert!(node.ask("mg k N60 t").contains('W'));
    let losers: Vec<_> = (0..20).map(|_| environment(&[&node])).collect();
    let key = key("k");
    // As patient with a winner as a load may take.
    let policy = Policy { wait_for: LOAD_FOR, ..QUICK.clone() };
    let reads = losers.iter().map(|loser| loser.get_or_load(&key, &policy, late(), || origin.value("v")));
    let conduct = async {
        origin.begun(1).await;
        node.asked(node.gets() + 40).await;
        origin.open();
    };
    let (reads, ()) = tokio::join!(futures_util::future::join_all(reads), conduct);
    assert!(reads.into_iter().all(|(answer, _)| told(answer).1.as_deref() == Some("v")));
    assert_eq!(origin.calls().len(), 1);
}

#[tokio::test]
async fn a_dead_refresher_is_replaced_by_who_has_seen_it_for_long_enough_in_several_requests() {
    for (item, outcome) in [("T105", Outcome::Hit), ("T50", Outcome::Stale)] {
        let (node, origin) = (Memcached::start(), Origin::new());
        node.check(&format!("ms k 3 {item} F1\r\nold"), "HD\r\n");
        assert!(node.ask("mg k R110 t v").contains('W'));
        let policy =
            Policy { grace: Duration::from_secs(100), early: Duration::from_secs(10), ..QUICK.clone() };
        let cache = environment(&[&node]);
        let begin = Instant::now();
        loop {
            let (answer, counts) =
                cache.get_or_load(&key("k"), &policy, late(), || origin.value("new")).await;
            if counts.takeovers == 1 {
                assert!(begin.elapsed() >= LOAD_FOR, "{:?}", begin.elapsed());
                assert_eq!(told(answer), says(Outcome::Miss, "new"));
                break;
            }
            assert_eq!(told(answer), says(outcome, "old"), "nobody waits meanwhile");
            assert!(begin.elapsed() < PATIENCE, "nobody takes over");
            sleep(Duration::from_millis(10)).await;
        }
        node.check("mg k v", "VA 3\r\nnew\r\n");
        assert_eq!(origin.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_node_that_fails_after_a_take_over_takes_no_value_away() {
    let origin = Origin::new();
    for found in [Some("old"), None] {
        let node = Memcached::start();
        let turnstiles = [Turnstile::to(node.address()).await];
        if let Some(old) = found {
            node.store("k", 1, old.as_bytes());
            assert!(node.ask("mg k R110 t v").contains('W'));
        } else {
            assert!(node.ask("mg k N60 t").contains('W'));
        }
        let policy = Policy { grace: Duration::from_secs(200), wait_for: Duration::ZERO, ..QUICK.clone() };
        let cache = environment_behind(&turnstiles);
        let read = async || cache.get_or_load(&key("k"), &policy, late(), || origin.failure()).await;
        drop(read().await);
        sleep(LOAD_FOR + Duration::from_millis(1)).await;
        // The read, and the take-over; it cannot be read again.
        turnstiles[0].shut_after(2);
        let asked = origin.calls().len();
        let (answer, counts) = read().await;
        assert_eq!(counts.takeovers, 1);
        match found {
            Some(old) => assert_eq!(told(answer), says(Outcome::Stale, old)),
            None => assert!(matches!(answer, Err(LoadError::Origin(_))), "{answer:?}"),
        }
        assert_eq!(origin.calls().len() - asked, usize::from(found.is_none()));
    }
}

#[tokio::test]
async fn a_winner_who_is_alive_is_not_taken_over() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let (winner, loser) = (environment(&[&node]), environment(&[&node]));
    let key = key("k");
    let wins = winner.get_or_load(&key, &PATIENT, late(), || origin.value("v"));
    let loses = async {
        origin.begun(1).await;
        loser.get_or_load(&key, &PATIENT, late(), || origin.value("never")).await
    };
    let conduct = async {
        origin.begun(1).await;
        node.asked(5).await;
        origin.open();
    };
    let (_, (answer, counts), ()) = tokio::join!(wins, loses, conduct);
    assert_eq!(told(answer), says(Outcome::Hit, "v"));
    assert_eq!(counts, Counts { hits: 1, waits: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_winner_in_the_same_environment_hands_its_value_over_without_asking_the_node_again() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let cache = environment(&[&node]);
    let key = key("k");
    let wins = cache.get_or_load(&key, &PATIENT, late(), || origin.value("v"));
    let loses = async {
        origin.begun(1).await;
        cache.get_or_load(&key, &PATIENT, late(), || origin.value("never")).await
    };
    let conduct = async {
        origin.begun(1).await;
        node.asked(2).await;
        sleep(Duration::from_millis(200)).await;
        let asked = node.gets();
        origin.open();
        asked
    };
    let (_, (answer, counts), asked) = tokio::join!(wins, loses, conduct);
    assert_eq!(told(answer), says(Outcome::Hit, "v"));
    assert_eq!(counts, Counts { hits: 1, waits: 1, ..Counts::default() });
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn what_was_loaded_under_a_lease_that_is_void_is_for_nobody_else() {
    let (node, old, new) = (Memcached::start(), Origin::shut(), Origin::shut());
    let cache = environment(&[&node]);
    let key = key("k");
    let wins = cache.get_or_load(&key, &PATIENT, late(), || old.value("old"));
    let wins_next = async {
        old.begun(1).await;
        node.check("md k", "HD\r\n");
        cache.get_or_load(&key, &PATIENT, late(), || new.value("new")).await
    };
    let loses = async {
        new.begun(1).await;
        cache.get_or_load(&key, &PATIENT, late(), || new.value("never")).await
    };
    let conduct = async {
        new.begun(1).await;
        node.asked(3).await;
        old.open();
        node.asked(3).await;
        new.open();
    };
    let ((first, _), (next, _), (last, _), ()) = tokio::join!(wins, wins_next, loses, conduct);
    assert_eq!(told(first).1.as_deref(), Some("old"));
    assert_eq!((told(next).1.as_deref(), told(last).1.as_deref()), (Some("new"), Some("new")));
}

const LOAD_FOR: Duration = Duration::from_millis(300);
