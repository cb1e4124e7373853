//! MySQL and MariaDB.

use std::str::FromStr;

use sqlx::mysql::{
    MySql as MySqlDatabase, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlValueRef,
};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions, Decode, Row, TypeInfo, ValueRef};

use crate::engine::{Access, Bind, Cells, Engine, Meaning, statements};
use crate::error::{Misconfigured, Rejected};
use crate::id::IdKind;
use crate::idempotency::{MAX_REMOVED, TABLE};
use crate::number::Decimal;
use crate::plan::Column;
use crate::pool::{Alive, PoolConfig};
use crate::record::Value;
use crate::scalar::Scalar;
use crate::server::{Address, has_setting};

/// A database of a MySQL or MariaDB server.
pub(crate) struct MySql {
    options: MySqlConnectOptions,
}

impl MySql {
    /// Takes `mysql://user:password@host:port/database`.
    ///
    /// Without `ssl-mode`, it is `PREFERRED`: TLS where the server has it, and nobody checks whose it is. For a network
    /// that is not trusted say `ssl-mode=VERIFY_IDENTITY`, and `ssl-ca` where the authority is not one of the system's.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        let url = ADDRESS.read(url)?;
        let mut options = MySqlConnectOptions::from_str(url.as_str()).map_err(|_| ADDRESS.bad_setting())?;
        if !has_setting(&url, "ssl-mode") {
            options = options.ssl_mode(sqlx::mysql::MySqlSslMode::Preferred);
        }
        if !has_setting(&url, "statement-cache-capacity") {
            options = options.statement_cache_capacity(KEPT_STATEMENTS);
        }
        // A list means by `||` what it means on that server.
        Ok(Self { options: options.pipes_as_concat(false).disable_statement_logging() })
    }
}

impl Alive for MySqlConnection {
    async fn ping(&mut self) -> sqlx::Result<()> {
        sqlx::Connection::ping(self).await
    }
}

impl Engine for MySql {
    type Connection = MySqlConnection;
    type Row = MySqlRow;

    const WRITES_APART: bool = false;
    const READS_AGAIN: bool = true;
    const BEGIN_READ: &'static str = "START TRANSACTION READ ONLY";
    const BEGIN_WRITE: &'static str = "START TRANSACTION READ WRITE";
    const COLUMNS: &'static str = COLUMNS;
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    const BEFORE_VALUES: &'static str = "";

    async fn open(&self, _: Access, config: &PoolConfig) -> sqlx::Result<MySqlConnection> {
        let mut connection = self.options.connect().await?;
        let millis = config.statement_timeout.as_millis().max(1);
        let secs = config.statement_timeout.as_secs().max(1);
        // `READ COMMITTED` keeps writers of new rows from locking the gaps between them. A value that does not fit is
        // refused, and not cut to size. The key 0 is that very number, and not the next one that the table counts. A
        // connection that rests is cut off, too, which loses nothing: it is checked
        // before use.
        let session = format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'), innodb_lock_wait_timeout = {secs}, \
             wait_timeout = {}; \
             /*M! SET SESSION max_statement_time = {millis} / 1000, idle_transaction_timeout = {secs} */",
            config.max_age.as_secs().max(secs).clamp(1, MAX_WAIT_SECS)
        );
        sqlx::raw_sql(AssertSqlSafe(session)).execute(&mut connection).await?;
        let version: (String,) =
            sqlx::query_as("SELECT CAST(VERSION() AS CHAR)").fetch_one(&mut connection).await?;
        if !version.0.contains("MariaDB") {
            let limit = format!("SET SESSION max_execution_time = {millis}");
            sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    fn column(row: &MySqlRow) -> sqlx::Result<Column> {
        let declared: String = row.try_get("type")?;
        let is_unsigned = row.try_get::<i64, _>("is_unsigned")? != 0;
        let kind = match declared.as_str() {
            "bigint" if is_unsigned => Some(IdKind::Unsigned),
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Some(IdKind::Integer),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Some(IdKind::Text),
            "uuid" => Some(IdKind::Uuid),
            _ => None,
        };
        let binary = ["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry"];
        Ok(Column {
            name: row.try_get("name")?,
            kind,
            unique: row.try_get::<i64, _>("is_unique")? != 0,
            counts: declared == "bigint",
            is_generated: row.try_get::<i64, _>("is_generated")? != 0,
            is_binary: binary.contains(&declared.as_str()),
            default: None,
            declared,
            relation: None,
        })
    }

    fn quote(name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn place(_: usize) -> String {
        "?".to_owned()
    }

    /// The session's time is UTC, and MySQL takes no `Z` that says so.
    fn bind<'a>(column: &Column, value: &'a Scalar) -> Result<Bind<'a>, Rejected> {
        match value {
            Scalar::Text(text) if column.declared == "timestamp" => {
                Ok(Bind::Text(text.strip_suffix('Z').unwrap_or(text).into()))
            }
            // The server would round it in silence.
            value if is_whole(column) && has_fraction(value) => Err(Rejected::Value),
            // The digits that are read of a real of 32 bits may be more than its greatest one, as one of 64 bits.
            Scalar::Real(value) if column.declared == "float" => Ok(Bind::Real(nearest_single(*value))),
            value => Bind::new(column, value),
        }
    }

