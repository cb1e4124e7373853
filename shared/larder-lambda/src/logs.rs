//! Structured logs: one JSON object a line, with the keys that Powertools for AWS Lambda made usual.
//!
//! `level`, `location`, `message`, `timestamp`, `service`, `function_name`, `function_memory_size`, and inside an
//! invocation `cold_start`, `function_request_id` and `xray_trace_id`; then the event's own fields. The ids are those
//! of the span that `lambda_runtime` opens for every invocation, so also its own lines carry them.
//!
//! The level is `AWS_LAMBDA_LOG_LEVEL` (set by a template's `LoggingConfig`), else `RUST_LOG` (also per target, as in
//! `warn,larder_client=debug`), else `INFO`. No regular expression is built and nothing is looked up at start: setting
//! logs up costs a few microseconds of a cold start.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::settings::Variables;

/// Sends this process's logs to standard output.
///
/// `service` stands in where `POWERTOOLS_SERVICE_NAME` is not set. Fails if logs were set up before.
pub fn init(service: &str, variables: &Variables) -> Result<(), TryInitError> {
    tracing_subscriber::registry().with(JsonLines::new(service, variables, io::stdout)).try_init()
}

/// A layer that writes each event as one JSON object a line.
///
/// Spans are kept at `INFO` and above even where events are not, because the invocation's span carries the request id
/// that a warning needs.
#[derive(Debug)]
pub struct JsonLines<W> {
    service: String,
    function_name: Option<String>,
    function_memory_size: Option<u64>,
    levels: Targets,
    was_invoked: AtomicBool,
    writer: W,
}

impl<W> JsonLines<W> {
    /// A layer that writes to `writer` and takes level and names from `variables`.
    pub fn new(service: &str, variables: &Variables, writer: W) -> Self {
        let service = variables.text("POWERTOOLS_SERVICE_NAME").unwrap_or(service);
        let memory = variables.text("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
        Self {
            service: service.to_owned(),
            function_name: variables.text("AWS_LAMBDA_FUNCTION_NAME").map(str::to_owned),
            function_memory_size: memory.and_then(|megabytes| megabytes.parse().ok()),
            levels: levels(variables),
            was_invoked: AtomicBool::new(false),
            writer,
        }
    }

    fn members(&self, event: &Event<'_>, invocation: Option<&Invocation>) -> Map<String, Value> {
        let metadata = event.metadata();
        let mut members = Map::new();
        members.insert("level".to_owned(), metadata.level().as_str().into());
        members.insert("location".to_owned(), location(metadata).into());
        members.insert("message".to_owned(), Value::Null);
        members.insert("timestamp".to_owned(), timestamp().into());
        members.insert("service".to_owned(), self.service.as_str().into());
        if let Some(name) = &self.function_name {
            members.insert("function_name".to_owned(), name.as_str().into());
        }
        if let Some(megabytes) = self.function_memory_size {
            members.insert("function_memory_size".to_owned(), megabytes.into());
        }
        if let Some(invocation) = invocation {
            invocation.tell(&mut members);
        }
        event.record(&mut Members(&mut members));
        members
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let is_kept_span = metadata.is_span() && *metadata.level() <= Level::INFO;
        is_kept_span || self.levels.would_enable(metadata.target(), metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let most_verbose =
            self.levels.iter().map(|(_, level)| level).chain(self.levels.default_level()).max();
        most_verbose.map(|level| level.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut invocation = Invocation::default();
        attributes.record(&mut invocation);
        if invocation.request_id.is_some()
            && let Some(span) = context.span(id)
        {
            invocation.cold_start = !self.was_invoked.swap(true, Ordering::Relaxed);
            span.extensions_mut().replace(invocation);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(invocation) = span.extensions_mut().get_mut::<Invocation>()
        {
            values.record(invocation);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let innermost = context.event_span(event);
        let mut scope = innermost.iter().flat_map(|span| span.scope());
        let members = match scope.find(|span| span.extensions().get::<Invocation>().is_some()) {
            Some(span) => self.members(event, span.extensions().get::<Invocation>()),
            None => self.members(event, None),
        };
        let line = format!("{}\n", Value::Object(members));
        // A log that cannot be written must not end an invocation.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(line.as_bytes());
    }
}

/// What the span of one invocation says.
#[derive(Debug, Default)]
struct Invocation {
    request_id: Option<String>,
    xray_trace_id: Option<String>,
    cold_start: bool,
}

impl Invocation {
    fn tell(&self, members: &mut Map<String, Value>) {
        members.insert("cold_start".to_owned(), self.cold_start.into());
        if let Some(id) = &self.request_id {
            members.insert("function_request_id".to_owned(), id.as_str().into());
        }
        if let Some(id) = &self.xray_trace_id {
            members.insert("xray_trace_id".to_owned(), trace_id(id).into());
        }
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "requestId" => Some(&mut self.request_id),
            "xrayTraceId" => Some(&mut self.xray_trace_id),
            _ => None,
        }
    }
}

impl Visit for Invocation {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(slot) = self.field(field.name()) {
            *slot = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(slot) = self.field(field.name()) {
            *slot = Some(format!("{value:?}"));
        }
    }
}

/// Takes an event's fields as members of its line; none may stand in for a key that the line has already.
struct Members<'a>(&'a mut Map<String, Value>);

impl Members<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => _ = self.0.insert("message".to_owned(), value),
            // `log` records pass through with their own place in such fields; `location` says it already.
            name if name.starts_with("log.") => {}
            name if self.0.contains_key(name) => _ = self.0.insert(format!("field.{name}"), value),
            name => _ = self.0.insert(name.to_owned(), value),
        }
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    /// An error is told with all its causes, from the outside in.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// The messages of an error and of its causes, from the outside in, on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()).take(MAX_CAUSES) {
        // Writing to a string does not fail.
        _ = write!(told, ": {cause}");
    }
    told
}

