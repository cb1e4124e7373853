//! What a write asks for, and what it answers.

use crate::fields::Fields;
use crate::idempotency::IdempotencyKey;
use crate::record::Record;

/// What happens to a row.
///
/// The key column may stand among the fields only with the row's own id. The version column and those that the database
/// computes may stand in a put, which may hold what was read, and are left out of it; a patch that names one is refused.
/// Only columns that records show can be set, where a table is configured with some of its columns.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Replaces all columns that records show: those that are not named get their default. Makes the row where there is
    /// none.
    Put(Fields),
    /// Changes the named columns of a row that exists.
    Patch(Fields),
    /// Removes the row.
    Delete,
}

/// Under which conditions a row is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions<'a> {
    /// The version that the row must have; a row that does not exist has none. For tables with a version column.
    pub if_version: Option<u64>,
    /// The name of this write: once it has happened, it does not happen again under this name, for a day at least.
    pub idempotency_key: Option<&'a IdempotencyKey>,
    /// Columns that hold ids of other rows, whose values a repeat of this write is to be told: see [`Repeat::kept`].
    pub kept: &'a [&'a str],
}

/// What a write has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The row as it is now; `None` after a delete, and where there is no row, be it that a patch found none, or that it
    /// was removed between a write and its repeat.
    pub record: Option<Record>,
    /// The row as it was, which tells what parents and lists depended on it; `None` where there was none, and in a
    /// repeat, for no row is kept.
    pub before: Option<Record>,
    /// The version of the row as it is now, where its table has versions.
    pub version: Option<u64>,
    /// What became of the row when the write happened.
    pub effect: Effect,
    /// What is known of the write, where nothing was done now, because a write of this name had happened before.
    pub repeat: Option<Repeat>,
}

impl Written {
    /// Whether nothing was done now, because a write of this name had happened before.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        self.repeat.is_some()
    }
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// It was made.
    Made,
    /// It was there, and was changed.
    Changed,
    /// It was there, and was removed.
    Removed,
    /// There was none, and none was made.
    Nothing,
}

/// What is kept of a write under its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repeat {
    /// The version that the write gave the row. The row has had other writes since if its own version is another one.
    pub version: Option<u64>,
    /// The columns of [`WriteOptions::kept`] as they were before the write and as it left them, as far as there was a
    /// row and they hold what can be an id. Records of an older version of this crate have all columns.
    pub kept: Vec<Record>,
}
