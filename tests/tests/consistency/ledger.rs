//! What may be answered, decided from facts alone: which versions a row has had, and of which the cache was told.
//!
//! | an answer | may be given where |
//! | --- | --- |
//! | of a version | the row has had it, and it is the floor or a later one |
//! | that there is no row | a version without a row is the floor or a later one, and ended no longer ago than "no such record" is believed |
//!
//! The floor is the latest version of which the cache had been told when the read began; [`Allowed`] says from when on
//! it counts where a documented bound lets an answer be older.

use std::time::Duration;

use tokio::time::Instant;

/// The versions of a row, or of a list, from 1 on.
#[derive(Debug)]
pub(crate) struct Ledger {
    versions: Vec<Version>,
    /// When the cache was told of a version, each later than the one before.
    told: Vec<(Instant, u64)>,
}

#[derive(Debug)]
struct Version {
    since: Instant,
    is_there: bool,
}

/// What an answer says of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Version(u64),
    NoRow,
}

/// How old an answer may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// The earliest version.
    pub(crate) floor: u64,
    /// Since when a row may be there again that is said not to be; `None` for any time.
    pub(crate) no_row_until: Option<Instant>,
}

/// Why an answer is impossible.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    /// The cache had been told of a later version.
    Old { floor: u64 },
    /// The row has never been so.
    NeverWas,
    /// The row has been there for longer than "no such record" is believed.
    NoRowForTooLong(Duration),
}

impl Ledger {
    /// A row that is there since `now`, which the cache knows.
    pub(crate) fn new(now: Instant) -> Self {
        Self { versions: vec![Version { since: now, is_there: true }], told: vec![(now, 1)] }
    }

    /// Notes that the row is written, or deleted, at `now`; answers its version.
    pub(crate) fn write(&mut self, is_there: bool, now: Instant) -> u64 {
        self.versions.push(Version { since: now, is_there });
        self.version()
    }

    /// Notes that the cache was told of `version` by `now`.
    pub(crate) fn tell(&mut self, version: u64, now: Instant) {
        if self.told.last().is_none_or(|(_, told)| *told < version) {
            self.told.push((now, version));
        }
    }

    /// The present version.
    pub(crate) fn version(&self) -> u64 {
        self.versions.len() as u64
    }

    /// Whether there is a row of `version`.
    pub(crate) fn is_there(&self, version: u64) -> bool {
        self.find(version).is_some_and(|version| version.is_there)
    }

    /// The latest version of which the cache was told by `at`.
    pub(crate) fn floor(&self, at: Instant) -> u64 {
        let told = self.told.partition_point(|(told_at, _)| *told_at <= at);
        told.checked_sub(1).map_or(1, |last| self.told[last].1)
    }

    /// The version that the row had at `at`.
    pub(crate) fn version_at(&self, at: Instant) -> u64 {
        self.versions.partition_point(|version| version.since <= at).max(1) as u64
    }

    /// What is wrong with an answer that `said` so, if anything is.
    pub(crate) fn wrong(&self, said: Said, allowed: Allowed) -> Option<Wrong> {
        match said {
            Said::Version(version) if !self.is_there(version) => Some(Wrong::NeverWas),
            Said::Version(version) => {
                (version < allowed.floor).then_some(Wrong::Old { floor: allowed.floor })
            }
            Said::NoRow => self.wrong_without_row(allowed),
        }
    }

    fn wrong_without_row(&self, Allowed { floor, no_row_until }: Allowed) -> Option<Wrong> {
        let Some(at) = self.versions.iter().rposition(|version| !version.is_there) else {
            return Some(Wrong::NeverWas);
        };
        if (at as u64 + 1) < floor {
            return Some(Wrong::Old { floor });
        }
        let ended = self.versions.get(at + 1).map(|next| next.since);
        let too_long = no_row_until.zip(ended).map(|(until, ended)| until.saturating_duration_since(ended));
        too_long.filter(|too_long| !too_long.is_zero()).map(Wrong::NoRowForTooLong)
    }

    fn find(&self, version: u64) -> Option<&Version> {
        self.versions.get(usize::try_from(version.checked_sub(1)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1 since second 0, told of at once; 2 at 10, told of at 12; deleted at 20, told of at 21; 4 at 30.
    fn ledger(start: Instant) -> Ledger {
        let at = |secs| start + Duration::from_secs(secs);
        let mut ledger = Ledger::new(at(0));
        assert_eq!(ledger.write(true, at(10)), 2);
        ledger.tell(2, at(12));
        assert_eq!(ledger.write(false, at(20)), 3);
        ledger.tell(3, at(21));
        ledger.tell(2, at(22));
        assert_eq!(ledger.write(true, at(30)), 4);
        ledger
    }

    #[test]
    fn a_read_has_the_floor_of_what_the_cache_was_told_when_it_began() {
        let start = Instant::now();
        let ledger = ledger(start);
        let floors = [0, 11, 12, 20, 21, 99].map(|secs| ledger.floor(start + Duration::from_secs(secs)));
        assert_eq!(floors, [1, 1, 2, 2, 3, 3]);
        let versions = [0, 9, 10, 20, 99].map(|secs| ledger.version_at(start + Duration::from_secs(secs)));
        assert_eq!(versions, [1, 1, 2, 3, 4]);
    }

    #[test]
    fn an_answer_is_of_a_version_that_was_and_no_older_than_its_floor() {
        check(Said::Version(1), 1, 0, None);
        check(Said::Version(2), 1, 0, None);
        check(Said::Version(2), 2, 0, None);
        check(Said::Version(1), 2, 0, Some(Wrong::Old { floor: 2 }));
        check(Said::Version(3), 1, 0, Some(Wrong::NeverWas));
        check(Said::Version(0), 1, 0, Some(Wrong::NeverWas));
        check(Said::Version(5), 1, 0, Some(Wrong::NeverWas));
        check(Said::Version(4), 3, 0, None);
    }

    #[test]
    fn that_there_is_no_row_is_true_of_a_deletion_that_is_recent_enough() {
        check(Said::NoRow, 3, 30, None);
        check(Said::NoRow, 4, 0, Some(Wrong::Old { floor: 4 }));
        check(Said::NoRow, 3, 35, Some(Wrong::NoRowForTooLong(Duration::from_secs(5))));
        let never = Ledger::new(Instant::now());
        let allowed = Allowed { floor: 1, no_row_until: None };
        assert_eq!(never.wrong(Said::NoRow, allowed), Some(Wrong::NeverWas));
    }

    #[track_caller]
    fn check(said: Said, floor: u64, no_row_until: u64, expected: Option<Wrong>) {
        let start = Instant::now();
        let allowed = Allowed { floor, no_row_until: Some(start + Duration::from_secs(no_row_until)) };
        assert_eq!(ledger(start).wrong(said, allowed), expected, "{said:?} above {floor}");
    }
}
