//! Reads, writes, failures and restarts in any order: a read that begins after an invalidation never answers what
//! was before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fastrand::Rng;
use larder_cache::{Answer, Cache, Counts, LoadError, Outcome};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

use crate::support::{Memcached, environment, impatient, key, late};

#[tokio::test]
async fn no_read_answers_what_was_invalidated_before_it_began() {
    let mut sum = Counts::default();
    for seed in 0..SEEDS {
        let mut play = Play::new(seed);
        for _ in 0..STEPS {
            play.step().await;
        }
        play.record.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        play.check_reads(seed, &mut sum).await;
        // What they have left in the cache.
        play.read();
        play.check_reads(seed, &mut sum).await;
    }
    let seen = [sum.hits, sum.stale, sum.waits, sum.errors, sum.fills, sum.fills_refused];
    assert!(seen.iter().all(|count| *count > 0), "some of it never happened: {sum:?}");
}

/// One key that a few environments read while it changes.
struct Play {
    rng: Rng,
    node: Memcached,
    environments: Vec<Arc<Cache>>,
    record: Arc<Record>,
    /// The version that the last invalidation came after, and the last one that left nothing behind.
    invalidated: u64,
    removed: u64,
    reads: Vec<Read>,
}

/// A record of the origin, whose loads wait until they are let through.
struct Record {
    version: AtomicU64,
    gate: Semaphore,
}

/// A read that is under way.
struct Read {
    task: JoinHandle<(Result<Answer, LoadError<()>>, Counts)>,
    /// Least versions that it may answer: as fresh, and as stale.
    fresh: u64,
    stale: u64,
    was_dropped: bool,
}

impl Play {
    fn new(seed: u64) -> Self {
        let node = Memcached::start();
        Self {
            rng: Rng::with_seed(seed),
            environments: (0..ENVIRONMENTS).map(|_| Arc::new(environment(&[&node]))).collect(),
            node,
            record: Arc::new(Record { version: AtomicU64::new(1), gate: Semaphore::new(0) }),
            invalidated: 0,
            removed: 0,
            reads: Vec::new(),
        }
    }

    async fn step(&mut self) {
        match self.rng.u8(..100) {
            0..50 => self.read(),
            50..80 => self.record.gate.add_permits(self.rng.usize(1..4)),
            80..88 => {
                self.invalidated = self.write();
                self.removed = self.invalidated;
                self.node.ask("md k");
            }
            88..96 => {
                self.invalidated = self.write();
                self.node.ask("md k I T30");
            }
            96..98 => self.node.restart(),
            _ => {
                if let Some(read) = self.rng.choice(&mut self.reads) {
                    read.task.abort();
                    read.was_dropped = true;
                }
            }
        }
        for _ in 0..self.rng.u8(..40) {
            yield_now().await;
        }
    }

    fn read(&mut self) {
        let cache = self.rng.choice(&self.environments).expect("there are some").clone();
        let (record, fails) = (self.record.clone(), self.rng.u8(..10) == 0);
        let task = tokio::spawn(async move {
            let load = || record.load(fails);
            cache.get_or_load(&key("k"), &impatient(20), late(), load).await
        });
        self.reads.push(Read { task, fresh: self.invalidated, stale: self.removed, was_dropped: false });
    }

    /// Waits for the reads that are under way, checks them, and adds up what they took.
    async fn check_reads(&mut self, seed: u64, sum: &mut Counts) {
        for read in std::mem::take(&mut self.reads) {
            let counts = read.checked(seed).await;
            sum.hits += counts.hits;
            sum.stale += counts.stale;
            sum.waits += counts.waits;
            sum.errors += counts.errors;
            sum.fills += counts.fills;
            sum.fills_refused += counts.fills_refused;
        }
    }

    /// Changes the record; what is under way in the cache does not know of it yet.
    fn write(&self) -> u64 {
        self.record.version.fetch_add(1, Ordering::SeqCst) + 1
    }
}

impl Record {
    async fn load(&self, fails: bool) -> Result<Option<Bytes>, ()> {
        let version = self.version.load(Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        if fails { Err(()) } else { Ok(Some(version.to_string().into())) }
    }
}

impl Read {
    async fn checked(self, seed: u64) -> Counts {
        let (answer, counts) = match self.task.await {
            Ok(read) => read,
            Err(error) => {
                assert!(self.was_dropped && error.is_cancelled(), "{error}");
                return Counts::default();
            }
        };
        if let Ok(answer) = answer {
            let value = answer.value.expect("the record is always there");
            let version: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
            let least = if answer.outcome == Outcome::Stale { self.stale } else { self.fresh };
            assert!(version >= least, "seed {seed}: {:?} of {version}, not {least}", answer.outcome);
        }
        counts
    }
}

const SEEDS: u64 = 10;
const STEPS: usize = 150;
const ENVIRONMENTS: usize = 5;
