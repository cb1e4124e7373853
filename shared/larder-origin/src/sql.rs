//! A database that speaks SQL: reads and lists, in the words that all of them share.

use std::collections::HashSet;
use std::time::Duration;

use crate::database::Rows;
use crate::engine::{Access, Ask, Bind, Cells, Engine, Fetched, Meaning};
use crate::error::{ListFault, Misconfigured, OriginError, Outage};
use crate::id::Key;
use crate::identifier::Identifier;
use crate::plan::{Column, Plan};
use crate::pool::{Lent, Pool, PoolConfig, is_lost};
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

    /// How old a schema may be.
    pub(crate) fn max_age(&self) -> Duration {
        self.readers.config.max_age
    }

    /// All columns of `table` in its order, or none if there is no such table.
    pub(crate) async fn columns(&self, table: &Identifier) -> Result<Vec<Column>, Outage> {
        let name = [Bind::Text(table.as_str().into())];
        let ask = Ask::once(E::COLUMNS.to_owned(), &name, usize::MAX);
        let columns = self.ask(&ask).await?.and_then(|fetched| fetched.rows.iter().map(E::column).collect());
        columns.map_err(Outage::database)
    }

    /// The rows of `keys`, in one query, unless one of them has a character that the key's encoding lacks.
    pub(crate) async fn select(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<Rows, Outage> {
        match self.select_at_once(plan, keys).await? {
            Ok(rows) => Ok(rows),
            Err(error) if E::is_of_no_row(&error) => self.select_apart(plan, keys).await,
            Err(error) => Err(outage::<E>(error)),
        }
    }

    /// The same, key by key: the database refuses the whole statement because of one such key. Keys of ASCII are in every
    /// encoding, and are asked for at once.
    async fn select_apart(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<Rows, Outage> {
        let is_plain = |key: &Key<'_>| !matches!(key, Key::Text(text) if !text.is_ascii());
        let (plain, others): (Vec<Key<'_>>, Vec<Key<'_>>) = keys.iter().copied().partition(is_plain);
        let mut rows = match plain.as_slice() {
            [] => Rows::new(),
            plain => self.select_at_once(plan, plain).await?.map_err(outage::<E>)?,
        };
        for key in others {
            match self.select_at_once(plan, &[key]).await? {
                Ok(found) => rows.extend(found),
                Err(error) if E::is_of_no_row(&error) => {}
                Err(error) => return Err(outage::<E>(error)),
            }
        }
        Ok(rows)
    }

    async fn select_at_once(&self, plan: &Plan, keys: &[Key<'_>]) -> Result<sqlx::Result<Rows>, Outage> {
        let binds = key_binds(keys);
        let ask = Ask::kept(select_statement::<E>(plan, binds.len()), &binds);
        let fetched = match self.ask(&ask).await? {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(error)),
        };
        check_relation(plan, &fetched)?;
        let rows: sqlx::Result<Rows> = fetched.rows.iter().map(|row| keyed(plan, row)).collect();
        let rows = rows.map_err(Outage::database)?;
        if rows.len() == fetched.rows.len() { Ok(Ok(rows)) } else { Err(not_unique()) }
    }

    /// What `ask` brings outside of a transaction. Where the connection has ended, or leads to the wrong server, it is
    /// asked on another one: once, and as often as a connection that rested is found dead. What another transaction has
    /// ended is asked once more, too.
    async fn ask(&self, ask: &Ask<'_>) -> Result<sqlx::Result<Fetched<E::Row>>, Outage> {
        let mut renewals = Renewals::default();
        loop {
            let mut connection = self.lend(Access::Read).await?;
            let fetched = E::fetch(&mut connection, ask).await;
            match fetched {
                Err(error) if renewals.allow::<E>(&error, connection.is_reused()) => {
                    drop(connection);
                    self.forget_others(&error);
                }
                // Such as a standby does where what is read is being removed.
                Err(error) if E::READS_AGAIN && E::meaning(&error) == Meaning::Again && renewals.count() => {
                    connection.give_back();
                }
                fetched => {
                    if fetched.as_ref().err().is_none_or(|error| is_at_rest::<E>(error)) {
                        connection.give_back();
                    }
                    return Ok(fetched);
                }
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
        let ask = Ask::once(statement.to_owned(), &binds, limit);
        let mut renewals = Renewals::default();
        loop {
            let mut connection = self.begin(Access::Read, E::BEGIN_READ).await?;
            let fetched = E::fetch(&mut connection, &ask).await;
            match fetched {
                Ok(Fetched { rows, is_whole, .. }) => {
                    if is_whole {
                        self.roll_back(connection).await;
                    }
                    if let Some(name) = rows.first().and_then(twice) {
                        return Err(Misconfigured::ListColumnTwice { name }.into());
                    }
                    return rows.iter().map(list_record).collect();
                }
                Err(error) => {
                    if is_at_rest::<E>(&error) || E::is_write_refused(&error) {
                        self.roll_back(connection).await;
                    } else {
                        drop(connection);
                        self.forget_others(&error);
                    }
                    if !renewals.allow_list::<E>(&error) {
                        return Err(list_error::<E>(error));
                    }
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
        let mut renewals = Renewals::default();
        loop {
            let mut connection = self.lend(access).await?;
            let begun = E::begin(&mut connection, statement).await;
            match begun {
                Ok(()) => return Ok(connection),
                Err(error) if renewals.allow::<E>(&error, connection.is_reused()) => {
                    drop(connection);
                    self.forget_others(&error);
                }
                Err(error) => {
                    if is_at_rest::<E>(&error) {
                        self.roll_back(connection).await;
                    }
                    return Err(Outage::database(error));
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

    /// Closes the connections that rest, where `error` says that they lead to the wrong server as well.
    pub(crate) fn forget_others(&self, error: &sqlx::Error) {
        if E::meaning(error) == Meaning::WrongServer {
            self.readers.forget();
            self.writers.forget();
        }
    }

    /// A connection; asked for twice, where the server that the name leads to does not let anyone in yet, or any more.
    async fn lend(&self, access: Access) -> Result<Lent<'_, E::Connection>, Outage> {
        let pool = match access {
            Access::Write if E::WRITES_APART => &self.writers,
            _ => &self.readers,
        };
        let mut renewals = Renewals::default();
        loop {
            match pool.lend(self.engine.open(access, &pool.config)).await {
                Ok(lent) => return Ok(lent),
                Err(error) if E::meaning(&error) == Meaning::WrongServer && renewals.count() => {}
                Err(error) => return Err(Outage::connecting(error)),
            }
        }
    }
}

/// How often a call has taken another connection.
#[derive(Default)]
pub(crate) struct Renewals(u32);

impl Renewals {
    /// Whether what `error` has ended may be done again on another connection, under the name's present address. Only
    /// for what surely has not been done. One that rested, and is dead, does not count: each of them is dropped.
    pub(crate) fn allow<E: Engine>(&mut self, error: &sqlx::Error, is_reused: bool) -> bool {
        let (is_lost, is_wrong) = (is_lost(error), E::meaning(error) == Meaning::WrongServer);
        (is_lost && is_reused) || ((is_lost || is_wrong) && self.count())
    }

    /// The same for a list, whose tables may just be taken away and come again, or which another transaction has ended.
    fn allow_list<E: Engine>(&mut self, error: &sqlx::Error) -> bool {
        let is_of_schema = matches!(E::meaning(error), Meaning::NoTable | Meaning::Schema);
        let is_of_place = is_lost(error) || E::meaning(error) == Meaning::WrongServer;
        let is_of_list = E::is_write_refused(error) || matches!(error, sqlx::Error::Protocol(_));
        let is_of_others = E::READS_AGAIN && E::meaning(error) == Meaning::Again;
        (is_of_schema || is_of_place || is_of_others) && !is_of_list && self.count()
    }

    fn count(&mut self) -> bool {
        self.0 += 1;
        self.0 <= MAX_RENEWALS
    }
}

/// Whether a connection is in step behind `error`, and leads where it should.
pub(crate) fn is_at_rest<E: Engine>(error: &sqlx::Error) -> bool {
    let is_told = matches!(error, sqlx::Error::Database(_));
    is_told && !is_lost(error) && E::meaning(error) != Meaning::WrongServer
}

/// Why a list was not given: by what its statement says, that it writes, or what the database is in.
fn list_error<E: Engine>(error: sqlx::Error) -> OriginError {
    let is_of_statement = matches!(E::meaning(&error), Meaning::Statement | Meaning::Schema)
        || E::is_write_refused(&error)
        || matches!(error, sqlx::Error::Protocol(_) | sqlx::Error::Encode(_));
    match is_of_statement {
        true => Misconfigured::ListStatement(ListFault::new(error)).into(),
        false => outage::<E>(error).into(),
    }
}

/// Why a statement that was made for a table gave nothing.
pub(crate) fn outage<E: Engine>(error: sqlx::Error) -> Outage {
    match E::meaning(&error) {
        Meaning::NoTable | Meaning::Schema => Outage::schema(error),
        _ => Outage::database(error),
    }
}

/// Rows of another table than `plan` is of are nobody's answer: the table was swapped, or the connection is not ours
/// alone.
pub(crate) fn check_relation<R>(plan: &Plan, fetched: &Fetched<R>) -> Result<(), Outage> {
    match (plan.key.relation, fetched.relation) {
        (Some(planned), Some(told)) if planned != told => {
            Err(Outage::schema(sqlx::Error::Protocol("rows of another table than was asked".to_owned())))
        }
        _ => Ok(()),
    }
}

/// What there is to say where one key turns out to be that of several rows.
pub(crate) fn not_unique() -> Outage {
    Outage::schema(sqlx::Error::Protocol("one key is that of several rows".to_owned()))
}

/// The values of `keys`, and the last of them as often as it takes for [`places`] of them.
fn key_binds<'k>(keys: &[Key<'k>]) -> Vec<Bind<'k>> {
    let binds = keys.iter().map(|key| Bind::from(*key));
    let filling = keys.last().map(|last| Bind::from(*last));
    binds.chain(filling.into_iter().cycle()).take(places(keys.len())).collect()
}

/// How many places a statement for `count` keys has: a power of two, so that a table has few texts.
fn places(count: usize) -> usize {
    count.next_power_of_two()
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

/// How often a call takes another connection, beside those that died at rest.
const MAX_RENEWALS: u32 = 1;
