//! Whether a node is worth asking: failed ones are left alone for a bounded, growing while, then tried by one.

use std::time::Duration;

use crate::moment::Moment;

/// What is known of a node's health.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Failures since the last success.
    failures: u32,
    /// When it failed last, and how long it is left alone.
    down: Option<(Moment, Duration)>,
    /// Since when somebody tries it.
    probe: Option<Moment>,
    /// Since when it has answered nobody, though nobody waited for long.
    silent: Option<Moment>,
}

/// How long a failed node is left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// After the first failure; doubles with every other.
    pub(crate) first: Duration,
    /// At most.
    pub(crate) most: Duration,
    /// A probe that has not ended after this is given up; its caller may be gone.
    pub(crate) probe: Duration,
}

/// Whether a request may go to a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Ask,
    /// Not for so long yet; zero while somebody tries it.
    LeaveAlone(Duration),
}

impl Health {
    /// Asks whether a request may go to the node. Of those who come when its pause is over, one may.
    pub(crate) fn admit(&mut self, now: Moment, pauses: &Pauses) -> Verdict {
        let Some((since, pause)) = self.down else { return Verdict::Ask };
        if let Some(left) = pause.checked_sub(now.since(&since)).filter(|left| !left.is_zero()) {
            return Verdict::LeaveAlone(left);
        }
        if self.probe.is_some_and(|probe| now.since(&probe) < pauses.probe) {
            return Verdict::LeaveAlone(Duration::ZERO);
        }
        self.probe = Some(now);
        Verdict::Ask
    }

    /// The node answered.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call that began at `start` gave up by `now`. Says whether that is the node's fault: it is once the node has
    /// answered nobody for `limit`, however little each of them waited.
    pub(crate) fn is_to_blame(&mut self, start: Moment, now: Moment, limit: Duration) -> bool {
        let since = *self.silent.get_or_insert(start);
        now.since(&since) >= limit
    }

    /// Whether it has failed since `start`.
    pub(crate) fn has_failed_since(&self, start: Moment) -> bool {
        self.down.is_some_and(|(since, _)| since.is_after(&start))
    }

    /// A call that began at `start` failed. Calls under way together fail together: only the first one counts.
    ///
    /// `jitter` from 0 to 1 shortens the pause by up to a quarter, so that not all come back at once.
    pub(crate) fn failed(&mut self, start: Moment, now: Moment, pauses: &Pauses, jitter: f64) {
        if self.has_failed_since(start) {
            return;
        }
        let doubled = pauses.first.saturating_mul(1 << self.failures.min(MOST_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.down = Some((now, doubled.min(pauses.most).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)));
        self.probe = None;
        self.silent = None;
    }
}

const MOST_DOUBLINGS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses {
        first: Duration::from_millis(100),
        most: Duration::from_secs(1),
        probe: Duration::from_millis(500),
    };

    #[test]
    fn a_node_is_asked_until_it_fails() {
        let (now, mut health) = (Moment::now(), Health::default());
        assert_eq!(health.admit(now, &PAUSES), Verdict::Ask);
        health.failed(now, now, &PAUSES, 0.0);
        assert_eq!(health.admit(after(now, 40), &PAUSES), Verdict::LeaveAlone(Duration::from_millis(60)));
    }

    #[test]
    fn one_probe_goes_when_the_pause_is_over_and_another_when_it_got_lost() {
        let (now, mut health) = (Moment::now(), Health::default());
        health.failed(now, now, &PAUSES, 0.0);
        assert_eq!(health.admit(after(now, 100), &PAUSES), Verdict::Ask);
        assert_eq!(health.admit(after(now, 101), &PAUSES), Verdict::LeaveAlone(Duration::ZERO));
        assert_eq!(health.admit(after(now, 599), &PAUSES), Verdict::LeaveAlone(Duration::ZERO));
        assert_eq!(health.admit(after(now, 600), &PAUSES), Verdict::Ask);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_start_again_after_a_success() {
        let (now, mut health) = (Moment::now(), Health::default());
        let mut pauses = Vec::new();
        for _ in 0..40 {
            health.failed(now, now, &PAUSES, 0.0);
            pauses.push(left(&mut health, now));
        }
        assert_eq!(pauses[..5], [100, 200, 400, 800, 1000]);
        assert_eq!(pauses[39], 1000);
        health.succeeded();
        assert_eq!(health.admit(now, &PAUSES), Verdict::Ask);
        health.failed(now, now, &PAUSES, 1.0);
        assert_eq!(left(&mut health, now), 75);
    }

    #[test]
    fn calls_that_were_under_way_when_the_node_failed_add_nothing() {
        let (start, mut health) = (Moment::now(), Health::default());
        for millis in 1..64 {
            health.failed(start, after(start, millis), &PAUSES, 0.0);
        }
        assert_eq!(health.admit(after(start, 101), &PAUSES), Verdict::Ask);
        health.failed(after(start, 101), after(start, 102), &PAUSES, 0.0);
        assert_eq!(left(&mut health, after(start, 102)), 200);
    }

    #[test]
    fn many_who_wait_a_little_find_a_silent_node_out_together() {
        let (now, mut health) = (Moment::now(), Health::default());
        let limit = Duration::from_millis(500);
        assert!(!health.is_to_blame(now, after(now, 50), limit));
        assert!(!health.is_to_blame(after(now, 400), after(now, 450), limit));
        assert!(health.is_to_blame(after(now, 460), after(now, 510), limit));
        health.succeeded();
        assert!(!health.is_to_blame(after(now, 520), after(now, 570), limit));
    }

    #[test]
    fn a_freeze_counts_as_pause() {
        let (now, mut health) = (Moment::now(), Health::default());
        health.failed(now, now, &PAUSES, 0.0);
        let thawed = now.later(Duration::ZERO, Duration::from_secs(60));
        assert_eq!(health.admit(thawed, &PAUSES), Verdict::Ask);
    }

    #[test]
    fn a_failure_of_before_the_clock_was_set_back_is_none_of_a_later_call() {
        let (ahead, mut health) =
            (Moment::now().later(Duration::ZERO, Duration::from_secs(3600)), Health::default());
        health.failed(ahead, ahead, &PAUSES, 0.0);
        let later = Moment::now();
        assert!(!health.has_failed_since(later));
        health.failed(later, later, &PAUSES, 0.0);
        assert_eq!(left(&mut health, later), 200, "it counts");
    }

    fn after(now: Moment, millis: u64) -> Moment {
        now.later(Duration::from_millis(millis), Duration::from_millis(millis))
    }

    fn left(health: &mut Health, now: Moment) -> u128 {
        match health.admit(now, &PAUSES) {
            Verdict::LeaveAlone(left) => left.as_millis(),
            Verdict::Ask => panic!("the node should be left alone"),
        }
    }
}
