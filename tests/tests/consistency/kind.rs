//! The kinds of rows, each cached by a policy of its own.

use std::time::Duration;

use larder_cache::{Policy, Tag};
use larder_client::Ttl;

/// How the rows of one kind are cached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Removed where it is forgotten.
    Hard,
    /// Marked stale where it is forgotten, and answered as such until it is refreshed.
    Soft,
    /// Fresh for a moment, with a long grace.
    Short,
    /// With a tag.
    Tagged,
    /// Kept in the memory of an environment that reads it often.
    Local,
}

impl Kind {
    /// The kind of the row with this number.
    pub(crate) fn of(number: usize) -> Self {
        Self::ALL[number % Self::ALL.len()]
    }

    /// How its rows are cached; those with a tag by `tag`.
    pub(crate) fn policy(self, tag: &Tag) -> Policy {
        let base = Policy {
            negative_for: NO_ROW_FOR,
            load_for: Duration::from_millis(400),
            wait_for: Duration::from_millis(500),
            ..Policy::fresh_for(Ttl::clamped(600))
        };
        match self {
            Self::Hard => base,
            Self::Soft => Policy { stale_after_invalidate: true, ..base },
            Self::Short => Policy {
                fresh_for: Ttl::clamped(3),
                grace: Duration::from_secs(300),
                early: Duration::from_secs(1),
                jitter: 0.0,
                ..base
            },
            Self::Tagged => Policy { tags: vec![tag.clone()], ..base },
            Self::Local => Policy { near_for: Some(LOCAL_FOR), ..base },
        }
    }

    pub(crate) const ALL: [Self; 5] = [Self::Hard, Self::Soft, Self::Short, Self::Tagged, Self::Local];
}

/// How long "no such record" is believed.
pub(crate) const NO_ROW_FOR: Ttl = Ttl::clamped(2);
/// How long a row is answered from memory.
pub(crate) const LOCAL_FOR: Duration = Duration::from_secs(1);
