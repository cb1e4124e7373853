//! Write-through: what was written is found, and what is older is not stored over it, whoever comes late.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::join_all;
use larder_cache::{Cache, Counts, Intent, LoadError, Loaded, Outcome, Policy, Written};

use crate::support::{Memcached, Origin, PATIENT, environment, key, late, says, told};

#[tokio::test]
async fn what_was_written_is_a_hit_whether_there_was_something_before_or_not() {
    for before in
        [None, Some("ms k 3 T100 F1\r\nold"), Some("ms k 0 T100 F2\r\n"), Some("ms k 0 T100 F3\r\n")]
    {
        let (node, origin) = (Memcached::start(), Origin::new());
        before.inspect(|store| node.check(store, "HD\r\n"));
        let cache = environment(&[&node]);
        let intent = intend(&cache).await;
        assert_eq!(write(&cache, intent, "new", 2).await, Written::Stored, "{before:?}");
        let (answer, counts) =
            environment(&[&node]).get_or_load(&key("k"), &PATIENT, late(), || origin.value("never")).await;
        assert_eq!(answer.as_ref().unwrap().version, Some(2));
        assert_eq!(told(answer), says(Outcome::Hit, "new"));
        assert_eq!(counts, Counts { hits: 1, ..Counts::default() });
    }
}

#[tokio::test]
async fn a_reader_who_loaded_the_old_value_meanwhile_does_not_store_it() {
    for begins_before_intent in [true, false] {
        let (node, origin) = (Memcached::start(), Origin::shut());
        let (reader, writer) = (environment(&[&node]), environment(&[&node]));
        let key = key("k");
        let policy = Policy { wait_for: Duration::ZERO, ..PATIENT.clone() };
        let reads = reader.get_or_load(&key, &policy, late(), || origin.value("old"));
        let writes = async {
            let intent = if begins_before_intent {
                origin.begun(1).await;
                intend(&writer).await
            } else {
                let intent = intend(&writer).await;
                origin.begun(1).await;
                intent
            };
            assert_eq!(write(&writer, intent, "new", 2).await, Written::Stored);
            origin.open();
        };
        let ((answer, counts), ()) = tokio::join!(reads, writes);
        assert_eq!(told(answer), says(Outcome::Miss, "old"));
        assert_eq!(counts.fills, 0);
        check_kept(&node, Some("new"));
    }
}

#[tokio::test]
async fn a_writer_who_comes_late_leaves_the_newer_value_alone() {
    let node = Memcached::start();
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let (early, late) = (intend(&first).await, intend(&second).await);
    assert_eq!(write(&second, late, "of 3", 3).await, Written::Stored);
    assert_eq!(write(&first, early, "of 2", 2).await, Written::Newer);
    check_kept(&node, Some("of 3"));
}

#[tokio::test]
async fn a_writer_of_a_later_version_stores_it_over_the_one_that_came_in_between() {
    let node = Memcached::start();
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let (one, other) = (intend(&first).await, intend(&second).await);
    assert_eq!(write(&second, other, "of 2", 2).await, Written::Stored);
    assert_eq!(write(&first, one, "of 3", 3).await, Written::Stored);
    check_kept(&node, Some("of 3"));
}

#[tokio::test]
async fn without_versions_two_writers_at_once_leave_nothing() {
    let node = Memcached::start();
    let cache = environment(&[&node]);
    let (one, other) = (intend(&cache).await, intend(&cache).await);
    let write = async |intent, text: &'static str| {
        cache.written(intent, &Loaded::raw(text), &PATIENT, late()).await.unwrap()
    };
    assert_eq!(write(one, "one").await, Written::Stored);
    assert_eq!(write(other, "other").await, Written::Forgotten);
    check_kept(&node, None);
}

#[tokio::test]
async fn what_was_forgotten_in_between_stays_forgotten() {
    // A value, and one of an earlier version.
    for (how, before) in ["md k", "md k I T50"].into_iter().flat_map(|how| [(how, None), (how, Some(1))]) {
        let node = Memcached::start();
        node.check("ms k 3 T100 F1\r\nold", "HD\r\n");
        let cache = environment(&[&node]);
        if let Some(version) = before {
            let intent = intend(&cache).await;
            write(&cache, intent, "old", version).await;
        }
        let intent = intend(&cache).await;
        node.check(how, "HD\r\n");
        assert_eq!(write(&cache, intent, "mine", 2).await, Written::Forgotten);
        check_kept(&node, None);
    }
}

