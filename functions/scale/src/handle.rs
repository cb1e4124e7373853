//! The handler: from an event to what was done.

use std::time::{Duration, SystemTime};

use larder_control::{ClusterState, ControlError, NodeId, NodeStatus};
use larder_lambda::batch::ItemFailure;
use larder_lambda::envelope::Source;
use larder_ring::RingNode;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::answer::{Answer, Answers};
use crate::app::App;
use crate::ask::{Ask, Change, Message, Request, is_read};
use crate::failure::Failure;
use crate::plan::{Plan, Refusal, has_followed, plan};
use crate::ring::{Retired, Ring, RingState};

/// What became of an event.
#[derive(Debug)]
pub struct Handled {
    /// What the caller gets.
    pub answer: Result<Answers, Failure>,
    /// What was done, for the metrics.
    pub work: Work,
}

/// What an event took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Work {
    /// Nodes asked for.
    pub nodes_added: u64,
    /// Nodes that are being taken away.
    pub nodes_removed: u64,
    /// Changes asked for and not made, because of the cluster's state, a bound or the cool-down.
    pub refusals: u64,
    /// Messages that ask for nothing.
    pub ignored: u64,
    /// Nodes that were on their way out of the ring and were taken back.
    pub restored: u64,
    /// Keys copied to the nodes that stay.
    pub copied_keys: u64,
    /// 1 if the invocation failed.
    pub failures: u64,
}

/// Does what `event` asks for, at `now` by the wall clock, and answers by `deadline`.
///
/// The first failure ends it, and is logged here; what was done for the records before stays done. From a queue it is
/// no failure of the invocation: the messages that are not done are reported.
pub async fn handle<R: Ring>(app: &App<R>, event: &Value, now: SystemTime, deadline: Instant) -> Handled {
    let mut work = Work::default();
    let answer = handle_all(app, event, now, deadline, &mut work).await;
    if let Err(failure) = &answer {
        work.failures = 1;
        error!(error = failure as &dyn std::error::Error, "the cluster was not scaled");
    }
    Handled { answer, work }
}

async fn handle_all<R: Ring>(
    app: &App<R>,
    event: &Value,
    now: SystemTime,
    deadline: Instant,
    work: &mut Work,
) -> Result<Answers, Failure> {
    let Request { source, messages } = Request::of(event, &app.alarms)?;
    let mut step = Step { app, now, deadline, work };
    if source == Source::Queue {
        return Ok(step.take_from_queue(messages).await);
    }
    let mut answers = Vec::new();
    for ask in messages.into_iter().flat_map(|message| message.asks) {
        answers.push(step.answer(ask).await?);
    }
    Ok(answers.into())
}

/// One node more or less.
struct Step<'a, R> {
    app: &'a App<R>,
    now: SystemTime,
    deadline: Instant,
    work: &'a mut Work,
}

