//! The handler: from an event to lists that are young again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use larder_cache::{ListItems, LoadError, RefreshError, Refreshed};
use larder_lambda::batch::ItemFailure;
use larder_lambda::envelope;
use larder_lambda::logs::chain;
use larder_lambda::stopwatch::Stopwatch;
use larder_origin::{OriginError, Record};
use larder_records::List;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::answer::{Answer, Done, ListDone};
use crate::app::{App, Source};
use crate::ask::{Ask, Message, Request};
use crate::failure::Failure;

/// What became of an event.
#[derive(Debug)]
pub struct Handled {
    /// What the caller gets.
    pub answer: Result<Answer, Failure>,
    /// What was done, for the metrics.
    pub work: Work,
}

/// What a run took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// What became of the lists, in the order in which they were looked after.
    pub lists: Vec<ListDone>,
    /// The lists whose query was run, and how long it took.
    pub query_times: Vec<(String, Duration)>,
    /// How old the oldest list is after the run, of those that it looked at; `None` where none is there.
    pub oldest_age: Option<Duration>,
    /// What went wrong with the whole run.
    pub failure: Option<&'static str>,
}

/// Refreshes what `event` asks for, by `deadline`.
pub async fn handle<S: Source>(app: &App<S>, event: &Value, deadline: Instant) -> Handled {
    let mut work = Work::default();
    let answer = answer(app, event, deadline, &mut work).await;
    if let Err(failure) = &answer {
        work.failure = Some(failure.name());
        error!(error = failure as &dyn std::error::Error, "no list was refreshed");
    }
    Handled { answer, work }
}

/// Refreshes the lists of one message after the other. A message that cannot be read, or for which lists failed and
/// nothing else was done, is reported to its queue; where there is none, such a run is a failure.
async fn answer<S: Source>(
    app: &App<S>,
    event: &Value,
    deadline: Instant,
    work: &mut Work,
) -> Result<Answer, Failure> {
    let Request { source, messages } = Request::of(event)?;
    let mut failures = Vec::new();
    for Message { id, asks } in messages {
        let first = work.lists.len();
        let is_read = asks.is_ok();
        for ask in asks.unwrap_or_default() {
            Run { app, deadline, work }.all(ask).await;
        }
        let failed = nothing_done(&work.lists[first..]);
        if !is_read || failed.is_some() {
            warn!(message_id = id, is_read, "a message is not done");
            failures.push(ItemFailure { id });
        }
    }
    let failures = (source == envelope::Source::Queue).then_some(failures);
    match nothing_done(&work.lists) {
        Some(failure) if failures.is_none() => Err(failure),
        _ => Ok(Answer { lists: work.lists.clone(), failures }),
    }
}

/// A failure where something failed and nothing else was done.
fn nothing_done(lists: &[ListDone]) -> Option<Failure> {
    let errors = lists.iter().filter_map(|list| match &list.done {
        Done::Failed { error } => Some(format!("{}: {error}", list.list)),
        _ => None,
    });
    let errors: Vec<String> = errors.collect();
    let is_idle = |list: &ListDone| matches!(list.done, Done::Failed { .. } | Done::Left);
    let first = errors.first().filter(|_| lists.iter().all(is_idle))?.clone();
    Some(Failure::NothingDone { failed: errors.len(), first })
}

/// One run.
struct Run<'a, S> {
    app: &'a App<S>,
    deadline: Instant,
    work: &'a mut Work,
}

/// A list that is to be refreshed.
struct Due<'a> {
    list: &'a List,
    /// How old it is, where that is known.
    age: Option<Duration>,
    /// How old it has to be yet when its turn comes.
    least_age: Duration,
}

impl<'a, S: Source> Run<'a, S> {
    async fn all(&mut self, ask: Ask) {
        let due = match ask {
            Ask::Due => self.due().await,
            Ask::Named { names, force } => self.named(&names, force).await,
        };
        for due in due {
            let (done, age) = self.one(&due).await;
            self.note(due.list.name(), done, age);
        }
    }

