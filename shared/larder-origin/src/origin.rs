//! The origin: a database and the tables that may be read there.

use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

use tokio::sync::OnceCell;
use tokio::time::timeout_at;

use crate::database::{Database, Rows};
use crate::error::{Misconfigured, OriginError, Outage};
use crate::id::Id;
use crate::identifier::Identifier;
use crate::plan::Plan;
use crate::pool::PoolConfig;
use crate::record::Record;
use crate::tables::{TableConfig, Tables};

/// A database and the tables that may be read there, by key.
///
/// Nothing is opened before the first load, and nothing runs between loads. One origin serves an environment
/// for its life; share it by reference.
pub struct Origin {
    database: Database,
    tables: HashMap<Identifier, Table>,
}

/// A configured table, with its plan once the schema was read. A schema is read when the table is first loaded
/// from, so that a fault in one table keeps no other from being read; a change is seen by new environments.
struct Table {
    config: TableConfig,
    plan: OnceCell<Plan>,
}

impl Origin {
    /// Takes the database at `url` as the origin of `tables`. Connects to nothing.
    ///
    /// `sqlite:path` or `sqlite://path` opens a SQLite file, read-only. A file in WAL mode on a read-only file
    /// system, such as a function's own package, needs `?immutable=1` behind the path. A `?`, `#` or `%` of the
    /// path itself is percent-encoded.
    ///
    /// # Errors
    /// [`Misconfigured::Scheme`] and [`Misconfigured::Url`], which repeat nothing of the URL.
    ///
    /// ```
    /// use larder_origin::{Misconfigured, Origin, Tables};
    ///
    /// let tables: Tables = "flights:id".parse()?;
    /// assert!(Origin::new("sqlite:flights.db", tables.clone()).is_ok());
    /// assert_eq!(Origin::new("oracle://u:secret@h/", tables).unwrap_err(), Misconfigured::Scheme);
    /// # Ok::<(), larder_origin::InvalidTables>(())
    /// ```
    pub fn new(url: &str, tables: Tables) -> Result<Self, Misconfigured> {
        let table = |config: TableConfig| (config.table.clone(), Table { config, plan: OnceCell::new() });
        Ok(Self {
            database: Database::from_url(url)?,
            tables: tables.into_vec().into_iter().map(table).collect(),
        })
    }

    /// The same origin, with connections held as `config` says.
    #[must_use]
    pub fn with_pool(mut self, config: PoolConfig) -> Self {
        self.database.set_pool(config);
        self
    }

    /// Takes `text` as an id of `table`, without a connection.
    ///
    /// Whether the table is keyed by integers is known once it has been loaded from; until then an id that is no
    /// integer passes here and is refused by the load. Either way no such id ever names a record.
    ///
    /// # Errors
    /// [`OriginError::UnknownTable`] or [`OriginError::BadId`].
    ///
    /// ```
    /// use larder_origin::{Origin, OriginError, Tables};
    ///
    /// let origin = Origin::new("sqlite:flights.db", "flights:id".parse::<Tables>()?)?;
    /// assert_eq!(origin.id("flights", "7")?.as_str(), "7");
    /// assert!(matches!(origin.id("users", "7"), Err(OriginError::UnknownTable)));
    /// assert!(matches!(origin.id("flights", ""), Err(OriginError::BadId(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn id(&self, table: &str, text: &str) -> Result<Id, OriginError> {
        let table = self.table(table)?;
        let id = Id::new(text)?;
        if let Some(plan) = table.plan.get() {
            id.to_key(plan.kind)?;
        }
        Ok(id)
    }

    /// Loads one row: [`load_many`](Self::load_many) of one id.
    ///
    /// # Errors
    /// As there.
    pub async fn load(&self, table: &str, id: &Id, deadline: Instant) -> Result<Option<Record>, OriginError> {
        let mut records = self.load_many(table, std::slice::from_ref(id), deadline).await?;
        Ok(records.pop().flatten())
    }

    /// Loads the rows of `ids` in one query.
    ///
    /// Gives one answer for each id, in the order asked; an id may be asked twice. `None` is the origin's explicit
    /// word that there is no such row.
    ///
    /// At most [`MAX_IDS`] ids; no query for none. `deadline` covers opening the database, waiting for a
    /// connection, reading the schema (the first time) and the query. A dropped future leaves the connection to
    /// finish its query before it is used again.
    ///
    /// # Errors
    /// The caller's: [`OriginError::UnknownTable`], [`OriginError::BadId`], [`OriginError::TooManyIds`]. The
    /// origin's: [`OriginError::Unavailable`], [`OriginError::Misconfigured`]. One bad id fails the whole load.
    pub async fn load_many(
        &self,
        table: &str,
        ids: &[Id],
        deadline: Instant,
    ) -> Result<Vec<Option<Record>>, OriginError> {
        let table = self.table(table)?;
        if ids.len() > MAX_IDS {
            return Err(OriginError::TooManyIds(ids.len()));
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // A timer is only as fine as a millisecond: a deadline that is over asks nothing, rather than sometimes.
        if deadline <= Instant::now() {
            return Err(Outage::Deadline.into());
        }
        let rows =
            timeout_at(deadline.into(), self.rows(table, ids)).await.map_err(|_| Outage::Deadline)??;
        // A row is found by its key's own text: what a collation takes for equal is another id here.
        Ok(ids.iter().map(|id| rows.get(id.as_str()).cloned()).collect())
    }

    fn table(&self, name: &str) -> Result<&Table, OriginError> {
        self.tables.get(name).ok_or(OriginError::UnknownTable)
    }

    async fn rows(&self, table: &Table, ids: &[Id]) -> Result<Rows, OriginError> {
        let plan = table.plan.get_or_try_init(|| self.plan(&table.config)).await?;
        let keys = plan.keys(ids)?;
        Ok(self.database.select(plan, &keys).await?)
    }

    async fn plan(&self, config: &TableConfig) -> Result<Plan, OriginError> {
        let columns = self.database.columns(&config.table).await?;
        Ok(Plan::new(config, &columns)?)
    }
}

/// Shows the tables, not the address.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("tables", &self.tables.keys()).finish_non_exhaustive()
    }
}

/// Most ids of one load: a page's worth, and far below what any database binds in one statement.
pub const MAX_IDS: usize = 100;
