//! PostgreSQL.

use std::borrow::Cow;
use std::str::FromStr;

use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgRow, PgTypeKind, PgValueRef, Postgres as PostgresDatabase,
};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions, Decode, Row, TypeInfo, ValueRef};

use crate::calendar::{MICROS_A_DAY, date, date_time, time};
use crate::engine::{Access, Bind, Cells, Engine, Meaning, statements};
use crate::error::{Misconfigured, Rejected};
use crate::id::IdKind;
use crate::idempotency::{MAX_REMOVED, TABLE};
use crate::plan::Column;
use crate::pool::PoolConfig;
use crate::record::Value;
use crate::scalar::Scalar;
use crate::server::{Address, has_setting};

/// A database of a PostgreSQL server.
pub(crate) struct Postgres {
    options: PgConnectOptions,
}

impl Postgres {
    /// Takes `postgres://user:password@host:port/database`.
    ///
    /// Without `sslmode`, it is `prefer`: TLS where the server has it, and nobody checks whose it is. For a network
    /// that is not trusted say `sslmode=verify-full`, and `sslrootcert` where the authority is not one of the system's.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        let url = ADDRESS.read(url)?;
        let mut options = PgConnectOptions::from_str(url.as_str()).map_err(|_| ADDRESS.bad_setting())?;
        // What the URL leaves out is not for the environment or a file of passwords to say.
        if url.password().is_none() {
            options = options.password("");
        }
        if url.port().is_none() {
            options = options.port(5432);
        }
        if !has_setting(&url, "sslmode") {
            options = options.ssl_mode(sqlx::postgres::PgSslMode::Prefer);
        }
        Ok(Self { options: options.disable_statement_logging() })
    }
}

impl Engine for Postgres {
    type Connection = PgConnection;
    type Row = PgRow;

    const WRITES_APART: bool = false;
    const BEGIN_READ: &'static str = "BEGIN READ ONLY";
    const BEGIN_WRITE: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    const COLUMNS: &'static str = COLUMNS;
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    /// A key that the database would count up by itself is told here.
    const BEFORE_VALUES: &'static str = " OVERRIDING SYSTEM VALUE";

    async fn open(&self, _: Access, config: &PoolConfig) -> sqlx::Result<PgConnection> {
        let mut connection = self.options.connect().await?;
        // By a statement, because proxies take no such settings at the begin of a connection.
        let millis = config.statement_timeout.as_millis().max(1);
        let limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
        let limits: String = limits.iter().map(|name| format!("SET {name} = {millis};")).collect();
        sqlx::raw_sql(AssertSqlSafe(limits)).execute(&mut connection).await?;
        Ok(connection)
    }

    fn column(row: &PgRow) -> sqlx::Result<Column> {
        let declared: String = row.try_get("type")?;
        let kind = match declared.as_str() {
            "smallint" | "integer" | "bigint" => Some(IdKind::Integer),
            "text" | "character varying" | "bpchar" => Some(IdKind::Text),
            "uuid" => Some(IdKind::Uuid),
            _ => None,
        };
        Ok(Column {
            name: row.try_get("name")?,
            kind,
            unique: row.try_get("is_unique")?,
            counts: declared == "bigint",
            is_generated: row.try_get("is_generated")?,
            is_binary: declared == "bytea",
            default: None,
            declared,
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
            bind => bind,
        })
    }

    fn remove_old() -> String {
        format!(
            "DELETE FROM {TABLE} WHERE id IN (SELECT id FROM {TABLE} WHERE written_at < $1 \
             ORDER BY written_at LIMIT {MAX_REMOVED} FOR UPDATE SKIP LOCKED)"
        )
    }

    statements!(PostgresDatabase, |value: u64| value.to_string());

    /// Source: PostgreSQL, "Appendix A. PostgreSQL Error Codes".
    fn meaning(error: &sqlx::Error) -> Meaning {
        let sqlx::Error::Database(error) = error else { return Meaning::Outage };
        let code = error.code().unwrap_or_default();
        match &*code {
            "40001" | "40P01" => Meaning::Again,
            "23505" | "23P01" => Meaning::Rejected(Rejected::Unique),
            "23503" | "23001" => Meaning::Rejected(Rejected::ForeignKey),
            "23502" => Meaning::Rejected(Rejected::NotNull),
            // What a trigger raises, too.
            "P0001" => Meaning::Rejected(Rejected::Check),
            "42P01" => Meaning::NoTable,
            // A value of another type than its column's; the names are known to be right.
            "42804" | "42846" => Meaning::Rejected(Rejected::Value),
            "54000" | "54001" | "54011" => Meaning::Rejected(Rejected::TooLarge),
            "25006" | "08P01" => Meaning::Statement,
            code if code.starts_with("23") => Meaning::Rejected(Rejected::Check),
            code if code.starts_with("22") => Meaning::Rejected(Rejected::Value),
            code if code.starts_with("42") && code != "42501" => Meaning::Statement,
            _ => Meaning::Outage,
        }
    }
}

