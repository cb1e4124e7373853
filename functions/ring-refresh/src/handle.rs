//! The handler: from an event to a ring that is as it should be.

use larder_discovery::Effect;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::answer::Answer;
use crate::app::App;
use crate::ask::{Ask, Record};
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
    /// Records that could not be read.
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
    let is_asked = match Ask::of(event, &app.cluster_name)? {
        Ask::Reconcile => true,
        Ask::Notices(records) => {
            records.iter().for_each(|record| note(record, work));
            work.node_notices > 0
        }
    };
    if !is_asked {
        return Ok(Answer::default());
    }
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

/// Counts a record and logs it.
fn note(record: &Record, work: &mut Work) {
    let message_id = &record.message_id;
    match &record.notice {
        Err(wrong) => {
            work.malformed += 1;
            warn!(message_id, error = wrong as &dyn std::error::Error, "a notice could not be read");
        }
        Ok((notice, effect)) => {
            let (event, cluster) = (notice.event.name(), &notice.cluster);
            match effect {
                Some(Effect::Nodes) => {
                    work.node_notices += 1;
                    info!(message_id, event, cluster, "nodes changed");
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
        }
    }
}
