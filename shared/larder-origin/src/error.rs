//! Why the origin gave no answer.

use std::error::Error;
use std::sync::Arc;

use crate::id::BadId;
use crate::identifier::Identifier;
use crate::origin::MAX_IDS;

/// Why a load gave no answer. A row that does not exist *is* an answer and never an error.
///
/// No message names a password, an address or what a request sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The caller asks for a table that is not configured. Told without a connection.
    #[error("unknown table")]
    UnknownTable,
    /// The caller's id cannot be an id of this table.
    #[error("bad id: {0}")]
    BadId(BadId),
    /// The caller asks for more rows at once than one query takes. Told without a connection.
    #[error("{0} ids are asked for at once, more than {MAX_IDS}")]
    TooManyIds(usize),
    /// The origin cannot answer now; later it may.
    #[error("the origin is unavailable")]
    Unavailable(#[source] Outage),
    /// The configuration does not fit the database; asking again does not help.
    #[error("the origin is misconfigured: {0}")]
    Misconfigured(Misconfigured),
}

/// What keeps an origin from answering now.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Outage {
    /// The deadline passed first. The database may still be at work on the query.
    #[error("deadline passed")]
    Deadline,
    /// The database could not be opened, or failed: down, file missing, locked too long, not a database.
    #[error("the database failed")]
    Database(#[source] Arc<dyn Error + Send + Sync>),
}

/// Where the configuration does not fit the database.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Misconfigured {
    /// The URL names a database that is not supported, or none. The URL itself may hold a password.
    #[error("the URL does not begin with sqlite:")]
    Scheme,
    /// The URL has a setting that its database does not know.
    #[error("the URL has a setting that SQLite does not know; mode, cache, immutable and vfs are known")]
    Url,
    /// The schema has no such table. Case counts, and a view is none.
    #[error("the schema has no table {table}")]
    NoTable {
        /// The configured table.
        table: Identifier,
    },
    /// The table has no such column. Case counts.
    #[error("table {table} has no column {column}")]
    NoColumn {
        /// The configured table.
        table: Identifier,
        /// The configured column.
        column: Identifier,
    },
    /// One id could name many rows.
    #[error("column {key} of table {table} is neither the primary key nor unique by itself")]
    KeyNotUnique {
        /// The configured table.
        table: Identifier,
        /// The configured key column.
        key: Identifier,
    },
    /// The key is of a type that ids do not have.
    #[error("column {key} of table {table} is declared neither an integer nor a text")]
    KeyType {
        /// The configured table.
        table: Identifier,
        /// The configured key column.
        key: Identifier,
    },
}

impl Outage {
    pub(crate) fn database(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<BadId> for OriginError {
    fn from(bad: BadId) -> Self {
        Self::BadId(bad)
    }
}

impl From<Outage> for OriginError {
    fn from(outage: Outage) -> Self {
        Self::Unavailable(outage)
    }
}

impl From<Misconfigured> for OriginError {
    fn from(misconfigured: Misconfigured) -> Self {
        Self::Misconfigured(misconfigured)
    }
}
