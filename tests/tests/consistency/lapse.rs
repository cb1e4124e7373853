//! Lapses: the times in which a documented bound lets an answer be older than what the cache was told.
//!
//! | lapse | its answers may be as old as its begin | until |
//! | --- | --- | --- |
//! | of a document that all nodes have lost | of keys with replicas: an environment that began without it has told none | one convergence time after the loss |
//! | of a list of nodes that changes while the document is lost | of all keys: two environments may go by two lists | one convergence time after another document is published |
//! | of a node whose predecessor lives on | of all keys: an environment may be connected to either | one convergence time after the new address is published |

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// What lets answers be old.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    LostDocument,
    ListWithoutDocument,
    LivingPredecessor,
}

/// The lapses of a run.
#[derive(Debug, Default)]
pub(crate) struct Lapses(Mutex<Vec<Lapse>>);

#[derive(Clone, Copy, Debug)]
struct Lapse {
    cause: Cause,
    since: Instant,
    /// `None` while it lasts.
    until: Option<Instant>,
}

impl Lapses {
    /// Notes that one has begun at `now`.
    pub(crate) fn begin(&self, cause: Cause, now: Instant) {
        self.with(|lapses| lapses.push(Lapse { cause, since: now, until: None }));
    }

    /// Notes that those of `cause` end at `until`.
    pub(crate) fn end(&self, cause: Cause, until: Instant) {
        self.with(|lapses| {
            let open = lapses.iter_mut().filter(|lapse| lapse.cause == cause && lapse.until.is_none());
            open.for_each(|lapse| lapse.until = Some(until));
        });
    }

    /// From when on a read counts what the cache was told that lasted from `begin` to `end`: from the first of the
    /// lapses on that it has met.
    pub(crate) fn counted_from(&self, begin: Instant, end: Instant, has_replicas: bool) -> Instant {
        self.met(begin, end, has_replicas).map_or(begin, |since| since.min(begin))
    }

    /// Since when the first lapse was that a read has met which lasted from `begin` to `end`; `None` without one.
    pub(crate) fn met(&self, begin: Instant, end: Instant, has_replicas: bool) -> Option<Instant> {
        let is_met = |lapse: &&Lapse| {
            let concerns = lapse.cause != Cause::LostDocument || has_replicas;
            concerns && lapse.since <= end && lapse.until.is_none_or(|until| begin <= until)
        };
        self.with(|lapses| lapses.iter().filter(is_met).map(|lapse| lapse.since).min())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Lapse>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_read_that_meets_a_lapse_counts_from_its_begin() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let lapses = Lapses::default();
        lapses.begin(Cause::LivingPredecessor, at(10));
        lapses.end(Cause::LivingPredecessor, at(20));
        lapses.begin(Cause::LostDocument, at(30));
        // begin, end, has replicas, counted from
        for (begin, end, has_replicas, from) in [
            (5, 9, true, 5),
            (5, 10, false, 5),
            (15, 16, false, 10),
            (20, 25, false, 10),
            (21, 25, false, 21),
            (31, 32, false, 31),
            (31, 32, true, 30),
            (15, 32, true, 10),
        ] {
            let counted = lapses.counted_from(at(begin), at(end), has_replicas);
            assert_eq!(counted, at(from), "{begin} to {end}");
        }
    }
}
