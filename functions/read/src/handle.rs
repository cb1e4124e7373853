//! The handler: from a request to its answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use larder_cache::{Answer, Batch, Counts, LoadError, Loaded};
use larder_client::Key;
use larder_lambda::http::{HttpAnswer, HttpRequest};
use larder_lambda::stopwatch::Stopwatch;
use larder_origin::{BadId, Id, OriginError, Record};
use larder_records::{LoadFailure, Table};
use larder_ring::Epoch;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::answer::{record, records};
use crate::app::{App, Source};
use crate::ask::Ask;
use crate::lists;
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
    /// The list, if there is such a one.
    pub list: Option<String>,
    /// How the records, or the list, were come by.
    pub counts: Counts,
    /// The time spent in the origin.
    pub origin_time: Duration,
    /// The epoch of the ring that was gone by in the end, if one is published.
    pub ring_epoch: Option<u64>,
}

/// Answers `request` by `deadline`.
///
/// Never fails: what goes wrong is an answer, too, and logged here if the caller is not to blame.
pub async fn handle<S: Source>(app: &App<S>, request: &HttpRequest, deadline: Instant) -> Handled {
    let mut work = Work::default();
    let answered = match lists::asked(&app.lists, request) {
        Some(Ok(list)) => lists::answer(app, list, request, deadline, &mut work).await,
        Some(Err(refusal)) => Err(refusal),
        None => match Asked::new(app, request) {
            Ok(asked) => asked.answer(app, deadline, &mut work).await,
            Err(refusal) => Err(refusal),
        },
    };
    let mut answer = answered.unwrap_or_else(Refusal::answer);
    if request.method() == "HEAD" {
        answer.body.clear();
    }
    Handled { answer, work }
}

/// What is asked of one table, each record once.
struct Asked<'a> {
    table: &'a Table,
    ids: Vec<Id>,
    keys: Vec<Key>,
    /// For a batch: which of `ids` stands at each place that was asked, if the id there can be one.
    places: Option<Vec<Option<usize>>>,
    /// For one record: the oldest version that is good enough.
    min_version: Option<u64>,
}

impl<'a> Asked<'a> {
    /// Checks a request as far as that can be done without asking anyone.
    fn new<S: Source>(app: &'a App<S>, request: &HttpRequest) -> Result<Self, Refusal> {
        let (table, texts, is_batch, min_version) = match Ask::of(request)? {
            Ask::One { table, id, min_version } => (table, vec![id], false, min_version),
            Ask::Many { table, ids } => (table, ids, true, None),
        };
        let table = app.records.table(&table).ok_or(Refusal::UnknownTable)?;
        if min_version.is_some() && table.config.version.is_none() {
            return Err(Refusal::NoVersions);
        }
        let id = |text: &str| match app.source.id(table.name(), text) {
            // In a batch it is the id of no record; the others have done nothing wrong.
            Err(OriginError::BadId(bad)) if is_batch && bad.is_of_another_kind() => Ok(None),
            id => id.map(Some).map_err(|wrong| refuse(&wrong)),
        };
        let (ids, places) = distinct(&texts, id)?;
        let places = is_batch.then_some(places);
        let keys: Result<Vec<_>, _> = ids.iter().map(|id| app.records.key(table, id)).collect();
        let keys = keys.map_err(|wrong| {
            error!(
                table = table.name(),
                error = &wrong as &dyn std::error::Error,
                "no key can be made of this table's name"
            );
            Refusal::Misconfigured
        })?;
        Ok(Self { table, ids, keys, places, min_version })
    }

    async fn answer<S: Source>(
        &self,
        app: &App<S>,
        deadline: Instant,
        work: &mut Work,
    ) -> Result<HttpAnswer, Refusal> {
        let answers = self.read(app, deadline, work).await?;
        match (&self.places, answers.as_slice()) {
            (None, [answer]) => Ok(record(answer, &work.counts)),
            (places, answers) => Ok(records(answers, places.as_deref().unwrap_or_default(), &work.counts)),
        }
    }

    /// Reads them through the cache, and says in `work` what that took.
    async fn read<S: Source>(
        &self,
        app: &App<S>,
        deadline: Instant,
        work: &mut Work,
    ) -> Result<Vec<Answer>, Refusal> {
        let told = Told::default();
        // Boxed, for most reads need no origin, and what it takes to ask one is large.
        let load = |missing| Box::pin(self.load(&app.source, missing, deadline, &told));
        let (keys, policy) = (&self.keys[..], &self.table.policy);
        let batch = match (keys, self.min_version) {
            ([key], Some(version)) => {
                let load_one = || async { load(vec![0]).await.map(|mut loaded| loaded.pop().flatten()) };
                let read = app.cache.get_at_least(key, version, policy, deadline, load_one);
                let (answer, counts) = Box::pin(read).await;
                Batch { answers: vec![answer], counts }
            }
            _ => app.cache.get_or_load_many(keys, policy, deadline, load).await,
        };
        *work = Work {
            table: Some(self.table.name().to_owned()),
            list: None,
            counts: batch.counts,
            origin_time: told.time(),
            ring_epoch: app.cache.cluster().epoch().map(Epoch::number),
        };
        if let Some(bad) = told.bad_id() {
            return Err(Refusal::BadId(bad));
        }
        batch.answers.into_iter().collect::<Result<_, _>>().map_err(|wrong| self.refuse(&wrong))
    }

