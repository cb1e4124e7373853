//! What the environments did, and what the origin knows: all that a run is judged by.

use super::clock::Stamp;
use super::ring_mark::RingMark;
use serde::{Deserialize, Serialize};

/// One read, as the environment saw it that made it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Read {
    /// The place of the key in the list of flights.
    pub(crate) key: u32,
    pub(crate) begin: Stamp,
    pub(crate) end: Stamp,
    pub(crate) answer: Answer,
}

/// What a read was answered, with the version of the record where there is one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// The cache had it.
    Hit(u32),
    /// The cache had it and called it stale, so that it may be old.
    Stale(u32),
    /// The cache did not have it; the origin was asked.
    Miss(u32),
    /// The cache could not be asked; the origin was.
    Bypass(u32),
    /// A value that is not this flight's.
    Wrong,
    /// No answer.
    None,
}

impl Answer {
    /// The version that was read.
    pub(crate) fn version(self) -> Option<u32> {
        match self {
            Self::Hit(version) | Self::Stale(version) | Self::Miss(version) | Self::Bypass(version) => {
                Some(version)
            }
            Self::Wrong | Self::None => None,
        }
    }

    /// Whether it came from the cache.
    pub(crate) fn is_from_cache(self) -> bool {
        matches!(self, Self::Hit(_) | Self::Stale(_))
    }
}

/// One write: a commit at the origin, then an invalidation that is repeated until it succeeds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Write {
    pub(crate) key: u32,
    /// The version that the commit made.
    pub(crate) version: u32,
    pub(crate) begin: Stamp,
    /// When the key was invalidated; `None` where that never came about.
    pub(crate) end: Option<Stamp>,
}

/// A commit, as the origin knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Commit {
    pub(crate) key: u32,
    pub(crate) version: u32,
    pub(crate) at: Stamp,
}

/// The first time that an environment was seen to route by another ring than before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Sighting {
    pub(crate) at: Stamp,
    pub(crate) ring: RingMark,
}

/// All that one environment did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diary {
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<Write>,
    /// In the order of time.
    pub(crate) sightings: Vec<Sighting>,
    /// When it was frozen, in the order of time.
    pub(crate) freezes: Vec<Span>,
}

impl Diary {
    /// Whether the environment was frozen at any time from `begin` to `end`.
    pub(crate) fn was_frozen(&self, begin: Stamp, end: Stamp) -> bool {
        let first = self.freezes.partition_point(|freeze| freeze.until < begin);
        self.freezes.get(first).is_some_and(|freeze| freeze.from <= end)
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) from: Stamp,
    pub(crate) until: Stamp,
}

impl Span {
    /// Whether `at` lies in it; the moment at which it ends does not.
    pub(crate) fn holds(self, at: Stamp) -> bool {
        self.from <= at && at < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_touches_a_freeze_is_seen_and_one_between_two_is_not() {
        let freezes =
            [(10, 20), (40, 50)].map(|(from, until)| Span { from: Stamp(from), until: Stamp(until) });
        let diary = Diary { freezes: freezes.to_vec(), ..Diary::default() };
        for (begin, end, expected) in
            [(0, 9, false), (0, 10, true), (12, 13, true), (20, 30, true), (21, 39, false), (21, 60, true)]
        {
            assert_eq!(diary.was_frozen(Stamp(begin), Stamp(end)), expected, "{begin} to {end}");
        }
        assert!(!diary.was_frozen(Stamp(51), Stamp(99)));
    }
}
