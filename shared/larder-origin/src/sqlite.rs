//! SQLite, linked into the function: opened read-only for what reads, asked through one connection.

use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{Sqlite as SqliteDatabase, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Column as _, ConnectOptions, Row, TypeInfo, ValueRef};

use crate::engine::{Access, Bind, Cells, Engine, Meaning, statements};
use crate::error::{Misconfigured, Rejected};
use crate::id::IdKind;
use crate::idempotency::{MAX_REMOVED, TABLE};
use crate::number::Decimal;
use crate::plan::Column;
use crate::pool::{Alive, PoolConfig};
use crate::record::Value;
use crate::scalar::Scalar;

/// A SQLite file.
pub(crate) struct Sqlite {
    options: SqliteConnectOptions,
}

impl Sqlite {
    /// Takes `sqlite:path` or `sqlite://path`, with SQLite's own settings behind a `?`.
    ///
    /// The file is never made, and opened read-only for all but writes, whatever the URL says. A file in WAL mode on a
    /// read-only file system, such as a function's own package, needs `?immutable=1`: SQLite cannot make its side files
    /// there.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| Misconfigured::Url)?
            .create_if_missing(false)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        Ok(Self { options })
    }
}

impl Alive for SqliteConnection {
    async fn ping(&mut self) -> sqlx::Result<()> {
        sqlx::Connection::ping(self).await
    }
}

impl Engine for Sqlite {
    type Connection = SqliteConnection;
    type Row = SqliteRow;

    const WRITES_APART: bool = true;
    const READS_AGAIN: bool = false;
    /// Has the schema read anew where it has changed, and kept as it is up to the end: a statement that is prepared for
    /// an older one is prepared again as it runs, and its columns come under names that the driver has from before.
    const BEGIN_READ: &'static str = "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1";
    const BEGIN_WRITE: &'static str = "BEGIN IMMEDIATE";
    const COLUMNS: &'static str = COLUMNS;
    const FOR_UPDATE: &'static str = "";
    /// A schema may say that the other row is then removed, in silence.
    const INSERT: &'static str = "INSERT OR ABORT";
    const UPDATE: &'static str = "UPDATE OR ABORT";
    const BEFORE_VALUES: &'static str = "";

    async fn open(&self, access: Access, _: &PoolConfig) -> sqlx::Result<SqliteConnection> {
        self.options.clone().read_only(access == Access::Read).connect().await
    }

    fn column(row: &SqliteRow) -> sqlx::Result<Column> {
        let declared: String = row.try_get("type")?;
        let kind = id_kind(&declared);
        Ok(Column {
            name: row.try_get("name")?,
            kind,
            unique: row.try_get::<i64, _>("is_unique")? != 0,
            counts: kind == Some(IdKind::Integer),
            // Hidden in another way than those that are left out below.
            is_generated: row.try_get::<i64, _>("hidden")? != 0,
            is_binary: declared.to_ascii_uppercase().contains("BLOB"),
            default: row.try_get("dflt_value")?,
            declared,
            relation: None,
        })
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn place(at: usize) -> String {
        format!("?{at}")
    }

    /// SQLite knows no `DEFAULT` here; the schema has the expression.
    fn default(column: &Column) -> String {
        column.default.as_ref().map_or_else(|| "NULL".to_owned(), |default| default_of(default))
    }

    fn remove_old() -> String {
        format!(
            "DELETE FROM {TABLE} WHERE id IN \
             (SELECT id FROM {TABLE} WHERE written_at < ? ORDER BY written_at LIMIT {MAX_REMOVED})"
        )
    }

    fn is_one(statement: &str) -> bool {
        is_one(statement)
    }

    /// A number is one of 64 bits here: an integer beyond has no place, and of a fraction the nearest real is taken.
    fn bind<'a>(column: &Column, value: &'a Scalar) -> Result<Bind<'a>, Rejected> {
        match value {
            Scalar::Number(number) => match nearest(number) {
                Some(real) => Ok(Bind::Real(real)),
                None => Err(Rejected::Value),
            },
            value => Bind::new(column, value),
        }
    }

    /// A number has no column here that says what it may be: the nearest real is what it is compared with.
    fn parameter(value: &Scalar) -> Bind<'_> {
        match value {
            Scalar::Number(number) => number.as_str().parse().map_or(Bind::Null, Bind::Real),
            value => value.into(),
        }
    }

    statements!(SqliteDatabase, |value: u64| value as f64);

    /// Source: SQLite, "Result and Error Codes".
    fn meaning(error: &sqlx::Error) -> Meaning {
        let sqlx::Error::Database(error) = error else { return Meaning::Outage };
        let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        match (code & 0xff, code) {
            (5 | 6, _) => Meaning::Again,
            (18, _) => Meaning::Rejected(Rejected::TooLarge),
            (20, _) | (19, 3091) => Meaning::Rejected(Rejected::Value),
            (19, 1555 | 2067 | 2579) => Meaning::Rejected(Rejected::Unique),
            (19, 787) => Meaning::Rejected(Rejected::ForeignKey),
            (19, 1299) => Meaning::Rejected(Rejected::NotNull),
            (19, _) => Meaning::Rejected(Rejected::Check),
            (1, _) if error.message().starts_with("no such table") => Meaning::NoTable,
            (1, _) if OF_ANOTHER_SCHEMA.iter().any(|words| error.message().contains(words)) => {
                Meaning::Schema
            }
            // It was changed while the statement was prepared, again and again.
            (17, _) => Meaning::Schema,
            (1 | 8, _) => Meaning::Statement,
            _ => Meaning::Outage,
        }
    }
}

