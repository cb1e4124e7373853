//! The origin: a database and the tables that may be read there.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout_at;

use crate::aws::AwsSettings;
use crate::change::{Change, WriteOptions, Written};
use crate::database::{Database, IndexList, Rows};
use crate::error::{Misconfigured, OriginError, Outage, Rejected};
use crate::id::Id;
use crate::idempotency;
use crate::identifier::Identifier;
use crate::list::{ListQuery, MAX_LIST};
use crate::plan::Plan;
use crate::pool::{Moment, PoolConfig};
use crate::record::Record;
use crate::tables::{TableConfig, Tables};
use crate::write::{Progress, WriteRequest};

/// A database and the tables that may be read there, by key, and written, if it is told so.
///
/// Nothing is opened before the first call, and nothing runs between calls. One origin serves an environment
/// for its life; share it by reference.
pub struct Origin {
    database: Database,
    tables: HashMap<Identifier, Table>,
    is_writable: bool,
}

/// A configured table, with its plan once the schema was read: when the table is first loaded from, so that a fault in
/// one table keeps no other from being read.
struct Table {
    config: TableConfig,
    known: Mutex<Option<Arc<Known>>>,
    /// Held by the one call that reads the schema.
    reading: tokio::sync::Mutex<()>,
}

/// A plan, and when its schema was read.
struct Known {
    plan: Plan,
    read: Moment,
}

