//! What a database that speaks SQL has to tell of itself, so that all else is said once for all of them.

use std::borrow::Cow;

use crate::error::Rejected;
use crate::id::{IdKind, Key};
use crate::plan::Column;
use crate::pool::{Alive, PoolConfig};
use crate::record::Value;
use crate::scalar::Scalar;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A kind of database: how it is opened, how it quotes and binds, which types it has, and what its errors mean.
pub(crate) trait Engine: Send + Sync {
    type Connection: Alive;
    type Row: Cells + Send + Sync;

    /// Whether what reads must not be able to write, so that writes have connections of their own.
    const WRITES_APART: bool;
    /// Whether a read that another transaction has ended is asked again. Not where the database has waited for that long
    /// already.
    const READS_AGAIN: bool;
    /// Begins a transaction that only reads.
    const BEGIN_READ: &'static str;
    /// Begins a transaction that writes.
    const BEGIN_WRITE: &'static str;
    /// The columns of the table that is bound, in its order; none if there is no such table.
    const COLUMNS: &'static str;
    /// Stands behind a `SELECT` whose rows are to be written.
    const FOR_UPDATE: &'static str;
    /// Begins a statement that makes a row, and one that changes it: each fails where another row is in the way.
    const INSERT: &'static str = "INSERT";
    const UPDATE: &'static str = "UPDATE";
    /// Stands before the `VALUES` of a new row.
    const BEFORE_VALUES: &'static str;

    /// Opens a connection. Its statements end as `config` says.
    fn open(
        &self,
        access: Access,
        config: &PoolConfig,
    ) -> impl Future<Output = sqlx::Result<Self::Connection>> + Send;

    /// A row of [`COLUMNS`](Self::COLUMNS).
    fn column(row: &Self::Row) -> sqlx::Result<Column>;

    /// `name` in quotes.
    fn quote(name: &str) -> String;

    /// The place of value `at`, from 1, as it is.
    fn place(at: usize) -> String;

    /// The place of value `at`, from 1, that is compared with a key.
    fn key_place(at: usize, _key: &Column, _kind: IdKind) -> String {
        Self::place(at)
    }

    /// The place of value `at`, from 1, that becomes the value of `column`.
    fn set_place(at: usize, _column: &Column) -> String {
        Self::place(at)
    }

    /// What gives a column of table `t` such that [`Cells`] can read it.
    fn read(column: &Column) -> String {
        format!("t.{}", Self::quote(&column.name))
    }

    /// The default of a column.
    fn default(_column: &Column) -> String {
        "DEFAULT".to_owned()
    }

    /// `value` as what is bound for `column`.
    fn bind<'a>(column: &Column, value: &'a Scalar) -> Result<Bind<'a>, Rejected> {
        Bind::new(column, value)
    }

    /// `value` as what is bound for a place of a list's statement.
    fn parameter(value: &Scalar) -> Bind<'_> {
        value.into()
    }

    /// Removes old rows from the table of writes; the time is bound.
    fn remove_old() -> String;

    /// Whether a list's statement is one, where the database itself takes more.
    fn is_one(_statement: &str) -> bool {
        true
    }

    /// Begins a transaction by one of the statements above.
    fn begin(
        connection: &mut Self::Connection,
        statement: &'static str,
    ) -> impl Future<Output = sqlx::Result<()>> + Send {
        Self::run(connection, statement)
    }

    /// Runs a statement and takes rows of it, as `ask` says.
    fn fetch(
        connection: &mut Self::Connection,
        ask: &Ask<'_>,
    ) -> impl Future<Output = sqlx::Result<Fetched<Self::Row>>> + Send;

    /// Runs a statement without values and rows.
    fn run(
        connection: &mut Self::Connection,
        statement: &'static str,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// What an error means that the database told.
    fn meaning(error: &sqlx::Error) -> Meaning;

    /// Whether an id has a character that the key's encoding lacks, so that it is that of no row.
    fn is_of_no_row(_error: &sqlx::Error) -> bool {
        false
    }

    /// Whether a write is refused because its transaction only reads, whatever server it is on.
    fn is_write_refused(_error: &sqlx::Error) -> bool {
        false
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A row, cell by cell.
pub(crate) trait Cells {
    /// How many cells it has.
    fn len(&self) -> usize;

    /// The name of column `at`, from 0.
    fn name(&self, at: usize) -> &str;

    /// The value at `at`, from 0; `ColumnDecode` if it is of a type that no record has.
    fn value(&self, at: usize) -> sqlx::Result<Value<'_>>;
}

/// A statement and its values.
pub(crate) struct Ask<'a> {
    pub(crate) statement: String,
    pub(crate) binds: &'a [Bind<'a>],
    /// How many rows are taken.
    pub(crate) most: usize,
    /// Whether a connection may keep the statement for the next time. Servers count those that are kept, and what a
    /// list selects may change under a statement that is.
    pub(crate) is_kept: bool,
}

