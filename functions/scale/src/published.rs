//! The ring as it is published on the nodes.

use std::time::{Duration, UNIX_EPOCH};

use larder_cache::{Publisher, Report, Unfinished};
use larder_ring::RingNode;
use tokio::time::Instant;

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
        let report = self.0.retire(node, deadline).await?;
        finished(&report)?;
        let epoch = report.document.map_or(0, |document| document.epoch.number());
        Ok(Retired { epoch, copied_keys: report.warmed.copied as u64 })
    }

    async fn restore(&self, node: &RingNode, deadline: Instant) -> Result<(), RingError> {
        // That the node is to stay is written down at once. The way back takes as long as the way out, and any later run
        // goes on with it.
        match self.0.restore(node, deadline).await?.unfinished {
            None | Some(Unfinished::OutOfTime) => Ok(()),
            Some(unfinished) => Err(Unfinishable(unfinished).into()),
        }
    }

    async fn state(&self, deadline: Instant) -> RingState {
        match self.0.document(deadline).await {
            Ok(Some(document)) => RingState {
                last_change: UNIX_EPOCH.checked_add(Duration::from_millis(document.time_ms)),
                retired: document.retired,
            },
            Ok(None) => RingState::default(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the ring is not known");
                RingState::default()
            }
        }
    }
}

fn finished(report: &Report) -> Result<(), Unfinishable> {
    report.unfinished.map_or(Ok(()), |unfinished| Err(Unfinishable(unfinished)))
}

/// Why the ring is not what was asked for yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the ring has not been changed: {}", match .0 {
    Unfinished::OutOfTime => "there was too little time",
    Unfinished::Unreachable => "a node of the ring cannot be reached",
    _ => "somebody else is changing it",
})]
struct Unfinishable(Unfinished);