#[tokio::test]
async fn a_change_that_is_given_up_lets_the_next_reader_win() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let intent = intend(&cache).await;
    assert!(node.ask("mg k N30 t").contains('Z'), "others wait for what is written");
    cache.abandon(intent).await;
    let (answer, counts) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });

    let intent = intend(&cache).await;
    cache.abandon(intent).await;
    check_kept(&node, Some("v"));
}

#[tokio::test]
async fn a_change_of_what_is_stale_that_is_given_up_lets_the_next_reader_refresh_it() {
    let node = Memcached::start();
    node.check("ms k 3 T1000 F1\r\nold\r\nmd k I T500", "HD\r\nHD\r\n");
    let cache = environment(&[&node]);
    let intent = intend(&cache).await;
    assert!(node.ask("mg k v t").contains('Z'), "others leave it to the writer");
    cache.abandon(intent).await;
    let reply = node.ask("mg k v t");
    assert!(reply.contains('W') && reply.contains("old"), "{reply:?}");
}

#[tokio::test]
async fn a_writer_who_dies_in_between_is_taken_over() {
    let (node, origin) = (Memcached::start(), Origin::new());
    drop(intend(&environment(&[&node])).await);
    let policy = Policy { load_for: Duration::from_millis(50), ..PATIENT.clone() };
    let (answer, counts) =
        environment(&[&node]).get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
    assert_eq!((counts.takeovers, counts.fills), (1, 1));
}

#[tokio::test]
async fn a_node_that_cannot_be_told_is_an_error_before_and_after_the_change() {
    for dies_before in [true, false] {
        let mut node = Memcached::start();
        let cache = environment(&[&node]);
        if dies_before {
            node.kill();
        }
        let intent = intend(&cache).await;
        node.kill();
        let written = cache.written(intent, &Loaded::raw("new"), &PATIENT, late()).await;
        assert!(written.is_err(), "{written:?}");
        assert!(cache.forget(&key("k"), &PATIENT, late()).await.is_err());
    }
}

#[tokio::test]
async fn what_is_forgotten_is_removed_or_marked_stale_as_the_policy_says() {
    let node = Memcached::start();
    let cache = environment(&[&node]);
    node.check("ms k 3 T1000 F1\r\nold", "HD\r\n");
    let soft = Policy { grace: Duration::from_secs(40), ..PATIENT.clone() };
    cache.forget(&key("k"), &soft, late()).await.unwrap();
    let reply = node.ask("mg k t v");
    assert!(reply.contains(" X") && (reply.contains(" t40 ") || reply.contains(" t39 ")), "{reply}");
    cache.forget(&key("k"), &Policy { stale_after_invalidate: false, ..soft }, late()).await.unwrap();
    check_kept(&node, None);
    cache.forget(&key("k"), &PATIENT, late()).await.unwrap();
}

#[tokio::test]
async fn whoever_asks_for_a_version_gets_no_older_one() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let load = |version| {
        let origin = &origin;
        move || origin.loaded(Loaded::raw(format!("of {version}")).of_version(version))
    };
    let _ = cache.get_or_load(&key("k"), &PATIENT, late(), load(1)).await;

    let (answer, counts) = cache.get_at_least(&key("k"), 1, &PATIENT, late(), load(9)).await;
    assert_eq!(told(answer), says(Outcome::Hit, "of 1"));
    assert_eq!(counts, Counts { hits: 1, ..Counts::default() });

    let (answer, counts) = cache.get_at_least(&key("k"), 2, &PATIENT, late(), load(2)).await;
    assert_eq!(told(answer), says(Outcome::Miss, "of 2"));
    assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, ..Counts::default() });
    check_kept(&node, Some("of 2"));

    for is_cached in [true, false] {
        let (answer, counts) = cache.get_at_least(&key("k"), 5, &PATIENT, late(), load(4)).await;
        assert!(matches!(answer, Err(LoadError::Older { found: 4, version: 5 })), "{answer:?}");
        assert_eq!(
            counts,
            Counts { errors: 1, origin_calls: 1, fills: 1, ..Counts::default() },
            "{is_cached}"
        );
        node.check("md k", "HD\r\n");
    }
    assert_eq!(origin.calls().len(), 4);
}

