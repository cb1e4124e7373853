//! A database of a test's own, of any kind.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use larder_origin::{
    AwsSettings, Change, Fields, Id, ListQuery, Origin, OriginError, Record, Tables, WriteOptions, Written,
    schema,
};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::dynamodb;
use crate::server::{self, PASSWORD, mariadb_url, postgres_url};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    MySql,
    DynamoDb,
}

/// A database with the tables of the tests, all of them empty.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    /// What stands before the names of tables.
    pub(crate) prefix: String,
    _dir: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) async fn new(kind: Kind) -> Self {
        let place = Self::empty(kind).await;
        if kind == Kind::DynamoDb {
            dynamodb::make_tables(&place.prefix).await;
            return place;
        }
        let (real, bytes, version, text, schema) = match kind {
            Kind::Sqlite => ("REAL", "BLOB", "INTEGER", "TEXT", schema::SQLITE),
            Kind::Postgres => ("double precision", "bytea", "bigint", "text", schema::POSTGRES),
            Kind::MySql => ("DOUBLE", "BLOB", "BIGINT", "LONGTEXT", schema::MYSQL),
            Kind::DynamoDb => unreachable!("it has no SQL"),
        };
        let key = "VARCHAR(64) PRIMARY KEY";
        let numbers = match kind {
            Kind::Sqlite => "id INTEGER PRIMARY KEY, whole INTEGER, dbl REAL",
            Kind::Postgres => {
                "id bigint PRIMARY KEY, whole bigint, dbl double precision, single real, dec numeric(38, 10),
                    any_dec numeric"
            }
            _ => {
                "id BIGINT UNSIGNED PRIMARY KEY, whole BIGINT, nat BIGINT UNSIGNED, dbl DOUBLE, single FLOAT,
                    dec_ DECIMAL(38, 10)"
            }
        };
        place
            .run(&format!(
                "CREATE TABLE flights (id INTEGER PRIMARY KEY, dest VARCHAR(3), distance INTEGER,
                    air_time {real}, note VARCHAR(500), gate VARCHAR(10) DEFAULT 'none', photo {bytes},
                    version {version} NOT NULL);
                 CREATE TABLE airports (faa {key}, name VARCHAR(100));
                 CREATE TABLE strict_rows (id INTEGER PRIMARY KEY, code VARCHAR(9) UNIQUE, needed INTEGER NOT NULL,
                    small INTEGER CHECK (small < 10), faa VARCHAR(64) REFERENCES airports (faa),
                    twice INTEGER GENERATED ALWAYS AS (needed * 2) STORED);
                 CREATE TABLE texts (id INTEGER PRIMARY KEY, word VARCHAR(9), body {text});
                 CREATE TABLE counted (id INTEGER PRIMARY KEY, word VARCHAR(9), version {version});
                 CREATE TABLE numbers ({numbers}, word VARCHAR(9));
                 {schema}"
            ))
            .await;
        place
    }

    /// Without a table.
    pub(crate) async fn empty(kind: Kind) -> Self {
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        match kind {
            Kind::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", dir.path().join("place.db").display());
                Self { kind, url, prefix: String::new(), _dir: Some(dir) }
            }
            Kind::Postgres => {
                let port = server::postgres().port;
                let mut admin = postgres_options(&postgres_url(port, "postgres")).connect().await.unwrap();
                sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
                admin.close().await.unwrap();
                Self { kind, url: postgres_url(port, &name), prefix: String::new(), _dir: None }
            }
            Kind::MySql => {
                let port = server::mariadb().port;
                let create = AssertSqlSafe(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
                let mut admin = mysql_options(&mariadb_url(port, "mysql")).connect().await.unwrap();
                sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
                admin.close().await.unwrap();
                Self { kind, url: mariadb_url(port, &name), prefix: String::new(), _dir: None }
            }
            Kind::DynamoDb => {
                let port = tokio::task::spawn_blocking(|| server::ministack().port).await.unwrap();
                let prefix = format!("{name}-");
                Self { kind, url: server::ministack_url(port, &prefix), prefix, _dir: None }
            }
        }
    }

    /// The database at `url`, which there is.
    pub(crate) fn of_url(kind: Kind, url: String) -> Self {
        Self { kind, url, prefix: String::new(), _dir: None }
    }

    /// Runs `sql`, which may be many statements, on a connection of its own.
    pub(crate) async fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.kind {
            Kind::DynamoDb => panic!("it has no SQL"),
            Kind::Sqlite => {
                let options = self.url.parse::<SqliteConnectOptions>().unwrap().create_if_missing(true);
                let mut connection = options.connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Kind::Postgres => {
                let mut connection = postgres_options(&self.url).connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Kind::MySql => {
                let mut connection = mysql_options(&self.url).connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// The origin of all tables, which may be written.
    pub(crate) fn origin(&self) -> Origin {
        self.read_only().writable()
    }

    /// The origin of all tables.
    pub(crate) fn read_only(&self) -> Origin {
        self.origin_of(tables())
    }

    /// The origin of `tables`.
    pub(crate) fn origin_of(&self, tables: Tables) -> Origin {
        let origin = Origin::new(&self.url, tables).unwrap();
        match self.kind {
            Kind::DynamoDb => origin.with_aws(AwsSettings::new("nobody", PASSWORD, None)),
            _ => origin,
        }
    }

    /// The origin of all tables at another address of the database.
    pub(crate) fn origin_of_url(&self, url: &str) -> Origin {
        Origin::new(url, tables()).unwrap().writable()
    }

    /// Begins a transaction of somebody else with `statement`.
    pub(crate) async fn hold(&self, statement: &'static str) -> Holder {
        Holder::of(self, statement).await
    }

    /// Takes away the table of writes.
    pub(crate) async fn drop_writes(&self) {
        match self.kind {
            Kind::DynamoDb => dynamodb::drop_table(&self.prefix, "larder_writes").await,
            _ => self.run("DROP TABLE larder_writes").await,
        }
    }

    /// Puts a row in, by ourselves, whose version is `stored`, in place of any that is there.
    pub(crate) async fn set_version(&self, table: &str, id: &str, stored: Stored) {
        if self.kind == Kind::DynamoDb {
            return dynamodb::set_version(&self.prefix, table, id, stored).await;
        }
        let value = match stored {
            Stored::Nothing | Stored::Null => "NULL".to_owned(),
            Stored::Number(digits) => digits.to_owned(),
            Stored::Text(text) => format!("'{text}'"),
        };
        self.run(&format!(
            "DELETE FROM {table} WHERE id = {id}; INSERT INTO {table} (id, version) VALUES ({id}, {value})"
        ))
        .await;
    }

    /// What is kept of the write called `name`.
    pub(crate) async fn outcome(&self, name: &str) -> String {
        if self.kind == Kind::DynamoDb {
            return dynamodb::outcome(&self.prefix, name).await;
        }
        let statement = format!("SELECT outcome FROM larder_writes WHERE id = '{name}'");
        let query = ListQuery::Sql { statement, parameters: Vec::new() };
        let rows = self.read_only().list(&query, 1, no_hurry()).await.unwrap();
        parsed(&rows[0])["outcome"].as_str().unwrap().to_owned()
    }

    /// Keeps `outcome` of the write called `name`, in place of what is kept.
    pub(crate) async fn set_outcome(&self, name: &str, outcome: &str) {
        if self.kind == Kind::DynamoDb {
            return dynamodb::set_outcome(&self.prefix, name, outcome).await;
        }
        self.run(&format!("UPDATE larder_writes SET outcome = '{outcome}' WHERE id = '{name}'")).await;
    }

    /// Columns of `numbers`, what is written there, and how a read shows it.
    pub(crate) fn numbers(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        const DIGITS: &str = "12345678901234567890123456789012345678";
        const FRACTION: &str = "0.12345678901234567890123456789012345678";
        const DEC: &str = "1234567890123456789012345678.9012345678";
        const QUOTED: &str = "\"1234567890123456789012345678.9012345678\"";
        let reals = [
            ("dbl", "1e308", "1e+308"),
            ("dbl", "6.02e23", "6.02e+23"),
            ("dbl", "1.7976931348623157e308", "1.7976931348623157e+308"),
            ("dbl", "5e-324", "5e-324"),
            ("dbl", "0.30000000000000004", "0.30000000000000004"),
            ("dbl", "18446744073709551616.0", "1.8446744073709552e+19"),
            ("whole", "9223372036854775807", "9223372036854775807"),
            ("whole", "-9223372036854775808", "-9223372036854775808"),
        ];
        let singles = [("single", "3.4028235e38", "3.4028235e+38"), ("single", "0.1", "0.1")];
        match self.kind {
            // What is shown of it has fewer digits, and is the same real.
            Kind::Sqlite => [&reals[..5], &reals[6..]].concat(),
            Kind::Postgres => {
                let decimals = [
                    ("dec", DEC, QUOTED),
                    ("any_dec", "18446744073709551616", "\"18446744073709551616\""),
                    ("any_dec", "1e-40", "\"0.0000000000000000000000000000000000000001\""),
                ];
                [&reals[..], &singles, &decimals].concat()
            }
            Kind::MySql => {
                let natural =
                    [("nat", "18446744073709551615", "18446744073709551615"), ("dec_", DEC, QUOTED)];
                [&reals[..], &singles, &natural].concat()
            }
            Kind::DynamoDb => vec![
                ("n", "18446744073709551615", "18446744073709551615"),
                ("n", "6.02e23", "602000000000000000000000"),
                ("n", "1e100", "1E100"),
                ("n", "1e-130", "1E-130"),
                ("n", "-0.5", "-0.5"),
                ("n", DIGITS, DIGITS),
                ("n", FRACTION, FRACTION),
            ],
        }
    }

    /// Columns of `numbers`, and numbers that they cannot hold.
    pub(crate) fn numbers_too_large(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            Kind::Sqlite => &[("whole", "9223372036854775808"), ("dbl", "1e309")],
            Kind::Postgres => &[
                ("whole", "9223372036854775808"),
                ("whole", "1e308"),
                ("whole", "1.5"),
                ("dbl", "1e309"),
                ("single", "1e39"),
                ("dec", "1e28"),
            ],
            Kind::MySql => &[
                ("whole", "9223372036854775808"),
                ("nat", "18446744073709551616"),
                ("nat", "-1"),
                ("whole", "1.5"),
                ("nat", "\"0.5\""),
                ("nat", "1e-30"),
                ("dbl", "1e309"),
                ("single", "1e39"),
                ("dec_", "1e28"),
            ],
            Kind::DynamoDb => {
                &[("n", "1e126"), ("n", "1e-131"), ("n", "1.00000000000000000000000000000000000001")]
            }
        }
    }

    /// Ids of `numbers` at the bounds of what its key holds.
    pub(crate) fn odd_ids(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Sqlite | Kind::Postgres => &["9223372036854775807", "-9223372036854775808", "0"],
            Kind::MySql => &["18446744073709551615", "9223372036854775808", "9223372036854775807", "7"],
            Kind::DynamoDb => &[
                "18446744073709551615",
                "18446744073709551616",
                "1.5",
                "-1.5",
                "1E100",
                "12345678901234567890123456789012345678",
            ],
        }
    }

    /// How place `at` of a statement is written, from 1.
    pub(crate) fn at(&self, at: usize) -> String {
        if self.kind == Kind::Postgres { format!("${at}") } else { "?".to_owned() }
    }
}

/// A transaction of somebody else.
pub(crate) struct Holder(tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>);

impl Holder {
    async fn of(place: &Place, statement: &'static str) -> Self {
        let (kind, url) = (place.kind, place.url.clone());
        let (told, held) = tokio::sync::oneshot::channel();
        let (go, let_go) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            match kind {
                Kind::Postgres => {
                    let mut connection = postgres_options(&url).connect().await.unwrap();
                    let mut transaction = connection.begin().await.unwrap();
                    sqlx::query(statement).fetch_all(&mut *transaction).await.unwrap();
                    told.send(()).unwrap();
                    let_go.await.unwrap();
                    transaction.rollback().await.unwrap();
                }
                _ => {
                    let mut connection = mysql_options(&url).connect().await.unwrap();
                    let mut transaction = connection.begin().await.unwrap();
                    sqlx::query(statement).fetch_all(&mut *transaction).await.unwrap();
                    told.send(()).unwrap();
                    let_go.await.unwrap();
                    transaction.rollback().await.unwrap();
                }
            }
        });
        held.await.unwrap();
        Self(go, task)
    }

    pub(crate) async fn let_go(self) {
        self.0.send(()).unwrap();
        self.1.await.unwrap();
    }
}

