//! An execution environment and its invocations, one after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::deadline::TimeLimit;
use crate::thaw::{Clocks, Thaw};

/// What one environment remembers from invocation to invocation.
///
/// ```
/// use std::time::Duration;
/// use larder_lambda::{deadline::TimeLimit, environment::Environment, thaw::Clocks};
///
/// let environment = Environment::new(TimeLimit::new(Duration::from_secs(5)));
/// let first = environment.begin(600_000, Clocks::now());
/// environment.end(&first, Clocks::now());
/// let second = environment.begin(600_000, Clocks::now());
/// assert!(first.is_cold_start && !second.is_cold_start);
/// ```
#[derive(Debug)]
pub struct Environment {
    limit: TimeLimit,
    thaw: Thaw,
    was_invoked: AtomicBool,
}

/// What a handler is told of its invocation, besides the event.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
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
    /// An environment that was not invoked yet.
    pub fn new(limit: TimeLimit) -> Self {
        Self { limit, thaw: Thaw::default(), was_invoked: AtomicBool::new(false) }
    }

    /// Begins an invocation at `now`, which Lambda ends at `deadline_ms` (milliseconds since 1970).
    pub fn begin(&self, deadline_ms: u64, now: Clocks) -> Invocation {
        Invocation {
            started: now,
            answer_by: self.limit.answer_by(deadline_ms, epoch_ms(now.wall), now.monotonic),
            is_cold_start: !self.was_invoked.swap(true, Ordering::Relaxed),
            idle: self.thaw.mark(now),
        }
    }

    /// Ends `invocation` at `now`; how long it took.
    pub fn end(&self, invocation: &Invocation, now: Clocks) -> Duration {
        self.thaw.mark(now);
        now.since(&invocation.started)
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
        let begun = Environment::new(LIMIT).begin(epoch_ms(now.wall) + 1_050, now);
        assert_eq!(begun.answer_by, now.monotonic + Duration::from_secs(1));
    }

    #[test]
    fn the_pause_before_an_invocation_is_counted_from_the_end_of_the_one_before() {
        let (environment, now) = (Environment::new(LIMIT), Clocks::now());
        let later = |secs| Clocks { wall: now.wall + Duration::from_secs(secs), ..now };
        let first = environment.begin(0, now);
        assert_eq!(first.idle, None);
        assert_eq!(environment.end(&first, later(2)), Duration::from_secs(2));
        assert_eq!(environment.begin(0, later(302)).idle, Some(Duration::from_secs(300)));
    }

    #[test]
    fn milliseconds_count_from_1970() {
        assert_eq!(epoch_ms(UNIX_EPOCH + Duration::from_millis(1_500)), 1_500);
        assert_eq!(epoch_ms(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
