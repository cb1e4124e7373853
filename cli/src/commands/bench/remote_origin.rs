//! The origin as an environment sees it: over the link to the conductor.

use super::calls::Calls;
use super::environment::value_of;
use super::link::Outbox;
use super::messages::{Order, Report};
use bytes::Bytes;

/// The origin at the other end of the link.
pub(crate) struct RemoteOrigin {
    outbox: Outbox<Report>,
    calls: Calls<Order>,
}

/// The link has ended, or the answer is not one to this call.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the origin is gone")]
pub(crate) struct Gone;

impl larder_cache::LoadFault for Gone {
    fn is_outage(&self) -> bool {
        true
    }
}

impl RemoteOrigin {
    pub(crate) fn new(outbox: Outbox<Report>) -> Self {
        Self { outbox, calls: Calls::new() }
    }

    /// Reads the flights in the places `keys`; answers their values.
    pub(crate) async fn load(&self, keys: Vec<u32>) -> Result<Vec<Bytes>, Gone> {
        match self.call(|call| Report::Load { call, keys }).await? {
            Order::Loaded { flights, .. } => {
                Ok(flights.into_iter().map(|(version, row)| value_of(version, &row)).collect())
            }
            _ => Err(Gone),
        }
    }

    /// Makes a new version of a flight and answers it.
    pub(crate) async fn commit(&self, key: u32) -> Result<u32, Gone> {
        match self.call(|call| Report::Commit { call, key }).await? {
            Order::Committed { version, .. } => Ok(version),
            _ => Err(Gone),
        }
    }

    /// Takes an answer from the link to whoever waits for it, if anybody still does.
    pub(crate) fn answered(&self, answer: Order) {
        let (Order::Loaded { call, .. } | Order::Committed { call, .. }) = answer else { return };
        self.calls.answered(call, answer);
    }

    async fn call(&self, report: impl FnOnce(u64) -> Report) -> Result<Order, Gone> {
        let (call, answer) = self.calls.begin();
        self.outbox.send(report(call)).await;
        answer.await.map_err(|_| Gone)
    }
}
