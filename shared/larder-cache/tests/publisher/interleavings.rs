//! A write and a read of a key that moves, by environments that are a phase apart at most, cut at every point and put
//! into each other: when both have ended, nobody reads what was there before.
//!
//! Most environments have taken their document for good, so that every pair of neighbours can be looked at in quiet.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use larder_cache::{Cache, OriginGuard, Policy};
use larder_client::{Cluster, Config, Key, Ttl};
use larder_local::{LocalCluster, NodeId};
use larder_ring::{Phase, RingDocument};
use tokio::time::sleep;

use self::Held::{Nothing, Old};
use crate::support::*;

#[tokio::test]
async fn a_write_that_is_held_up_anywhere_while_others_read_leaves_nothing_old() {
    let house = House::new().await;
    for (phases, held) in cases() {
        for polls in 0.. {
            house.begin(held).await;
            let (writer, reader) = house.environments(phases).await;
            house.is_written.store(true, SeqCst);
            let mut write = pin!(house.write(&writer));
            let has_ended = poll(write.as_mut(), polls).await;
            house.read(&reader).await;
            if !has_ended {
                write.await;
            }
            house
                .all_read_the_new(&[&reader, &writer, &reader], &format!("a write cut after {polls} polls"))
                .await;
            if has_ended {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_read_that_is_held_up_anywhere_while_others_write_leaves_nothing_old() {
    let house = House::new().await;
    for (phases, held) in cases() {
        for polls in 0.. {
            house.begin(held).await;
            let (writer, reader) = house.environments(phases).await;
            let mut read = pin!(house.read(&reader));
            let has_ended = poll(read.as_mut(), polls).await;
            house.is_written.store(true, SeqCst);
            house.write(&writer).await;
            if !has_ended {
                // It may answer the old value, for it began before the write ended; it may not leave it behind.
                read.await;
            }
            house
                .all_read_the_new(&[&reader, &writer, &reader], &format!("a read cut after {polls} polls"))
                .await;
            if has_ended {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_was_frozen_anywhere_reaches_the_owners_of_later() {
    // The writer wakes up two phases and more behind the others, in the middle of its write.
    let house = House::new().await;
    let phases = (0..3_usize).flat_map(|before| (before + 2..5).map(move |after| (before, after)));
    for (before, after) in phases {
        for held in [[Old, Nothing], [Old, Old]] {
            for polls in 0.. {
                house.begin(held).await;
                let writer = house.environment(before, INTERVAL).await;
                house.is_written.store(true, SeqCst);
                let mut write = pin!(house.write(&writer));
                let has_ended = poll(write.as_mut(), polls).await;
                let reader = house.environment(after, NEVER).await;
                house.read(&reader).await;
                sleep(2 * INTERVAL).await;
                if has_ended {
                    break;
                }
                write.await;
                house
                    .all_read_the_new(&[&reader, &writer], &format!("a write frozen after {polls} polls"))
                    .await;
            }
        }
    }
}

/// The phases of a writer and a reader that are neighbours, and what the present and the next owner may hold then.
///
/// 0 stands for `active` before the change, 4 for `active` after it.
fn cases() -> impl Iterator<Item = ([usize; 2], [Held; 2])> {
    let phases = (0..5_usize).flat_map(|writer| (0..5).map(move |reader| [writer, reader]));
    let phases = phases.filter(|[writer, reader]| writer.abs_diff(*reader) <= 1);
    phases.flat_map(|phases| {
        let latest = phases[0].max(phases[1]);
        let held = [[Old, Nothing], [Old, Old], [Nothing, Nothing], [Nothing, Old]];
        // Nobody stores anything at the next owner before the phase in which it is read; see `Phase`.
        held.into_iter()
            .filter(move |[_, next]| *next == Nothing || latest >= 2)
            .map(move |held| (phases, held))
    })
}

/// What a node holds in the beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Nothing,
    Old,
}

/// A cluster, and the documents of the phases of a change.
struct House {
    local: LocalCluster,
    documents: Vec<RingDocument>,
    /// Moves from node 1 to node 3.
    key: Key,
    is_written: AtomicBool,
}

/// An environment that has taken the document of its phase.
struct Environment {
    phase: usize,
    cluster: Cluster,
    cache: Cache,
}

impl House {
    async fn new() -> Self {
        let (local, mut document) = growing(2, Phase::Active).await;
        let listed = ring_nodes(&local);
        let mut documents = vec![document.clone()];
        for _ in 0..4 {
            document = after(&document, &listed);
            documents.push(document.clone());
        }
        let key = moving_key(&documents[1], 1, 3);
        Self { local, documents, key, is_written: AtomicBool::new(false) }
    }

    /// As it is before the write and the read.
    async fn begin(&self, held: [Held; 2]) {
        self.is_written.store(false, SeqCst);
        let stamps = [self.documents[0].epoch.stamp(), self.documents[2].epoch.stamp()];
        for ((node, held), stamp) in [1, 3].into_iter().zip(held).zip(stamps) {
            let key = &self.key;
            let request = match held {
                Nothing => format!("md {key}\r\n"),
                Old => format!("ms {key} 3 F{} T600\r\nold\r\n", u32::from(stamp) << 16 | 1),
            };
            ask(endpoint(&self.local, NodeId(node)), request.as_bytes()).await;
        }
    }

    /// A writer and a reader of these phases. The nodes hold the document of the later one.
    async fn environments(&self, [writer, reader]: [usize; 2]) -> (Environment, Environment) {
        if writer <= reader {
            let writer = self.environment(writer, NEVER).await;
            (writer, self.environment(reader, NEVER).await)
        } else {
            let reader = self.environment(reader, NEVER).await;
            (self.environment(writer, NEVER).await, reader)
        }
    }

    async fn environment(&self, phase: usize, ring_check_interval: Duration) -> Environment {
        place(&self.local, &self.documents[phase]).await;
        let config = Config { ring_check_interval, ..config(&self.local) };
        let cluster = Cluster::new(config).unwrap();
        until("the document is taken", || async {
            let taken = cluster.topology().await.is_ok().then_some(cluster.ring_document().await);
            taken.is_some_and(|taken| taken.unwrap().as_ref() == Some(&self.documents[phase]))
        })
        .await;
        // Whoever has never looked looks with his first request.
        look(&cluster).await;
        Environment { phase, cache: Cache::new(cluster.clone(), OriginGuard::new(4)), cluster }
    }

    /// Removes the key, for as long as it takes.
    async fn write(&self, environment: &Environment) {
        while environment.cluster.delete(&self.key).await.is_err() {}
    }

    async fn read(&self, environment: &Environment) -> Bytes {
        let value = || if self.is_written.load(SeqCst) { "new" } else { "old" };
        let load = || async { Ok::<_, ()>(Some(Bytes::from_static(value().as_bytes()))) };
        let (answer, _) = environment.cache.get_or_load(&self.key, &POLICY, soon(), load).await;
        answer.unwrap().value.unwrap()
    }

    async fn all_read_the_new(&self, environments: &[&Environment], what: &str) {
        let phases: Vec<usize> = environments.iter().map(|environment| environment.phase).collect();
        for environment in environments {
            assert_eq!(
                self.read(environment).await,
                "new",
                "{what}, phases of reader, writer, reader: {phases:?}"
            );
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
