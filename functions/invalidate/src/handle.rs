//! The handler: from an event to what was done.

use std::error::Error;
use std::time::{Duration, SystemTime};

use larder_cache::{Invalidated, Invalidation};
use larder_client::Cluster;
use larder_lambda::batch::ItemFailure;
use larder_lambda::logs::chain;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::answer::Answer;
use crate::ask::{Ask, Message, ask};
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
    /// Invalidations that could be read, done or not.
    pub invalidations: u64,
    /// Keys that are forgotten.
    pub keys: u64,
    /// Keys that are not, or of which it is not known.
    pub keys_left: u64,
    /// Invalidations of which any key is left.
    pub unfinished: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// 1 if the invocation failed.
    pub failures: u64,
    /// How long ago the oldest message was sent, by the clocks of SQS and of this machine.
    pub age: Option<Duration>,
}

/// Has `cluster` forget what `event` asks for, at `now` by the wall clock, by `deadline`.
///
/// What is left, and what cannot be read, is logged here.
pub async fn handle(cluster: &Cluster, event: &Value, now: SystemTime, deadline: Instant) -> Handled {
    let mut work = Work::default();
    let answer = answer(cluster, event, now, deadline, &mut work).await;
    if let Err(failure) = &answer {
        error!(error = failure as &dyn Error, "not everything was forgotten");
        work.failures = 1;
    }
    Handled { answer, work }
}

async fn answer(
    cluster: &Cluster,
    event: &Value,
    now: SystemTime,
    deadline: Instant,
    work: &mut Work,
) -> Result<Answer, Failure> {
    match ask(event)? {
        Ask::Queue(messages) => {
            work.age = oldest(&messages, now);
            Ok(Answer::Batch { failures: forget_messages(cluster, messages, deadline, work).await })
        }
        Ask::Messages(messages) => match forget_messages(cluster, messages, deadline, work).await.len() {
            0 => Ok(Answer::Keys { forgotten: work.keys as usize, left: None, errors: Vec::new() }),
            left => Err(Failure::NotDone(left)),
        },
        Ask::Keys(invalidation) => Ok(forget_keys(cluster, &invalidation, deadline, work).await),
    }
}

/// Answers which messages are not wholly done.
async fn forget_messages(
    cluster: &Cluster,
    messages: Vec<Message>,
    deadline: Instant,
    work: &mut Work,
) -> Vec<ItemFailure> {
    let mut failures = Vec::new();
    for Message { id, invalidations, .. } in messages {
        let is_done = match invalidations {
            Ok(invalidations) => {
                let mut is_done = true;
                for invalidation in &invalidations {
                    is_done &= forget(cluster, invalidation, deadline, Some(&id), work).await.left.is_none();
                }
                is_done
            }
            Err(unreadable) => {
                error!(message_id = id, error = &unreadable as &dyn Error, "a message cannot be read");
                work.malformed += 1;
                false
            }
        };
        if !is_done {
            failures.push(ItemFailure { id });
        }
    }
    failures
}

async fn forget_keys(
    cluster: &Cluster,
    invalidation: &Invalidation,
    deadline: Instant,
    work: &mut Work,
) -> Answer {
    let Invalidated { done, left, errors } = forget(cluster, invalidation, deadline, None, work).await;
    Answer::Keys { forgotten: done, left, errors: errors.iter().map(|error| chain(error)).collect() }
}

async fn forget(
    cluster: &Cluster,
    invalidation: &Invalidation,
    deadline: Instant,
    message_id: Option<&str>,
    work: &mut Work,
) -> Invalidated {
    let invalidated = invalidation.run(cluster, deadline).await;
    work.invalidations += 1;
    work.keys += invalidated.done as u64;
    if let Some(left) = &invalidated.left {
        work.unfinished += 1;
        work.keys_left += left.keys.len() as u64;
        let (done, left) = (invalidated.done, left.keys.len());
        match invalidated.errors.first() {
            Some(error) => warn!(message_id, done, left, error = error as &dyn Error, "keys are left"),
            None => warn!(message_id, done, left, "keys are left, there was too little time"),
        }
    }
    invalidated
}

/// How long before `now` the oldest message was sent; 0 for one of the future, by a clock that was ahead.
fn oldest(messages: &[Message], now: SystemTime) -> Option<Duration> {
    let sent = messages.iter().filter_map(|message| message.sent).min()?;
    Some(now.duration_since(sent).unwrap_or_default())
}