/// What a row of a test holds as its version.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    /// No such attribute; NULL where there are columns.
    Nothing,
    Null,
    Number(&'static str),
    Text(&'static str),
}

pub(crate) fn postgres_options(url: &str) -> PgConnectOptions {
    server::postgres_options(url)
}

pub(crate) fn mysql_options(url: &str) -> MySqlConnectOptions {
    url.parse::<MySqlConnectOptions>().unwrap().disable_statement_logging()
}

/// The tables of the tests; `flights` and `counted` count their writes.
pub(crate) fn tables() -> Tables {
    let tables = "flights:id,counted:id,airports:faa,strict_rows:id,texts:id,numbers:id";
    let mut tables = tables.parse::<Tables>().unwrap().as_slice().to_vec();
    for counted in &mut tables[..2] {
        counted.version = Some("version".parse().unwrap());
    }
    Tables::new(tables).unwrap()
}

/// Writes, with room for time.
pub(crate) async fn write(
    origin: &Origin,
    table: &str,
    id: &str,
    change: Change,
    options: WriteOptions<'_>,
) -> Result<Written, OriginError> {
    let id = origin.id(table, id)?;
    origin.write(table, &id, &change, options, no_hurry()).await
}

/// Puts `json` under no conditions.
pub(crate) async fn put(origin: &Origin, table: &str, id: &str, json: &str) -> Result<Written, OriginError> {
    write(origin, table, id, Change::Put(fields(json)), WriteOptions::default()).await
}

pub(crate) fn fields(json: &str) -> Fields {
    Fields::from_json(json.as_bytes()).unwrap()
}

/// The record of an id, as parsed JSON.
pub(crate) async fn read(origin: &Origin, table: &str, id: &str) -> Option<serde_json::Value> {
    let id = origin.id(table, id).unwrap();
    origin.load(table, &id, no_hurry()).await.unwrap().as_ref().map(parsed)
}

pub(crate) fn ids(origin: &Origin, table: &str, ids: &[&str]) -> Vec<Id> {
    ids.iter().map(|id| origin.id(table, id).unwrap()).collect()
}

pub(crate) fn parsed(record: &Record) -> serde_json::Value {
    serde_json::from_slice(record.json()).unwrap()
}

/// Far enough that only a hanging test meets it.
pub(crate) fn no_hurry() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

static NEXT: AtomicU32 = AtomicU32::new(0);