impl Origin {
    /// Takes the database at `url` as the origin of `tables`. Connects to nothing.
    ///
    /// `sqlite:path` or `sqlite://path` is a SQLite file; it is not made, and opened for writing by writes alone. A
    /// file in WAL mode on a read-only file system, such as a function's own package, needs `?immutable=1` behind the
    /// path. A `?`, `#` or `%` of the path itself is percent-encoded.
    ///
    /// `postgres:`, `postgresql:`, `mysql:` and `mariadb:` are `//user:password@host:port/database`, each part
    /// percent-encoded; the password and the port may be left out. `dynamodb:` is the region, and behind a `?`
    /// `prefix`, which stands before all tables' names, and `endpoint`, which is asked instead of the region's own; see
    /// [`with_aws`](Self::with_aws).
    ///
    /// # Errors
    /// [`Misconfigured::Scheme`], [`Misconfigured::Url`], [`Misconfigured::ServerUrl`] and [`Misconfigured::NotBuilt`],
    /// which repeat nothing of the URL.
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
        let table = |config: TableConfig| (config.table.clone(), Table::new(config));
        Ok(Self {
            database: Database::from_url(url)?,
            tables: tables.into_vec().into_iter().map(table).collect(),
            is_writable: false,
        })
    }

    /// The same origin, with connections held as `config` says.
    #[must_use]
    pub fn with_pool(mut self, config: PoolConfig) -> Self {
        self.database.set_pool(config);
        self
    }

    /// The same origin, whose requests are signed as `settings` say: for DynamoDB alone.
    #[must_use]
    pub fn with_aws(mut self, settings: AwsSettings) -> Self {
        self.database.set_aws(settings);
        self
    }

    /// The same origin, which may be written, too. Without this, no connection is ever able to.
    #[must_use]
    pub fn writable(mut self) -> Self {
        self.is_writable = true;
        self
    }

    /// Takes `text` as an id of `table`, without a connection.
    ///
    /// Whether the table is keyed by integers is known once it has been loaded from; until then an id that is no
    /// integer passes here, and finds nothing. Either way no such id ever names a record.
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
        // One that is too old does not count: the key may be of another type by now.
        if let Some(known) = table.young(self.database.max_age()) {
            id.to_key(known.plan.kind)?;
        }
        Ok(id)
    }

    /// Loads one row: [`load_many`](Self::load_many) of one id.
    ///
    /// # Errors
    /// As there, and [`OriginError::BadId`] for an id that no row of the table can have.
    pub async fn load(&self, table: &str, id: &Id, deadline: Instant) -> Result<Option<Record>, OriginError> {
        let record = self.load_many(table, std::slice::from_ref(id), deadline).await?.pop().flatten();
        if record.is_none() {
            // It is known now which ids there can be.
            self.id(table, id.as_str())?;
        }
        Ok(record)
    }

    /// Loads the rows of `ids` in one query.
    ///
    /// Gives one answer for each id, in the order asked; an id may be asked twice. `None` is the origin's explicit
    /// word that there is no such row, as there is none under an id that is of another kind than the table's key
    /// ([`BadId::is_of_another_kind`](crate::BadId::is_of_another_kind)).
    ///
    /// At most [`MAX_IDS`] ids; no query for none. `deadline` covers opening the database, waiting for a
    /// connection, reading the schema (the first time, once in [`PoolConfig::max_age`], and where a fault says that it has
    /// changed) and the query. A dropped future closes its connection. What a connection that has ended, a server that
    /// is going down, or another schema keeps from being answered is asked once more.
    ///
    /// # Errors
    /// The caller's: [`OriginError::UnknownTable`], [`OriginError::TooManyIds`]. The origin's:
    /// [`OriginError::Unavailable`], [`OriginError::Misconfigured`].
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
        // In a box, as all calls below: what waits for a database of whatever kind is large, and deep for the compiler.
        let rows = timeout_at(deadline.into(), erased(self.rows(table, ids)))
            .await
            .map_err(|_| Outage::Deadline)??;
        // A row is found by its key's own text: what a collation takes for equal is another id here.
        Ok(ids.iter().map(|id| rows.get(id.as_str()).cloned()).collect())
    }

    /// Writes one row, in one transaction: the row is locked and read as it was, its version compared, changed, and
    /// read as it is. A row's version grows by 1 with every write; see [`TableConfig::version`].
    ///
    /// A patch or a delete of a row that does not exist does nothing, and says so by [`Written::before`] being `None`.
    /// Two transactions that get into each other's way are tried again, a few times. Nothing is ever written in part.
    ///
    /// With an idempotency key the database needs a table `larder_writes` ([`schema`](crate::schema)). Under the same
    /// key the same write happens once: for a day at least, a repeat does nothing and answers the row as it is then, which
    /// other writes may have changed or removed since; see [`Written::repeat`].
    ///
    /// `deadline` covers everything. A future that is dropped leaves the write done or not done, as the deadline does.
    ///
    /// # Errors
    /// The caller's: [`OriginError::UnknownTable`], [`OriginError::BadId`], [`OriginError::UnknownColumn`],
    /// [`OriginError::VersionConflict`], [`OriginError::IdempotencyMismatch`], [`OriginError::Rejected`]. The origin's:
    /// [`OriginError::ReadOnly`], [`OriginError::Misconfigured`], [`OriginError::Unavailable`]. After all of these
    /// nothing has been written, but after [`Outage::Unknown`] nobody knows.
    pub async fn write(
        &self,
        table: &str,
        id: &Id,
        change: &Change,
        options: WriteOptions<'_>,
        deadline: Instant,
    ) -> Result<Written, OriginError> {
        let config = self.table(table)?;
        if !self.is_writable {
            return Err(OriginError::ReadOnly);
        }
        if deadline <= Instant::now() {
            return Err(Outage::Deadline.into());
        }
        let progress = Progress::default();
        let digest = |key| (key, idempotency::digest(table, id, change, options.if_version));
        let request = WriteRequest {
            id,
            change,
            if_version: options.if_version,
            name: options.idempotency_key.map(digest),
            kept: options.kept,
            now_ms: now_ms(),
            progress: &progress,
        };
        let write = async {
            let known = self.known(config).await?;
            let outcome = self.database.write(&known.plan, &request).await;
            match self.known_better(config, &known, &outcome).await? {
                Some(better) => self.database.write(&better.plan, &request).await,
                None => outcome,
            }
        };
        timeout_at(deadline.into(), erased(write)).await.map_err(|_| progress.outage())?
    }

    /// Asks for the rows of a list, `limit` of them at most, in the query's order.
    ///
    /// The query comes from the configuration, never from a request. It runs in a transaction that cannot write. What
    /// is beyond `limit` is not read. `deadline` covers everything; a dropped future closes its connection.
    ///
    /// # Errors
    /// [`OriginError::ListTooLong`] beyond [`MAX_LIST`], [`OriginError::Misconfigured`] where query and database do not
    /// fit each other, [`OriginError::Unavailable`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use larder_origin::{ListQuery, Origin, Scalar, Tables};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
    /// # let dir = tempfile::tempdir()?;
    /// # let file = dir.path().join("air.db");
    /// # let mut db = SqliteConnectOptions::new().filename(&file).create_if_missing(true).connect().await?;
    /// # sqlx::raw_sql("CREATE TABLE flights (id INTEGER PRIMARY KEY, dest TEXT);
    /// #     INSERT INTO flights VALUES (1, 'IAH'), (2, 'MIA'), (3, 'IAH')").execute(&mut db).await?;
    /// # db.close().await?;
    /// # let url = format!("sqlite:{}", file.display());
    /// let origin = Origin::new(&url, "flights:id".parse::<Tables>()?)?;
    /// let query = ListQuery::Sql {
    ///     statement: "SELECT dest, count(*) AS flights FROM flights WHERE id >= ? GROUP BY dest ORDER BY 2 DESC".into(),
    ///     parameters: vec![Scalar::Integer(1)],
    /// };
    /// let rows = origin.list(&query, 1, Instant::now() + Duration::from_secs(2)).await?;
    /// assert_eq!(rows[0].json(), br#"{"dest":"IAH","flights":2}"#);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Record>, OriginError> {
        if limit > MAX_LIST {
            return Err(OriginError::ListTooLong(limit));
        }
        if deadline <= Instant::now() {
            return Err(Outage::Deadline.into());
        }
        timeout_at(deadline.into(), erased(self.ask_list(query, limit)))
            .await
            .map_err(|_| Outage::Deadline)?
    }

    async fn ask_list(&self, query: &ListQuery, limit: usize) -> Result<Vec<Record>, OriginError> {
        match query {
            ListQuery::Sql { statement, parameters } => {
                self.database.list(statement, parameters, limit).await
            }
            ListQuery::Index { .. } if !self.database.has_indexes() => Err(Misconfigured::ListKind.into()),
            ListQuery::Index { table, index, partition, descending } => {
                let known = self.known(self.table(table.as_str())?).await?;
                let asked = IndexList { index, partition, descending: *descending };
                self.database.list_index(&known.plan, &asked, limit).await
            }
        }
    }

    fn table(&self, name: &str) -> Result<&Table, OriginError> {
        self.tables.get(name).ok_or(OriginError::UnknownTable)
    }

    async fn rows(&self, table: &Table, ids: &[Id]) -> Result<Rows, OriginError> {
        let known = self.known(table).await?;
        let outcome = self.rows_by(&known.plan, ids).await;
        match self.known_better(table, &known, &outcome).await? {
            Some(better) => self.rows_by(&better.plan, ids).await,
            None => outcome,
        }
    }

    async fn rows_by(&self, plan: &Plan, ids: &[Id]) -> Result<Rows, OriginError> {
        let keys = plan.keys(ids);
        if keys.is_empty() {
            return Ok(Rows::new());
        }
        self.database.select(plan, &keys).await
    }

    /// The plan of `table`, of a schema that is not too old.
    async fn known(&self, table: &Table) -> Result<Arc<Known>, OriginError> {
        let max_age = self.database.max_age();
        if let Some(known) = table.young(max_age) {
            return Ok(known);
        }
        let _turn = table.reading.lock().await;
        match table.young(max_age) {
            Some(known) => Ok(known),
            None => self.read(table).await,
        }
    }

    /// The plan by which a call is to be repeated, once: where `outcome` says that the schema has changed under `known`,
    /// or may have.
    async fn known_better<T>(
        &self,
        table: &Table,
        known: &Arc<Known>,
        outcome: &Result<T, OriginError>,
    ) -> Result<Option<Arc<Known>>, OriginError> {
        let doubt = outcome.as_ref().err().map_or(Doubt::Without, Doubt::of);
        let is_old = known.read.elapsed() >= doubt.patience();
        if doubt == Doubt::Without || !is_old || self.database.max_age().is_none() {
            return Ok(None);
        }
        let _turn = table.reading.lock().await;
        let better = match table.newer(known) {
            Some(newer) => newer,
            None => self.read(table).await?,
        };
        Ok((doubt == Doubt::Stale || better.plan != known.plan).then_some(better))
    }

    /// Reads the schema.
    async fn read(&self, table: &Table) -> Result<Arc<Known>, OriginError> {
        let read = Moment::now();
        let plan = self.database.plan(&table.config).await?;
        let known = Arc::new(Known { plan, read });
        *table.lock() = Some(Arc::clone(&known));
        Ok(known)
    }
}

