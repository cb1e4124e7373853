//! Where the truth lives: rows of SQLite, PostgreSQL, MySQL, MariaDB and DynamoDB, read, written and listed with bound
//! values and checked identifiers.
//!
//! An [`Origin`] is a database address and the tables that may be read there. It opens nothing until the first
//! call, because most answers come from the cache and never need it.
//!
//! ```text
//!  table, id  ──►  Origin::id         is it ours, can it be an id?       no connection
//!  table, ids ──►  Origin::load_many  schema, once a table: its columns,
//!                                     its key; then one query            one connection, one deadline
//!             ◄──  a Record or "no such row" for each id, in order
//!  id, Change ──►  Origin::write      the row locked, its version        one transaction; for DynamoDB
//!                                     compared, changed, read again      one on a condition
//!             ◄──  the row as it is and as it was
//!  ListQuery  ──►  Origin::list       a statement of the configuration   cannot write, stops at a limit
//!             ◄──  Records
//! ```
//!
//! Names of tables and columns come from the configuration and the schema, never from a request: a column that a
//! request names is looked for in the schema. Ids and values are bound, never text in a statement. DynamoDB has no
//! schema of columns; their names are bound there, too.
//!
//! | address | database | made for |
//! | --- | --- | --- |
//! | `sqlite:path` | a file, linked in | a function's own package or a file system; reads never open it for writing |
//! | `postgres://user:password@host:port/database` | PostgreSQL; `sslmode`, `sslrootcert` | RDS, Aurora |
//! | `mysql://user:password@host:port/database` | MySQL and MariaDB; `ssl-mode`, `ssl-ca` | RDS, Aurora |
//! | `dynamodb:region?prefix=air-` | DynamoDB, with the feature `dynamodb` | `prefix` stands before all tables' names |
//!
//! Servers are reached over TLS by rustls with ring; say `sslmode=verify-full` or `ssl-mode=VERIFY_IDENTITY` where the
//! network is not to be trusted. Nothing is taken from the environment, from files of passwords or from profiles.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use larder_origin::{Origin, Tables};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
//! # let dir = tempfile::tempdir()?;
//! # let file = dir.path().join("air.db");
//! # let mut db = SqliteConnectOptions::new().filename(&file).create_if_missing(true).connect().await?;
//! # sqlx::raw_sql("CREATE TABLE airports (faa TEXT PRIMARY KEY, name TEXT, alt INTEGER);
//! #     INSERT INTO airports VALUES ('JFK', 'John F Kennedy Intl', 13)").execute(&mut db).await?;
//! # db.close().await?;
//! # let url = format!("sqlite:{}", file.display());
//! let origin = Origin::new(&url, "airports:faa".parse::<Tables>()?)?;
//! let ids = [origin.id("airports", "JFK")?, origin.id("airports", "XXX")?];
//!
//! let deadline = Instant::now() + Duration::from_secs(2);
//! let records = origin.load_many("airports", &ids, deadline).await?;
//!
//! let jfk = records[0].as_ref().expect("JFK is an airport");
//! assert_eq!(jfk.json(), br#"{"faa":"JFK","name":"John F Kennedy Intl","alt":13}"#);
//! assert!(records[1].is_none(), "the origin says: no such record");
//! # Ok(())
//! # }
//! ```

mod aws;
mod blame;
mod calendar;
mod change;
mod database;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod engine;
mod error;
mod fields;
mod id;
mod idempotency;
mod identifier;
mod list;
mod mysql;
mod number;
mod origin;
mod plan;
mod pool;
mod postgres;
mod record;
mod scalar;
pub mod schema;
mod server;
mod sql;
mod sqlite;
mod tables;
mod write;

pub use aws::AwsSettings;
pub use change::{Change, Effect, Repeat, WriteOptions, Written};
pub use error::{ListFault, Misconfigured, OriginError, Outage, Rejected};
pub use fields::{BadFields, Fields, MAX_FIELDS};
pub use id::{BadId, Id, IdKind, MAX_ID_LEN};
pub use idempotency::{BadIdempotencyKey, IdempotencyKey, MAX_IDEMPOTENCY_KEY_LEN};
pub use identifier::{Identifier, InvalidIdentifier, MAX_IDENTIFIER_LEN};
pub use list::{ListQuery, MAX_LIST};
pub use number::{Decimal, MAX_PLAIN_LEN};
pub use origin::{MAX_IDS, Origin};
pub use pool::PoolConfig;
pub use record::Record;
pub use scalar::Scalar;
pub use tables::{InvalidTables, MAX_TABLES, TableConfig, Tables};
