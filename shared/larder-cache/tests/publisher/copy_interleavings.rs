//! A write and a read of a key with copies, by environments that are a document apart at most, cut at every point and
//! put into each other: when both have ended, nobody reads what was there before.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use larder_cache::{Cache, Loaded, OriginGuard, Policy};
use larder_client::{Cluster, Config, Ttl};
use larder_local::LocalCluster;
use larder_ring::RingDocument;
use tokio::time::sleep;

use crate::support::*;

#[tokio::test]
async fn a_write_that_is_held_up_anywhere_while_others_read_leaves_nothing_old_in_any_copy() {
    let house = House::new().await;
    for (documents, way) in cases() {
        for polls in 0.. {
            house.begin(documents).await;
            let (writer, reader) = house.environments(documents).await;
            house.is_written.store(true, SeqCst);
            let mut write = pin!(house.write(&writer, way));
            let has_ended = poll(write.as_mut(), polls).await;
            house.read_often(&reader).await;
            if !has_ended {
                write.await;
            }
            house.all_read_the_new(&[&reader, &writer], &format!("a {way:?} cut after {polls} polls")).await;
            if has_ended {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_read_that_is_held_up_anywhere_while_others_write_leaves_nothing_old_in_any_copy() {
    let house = House::new().await;
    for (documents, way) in cases() {
        // By other numbers it picks other copies.
        for seed in 0..3 {
            for polls in 0.. {
                house.begin(documents).await;
                let (writer, reader) = house.environments(documents).await;
                fastrand::seed(seed);
                let mut read = pin!(house.read(&reader));
                let has_ended = poll(read.as_mut(), polls).await;
                house.is_written.store(true, SeqCst);
                house.write(&writer, way).await;
                if !has_ended {
                    // It may answer the old value, for it began before the write ended; it may not leave it behind.
                    read.await;
                }
                house
                    .all_read_the_new(
                        &[&reader, &writer],
                        &format!("a read cut after {polls} polls of {way:?}"),
                    )
                    .await;
                if has_ended {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_writer_that_was_frozen_for_long_tells_the_copies_of_now() {
    let house = House::new().await;
    for before in 0..DOCUMENTS {
        for after in before + 2..DOCUMENTS {
            for way in WAYS {
                house.begin([after; 2]).await;
                let writer = house.environment(before, INTERVAL).await;
                let reader = house.environment(after, NEVER).await;
                sleep(2 * INTERVAL).await;
                house.is_written.store(true, SeqCst);
                house.write(&writer, way).await;
                house.all_read_the_new(&[&reader, &writer], &format!("{way:?}, {before} {after}")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_reader_that_was_frozen_anywhere_reads_no_copy_that_is_none_any_more() {
    let house = House::new().await;
    for (before, after) in [(2, 4), (2, 5), (2, 6), (4, 6)] {
        for seed in 0..3 {
            for polls in 0.. {
                house.begin([before; 2]).await;
                let reader = house.environment(before, INTERVAL).await;
                fastrand::seed(seed);
                let mut read = pin!(house.read(&reader));
                let has_ended = poll(read.as_mut(), polls).await;
                let writer = house.environment(after, NEVER).await;
                house.is_written.store(true, SeqCst);
                house.write(&writer, Way::Forget).await;
                sleep(2 * INTERVAL).await;
                if !has_ended {
                    read.await;
                }
                house
                    .all_read_the_new(
                        &[&reader, &writer],
                        &format!("{before} {after}, cut after {polls} polls"),
                    )
                    .await;
                if has_ended {
                    break;
                }
            }
        }
    }
}

/// The documents of a writer and a reader that are neighbours, and how it is written.
fn cases() -> impl Iterator<Item = ([usize; 2], Way)> {
    let documents = (0..DOCUMENTS).flat_map(|writer| (0..DOCUMENTS).map(move |reader| [writer, reader]));
    let documents = documents.filter(|[writer, reader]| writer.abs_diff(*reader) <= 1);
    documents.flat_map(|documents| WAYS.map(|way| (documents, way)))
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Forget,
    /// With a value without a version, and with one.
    Write(Option<u64>),
}

/// A cluster, and the documents of a key that comes to copies and back.
struct House {
    local: LocalCluster,
    /// Not hot, 3 written, 3 read, 4 written, 2 read, 2 written, not hot.
    documents: Vec<RingDocument>,
    is_written: AtomicBool,
}

/// An environment that has taken its document.
struct Environment {
    at: usize,
    cache: Cache,
}

impl House {
    async fn new() -> Self {
        let (local, mut document) = settled(2).await;
        let mut documents = vec![document.clone()];
        for copies in [Some(3), Some(3), Some(4), Some(2), None, None] {
            // A number that is below goes through the larger one.
            document = document.copying(KEY, copies, now_ms()).unwrap();
            documents.push(document.clone());
        }
        let shown = documents.iter().map(|document| match document.hot.get(KEY) {
            Some(hot) => format!("{}{:?}", hot.copies, hot.phase),
            None => "-".to_owned(),
        });
        let expected = ["-", "3Writing", "3Reading", "4Writing", "2Reading", "2Writing", "-"];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        Self { local, documents, is_written: AtomicBool::new(false) }
    }

    /// As it is before the write and the read: every copy holds the old value, whether anybody may read it or not; but
    /// for copy 2 while there are three that are read, which is to be loaded.
    async fn begin(&self, documents: [usize; 2]) {
        self.is_written.store(false, SeqCst);
        let stamp = self.documents[0].epoch.stamp();
        for node in self.local.nodes() {
            for number in 0..4 {
                let key = key(KEY).copy_at(number);
                let request = match documents.contains(&2) && number == 2 {
                    true => format!("md {key}\r\n"),
                    false => format!("ms {key} 3 F{} T600\r\nold\r\n", u32::from(stamp) << 16 | 1),
                };
                ask(node.endpoint, request.as_bytes()).await;
            }
        }
    }

    /// A writer and a reader by these documents. The nodes hold the later one.
    async fn environments(&self, [writer, reader]: [usize; 2]) -> (Environment, Environment) {
        if writer <= reader {
            let writer = self.environment(writer, NEVER).await;
            (writer, self.environment(reader, NEVER).await)
        } else {
            let reader = self.environment(reader, NEVER).await;
            (self.environment(writer, NEVER).await, reader)
        }
    }

    async fn environment(&self, at: usize, ring_check_interval: Duration) -> Environment {
        place(&self.local, &self.documents[at]).await;
        let config = Config { ring_check_interval, ..config(&self.local) };
        let cluster = Cluster::new(config).unwrap();
        until("the document is taken", || async {
            let taken = cluster.topology().await.is_ok().then_some(cluster.ring_document().await);
            taken.is_some_and(|taken| taken.unwrap().as_ref() == Some(&self.documents[at]))
        })
        .await;
        // Whoever has never looked looks with his first request.
        look(&cluster).await;
        Environment { at, cache: Cache::new(cluster, OriginGuard::new(4)) }
    }

    /// Tells the cache of the write, for as long as it takes.
    async fn write(&self, environment: &Environment, way: Way) {
        let (cache, key) = (&environment.cache, key(KEY));
        let Way::Write(version) = way else {
            while cache.forget(&key, &POLICY, soon()).await.is_err() {}
            return;
        };
        let intent = cache.intend(&key, &POLICY, soon()).await;
        let new = Loaded { version, ..Loaded::raw("new") };
        if cache.written(intent, &new, &POLICY, soon()).await.is_err() {
            while cache.forget(&key, &POLICY, soon()).await.is_err() {}
        }
    }

    async fn read(&self, environment: &Environment) -> Bytes {
        let value = || if self.is_written.load(SeqCst) { "new" } else { "old" };
        let load = || async { Ok::<_, ()>(Some(Bytes::from_static(value().as_bytes()))) };
        let (answer, _) = environment.cache.get_or_load(&key(KEY), &POLICY, soon(), load).await;
        answer.unwrap().value.unwrap()
    }

    async fn read_often(&self, environment: &Environment) {
        for _ in 0..6 {
            self.read(environment).await;
        }
    }

    async fn all_read_the_new(&self, environments: &[&Environment], what: &str) {
        let documents: Vec<usize> = environments.iter().map(|environment| environment.at).collect();
        for environment in environments {
            // Each of four copies, but for once in many thousand times.
            for _ in 0..32 {
                let read = self.read(environment).await;
                assert_eq!(read, "new", "{what}, documents of reader and writer: {documents:?}");
            }
        }
    }
}

/// Polls `future` so many times at most, and lets the nodes do what it has asked for; says whether it has ended.
async fn poll<T>(mut future: Pin<&mut impl Future<Output = T>>, polls: usize) -> bool {
    let mut left = polls;
    let has_ended = poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await;
    sleep(Duration::from_millis(1)).await;
    has_ended
}

const KEY: &str = "flights:1";
const DOCUMENTS: usize = 7;
const WAYS: [Way; 3] = [Way::Forget, Way::Write(None), Way::Write(Some(2))];
/// How often an environment looks at the document that is to keep the one it has, unless it reads an item of a later
/// one.
const NEVER: Duration = Duration::from_secs(3600);
/// How often one looks that is to follow.
const INTERVAL: Duration = Duration::from_millis(10);

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    wait_for: Duration::from_millis(5),
    lease_for: Ttl::clamped(60),
    ..Policy::fresh_for(Ttl::clamped(600))
});
