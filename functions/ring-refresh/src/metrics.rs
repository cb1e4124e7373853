//! What one invocation is charted by.

use larder_lambda::metrics::Metrics;

use crate::handle::{Handled, Work};

/// Adds what was `handled` to the `metrics` of an invocation.
///
/// All counts of [`Work`] are there even where they are 0. Times are in milliseconds.
pub fn chart(handled: &Handled, metrics: &mut Metrics) {
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
    ] {
        metrics.count(name, count);
    }
    match &handled.answer {
        Ok(answer) => {
            if let Some(ring) = &answer.ring {
                metrics.property("epoch", ring.epoch);
            }
        }
        Err(failure) => metrics.property("failure", failure.name()),
    }
}