    /// The lists that are due, the most overdue first: those that are not there before all others.
    async fn due(&mut self) -> Vec<Due<'a>> {
        let lists: Vec<&List> = self.app.lists.iter().collect();
        let mut due = Vec::new();
        for (list, age) in lists.iter().zip(self.ages(&lists).await) {
            let period = list.timed().period();
            let least_age = period - period / EARLY;
            match age {
                Some(age) if age < least_age => self.see(Some(age)),
                age => due.push(Due { list, age, least_age }),
            }
        }
        // An age that is not known counts as the greatest.
        let overdue = |due: &Due<'_>| due.age.map_or(Duration::MAX, |age| age.saturating_sub(due.least_age));
        due.sort_by_key(|due| std::cmp::Reverse(overdue(due)));
        due
    }

    /// The lists that are called by their `names`; those that there are not are noted.
    async fn named(&mut self, names: &[String], force: bool) -> Vec<Due<'a>> {
        let (known, unknown): (Vec<_>, Vec<_>) =
            names.iter().map(|name| (name, self.app.lists.get(name))).partition(|(_, list)| list.is_some());
        for (name, _) in unknown {
            warn!(list = name.as_str(), "there is no such list");
            self.note(name, Done::Failed { error: "there is no such list".to_owned() }, None);
        }
        let lists: Vec<&List> = known.into_iter().filter_map(|(_, list)| list).collect();
        let ages = self.ages(&lists).await;
        let due = lists.into_iter().zip(ages).map(|(list, age)| {
            let least_age = if force { Duration::ZERO } else { list.timed().period() / 2 };
            Due { list, age, least_age }
        });
        due.collect()
    }

    /// How old the lists are; `None` for those that are not there, and those that could not be asked for.
    async fn ages(&self, lists: &[&List]) -> Vec<Option<Duration>> {
        let timed: Vec<_> = lists.iter().map(|list| list.timed()).collect();
        let ages = self.app.cache.list_ages(&timed, self.deadline).await;
        ages.into_iter().map(|age| age.ok().flatten()).collect()
    }

    /// Refreshes one list, if there is time; what became of it, and how old it is then.
    async fn one(&mut self, due: &Due<'_>) -> (Done, Option<Duration>) {
        let Due { list, age, least_age } = *due;
        if self.deadline.saturating_duration_since(Instant::now()) < LEAST_TIME {
            return (Done::Left, age);
        }
        let query_time = Mutex::new(None);
        let load = || async {
            let tell = |time| *query_time.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
            let _timed = Stopwatch::start(tell);
            let by = self.deadline.min(Instant::now() + list.timed().load_for());
            let rows = self.app.source.list(list.query(), list.n(), by.into_std()).await;
            rows.map(|rows| ListItems::of(rows.iter().map(Record::json)))
        };
        // Boxed, for what it takes to ask cache and origin is large.
        let refreshed =
            Box::pin(self.app.cache.refresh_list(list.timed(), least_age, self.deadline, load)).await;
        let query_time = query_time.into_inner().unwrap_or_default();
        self.work.query_times.extend(query_time.map(|time| (list.name().to_owned(), time)));
        match refreshed {
            Ok(Refreshed::Stored { count }) => (Done::Refreshed { rows: count }, Some(Duration::ZERO)),
            Ok(Refreshed::Unchanged { count }) => (Done::Unchanged { rows: count }, Some(Duration::ZERO)),
            Ok(Refreshed::NotDue { age }) => (Done::NotDue { age_secs: age.as_secs() }, Some(age)),
            Ok(Refreshed::UnderWay) => (Done::UnderWay, age),
            Ok(Refreshed::Overtaken) => (Done::Overtaken, age),
            // It was our time that was over, not that of its query.
            Err(RefreshError::Load(LoadError::Deadline)) => (Done::Left, age),
            // Its key is moving to another node; that is over soon.
            Err(RefreshError::NotStored) => (Done::Left, age),
            Err(error) => (failed(list, &error), age),
        }
    }

    fn note(&mut self, list: &str, done: Done, age: Option<Duration>) {
        if let Done::Refreshed { rows } | Done::Unchanged { rows } = done {
            info!(list, rows, is_new = matches!(done, Done::Refreshed { .. }), "a list is young again");
        }
        self.work.lists.push(ListDone { list: list.to_owned(), done });
        self.see(age);
    }

    fn see(&mut self, age: Option<Duration>) {
        self.work.oldest_age = self.work.oldest_age.max(age);
    }
}

fn failed(list: &List, error: &RefreshError<OriginError>) -> Done {
    warn!(list = list.name(), error = error as &dyn std::error::Error, "a list stays as it was");
    Done::Failed { error: chain(error) }
}

/// With less, no list is begun.
pub const LEAST_TIME: Duration = Duration::from_secs(1);
/// A list is due this part of its period early, for no schedule is punctual to the second.
const EARLY: u32 = 10;
