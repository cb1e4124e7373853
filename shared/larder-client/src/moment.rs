//! Time across a freeze: two clocks, and whichever says that more of it has passed.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A point in time on the monotonic clock and on the wall clock.
///
/// While an environment is frozen the monotonic clock may stand still; the wall clock may be set back. So the
/// age of a thing is the larger of what both clocks say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The moment on the monotonic clock, for deadlines.
    pub(crate) fn instant(&self) -> Instant {
        self.monotonic
    }

    /// The moment that comes `pause` later on both clocks; a pause that no clock can tell is none.
    pub(crate) fn plus(&self, pause: Duration) -> Self {
        Self {
            monotonic: self.monotonic.checked_add(pause).unwrap_or(self.monotonic),
            wall: self.wall.checked_add(pause).unwrap_or(self.wall),
        }
    }

    /// Whether `other` has come, by whichever clock says so.
    pub(crate) fn has_reached(&self, other: &Self) -> bool {
        self.monotonic >= other.monotonic || self.wall >= other.wall
    }

    /// Whether it came after `other`. By the monotonic clock alone, which may stand still, but is never set.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        self.monotonic > other.monotonic
    }

    /// How much time has passed since `earlier`; zero where it is later.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        monotonic.max(self.wall.duration_since(earlier.wall).unwrap_or_default())
    }
}

#[cfg(test)]
impl Moment {
    /// The same moment seen `monotonic` and `wall` later on the two clocks.
    pub(crate) fn later(self, monotonic: Duration, wall: Duration) -> Self {
        Self { monotonic: self.monotonic + monotonic, wall: self.wall + wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_freeze_that_only_the_wall_clock_saw_counts() {
        let before = Moment::now();
        let after = before.later(SECOND, 3600 * SECOND);
        assert_eq!(after.since(&before), 3600 * SECOND);
        assert!(after.has_reached(&before.plus(3600 * SECOND)));
    }

    #[test]
    fn a_wall_clock_set_back_does_not_hide_time() {
        let before = Moment::now().later(Duration::ZERO, 3600 * SECOND);
        let after = Moment { monotonic: before.monotonic + SECOND, wall: before.wall - 60 * SECOND };
        assert_eq!(after.since(&before), SECOND);
        assert!(after.has_reached(&before.plus(SECOND)));
        assert!(!after.has_reached(&before.plus(2 * SECOND)));
    }
}
