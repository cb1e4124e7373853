//! The origin behind a gate: each load tells the conductor that it begins, and waits until that lets it go.

use super::super::calls::Calls;
use super::super::link::Outbox;
use super::messages::Report;
use larder_origin::{Id, ListQuery, Origin, OriginError, Outage, Record};
use larder_read::Source;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout_at;

/// A real origin, asked when the conductor says so.
pub(crate) struct GatedOrigin {
    origin: Origin,
    gate: Arc<Gate>,
}

/// Where loads wait.
pub(crate) struct Gate {
    outbox: Outbox<Report>,
    loads: Calls<()>,
}

impl Gate {
    pub(crate) fn new(outbox: Outbox<Report>) -> Self {
        Self { outbox, loads: Calls::new() }
    }

    /// Lets a load go that waits.
    pub(crate) fn open(&self, load: u64) {
        self.loads.answered(load, ());
    }

    /// Waits until the conductor lets a load go.
    async fn pass(&self, deadline: Instant) -> Result<(), OriginError> {
        let (load, go) = self.loads.begin();
        self.outbox.send(Report::Begins { load }).await;
        match timeout_at(deadline.into(), go).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(OriginError::Unavailable(Outage::Deadline)),
        }
    }
}

impl GatedOrigin {
    pub(crate) fn new(origin: Origin, gate: Arc<Gate>) -> Self {
        Self { origin, gate }
    }
}

impl Source for GatedOrigin {
    fn id(&self, table: &str, text: &str) -> Result<Id, OriginError> {
        self.origin.id(table, text)
    }

    async fn load_many(
        &self,
        table: &str,
        ids: &[Id],
        deadline: Instant,
    ) -> Result<Vec<Option<Record>>, OriginError> {
        let loaded = match self.gate.pass(deadline).await {
            Ok(()) => self.origin.load_many(table, ids, deadline).await,
            Err(late) => Err(late),
        };
        self.gate.outbox.send(Report::Ended).await;
        loaded
    }

    async fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Record>, OriginError> {
        self.origin.list(query, limit, deadline).await
    }
}
