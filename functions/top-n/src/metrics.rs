//! What one invocation is charted by.

use larder_lambda::metrics::Metrics;
use serde_json::{Map, Value};

use crate::answer::Done;
use crate::handle::{Handled, Work};

/// Adds what was `handled` to the `metrics` of an invocation.
///
/// Lists by what became of them, all there even where they are 0: `Refreshed`, `Unchanged`, `NotDue`, `UnderWay`,
/// `Overtaken`, `Failed`, `Left`. `Failures` is 1 where the whole run failed, and an event that is none counts as
/// `Failed`, too, so that one alarm hears of both. `Rows` are those of the lists that are young again. `OldestAge`, in
/// milliseconds, is the age after the run of the oldest list that it looked at, where there is one; `QueryTime` one
/// value for each query.
///
/// The property `query_ms` has the time of each query by the name of its list, `failed` and `left` the names of lists,
/// `failure` what went wrong with the run.
pub fn chart(handled: &Handled, metrics: &mut Metrics) {
    let work = &handled.work;
    for (name, count) in counts(work) {
        metrics.count(name, count);
    }
    if let Some(age) = work.oldest_age {
        metrics.time("OldestAge", age);
    }
    let mut query_ms = Map::new();
    for (list, time) in &work.query_times {
        metrics.time("QueryTime", *time);
        query_ms.insert(list.clone(), Value::from(time.as_micros() as f64 / 1_000.0));
    }
    if !query_ms.is_empty() {
        metrics.property("query_ms", query_ms);
    }
    for (name, is_it) in [("failed", is_failed as fn(&Done) -> bool), ("left", is_left)] {
        let names: Vec<_> =
            work.lists.iter().filter(|list| is_it(&list.done)).map(|list| list.list.as_str()).collect();
        if !names.is_empty() {
            metrics.property(name, names);
        }
    }
    if let Some(failure) = work.failure {
        metrics.property("failure", failure);
    }
}

fn counts(work: &Work) -> [(&'static str, u64); 9] {
    let count = |is_it: fn(&Done) -> bool| work.lists.iter().filter(|list| is_it(&list.done)).count() as u64;
    let failed = count(is_failed);
    let failures = u64::from(work.failure.is_some());
    let rows = work.lists.iter().map(|list| match list.done {
        Done::Refreshed { rows } | Done::Unchanged { rows } => u64::from(rows),
        _ => 0,
    });
    [
        ("Refreshed", count(|done| matches!(done, Done::Refreshed { .. }))),
        ("Unchanged", count(|done| matches!(done, Done::Unchanged { .. }))),
        ("NotDue", count(|done| matches!(done, Done::NotDue { .. }))),
        ("UnderWay", count(|done| matches!(done, Done::UnderWay))),
        ("Overtaken", count(|done| matches!(done, Done::Overtaken))),
        ("Failed", failed.max(failures)),
        ("Left", count(is_left)),
        ("Failures", failures),
        ("Rows", rows.sum()),
    ]
}

fn is_failed(done: &Done) -> bool {
    matches!(done, Done::Failed { .. })
}

fn is_left(done: &Done) -> bool {
    matches!(done, Done::Left)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::answer::{Answer, ListDone};

    use super::*;

    fn line(work: Work) -> Value {
        let handled = Handled { answer: Ok(Answer::default()), work };
        let mut metrics = Metrics::new("Larder");
        chart(&handled, &mut metrics);
        serde_json::from_str(&metrics.line(1)).unwrap()
    }

    fn done(list: &str, done: Done) -> ListDone {
        ListDone { list: list.to_owned(), done }
    }

    #[test]
    fn a_line_says_what_became_of_the_lists() {
        let line = line(Work {
            lists: vec![
                done("a", Done::Refreshed { rows: 10 }),
                done("b", Done::Unchanged { rows: 5 }),
                done("c", Done::Failed { error: "x".to_owned() }),
                done("d", Done::Left),
            ],
            query_times: vec![
                ("a".to_owned(), Duration::from_micros(2_500)),
                ("b".to_owned(), Duration::from_millis(1)),
            ],
            oldest_age: Some(Duration::from_secs(301)),
            failure: None,
        });
        for (name, expected) in [
            ("Refreshed", json!(1)),
            ("Unchanged", json!(1)),
            ("NotDue", json!(0)),
            ("UnderWay", json!(0)),
            ("Overtaken", json!(0)),
            ("Failed", json!(1)),
            ("Left", json!(1)),
            ("Failures", json!(0)),
            ("Rows", json!(15)),
            ("OldestAge", json!(301_000)),
            ("QueryTime", json!([2.5, 1])),
            ("query_ms", json!({ "a": 2.5, "b": 1.0 })),
            ("failed", json!(["c"])),
            ("left", json!(["d"])),
        ] {
            assert_eq!(line[name], expected, "{name}");
        }
        assert_eq!(line.get("metrics_dropped"), None);
    }

    #[test]
    fn a_run_without_lists_has_no_times_and_an_event_that_is_none_counts_as_failed() {
        let line = line(Work { failure: Some("InvalidEvent"), ..Work::default() });
        assert_eq!((&line["Failed"], &line["Failures"]), (&json!(1), &json!(1)));
        assert_eq!(line["failure"], "InvalidEvent");
        for name in ["OldestAge", "QueryTime", "query_ms", "failed", "left", "metrics_dropped"] {
            assert_eq!(line.get(name), None, "{name}");
        }
    }
}
