//! Which database an origin reads and writes: the one place where they differ.

use std::collections::HashMap;
use std::time::Duration;

use crate::aws::AwsSettings;
use crate::change::Written;
#[cfg(feature = "dynamodb")]
use crate::dynamodb::DynamoDb;
use crate::error::{Misconfigured, OriginError};
use crate::id::Key;
use crate::mysql::MySql;
use crate::plan::Plan;
use crate::pool::PoolConfig;
use crate::postgres::Postgres;
use crate::record::Record;
use crate::scalar::Scalar;
use crate::sql::Sql;
use crate::sqlite::Sqlite;
use crate::tables::TableConfig;
use crate::write::WriteRequest;

/// A database, not yet opened. One variant a kind, each in a module of its own that knows how its database is
/// asked for a schema, how it quotes and binds, and which types it has; all else is said once for all of them.
pub(crate) enum Database {
    Sqlite(Box<Sql<Sqlite>>),
    Postgres(Box<Sql<Postgres>>),
    MySql(Box<Sql<MySql>>),
    #[cfg(feature = "dynamodb")]
    DynamoDb(Box<DynamoDb>),
}

/// The rows that were found, by the text of their key.
pub(crate) type Rows = HashMap<String, Record>;

impl Database {
    /// Takes the database that `url` names; opens nothing.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        // The scheme stands to the left of any password, and is all of the URL that is looked at here.
        match url.split_once(':') {
            Some(("sqlite", _)) => Sqlite::from_url(url).map(|file| Self::Sqlite(Box::new(Sql::new(file)))),
            Some(("postgres" | "postgresql", _)) => {
                Postgres::from_url(url).map(|server| Self::Postgres(Box::new(Sql::new(server))))
            }
            Some(("mysql" | "mariadb", _)) => {
                MySql::from_url(url).map(|server| Self::MySql(Box::new(Sql::new(server))))
            }
            #[cfg(feature = "dynamodb")]
            Some(("dynamodb", _)) => DynamoDb::from_url(url).map(|region| Self::DynamoDb(Box::new(region))),
            #[cfg(not(feature = "dynamodb"))]
            Some(("dynamodb", _)) => Err(Misconfigured::NotBuilt),
            _ => Err(Misconfigured::Scheme),
        }
    }

    /// Holds connections as `config` says; to be called before the first use.
    pub(crate) fn set_pool(&mut self, config: PoolConfig) {
        match self {
            Self::Sqlite(sqlite) => sqlite.set_pool(config),
            Self::Postgres(postgres) => postgres.set_pool(config),
            Self::MySql(mysql) => mysql.set_pool(config),
            // The SDK has connections of its own.
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(_) => {}
        }
    }

    /// Signs as `settings` say; for a database in AWS alone.
    pub(crate) fn set_aws(&mut self, settings: AwsSettings) {
        match self {
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(dynamodb) => dynamodb.set_aws(settings),
            _ => drop(settings),
        }
    }

    /// How the table that `config` names is read, by its schema.
    pub(crate) async fn plan(&self, config: &TableConfig) -> Result<Plan, OriginError> {
        let columns = match self {
            Self::Sqlite(sqlite) => sqlite.columns(&config.table).await?,
            Self::Postgres(postgres) => postgres.columns(&config.table).await?,
            Self::MySql(mysql) => mysql.columns(&config.table).await?,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(dynamodb) => return dynamodb.plan(config).await,
        };
        Ok(Plan::new(config, &columns)?)
    }

    /// How old a plan may be; `None` where there is no schema of columns that could change.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(sqlite) => Some(sqlite.max_age()),
            Self::Postgres(postgres) => Some(postgres.max_age()),
            Self::MySql(mysql) => Some(mysql.max_age()),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(_) => None,
        }
    }

    /// The rows of `keys`, in one query.
    pub(crate) async fn select(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<Rows, OriginError> {
        Ok(match self {
            Self::Sqlite(sqlite) => sqlite.select(plan, keys).await?,
            Self::Postgres(postgres) => postgres.select(plan, keys).await?,
            Self::MySql(mysql) => mysql.select(plan, keys).await?,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(dynamodb) => dynamodb.select(plan, keys).await?,
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
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(dynamodb) => dynamodb.write(plan, request).await,
        }
    }

    /// Up to `limit` rows of a list by statement.
    pub(crate) async fn list(
        &self,
        statement: &str,
        parameters: &[Scalar],
        limit: usize,
    ) -> Result<Vec<Record>, OriginError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.list(statement, parameters, limit).await,
            Self::Postgres(postgres) => postgres.list(statement, parameters, limit).await,
            Self::MySql(mysql) => mysql.list(statement, parameters, limit).await,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(_) => Err(Misconfigured::ListKind.into()),
        }
    }

    /// Up to `limit` rows of a list by index.
    pub(crate) async fn list_index(
        &self,
        plan: &Plan,
        asked: &IndexList<'_>,
        limit: usize,
    ) -> Result<Vec<Record>, OriginError> {
        match self {
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(dynamodb) => dynamodb.list(plan, asked, limit).await,
            _ => {
                let _ = (plan, asked, limit);
                Err(Misconfigured::ListKind.into())
            }
        }
    }

    /// Whether lists come from indexes.
    pub(crate) fn has_indexes(&self) -> bool {
        match self {
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(_) => true,
            _ => false,
        }
    }
}

/// A list by index, as it is asked for.
#[cfg_attr(not(feature = "dynamodb"), expect(dead_code, reason = "only DynamoDB looks at it"))]
pub(crate) struct IndexList<'a> {
    pub(crate) index: &'a str,
    pub(crate) partition: &'a Scalar,
    pub(crate) descending: bool,
}
