//! Metrics as one line of CloudWatch's embedded metric format (EMF), written to standard output at the end of an
//! invocation. CloudWatch reads them out of the log: no call in the hot path, no endpoint in the subnet.
//!
//! Source: "Specification: Embedded metric format" in the CloudWatch user guide; its bounds have names here.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::environment::epoch_ms;

/// The metrics and properties of one invocation.
///
/// Dimensions name what is charted apart (few, with few values); properties only say more about this one line, such as
/// the request id. What is over a bound of the format is left out and counted in the property `metrics_dropped`,
/// because CloudWatch would silently drop more than that.
///
/// ```
/// use std::time::Duration;
/// use larder_lambda::metrics::Metrics;
///
/// let mut metrics = Metrics::new("Larder");
/// metrics.dimension("service", "read");
/// metrics.count("Hits", 3);
/// metrics.time("Duration", Duration::from_micros(1_250));
/// metrics.property("function_request_id", "8f0c2d3e");
/// assert_eq!(metrics.line(1_780_000_000_000), concat!(
///     r#"{"_aws":{"Timestamp":1780000000000,"CloudWatchMetrics":[{"Namespace":"Larder","#,
///     r#""Dimensions":[["service"]],"Metrics":[{"Name":"Hits","Unit":"Count"},"#,
///     r#"{"Name":"Duration","Unit":"Milliseconds"}]}]},"service":"read","Hits":3,"Duration":1.25,"#,
///     r#""function_request_id":"8f0c2d3e"}"#,
/// ));
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    namespace: String,
    dimensions: Vec<(&'static str, String)>,
    metrics: Vec<Metric>,
    properties: Vec<(&'static str, Value)>,
    dropped: u64,
}

impl Metrics {
    /// Starts a line in `namespace`.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: cut(namespace, MAX_NAME_LEN).to_owned(),
            dimensions: Vec::new(),
            metrics: Vec::new(),
            properties: Vec::new(),
            dropped: 0,
        }
    }

    /// Charts this line's metrics under `name` = `value`. An empty value, or one dimension too many, is dropped.
    pub fn dimension(&mut self, name: &'static str, value: &str) {
        if value.is_empty() || self.dimensions.len() == MAX_DIMENSIONS || self.holds(name) {
            self.dropped += 1;
        } else {
            self.dimensions.push((name, cut(value, MAX_NAME_LEN).to_owned()));
        }
    }

    /// Adds a count. A name used before gets another value, not a sum.
    pub fn count(&mut self, name: &'static str, count: u64) {
        self.record(name, Unit::Count, count as f64);
    }

    /// Adds a time, in milliseconds with microseconds behind the point. A name used before gets another value.
    pub fn time(&mut self, name: &'static str, time: Duration) {
        self.record(name, Unit::Milliseconds, time.as_micros() as f64 / 1_000.0);
    }

    /// Adds a value that is not a metric.
    pub fn property(&mut self, name: &'static str, value: impl Into<Value>) {
        if self.holds(name) {
            self.dropped += 1;
        } else {
            self.properties.push((name, value.into()));
        }
    }

    /// The line as JSON, without its end; `timestamp_ms` counts from 1970.
    pub fn line(&self, timestamp_ms: u64) -> String {
        let line = Line { metrics: self, timestamp_ms };
        serde_json::to_string(&line).expect("strings and finite numbers are always JSON")
    }

    /// Prints the line on standard output, as of `now`; that it could not be written is logged.
    pub fn print(&self, now: SystemTime) {
        if let Err(wrong) = self.write(epoch_ms(now), io::stdout().lock()) {
            tracing::warn!(error = &wrong as &dyn std::error::Error, "metrics not written");
        }
    }

    /// Writes the line and its end in one call, so that lines of other tasks stay apart.
    pub fn write(&self, timestamp_ms: u64, mut out: impl Write) -> io::Result<()> {
        let mut line = self.line(timestamp_ms);
        line.push('\n');
        out.write_all(line.as_bytes())
    }

    fn record(&mut self, name: &'static str, unit: Unit, value: f64) {
        if let Some(metric) = self.metrics.iter_mut().find(|metric| metric.name == name) {
            if metric.unit == unit && metric.values.len() < MAX_VALUES {
                metric.values.push(value);
            } else {
                self.dropped += 1;
            }
        } else if self.metrics.len() < MAX_METRICS && !self.holds(name) {
            self.metrics.push(Metric { name, unit, values: vec![value] });
        } else {
            self.dropped += 1;
        }
    }

    /// Whether `name` is a member of the line already: all of them share one JSON object.
    fn holds(&self, name: &str) -> bool {
        [ENVELOPE, DROPPED].contains(&name)
            || self.dimensions.iter().any(|(held, _)| *held == name)
            || self.metrics.iter().any(|metric| metric.name == name)
            || self.properties.iter().any(|(held, _)| *held == name)
    }
}

