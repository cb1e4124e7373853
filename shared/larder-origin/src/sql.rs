//! A database that speaks SQL: reads and lists, in the words that all of them share.

use std::collections::HashSet;

use crate::database::Rows;
use crate::engine::{Access, Bind, Cells, Engine, Fetched, Meaning};
use crate::error::{ListFault, Misconfigured, OriginError, Outage};
use crate::id::Key;
use crate::identifier::Identifier;
use crate::plan::{Column, Plan};
use crate::pool::{Lent, Pool, PoolConfig};
use crate::record::{Record, Value};
use crate::scalar::Scalar;

/// A database, with its connections.
pub(crate) struct Sql<E: Engine> {
    engine: E,
    readers: Pool<E::Connection>,
    /// Only where they are apart.
    writers: Pool<E::Connection>,
}

impl<E: Engine> Sql<E> {
    pub(crate) fn new(engine: E) -> Self {
        let pool = || Pool::new(PoolConfig::default());
        Self { engine, readers: pool(), writers: pool() }
    }

    pub(crate) fn set_pool(&mut self, config: PoolConfig) {
        self.readers = Pool::new(config.clone());
        self.writers = Pool::new(config);
    }

    /// All columns of `table` in its order, or none if there is no such table.
    pub(crate) async fn columns(&self, table: &Identifier) -> Result<Vec<Column>, Outage> {
        let name = [Bind::Text(table.as_str().into())];
        loop {
            let mut connection = self.lend(Access::Read).await?;
            let fetched = E::fetch(&mut connection, E::COLUMNS.to_owned(), &name, usize::MAX).await;
            if let Some(fetched) = connection.end(fetched) {
                let columns = fetched.and_then(|fetched| fetched.rows.iter().map(E::column).collect());
                return columns.map_err(Outage::database);
            }
        }
    }

    /// The rows of `keys`, in one query.
    pub(crate) async fn select(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<Rows, Outage> {
        let binds: Vec<Bind<'_>> = keys.iter().map(|key| Bind::from(*key)).collect();
        loop {
            let mut connection = self.lend(Access::Read).await?;
            let statement = select_statement::<E>(plan, keys.len());
            let fetched = E::fetch(&mut connection, statement, &binds, usize::MAX).await;
            if let Some(fetched) = connection.end(fetched) {
                let rows =
                    fetched.and_then(|fetched| fetched.rows.iter().map(|row| keyed(plan, row)).collect());
                return rows.map_err(Outage::database);
            }
        }
    }

    /// Up to `limit` rows of `statement`, which has to be one that reads.
    pub(crate) async fn list(
        &self,
        statement: &str,
        parameters: &[Scalar],
        limit: usize,
    ) -> Result<Vec<Record>, OriginError> {
        if !E::is_one(statement) {
            return Err(Misconfigured::ListStatement(ListFault::new("there is more than one")).into());
        }
        let binds: Vec<Bind<'_>> = parameters.iter().map(E::parameter).collect();
        let mut connection = self.begin(Access::Read, E::BEGIN_READ).await?;
        let fetched = E::fetch(&mut connection, statement.to_owned(), &binds, limit).await;
        match fetched {
            Ok(Fetched { rows, is_whole }) => {
                if is_whole {
                    self.roll_back(connection).await;
                }
                if let Some(name) = rows.first().and_then(twice) {
                    return Err(Misconfigured::ListColumnTwice { name }.into());
                }
                rows.iter().map(list_record).collect()
            }
            Err(error) => {
                let is_statement = E::meaning(&error) == Meaning::Statement
                    || matches!(error, sqlx::Error::Protocol(_) | sqlx::Error::Encode(_));
                if matches!(error, sqlx::Error::Database(_)) {
                    self.roll_back(connection).await;
                }
                match is_statement {
                    true => Err(Misconfigured::ListStatement(ListFault::new(error)).into()),
                    false => Err(Outage::database(error).into()),
                }
            }
        }
    }

    /// A connection on which a transaction has begun: that also shows whether it is alive.
    pub(crate) async fn begin(
        &self,
        access: Access,
        statement: &'static str,
    ) -> Result<Lent<'_, E::Connection>, Outage> {
        loop {
            let mut connection = self.lend(access).await?;
            let begun = E::run(&mut connection, statement).await;
            match begun {
                Ok(()) => return Ok(connection),
                Err(error) => {
                    if let Some(ended) = connection.end(Err::<(), _>(error)) {
                        return ended.map_err(Outage::database).map(|()| unreachable!("it was an error"));
                    }
                }
            }
        }
    }

    /// Ends a transaction that leaves nothing behind, and gives the connection back if that was told.
    pub(crate) async fn roll_back(&self, mut connection: Lent<'_, E::Connection>) {
        if E::run(&mut connection, "ROLLBACK").await.is_ok() {
            connection.give_back();
        }
    }

    async fn lend(&self, access: Access) -> Result<Lent<'_, E::Connection>, Outage> {
        let pool = match access {
            Access::Write if E::WRITES_APART => &self.writers,
            _ => &self.readers,
        };
        pool.lend(self.engine.open(access, &pool.config)).await.map_err(Outage::database)
    }
}

/// `SELECT` for `count` keys: the key, the version if there is one, and the columns of a record. Columns are qualified,
/// because SQLite reads an unknown name in double quotes as a text, unless a table stands before it.
pub(crate) fn select_statement<E: Engine>(plan: &Plan, count: usize) -> String {
    let key = E::quote(&plan.key.name);
    let columns: Vec<String> =
        [&plan.key].into_iter().chain(&plan.version).chain(&plan.columns).map(E::read).collect();
    let places: Vec<String> = (1..=count).map(|at| E::key_place(at, &plan.key, plan.kind)).collect();
    let (columns, places) = (columns.join(", "), places.join(", "));
    format!("SELECT {columns} FROM {} AS t WHERE t.{key} IN ({places})", E::quote(&plan.table))
}

/// A row of such a statement: its key's text and its record.
pub(crate) fn keyed(plan: &Plan, row: &impl Cells) -> sqlx::Result<(String, Record)> {
    let no_key = || sqlx::Error::Decode("a key of another type than its column's".into());
    let key = row.value(KEY_AT)?.into_key().ok_or_else(no_key)?;
    let version = plan.version.as_ref().map(|_| row.value(KEY_AT + 1)).transpose()?;
    let first = KEY_AT + 1 + usize::from(version.is_some());
    let names = plan.columns.iter().map(|column| column.name.as_str());
    let columns = names.zip(first..).map(|(name, at)| Ok((name, row.value(at)?)));
    let record = Record::from_columns(columns.collect::<sqlx::Result<Vec<_>>>()?);
    Ok((key, record.with_version(version.map(Value::into_version))))
}

/// The name that two columns of a row have.
fn twice(row: &impl Cells) -> Option<String> {
    let mut names = HashSet::new();
    (0..row.len()).map(|at| row.name(at)).find(|name| !names.insert(*name)).map(str::to_owned)
}

/// A row of a list, under the names that its statement gives.
fn list_record(row: &impl Cells) -> Result<Record, OriginError> {
    let cell = |at| match row.value(at) {
        Ok(value) => Ok((row.name(at), value)),
        Err(sqlx::Error::ColumnDecode { .. }) => Err(Misconfigured::ListColumn { place: at + 1 }.into()),
        Err(error) => Err(Outage::database(error).into()),
    };
    Ok(Record::from_columns((0..row.len()).map(cell).collect::<Result<Vec<_>, OriginError>>()?))
}

/// Where a row holds its key; the version and the record's columns follow.
const KEY_AT: usize = 0;
