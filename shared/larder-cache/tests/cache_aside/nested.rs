//! Loaders that read through the same cache: a page that is made of records.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, join3};
use larder_cache::{Cache, LoadError, LoadFault, OriginGuard, Outcome, Policy};
use larder_client::{Cluster, Key, Ttl};
use tokio::time::Instant;

use crate::support::{Memcached, Origin, SLACK, config, key, late, says, told};

#[tokio::test]
async fn as_many_pages_at_once_as_there_are_permits_are_made_of_records() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = guarded(&node, PAGES);
    let begin = Instant::now();
    let pages = (0..PAGES).map(async |page| {
        let page_key = key(&format!("page:{page}"));
        let load = || async {
            let records = (0..3).map(async |record| {
                let key = key(&format!("record:{page}:{record}"));
                cache.get_or_load(&key, &policy(), late(), || origin.value("r")).await.0
            });
            let records = join_all(records).await;
            let records = records.into_iter().map(|record| record.map(|record| record.value.unwrap()));
            let records: Result<Vec<Bytes>, _> = records.collect();
            records.map(|records| Some(Bytes::from(records.concat()))).map_err(Failed::from)
        };
        cache.get_or_load(&page_key, &policy(), late(), load).await.0
    });
    for page in join_all(pages.collect::<Vec<_>>()).await {
        assert_eq!(told::<Failed>(page), says(Outcome::Miss, "rrr"));
    }
    assert!(begin.elapsed() < SLACK, "{:?}", begin.elapsed());
    assert!(origin.most_at_once() <= PAGES, "{} at once", origin.most_at_once());
}

#[tokio::test]
async fn a_loader_that_reads_its_own_key_is_told_so_at_once() {
    for is_down in [false, true] {
        let mut node = Memcached::start();
        let cache = guarded(&node, 2);
        if is_down {
            node.kill();
        }
        let begin = Instant::now();
        let load = || async {
            let again = || async { Ok::<_, Failed>(Some(Bytes::from_static(b"never"))) };
            let (inner, _) = cache.get_or_load(&key("k"), &policy(), late(), again).await;
            assert!(matches!(inner, Err(LoadError::Recursive)), "{inner:?}");
            Ok::<_, Failed>(Some(Bytes::from_static(b"v")))
        };
        let (answer, counts) = cache.get_or_load(&key("k"), &policy(), late(), load).await;
        assert_eq!(answer.unwrap().value.as_deref(), Some(&b"v"[..]));
        assert_eq!(counts.origin_calls, 1);
        assert!(begin.elapsed() < SLACK, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn of_a_batch_within_a_load_only_its_own_key_is_an_error() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = guarded(&node, 2);
    let keys: Vec<Key> = ["a", "k", "b"].map(key).to_vec();
    let load = || async {
        let batch =
            cache.get_or_load_many(&keys, &policy(), late(), |missing| origin.values("v", missing)).await;
        let [a, k, b] = &batch.answers[..] else { panic!("three") };
        assert!(a.is_ok() && b.is_ok() && matches!(k, Err(LoadError::Recursive)), "{:?}", batch.answers);
        Ok::<_, Failed>(Some(Bytes::from_static(b"v")))
    };
    cache.get_or_load(&key("k"), &policy(), late(), load).await.0.unwrap();
    assert_eq!(origin.calls(), [[0, 2]]);
}

#[tokio::test]
async fn loaders_that_wait_for_each_other_end() {
    let node = Memcached::start();
    let cache = guarded(&node, 4);
    let policy = Policy { wait_for: Duration::from_millis(100), ..policy() };
    let begin = Instant::now();
    let ring = ["a", "b", "c"];
    let read = async |at: usize| {
        let load = || async {
            let end = || async { Ok::<_, Failed>(Some(Bytes::from_static(b"end"))) };
            let (inner, _) = cache.get_or_load(&key(ring[(at + 1) % 3]), &policy, late(), end).await;
            inner.map(|inner| inner.value).map_err(Failed::from)
        };
        cache.get_or_load(&key(ring[at]), &policy, late(), load).await.0
    };
    let (a, b, c) = join3(read(0), read(1), read(2)).await;
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    assert!(begin.elapsed() < SLACK, "{:?}", begin.elapsed());
}

/// A cache whose guard lets `most` through.
fn guarded(node: &Memcached, most: usize) -> Cache {
    Cache::new(Cluster::new(config(&[node])).unwrap(), OriginGuard::new(most))
}

fn policy() -> Policy {
    Policy { error_for: None, ..Policy::fresh_for(Ttl::clamped(1000)) }
}

/// What a page fails with.
#[derive(Debug)]
struct Failed(#[allow(dead_code, reason = "shown where a test fails")] String);

impl<E: std::fmt::Debug> From<LoadError<E>> for Failed {
    fn from(error: LoadError<E>) -> Self {
        Self(format!("{error:?}"))
    }
}

impl LoadFault for Failed {
    fn is_outage(&self) -> bool {
        false
    }
}

const PAGES: usize = 4;
