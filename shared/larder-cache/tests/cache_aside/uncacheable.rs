//! Values that are too long for an item: nothing old is left, nobody queues for them, and what fits again is cached.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use larder_cache::{Cache, Counts, LoadFault, Loaded, Outcome, Policy, Written};
use larder_client::{Key, Ttl};
use tokio::time::{Instant, sleep};

use crate::support::{
    Memcached, NO_DOCUMENT, Origin, PATIENT, Turnstile, environment, environment_behind, key, late, says,
    told,
};

#[tokio::test]
async fn readers_of_a_row_too_long_load_it_side_by_side() {
    for node in [Memcached::start(), Memcached::start_with(&["-I", "512k"])] {
        let policy = Policy::fresh_for(Ttl::clamped(300));
        let row = noise(if node_limit(&node) < 1 << 20 { 700 << 10 } else { 1 << 20 });
        let environments: Vec<Cache> = (0..30).map(|_| environment(&[&node])).collect();
        let load = || async {
            sleep(ORIGIN).await;
            Ok::<_, Never>(Some(row.clone()))
        };
        let (answer, counts) = environments[0].get_or_load(&key("k"), &policy, late(), load).await;
        assert_eq!((answer.unwrap().outcome, counts.fills_failed), (Outcome::Miss, 1));
        assert!(has_word(&node), "the word stands");
        let key = key("k");
        let reads = environments.iter().map(async |cache| {
            let begin = Instant::now();
            let (answer, counts) = cache.get_or_load(&key, &policy, late(), load).await;
            assert_eq!(answer.unwrap().value, Some(row.clone()));
            assert_eq!((counts.waits, counts.origin_calls), (0, 1));
            begin.elapsed()
        });
        let mut times = join_all(reads).await;
        times.sort();
        assert!(times[15] < ORIGIN + Duration::from_millis(100), "{times:?}");
        assert!(has_word(&node), "the word stands");
    }
}

#[tokio::test]
async fn readers_of_a_row_not_yet_known_to_be_too_long_wait_once() {
    let (node, policy, row) = (Memcached::start(), Policy::fresh_for(Ttl::clamped(300)), noise(1 << 20));
    let environments: Vec<Cache> = (0..30).map(|_| environment(&[&node])).collect();
    let key = key("k");
    let reads = environments.iter().map(async |cache| {
        let begin = Instant::now();
        let load = || async {
            sleep(ORIGIN).await;
            Ok::<_, Never>(Some(row.clone()))
        };
        cache.get_or_load(&key, &policy, late(), load).await.0.unwrap();
        begin.elapsed()
    });
    let mut times = join_all(reads).await;
    times.sort();
    // The load of the one, a pause until that is seen, and their own.
    assert!(times[29] < 2 * ORIGIN + Duration::from_millis(400), "{times:?}");
}

#[tokio::test]
async fn requests_of_one_environment_share_the_load_of_a_row_too_long() {
    let (node, origin, row) = (Memcached::start(), Origin::new(), noise(1 << 20));
    let cache = environment(&[&node]);
    let load = || origin.loaded(Loaded::raw(row.clone()));
    let _ = cache.get_or_load(&key("k"), &PATIENT, late(), load).await.0.unwrap();
    let key = key("k");
    let reads = join_all((0..10).map(|_| cache.get_or_load(&key, &PATIENT, late(), load)));
    for (answer, _) in reads.await {
        assert_eq!(answer.unwrap().value, Some(row.clone()));
    }
    assert_eq!(origin.most_at_once(), 1);
}

#[tokio::test]
async fn a_row_that_fits_again_is_cached_by_the_next_reader() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let _ =
        cache.get_or_load(&key("k"), &PATIENT, late(), || origin.loaded(Loaded::raw(noise(1 << 20)))).await;
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let (answer, _) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("short")).await;
        assert_eq!(told(answer), says(outcome, "short"));
    }
}

#[tokio::test]
async fn a_row_for_which_its_node_had_no_room_is_cached_when_there_is_room_again() {
    // The second one is refused in the middle, by other words.
    for row in [noise(400 << 10), noise(900 << 10)] {
        // A node that evicts nothing, full but for small items.
        let node = Memcached::start_with(&["-M", "-m", "8"]);
        node.check("ms small 2 T0\r\nhi", "HD\r\n");
        let fillers: Vec<String> = (0..30).map(|id| format!("filler-{id}")).collect();
        let taken = fillers.iter().take_while(|key| node.takes(key, &row[..400 << 10])).count();
        assert!((3..30).contains(&taken), "{taken} fillers");

        let cache = environment(&[&node]);
        let key = key("k");
        let load = || async { Ok::<_, Never>(Some(row.clone())) };
        let (answer, counts) = cache.get_or_load(&key, &PATIENT, late(), load).await;
        assert_eq!((answer.unwrap().outcome, counts.fills_failed), (Outcome::Miss, 1));
        assert!(has_word(&node), "the word stands");
        fillers[..taken].iter().for_each(|key| node.check(&format!("md {key}"), "HD\r\n"));
        // Twenty of the thirty seconds later for which it stands.
        node.check("mg k T10", "HD\r\n");
        for outcome in [Outcome::Miss, Outcome::Hit] {
            let (answer, _) = cache.get_or_load(&key, &PATIENT, late(), load).await;
            assert_eq!(answer.unwrap().outcome, outcome, "a row of {} bytes", row.len());
        }
    }
}

