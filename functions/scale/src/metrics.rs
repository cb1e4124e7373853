//! What one invocation is charted by.

use larder_lambda::metrics::Metrics;

use crate::answer::{Answer, Answers};
use crate::handle::{Handled, Work};

/// Adds what was `handled` to the `metrics` of an invocation.
///
/// All counts of [`Work`] are there even where they are 0. The property `why` names what kept a change from being
/// made, `failure` what went wrong. Times are in milliseconds.
pub fn chart(handled: &Handled, metrics: &mut Metrics) {
    let Work { nodes_added, nodes_removed, refusals, ignored, restored, copied_keys, failures } =
        handled.work;
    for (name, count) in [
        ("NodesAdded", nodes_added),
        ("NodesRemoved", nodes_removed),
        ("Refusals", refusals),
        ("Ignored", ignored),
        ("Restored", restored),
        ("CopiedKeys", copied_keys),
        ("Failures", failures),
    ] {
        metrics.count(name, count);
    }
    match &handled.answer {
        Ok(Answers::One(Answer::Nothing { why, .. })) => metrics.property("why", *why),
        Ok(_) => {}
        Err(failure) => metrics.property("failure", failure.name()),
    }
}

#[cfg(test)]
mod tests {

    use crate::failure::Failure;
    use crate::plan::Refusal;

    use super::*;

    fn line(handled: &Handled) -> serde_json::Value {
        let mut metrics = Metrics::new("Larder");
        chart(handled, &mut metrics);
        serde_json::from_str(&metrics.line(1)).unwrap()
    }

    #[test]
    fn a_line_says_what_was_done() {
        let work = Work { nodes_removed: 1, copied_keys: 12, ..Work::default() };
        let line = line(&Handled { answer: Ok(Answers::One(Answer::Out { from: 1, to: 2 })), work });
        for (name, expected) in [("NodesRemoved", 1), ("NodesAdded", 0), ("CopiedKeys", 12), ("Failures", 0)]
        {
            assert_eq!(line[name], expected, "{name}");
        }
        assert!(line.get("why").is_none() && line.get("failure").is_none());
        assert_eq!(line.get("metrics_dropped"), None);
    }

    #[test]
    fn a_line_says_what_kept_a_change_from_being_made() {
        let refused = Answer::refused(&Refusal::AtMost(4), 4);
        let line_of = |answer| line(&Handled { answer, work: Work::default() });
        assert_eq!(line_of(Ok(Answers::One(refused)))["why"], "at-most");
        assert_eq!(line_of(Err(Failure::NoTime))["failure"], "NoTime");
    }
}
