//! A database of a test's own, of any kind.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use larder_origin::{
    AwsSettings, Change, Fields, Id, Origin, OriginError, Record, TableConfig, Tables, WriteOptions, Written,
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
        let (real, bytes, version, schema) = match kind {
            Kind::Sqlite => ("REAL", "BLOB", "INTEGER", schema::SQLITE),
            Kind::Postgres => ("double precision", "bytea", "bigint", schema::POSTGRES),
            Kind::MySql => ("DOUBLE", "BLOB", "BIGINT", schema::MYSQL),
            Kind::DynamoDb => unreachable!("it has no SQL"),
        };
        let key = "VARCHAR(64) PRIMARY KEY";
        place
            .run(&format!(
                "CREATE TABLE flights (id INTEGER PRIMARY KEY, dest VARCHAR(3), distance INTEGER,
                    air_time {real}, note VARCHAR(500), gate VARCHAR(10) DEFAULT 'none', photo {bytes},
                    version {version} NOT NULL);
                 CREATE TABLE airports (faa {key}, name VARCHAR(100));
                 CREATE TABLE strict_rows (id INTEGER PRIMARY KEY, code VARCHAR(9) UNIQUE, needed INTEGER NOT NULL,
                    small INTEGER CHECK (small < 10), faa VARCHAR(64) REFERENCES airports (faa),
                    twice INTEGER GENERATED ALWAYS AS (needed * 2) STORED);
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

pub(crate) fn postgres_options(url: &str) -> PgConnectOptions {
    server::postgres_options(url)
}

pub(crate) fn mysql_options(url: &str) -> MySqlConnectOptions {
    url.parse::<MySqlConnectOptions>().unwrap().disable_statement_logging()
}

/// The tables of the tests; `flights` counts its writes.
pub(crate) fn tables() -> Tables {
    let mut tables = "flights:id,airports:faa,strict_rows:id".parse::<Tables>().unwrap().as_slice().to_vec();
    tables[0] = TableConfig { version: Some("version".parse().unwrap()), ..tables[0].clone() };
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
