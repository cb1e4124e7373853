//! What the environments of a run have done and met.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use larder_cache::Counts;
use tokio::time::Instant;

/// Counts over all environments.
#[derive(Debug)]
pub(crate) struct Tally {
    begin: Instant,
    steps: AtomicU64,
    hits: AtomicU64,
    local: AtomicU64,
    no_row: AtomicU64,
    stale: AtomicU64,
    loads: AtomicU64,
    takeovers: AtomicU64,
    refused: AtomicU64,
    lists: AtomicU64,
    refreshes: AtomicU64,
    changes: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self {
            begin: Instant::now(),
            steps: zero(),
            hits: zero(),
            local: zero(),
            no_row: zero(),
            stale: zero(),
            loads: zero(),
            takeovers: zero(),
            refused: zero(),
            lists: zero(),
            refreshes: zero(),
            changes: zero(),
        }
    }
}

impl Tally {
    /// When `moment` was, in milliseconds since the run began.
    pub(crate) fn millis(&self, moment: Instant) -> u128 {
        moment.saturating_duration_since(self.begin).as_millis()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(SeqCst)
    }

    /// Notes that something was done, and what it took.
    pub(crate) fn done(&self, counts: Counts) {
        self.steps.fetch_add(1, SeqCst);
        for (sum, count) in [
            (&self.hits, counts.hits),
            (&self.local, counts.near_hits),
            (&self.no_row, counts.negative_hits),
            (&self.stale, counts.stale),
            (&self.loads, counts.origin_calls),
            (&self.takeovers, counts.takeovers),
            (&self.refused, counts.fills_refused),
        ] {
            sum.fetch_add(count.into(), SeqCst);
        }
    }

    pub(crate) fn note_list(&self) {
        self.lists.fetch_add(1, SeqCst);
    }

    pub(crate) fn note_refresh(&self) {
        self.refreshes.fetch_add(1, SeqCst);
    }

    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, SeqCst);
    }

    /// A run that has met nothing shows nothing.
    pub(crate) fn check(&self) {
        let (steps, hits) = (self.steps(), self.hits.load(SeqCst));
        assert!(hits > steps / 4, "it is a cache, and not only an origin: {hits} hits in {steps} steps");
        for (sum, what) in [
            (&self.local, "values answered from memory"),
            (&self.no_row, "hits that said that there is no row"),
            (&self.stale, "stale answers"),
            (&self.refused, "refused fills"),
            (&self.lists, "lists read"),
            (&self.refreshes, "lists refreshed"),
        ] {
            assert!(sum.load(SeqCst) > 0, "there were no {what}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sum, what) in [
            (&self.steps, "steps"),
            (&self.changes, "changes of nodes"),
            (&self.hits, "hits"),
            (&self.local, "of them from memory"),
            (&self.no_row, "of them without a row"),
            (&self.stale, "stale"),
            (&self.loads, "loads"),
            (&self.takeovers, "takeovers"),
            (&self.refused, "fills refused"),
            (&self.lists, "lists"),
        ] {
            write!(f, "{} {what}, ", sum.load(SeqCst))?;
        }
        write!(f, "{} refreshes", self.refreshes.load(SeqCst))
    }
}
