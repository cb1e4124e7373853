//! When the next operation is due, in a load that does not wait for answers.

use super::clock::Stamp;
use std::time::Duration;

/// A steady pace from a first moment on.
///
/// An operation that is late because the process was busy is made up for; a pause as long as a freeze is not, for
/// nobody sends requests to a frozen environment.
pub(crate) struct Pace {
    /// When the next operation is due.
    next: Stamp,
    interval: Duration,
}

impl Pace {
    /// `per_sec` operations a second, the first one at `first`.
    pub(crate) fn new(per_sec: f64, first: Stamp) -> Self {
        Self { next: first, interval: Duration::from_secs_f64(1.0 / per_sec) }
    }

    /// How many operations have become due since the last question.
    pub(crate) fn due(&mut self, now: Stamp) -> u32 {
        let mut due = 0;
        if now.since(self.next) > MOST_LATE {
            self.next = now;
        }
        while self.next <= now {
            self.next = self.next + self.interval;
            due += 1;
        }
        due
    }
}

/// What is later than this was not sent. Bounds what is made up for, too.
const MOST_LATE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_due_at_a_steady_pace_whenever_one_asks() {
        let mut pace = Pace::new(1000.0, Stamp(0));
        for (at_ms, expected) in [(0, 1), (1, 1), (1, 0), (2, 1), (5, 3), (100, 95), (101, 1)] {
            assert_eq!(pace.due(at(at_ms)), expected, "{at_ms} ms");
        }
    }

    #[test]
    fn nothing_is_due_before_the_first_moment() {
        let mut pace = Pace::new(10.0, at(50));
        assert_eq!(pace.due(at(49)), 0);
        assert_eq!(pace.due(at(50)), 1);
    }

    #[test]
    fn a_freeze_is_not_made_up_for() {
        let mut pace = Pace::new(1000.0, Stamp(0));
        pace.due(at(10));
        assert_eq!(pace.due(at(5_000)), 1);
        assert_eq!(pace.due(at(5_010)), 10);
    }

    fn at(ms: u64) -> Stamp {
        Stamp::default() + Duration::from_millis(ms)
    }
}
