//! Why the origin gave no answer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::id::BadId;
use crate::identifier::Identifier;
use crate::list::MAX_LIST;
use crate::origin::MAX_IDS;

/// Why a call gave no answer. A row that does not exist *is* an answer and never an error.
///
/// No message names a password, an address or what a request sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The caller asks for a table that is not configured. Told without a connection.
    #[error("unknown table")]
    UnknownTable,
    /// The caller writes a column that the table does not have, or that its records do not show.
    #[error("unknown column")]
    UnknownColumn,
    /// The caller's id cannot be an id of this table.
    #[error("bad id: {0}")]
    BadId(BadId),
    /// The caller asks for more rows at once than one query takes. Told without a connection.
    #[error("{0} ids are asked for at once, more than {MAX_IDS}")]
    TooManyIds(usize),
    /// The caller asks for more rows of a list than one has. Told without a connection.
    #[error("{0} rows of a list are asked for, more than {MAX_LIST}")]
    ListTooLong(usize),
    /// The row is not of the version that the caller's write is for. Nothing was written.
    #[error("the row has another version")]
    VersionConflict {
        /// The row's version, if there is such a row.
        present: Option<u64>,
    },
    /// The caller's idempotency key is that of another write. Nothing was written.
    #[error("the idempotency key names another write")]
    IdempotencyMismatch,
    /// The database, or its schema, does not take what the caller writes. Nothing was written.
    #[error("the write was rejected: {0}")]
    Rejected(Rejected),
    /// The origin was made for reading. Told without a connection.
    #[error("the origin is read only")]
    ReadOnly,
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
    /// The database's schema is not what it was when it was read, and not yet what a table's configuration needs, or it
    /// changes too fast. It was read again, and the call repeated.
    #[error("the schema has changed")]
    Schema(#[source] Arc<dyn Error + Send + Sync>),
    /// Whether the write has happened is not known: the database was told to commit it, and has not answered. What
    /// is cached of the row has to go as if it had.
    #[error("it is not known whether the write has happened")]
    Unknown(#[source] Option<Arc<dyn Error + Send + Sync>>),
}

/// What a database, or its schema, has against a write; the caller's fault, and worded for the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The key among the columns is not the row's id.
    #[error("the key column has to hold the id or be left out")]
    Key,
    /// The version, or a column that the database computes.
    #[error("a column cannot be set")]
    NotSettable,
    /// A patch that names no column.
    #[error("there is nothing to change")]
    Nothing,
    /// A condition on the version of a row of a table that has none.
    #[error("the table has no versions")]
    NoVersions,
    /// A value that its column does not take: of another type, out of range, too long, no base64.
    #[error("a value does not fit its column")]
    Value,
    /// NULL, or nothing at all, for a column that needs a value.
    #[error("a column needs a value")]
    NotNull,
    /// Another row has a value that may be there once only.
    #[error("another row has a value that has to be unique")]
    Unique,
    /// A row that others refer to, or a reference to a row that does not exist.
    #[error("a reference would lead nowhere")]
    ForeignKey,
    /// A check of the table or of a trigger has said no.
    #[error("a check of the table has failed")]
    Check,
    /// The row has a key that the database takes for this id, and that is another text; its own text is its id.
    #[error("the record's id is spelled otherwise in the database")]
    Spelling,
    /// A version that has no next one: it is the highest that an integer of 64 bits holds, or above.
    #[error("the row's version is too high to grow; set it back in the database")]
    Version,
    /// More bytes than the database takes for a row.
    #[error("the row is too large")]
    TooLarge,
}

/// Where the configuration does not fit the database.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Misconfigured {
    /// The URL names a database that is not supported, or none. The URL itself may hold a password.
    #[error("the URL begins with none of sqlite:, postgres:, postgresql:, mysql:, mariadb: and dynamodb:")]
    Scheme,
    /// The URL of a SQLite file has a setting that SQLite does not know.
    #[error("the URL has a setting that SQLite does not know; mode, cache, immutable and vfs are known")]
    Url,
    /// The URL of a server has a part that is missing, malformed or unknown.
    #[error("the URL is not that of a {database}: {fault}")]
    ServerUrl {
        /// The kind of database.
        database: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The URL is that of a database which this program was built without.
    #[error("this program was built without DynamoDB, the feature dynamodb of larder-origin")]
    NotBuilt,
    /// DynamoDB is asked without rights to sign with.
    #[error("DynamoDB needs credentials")]
    NoCredentials,
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
    #[error("column {key} of table {table} is declared neither an integer nor a text nor a UUID")]
    KeyType {
        /// The configured table.
        table: Identifier,
        /// The configured key column.
        key: Identifier,
    },
    /// The version cannot count as far as it has to.
    #[error("column {column} of table {table} is no integer of 64 bits, as a version is")]
    VersionType {
        /// The configured table.
        table: Identifier,
        /// The configured version column.
        column: Identifier,
    },
    /// Writes with an idempotency key need a table to remember them.
    #[error(
        "there is no table larder_writes as larder-origin's schema directory has it, which writes with an idempotency key need"
    )]
    NoIdempotencyTable,
    /// A list by statement on DynamoDB, or by index elsewhere.
    #[error("DynamoDB has lists by index, and all others by statement")]
    ListKind,
    /// A list's statement that the database does not take.
    #[error("the statement of a list is not one statement that reads")]
    ListStatement(#[source] ListFault),
    /// A list has a column of a type that no record has.
    #[error("column {place} of a list is of a type that has to be cast to text")]
    ListColumn {
        /// The column's place, from 1.
        place: usize,
    },
    /// A list has two columns of one name, of which a record can have only one.
    #[error("a list has two columns that are called {name:?}; give each a name of its own, with AS")]
    ListColumnTwice {
        /// Their name.
        name: String,
    },
    /// The table has no such index, or one without a partition key.
    #[error("table {table} has no such index")]
    NoIndex {
        /// The configured table.
        table: Identifier,
    },
}

/// What a database says to a list's statement. It comes from the configuration, and so does what is said of it.
#[derive(Clone, Debug)]
pub struct ListFault(Arc<dyn Error + Send + Sync>);

impl ListFault {
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ListFault {}

/// By what is said.
impl PartialEq for ListFault {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for ListFault {}

impl Outage {
    pub(crate) fn database(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }

    pub(crate) fn schema(error: sqlx::Error) -> Self {
        Self::Schema(Arc::new(error))
    }

    pub(crate) fn unknown(error: sqlx::Error) -> Self {
        Self::Unknown(Some(Arc::new(error)))
    }
}

impl From<Rejected> for OriginError {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
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