#[tokio::test]
async fn whoever_asks_for_a_version_is_not_told_of_an_earlier_time_that_there_is_none() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let _ = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.no_record()).await;
    let load = || origin.loaded(Loaded::raw("of 1").of_version(1));
    let (answer, _) = cache.get_at_least(&key("k"), 1, &PATIENT, late(), load).await;
    assert_eq!(told(answer), says(Outcome::Miss, "of 1"));
    let (answer, _) = cache.get_at_least(&key("k"), 2, &PATIENT, late(), || origin.no_record()).await;
    assert_eq!(told(answer), (Outcome::Miss, None), "what the origin says counts");
    check_kept(&node, None);
}

#[tokio::test]
async fn a_record_that_the_origin_has_no_more_is_not_kept_for_its_grace() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, policy) =
        (environment(&[&node]), Policy { grace: Duration::from_secs(100), ..PATIENT.clone() });
    let load = || origin.loaded(Loaded::raw("of 1").of_version(1));
    let _ = cache.get_or_load(&key("k"), &policy, late(), load).await;
    let (answer, _) = cache.get_at_least(&key("k"), 2, &policy, late(), || origin.no_record()).await;
    assert_eq!(told(answer), (Outcome::Miss, None));
    node.check("mg k v", "EN\r\n");
}

#[tokio::test]
async fn whoever_has_written_reads_that_or_something_newer_ever_after() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let node = Memcached::start();
    let row = Row::default();
    let tasks = (0..8).map(|nth| {
        let (cache, row) = (environment(&[&node]), &row);
        let mut random = fastrand::Rng::with_seed(seed ^ nth);
        async move {
            for _ in 0..200 {
                match random.u8(..6) {
                    0 => row.write(&cache).await,
                    1 => row.give_up(&cache).await,
                    2 => cache.forget(&key("k"), &PATIENT, late()).await.unwrap(),
                    _ => row.read(&cache).await,
                }
            }
        }
    });
    join_all(tasks).await;
    assert!(row.told.load(SeqCst) > 50);
}

/// A row in the origin, and the latest version of which somebody was told that the cache knows it.
#[derive(Default)]
struct Row {
    version: AtomicU64,
    told: AtomicU64,
}

impl Row {
    async fn write(&self, cache: &Cache) {
        let intent = intend(cache).await;
        tokio::task::yield_now().await;
        let version = self.version.fetch_add(1, SeqCst) + 1;
        tokio::task::yield_now().await;
        write(cache, intent, "v", version).await;
        self.told.fetch_max(version, SeqCst);
    }

    async fn give_up(&self, cache: &Cache) {
        let intent = intend(cache).await;
        cache.abandon(intent).await;
    }

    async fn read(&self, cache: &Cache) {
        let least = self.told.load(SeqCst);
        let load = || async {
            let version = self.version.load(SeqCst);
            tokio::task::yield_now().await;
            Ok::<_, ()>(Some(Loaded::raw("v").of_version(version)))
        };
        let (answer, _) = cache.get_or_load(&key("k"), &PATIENT, late(), load).await;
        let found = answer.unwrap().version.unwrap();
        assert!(found >= least, "{found} was read after {least} was written");
    }
}

async fn intend(cache: &Cache) -> Intent {
    cache.intend(&key("k"), &PATIENT, late()).await
}

async fn write(cache: &Cache, intent: Intent, text: &'static str, version: u64) -> Written {
    cache.written(intent, &Loaded::raw(text).of_version(version), &PATIENT, late()).await.unwrap()
}

/// What a node has under `k`, its version not told.
#[track_caller]
fn check_kept(node: &Memcached, expected: Option<&str>) {
    let reply = node.ask("mg k f v");
    match expected {
        Some(text) => assert!(reply.ends_with(&format!("{text}\r\n")), "{reply:?}"),
        None => assert!(reply == "EN\r\n" || reply.contains(" X"), "{reply:?}"),
    }
}
