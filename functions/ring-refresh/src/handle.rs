//! The handler: from an event to a ring that is as it should be.

use larder_discovery::{Effect, Notice};
use larder_lambda::batch::ItemFailure;
use larder_lambda::envelope::Source;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::answer::Answer;
use crate::app::App;
use crate::ask::{Ask, Record, Said, UnknownEvent};
use crate::compare::{Comparison, compare};
use crate::failure::Failure;

/// What became of an event.
#[derive(Debug)]
pub struct Handled {
    /// What the caller gets.
    pub answer: Result<Answer, Failure>,
    /// What was done, for the metrics.
    pub work: Work,
}

/// What an event took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Work {
    /// Notices that say that nodes changed.
    pub node_notices: u64,
    /// Notices that a person should look at.
    pub alarms: u64,
    /// Notices that are only logged, those about other clusters among them.
    pub ignored: u64,
    /// Messages, or parts of one, that could not be read.
    pub malformed: u64,
    /// Documents that were published.
    pub published: u64,
    /// Keys that were copied to nodes that came.
    pub copied_keys: u64,
    /// Bytes of their values.
    pub copied_bytes: u64,
    /// Nodes that could not be asked.
    pub unreachable: u64,
    /// Runs that left work for the next one.
    pub unfinished: u64,
    /// What ElastiCache's API says.
    pub comparison: Comparison,
    /// Invocations that failed.
    pub failures: u64,
}

/// Does what `event` asks for, by `deadline`.
pub async fn handle(app: &App, event: &Value, deadline: Instant) -> Handled {
    let mut work = Work::default();
    let answer = answer(app, event, deadline, &mut work).await;
    if let Err(failure) = &answer {
        work.failures = 1;
        error!(error = failure as &dyn std::error::Error, "the ring was not brought up to date");
    }
    Handled { answer, work }
}

async fn answer(app: &App, event: &Value, deadline: Instant, work: &mut Work) -> Result<Answer, Failure> {
    let ask = Ask::of(event, &app.cluster_name)?;
    let is_asked = ask.records.iter().map(|record| note(record, work)).fold(false, |all, one| all | one);
    let mut answer = Answer::default();
    if is_asked {
        answer = reconcile(app, deadline, work).await?;
    }
    match ask.source {
        Source::Queue => {
            let unread = ask.records.into_iter().filter(Record::is_unread);
            answer.failures = Some(unread.map(|record| ItemFailure { id: record.message_id }).collect());
            Ok(answer)
        }
        // A message that is no notice is the topic's own affair, and as unreadable in the next try. A record of another
        // service is a mistake in the deployment: it goes to the dead letters, which a person is told of.
        _ if ask.records.iter().any(Record::is_sealed) => Err(UnknownEvent.into()),
        _ => Ok(answer),
    }
}

async fn reconcile(app: &App, deadline: Instant, work: &mut Work) -> Result<Answer, Failure> {
    let report = app.publisher.reconcile(deadline).await?;
    work.published = report.published.len() as u64;
    work.copied_keys = report.warmed.copied as u64;
    work.copied_bytes = report.warmed.bytes;
    work.unreachable = report.unreachable.len() as u64;
    work.unfinished = report.unfinished.is_some().into();
    if let Some(unfinished) = report.unfinished {
        warn!(?unfinished, "work is left for the next run");
    }
    if let Some(control) = &app.control {
        work.comparison = compare(control, report.document.as_ref(), deadline).await;
    }
    Ok(Answer::from(&report))
}

/// Counts a record and logs it; answers whether the ring is to be compared for it.
fn note(record: &Record, work: &mut Work) -> bool {
    let message_id = &record.message_id;
    let mut is_asked = false;
    for said in &record.says {
        let unread: &dyn std::error::Error = match said {
            Said::Reconcile => {
                is_asked = true;
                continue;
            }
            Said::Notice(notice, effect) => {
                is_asked |= note_notice(message_id, notice, *effect, work);
                continue;
            }
            Said::Malformed(malformed) => malformed,
            Said::Sealed(fault) => fault,
        };
        work.malformed += 1;
        warn!(message_id, error = unread, "a notice could not be read");
    }
    is_asked
}

fn note_notice(message_id: &str, notice: &Notice, effect: Option<Effect>, work: &mut Work) -> bool {
    let (event, cluster) = (notice.event.name(), &notice.cluster);
    match effect {
        Some(Effect::Nodes) => {
            work.node_notices += 1;
            info!(message_id, event, cluster, "nodes changed");
            return true;
        }
        Some(Effect::Gone) => {
            work.alarms += 1;
            error!(message_id, event, cluster, "the cluster is deleted");
        }
        Some(Effect::Alarm) => {
            work.alarms += 1;
            error!(message_id, event, cluster, details = ?notice.details, "ElastiCache reports a failure");
        }
        Some(Effect::Log) => {
            work.ignored += 1;
            info!(message_id, event, cluster, details = ?notice.details, "a notice that changes no node");
        }
        None => {
            work.ignored += 1;
            info!(message_id, event, cluster, "a notice about another cluster");
        }
    }
    false
}
