//! The handler: from a request to its answer.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use larder_cache::{Answer, Counts, LoadError, Policy};
use larder_client::Key;
use larder_lambda::http::{HttpAnswer, HttpRequest};
use larder_origin::{Id, Origin, OriginError, Record};
use larder_ring::Epoch;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::answer::{record, records};
use crate::app::App;
use crate::ask::Ask;
use crate::refusal::Refusal;

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
    /// How the records were come by.
    pub counts: Counts,
    /// The time spent in the origin.
    pub origin_time: Duration,
    /// The epoch of the ring that was gone by in the end, if one is published.
    pub ring_epoch: Option<u64>,
}

/// Answers `request` by `deadline`.
///
/// Never fails: what goes wrong is an answer, too, and logged here if the caller is not to blame.
pub async fn handle(app: &App, request: &HttpRequest, deadline: Instant) -> Handled {
    let mut work = Work::default();
    let answered = match Asked::new(app, request) {
        Ok(asked) => asked.answer(app, deadline, &mut work).await,
        Err(refusal) => Err(refusal),
    };
    let mut answer = answered.unwrap_or_else(Refusal::answer);
    if request.method() == "HEAD" {
        answer.body.clear();
    }
    Handled { answer, work }
}

/// What is asked of one table, each record once.
struct Asked<'a> {
    table: &'a str,
    policy: &'a Policy,
    ids: Vec<Id>,
    keys: Vec<Key>,
    /// For a batch: which of `ids` stands at each place that was asked.
    places: Option<Vec<usize>>,
}

impl<'a> Asked<'a> {
    /// Checks a request as far as that can be done without asking anyone.
    fn new(app: &'a App, request: &HttpRequest) -> Result<Self, Refusal> {
        let (table, texts, places) = match Ask::of(request)? {
            Ask::One { table, id } => (table, vec![id], None),
            Ask::Many { table, ids } => {
                let (distinct, places) = distinct(ids);
                (table, distinct, Some(places))
            }
        };
        let (table, policy) = app.table(&table).ok_or(Refusal::UnknownTable)?;
        let ids: Result<Vec<_>, _> = texts.iter().map(|id| app.origin.id(table, id)).collect();
        let ids = ids.map_err(|wrong| refuse(&wrong))?;
        let keys: Result<Vec<_>, _> = ids.iter().map(|id| app.key(table, id)).collect();
        let keys = keys.map_err(|wrong| {
            error!(
                table,
                error = &wrong as &dyn std::error::Error,
                "no key can be made of this table's name"
            );
            Refusal::Misconfigured
        })?;
        Ok(Self { table, policy, ids, keys, places })
    }

    async fn answer(&self, app: &App, deadline: Instant, work: &mut Work) -> Result<HttpAnswer, Refusal> {
        let answers = self.read(app, deadline, work).await?;
        match (&self.places, answers.as_slice()) {
            (None, [answer]) => Ok(record(answer, &work.counts)),
            (places, answers) => Ok(records(answers, places.as_deref().unwrap_or_default(), &work.counts)),
        }
    }

    /// Reads them through the cache, and says in `work` what that took.
    async fn read(&self, app: &App, deadline: Instant, work: &mut Work) -> Result<Vec<Answer>, Refusal> {
        let origin_time = Mutex::new(Duration::ZERO);
        let load = |missing| self.load(&app.origin, missing, deadline, &origin_time);
        let batch = app.cache.get_or_load_many(&self.keys, self.policy, deadline, load).await;
        *work = Work {
            table: Some(self.table.to_owned()),
            counts: batch.counts,
            origin_time: origin_time.into_inner().unwrap_or_default(),
            ring_epoch: app.cache.cluster().epoch().map(Epoch::number),
        };
        batch.answers.into_iter().collect::<Result<_, _>>().map_err(|wrong| self.refuse(&wrong))
    }

    /// Loads those of `missing` from the origin, in one call.
    async fn load(
        &self,
        origin: &Origin,
        missing: Vec<usize>,
        deadline: Instant,
        time: &Mutex<Duration>,
    ) -> Result<Vec<Option<Bytes>>, OriginError> {
        let started = Instant::now();
        let ids: Vec<_> = missing.into_iter().map(|index| self.ids[index].clone()).collect();
        let loaded = origin.load_many(self.table, &ids, deadline.into_std()).await;
        if let Ok(mut time) = time.lock() {
            *time += started.elapsed();
        }
        Ok(loaded?.into_iter().map(|record| record.map(Record::into_bytes)).collect())
    }

    /// Makes a refusal of what went wrong behind the cache, and logs what the caller is not to blame for.
    fn refuse(&self, wrong: &LoadError<OriginError>) -> Refusal {
        let refusal = match wrong {
            LoadError::Origin(wrong) => refuse(wrong),
            LoadError::Miscounted { .. } => Refusal::Misconfigured,
            _ => Refusal::OriginUnavailable,
        };
        let error = wrong as &dyn std::error::Error;
        match refusal.status() {
            500 => error!(table = self.table, error, "the origin cannot be read"),
            503 => warn!(table = self.table, error, "neither cache nor origin had an answer"),
            _ => {}
        }
        refusal
    }
}

/// Each of `ids` once, and for every place which one stands there.
fn distinct(ids: Vec<String>) -> (Vec<String>, Vec<usize>) {
    let mut distinct = Vec::with_capacity(ids.len());
    let mut known = HashMap::with_capacity(ids.len());
    let places = ids.into_iter().map(|id| {
        *known.entry(id).or_insert_with_key(|id| {
            distinct.push(id.clone());
            distinct.len() - 1
        })
    });
    let places = places.collect();
    (distinct, places)
}

fn refuse(wrong: &OriginError) -> Refusal {
    match wrong {
        OriginError::UnknownTable => Refusal::UnknownTable,
        OriginError::BadId(bad) => Refusal::BadId(*bad),
        OriginError::TooManyIds(_) => Refusal::TooManyIds,
        OriginError::Misconfigured(_) => Refusal::Misconfigured,
        _ => Refusal::OriginUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_id_is_asked_once_and_stands_at_all_its_places() {
        let ids = ["3", "1", "3", "2", "1"].map(str::to_owned).to_vec();
        assert_eq!(distinct(ids), (["3", "1", "2"].map(str::to_owned).to_vec(), vec![0, 1, 0, 2, 1]));
    }
}
