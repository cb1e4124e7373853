//! A write and a read of a key that moves, by environments that are a phase apart at most, cut at every point and put
//! into each other: when both have ended, nobody reads what was there before.
//!
//! Most environments have taken their document for good, so that every pair of neighbours can be looked at in quiet.

use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use larder_client::Key;
use larder_local::NodeId;
use larder_ring::Phase;
use tokio::time::sleep;

use self::Held::{Nothing, Old};
use crate::fleet::{Environment, Fleet, INTERVAL, NEVER, neighbours, poll};
use crate::support::*;

#[tokio::test]
async fn a_write_that_is_held_up_anywhere_while_others_read_leaves_nothing_old() {
    let house = House::new().await;
    for (phases, held) in cases() {
        for polls in 0.. {
            house.begin(held).await;
            let (writer, reader) = house.fleet.environments(phases).await;
            house.fleet.is_written.store(true, SeqCst);
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
            let (writer, reader) = house.fleet.environments(phases).await;
            let mut read = pin!(house.read(&reader));
            let has_ended = poll(read.as_mut(), polls).await;
            house.fleet.is_written.store(true, SeqCst);
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
                let writer = house.fleet.environment(before, INTERVAL).await;
                house.fleet.is_written.store(true, SeqCst);
                let mut write = pin!(house.write(&writer));
                let has_ended = poll(write.as_mut(), polls).await;
                let reader = house.fleet.environment(after, NEVER).await;
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
    neighbours(5).flat_map(|phases| {
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

/// A fleet whose documents are the phases of a change.
struct House {
    fleet: Fleet,
    /// Moves from node 1 to node 3.
    key: Key,
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
        Self { fleet: Fleet::new(local, documents), key }
    }

    /// As it is before the write and the read.
    async fn begin(&self, held: [Held; 2]) {
        let Fleet { local, documents, is_written } = &self.fleet;
        is_written.store(false, SeqCst);
        let stamps = [documents[0].epoch.stamp(), documents[2].epoch.stamp()];
        for ((node, held), stamp) in [1, 3].into_iter().zip(held).zip(stamps) {
            let key = &self.key;
            let request = match held {
                Nothing => format!("md {key}\r\n"),
                Old => format!("ms {key} 3 F{} T600\r\nold\r\n", u32::from(stamp) << 16 | 1),
            };
            ask(endpoint(local, NodeId(node)), request.as_bytes()).await;
        }
    }

    /// Removes the key, for as long as it takes.
    async fn write(&self, environment: &Environment) {
        while environment.cache.cluster().delete(&self.key).await.is_err() {}
    }

    async fn read(&self, environment: &Environment) -> Bytes {
        self.fleet.read(environment, &self.key).await
    }

    async fn all_read_the_new(&self, environments: &[&Environment], what: &str) {
        self.fleet.all_read_the_new(environments, &self.key, 1, what).await;
    }
}