impl Cells for PgRow {
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
        let is_enum = matches!(info.kind(), PgTypeKind::Enum(_));
        let bytes = bytes(cell).map_err(undecoded)?;
        let value = if is_enum { Some(Value::text(bytes)) } else { decode(info.name(), bytes) };
        value.ok_or_else(|| undecoded(format!("a {} of {} bytes", info.name(), bytes.len()).into()))
    }
}

fn bytes(cell: PgValueRef<'_>) -> Result<&[u8], sqlx::error::BoxDynError> {
    <&[u8] as Decode<'_, PostgresDatabase>>::decode(cell)
}

/// The value of the type `name` that `bytes` are in the binary format; `None` if it is not one that is known here.
///
/// Source: the `send` functions in PostgreSQL's `src/backend/utils/adt`.
fn decode<'v>(name: &str, bytes: &'v [u8]) -> Option<Value<'v>> {
    let int = || bytes.try_into().ok().map(i64::from_be_bytes);
    Some(match name {
        "BOOL" => Value::Bool(bytes.first()? != &0),
        "INT2" => Value::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        "INT4" => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        "INT8" => Value::Integer(int()?),
        "OID" => Value::Integer(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        // By its own digits: as a real of 64 bits it would have more of them than it is exact.
        "FLOAT4" => Value::Real(f32::from_be_bytes(bytes.try_into().ok()?).to_string().parse().ok()?),
        "FLOAT8" => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => Value::text(bytes),
        "NUMERIC" => Value::Text(numeric(bytes)?.into()),
        "UUID" => Value::Text(uuid(bytes.try_into().ok()?).into()),
        "JSON" => Value::Json(String::from_utf8_lossy(bytes)),
        // Behind its version.
        "JSONB" => Value::Json(String::from_utf8_lossy(bytes.strip_prefix(&[1])?)),
        "BYTEA" => Value::Blob(bytes.into()),
        "DATE" => Value::Text(match i32::from_be_bytes(bytes.try_into().ok()?) {
            i32::MAX => "infinity".into(),
            i32::MIN => "-infinity".into(),
            days => date(i64::from(days) + EPOCH_DAYS).into(),
        }),
        "TIME" => Value::Text(time(int()?).into()),
        "TIMESTAMP" => Value::Text(moment(int()?, "")?),
        "TIMESTAMPTZ" => Value::Text(moment(int()?, "Z")?),
        _ => return None,
    })
}

fn moment(micros: i64, zone: &str) -> Option<Cow<'static, str>> {
    Some(match micros {
        i64::MAX => "infinity".into(),
        i64::MIN => "-infinity".into(),
        micros => (date_time(micros.checked_add(EPOCH_DAYS * MICROS_A_DAY)?) + zone).into(),
    })
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A `numeric`: digits to the base of 10,000, the place of the first one, a sign, and how many decimals are shown.
fn numeric(bytes: &[u8]) -> Option<String> {
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [_, weight, sign, scale, digits @ ..] = words.as_slice() else { return None };
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let (weight, scale) = (i32::from(weight.cast_signed()), usize::from(*scale));
    let digit = |place: i32| {
        let at = usize::try_from(weight - place).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or_default()
    };
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction: String =
        (1..).take(scale.div_ceil(4)).map(|place: i32| format!("{:04}", digit(-place))).collect();
    fraction.truncate(scale);
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

const ADDRESS: Address = Address {
    database: "PostgreSQL server",
    settings: &[
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "application_name",
        "statement-cache-capacity",
    ],
};

/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const EPOCH_DAYS: i64 = 10_957;

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

/// The columns of one table: name, type, whether it is computed, and whether a primary key or a whole unique index
/// stands on this column alone, checked at once and not only at the end of a transaction.
const COLUMNS: &str = "
    SELECT a.attname::text AS name, format_type(a.atttypid, -1) AS type, a.attgenerated <> '' AS is_generated,
        EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
        ) AS is_unique
    FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
    WHERE t.oid = to_regclass(quote_ident($1)) AND t.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_keeps_all_its_digits() {
        for (weight, sign, scale, digits, text) in [
            (0, 0, 2, &[12, 5000][..], "12.50"),
            (0, 0x4000, 0, &[7], "-7"),
            (2, 0, 0, &[1], "100000000"),
            (1, 0, 3, &[1, 2, 3400], "10002.340"),
            (-2, 0, 8, &[12], "0.00000012"),
            (0, 0, 0, &[], "0"),
            (0, 0, 2, &[], "0.00"),
            (0, 0xC000, 0, &[], "NaN"),
        ] {
            let mut words =
                vec![u16::try_from(digits.len()).unwrap(), (weight as i16).cast_unsigned(), sign, scale];
            words.extend(digits);
            let bytes: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
            assert_eq!(numeric(&bytes).as_deref(), Some(text));
        }
        assert_eq!(numeric(&[0, 0]), None);
    }

    #[test]
    fn a_uuid_is_written_in_small_letters_with_hyphens() {
        assert_eq!(uuid([0xa0; 16]), "a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0");
    }
}
