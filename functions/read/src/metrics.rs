//! What one invocation is charted by.

use larder_lambda::metrics::Metrics;

use crate::handle::{Handled, Work};

/// Adds what was `handled` to the `metrics` of an invocation.
///
/// All counts are there even where they are 0, so that shares of them can be computed for any minute. `Hits`, `Misses`,
/// `Stale` and `Bypass` are records by outcome, `Errors` records without an answer, and a list counts as one; the
/// others say what it took, see [`Counts`](larder_cache::Counts). Times are in milliseconds.
pub fn chart(handled: &Handled, metrics: &mut Metrics) {
    let Work { table, list, counts, origin_time, ring_epoch } = &handled.work;
    for (name, count) in [
        ("Hits", counts.hits),
        ("Misses", counts.misses),
        ("Stale", counts.stale),
        ("Bypass", counts.bypasses),
        ("Errors", counts.errors),
        ("NegativeHits", counts.negative_hits),
        ("NearHits", counts.near_hits),
        ("Failing", counts.failing),
        ("Waits", counts.waits),
        ("Takeovers", counts.takeovers),
        ("TagReads", counts.tag_reads),
        ("OriginCalls", counts.origin_calls),
        ("Fills", counts.fills),
        ("FillsRefused", counts.fills_refused),
        ("FillsFailed", counts.fills_failed),
        ("ForeignItems", counts.foreign),
    ] {
        metrics.count(name, count.into());
    }
    if counts.origin_calls > 0 {
        metrics.time("OriginTime", *origin_time);
    }
    metrics.property("status", handled.answer.status_code);
    if let Some(table) = table {
        metrics.property("table", table.as_str());
    }
    if let Some(list) = list {
        metrics.property("list", list.as_str());
    }
    if let Some(epoch) = ring_epoch {
        metrics.property("ring_epoch", *epoch);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder_cache::Counts;
    use larder_lambda::http::HttpAnswer;

    use super::*;

    fn line(work: Work) -> serde_json::Value {
        let handled = Handled { answer: HttpAnswer::new(200, String::new()), work };
        let mut metrics = Metrics::new("Larder");
        chart(&handled, &mut metrics);
        serde_json::from_str(&metrics.line(1)).unwrap()
    }

    #[test]
    fn a_line_says_how_records_were_come_by_and_what_that_took() {
        let counts = Counts { hits: 3, misses: 1, waits: 1, origin_calls: 1, ..Counts::default() };
        let work = Work {
            table: Some("flights".to_owned()),
            list: None,
            counts,
            origin_time: Duration::from_millis(1),
            ring_epoch: None,
        };
        let line = line(work);
        for (name, expected) in [
            ("Hits", 3.into()),
            ("Misses", 1.into()),
            ("Stale", 0.into()),
            ("Bypass", 0.into()),
            ("Waits", 1.into()),
            ("OriginCalls", 1.into()),
            ("OriginTime", 1.into()),
            ("table", "flights".into()),
            ("status", serde_json::json!(200)),
        ] {
            assert_eq!(line[name], expected, "{name}");
        }
        assert_eq!(line.get("metrics_dropped"), None);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), 17);
    }

    #[test]
    fn without_an_origin_call_there_is_no_time_of_one() {
        let line = line(Work::default());
        assert_eq!(line.get("OriginTime"), None);
        assert_eq!(line.get("metrics_dropped"), None);
    }
}
