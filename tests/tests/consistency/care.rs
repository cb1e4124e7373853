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
    /// A refresher runs the queries of all lists before it refreshes the first.
    QueriesFirst,
    /// A replaced node is not published, and its predecessor lives on.
    LeavesReplacementUntold,
    /// Two releases of a function share their keys, though the shape of the values differs.
    SharesKeys,
}

impl Care {
    /// Each of those that are not whole.
    const LESS: [Self; 9] = [
        Self::ForgetsFirst,
        Self::IntendsLate,
        Self::ReadsWithoutTags,
        Self::CreatesUntold,
        Self::KeepsLocalTooLong,
        Self::ForgetsOneReplica,
        Self::QueriesFirst,
        Self::LeavesReplacementUntold,
        Self::SharesKeys,
    ];

    /// Each of those that are not whole, or the one that the environment variable `LARDER_CARE` names.
    pub(crate) fn less() -> Vec<Self> {
        let named = std::env::var("LARDER_CARE").ok();
        let is_named = |care: &Self| named.as_ref().is_none_or(|named| *named == format!("{care:?}"));
        Self::LESS.into_iter().filter(is_named).collect()
    }

    /// The changes to the nodes in a run: all kinds, or those that show what is left out.
    pub(crate) fn changes(self) -> Vec<Change> {
        match self {
            Self::ForgetsOneReplica => vec![Change::AddReplicas, Change::AddReplicas, Change::Restart],
            Self::LeavesReplacementUntold => vec![Change::ReplaceBeside],
            _ => Change::all(),
        }
    }
}
