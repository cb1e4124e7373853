//! The safeguards that a run can leave out, each of which it has to miss.

use crate::changes::Change;

/// What the environments, or those who operate the nodes, do as they should, or do not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Care {
    /// Everything.
    Whole,
    /// A writer forgets what it is going to write, and not what it has written.
    ForgetsFirst,
    /// A writer reads the cache after it has changed the origin, and takes what it finds for older than that.
    IntendsLate,
    /// A reader leaves out the tags of its rows.
    ReadsWithoutTags,
    /// A writer that creates a row does not tell the cache, which "has nothing of it".
    CreatesUntold,
    /// A reader keeps values in its own memory for longer than their policy says.
    KeepsLocalTooLong,
    /// A writer that forgets a key leaves out its replicas.
    ForgetsOneReplica,
    /// A refresher runs the query of a list before it asks whether it is to.
    QueriesFirst,
    /// A publisher makes a first document without a wait for those who go by the lost one.
    FoundsAtOnce,
    /// A replaced node is not published, and its predecessor lives on.
    LeavesReplacementUntold,
    /// Two releases of a function share their keys, though the shape of the values differs.
    SharesKeys,
}

impl Care {
    /// Each of those that are not whole.
    pub(crate) const LESS: [Self; 10] = [
        Self::ForgetsFirst,
        Self::IntendsLate,
        Self::ReadsWithoutTags,
        Self::CreatesUntold,
        Self::KeepsLocalTooLong,
        Self::ForgetsOneReplica,
        Self::QueriesFirst,
        Self::FoundsAtOnce,
        Self::LeavesReplacementUntold,
        Self::SharesKeys,
    ];

    /// The changes to the nodes in a run: all kinds, or those that show what is left out.
    pub(crate) fn changes(self) -> &'static [Change] {
        match self {
            Self::ForgetsOneReplica => &[Change::AddReplicas, Change::AddReplicas, Change::Restart],
            Self::FoundsAtOnce => &[Change::FoundElsewhere],
            Self::LeavesReplacementUntold => &[Change::ReplaceBeside],
            _ => Change::ALL,
        }
    }
}