    fn remove_old() -> String {
        format!("DELETE FROM {TABLE} WHERE written_at < ? ORDER BY written_at LIMIT {MAX_REMOVED}")
    }

    statements!(MySqlDatabase, |value: u64| value);

    /// Source: MySQL, "Server Error Message Reference"; MariaDB, "MariaDB Error Code Reference".
    fn meaning(error: &sqlx::Error) -> Meaning {
        let sqlx::Error::Database(error) = error else { return Meaning::Outage };
        let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else {
            return Meaning::Outage;
        };
        match (error.number(), error.code().unwrap_or_default()) {
            // A deadlock, a row (MariaDB) or a table that changed since the snapshot.
            (1213 | 1020 | 1412, _) => Meaning::Again,
            (1022 | 1062 | 1169 | 1586, _) => Meaning::Rejected(Rejected::Unique),
            (1216 | 1217 | 1451 | 1452, _) => Meaning::Rejected(Rejected::ForeignKey),
            (1048 | 1364, _) => Meaning::Rejected(Rejected::NotNull),
            // What a trigger signals may have any number.
            (3819, _) | (4025, "23000") | (1644, _) | (_, "45000") => Meaning::Rejected(Rejected::Check),
            (1146, _) => Meaning::NoTable,
            // No such column; one that is computed now (MariaDB, MySQL); a statement that the server has prepared for
            // another schema, or not at all: behind a proxy it may be another server.
            (1054 | 1906 | 3105 | 1615 | 1243, _) => Meaning::Schema,
            // Read only by its settings, by `innodb_read_only`, or by its transactions; going down; not yet a part of
            // its cluster (Galera). So many statements are prepared there that it takes no more: a connection that
            // ends takes its own with it.
            (1290 | 1836 | 1792 | 1053 | 1047 | 1461, _) => Meaning::WrongServer,
            (1153 | 1118, _) => Meaning::Rejected(Rejected::TooLarge),
            (1264 | 1265 | 1292 | 1366 | 1367 | 1406 | 1411 | 1416 | 1690, _) => {
                Meaning::Rejected(Rejected::Value)
            }
            // An id with a character that the key's encoding lacks.
            (number, _) if NO_SUCH_CHARACTER.contains(&number) => Meaning::Rejected(Rejected::Value),
            (_, "42000" | "42S02" | "42S22" | "HY093") => Meaning::Statement,
            (_, "22001" | "22003" | "22007" | "22032") => Meaning::Rejected(Rejected::Value),
            _ => Meaning::Outage,
        }
    }

    fn is_of_no_row(error: &sqlx::Error) -> bool {
        let error =
            error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
        error.is_some_and(|error| NO_SUCH_CHARACTER.contains(&error.number()))
    }

    fn is_write_refused(error: &sqlx::Error) -> bool {
        let error =
            error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
        error.is_some_and(|error| error.number() == 1792)
    }
}

impl Cells for MySqlRow {
    fn len(&self) -> usize {
        Row::len(self)
    }

    fn name(&self, at: usize) -> &str {
        self.column(at).name()
    }

    fn value(&self, at: usize) -> sqlx::Result<Value<'_>> {
        let cell = self.try_get_raw(at)?;
        if cell.is_null() {
            return Ok(Value::Null);
        }
        let info = cell.type_info().into_owned();
        let undecoded = |source| sqlx::Error::ColumnDecode { index: at.to_string(), source };
        let bytes = bytes(cell).map_err(undecoded)?;
        // The driver's name for the type takes a text that is compared byte by byte for bytes; its collation tells.
        let name = match info.name() {
            name if BINARY.contains(&name) && <str as sqlx::Type<MySqlDatabase>>::compatible(&info) => "TEXT",
            name => name,
        };
        decode(name, bytes)
            .ok_or_else(|| undecoded(format!("a {} of {} bytes", info.name(), bytes.len()).into()))
    }
}

fn is_whole(column: &Column) -> bool {
    ["tinyint", "smallint", "mediumint", "int", "bigint", "year"].contains(&column.declared.as_str())
}

