//! How long an environment stood still between two invocations.
//!
//! Lambda freezes an environment when the runtime asks for the next event, and thaws it at any later time. Whether the
//! monotonic clock goes on in between is not promised, so both clocks are read and the one that says more is believed.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Goes on while the environment is frozen; may be set back.
    pub wall: SystemTime,
    /// Never goes back; may stand still while the environment is frozen.
    pub monotonic: Instant,
}

impl Clocks {
    /// Reads both clocks of this machine.
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// The time that passed since `earlier`: what the clock says that saw more of it.
    pub fn since(&self, earlier: &Self) -> Duration {
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        wall.max(self.monotonic.saturating_duration_since(earlier.monotonic))
    }
}

/// Remembers when an environment last had work.
#[derive(Debug, Default)]
pub struct Thaw {
    last: Mutex<Option<Clocks>>,
}

impl Thaw {
    /// Tells that an invocation starts, or ends, at `now`; the time since it was last told, or nothing the first time.
    ///
    /// Told at both ends of every invocation, the answer at a start is how long the environment had nothing to do.
    pub fn mark(&self, now: Clocks) -> Option<Duration> {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        last.replace(now).map(|before| now.since(&before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Clocks, wall: i64, monotonic: u64) -> Clocks {
        let step = Duration::from_secs(wall.unsigned_abs());
        let wall = if wall < 0 { start.wall - step } else { start.wall + step };
        Clocks { wall, monotonic: start.monotonic + Duration::from_secs(monotonic) }
    }

    #[track_caller]
    fn check(wall: i64, monotonic: u64, expected: u64) {
        let start = Clocks::now();
        assert_eq!(after(start, wall, monotonic).since(&start), Duration::from_secs(expected));
    }

    #[test]
    fn a_monotonic_clock_that_stood_still_does_not_hide_a_freeze() {
        check(900, 0, 900);
    }

    #[test]
    fn a_wall_clock_set_back_does_not_hide_the_time_that_passed() {
        check(-3_600, 20, 20);
    }

    #[test]
    fn clocks_that_agree_are_believed() {
        check(7, 7, 7);
        check(0, 0, 0);
    }

    #[test]
    fn the_first_mark_knows_of_no_pause_and_later_ones_count_from_the_one_before() {
        let (thaw, start) = (Thaw::default(), Clocks::now());
        assert_eq!(thaw.mark(start), None);
        assert_eq!(thaw.mark(after(start, 300, 1)), Some(Duration::from_secs(300)));
        assert_eq!(thaw.mark(after(start, 301, 2)), Some(Duration::from_secs(1)));
    }
}
