//! The truth: the version of every row, and the latest of which the cache was told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use fastrand::Rng;
use larder_cache::{Counts, LoadFault, Loaded, Policy, Tag};
use larder_client::{Key, Ttl};
use tokio::time::sleep;

/// Rows of four kinds, each cached by a policy of its own.
pub(crate) struct Origin {
    pub(crate) rows: Vec<Row>,
    steps: AtomicU64,
    is_given_up: AtomicBool,
    hits: AtomicU64,
    stale: AtomicU64,
    loads: AtomicU64,
    takeovers: AtomicU64,
    refused: AtomicU64,
}

pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) policy: Policy,
    version: AtomicU64,
    /// The latest version of which the cache was told, by whoever wrote it.
    told: AtomicU64,
}

/// That the origin is out of order, which it is now and then.
#[derive(Debug)]
pub(crate) struct OutOfOrder;

impl LoadFault for OutOfOrder {
    fn is_outage(&self) -> bool {
        true
    }
}

impl Origin {
    pub(crate) fn new(keys: usize, seed: u64) -> Self {
        let row = |number: usize| Row {
            key: Key::compose(["rows", &format!("{seed}"), &number.to_string()]).unwrap(),
            policy: policy(number),
            version: AtomicU64::new(1),
            told: AtomicU64::new(1),
        };
        let zero = AtomicU64::default;
        let rows = (0..keys).map(row).collect();
        let (steps, hits, stale, loads, takeovers, refused) =
            (zero(), zero(), zero(), zero(), zero(), zero());
        let is_given_up = AtomicBool::new(false);
        Self { rows, steps, is_given_up, hits, stale, loads, takeovers, refused }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(SeqCst)
    }

    /// So much is wrong that there is no need to go on.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, SeqCst);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(SeqCst)
    }

    /// Notes that something was done, and what it took.
    pub(crate) fn done(&self, counts: Counts) {
        self.steps.fetch_add(1, SeqCst);
        for (sum, count) in [
            (&self.hits, counts.hits),
            (&self.stale, counts.stale),
            (&self.loads, counts.origin_calls),
            (&self.takeovers, counts.takeovers),
            (&self.refused, counts.fills_refused),
        ] {
            sum.fetch_add(count.into(), SeqCst);
        }
    }

    pub(crate) fn told(&self) -> String {
        let of = |sum: &AtomicU64| sum.load(SeqCst);
        let (hits, stale, loads) = (of(&self.hits), of(&self.stale), of(&self.loads));
        let (takeovers, refused) = (of(&self.takeovers), of(&self.refused));
        format!("{hits} hits, {stale} stale, {loads} loads, {takeovers} takeovers, {refused} fills refused")
    }

    /// A run that has met nothing shows nothing.
    pub(crate) fn check_load(&self) {
        let (steps, hits) = (self.steps(), self.hits.load(SeqCst));
        assert!(hits > steps / 4, "it is a cache, and not only an origin: {hits} hits in {steps} steps");
        for (sum, what) in [(&self.stale, "stale answers"), (&self.refused, "refused fills")] {
            assert!(sum.load(SeqCst) > 0, "there were no {what}");
        }
    }
}

impl Row {
    pub(crate) fn version(&self) -> u64 {
        self.version.load(SeqCst)
    }

    pub(crate) fn least(&self) -> u64 {
        self.told.load(SeqCst)
    }

    /// Reads the row, which takes a while, and may fail.
    pub(crate) async fn load(&self, mut random: Rng) -> Result<Option<Loaded>, OutOfOrder> {
        pause(&mut random).await;
        if random.u32(..50) == 0 {
            return Err(OutOfOrder);
        }
        let version = self.version();
        pause(&mut random).await;
        Ok(Some(self.value(version)))
    }

    /// Writes the row; answers its version.
    pub(crate) async fn write(&self, random: &mut Rng) -> u64 {
        pause(random).await;
        let version = self.version.fetch_add(1, SeqCst) + 1;
        pause(random).await;
        version
    }

    /// The cache knows of `version`.
    pub(crate) fn tell(&self, version: u64) {
        self.told.fetch_max(version, SeqCst);
    }

    pub(crate) fn value(&self, version: u64) -> Loaded {
        let name = String::from_utf8(self.key.as_bytes().to_vec()).unwrap();
        Loaded::json(format!(r#"{{"row":"{name}","version":{version}}}"#)).of_version(version)
    }
}

/// Kinds of rows: forgotten hard; softly; fresh for a moment, with a long grace; and with a tag.
fn policy(number: usize) -> Policy {
    let base = Policy {
        load_for: Duration::from_millis(400),
        wait_for: Duration::from_millis(500),
        ..Policy::fresh_for(Ttl::clamped(600))
    };
    match number % KINDS {
        0 => base,
        1 => Policy { stale_after_invalidate: true, ..base },
        2 => Policy { grace: Duration::from_secs(300), early: Duration::from_secs(1), ..short(base) },
        _ => Policy { tags: vec![tag()], ..base },
    }
}

fn short(base: Policy) -> Policy {
    Policy { fresh_for: Ttl::clamped(3), negative_for: Ttl::clamped(2), jitter: 0.0, ..base }
}

/// The tag of a quarter of the rows.
pub(crate) fn tag() -> Tag {
    Tag::new(["rows"])
}

async fn pause(random: &mut Rng) {
    match random.u32(..20) {
        0 => sleep(Duration::from_millis(random.u64(1..30))).await,
        1..6 => tokio::task::yield_now().await,
        _ => {}
    }
}

const KINDS: usize = 4;