impl<'a> Ask<'a> {
    /// A statement whose text comes again and again: of all rows.
    pub(crate) fn kept(statement: String, binds: &'a [Bind<'a>]) -> Self {
        Self { statement, binds, most: usize::MAX, is_kept: true }
    }

    /// A statement that is asked seldom: of `most` rows.
    pub(crate) fn once(statement: String, binds: &'a [Bind<'a>], most: usize) -> Self {
        Self { statement, binds, most, is_kept: false }
    }
}

/// Rows, and whether they are all of them.
pub(crate) struct Fetched<R> {
    pub(crate) rows: Vec<R>,
    /// If not, the connection has more under way and is of no further use.
    pub(crate) is_whole: bool,
    /// How many rows a write has changed.
    pub(crate) affected: u64,
    /// Of which table the first column is, where the database tells; see [`Column::relation`].
    pub(crate) relation: Option<u32>,
}

/// A value to bind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// Above what an `Integer` holds.
    Unsigned(u64),
    Real(f64),
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
}

impl<'a> Bind<'a> {
    /// `value` for `column`: bytes are taken out of their base64.
    pub(crate) fn new(column: &Column, value: &'a Scalar) -> Result<Self, Rejected> {
        match value {
            Scalar::Text(text) if column.is_binary => {
                STANDARD.decode(text).map(Self::Bytes).map_err(|_| Rejected::Value)
            }
            value => Ok(value.into()),
        }
    }
}

impl<'a> From<&'a Scalar> for Bind<'a> {
    fn from(value: &'a Scalar) -> Self {
        match value {
            Scalar::Null => Self::Null,
            Scalar::Bool(value) => Self::Bool(*value),
            Scalar::Integer(value) => Self::Integer(*value),
            Scalar::Real(value) => Self::Real(*value),
            Scalar::Number(value) => match value.as_str().parse() {
                Ok(value) => Self::Unsigned(value),
                Err(_) => Self::Text(value.as_str().into()),
            },
            Scalar::Text(value) => Self::Text(value.into()),
        }
    }
}

impl<'a> From<Key<'a>> for Bind<'a> {
    fn from(key: Key<'a>) -> Self {
        match key {
            Key::Integer(number) => Self::Integer(number),
            Key::Unsigned(number) => i64::try_from(number).map_or(Self::Unsigned(number), Self::Integer),
            Key::Number(text) | Key::Text(text) => Self::Text(text.into()),
        }
    }
}

/// What an error means that a database told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Meaning {
    /// Two transactions were in each other's way; the same again may do.
    Again,
    /// The write is not taken.
    Rejected(Rejected),
    /// There is no such table.
    NoTable,
    /// The schema is not what the statement was made for.
    Schema,
    /// This server does not take it, and another one of the same name may. Nothing has been done.
    WrongServer,
    /// The statement itself is at fault.
    Statement,
    /// Something that does not lie in what was asked.
    Outage,
}

/// The parts of an [`Engine`] that are the same words for different types, and `$unsigned`, which makes of an integer
/// without sign what the database takes for one.
macro_rules! statements {
    ($database:ty, $unsigned:expr) => {
        async fn fetch(
            connection: &mut Self::Connection,
            ask: &$crate::engine::Ask<'_>,
        ) -> sqlx::Result<$crate::engine::Fetched<Self::Row>> {
            use futures_util::TryStreamExt as _;
            use sqlx::{Either, Executor as _};
            use $crate::engine::{Bind, Fetched};

            // Safe: names are quoted and were found in the schema, a list's statement is configuration, and all
            // values are bound.
            let statement = sqlx::AssertSqlSafe(ask.statement.clone());
            let mut query = sqlx::query::<$database>(statement).persistent(ask.is_kept);
            for bind in ask.binds {
                query = match bind {
                    Bind::Null => query.bind(None::<String>),
                    Bind::Bool(value) => query.bind(*value),
                    Bind::Integer(value) => query.bind(*value),
                    Bind::Unsigned(value) => query.bind($unsigned(*value)),
                    Bind::Real(value) => query.bind(*value),
                    Bind::Text(value) => query.bind(value.to_string()),
                    Bind::Bytes(value) => query.bind(value.clone()),
                };
            }
            let mut fetched = Fetched { rows: Vec::new(), is_whole: true, affected: 0, relation: None };
            let mut stream = connection.fetch_many(query);
            while let Some(next) = stream.try_next().await? {
                match next {
                    Either::Left(done) => fetched.affected += done.rows_affected(),
                    Either::Right(_) if fetched.rows.len() == ask.most => {
                        fetched.is_whole = false;
                        break;
                    }
                    Either::Right(row) => fetched.rows.push(row),
                }
            }
            drop(stream);
            Ok(fetched)
        }

        async fn run(connection: &mut Self::Connection, statement: &'static str) -> sqlx::Result<()> {
            sqlx::raw_sql(statement).execute(connection).await.map(|_| ())
        }
    };
}

pub(crate) use statements;
