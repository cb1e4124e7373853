//! A row of the origin: read, written and deleted in a while of its own, and remembered in all its versions.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use larder_cache::{Loaded, Policy};
use larder_client::Key;
use tokio::time::{Instant, sleep};

use crate::ledger::Ledger;

pub(crate) struct Row {
    /// Its place among the rows.
    pub(crate) number: usize,
    pub(crate) key: Key,
    pub(crate) policy: Policy,
    /// Whether it has replicas, or may have some yet.
    has_replicas: AtomicBool,
    ledger: Mutex<Ledger>,
}

/// That the origin is out of order, which it is now and then.
#[derive(Debug)]
pub(crate) struct OutOfOrder;

impl larder_cache::LoadFault for OutOfOrder {
    fn is_outage(&self) -> bool {
        true
    }
}

impl Row {
    pub(crate) fn new(number: usize, key: Key, policy: Policy) -> Self {
        let ledger = Mutex::new(Ledger::new(Instant::now()));
        Self { number, key, policy, has_replicas: false.into(), ledger }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest version of which the cache was told.
    pub(crate) fn floor(&self) -> u64 {
        self.ledger().floor(Instant::now())
    }

    /// Reads the row, which takes a while, and may fail.
    pub(crate) async fn load(&self, mut random: Rng) -> Result<Option<Loaded>, OutOfOrder> {
        pause(&mut random).await;
        if fails(&mut random) {
            return Err(OutOfOrder);
        }
        let (version, is_there) = self.now();
        pause(&mut random).await;
        Ok(is_there.then(|| self.value(version)))
    }

    /// Writes the row, or deletes it where it is not to be there; answers its version.
    pub(crate) async fn write(&self, is_there: bool, random: &mut Rng) -> u64 {
        pause(random).await;
        let version = {
            let mut ledger = self.ledger();
            ledger.write(is_there, Instant::now())
        };
        pause(random).await;
        version
    }

    /// The cache knows of `version`.
    pub(crate) fn tell(&self, version: u64) {
        let mut ledger = self.ledger();
        ledger.tell(version, Instant::now());
    }

    /// The present version, and whether there is a row.
    pub(crate) fn now(&self) -> (u64, bool) {
        let ledger = self.ledger();
        let version = ledger.version();
        (version, ledger.is_there(version))
    }

    pub(crate) fn value(&self, version: u64) -> Loaded {
        let name = String::from_utf8_lossy(self.key.as_bytes());
        Loaded::json(format!(r#"{{"row":"{name}","version":{version}}}"#)).of_version(version)
    }

    pub(crate) fn note_replicas(&self, has_replicas: bool) {
        self.has_replicas.store(has_replicas, SeqCst);
    }

    pub(crate) fn has_replicas(&self) -> bool {
        self.has_replicas.load(SeqCst)
    }
}

/// Whether the origin is out of order just now.
pub(crate) fn fails(random: &mut Rng) -> bool {
    random.u32(..50) == 0
}

/// What the origin takes for a step: usually nothing.
pub(crate) async fn pause(random: &mut Rng) {
    match random.u32(..20) {
        0 => sleep(Duration::from_millis(random.u64(1..30))).await,
        1..6 => tokio::task::yield_now().await,
        _ => {}
    }
}
