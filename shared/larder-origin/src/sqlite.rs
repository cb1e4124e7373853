//! SQLite, linked into the function: opened read-only, asked through one connection.

use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row, TypeInfo, ValueRef};

use crate::database::Rows;
use crate::error::Misconfigured;
use crate::id::{IdKind, Key};
use crate::identifier::Identifier;
use crate::plan::{Column, Plan};
use crate::pool::PoolConfig;
use crate::record::{Record, Value};

/// A SQLite file.
pub(crate) struct Sqlite {
    options: SqliteConnectOptions,
    pool_config: PoolConfig,
    pool: OnceLock<SqlitePool>,
}

impl Sqlite {
    /// Takes `sqlite:path` or `sqlite://path`, with SQLite's own settings behind a `?`.
    ///
    /// The file is opened read-only whatever the URL says. A file in WAL mode on a read-only file system, such
    /// as a function's own package, needs `?immutable=1`: SQLite cannot make its side files there.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| Misconfigured::Url)?
            .create_if_missing(false)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        Ok(Self { options, pool_config: PoolConfig::default(), pool: OnceLock::new() })
    }

    pub(crate) fn set_pool(&mut self, config: PoolConfig) {
        self.pool_config = config;
    }

    pub(crate) async fn columns(&self, table: &Identifier) -> sqlx::Result<Vec<Column>> {
        let rows = sqlx::query(COLUMNS).bind(table.as_str()).fetch_all(self.pool()).await?;
        rows.iter().map(column).collect()
    }

    pub(crate) async fn select(&self, plan: &Plan, keys: &[Key<'_>]) -> sqlx::Result<Rows> {
        // Safe: all names are quoted and were found in the schema, and keys are bound.
        let mut query = sqlx::query(AssertSqlSafe(select_statement(plan, keys.len())));
        for key in keys {
            query = match *key {
                Key::Integer(number) => query.bind(number),
                Key::Text(text) => query.bind(text),
            };
        }
        let rows = query.fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((key_text(plan, row)?, record(plan, row)?))).collect()
    }

    /// The pool, made at first use. It opens a connection when one is needed, and runs no task of its own as
    /// long as neither a lifetime nor an idle time is set: age is checked on use instead. A file cannot hang up,
    /// so there is no ping before use.
    fn pool(&self) -> &SqlitePool {
        let max_age = self.pool_config.max_age;
        self.pool.get_or_init(|| {
            SqlitePoolOptions::new()
                .max_connections(self.pool_config.max_connections.get())
                .min_connections(0)
                .max_lifetime(None)
                .idle_timeout(None)
                .test_before_acquire(false)
                .before_acquire(move |_, connection| Box::pin(async move { Ok(connection.age < max_age) }))
                .connect_lazy_with(self.options.clone())
        })
    }
}

/// `SELECT` for `count` keys. Columns are qualified, because SQLite reads an unknown name in double quotes as a
/// text, unless a table stands before it.
fn select_statement(plan: &Plan, count: usize) -> String {
    let key = quote(&plan.key);
    let columns: String = plan.columns.iter().map(|name| format!(", t.{}", quote(name))).collect();
    let places = vec!["?"; count].join(", ");
    format!("SELECT t.{key}{columns} FROM {} AS t WHERE t.{key} IN ({places})", quote(&plan.table))
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn column(row: &SqliteRow) -> sqlx::Result<Column> {
    let declared: String = row.try_get("type")?;
    Ok(Column {
        name: row.try_get("name")?,
        kind: id_kind(&declared),
        unique: row.try_get::<i64, _>("is_unique")? != 0,
    })
}

/// What ids a column holds, by the affinity of its declared type.
/// Source: SQLite, "Datatypes In SQLite", section 3.1.
fn id_kind(declared: &str) -> Option<IdKind> {
    let declared = declared.to_ascii_uppercase();
    let says = |word| declared.contains(word);
    if says("INT") {
        Some(IdKind::Integer)
    } else if says("CHAR") || says("CLOB") || says("TEXT") {
        Some(IdKind::Text)
    } else {
        None
    }
}

fn key_text(plan: &Plan, row: &SqliteRow) -> sqlx::Result<String> {
    match plan.kind {
        IdKind::Integer => row.try_get::<i64, _>(KEY_AT).map(|number| number.to_string()),
        IdKind::Text => row.try_get(KEY_AT),
    }
}

fn record(plan: &Plan, row: &SqliteRow) -> sqlx::Result<Record> {
    let names = plan.columns.iter().map(String::as_str);
    let columns = names.zip(KEY_AT + 1..).map(|(name, at)| Ok((name, value(row, at)?)));
    Ok(Record::from_columns(columns.collect::<sqlx::Result<Vec<_>>>()?))
}

/// The value at `at` by what is stored there, which in SQLite need not be what the column declares.
fn value(row: &SqliteRow, at: usize) -> sqlx::Result<Value<'_>> {
    let stored = row.try_get_raw(at)?;
    if stored.is_null() {
        return Ok(Value::Null);
    }
    Ok(match stored.type_info().name() {
        "INTEGER" => Value::Integer(row.try_get_unchecked(at)?),
        "REAL" => Value::Real(row.try_get_unchecked(at)?),
        "TEXT" => Value::Text(String::from_utf8_lossy(row.try_get_unchecked(at)?)),
        _ => Value::Blob(row.try_get_unchecked(at)?),
    })
}

/// The columns of one table: name, declared type, and whether a primary key or a whole unique index stands on
/// this column alone. Hidden columns (1) are those that `SELECT *` leaves out.
const COLUMNS: &str = r#"
    SELECT info.name, info.type,
        (info.pk > 0 AND (SELECT count(*) FROM pragma_table_xinfo(t.name) WHERE pk > 0) = 1)
        OR EXISTS (
            SELECT 1 FROM pragma_index_list(t.name) AS list
            WHERE list."unique" AND NOT list.partial
                AND (SELECT count(*) FROM pragma_index_info(list.name)) = 1
                AND (SELECT name FROM pragma_index_info(list.name)) = info.name
        ) AS is_unique
    FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS info
    WHERE t.type = 'table' AND t.name = ? AND info.hidden <> 1
    ORDER BY info.cid"#;

/// Where a row holds its key; the record's columns follow.
const KEY_AT: usize = 0;

/// Longest wait for a writer's lock, after which the database counts as unavailable. A caller's deadline may be
/// shorter; this only ends what SQLite does after the caller has gone.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_each_column_and_binds_each_key() {
        let plan = Plan {
            table: "flights".to_owned(),
            key: "id".to_owned(),
            kind: IdKind::Integer,
            columns: vec!["id".to_owned(), "dep \"time\"".to_owned()],
        };
        assert_eq!(
            select_statement(&plan, 2),
            r#"SELECT t."id", t."id", t."dep ""time""" FROM "flights" AS t WHERE t."id" IN (?, ?)"#
        );
    }

    #[test]
    fn the_declared_type_tells_what_ids_there_are() {
        for declared in ["INTEGER", "int", "BIGINT", "UNSIGNED BIG INT", "INT8"] {
            assert_eq!(id_kind(declared), Some(IdKind::Integer), "{declared}");
        }
        for declared in ["TEXT", "varchar(3)", "NCHAR(55)", "CLOB"] {
            assert_eq!(id_kind(declared), Some(IdKind::Text), "{declared}");
        }
        for declared in ["", "BLOB", "REAL", "NUMERIC", "DECIMAL(10,5)", "DATE", "BOOLEAN"] {
            assert_eq!(id_kind(declared), None, "{declared}");
        }
    }
}