fn has_fraction(value: &Scalar) -> bool {
    let number = match value {
        Scalar::Text(text) => Decimal::new(text.trim()),
        value => value.as_number(),
    };
    number.is_some_and(|number| number.has_fraction())
}

/// The real of 32 bits that is nearest to `value`, or `value` where that is beyond all of them.
fn nearest_single(value: f64) -> f64 {
    let single = value as f32;
    if single.is_finite() { single.into() } else { value }
}

fn bytes(cell: MySqlValueRef<'_>) -> Result<&[u8], sqlx::error::BoxDynError> {
    <&[u8] as Decode<'_, MySqlDatabase>>::decode(cell)
}

/// The value of the type `name` that `bytes` are in the binary format; `None` if it is not one that is known here.
///
/// Source: MySQL, "Binary Protocol Resultset".
fn decode<'v>(name: &str, bytes: &'v [u8]) -> Option<Value<'v>> {
    let (name, is_unsigned) = match name.strip_suffix(" UNSIGNED") {
        Some(name) => (name, true),
        None => (name, false),
    };
    Some(match name {
        // `tinyint(1)`, which is how a table says boolean, and takes other numbers, too.
        "BOOLEAN" => match integer(bytes, is_unsigned)? {
            Value::Integer(0) => Value::Bool(false),
            Value::Integer(1) => Value::Bool(true),
            other => other,
        },
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "YEAR" => integer(bytes, is_unsigned)?,
        // By its own digits: as a real of 64 bits it would have more of them than it is exact.
        "FLOAT" => Value::Real(f32::from_le_bytes(bytes.try_into().ok()?).to_string().parse().ok()?),
        "DOUBLE" => Value::Real(f64::from_le_bytes(bytes.try_into().ok()?)),
        "DATE" => Value::Text(date(behind_length(bytes)?)?.into()),
        "DATETIME" => Value::Text(date_time(behind_length(bytes)?)?.into()),
        "TIMESTAMP" => Value::Text((date_time(behind_length(bytes)?)? + "Z").into()),
        "TIME" => Value::Text(duration(behind_length(bytes)?)?.into()),
        "JSON" => Value::Json(String::from_utf8_lossy(bytes)),
        "DECIMAL" | "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" => {
            Value::text(bytes)
        }
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "BIT" | "GEOMETRY" => {
            Value::Blob(bytes.into())
        }
        "NULL" => Value::Null,
        _ => return None,
    })
}

fn integer(bytes: &[u8], is_unsigned: bool) -> Option<Value<'static>> {
    let mut wide = [0; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let number = u64::from_le_bytes(wide);
    if is_unsigned {
        return Some(i64::try_from(number).map_or(Value::Unsigned(number), Value::Integer));
    }
    let unused = 64 - 8 * u32::try_from(bytes.len()).ok()?;
    Some(Value::Integer(number.cast_signed().checked_shl(unused)?.checked_shr(unused)?))
}

/// Days and times come with their length before them.
fn behind_length(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first()?;
    (usize::from(*len) == rest.len()).then_some(rest)
}

