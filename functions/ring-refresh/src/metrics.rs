//! What one invocation is charted by.

use std::time::Duration;

use larder_lambda::environment::Invocation;
use larder_lambda::metrics::Metrics;

use crate::handle::{Handled, Work};

/// Under which names metrics are charted.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The namespace.
    pub namespace: String,
    /// The dimension `service`.
    pub service: String,
    /// The dimension `function_name`; an empty one is left out.
    pub function_name: String,
}

impl Chart {
    /// The metrics of an invocation that was `handled` and took `duration`.
    ///
    /// All counts of [`Work`] are there even where they are 0. Times are in milliseconds.
    pub fn metrics(
        &self,
        request_id: &str,
        invocation: &Invocation,
        handled: &Handled,
        duration: Duration,
    ) -> Metrics {
        let mut metrics = Metrics::new(&self.namespace);
        metrics.dimension("service", &self.service);
        if !self.function_name.is_empty() {
            metrics.dimension("function_name", &self.function_name);
        }
        let Work { comparison, .. } = &handled.work;
        for (name, count) in [
            ("NodeNotices", handled.work.node_notices),
            ("Alarms", handled.work.alarms),
            ("Ignored", handled.work.ignored),
            ("Malformed", handled.work.malformed),
            ("Published", handled.work.published),
            ("CopiedKeys", handled.work.copied_keys),
            ("CopiedBytes", handled.work.copied_bytes),
            ("Unreachable", handled.work.unreachable),
            ("Unfinished", handled.work.unfinished),
            ("Differences", comparison.differences),
            ("InactiveTopics", comparison.inactive_topics),
            ("Failures", handled.work.failures),
            ("ColdStarts", invocation.is_cold_start.into()),
        ] {
            metrics.count(name, count);
        }
        metrics.time("Duration", duration);
        metrics.property("function_request_id", request_id);
        match &handled.answer {
            Ok(answer) => {
                if let Some(ring) = &answer.ring {
                    metrics.property("epoch", ring.epoch);
                }
            }
            Err(failure) => metrics.property("failure", failure.name()),
        }
        if let Some(idle) = invocation.idle {
            metrics.property("idle_ms", idle.as_millis() as u64);
        }
        metrics
    }
}
