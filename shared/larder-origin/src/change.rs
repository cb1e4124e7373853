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
}

/// What a write has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The row as it is now; `None` after a delete, and where a patch found no row.
    pub record: Option<Record>,
    /// The row as it was, which tells what parents and lists depended on it; `None` where there was none.
    pub before: Option<Record>,
    /// The version of the row as it is now, where its table has versions.
    pub version: Option<u64>,
    /// Whether nothing was done, because a write of this name had happened before; the rest is what was answered then.
    pub is_repeat: bool,
}
