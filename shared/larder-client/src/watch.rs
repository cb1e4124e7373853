//! When to look at the ring document: in passing, along with a request that is made anyway.

use std::time::Duration;

use crate::moment::Moment;

/// When somebody last made sure which ring the fleet uses.
///
/// One request in an interval carries the look. A view that nobody has confirmed for two intervals is too old to go by:
/// then every request carries one, until one comes back, and its answer counts only if the view was right. So a view
/// that is used is at most [`MOST_INTERVALS`] intervals old, however long the environment was frozen.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When the last look began that came back with an answer.
    confirmed: Option<Moment>,
    /// When the last look began.
    begun: Option<Moment>,
    /// When it was last tried to find out without a look that says so.
    tried: Option<Moment>,
}

impl Watch {
    /// Whether the request that is made at `now` is to carry a look; if so, it counts as begun.
    pub(crate) fn is_due(&mut self, now: Moment, interval: Duration) -> bool {
        let age = |moment: Option<Moment>| moment.map_or(Duration::MAX, |moment| now.since(&moment));
        let age_confirmed = age(self.confirmed);
        let is_due = age_confirmed >= interval
            && (age_confirmed >= interval * MOST_INTERVALS || age(self.begun) >= interval);
        if is_due {
            self.begun = Some(now);
        }
        is_due
    }

    /// A look that began at `begun` has told which ring the fleet uses.
    pub(crate) fn confirm(&mut self, begun: Moment) {
        if self.confirmed.is_none_or(|confirmed| begun.is_after(&confirmed)) {
            self.confirmed = Some(begun);
        }
    }

    /// Since when the ring is known to be the one in force; `None` if it never was.
    pub(crate) fn confirmed(&self) -> Option<Moment> {
        self.confirmed
    }

    /// Whether many nodes may be asked for what a look does not say: once in an interval.
    pub(crate) fn may_try(&mut self, now: Moment, interval: Duration) -> bool {
        let may_try = self.tried.is_none_or(|tried| now.since(&tried) >= interval);
        if may_try {
            self.tried = Some(now);
        }
        may_try
    }

    /// Whether a ring that was the one in force at `then`, if ever, may be too old at `now` to go by.
    pub(crate) fn is_outdated(then: Option<Moment>, now: Moment, interval: Duration) -> bool {
        then.is_none_or(|then| now.since(&then) >= interval * MOST_INTERVALS)
    }
}

/// How many intervals old a view may grow that is used without being confirmed.
pub(crate) const MOST_INTERVALS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn one_request_in_an_interval_looks() {
        let (now, mut watch) = (Moment::now(), Watch::default());
        watch.confirm(now);
        check(&mut watch, now, &[(0, false), (999, false), (1000, true), (1001, false), (1500, false)]);
        watch.confirm(after(now, 1000));
        check(&mut watch, now, &[(1999, false), (2000, true)]);
    }

    #[test]
    fn every_request_looks_while_nobody_knows() {
        let (now, mut watch) = (Moment::now(), Watch::default());
        check(&mut watch, now, &[(0, true), (0, true), (1, true)]);
        watch.confirm(now);
        check(&mut watch, now, &[(1001, true), (1999, false), (2000, true), (2000, true)]);
    }

    #[test]
    fn a_thaw_counts_by_the_clock_that_saw_it() {
        let (now, mut watch) = (Moment::now(), Watch::default());
        watch.confirm(now);
        let thawed = now.later(Duration::ZERO, Duration::from_secs(3600));
        assert!(watch.is_due(thawed, INTERVAL) && watch.is_due(thawed, INTERVAL));
    }

    #[test]
    fn an_older_look_that_comes_back_later_confirms_nothing_new() {
        let (now, mut watch) = (Moment::now(), Watch::default());
        watch.confirm(after(now, 1000));
        watch.confirm(now);
        assert!(!watch.is_due(after(now, 1999), INTERVAL));
    }

    #[track_caller]
    fn check(watch: &mut Watch, start: Moment, expected: &[(u64, bool)]) {
        for (millis, is_due) in expected {
            assert_eq!(watch.is_due(after(start, *millis), INTERVAL), *is_due, "after {millis} ms");
        }
    }

    fn after(now: Moment, millis: u64) -> Moment {
        now.later(Duration::from_millis(millis), Duration::from_millis(millis))
    }
}
