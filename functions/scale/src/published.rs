//! The ring as it is published on the nodes.

use std::time::{Duration, UNIX_EPOCH};

use larder_cache::{PublishError, Publisher, Unfinished};
use larder_ring::RingNode;
use tokio::time::{Instant, sleep};

use crate::ring::{Retired, Ring, RingError, RingState};

/// The ring that a [`Publisher`] publishes.
#[derive(Debug)]
pub struct PublishedRing(Publisher);

impl PublishedRing {
    /// The ring that `publisher` publishes.
    pub fn new(publisher: Publisher) -> Self {
        Self(publisher)
    }
}

impl Ring for PublishedRing {
    async fn retire(&self, node: &RingNode, deadline: Instant) -> Result<Retired, RingError> {
        let (mut tries, mut copied_keys) = (0, 0);
        loop {
            tries += 1;
            let why: RingError = match self.0.retire(node, deadline).await {
                Ok(report) => {
                    copied_keys += report.warmed.copied as u64;
                    let Some(unfinished) = report.unfinished else {
                        let epoch = report.document.map_or(0, |document| document.epoch.number());
                        return Ok(Retired { epoch, copied_keys });
                    };
                    Unfinishable(unfinished).into()
                }
                Err(wrong @ PublishError::Nodes(_)) => wrong.into(),
                Err(wrong) => return Err(wrong.into()),
            };
            // Who was slow once, or somebody else's run, is no reason to go all the way back.
            if tries == MOST_TRIES || Instant::now() + PAUSE >= deadline {
                return Err(why);
            }
            sleep(PAUSE).await;
        }
    }

    async fn restore(&self, node: &RingNode, deadline: Instant) -> Result<(), RingError> {
        let report = self.0.restore(node, deadline).await?;
        let is_it = |retired: &RingNode| retired.identity() == node.identity();
        match report.unfinished {
            // That the node is to stay is written down at once. The way back takes as long as the way out, and any
            // later run goes on with it.
            Some(unfinished) if report.document.is_none_or(|document| document.retired.iter().any(is_it)) => {
                Err(Unfinishable(unfinished).into())
            }
            _ => Ok(()),
        }
    }

    async fn state(&self, deadline: Instant) -> Result<RingState, RingError> {
        let Some(document) = self.0.document(deadline).await? else { return Ok(RingState::default()) };
        Ok(RingState {
            last_change: UNIX_EPOCH.checked_add(Duration::from_millis(document.time_ms)),
            nodes: document.all_nodes(),
            retired: document.retired,
        })
    }
}

/// Why the ring is not what was asked for yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the ring has not been changed: {}", match .0 {
    Unfinished::OutOfTime => "there was too little time",
    Unfinished::Unreachable => "a node of the ring cannot be reached",
    _ => "somebody else is changing it",
})]
struct Unfinishable(Unfinished);

/// How often a node is tried to be left out in one invocation.
const MOST_TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
