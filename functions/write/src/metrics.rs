//! What one invocation is charted by.

use larder_lambda::metrics::Metrics;

use crate::handle::{Handled, Work};

/// Adds what was `handled` to the `metrics` of an invocation.
///
/// All counts of [`Work`] are there even where they are 0, and `Errors`, 1 for an answer of 500 and above. `Stored` and
/// `Newer` are rows, `Forgotten`, `Queued` and `Unforgotten` are keys. Times are in milliseconds, and there only where
/// the origin was asked.
pub fn chart(handled: &Handled, metrics: &mut Metrics) {
    let Work {
        table,
        puts,
        patches,
        deletes,
        conflicts,
        repeats,
        stored,
        newer,
        forgotten,
        queued,
        unforgotten,
        origin_time,
        cache_time,
        ring_epoch,
    } = &handled.work;
    let status = handled.answer.status_code;
    for (name, count) in [
        ("Puts", *puts),
        ("Patches", *patches),
        ("Deletes", *deletes),
        ("Conflicts", *conflicts),
        ("Repeats", *repeats),
        ("Stored", *stored),
        ("Newer", *newer),
        ("Forgotten", *forgotten),
        ("Queued", *queued),
        ("Unforgotten", *unforgotten),
        ("Errors", u64::from(status >= 500)),
    ] {
        metrics.count(name, count);
    }
    if puts + patches + deletes > 0 {
        metrics.time("OriginTime", *origin_time);
        metrics.time("CacheTime", *cache_time);
    }
    metrics.property("status", status);
    if let Some(table) = table {
        metrics.property("table", table.as_str());
    }
    if let Some(epoch) = ring_epoch {
        metrics.property("ring_epoch", *epoch);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder_lambda::http::HttpAnswer;
    use serde_json::{Value, json};

    use super::*;

    fn line(status: u16, work: Work) -> Value {
        let handled = Handled { answer: HttpAnswer::new(status, String::new()), work };
        let mut metrics = Metrics::new("Larder");
        chart(&handled, &mut metrics);
        serde_json::from_str(&metrics.line(1)).unwrap()
    }

    #[test]
    fn a_line_says_what_was_written_and_what_the_cache_knows_of_it() {
        let work = Work {
            table: Some("flights".to_owned()),
            patches: 1,
            repeats: 1,
            forgotten: 4,
            queued: 2,
            unforgotten: 3,
            origin_time: Duration::from_millis(2),
            cache_time: Duration::from_micros(500),
            ring_epoch: Some(7),
            ..Work::default()
        };
        let line = line(200, work);
        for (name, expected) in [
            ("Puts", json!(0)),
            ("Patches", json!(1)),
            ("Deletes", json!(0)),
            ("Conflicts", json!(0)),
            ("Repeats", json!(1)),
            ("Stored", json!(0)),
            ("Newer", json!(0)),
            ("Forgotten", json!(4)),
            ("Queued", json!(2)),
            ("Unforgotten", json!(3)),
            ("Errors", json!(0)),
            ("OriginTime", json!(2)),
            ("CacheTime", json!(0.5)),
            ("table", json!("flights")),
            ("status", json!(200)),
            ("ring_epoch", json!(7)),
        ] {
            assert_eq!(line[name].as_f64(), expected.as_f64(), "{name}");
        }
        assert_eq!((line.get("metrics_dropped"), &line["table"]), (None, &"flights".into()));
    }

    #[test]
    fn a_request_that_did_not_reach_the_origin_has_no_times() {
        let line = line(503, Work::default());
        assert_eq!((line.get("OriginTime"), line.get("CacheTime")), (None, None));
        assert_eq!(line["Errors"].as_f64(), Some(1.0));
    }
}