impl Cells for SqliteRow {
    fn len(&self) -> usize {
        Row::len(self)
    }

    fn name(&self, at: usize) -> &str {
        self.column(at).name()
    }

    /// By what is stored there, which in SQLite need not be what the column declares.
    fn value(&self, at: usize) -> sqlx::Result<Value<'_>> {
        let stored = self.try_get_raw(at)?;
        if stored.is_null() {
            return Ok(Value::Null);
        }
        Ok(match stored.type_info().name() {
            "INTEGER" => Value::Integer(self.try_get_unchecked(at)?),
            "REAL" => Value::Real(self.try_get_unchecked(at)?),
            "TEXT" => Value::text(self.try_get_unchecked(at)?),
            _ => Value::Blob(self.try_get_unchecked::<&[u8], _>(at)?.into()),
        })
    }
}

/// Whether `statement` ends where its first statement does: sqlx would run all that follow.
fn is_one(statement: &str) -> bool {
    let mut rest = statement;
    let mut has_ended = false;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' | '`' => past(&rest[1..], &first.to_string()).map(|len| len + 1),
            '[' => past(&rest[1..], "]").map(|len| len + 1),
            '-' if rest.starts_with("--") => past(rest, "\n"),
            '/' if rest.starts_with("/*") => past(&rest[2..], "*/").map(|len| len + 2),
            _ => Some(first.len_utf8()),
        };
        let is_comment = rest.starts_with("--") || rest.starts_with("/*");
        if has_ended && !(first.is_whitespace() || first == ';' || is_comment) {
            return false;
        }
        has_ended |= first == ';';
        // What is not closed goes to the end.
        rest = end.map_or("", |end| &rest[end..]);
    }
    true
}

/// The bytes of `text` up to and including `end`.
fn past(text: &str, end: &str) -> Option<usize> {
    text.find(end).map(|at| at + end.len())
}

/// The real that is nearest to a number with a fraction; `None` for a whole one, and for one beyond all reals.
fn nearest(number: &Decimal) -> Option<f64> {
    let real: f64 = number.as_str().parse().ok()?;
    (real.is_finite() && real.fract() != 0.0).then_some(real)
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The expression of a default, which the schema has as it was written. A name is a text there, in quotes or without;
/// anywhere else it would be a column.
///
/// Source: SQLite, `src/parse.y`, `DEFAULT id`.
fn default_of(written: &str) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let inside = |begin: char, end: char| written.strip_prefix(begin)?.strip_suffix(end);
    if let Some(quoted) = inside('"', '"') {
        return text(&quoted.replace("\"\"", "\""));
    }
    if let Some(quoted) = inside('`', '`') {
        return text(&quoted.replace("``", "`"));
    }
    if let Some(quoted) = inside('[', ']') {
        return text(quoted);
    }
    let is_name = written.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
        && !written.starts_with(|c: char| c.is_ascii_digit());
    let is_value = VALUES.iter().any(|value| value.eq_ignore_ascii_case(written));
    if is_name && !is_value { text(written) } else { format!("({written})") }
}

/// Words that are values and no names.
const VALUES: [&str; 6] = ["NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"];

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

/// The columns of one table: name, declared type, default, and whether a primary key or a whole unique index stands on
/// this column alone. Hidden columns (1) are those that `SELECT *` leaves out.
const COLUMNS: &str = r#"
    SELECT info.name, info.type, info.hidden, info.dflt_value,
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

/// What SQLite says of a statement that was made for another schema. Source: `src/resolve.c`, `insert.c`, `update.c`.
const OF_ANOTHER_SCHEMA: [&str; 4] = [
    "no such column",
    "has no column named",
    "cannot UPDATE generated column",
    "cannot INSERT into generated column",
];

/// Longest wait for a writer's lock, after which the database counts as unavailable. A caller's deadline may be
/// shorter; this only ends what SQLite does after the caller has gone.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::sql::select_statement;

    #[test]
    fn a_statement_names_each_column_and_binds_each_key() {
        let column = |name: &str| Column { name: name.to_owned(), ..Column::default() };
        let plan = |version| Plan {
            table: "flights".to_owned(),
            key: column("id"),
            kind: IdKind::Integer,
            columns: vec![column("id"), column("dep \"time\"")],
            version,
            takes_any_column: false,
            indexes: Vec::new(),
        };
        assert_eq!(
            select_statement::<Sqlite>(&plan(None), 2),
            r#"SELECT t."id", t."id", t."dep ""time""" FROM "flights" AS t WHERE t."id" IN (?1, ?2)"#
        );
        assert_eq!(
            select_statement::<Sqlite>(&plan(Some(column("v"))), 1),
            r#"SELECT t."id", t."v", t."id", t."dep ""time""" FROM "flights" AS t WHERE t."id" IN (?1)"#
        );
    }

    #[test]
    fn a_second_statement_is_seen_and_no_text_is_taken_for_one() {
        for one in [
            "SELECT 1",
            "SELECT 1;",
            "SELECT 1 ; -- and no more",
            "SELECT 1; /* ; x */ ;",
            "SELECT ';x', \"a;b\", `c;d`, [e;f] -- g;h\n, /* i;j */ 'it''s; x'",
            "SELECT 'not closed; x",
            "",
        ] {
            assert!(is_one(one), "{one}");
        }
        for two in ["SELECT 1; SELECT 2", "SELECT 1;DELETE FROM t", "SELECT ';'; x", "-- a\n;SELECT 1"] {
            assert!(!is_one(two), "{two}");
        }
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
