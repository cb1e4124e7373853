//! The table that writes with an idempotency key need, for whoever sets up the database.
//!
//! The same texts stand in the directory `schema` of this crate. In DynamoDB it is a table `larder_writes`, behind the
//! prefix of all tables, with the text `id` as its partition key and `expires_at` as its TTL attribute.

/// For SQLite.
pub const SQLITE: &str = include_str!("../schema/sqlite.sql");

/// For PostgreSQL. The table is looked for along the search path, as all others are.
pub const POSTGRES: &str = include_str!("../schema/postgres.sql");

/// For MySQL and MariaDB.
pub const MYSQL: &str = include_str!("../schema/mysql.sql");
