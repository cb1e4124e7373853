//! Whether the configuration endpoint is worth asking while no node is known: the rules of a node's health, for a call
//! that has nothing to go by until the endpoint answers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::health::{Health, Verdict};
use crate::moment::Moment;
use crate::node::Common;
use crate::{DiscoveryError, NodeError};

/// The health of the configuration endpoint before its first answer.
///
/// | state | a call | leads to |
/// | --- | --- | --- |
/// | unknown | asks, or waits for the one that does | known on an answer; failed on a failure, or on silence of a whole timeout |
/// | failed | is told so at once; when the pause is over one call asks | known on an answer; failed, for longer, on a failure |
/// | known | goes by the nodes | – |
#[derive(Debug, Default)]
pub(crate) struct EndpointHealth(Mutex<Health>);

impl EndpointHealth {
    /// Lets a call at `now` ask, or wait for the answer.
    pub(crate) fn admit(&self, common: &Common, now: Moment) -> Result<(), DiscoveryError> {
        match self.lock().admit(now, &common.pauses) {
            Verdict::Ask => Ok(()),
            Verdict::LeaveAlone(retry_in) => Err(NodeError::Down { retry_in }.into()),
        }
    }

    /// Lets a call that began at `start` ask, after it has waited for another one that did.
    pub(crate) fn admit_after_waiting(&self, start: Moment) -> Result<(), DiscoveryError> {
        let has_failed = self.lock().has_failed_since(start);
        if has_failed { Err(NodeError::Down { retry_in: Default::default() }.into()) } else { Ok(()) }
    }

    /// Draws conclusions from how a call that began at `start` ended, whether it asked or waited.
    pub(crate) fn note<T>(&self, common: &Common, start: Moment, result: &Result<T, DiscoveryError>) {
        let error = match result {
            Ok(_) => return self.lock().succeeded(),
            Err(DiscoveryError::Exchange(error)) if error.blames_node() => error,
            // It has answered, however badly.
            Err(_) => return,
        };
        let (now, mut health) = (Moment::now(), self.lock());
        if matches!(error, NodeError::Deadline) && !health.is_to_blame(start, now, common.config.timeout) {
            return;
        }
        health.failed(start, now, &common.pauses, fastrand::f64());
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
