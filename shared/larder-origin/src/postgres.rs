//! PostgreSQL, with or without a pooler before it.

mod address;
mod fault;
mod login;
mod session;
mod tls;
mod value;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::ClientConfig;

use crate::calendar::to_postgres;
use crate::engine::{Access, Ask, Bind, Cells as _, Engine, Fetched, Meaning};
use crate::error::{Misconfigured, Rejected};
use crate::id::IdKind;
use crate::idempotency::{MAX_REMOVED, TABLE};
use crate::plan::Column;
use crate::pool::{Alive, PoolConfig};
use crate::record::Value;
use crate::scalar::Scalar;

use address::Target;
use session::Session;
use value::PgRow;

pub(crate) use fault::Fault;

/// A database of a PostgreSQL server.
pub(crate) struct Postgres {
    target: Target,
    /// Made when it is first needed.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Postgres {
    /// Takes `postgres://user:password@host:port/database`.
    ///
    /// Without `sslmode`, it is `prefer`: TLS where the server has it, and nobody checks whose it is. For a network
    /// that is not trusted say `sslmode=verify-full`, and `sslrootcert` where the authority is not one of the system's.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        Ok(Self { target: Target::from_url(url)?, tls: OnceLock::new() })
    }
}

impl Alive for Session {
    /// An empty statement.
    async fn ping(&mut self) -> sqlx::Result<()> {
        self.run("").await
    }
}

impl Engine for Postgres {
    type Connection = Session;
    type Row = PgRow;

    const WRITES_APART: bool = false;
    const READS_AGAIN: bool = true;
    const BEGIN_READ: &'static str = "BEGIN READ ONLY";
    const BEGIN_WRITE: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    const COLUMNS: &'static str = COLUMNS;
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    /// A key that the database would count up by itself is told here.
    const BEFORE_VALUES: &'static str = " OVERRIDING SYSTEM VALUE";

    async fn open(&self, _: Access, config: &PoolConfig) -> sqlx::Result<Session> {
        self.connect(config.statement_timeout.as_millis()).await
    }

    fn column(row: &PgRow) -> sqlx::Result<Column> {
        let text = |at| row.value(at)?.into_key().ok_or_else(|| sqlx::Error::Decode("no text".into()));
        let is = |at| Ok::<_, sqlx::Error>(row.value(at)? == Value::Bool(true));
        let declared: String = text(1)?;
        let kind = match declared.rsplit('.').next().unwrap_or_default() {
            "smallint" | "integer" | "bigint" => Some(IdKind::Integer),
            "text" | "character varying" | "bpchar" | "citext" => Some(IdKind::Text),
            "uuid" => Some(IdKind::Uuid),
            _ => None,
        };
        // What is read as a text of it is of no table any more.
        let is_plain = READ_AS_THEY_ARE.contains(&declared.as_str());
        let relation = if is_plain { text(4)?.parse().ok() } else { None };
        Ok(Column {
            name: text(0)?,
            kind,
            unique: is(3)?,
            counts: declared == "bigint",
            is_generated: is(2)?,
            is_binary: declared == "bytea",
            default: None,
            declared,
            relation,
        })
    }

    fn quote(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn place(at: usize) -> String {
        format!("${at}")
    }

    /// Integers compare with integers of any size; a text has to become what the key is, or no index is used.
    fn key_place(at: usize, key: &Column, kind: IdKind) -> String {
        match kind {
            IdKind::Integer | IdKind::Unsigned | IdKind::Number => Self::place(at),
            IdKind::Text | IdKind::Uuid => format!("CAST(${at} AS {})", key.declared),
        }
    }

    fn set_place(at: usize, column: &Column) -> String {
        format!("CAST(${at} AS {})", column.declared)
    }

    fn read(column: &Column) -> String {
        let name = format!("t.{}", Self::quote(&column.name));
        match READ_AS_THEY_ARE.contains(&column.declared.as_str()) {
            true => name,
            false => format!("CAST({name} AS text)"),
        }
    }

    /// Values go as text, and the server makes of them what their column holds.
    fn bind<'a>(column: &Column, value: &'a Scalar) -> Result<Bind<'a>, Rejected> {
        Ok(match Bind::new(column, value)? {
            Bind::Bool(value) => Bind::Text(value.to_string().into()),
            Bind::Integer(value) => Bind::Text(value.to_string().into()),
            Bind::Unsigned(value) => Bind::Text(value.to_string().into()),
            Bind::Real(value) => Bind::Text(format!("{value:?}").into()),
            Bind::Text(text) if text.contains('\0') => return Err(Rejected::Value),
            Bind::Text(text) if HAS_YEARS.contains(&column.declared.as_str()) => {
                Bind::Text(to_postgres(&text).map_or(text, Cow::Owned))
            }
            bind => bind,
        })
    }

    fn remove_old() -> String {
        format!(
            "DELETE FROM {TABLE} WHERE id IN (SELECT id FROM {TABLE} WHERE written_at < $1 \
             ORDER BY written_at LIMIT {MAX_REMOVED} FOR UPDATE SKIP LOCKED)"
        )
    }

    async fn begin(session: &mut Session, statement: &'static str) -> sqlx::Result<()> {
        session.begin(statement).await
    }

    async fn fetch(session: &mut Session, ask: &Ask<'_>) -> sqlx::Result<Fetched<PgRow>> {
        session.fetch(ask).await
    }

    async fn run(session: &mut Session, statement: &'static str) -> sqlx::Result<()> {
        session.run(statement).await
    }

    fn meaning(error: &sqlx::Error) -> Meaning {
        let sqlx::Error::Database(error) = error else { return Meaning::Outage };
        error.try_downcast_ref::<Fault>().map_or(Meaning::Outage, Fault::meaning)
    }

    fn is_of_no_row(error: &sqlx::Error) -> bool {
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "22P05")
    }

    fn is_write_refused(error: &sqlx::Error) -> bool {
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "25006")
    }
}

/// Types that are read as they are; all others by the text that the server makes of them.
const READ_AS_THEY_ARE: [&str; 18] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "text",
    "character varying",
    "bpchar",
    "numeric",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
];

/// Types whose values have a year.
const HAS_YEARS: [&str; 3] = ["date", "timestamp without time zone", "timestamp with time zone"];

/// The columns of one table: name, type, whether the database computes or counts it, whether a primary key or a whole
/// unique index stands on this column alone, checked at once and not only at the end of a transaction, and compared as
/// the column is; the number of the table.
const COLUMNS: &str = "
    SELECT a.attname::text AS name, format_type(a.atttypid, -1) AS type,
        a.attgenerated <> '' OR a.attidentity = 'a' AS is_generated,
        EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
                AND i.indcollation[0] = a.attcollation
        ) AS is_unique, t.oid AS relation
    FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
    WHERE t.oid = to_regclass(quote_ident($1)) AND t.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";
