//! When to ask for the topology again: on use, never by a timer.

use std::time::Duration;

use crate::Config;
use crate::moment::Moment;

/// When the topology was asked for, and how urgent it is to ask again.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// The last time, whatever came of it.
    asked: Option<Moment>,
    /// Times in a row that were early, or failed, and changed nothing.
    fruitless: u32,
    /// A node has failed since.
    is_urgent: bool,
    /// From 0 to 1, drawn anew every time, so that environments do not ask in step.
    jitter: f64,
}

impl Schedule {
    /// Whether it is time to ask.
    ///
    /// In quiet times every `discovery_interval`; after `early_discovery` once a node has failed or the last answer
    /// was none, twice that if it was no use, and so on up to the interval. Jitter shortens each by a tenth at most.
    pub(crate) fn is_due(&self, now: Moment, config: &Config) -> bool {
        let Some(asked) = self.asked else { return true };
        let pause = if self.is_urgent {
            let doubled = config.early_discovery.saturating_mul(1 << self.fruitless.min(MOST_DOUBLINGS));
            doubled.min(config.discovery_interval)
        } else {
            config.discovery_interval
        };
        now.since(&asked) >= shortened(pause, self.jitter)
    }

    /// A node has failed: its replacement may be known by now.
    pub(crate) fn hasten(&mut self) {
        self.is_urgent = true;
    }

    /// The endpoint was asked at `now`; `brought_news` says whether the answer was another one than before.
    pub(crate) fn answered(&mut self, now: Moment, brought_news: bool, jitter: f64) {
        self.fruitless = if brought_news || !self.is_urgent { 0 } else { self.fruitless.saturating_add(1) };
        *self = Self { asked: Some(now), fruitless: self.fruitless, is_urgent: false, jitter };
    }

    /// The endpoint was asked at `now` and gave no good answer.
    pub(crate) fn failed(&mut self, now: Moment, jitter: f64) {
        let fruitless = self.fruitless.saturating_add(1);
        *self = Self { asked: Some(now), fruitless, is_urgent: true, jitter };
    }
}

fn shortened(pause: Duration, jitter: f64) -> Duration {
    pause.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 10.0)
}

const MOST_DOUBLINGS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    #[test]
    fn the_first_use_asks_and_then_every_interval() {
        let (now, config) = (Moment::now(), config());
        let mut schedule = Schedule::default();
        assert!(schedule.is_due(now, &config));
        schedule.answered(now, true, 0.0);
        assert!(!schedule.is_due(after(now, 59_999), &config));
        assert!(schedule.is_due(after(now, 60_000), &config));
    }

    #[test]
    fn a_thaw_asks_even_if_the_monotonic_clock_stood_still() {
        let (now, mut schedule) = (Moment::now(), Schedule::default());
        schedule.answered(now, true, 0.0);
        assert!(schedule.is_due(now.later(Duration::ZERO, Duration::from_secs(60)), &config()));
    }

    #[test]
    fn a_failed_node_makes_it_urgent_and_fruitless_asking_slows_down() {
        let (mut now, config) = (Moment::now(), config());
        let mut schedule = Schedule::default();
        schedule.answered(now, true, 0.0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.hasten();
            let pause =
                (0..).step_by(500).find(|millis| schedule.is_due(after(now, *millis), &config)).unwrap();
            now = after(now, pause);
            schedule.answered(now, false, 0.0);
            pauses.push(pause);
        }
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
    }

    #[test]
    fn an_answer_that_brings_news_makes_the_next_alarm_quick_again() {
        let (now, config) = (Moment::now(), config());
        let mut schedule = Schedule::default();
        for _ in 0..5 {
            schedule.failed(now, 0.0);
        }
        assert!(!schedule.is_due(after(now, 5_000), &config));
        schedule.answered(now, true, 0.0);
        schedule.hasten();
        assert!(schedule.is_due(after(now, 1_000), &config));
    }

    #[test]
    fn jitter_takes_a_tenth_at_most() {
        let (now, config) = (Moment::now(), config());
        let mut schedule = Schedule::default();
        schedule.answered(now, true, 1.0);
        assert!(!schedule.is_due(after(now, 53_999), &config));
        assert!(schedule.is_due(after(now, 54_000), &config));
    }

    fn config() -> Config {
        Config::new(Endpoint::Nodes(Vec::new()))
    }

    fn after(now: Moment, millis: u64) -> Moment {
        now.later(Duration::from_millis(millis), Duration::from_millis(millis))
    }
}
