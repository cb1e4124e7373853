//! The time by which a handler must have its answer ready.

use std::time::{Duration, Instant};

/// How long one invocation may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeLimit {
    /// The function's own bound, whatever Lambda would allow.
    pub timeout: Duration,
    /// What is kept back of Lambda's time to write the answer and the metrics.
    pub margin: Duration,
}

impl TimeLimit {
    /// A limit of `timeout` with the usual [`MARGIN`].
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, margin: MARGIN }
    }

    /// The time left for an invocation that Lambda ends at `deadline_ms`, seen at `now_ms` (both in milliseconds
    /// since 1970).
    ///
    /// At most the timeout, and at most what Lambda leaves less the margin. A deadline that has passed, or that is
    /// further away than any function may run, tells nothing (`cargo lambda watch` sends the constant 600000): then
    /// the timeout alone holds.
    pub fn time_left(&self, deadline_ms: u64, now_ms: u64) -> Duration {
        match deadline_ms.checked_sub(now_ms).map(Duration::from_millis) {
            Some(left) if !left.is_zero() && left <= LONGEST => {
                self.timeout.min(left.saturating_sub(self.margin))
            }
            _ => self.timeout,
        }
    }

    /// The same as a moment on the monotonic clock, which reads `now`.
    pub fn answer_by(&self, deadline_ms: u64, now_ms: u64, now: Instant) -> Instant {
        now + self.time_left(deadline_ms, now_ms)
    }
}

/// Enough to serialise an answer, write the metric line and hand both to the runtime.
pub const MARGIN: Duration = Duration::from_millis(50);

/// No function may run for longer than 15 minutes; a minute more, for clocks that differ.
const LONGEST: Duration = Duration::from_secs(16 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_780_000_000_000;
    const LIMIT: TimeLimit = TimeLimit { timeout: Duration::from_secs(5), margin: Duration::from_millis(50) };

    #[track_caller]
    fn check(deadline_ms: u64, expected_ms: u64) {
        assert_eq!(LIMIT.time_left(deadline_ms, NOW_MS), Duration::from_millis(expected_ms));
    }

    #[test]
    fn the_timeout_holds_when_lambda_leaves_more() {
        check(NOW_MS + 30_000, 5_000);
    }

    #[test]
    fn what_lambda_leaves_holds_when_it_is_less_and_a_margin_is_kept_back() {
        check(NOW_MS + 3_000, 2_950);
        check(NOW_MS + 50, 0);
        check(NOW_MS + 1, 0);
    }

    #[test]
    fn a_deadline_in_the_past_means_unknown() {
        check(600_000, 5_000);
        check(0, 5_000);
        check(NOW_MS, 5_000);
    }

    #[test]
    fn a_deadline_that_no_function_can_have_means_unknown() {
        let patient = TimeLimit { timeout: Duration::from_secs(100_000), ..LIMIT };
        assert_eq!(patient.time_left(NOW_MS + 900_000, NOW_MS), Duration::from_millis(899_950));
        assert_eq!(patient.time_left(NOW_MS + 2_000_000, NOW_MS), patient.timeout);
        assert_eq!(patient.time_left(u64::MAX, 0), patient.timeout);
    }

    #[test]
    fn the_moment_is_counted_from_the_monotonic_clock() {
        let now = Instant::now();
        assert_eq!(LIMIT.answer_by(NOW_MS + 1_050, NOW_MS, now), now + Duration::from_secs(1));
    }
}
