//! A write: one transaction of a database that speaks SQL.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::sleep;

use crate::change::{Change, Effect, Written};
use crate::engine::{Access, Ask, Bind, Engine, Meaning};
use crate::error::{Misconfigured, OriginError, Outage, Rejected};
use crate::id::{Id, Key};
use crate::idempotency::{self, Happened, IdempotencyKey};
use crate::number::Decimal;
use crate::plan::{Column, Plan};
use crate::pool::is_lost;
use crate::record::Record;
use crate::scalar::Scalar;
use crate::sql::{Renewals, Sql, check_relation, is_at_rest, keyed, not_unique, outage, select_statement};

/// What is asked of a write.
pub(crate) struct WriteRequest<'a> {
    pub(crate) id: &'a Id,
    pub(crate) change: &'a Change,
    pub(crate) if_version: Option<u64>,
    /// The name of the write, and the digest of all that it asks for.
    pub(crate) name: Option<(&'a IdempotencyKey, String)>,
    /// The columns that are kept under that name.
    pub(crate) kept: &'a [&'a str],
    /// The time, in milliseconds since 1970.
    pub(crate) now_ms: i64,
    pub(crate) progress: &'a Progress,
}

/// Whether a write has come so far that nobody knows how it ends, should it be given up.
#[derive(Default)]
pub(crate) struct Progress(AtomicBool);

impl Progress {
    /// From here on the write may have happened.
    pub(crate) fn begin_commit(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// It is known again what has happened.
    pub(crate) fn end_commit(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Why a write that was given up at its deadline has no answer.
    pub(crate) fn outage(&self) -> Outage {
        match self.0.load(Ordering::Relaxed) {
            true => Outage::Unknown(None),
            false => Outage::Deadline,
        }
    }
}

/// Checks `request` against its table, and gives the columns that it names, the key not among them.
pub(crate) fn named<'a>(
    plan: &Plan,
    request: &WriteRequest<'a>,
) -> Result<Vec<(&'a str, &'a Scalar)>, OriginError> {
    if request.if_version.is_some() && plan.version.is_none() {
        return Err(Rejected::NoVersions.into());
    }
    let (Change::Put(fields) | Change::Patch(fields)) = request.change else { return Ok(Vec::new()) };
    let mut set = Vec::new();
    for (name, value) in fields.iter() {
        if name == plan.key.name {
            if !is_id(value, request.id) {
                return Err(Rejected::Key.into());
            }
        } else if plan.version.as_ref().is_some_and(|version| version.name == name) {
            // A put may hold what was read, and a version is counted, whatever it holds.
            if !matches!(request.change, Change::Put(_)) {
                return Err(Rejected::NotSettable.into());
            }
        } else {
            set.push((name, value));
        }
    }
    match request.change {
        Change::Patch(_) if set.is_empty() => Err(Rejected::Nothing.into()),
        _ => Ok(set),
    }
}

/// The same, each name as the schema has it.
fn assignments<'a>(
    plan: &'a Plan,
    request: &WriteRequest<'a>,
) -> Result<Vec<(&'a Column, &'a Scalar)>, OriginError> {
    let set = named(plan, request)?.into_iter().filter_map(|(name, value)| {
        let Some(column) = plan.columns.iter().find(|column| column.name == name) else {
            return Some(Err(OriginError::UnknownColumn));
        };
        match (column.is_generated, request.change) {
            (false, _) => Some(Ok((column, value))),
            // A put may hold what was read, and what is computed is computed anew.
            (true, Change::Put(_)) => None,
            (true, _) => Some(Err(Rejected::NotSettable.into())),
        }
    });
    set.collect()
}

fn is_id(value: &Scalar, id: &Id) -> bool {
    match value {
        Scalar::Text(text) => text == id.as_str(),
        value => value.as_number().is_some_and(|number| number.as_str() == id.as_str()),
    }
}

