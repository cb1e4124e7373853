//! Which database an origin reads and writes: the one place where they differ.

use std::collections::HashMap;

use crate::change::Written;
use crate::error::{Misconfigured, OriginError};
use crate::id::Key;
use crate::identifier::Identifier;
use crate::list::ListQuery;
use crate::mysql::MySql;
use crate::plan::{Column, Plan};
use crate::pool::PoolConfig;
use crate::postgres::Postgres;
use crate::record::Record;
use crate::sql::Sql;
use crate::sqlite::Sqlite;
use crate::write::WriteRequest;

/// A database, not yet opened. One variant a kind, each in a module of its own that knows how its database is
/// asked for a schema, how it quotes and binds, and which types it has; all else is said once for all of them.
pub(crate) enum Database {
    Sqlite(Sql<Sqlite>),
    Postgres(Box<Sql<Postgres>>),
    MySql(Box<Sql<MySql>>),
}

/// The rows that were found, by the text of their key.
pub(crate) type Rows = HashMap<String, Record>;

impl Database {
    /// Takes the database that `url` names; opens nothing.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        // The scheme stands to the left of any password, and is all of the URL that is looked at here.
        match url.split_once(':') {
            Some(("sqlite", _)) => Sqlite::from_url(url).map(|file| Self::Sqlite(Sql::new(file))),
            Some(("postgres" | "postgresql", _)) => {
                Postgres::from_url(url).map(|server| Self::Postgres(Box::new(Sql::new(server))))
            }
            Some(("mysql" | "mariadb", _)) => {
                MySql::from_url(url).map(|server| Self::MySql(Box::new(Sql::new(server))))
            }
            _ => Err(Misconfigured::Scheme),
        }
    }

    /// Holds connections as `config` says; to be called before the first use.
    pub(crate) fn set_pool(&mut self, config: PoolConfig) {
        match self {
            Self::Sqlite(sqlite) => sqlite.set_pool(config),
            Self::Postgres(postgres) => postgres.set_pool(config),
            Self::MySql(mysql) => mysql.set_pool(config),
        }
    }

    /// All columns of `table` in its order, or none if there is no such table.
    pub(crate) async fn columns(&self, table: &Identifier) -> Result<Vec<Column>, OriginError> {
        Ok(match self {
            Self::Sqlite(sqlite) => sqlite.columns(table).await?,
            Self::Postgres(postgres) => postgres.columns(table).await?,
            Self::MySql(mysql) => mysql.columns(table).await?,
        })
    }

    /// The rows of `keys`, in one query.
    pub(crate) async fn select(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<Rows, OriginError> {
        Ok(match self {
            Self::Sqlite(sqlite) => sqlite.select(plan, keys).await?,
            Self::Postgres(postgres) => postgres.select(plan, keys).await?,
            Self::MySql(mysql) => mysql.select(plan, keys).await?,
        })
    }

    /// Writes a row.
    pub(crate) async fn write(
        &self,
        plan: &Plan,
        request: &WriteRequest<'_>,
    ) -> Result<Written, OriginError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(plan, request).await,
            Self::Postgres(postgres) => postgres.write(plan, request).await,
            Self::MySql(mysql) => mysql.write(plan, request).await,
        }
    }

    /// Up to `limit` rows of a list by statement.
    pub(crate) async fn list(&self, query: &ListQuery, limit: usize) -> Result<Vec<Record>, OriginError> {
        let ListQuery::Sql { statement, parameters } = query else {
            return Err(Misconfigured::ListKind.into());
        };
        match self {
            Self::Sqlite(sqlite) => sqlite.list(statement, parameters, limit).await,
            Self::Postgres(postgres) => postgres.list(statement, parameters, limit).await,
            Self::MySql(mysql) => mysql.list(statement, parameters, limit).await,
        }
    }
}
