//! A list of the origin: its rows change now and then, and environments refresh it.
//!
//! | a list that is answered | |
//! | --- | --- |
//! | is one that was | of that key, in one of its versions |
//! | is no older than the last refresh that was confirmed before the read | whatever an earlier run does later |
//! | was the present one no longer ago than its age says | by whole seconds, and the time that its query may take |

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use larder_cache::{ListAnswer, ListItems, TimedList};
use larder_client::Key;
use serde_json::Value;
use tokio::time::Instant;

use crate::ledger::{Allowed, Ledger, Said};
use crate::row::{OutOfOrder, fails, pause};

pub(crate) struct List {
    pub(crate) timed: TimedList,
    ledger: Mutex<Ledger>,
}

impl List {
    pub(crate) fn new(key: Key) -> Self {
        let timed = TimedList::new(key, TimedList::MIN_PERIOD, LOAD_FOR).unwrap();
        Self { timed, ledger: Mutex::new(Ledger::new(Instant::now())) }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its rows are others from now on.
    pub(crate) fn change(&self) {
        let mut ledger = self.ledger();
        ledger.write(true, Instant::now());
    }

    /// A refresher was told that the cache has `version`, or a later one.
    pub(crate) fn tell(&self, version: u64) {
        let mut ledger = self.ledger();
        ledger.tell(version, Instant::now());
    }

    /// Runs its query, which takes a while, and may fail.
    pub(crate) async fn load(&self, mut random: Rng) -> Result<ListItems, OutOfOrder> {
        pause(&mut random).await;
        if fails(&mut random) {
            return Err(OutOfOrder);
        }
        let version = self.ledger().version();
        pause(&mut random).await;
        Ok(self.items(version))
    }

    /// What is wrong with an `answer` that came at `end` to a read that counts what was told `from` then on.
    pub(crate) fn wrong(&self, answer: &ListAnswer, from: Instant, end: Instant) -> Option<String> {
        let Some(version) = version_in(&answer.items) else { return Some("it is no list".into()) };
        if self.items(version).json() != &answer.items[..] {
            return Some("its rows are those of another list".into());
        }
        let ledger = self.ledger();
        let allowed = Allowed { floor: ledger.floor(from), no_row_until: None };
        if let Some(wrong) = ledger.wrong(Said::Version(version), allowed) {
            return Some(format!("{wrong:?}"));
        }
        let confirmed = end.checked_sub(answer.age + AGE_SLACK).map_or(1, |at| ledger.version_at(at));
        (version < confirmed)
            .then(|| format!("it was outdated before {:?}: {confirmed} was there", answer.age))
    }

    fn items(&self, version: u64) -> ListItems {
        let key = String::from_utf8_lossy(self.timed.key().as_bytes());
        ListItems::of([format!(r#"{{"list":"{key}","version":{version}}}"#)])
    }
}

fn version_in(json: &[u8]) -> Option<u64> {
    let rows: Value = serde_json::from_slice(json).ok()?;
    rows.get(0)?.get("version")?.as_u64()
}

/// How long a query may take.
const LOAD_FOR: Duration = Duration::from_secs(2);
/// How much older than its age a list may be: its node counts whole seconds, it may be stored as late as its lease
/// allows after the query, and a freeze may hold its answer back.
const AGE_SLACK: Duration = Duration::from_secs(8);