/// The version of a row after a write.
///
/// A new row begins at the time, so that one which was deleted and comes again is above what it was. So does one whose
/// version is no count: it may have had a count before.
pub(crate) fn next_version(before: Option<&Record>, now_ms: i64) -> Result<i64, Rejected> {
    match before.and_then(Record::count) {
        Some(present) => {
            let next = i64::try_from(present).ok().and_then(|present| present.checked_add(1));
            next.ok_or(Rejected::Version)
        }
        None => Ok(now_ms.max(1)),
    }
}

impl<E: Engine> Sql<E> {
    /// Writes a row. What gets into another transaction's way is tried again.
    pub(crate) async fn write(
        &self,
        plan: &Plan,
        request: &WriteRequest<'_>,
    ) -> Result<Written, OriginError> {
        let set = assignments(plan, request)?;
        let key = request.id.to_key(plan.kind)?;
        let (mut tries, mut refusals, mut renewals) = (0, 0, Renewals::default());
        loop {
            tries += 1;
            match self.try_write(plan, request, key, &set).await {
                Ok(written) => return Ok(written),
                // Another write may have made the same row, or the same name, in between.
                Err(failure) if refusals < 1 && failure.may_be_of_a_rival::<E>(request) => refusals += 1,
                Err(Failure::Told(error)) => match E::meaning(&error) {
                    Meaning::Again if tries < MAX_TRIES => sleep(PAUSE * tries).await,
                    Meaning::Rejected(rejected) => return Err(rejected.into()),
                    // Before the commit nothing has happened that lasts.
                    _ if renewals.allow::<E>(&error, false) => self.forget_others(&error),
                    _ => return Err(outage::<E>(error).into()),
                },
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn try_write(
        &self,
        plan: &Plan,
        request: &WriteRequest<'_>,
        key: Key<'_>,
        set: &[(&Column, &Scalar)],
    ) -> Result<Written, Failure> {
        let mut connection = match self.begin(Access::Write, E::BEGIN_WRITE).await {
            Ok(connection) => connection,
            Err(outage) => return Err(Failure::Final(outage.into())),
        };
        let steps = Steps::<E> { connection: &mut connection, plan, request, key };
        let outcome = steps.run(set).await;
        match outcome {
            Ok(Outcome { written, has_changed: true }) => {
                request.progress.begin_commit();
                let committed = E::run(&mut connection, "COMMIT").await;
                request.progress.end_commit();
                match committed {
                    Ok(()) => connection.give_back(),
                    // What the database refuses at the end, such as a deferred check, has not happened.
                    Err(error) if !is_lost(&error) && E::meaning(&error) != Meaning::Outage => {
                        if is_at_rest::<E>(&error) {
                            self.roll_back(connection).await;
                        }
                        return Err(Failure::Told(error));
                    }
                    Err(error) => return Err(Failure::Final(Outage::unknown(error).into())),
                }
                Ok(written)
            }
            Ok(Outcome { written, has_changed: false }) => {
                self.roll_back(connection).await;
                Ok(written)
            }
            Err(failure) => {
                if failure.is_in_step::<E>() {
                    self.roll_back(connection).await;
                }
                Err(failure)
            }
        }
    }
}

/// Why a transaction came to no good end.
enum Failure {
    /// By what the database told.
    Told(sqlx::Error),
    /// By what was found.
    Final(OriginError),
}

impl Failure {
    /// Whether the connection is still known to be at rest, and of further use.
    fn is_in_step<E: Engine>(&self) -> bool {
        match self {
            Self::Told(error) => is_at_rest::<E>(error),
            Self::Final(_) => true,
        }
    }

    /// Whether another write may be the reason of a refusal. Under a name it may be this very write, sent twice: the first
    /// one was still under way when the second one looked for its name.
    fn may_be_of_a_rival<E: Engine>(&self, request: &WriteRequest<'_>) -> bool {
        let (is_refused, is_twice) = match self {
            Self::Told(error) => match E::meaning(error) {
                Meaning::Rejected(rejected) => (true, rejected == Rejected::Unique),
                _ => (false, false),
            },
            Self::Final(OriginError::VersionConflict { .. } | OriginError::Rejected(_)) => (true, false),
            Self::Final(_) => (false, false),
        };
        is_twice || (is_refused && request.name.is_some())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Told(error)
    }
}

impl<O: Into<OriginError>> From<O> for Failure {
    fn from(error: O) -> Self {
        Self::Final(error.into())
    }
}

/// What a transaction came to.
struct Outcome {
    written: Written,
    has_changed: bool,
}

/// A transaction that has begun.
struct Steps<'a, E: Engine> {
    connection: &'a mut E::Connection,
    plan: &'a Plan,
    request: &'a WriteRequest<'a>,
    key: Key<'a>,
}

impl<E: Engine> Steps<'_, E> {
    async fn run(mut self, set: &[(&Column, &Scalar)]) -> Result<Outcome, Failure> {
        if let Some(written) = self.repeated().await? {
            return Ok(Outcome { written, has_changed: false });
        }
        let before = self.row(E::FOR_UPDATE).await?.into_record()?;
        let present = before.as_ref().and_then(Record::version);
        if self.request.if_version.is_some_and(|wanted| present != Some(wanted)) {
            return Err(OriginError::VersionConflict { present }.into());
        }
        let (effect, affected) = match (self.request.change, &before) {
            (Change::Put(_), None) => (Effect::Made, self.insert(set).await?),
            (Change::Put(_) | Change::Patch(_), Some(before)) => {
                (Effect::Changed, self.update(before, set).await?)
            }
            (Change::Delete, Some(_)) => (Effect::Removed, self.delete().await?),
            (Change::Patch(_) | Change::Delete, None) => (Effect::Nothing, 0),
        };
        let record = match effect {
            // What is not found under its id would be in no cache, and under no other id that anyone knows.
            Effect::Made | Effect::Changed => match self.row("").await?.into_record()? {
                // A trigger may skip the statement.
                None if affected == 0 => return Err(Rejected::Check.into()),
                None => return Err(Rejected::Spelling.into()),
                found if affected == 0 && found == before && !is_as_asked(before.as_ref(), set) => {
                    return Err(Rejected::Check.into());
                }
                found => found,
            },
            Effect::Removed | Effect::Nothing => None,
        };
        let version = record.as_ref().and_then(Record::version);
        let written = Written { record, before, version, effect, repeat: None };
        self.remember(&written).await?;
        Ok(Outcome { written, has_changed: true })
    }

    /// What is answered where the write has happened under this name before: the row as it is now.
    async fn repeated(&mut self) -> Result<Option<Written>, Failure> {
        let Some((name, digest)) = &self.request.name else { return Ok(None) };
        let statement =
            format!("SELECT digest, outcome FROM {} WHERE id = {}", idempotency::TABLE, E::place(1));
        let binds = [Bind::Text(name.as_str().into())];
        let fetched = E::fetch(self.connection, &Ask::kept(statement, &binds)).await;
        let rows = fetched.map_err(no_table::<E>)?.rows;
        let Some(row) = rows.first() else { return Ok(None) };
        if text_of(row, 0)? != *digest {
            return Err(OriginError::IdempotencyMismatch.into());
        }
        let unreadable = || sqlx::Error::Decode("an outcome that is not ours".into());
        let happened = Happened::of_outcome(&text_of(row, 1)?).ok_or_else(unreadable)?;
        let record = match happened.left_a_row() {
            true => self.row("").await?.into_record()?,
            false => None,
        };
        Ok(Some(happened.repeated(record)))
    }

    /// The row as it is now.
    async fn row(&mut self, behind: &str) -> Result<Found, Failure> {
        let statement = select_statement::<E>(self.plan, 1) + behind;
        let binds = [self.key.into()];
        let fetched = E::fetch(self.connection, &Ask::kept(statement, &binds)).await?;
        check_relation(self.plan, &fetched)?;
        let mut found = Found::Nothing;
        for row in &fetched.rows {
            let (key, record) = keyed(self.plan, row)?;
            if key == self.request.id.as_str() {
                return Ok(Found::Row(record));
            }
            found = Found::OtherSpelling;
        }
        Ok(found)
    }

    async fn insert(&mut self, set: &[(&Column, &Scalar)]) -> Result<u64, Failure> {
        let plan = self.plan;
        let mut names = vec![E::quote(&plan.key.name)];
        let mut binds = vec![Bind::from(self.key)];
        let mut places = vec![E::key_place(1, &plan.key, plan.kind)];
        for (column, value) in set {
            names.push(E::quote(&column.name));
            binds.push(E::bind(column, value)?);
            places.push(E::set_place(binds.len(), column));
        }
        if let Some(version) = &plan.version {
            names.push(E::quote(&version.name));
            binds.push(Bind::Integer(next_version(None, self.request.now_ms)?));
            places.push(E::place(binds.len()));
        }
        let (table, names, places) = (E::quote(&plan.table), names.join(", "), places.join(", "));
        let statement = format!("{} INTO {table} ({names}){} VALUES ({places})", E::INSERT, E::BEFORE_VALUES);
        self.execute(statement, &binds).await
    }

    async fn update(&mut self, before: &Record, set: &[(&Column, &Scalar)]) -> Result<u64, Failure> {
        let plan = self.plan;
        let mut binds = Vec::new();
        let mut changes = Vec::new();
        for (column, value) in set {
            binds.push(E::bind(column, value)?);
            changes.push(format!("{} = {}", E::quote(&column.name), E::set_place(binds.len(), column)));
        }
        if let Change::Put(fields) = self.request.change {
            let is_left_out = |column: &&Column| {
                !column.is_generated
                    && fields.get(&column.name).is_none()
                    && column.name != plan.key.name
                    && plan.version.as_ref().is_none_or(|version| version.name != column.name)
            };
            let defaults = plan.columns.iter().filter(is_left_out);
            changes.extend(
                defaults.map(|column| format!("{} = {}", E::quote(&column.name), E::default(column))),
            );
        }
        if let Some(version) = &plan.version {
            binds.push(Bind::Integer(next_version(Some(before), self.request.now_ms)?));
            changes.push(format!("{} = {}", E::quote(&version.name), E::place(binds.len())));
        }
        if changes.is_empty() {
            return Ok(1);
        }
        binds.push(self.key.into());
        let place = E::key_place(binds.len(), &plan.key, plan.kind);
        let (table, key) = (E::quote(&plan.table), E::quote(&plan.key.name));
        let changes = changes.join(", ");
        let statement = format!("{} {table} SET {changes} WHERE {key} = {place}", E::UPDATE);
        let affected = self.execute(statement, &binds).await?;
        Self::check_one(affected)
    }

    async fn delete(&mut self) -> Result<u64, Failure> {
        let (table, key) = (E::quote(&self.plan.table), E::quote(&self.plan.key.name));
        let place = E::key_place(1, &self.plan.key, self.plan.kind);
        let statement = format!("DELETE FROM {table} WHERE {key} = {place}");
        let affected = self.execute(statement, &[self.key.into()]).await?;
        // A trigger may keep the row.
        if affected == 0 && matches!(self.row("").await?, Found::Row(_)) {
            return Err(Rejected::Check.into());
        }
        Self::check_one(affected)
    }

    /// Whether no other row was changed, such as one whose key a collation takes for the same.
    fn check_one(affected: u64) -> Result<u64, Failure> {
        match affected {
            0 | 1 => Ok(affected),
            _ => Err(not_unique().into()),
        }
    }

    /// Writes down what the write did under its name, and removes a few that are old.
    async fn remember(&mut self, written: &Written) -> Result<(), Failure> {
        let Some((name, digest)) = &self.request.name else { return Ok(()) };
        let now = self.request.now_ms;
        self.execute(E::remove_old(), &[Bind::Integer(now - idempotency::KEPT_MS)]).await?;
        let places: Vec<String> = (1..=4).map(E::place).collect();
        let (table, places) = (idempotency::TABLE, places.join(", "));
        let statement = format!("INSERT INTO {table} (id, digest, outcome, written_at) VALUES ({places})");
        let outcome = idempotency::to_outcome(written, self.request.kept);
        let binds = [
            Bind::Text(name.as_str().into()),
            Bind::Text(digest.into()),
            Bind::Text(outcome.into()),
            Bind::Integer(now),
        ];
        self.execute(statement, &binds).await?;
        Ok(())
    }

    /// Runs a statement that gives no rows, and tells how many it has changed.
    async fn execute(&mut self, statement: String, binds: &[Bind<'_>]) -> Result<u64, Failure> {
        Ok(E::fetch(self.connection, &Ask::kept(statement, binds)).await?.affected)
    }
}

/// What is under a key.
enum Found {
    Nothing,
    Row(Record),
    /// A row whose key the database takes for the same, by its collation or its filling, and that is another text.
    OtherSpelling,
}

impl Found {
    /// The row; there is none to write where it has another spelling, under which it is cached.
    fn into_record(self) -> Result<Option<Record>, Rejected> {
        match self {
            Self::Nothing => Ok(None),
            Self::Row(record) => Ok(Some(record)),
            Self::OtherSpelling => Err(Rejected::Spelling),
        }
    }
}

/// Whether `record` shows all values of `set`, as far as JSON tells: a trigger may skip the update of a row that has them
/// already.
fn is_as_asked(record: Option<&Record>, set: &[(&Column, &Scalar)]) -> bool {
    let columns: Option<HashMap<Cow<'_, str>, &RawValue>> =
        record.and_then(|record| serde_json::from_slice(record.json()).ok());
    let is_shown = |shown: &RawValue, asked: &Scalar| match serde_json::from_str(shown.get()) {
        Ok(shown) if shown == *asked => true,
        Ok(shown) => number_of(&shown).is_some_and(|shown| number_of(asked) == Some(shown)),
        Err(_) => matches!(asked, Scalar::Text(text) if text == shown.get()),
    };
    columns.is_some_and(|columns| {
        set.iter().all(|(column, asked)| {
            columns.get(column.name.as_str()).is_some_and(|shown| is_shown(shown, asked))
        })
    })
}

/// A number, which some types show as a text.
fn number_of(value: &Scalar) -> Option<Decimal> {
    match value {
        Scalar::Text(text) => Decimal::new(text),
        value => value.as_number(),
    }
}

/// The error of a statement on the table of writes.
fn no_table<E: Engine>(error: sqlx::Error) -> Failure {
    match E::meaning(&error) {
        Meaning::NoTable => Failure::Final(Misconfigured::NoIdempotencyTable.into()),
        _ => Failure::Told(error),
    }
}

fn text_of(row: &impl crate::engine::Cells, at: usize) -> sqlx::Result<String> {
    row.value(at)?.into_key().ok_or_else(|| sqlx::Error::Decode("no text".into()))
}

/// How often a write is tried that gets into another one's way.
const MAX_TRIES: u32 = 5;

/// The pause before the second try; before the third it is twice as long, and so on.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Version;

    #[test]
    fn a_row_that_comes_again_is_above_what_it_was() {
        let record = |version| Record::from_json(b"{}".to_vec(), version);
        let first = next_version(None, 1_700_000_000_000).unwrap();
        let second = next_version(Some(&record(u64::try_from(first).ok())), 1_600_000_000_000).unwrap();
        assert_eq!(second, 1_700_000_000_001);
        assert!(next_version(None, 1_700_000_000_002).unwrap() > second);
        assert_eq!(next_version(None, -1), Ok(1), "a clock before 1970");
        assert_eq!(next_version(Some(&record(Some(0))), 5), Ok(1), "a count that begins at 0");
        let uncounted = record(None).with_version(Some(Version::Uncounted));
        assert_eq!(next_version(Some(&uncounted), 5), Ok(5), "a row that was never counted");
        let highest = i64::MAX as u64;
        assert_eq!(next_version(Some(&record(Some(highest - 1))), 5), Ok(i64::MAX));
        for present in [highest, u64::MAX] {
            assert_eq!(next_version(Some(&record(Some(present))), 5), Err(Rejected::Version));
        }
    }

    #[test]
    fn a_write_that_is_given_up_while_it_is_committed_is_an_unknown_one() {
        let progress = Progress::default();
        assert!(matches!(progress.outage(), Outage::Deadline));
        progress.begin_commit();
        assert!(matches!(progress.outage(), Outage::Unknown(_)));
        progress.end_commit();
        assert!(matches!(progress.outage(), Outage::Deadline));
    }
}
