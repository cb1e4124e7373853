//! The handler: from a request to its answer.

use std::error::Error;
use std::time::Duration;

use larder_cache::{Forget, Intent, Loaded};
use larder_client::Key;
use larder_lambda::http::{HttpAnswer, HttpRequest};
use larder_origin::{Change, Fields, Id, IdempotencyKey, OriginError, Outage, WriteOptions, Written};
use larder_records::Table;
use larder_ring::Epoch;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::answer::{with_told, written};
use crate::app::{App, Target};
use crate::ask::Ask;
use crate::depend::{ToForget, how, parents};
use crate::refusal::Refusal;
use crate::share::Shares;
use crate::tell::{Commit, Store, tell};

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Handled {
    /// What the caller gets.
    pub answer: HttpAnswer,
    /// What was done, for the metrics.
    pub work: Work,
}

/// What a request took.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The table, if it is one that is served.
    pub table: Option<String>,
    /// 1 for a `PUT` that the origin was asked for.
    pub puts: u64,
    /// 1 for such a `PATCH`.
    pub patches: u64,
    /// 1 for such a `DELETE`.
    pub deletes: u64,
    /// 1 for a write that was for another version.
    pub conflicts: u64,
    /// 1 for a write that had happened before.
    pub repeats: u64,
    /// 1 where the cache has what was written.
    pub stored: u64,
    /// 1 where the cache had something newer.
    pub newer: u64,
    /// Keys that the cache has forgotten.
    pub forgotten: u64,
    /// Keys that it is to be told of from the queue.
    pub queued: u64,
    /// Keys that it is not told of, neither now nor later.
    pub unforgotten: u64,
    /// The time spent in the origin.
    pub origin_time: Duration,
    /// The time spent in the cache and the queue.
    pub cache_time: Duration,
    /// The epoch of the ring that was gone by in the end, if one is published.
    pub ring_epoch: Option<u64>,
}

/// Answers `request` by `deadline`.
///
/// Never fails: what goes wrong is an answer, too, and logged here if the caller is not to blame. If the future is
/// dropped, the row may be written and the cache not know of it.
pub async fn handle<T: Target>(app: &App<T>, request: &HttpRequest, deadline: Instant) -> Handled {
    let mut work = Work::default();
    let answer = match Asked::new(app, request) {
        Ok(asked) => asked.answer(app, deadline, &mut work).await,
        Err(refusal) => refusal.answer(),
    };
    Handled { answer, work }
}

/// A change of one row.
struct Asked<'a> {
    table: &'a Table,
    id: Id,
    key: Key,
    /// Where other versions of the functions keep the row.
    beside: Vec<Key>,
    change: Change,
    if_version: Option<u64>,
    idempotency_key: Option<IdempotencyKey>,
}

impl<'a> Asked<'a> {
    /// Checks a request as far as that can be done without asking anyone.
    fn new<T: Target>(app: &'a App<T>, request: &HttpRequest) -> Result<Self, Refusal> {
        let Ask { table, id, change, if_version, idempotency_key } = Ask::of(request)?;
        let table = app.records.table(&table).ok_or(Refusal::UnknownTable)?;
        if if_version.is_some() && table.config.version.is_none() {
            return Err(Refusal::NoVersions);
        }
        let id = app.target.id(table.name(), &id).map_err(|wrong| Refusal::from(&wrong))?;
        let keys = app.records.keys_to_forget(table, &id).map(Vec::into_iter);
        let mut keys = keys.map_err(|wrong| {
            let error = &wrong as &dyn Error;
            error!(table = table.name(), error, "no key can be made of this table's name");
            Refusal::Misconfigured
        })?;
        let key = keys.next().ok_or(Refusal::Misconfigured)?;
        Ok(Self { table, id, key, beside: keys.collect(), change, if_version, idempotency_key })
    }

    /// Changes the origin, then the cache.
    async fn answer<T: Target>(&self, app: &App<T>, deadline: Instant, work: &mut Work) -> HttpAnswer {
        let shares = Shares::new(Instant::now(), deadline);
        let begun = Instant::now();
        let intent = match self.change {
            Change::Delete => None,
            _ => Some(app.cache.intend(&self.key, &self.table.policy, shares.origin_by).await),
        };
        work.cache_time = begun.elapsed();
        // Boxed, for the futures of databases and queues are large, and deep within each other.
        let outcome = Box::pin(self.write(app, shares.origin_by, work)).await;

        let begun = Instant::now();
        let answer = match outcome {
            Ok(written) => Box::pin(self.tell(app, intent, &written, shares, work)).await,
            Err(wrong) => Box::pin(self.give_up(app, intent, &wrong, shares, work)).await,
        };
        work.cache_time += begun.elapsed();
        work.ring_epoch = app.cache.cluster().epoch().map(Epoch::number);
        answer
    }