#[derive(Clone, Debug)]
struct Metric {
    name: &'static str,
    unit: Unit,
    values: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
enum Unit {
    Count,
    Milliseconds,
}

/// A line with its time, in the members and the order of the specification.
struct Line<'a> {
    metrics: &'a Metrics,
    timestamp_ms: u64,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Metrics { dimensions, metrics, properties, dropped, .. } = self.metrics;
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry(ENVELOPE, &Envelope::of(self))?;
        for (name, value) in dimensions {
            line.serialize_entry(name, value)?;
        }
        for metric in metrics {
            match metric.values.as_slice() {
                [one] => line.serialize_entry(metric.name, &number(*one))?,
                many => {
                    line.serialize_entry(metric.name, &many.iter().copied().map(number).collect::<Vec<_>>())?;
                }
            }
        }
        for (name, value) in properties {
            line.serialize_entry(name, value)?;
        }
        if *dropped > 0 {
            line.serialize_entry(DROPPED, dropped)?;
        }
        line.end()
    }
}

/// The member `_aws`, which tells CloudWatch which other members are metrics.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    timestamp: u64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [Vec<&'a str>; 1],
    metrics: Vec<Definition<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    unit: Unit,
}

impl<'a> Envelope<'a> {
    fn of(line: &Line<'a>) -> Self {
        let Metrics { namespace, dimensions, metrics, .. } = line.metrics;
        let dimensions = dimensions.iter().map(|(name, _)| *name).collect();
        let metrics =
            metrics.iter().map(|metric| Definition { name: metric.name, unit: metric.unit }).collect();
        let directive = Directive { namespace, dimensions: [dimensions], metrics };
        Self { timestamp: line.timestamp_ms, cloud_watch_metrics: [directive] }
    }
}

/// A whole number without `.0`, which most readers of a log expect of a count.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value < MAX_WHOLE { Value::from(value as u64) } else { Value::from(value) }
}

/// `text` up to `max_len` bytes, cut between characters.
fn cut(text: &str, max_len: usize) -> &str {
    &text[..text.floor_char_boundary(max_len)]
}

/// Most metrics in one line.
pub const MAX_METRICS: usize = 100;
/// Most values of one metric in one line.
pub const MAX_VALUES: usize = 100;
/// Most dimensions of one line.
pub const MAX_DIMENSIONS: usize = 30;
/// Longest namespace and longest value of a dimension, in bytes.
pub const MAX_NAME_LEN: usize = 1_024;