impl Table {
    fn new(config: TableConfig) -> Self {
        Self { config, known: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// The plan, if its schema is younger than `max_age`.
    fn young(&self, max_age: Option<Duration>) -> Option<Arc<Known>> {
        let known = self.lock().clone()?;
        max_age.is_none_or(|max_age| known.read.elapsed() < max_age).then_some(known)
    }

    /// The plan, if another call has read it since `known` was taken.
    fn newer(&self, known: &Arc<Known>) -> Option<Arc<Known>> {
        self.lock().clone().filter(|newer| !Arc::ptr_eq(newer, known))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error says of the schema that its call went by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doubt {
    /// Nothing.
    Without,
    /// It may be that the schema has changed: what is refused may be right by now.
    Some,
    /// It has changed.
    Stale,
}

impl Doubt {
    fn of(error: &OriginError) -> Self {
        match error {
            OriginError::Unavailable(Outage::Schema(_)) => Self::Stale,
            OriginError::UnknownColumn | OriginError::BadId(_) => Self::Some,
            OriginError::Rejected(Rejected::Value | Rejected::NotNull | Rejected::NotSettable) => Self::Some,
            _ => Self::Without,
        }
    }

    /// How old a plan has to be before its schema is read again: callers who send what is wrong do not have it read
    /// with each call.
    fn patience(self) -> Duration {
        match self {
            Self::Stale => Duration::ZERO,
            Self::Without | Self::Some => DOUBT_AFTER,
        }
    }
}

/// How often a schema is read again, at most, because of what is refused.
const DOUBT_AFTER: Duration = Duration::from_secs(1);

/// The time, in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Shows the tables, not the address.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("tables", &self.tables.keys()).finish_non_exhaustive()
    }
}

/// `future` without its type: what it takes to ask any of the databases is large, and a caller's compiler need not know
/// all of it.
fn erased<'f, T>(
    future: impl Future<Output = T> + Send + 'f,
) -> Pin<Box<dyn Future<Output = T> + Send + 'f>> {
    Box::pin(future)
}

/// Most ids of one load: a page's worth, and far below what any database binds in one statement.
pub const MAX_IDS: usize = 100;