/// `AWS_LAMBDA_LOG_LEVEL`, else `RUST_LOG`, else `INFO`; a value that cannot be read counts as unset.
fn levels(variables: &Variables) -> Targets {
    let lambda = variables.text("AWS_LAMBDA_LOG_LEVEL").and_then(|level| match level {
        // Lambda's most severe level, which Rust has not.
        "FATAL" => Some(LevelFilter::ERROR),
        level => level.parse().ok(),
    });
    let lambda = lambda.map(|level| Targets::new().with_default(level));
    let rust = || variables.text("RUST_LOG").and_then(|levels| levels.parse().ok());
    lambda.or_else(rust).unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// Where in the code an event was written: module and line.
fn location(metadata: &Metadata<'_>) -> String {
    let module = metadata.module_path().unwrap_or(metadata.target());
    match metadata.line() {
        Some(line) => format!("{module}:{line}"),
        None => module.to_owned(),
    }
}

/// Now, as RFC 3339 in UTC with microseconds.
fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail; a clock before 1970 would give an odd time, not an error.
    _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// The root of an X-Ray header: `1-5f0b-c6d1` of `Root=1-5f0b-c6d1;Parent=53ab;Sampled=1`.
fn trace_id(header: &str) -> &str {
    header.split(';').find_map(|part| part.trim().strip_prefix("Root=")).unwrap_or(header)
}

/// Most causes told of one error.
const MAX_CAUSES: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing::{debug, error, info, info_span, warn};

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `run` logs in `variables`.
    fn logged(variables: &[(&str, &str)], run: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let variables = Variables::from_iter(variables.iter().copied());
        let layer = JsonLines::new("larder", &variables, move || writer.clone());
        with_default(tracing_subscriber::registry().with(layer), run);
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(written.is_empty() || written.ends_with('\n'), "{written}");
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_usual_keys() {
        let variables = [("AWS_LAMBDA_FUNCTION_NAME", "read"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")];
        let lines = logged(&variables, || info!(node = "a:1", keys = 3, "asked"));
        let line = lines[0].as_object().unwrap();
        let expected = [
            ("level", "INFO".into()),
            ("message", "asked".into()),
            ("service", "larder".into()),
            ("function_name", "read".into()),
            ("function_memory_size", 256.into()),
            ("node", "a:1".into()),
            ("keys", Value::from(3)),
        ];
        for (key, value) in expected {
            assert_eq!(line[key], value, "{key}");
        }
        assert!(line["location"].as_str().unwrap().starts_with("larder_lambda::logs::tests:"), "{line:?}");
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(
            timestamp.starts_with("20") && timestamp.ends_with('Z') && timestamp.contains('T'),
            "{timestamp}"
        );
        assert!(!line.contains_key("function_request_id") && !line.contains_key("cold_start"));
    }

    #[test]
    fn lines_inside_an_invocation_carry_its_ids_and_only_the_first_is_a_cold_start() {
        let lines = logged(&[], || {
            for id in ["one", "two"] {
                let header = "Root=1-5f0b-c6d1;Parent=53ab;Sampled=1";
                info_span!("Lambda runtime invoke", requestId = id, xrayTraceId = header).in_scope(|| {
                    info_span!("inner").in_scope(|| info!("asked"));
                    info!("answered");
                });
            }
        });
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line["function_request_id"].as_str().unwrap(), &line["cold_start"]))
            .collect();
        let (yes, no) = (&Value::Bool(true), &Value::Bool(false));
        assert_eq!(told, [("one", yes), ("one", yes), ("two", no), ("two", no)]);
        assert_eq!(lines[0]["xray_trace_id"], "1-5f0b-c6d1");
    }

    #[test]
    fn lambda_says_the_level_before_rust_log_does() {
        let count = |variables: &[(&str, &str)]| {
            logged(variables, || {
                error!("e");
                warn!("w");
                info!("i");
                debug!("d");
            })
            .len()
        };
        assert_eq!(count(&[]), 3);
        assert_eq!(count(&[("AWS_LAMBDA_LOG_LEVEL", "WARN"), ("RUST_LOG", "debug")]), 2);
        assert_eq!(count(&[("AWS_LAMBDA_LOG_LEVEL", "FATAL")]), 1);
        assert_eq!(count(&[("RUST_LOG", "debug")]), 4);
        assert_eq!(count(&[("RUST_LOG", "error,larder_lambda=debug")]), 4);
        assert_eq!(count(&[("RUST_LOG", "info,larder_lambda=error")]), 1);
        assert_eq!(count(&[("AWS_LAMBDA_LOG_LEVEL", "loud"), ("RUST_LOG", "larder=loud")]), 3);
    }

    #[test]
    fn a_warning_carries_the_request_id_even_where_only_warnings_are_logged() {
        let lines = logged(&[("AWS_LAMBDA_LOG_LEVEL", "WARN")], || {
            info_span!("Lambda runtime invoke", requestId = "one").in_scope(|| warn!("slow"));
        });
        assert_eq!(lines[0]["function_request_id"], "one");
    }

    #[test]
    fn a_field_never_stands_in_for_a_usual_key() {
        let lines = logged(&[], || info!(service = "other", level = 9, "asked"));
        assert_eq!(lines[0]["service"], "larder");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["field.service"], "other");
        assert_eq!(lines[0]["field.level"], 9);
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_on_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not connect")]
        struct Outer(#[source] io::Error);

        let error = Outer(io::Error::other("no route\nto host"));
        let lines = logged(&[], || warn!(error = &error as &dyn std::error::Error, "bypassed"));
        assert_eq!(lines[0]["error"], "could not connect: no route\nto host");
    }

    #[test]
    fn a_service_name_among_the_variables_wins() {
        let lines = logged(&[("POWERTOOLS_SERVICE_NAME", "flights")], || info!("asked"));
        assert_eq!(lines[0]["service"], "flights");
    }
}