    /// Loads those of `missing` from the origin, in one call.
    async fn load<S: Source>(
        &self,
        source: &S,
        missing: Vec<usize>,
        deadline: Instant,
        told: &Told,
    ) -> Result<Vec<Option<Loaded>>, LoadFailure> {
        let _timed = Stopwatch::start(|time| told.lock().time += time);
        let deadline = deadline.min(Instant::now() + self.table.policy.load_for);
        let ids: Vec<_> = missing.into_iter().map(|index| self.ids[index].clone()).collect();
        let loaded = source.load_many(self.table.name(), &ids, deadline.into_std()).await?;
        // It may only now be known what an id can be.
        if let (None, [id]) = (&self.places, &ids[..])
            && let Err(OriginError::BadId(bad)) = source.id(self.table.name(), id.as_str())
        {
            told.lock().bad_id = Some(bad);
        }
        Ok(loaded.into_iter().map(|record| record.map(to_loaded)).collect())
    }

    /// Makes a refusal of what went wrong behind the cache, and logs what the caller is not to blame for.
    fn refuse(&self, wrong: &LoadError<LoadFailure>) -> Refusal {
        let refusal = match wrong {
            LoadError::Origin(wrong) => refuse(&wrong.0),
            LoadError::Miscounted { .. } => Refusal::Misconfigured,
            LoadError::Older { .. } => Refusal::NotYet,
            _ => Refusal::OriginUnavailable,
        };
        let error = wrong as &dyn std::error::Error;
        match refusal.status() {
            500 => error!(table = self.table.name(), error, "the origin cannot be read"),
            503 => warn!(table = self.table.name(), error, "neither cache nor origin had an answer"),
            _ => {}
        }
        refusal
    }
}

/// What a load has to tell beside its records.
#[derive(Debug, Default)]
struct Told(Mutex<Tale>);

#[derive(Debug, Default)]
struct Tale {
    time: Duration,
    bad_id: Option<BadId>,
}

impl Told {
    fn time(&self) -> Duration {
        self.lock().time
    }

    fn bad_id(&self) -> Option<BadId> {
        self.lock().bad_id
    }

    fn lock(&self) -> MutexGuard<'_, Tale> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record as it is cached, with its version.
fn to_loaded(record: Record) -> Loaded {
    let version = record.version();
    Loaded { version, ..Loaded::json(record.into_bytes()) }
}

/// What each of `texts` is, as far as it is any, and which of these stands at every place.
fn distinct<I, E>(
    texts: &[String],
    id: impl Fn(&str) -> Result<Option<I>, E>,
) -> Result<(Vec<I>, Vec<Option<usize>>), E> {
    let (mut distinct, mut places) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
    let mut known: HashMap<&str, Option<usize>> = HashMap::with_capacity(texts.len());
    for text in texts {
        let place = match known.get(text.as_str()) {
            Some(place) => *place,
            None => id(text)?.map(|id| {
                distinct.push(id);
                distinct.len() - 1
            }),
        };
        known.insert(text, place);
        places.push(place);
    }
    Ok((distinct, places))
}

pub(crate) fn refuse(wrong: &OriginError) -> Refusal {
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

    fn places(texts: &[&str]) -> Result<(Vec<String>, Vec<Option<usize>>), String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        distinct(&texts, |text| match text {
            "" => Err("empty".to_owned()),
            text => Ok(text.parse().ok().map(|number: u8| number.to_string())),
        })
    }

    #[test]
    fn a_repeated_id_is_asked_once_and_stands_at_all_its_places() {
        let expected = (vec!["3".to_owned(), "1".into(), "2".into()], [0, 1, 0, 2, 1].map(Some).to_vec());
        assert_eq!(places(&["3", "1", "3", "2", "1"]), Ok(expected));
    }

    #[test]
    fn an_id_that_can_be_none_is_not_asked_and_one_that_is_malformed_is_refused() {
        let expected = (vec!["3".to_owned(), "1".into()], vec![None, Some(0), None, Some(1), Some(0)]);
        assert_eq!(places(&["x", "3", "x", "1", "3"]), Ok(expected));
        assert_eq!(places(&["x"]), Ok((Vec::new(), vec![None])));
        assert_eq!(places(&["3", ""]), Err("empty".to_owned()));
    }
}
