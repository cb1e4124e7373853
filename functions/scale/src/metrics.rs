//! What one invocation is charted by.

use std::time::Duration;

use larder_lambda::chart::Chart;
use larder_lambda::environment::Invocation;
use larder_lambda::metrics::Metrics;

use crate::answer::{Answer, Answers};
use crate::handle::{Handled, Work};

/// The metrics of an invocation that was `handled` and took `duration`.
///
/// All counts of [`Work`] are there even where they are 0. The property `why` names what kept a change from being
/// made, `failure` what went wrong. Times are in milliseconds.
pub fn metrics(
    chart: &Chart,
    request_id: &str,
    invocation: &Invocation,
    handled: &Handled,
    duration: Duration,
) -> Metrics {
    let mut metrics = chart.begin(request_id, invocation, duration);
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
    metrics
}

#[cfg(test)]
mod tests {
    use larder_lambda::deadline::TimeLimit;
    use larder_lambda::environment::Environment;
    use larder_lambda::thaw::Clocks;

    use crate::failure::Failure;
    use crate::plan::Refusal;

    use super::*;

    fn line(handled: &Handled) -> serde_json::Value {
        let chart = Chart {
            namespace: "Larder".to_owned(),
            service: "larder".to_owned(),
            function_name: "scale".to_owned(),
        };
        let environment = Environment::new(TimeLimit::new(Duration::from_secs(1)));
        let invocation = environment.begin(0, Clocks::now());
        let metrics = metrics(&chart, "8f0c", &invocation, handled, Duration::from_micros(1_500));
        serde_json::from_str(&metrics.line(1)).unwrap()
    }

    #[test]
    fn a_line_says_what_was_done() {
        let work = Work { nodes_removed: 1, copied_keys: 12, ..Work::default() };
        let line = line(&Handled { answer: Ok(Answers::One(Answer::Out { from: 1, to: 2 })), work });
        for (name, expected) in [
            ("NodesRemoved", 1.into()),
            ("NodesAdded", 0.into()),
            ("CopiedKeys", 12.into()),
            ("Failures", 0.into()),
            ("ColdStarts", 1.into()),
            ("Duration", serde_json::json!(1.5)),
            ("function_name", "scale".into()),
            ("function_request_id", "8f0c".into()),
        ] {
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
