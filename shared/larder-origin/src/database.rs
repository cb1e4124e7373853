//! Which database an origin reads: the one place where they differ.

use std::collections::HashMap;

use crate::error::{Misconfigured, Outage};
use crate::id::Key;
use crate::identifier::Identifier;
use crate::plan::{Column, Plan};
use crate::pool::PoolConfig;
use crate::record::Record;
use crate::sqlite::Sqlite;

/// A database, not yet opened. One variant a kind, each in a module of its own that knows how its database is
/// asked for a schema, how it quotes and binds, and which types it has; all else is said once for all of them.
pub(crate) enum Database {
    Sqlite(Sqlite),
}

/// The rows that were found, by the text of their key.
pub(crate) type Rows = HashMap<String, Record>;

impl Database {
    /// Takes the database that `url` names; opens nothing.
    pub(crate) fn from_url(url: &str) -> Result<Self, Misconfigured> {
        // The scheme stands to the left of any password, and is all of the URL that is looked at here.
        match url.split_once(':') {
            Some(("sqlite", _)) => Sqlite::from_url(url).map(Self::Sqlite),
            _ => Err(Misconfigured::Scheme),
        }
    }

    /// Holds connections as `config` says; to be called before the first use.
    pub(crate) fn set_pool(&mut self, config: PoolConfig) {
        match self {
            Self::Sqlite(sqlite) => sqlite.set_pool(config),
        }
    }

    /// All columns of `table` in its order, or none if there is no such table.
    pub(crate) async fn columns(&self, table: &Identifier) -> Result<Vec<Column>, Outage> {
        match self {
            Self::Sqlite(sqlite) => sqlite.columns(table).await,
        }
        .map_err(Outage::database)
    }

    /// The rows of `keys`, in one query.
    pub(crate) async fn select(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<Rows, Outage> {
        match self {
            Self::Sqlite(sqlite) => sqlite.select(plan, keys).await,
        }
        .map_err(Outage::database)
    }
}
