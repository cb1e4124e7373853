//! What one invocation is charted by.

use larder_lambda::metrics::Metrics;

use crate::handle::{Handled, Work};

/// Adds what was `handled` to the `metrics` of an invocation.
///
/// All counts of [`Work`] are there even where they are 0; `Age`, that of the oldest message, only for a batch. The
/// property `failure` names what went wrong. Times are in milliseconds.
pub fn chart(handled: &Handled, metrics: &mut Metrics) {
    let Work { invalidations, keys, keys_left, unfinished, malformed, failures, age } = handled.work;
    for (name, count) in [
        ("Invalidations", invalidations),
        ("Keys", keys),
        ("KeysLeft", keys_left),
        ("Unfinished", unfinished),
        ("Malformed", malformed),
        ("Failures", failures),
    ] {
        metrics.count(name, count);
    }
    if let Some(age) = age {
        metrics.time("Age", age);
    }
    if let Err(failure) = &handled.answer {
        metrics.property("failure", failure.name());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::answer::Answer;
    use crate::ask::InvalidEvent;

    use super::*;

    fn line(handled: &Handled) -> serde_json::Value {
        let mut metrics = Metrics::new("Larder");
        chart(handled, &mut metrics);
        serde_json::from_str(&metrics.line(1)).unwrap()
    }

    #[test]
    fn a_line_says_what_was_done_and_how_old_the_oldest_message_was() {
        let work = Work {
            invalidations: 3,
            keys: 12,
            keys_left: 2,
            unfinished: 1,
            malformed: 1,
            age: Some(Duration::from_secs(90)),
            ..Work::default()
        };
        let line = line(&Handled { answer: Ok(Answer::Batch { failures: vec![] }), work });
        for (name, expected) in [
            ("Invalidations", 3),
            ("Keys", 12),
            ("KeysLeft", 2),
            ("Unfinished", 1),
            ("Malformed", 1),
            ("Failures", 0),
            ("Age", 90_000),
        ] {
            assert_eq!(line[name].as_f64(), Some(f64::from(expected)), "{name}");
        }
        assert_eq!((line.get("metrics_dropped"), line.get("failure")), (None, None));
    }

    #[test]
    fn a_line_says_what_went_wrong() {
        let line = line(&Handled { answer: Err(InvalidEvent.into()), work: Work::default() });
        assert_eq!((&line["failure"], line.get("Age")), (&"InvalidEvent".into(), None));
    }
}