    /// Changes the origin.
    async fn write<T: Target>(
        &self,
        app: &App<T>,
        deadline: Instant,
        work: &mut Work,
    ) -> Result<Written, OriginError> {
        let begun = Instant::now();
        let parents: Vec<&str> = self.table.parents.iter().map(|parent| parent.column.as_str()).collect();
        let options = WriteOptions {
            if_version: self.if_version,
            idempotency_key: self.idempotency_key.as_ref(),
            kept: &parents,
        };
        let outcome =
            app.target.write(self.table.name(), &self.id, &self.change, options, deadline.into_std()).await;
        work.origin_time = begun.elapsed();
        work.table = Some(self.table.name().to_owned());
        match self.change {
            Change::Put(_) => work.puts = 1,
            Change::Patch(_) => work.patches = 1,
            Change::Delete => work.deletes = 1,
        }
        work.conflicts = u64::from(matches!(outcome, Err(OriginError::VersionConflict { .. })));
        work.repeats = u64::from(outcome.as_ref().is_ok_and(Written::is_repeat));
        outcome
    }

    /// Tells the cache of what was `written`, and answers it.
    async fn tell<T: Target>(
        &self,
        app: &App<T>,
        intent: Option<Intent>,
        done: &Written,
        shares: Shares,
        work: &mut Work,
    ) -> HttpAnswer {
        let kept = done.repeat.iter().flat_map(|repeat| &repeat.kept);
        let rows: Vec<&[u8]> =
            [&done.before, &done.record].into_iter().flatten().chain(kept).map(|row| row.json()).collect();
        let policy = &self.table.policy;
        // That the origin has no such row is its word, whoever has removed it.
        let own = if done.record.is_none() { Forget::Hard } else { how(policy) };
        let mut to_forget = self.dependents(app, &rows, None, own);
        let to_store = match (intent, &done.record) {
            // Nothing was written now, and another write may be under way: the next reader loads what there is.
            (Some(intent), Some(record)) if !done.is_repeat() => {
                let value = Loaded { version: done.version, ..Loaded::json(record.clone().into_bytes()) };
                Some(Store { intent, key: &self.key, value, policy })
            }
            _ => {
                to_forget.add([self.key.clone()], own);
                None
            }
        };
        let told = tell(app, to_store, &to_forget, Commit::Certain, shares, work).await;
        written(&self.change, done, told)
    }

    /// Answers that nothing was written, or that this is not known: then all is forgotten as if it were.
    async fn give_up<T: Target>(
        &self,
        app: &App<T>,
        intent: Option<Intent>,
        wrong: &OriginError,
        shares: Shares,
        work: &mut Work,
    ) -> HttpAnswer {
        let refusal = self.refuse(wrong);
        if !matches!(wrong, OriginError::Unavailable(Outage::Unknown(_))) {
            if let Some(intent) = intent {
                app.cache.abandon(intent).await;
            }
            return refusal.answer();
        }
        // What the row was is known at most from what the cache had of it.
        let found = intent.as_ref().and_then(|intent| intent.found(&self.table.policy));
        let (fields, own) = match &self.change {
            Change::Put(fields) | Change::Patch(fields) => (Some(fields), how(&self.table.policy)),
            Change::Delete => (None, Forget::Hard),
        };
        let rows: Vec<&[u8]> = found.as_deref().into_iter().collect();
        let mut to_forget = self.dependents(app, &rows, fields, own);
        to_forget.add([self.key.clone()], own);
        let told = tell(app, None, &to_forget, Commit::Unknown, shares, work).await;
        with_told(refusal.answer(), told)
    }

    /// Makes a refusal of what went wrong, and logs what the caller is not to blame for.
    fn refuse(&self, wrong: &OriginError) -> Refusal {
        let refusal = Refusal::from(wrong);
        let (table, error) = (self.table.name(), wrong as &dyn Error);
        match refusal.status() {
            500 => error!(table, error, "the origin cannot be written"),
            503 => warn!(table, error, "the origin did not answer"),
            _ => {}
        }
        refusal
    }

    /// All that has to be forgotten beside the row's own key, which is forgotten by `own`: this is the one place where
    /// it is gathered. `rows` are the row as it was and as it is, as far as that is known, `fields` what is to be set
    /// where it is not.
    fn dependents<T: Target>(
        &self,
        app: &App<T>,
        rows: &[&[u8]],
        fields: Option<&Fields>,
        own: Forget,
    ) -> ToForget {
        let mut to_forget = ToForget::default();
        to_forget.add(self.beside.iter().cloned(), own);
        for (keys, how) in parents(app, self.table, rows, fields) {
            // A row may be its own parent, and is not forgotten when it is stored.
            to_forget.add(keys.into_iter().filter(|key| *key != self.key), how);
        }
        for list in app.lists.to_forget(self.table.name()) {
            to_forget.add(list.keys_to_forget().iter().cloned(), Forget::Hard);
        }
        to_forget
    }
}
