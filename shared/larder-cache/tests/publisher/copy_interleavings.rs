//! A write and a read of a key with copies, by environments that are a document apart at most, cut at every point and
//! put into each other: when both have ended, nobody reads what was there before.

use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use larder_cache::Loaded;
use tokio::time::sleep;

use crate::fleet::{Environment, Fleet, INTERVAL, NEVER, POLICY, neighbours, poll};
use crate::support::*;

#[tokio::test]
async fn a_write_that_is_held_up_anywhere_while_others_read_leaves_nothing_old_in_any_copy() {
    let house = House::new().await;
    for (documents, way) in cases() {
        for polls in 0.. {
            house.begin(documents).await;
            let (writer, reader) = house.0.environments(documents).await;
            house.0.is_written.store(true, SeqCst);
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
                let (writer, reader) = house.0.environments(documents).await;
                fastrand::seed(seed);
                let mut read = pin!(house.read(&reader));
                let has_ended = poll(read.as_mut(), polls).await;
                house.0.is_written.store(true, SeqCst);
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
                let writer = house.0.environment(before, INTERVAL).await;
                let reader = house.0.environment(after, NEVER).await;
                sleep(2 * INTERVAL).await;
                house.0.is_written.store(true, SeqCst);
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
                let reader = house.0.environment(before, INTERVAL).await;
                fastrand::seed(seed);
                let mut read = pin!(house.read(&reader));
                let has_ended = poll(read.as_mut(), polls).await;
                let writer = house.0.environment(after, NEVER).await;
                house.0.is_written.store(true, SeqCst);
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
    neighbours(DOCUMENTS).flat_map(|documents| WAYS.map(|way| (documents, way)))
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Forget,
    /// With a value without a version, and with one.
    Write(Option<u64>),
}

/// A fleet whose documents are those of a key that comes to copies and back: not hot, 3 written, 3 read, 4 written, 2
/// read, 2 written, not hot.
struct House(Fleet);

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
        Self(Fleet::new(local, documents))
    }

    /// As it is before the write and the read: every copy holds the old value, whether anybody may read it or not; but
    /// for copy 2 while there are three that are read, which is to be loaded.
    async fn begin(&self, at: [usize; 2]) {
        let Fleet { local, documents, is_written } = &self.0;
        is_written.store(false, SeqCst);
        let stamp = documents[0].epoch.stamp();
        for node in local.nodes() {
            for number in 0..4 {
                let key = key(KEY).copy_at(number);
                let request = match at.contains(&2) && number == 2 {
                    true => format!("md {key}\r\n"),
                    false => format!("ms {key} 3 F{} T600\r\nold\r\n", u32::from(stamp) << 16 | 1),
                };
                ask(node.endpoint, request.as_bytes()).await;
            }
        }
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
        self.0.read(environment, &key(KEY)).await
    }

    async fn read_often(&self, environment: &Environment) {
        for _ in 0..6 {
            self.read(environment).await;
        }
    }

    /// Each of four copies is read by each of `environments`, but for once in many thousand times.
    async fn all_read_the_new(&self, environments: &[&Environment], what: &str) {
        self.0.all_read_the_new(environments, &key(KEY), 32, what).await;
    }
}

const KEY: &str = "flights:1";
const DOCUMENTS: usize = 7;
const WAYS: [Way; 3] = [Way::Forget, Way::Write(None), Way::Write(Some(2))];
