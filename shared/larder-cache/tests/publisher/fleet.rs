//! Environments that have each taken one of the documents of a change, and of which one writes while another one reads.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use larder_cache::{Cache, OriginGuard, Policy};
use larder_client::{Cluster, Config, Key, Ttl};
use larder_local::LocalCluster;
use larder_ring::RingDocument;
use tokio::time::sleep;

use crate::support::*;

/// A cluster, the documents of a change, and an origin with one row, which is old until it is written.
pub(crate) struct Fleet {
    pub(crate) local: LocalCluster,
    pub(crate) documents: Vec<RingDocument>,
    pub(crate) is_written: AtomicBool,
}

/// An environment that has taken its document.
pub(crate) struct Environment {
    pub(crate) at: usize,
    pub(crate) cache: Cache,
}

impl Fleet {
    pub(crate) fn new(local: LocalCluster, documents: Vec<RingDocument>) -> Self {
        Self { local, documents, is_written: AtomicBool::new(false) }
    }

    /// A writer and a reader by these documents. The nodes hold the later one.
    pub(crate) async fn environments(&self, [writer, reader]: [usize; 2]) -> (Environment, Environment) {
        if writer <= reader {
            let writer = self.environment(writer, NEVER).await;
            (writer, self.environment(reader, NEVER).await)
        } else {
            let reader = self.environment(reader, NEVER).await;
            (self.environment(writer, NEVER).await, reader)
        }
    }

    pub(crate) async fn environment(&self, at: usize, ring_check_interval: Duration) -> Environment {
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

    pub(crate) async fn read(&self, environment: &Environment, key: &Key) -> Bytes {
        let value = || if self.is_written.load(SeqCst) { "new" } else { "old" };
        let load = || async { Ok::<_, ()>(Some(Bytes::from_static(value().as_bytes()))) };
        let (answer, _) = environment.cache.get_or_load(key, &POLICY, soon(), load).await;
        answer.unwrap().value.unwrap()
    }

    /// Has each of `environments` read so many `times`; panics if one of them gets what was there before.
    pub(crate) async fn all_read_the_new(
        &self,
        environments: &[&Environment],
        key: &Key,
        times: usize,
        what: &str,
    ) {
        let documents: Vec<usize> = environments.iter().map(|environment| environment.at).collect();
        for environment in environments {
            for _ in 0..times {
                let read = self.read(environment, key).await;
                assert_eq!(read, "new", "{what}, documents of who reads: {documents:?}");
            }
        }
    }
}

/// Polls `future` so many times at most, and lets the nodes do what it has asked for; says whether it has ended.
pub(crate) async fn poll<T>(mut future: Pin<&mut impl Future<Output = T>>, polls: usize) -> bool {
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

/// Pairs of a writer and a reader whose documents, of so many, are neighbours.
pub(crate) fn neighbours(documents: usize) -> impl Iterator<Item = [usize; 2]> {
    let pairs = (0..documents).flat_map(move |writer| (0..documents).map(move |reader| [writer, reader]));
    pairs.filter(|[writer, reader]| writer.abs_diff(*reader) <= 1)
}

/// How often an environment looks at the document that is to keep the one it has, unless it reads an item of a later
/// one.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);
/// How often one looks that is to follow.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

pub(crate) static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    wait_for: Duration::from_millis(5),
    lease_for: Ttl::clamped(60),
    ..Policy::fresh_for(Ttl::clamped(600))
});