impl<R: Ring> Step<'_, R> {
    /// Takes the messages of a queue one after the other. One that cannot be read is reported; so is one that fails,
    /// with those behind it, for the state of the cluster is then unknown. What was done before is not asked for again.
    async fn take_from_queue(&mut self, messages: Vec<Message>) -> Answers {
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        for Message { id, asks } in messages {
            let mut is_done = self.work.failures == 0 && asks.iter().all(is_read);
            for ask in asks {
                if self.work.failures > 0 {
                    break;
                }
                match self.answer(ask).await {
                    Ok(answer) => answers.push(answer),
                    Err(failure) => {
                        let error = &failure as &dyn std::error::Error;
                        error!(message_id = id, error, "the cluster was not scaled");
                        self.work.failures = 1;
                        is_done = false;
                    }
                }
            }
            if !is_done {
                failures.push(ItemFailure { id });
            }
        }
        Answers::Batch { answers, failures }
    }

    async fn answer(&mut self, ask: Ask) -> Result<Answer, Failure> {
        match ask {
            // Boxed, for what it takes is large and deeply nested.
            Ok(change) => Box::pin(self.take(change)).await,
            Err(ignored) => {
                info!(detail = %ignored, "nothing is asked for");
                self.work.ignored += 1;
                Ok(Answer::ignored(&ignored))
            }
        }
    }

    async fn take(&mut self, change: Change) -> Result<Answer, Failure> {
        let state = self.describe().await.map_err(Failure::Control)?;
        let from = state.node_count;
        match self.plan_and_make(change, &state).await? {
            Ok(answer) => {
                self.app.note_change(self.now);
                Ok(answer)
            }
            Err(refusal) => {
                warn!(nodes = from, detail = %refusal, "the cluster is left as it is");
                self.work.refusals += 1;
                Ok(Answer::refused(&refusal, from))
            }
        }
    }

    /// The outer error is a failure, the inner one a reason to leave the cluster as it is.
    async fn plan_and_make(
        &mut self,
        change: Change,
        state: &ClusterState,
    ) -> Result<Result<Answer, Refusal>, Failure> {
        let mut ring = self.app.ring.state(self.deadline).await.map_err(Failure::RingUnknown)?;
        let unseen = self.unseen_change(state, &ring).await.map_err(Failure::Control)?;
        ring.last_change = ring.last_change.max(unseen).max(self.app.last_change());
        match plan(change, state, &ring, &self.app.bounds, self.now) {
            Err(refusal) => Ok(Err(refusal)),
            Ok(Plan::Out { to }) => self.add(state.node_count, to).await,
            Ok(Plan::Back { id, node }) => {
                self.restore(&node).await?;
                let (node, endpoint) = (id.to_string(), node.to_string());
                Ok(Ok(Answer::Back { nodes: state.node_count, node, endpoint }))
            }
            Ok(Plan::In { id, node, to }) => self.remove(state.node_count, to, &id, &node).await,
        }
    }

    /// The last event of the cluster within the cool-down, where the ring has not followed the nodes: it is lost, or
    /// ring-refresh has not run since the change, so its own time tells nothing. Which event it is does not matter; one
    /// too many puts a change off, one too few makes two.
    ///
    /// A local cluster remembers no events: there only the ring and this environment know.
    async fn unseen_change(
        &self,
        state: &ClusterState,
        ring: &RingState,
    ) -> Result<Option<SystemTime>, ControlError> {
        let cool_down = self.app.bounds.cool_down;
        if cool_down.is_zero() || !state.takes_changes() || has_followed(ring, state) {
            return Ok(None);
        }
        let events = self.within(self.app.control.events(cool_down)).await?;
        Ok(events.last().map(|event| event.at))
    }

    async fn add(&mut self, from: u32, to: u32) -> Result<Result<Answer, Refusal>, Failure> {
        if let Err(wrong) = self.within(self.app.control.grow_to(to)).await {
            return refusal(wrong).map(Err);
        }
        info!(from, to, "a node was asked for");
        self.work.nodes_added += 1;
        Ok(Ok(Answer::Out { from, to }))
    }

    /// Leaves `node` out of the ring, then has it taken away; where that is refused, takes it back into the ring.
    async fn remove(
        &mut self,
        from: u32,
        to: u32,
        id: &NodeId,
        node: &RingNode,
    ) -> Result<Result<Answer, Refusal>, Failure> {
        let retired = self.retire(node).await?;
        if let Err(wrong) = self.remove_node(id, to).await {
            // What was refused for sure, or seen not to be done, is taken back. In doubt the node stays out: another
            // try is sure to bring it to an end, while a node that goes must not be in the ring.
            if wrong.leaves_doubt() {
                return Err(Failure::Doubt(wrong));
            }
            self.restore(node).await?;
            return refusal(wrong).map(Err);
        }
        info!(from, to, node = %node, id = %id, epoch = retired.epoch, copied_keys = retired.copied_keys, "a node is being taken away");
        self.work.nodes_removed += 1;
        let Retired { epoch, copied_keys } = retired;
        Ok(Ok(Answer::In { from, to, node: id.to_string(), endpoint: node.to_string(), epoch, copied_keys }))
    }

    async fn retire(&mut self, node: &RingNode) -> Result<Retired, Failure> {
        let deadline = self.deadline.checked_sub(RESERVE).unwrap_or(self.deadline);
        if deadline < Instant::now() + SHORTEST_RETIREMENT {
            return Err(Failure::NoTime);
        }
        match self.app.ring.retire(node, deadline).await {
            Ok(retired) => {
                self.work.copied_keys += retired.copied_keys;
                Ok(retired)
            }
            Err(wrong) => {
                warn!(error = &*wrong as &dyn std::error::Error, node = %node, "the node could not be left out of the ring");
                self.restore(node).await?;
                Err(Failure::Ring(wrong))
            }
        }
    }

    async fn restore(&mut self, node: &RingNode) -> Result<(), Failure> {
        self.app.ring.restore(node, self.deadline).await.map_err(Failure::NotRestored)?;
        warn!(node = %node, "the node is back in the ring");
        self.work.restored += 1;
        Ok(())
    }

    /// Has a node taken away. Where that is refused, or no answer came, the cluster itself is asked whether it goes:
    /// another run at the same time may have asked for the same, and a node that goes must not be in the ring.
    ///
    /// Errors: one that leaves doubt if that is still not known.
    async fn remove_node(&self, id: &NodeId, left: u32) -> Result<(), ControlError> {
        let removed = self.within(self.app.control.remove_nodes(std::slice::from_ref(id), left)).await;
        let Err(wrong) = removed else { return Ok(()) };
        match self.describe().await {
            Ok(state) if is_going(id, &state) => Ok(()),
            Ok(state) if wrong.leaves_doubt() && state.takes_changes() => {
                Err(ControlError::Refused(format!("node {id} is still there, and nothing waits")))
            }
            Ok(_) | Err(_) => Err(wrong),
        }
    }

    async fn describe(&self) -> Result<ClusterState, ControlError> {
        self.within(self.app.control.describe()).await
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, ControlError>>,
    ) -> Result<T, ControlError> {
        timeout_at(self.deadline, call).await.unwrap_or_else(|late| Err(ControlError::NoAnswer(late.into())))
    }
}

/// What an error means that a change was answered with.
fn refusal(wrong: ControlError) -> Result<Refusal, Failure> {
    match wrong {
        ControlError::Busy(reason) => Ok(Refusal::Changing(reason)),
        ControlError::NoRoom(reason) => Ok(Refusal::NoRoom(reason)),
        wrong => Err(Failure::Control(wrong)),
    }
}

/// Whether the node is gone, or on its way. A list without any node tells nothing.
fn is_going(id: &NodeId, state: &ClusterState) -> bool {
    let stays = state.nodes.iter().any(|node| node.id == *id && node.status != NodeStatus::Deleting);
    state.pending.ids_to_remove.contains(id) || !(stays || state.nodes.is_empty())
}

/// What is kept back of an invocation's time when a node is left out of the ring: enough to have it taken away, to ask
/// what became of that, and to take it back.
pub const RESERVE: Duration = Duration::from_secs(30);

/// With less, it is not worth to begin.
pub const SHORTEST_RETIREMENT: Duration = Duration::from_secs(5);