#[tokio::test]
async fn that_a_row_too_long_is_gone_is_cached() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    let _ =
        cache.get_or_load(&key("k"), &PATIENT, late(), || origin.loaded(Loaded::raw(noise(1 << 20)))).await;
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let (answer, _) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.no_record()).await;
        assert_eq!(told(answer), (outcome, None));
    }
}

#[tokio::test]
async fn what_was_loaded_before_a_write_is_not_stored_in_place_of_the_word() {
    for soft in [true, false] {
        let (node, origin, slow) = (Memcached::start(), Origin::new(), Origin::shut());
        let (reader, writer) = (environment(&[&node]), environment(&[&node]));
        let policy =
            Policy { grace: Duration::from_secs(60), stale_after_invalidate: soft, ..PATIENT.clone() };
        let long = || origin.loaded(Loaded::raw(noise(1 << 20)));
        let _ = reader.get_or_load(&key("k"), &policy, late(), long).await;
        let key = key("k");
        let reads = reader.get_or_load(&key, &policy, late(), || slow.value("old"));
        let writes = async {
            slow.begun(1).await;
            writer.forget(&key, &policy, late()).await.unwrap();
            slow.open();
        };
        let ((answer, counts), ()) = tokio::join!(reads, writes);
        assert_eq!(told(answer), says(Outcome::Miss, "old"));
        assert_eq!((counts.fills, counts.fills_refused), (0, 1));
        let (answer, _) = writer.get_or_load(&key, &policy, late(), || origin.value("new")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "new"));
    }
}

#[tokio::test]
async fn a_batch_with_rows_too_long_stores_the_others() {
    for node in [Memcached::start(), Memcached::start_with(&["-I", "128k", "-o", "slab_chunk_max=65536"])] {
        let limit = node_limit(&node) as usize;
        let keys: Vec<Key> = (0..10).map(|id| key(&format!("k{id}"))).collect();
        let rows: Vec<Bytes> =
            (0..10).map(|id| if id % 4 == 1 { noise(limit) } else { noise(1000) }).collect();
        let cache = environment(&[&node]);
        let load = |missing: Vec<usize>| {
            let rows = missing.into_iter().map(|at| Some(rows[at].clone())).collect();
            async move { Ok::<Vec<Option<Bytes>>, Never>(rows) }
        };
        let batch = cache.get_or_load_many(&keys, &PATIENT, late(), load).await;
        let counts = Counts { misses: 10, origin_calls: 1, fills: 7, fills_failed: 3, ..Counts::default() };
        assert_eq!(batch.counts, counts, "a limit of {limit} bytes");
        let batch = cache.get_or_load_many(&keys, &PATIENT, late(), load).await;
        assert_eq!((batch.counts.hits, batch.counts.misses, batch.counts.waits), (7, 3, 0), "{limit} bytes");
    }
}

#[tokio::test]
async fn a_refresh_that_comes_to_be_too_long_removes_the_old_value() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let policy = Policy { grace: Duration::from_secs(300), ..PATIENT.clone() };
    node.check("ms k 3 T299 F1\r\nold", "HD\r\n");
    let cache = environment(&[&node]);
    let row = noise(1 << 20);
    for _ in 0..2 {
        let (answer, _) =
            cache.get_or_load(&key("k"), &policy, late(), || origin.loaded(Loaded::raw(row.clone()))).await;
        assert_eq!(answer.unwrap().value, Some(row.clone()));
        assert!(has_word(&node), "the word stands");
    }
}

#[tokio::test]
async fn a_row_that_has_grown_too_long_leaves_nothing_old_in_the_cache() {
    for node in [Memcached::start(), Memcached::start_with(&["-I", "512k"])] {
        let origin = Origin::new();
        let cache = environment(&[&node]);
        let (answer, _) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("old")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "old"));
        let intent = cache.intend(&key("k"), &PATIENT, late()).await;
        let long = Loaded::raw(noise(node_limit(&node) as usize)).of_version(2);
        let written = cache.written(intent, &long, &PATIENT, late()).await;
        assert_eq!(written.unwrap(), Written::Forgotten);
        let (answer, _) = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("new")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "new"));
    }
}

#[tokio::test]
async fn a_write_whose_store_is_cut_off_forgets_over_another_connection() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let turnstile = Turnstile::to(node.address()).await;
    let cache = environment_behind(std::slice::from_ref(&turnstile));
    let _ = cache.get_or_load(&key("k"), &PATIENT, late(), || origin.value("old")).await;
    let intent = cache.intend(&key("k"), &PATIENT, late()).await;
    turnstile.hang_up_once();
    let written = cache.written(intent, &Loaded::raw("new").of_version(2), &PATIENT, late()).await;
    assert_eq!(written.unwrap(), Written::Forgotten);
    node.check("mg k v", "EN\r\n");
}

/// Whether `node` holds the word that the value of `k` is too long.
fn has_word(node: &Memcached) -> bool {
    node.ask("mg k f s").starts_with(&format!("HD f{} s8", 5 + NO_DOCUMENT))
}

/// The longest item of `node`, in bytes.
fn node_limit(node: &Memcached) -> u64 {
    let settings = node.ask("stats settings");
    let limit = settings.lines().find_map(|line| line.strip_prefix("STAT item_size_max "));
    limit.unwrap().parse().unwrap()
}

/// Bytes that do not compress.
fn noise(len: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

#[derive(Debug)]
enum Never {}

impl LoadFault for Never {
    fn is_outage(&self) -> bool {
        match *self {}
    }
}

/// How long the origin takes.
const ORIGIN: Duration = Duration::from_millis(200);
