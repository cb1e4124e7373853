//! Under which names a function's metrics are charted, and what every function charts.

use std::time::Duration;

use crate::environment::Invocation;
use crate::metrics::Metrics;
use crate::settings::Variables;

/// Under which names metrics are charted.
///
/// ```
/// use larder_lambda::{chart::Chart, settings::Variables};
///
/// let variables: Variables = [("AWS_LAMBDA_FUNCTION_NAME", "read")].into_iter().collect();
/// let chart = Chart::of(&variables);
/// assert_eq!((chart.namespace.as_str(), chart.service.as_str()), ("Larder", "larder"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chart {
    /// The namespace.
    pub namespace: String,
    /// The dimension `service`.
    pub service: String,
    /// The dimension `function_name`; an empty one is left out.
    pub function_name: String,
}

impl Chart {
    /// As `variables` say: `POWERTOOLS_METRICS_NAMESPACE` (`Larder` unless told), the [`service`], and
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub fn of(variables: &Variables) -> Self {
        Self {
            namespace: variables.text("POWERTOOLS_METRICS_NAMESPACE").unwrap_or("Larder").to_owned(),
            service: service(variables).to_owned(),
            function_name: variables.text("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default().to_owned(),
        }
    }

    /// Begins the metrics of an `invocation` that took `duration`: the count `ColdStarts`, 0 or 1, the time `Duration`,
    /// and the properties `function_request_id` and, but for a cold start, `idle_ms`, milliseconds.
    pub fn begin(&self, invocation: &Invocation<'_>, duration: Duration) -> Metrics {
        let mut metrics = Metrics::new(&self.namespace);
        metrics.dimension("service", &self.service);
        if !self.function_name.is_empty() {
            metrics.dimension("function_name", &self.function_name);
        }
        metrics.count("ColdStarts", invocation.is_cold_start.into());
        metrics.time("Duration", duration);
        metrics.property("function_request_id", invocation.request_id);
        if let Some(idle) = invocation.idle {
            metrics.property("idle_ms", idle.as_millis() as u64);
        }
        metrics
    }
}

/// The service that logs and metrics name, by `POWERTOOLS_SERVICE_NAME`, `larder` unless told: known even where the
/// settings are wrong.
pub fn service(variables: &Variables) -> &str {
    variables.text("POWERTOOLS_SERVICE_NAME").unwrap_or("larder")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::deadline::TimeLimit;
    use crate::environment::Environment;
    use crate::thaw::Clocks;

    use super::*;

    #[test]
    fn what_the_environment_says_is_what_is_charted() {
        let variables = [
            ("POWERTOOLS_METRICS_NAMESPACE", "Air"),
            ("POWERTOOLS_SERVICE_NAME", "flights"),
            ("AWS_LAMBDA_FUNCTION_NAME", "read"),
        ];
        let lines = lines(&variables.into_iter().collect());
        for line in &lines {
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Air");
            assert_eq!((&line["service"], &line["function_name"]), (&"flights".into(), &"read".into()));
            assert_eq!(line["function_request_id"], "8f0c");
            assert_eq!(line["Duration"], serde_json::json!(1.5));
            assert_eq!(line.get("metrics_dropped"), None);
        }
        let cold: Vec<_> = lines.iter().map(|line| line["ColdStarts"].as_f64().unwrap()).collect();
        assert_eq!(cold, [1.0, 0.0]);
        let idle: Vec<_> = lines.iter().map(|line| line.get("idle_ms").is_some()).collect();
        assert_eq!(idle, [false, true]);
    }

    #[test]
    fn without_a_function_name_there_is_none_in_the_line() {
        for line in lines(&Variables::default()) {
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([["service"]]));
            assert_eq!(line.get("metrics_dropped"), None);
        }
    }

    /// The lines of a cold start and of the invocation after it.
    fn lines(variables: &Variables) -> [Value; 2] {
        let environment = Environment::new(TimeLimit::new(Duration::from_secs(1)), variables);
        [(); 2].map(|()| {
            let invocation = environment.begin("8f0c", 0, Clocks::now());
            environment.end(&invocation, |_| ());
            let metrics = Chart::of(variables).begin(&invocation, Duration::from_micros(1_500));
            serde_json::from_str(&metrics.line(1)).unwrap()
        })
    }
}