/// Year, month, day; none of them for `0000-00-00`.
fn date(bytes: &[u8]) -> Option<String> {
    let (year, month, day) = match bytes {
        [] => (0, 0, 0),
        [low, high, month, day, ..] => (u16::from_le_bytes([*low, *high]), *month, *day),
        _ => return None,
    };
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// A date, and a time unless that is midnight.
fn date_time(bytes: &[u8]) -> Option<String> {
    let time = match bytes.get(4..) {
        None | Some([]) => "00:00:00".to_owned(),
        Some([hours, minutes, seconds, fraction @ ..]) => {
            format!("{hours:02}:{minutes:02}:{seconds:02}{}", micros(fraction)?)
        }
        Some(_) => return None,
    };
    Some(format!("{}T{time}", date(bytes)?))
}

/// A sign, days, hours, minutes and seconds: MySQL's `TIME` goes from -838 to 838 hours.
fn duration(bytes: &[u8]) -> Option<String> {
    let [is_negative, d0, d1, d2, d3, hours, minutes, seconds, fraction @ ..] = bytes else {
        return bytes.is_empty().then(|| "00:00:00".to_owned());
    };
    let sign = if *is_negative == 0 { "" } else { "-" };
    let hours = u64::from(u32::from_le_bytes([*d0, *d1, *d2, *d3])) * 24 + u64::from(*hours);
    Some(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", micros(fraction)?))
}

fn micros(fraction: &[u8]) -> Option<String> {
    if fraction.is_empty() {
        return Some(String::new());
    }
    let micros = u32::from_le_bytes(fraction.try_into().ok()?);
    let digits = format!(".{micros:06}");
    Some(digits.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// `ER_CANT_AGGREGATE_2COLLATIONS`, `_3COLLATIONS` and `_NCOLLATIONS`, `ER_CANNOT_CONVERT_STRING`: a text that cannot be
/// compared with a column, because it cannot be made one of its characters.
const NO_SUCH_CHARACTER: [u16; 4] = [1267, 1270, 1271, 3854];

/// The driver's names of what holds bytes, or text that is compared byte by byte.
const BINARY: [&str; 6] = ["BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"];

const ADDRESS: Address = Address {
    database: "MySQL server",
    settings: &[
        "ssl-mode",
        "ssl-ca",
        "ssl-cert",
        "ssl-key",
        "charset",
        "collation",
        "statement-cache-capacity",
    ],
};

/// Most statements that a connection keeps on the server. A server takes 16,382 of them unless told otherwise
/// (`max_prepared_stmt_count`), of all connections together. A read of a table has eight texts, see
/// `places` in `sql.rs`, of which an environment seldom needs more than two.
const KEPT_STATEMENTS: usize = 16;

/// Longest time that the server lets a connection rest: five minutes.
const MAX_WAIT_SECS: u64 = 300;

/// The columns of one table: name, type, whether it has no sign, whether it is computed, and whether a primary key or a
/// unique index stands on this whole column alone. The server may compare names of tables without case; here case counts.
const COLUMNS: &str = "
    SELECT CAST(c.column_name AS CHAR) AS name, CAST(c.data_type AS CHAR) AS type,
        CAST(c.column_type LIKE '% unsigned%' AS SIGNED) AS is_unsigned,
        CAST(c.extra LIKE '%GENERATED' AND c.extra NOT LIKE '%DEFAULT_GENERATED%' AS SIGNED) AS is_generated,
        CAST(EXISTS (
            SELECT 1 FROM information_schema.statistics AS s
            WHERE s.table_schema = c.table_schema AND s.table_name = c.table_name AND s.column_name = c.column_name
                AND s.non_unique = 0 AND s.sub_part IS NULL AND NOT EXISTS (
                    SELECT 1 FROM information_schema.statistics AS other
                    WHERE other.table_schema = s.table_schema AND other.table_name = s.table_name
                        AND other.index_name = s.index_name AND other.seq_in_index > 1
                ) AND s.seq_in_index = 1
        ) AS SIGNED) AS is_unique
    FROM information_schema.columns AS c
    JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
    WHERE c.table_schema = DATABASE() AND BINARY c.table_name = ? AND t.table_type = 'BASE TABLE'
    ORDER BY c.ordinal_position";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_all_sizes_keep_their_sign() {
        check("TINYINT", &[0xff], Some(Value::Integer(-1)));
        check("TINYINT UNSIGNED", &[0xff], Some(Value::Integer(255)));
        check("INT", &(-7_i32).to_le_bytes(), Some(Value::Integer(-7)));
        check("BIGINT", &i64::MIN.to_le_bytes(), Some(Value::Integer(i64::MIN)));
        check("BIGINT UNSIGNED", &u64::MAX.to_le_bytes(), Some(Value::Unsigned(u64::MAX)));
        check("BOOLEAN", &[1], Some(Value::Bool(true)));
        check("BOOLEAN", &[2], Some(Value::Integer(2)));
        check("BIGINT", &[0; 9], None);
    }

    #[test]
    fn times_have_the_parts_that_were_sent() {
        let text = |text: &'static str| Some(Value::Text(text.into()));
        check("DATE", &[4, 0xdd, 0x07, 1, 31], text("2013-01-31"));
        check("DATETIME", &[4, 0xdd, 0x07, 1, 31], text("2013-01-31T00:00:00"));
        check("TIMESTAMP", &[7, 0xdd, 0x07, 1, 31, 10, 5, 9], text("2013-01-31T10:05:09Z"));
        check(
            "DATETIME",
            &[11, 0xdd, 0x07, 1, 31, 10, 5, 9, 0x20, 0xa1, 7, 0],
            text("2013-01-31T10:05:09.5"),
        );
        check("DATETIME", &[0], text("0000-00-00T00:00:00"));
        check("TIME", &[0], text("00:00:00"));
        check("TIME", &[8, 1, 1, 0, 0, 0, 2, 3, 4], text("-26:03:04"));
        check("DATE", &[1, 1], None);
    }

    #[track_caller]
    fn check(name: &str, bytes: &[u8], expected: Option<Value<'_>>) {
        assert_eq!(decode(name, bytes), expected, "{name} {bytes:?}");
    }
}