const ENVELOPE: &str = "_aws";
const DROPPED: &str = "metrics_dropped";
/// Above it an `f64` no longer holds every whole number.
const MAX_WHOLE: f64 = (1_u64 << 53) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of the specification, as far as a line can break them.
    #[track_caller]
    fn check_rules(line: &str) -> Value {
        let root: Value = serde_json::from_str(line).unwrap();
        assert!(root["_aws"]["Timestamp"].is_u64(), "{line}");
        for directive in root["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert!((1..=1_024).contains(&directive["Namespace"].as_str().unwrap().len()), "{line}");
            for set in directive["Dimensions"].as_array().unwrap() {
                let set = set.as_array().unwrap();
                assert!(set.len() <= 30, "{line}");
                for name in set {
                    let value = root[name.as_str().unwrap()].as_str().unwrap();
                    assert!((1..=1_024).contains(&value.len()), "{line}");
                }
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!(metrics.len() <= 100, "{line}");
            for metric in metrics {
                assert!(["Count", "Milliseconds"].contains(&metric["Unit"].as_str().unwrap()), "{line}");
                match &root[metric["Name"].as_str().unwrap()] {
                    Value::Array(values) => {
                        assert!(
                            (2..=100).contains(&values.len()) && values.iter().all(Value::is_number),
                            "{line}"
                        );
                    }
                    value => assert!(value.is_number(), "{line}"),
                }
            }
        }
        root
    }

    /// More names than fit; metric names are literals everywhere else.
    fn names(count: usize) -> impl Iterator<Item = &'static str> {
        (0..count).map(|at| &*String::leak(format!("Metric{at}")))
    }

    #[test]
    fn a_line_holds_metrics_dimensions_and_properties() {
        let mut metrics = Metrics::new("Larder");
        metrics.dimension("service", "larder");
        metrics.dimension("function_name", "read");
        metrics.count("Hits", 97);
        metrics.time("Duration", Duration::from_micros(2_500));
        metrics.property("function_request_id", "a \"quoted\" id");
        let root = check_rules(&metrics.line(1));
        assert_eq!(root["Hits"], 97);
        assert_eq!(root["Duration"], 2.5);
        assert_eq!(root["function_request_id"], "a \"quoted\" id");
        assert_eq!(root.get(DROPPED), None);
    }

    #[test]
    fn a_name_used_again_gets_another_value() {
        let mut metrics = Metrics::new("Larder");
        for millis in [3, 4] {
            metrics.time("OriginTime", Duration::from_millis(millis));
        }
        assert_eq!(check_rules(&metrics.line(1))["OriginTime"], serde_json::json!([3, 4]));
    }

    #[test]
    fn the_hundred_and_first_metric_and_value_are_dropped_and_counted() {
        let mut metrics = Metrics::new("Larder");
        for name in names(MAX_METRICS + 1) {
            metrics.count(name, 1);
        }
        for _ in 0..MAX_VALUES {
            metrics.count("Metric0", 1);
        }
        let root = check_rules(&metrics.line(1));
        assert_eq!(root["Metric0"].as_array().unwrap().len(), MAX_VALUES);
        assert_eq!(root.get("Metric100"), None);
        assert_eq!(root[DROPPED], 2);
    }

    #[test]
    fn dimensions_are_bounded_in_number_and_length() {
        let mut metrics = Metrics::new(&"n".repeat(2_000));
        metrics.dimension("service", &"é".repeat(2_000));
        metrics.dimension("empty", "");
        for name in names(MAX_DIMENSIONS) {
            metrics.dimension(name, "value");
        }
        assert_eq!(check_rules(&metrics.line(1))[DROPPED], 2);
    }

    #[test]
    fn two_members_never_share_a_name() {
        let mut metrics = Metrics::new("Larder");
        metrics.count("Hits", 1);
        metrics.dimension("Hits", "one");
        metrics.property("Hits", 2);
        metrics.property("_aws", 3);
        metrics.time("Hits", Duration::from_millis(4));
        let line = metrics.line(1);
        assert_eq!(line.matches("\"Hits\":").count(), 1, "{line}");
        assert_eq!(check_rules(&line)[DROPPED], 4);
    }

    #[test]
    fn a_line_is_written_with_its_end() {
        let mut out = Vec::new();
        Metrics::new("Larder").write(7, &mut out).unwrap();
        let expected = r#"{"_aws":{"Timestamp":7,"CloudWatchMetrics":[{"Namespace":"Larder","Dimensions":[[]],"Metrics":[]}]}}"#;
        assert_eq!(out, format!("{expected}\n").into_bytes());
    }
}
