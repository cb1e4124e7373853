//! An execution environment and its invocations, one after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::chart::Chart;
use crate::deadline::TimeLimit;
use crate::metrics::Metrics;
use crate::settings::Variables;
use crate::thaw::{Clocks, Thaw};

/// What one environment remembers from invocation to invocation, and how it charts them.
///
/// ```
/// use std::time::Duration;
/// use larder_lambda::{deadline::TimeLimit, environment::Environment, settings::Variables, thaw::Clocks};
///
/// let limit = TimeLimit::new(Duration::from_secs(5));
/// let environment = Environment::new(limit, &Variables::default());
/// let first = environment.begin("8f0c", 600_000, Clocks::now());
/// environment.end(&first, |metrics| metrics.count("Hits", 1));
/// let second = environment.begin("8f0d", 600_000, Clocks::now());
/// assert!(first.is_cold_start && !second.is_cold_start);
/// ```
#[derive(Debug)]
pub struct Environment {
    limit: TimeLimit,
    chart: Chart,
    thaw: Thaw,
    was_invoked: AtomicBool,
}

/// What a handler is told of its invocation, besides the event.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'r> {
    /// Lambda's id of it.
    pub request_id: &'r str,
    /// Both clocks at its start.
    pub started: Clocks,
    /// When the answer must be ready.
    pub answer_by: Instant,
    /// Whether it is the first one of its environment.
    pub is_cold_start: bool,
    /// How long the environment had nothing to do before, frozen or not; nothing for the first one.
    pub idle: Option<Duration>,
}

impl Environment {
    /// An environment that was not invoked yet, of a function with these `variables`.
    pub fn new(limit: TimeLimit, variables: &Variables) -> Self {
        let chart = Chart::of(variables);
        Self { limit, chart, thaw: Thaw::default(), was_invoked: AtomicBool::new(false) }
    }

    /// Begins an invocation at `now`, which Lambda ends at `deadline_ms` (milliseconds since 1970).
    pub fn begin<'r>(&self, request_id: &'r str, deadline_ms: u64, now: Clocks) -> Invocation<'r> {
        Invocation {
            request_id,
            started: now,
            answer_by: self.limit.answer_by(deadline_ms, epoch_ms(now.wall), now.monotonic),
            is_cold_start: !self.was_invoked.swap(true, Ordering::Relaxed),
            idle: self.thaw.mark(now),
        }
    }

    /// Ends `invocation`, and prints its metrics: what every function charts, and what `chart` adds.
    pub fn end(&self, invocation: &Invocation<'_>, chart: impl FnOnce(&mut Metrics)) {
        let now = Clocks::now();
        let mut metrics = self.ended(invocation, now);
        chart(&mut metrics);
        metrics.print(now.wall);
    }

    /// The metrics of an `invocation` that ends `now`.
    fn ended(&self, invocation: &Invocation<'_>, now: Clocks) -> Metrics {
        self.thaw.mark(now);
        self.chart.begin(invocation, now.since(&invocation.started))
    }
}

/// Milliseconds since 1970; 0 for a clock before that.
pub fn epoch_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: TimeLimit = TimeLimit { timeout: Duration::from_secs(5), margin: Duration::from_millis(50) };

    #[test]
    fn an_invocation_knows_its_deadline() {
        let now = Clocks::now();
        let begun = environment().begin("8f0c", epoch_ms(now.wall) + 1_050, now);
        assert_eq!(begun.answer_by, now.monotonic + Duration::from_secs(1));
    }

    #[test]
    fn the_pause_before_an_invocation_is_counted_from_the_end_of_the_one_before() {
        let (environment, now) = (environment(), Clocks::now());
        let later = |secs| Clocks { wall: now.wall + Duration::from_secs(secs), ..now };
        let first = environment.begin("8f0c", 0, now);
        assert_eq!(first.idle, None);
        let line = environment.ended(&first, later(2)).line(1);
        assert!(line.contains("\"Duration\":2000") && line.contains("8f0c"), "{line}");
        assert_eq!(environment.begin("8f0d", 0, later(302)).idle, Some(Duration::from_secs(300)));
    }

    #[test]
    fn milliseconds_count_from_1970() {
        assert_eq!(epoch_ms(UNIX_EPOCH + Duration::from_millis(1_500)), 1_500);
        assert_eq!(epoch_ms(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }

    fn environment() -> Environment {
        Environment::new(LIMIT, &Variables::default())
    }
}
