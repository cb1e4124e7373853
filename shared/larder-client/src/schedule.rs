//! When to ask for the topology again: on use, never by a timer.

use std::time::Duration;

use crate::Config;
use crate::moment::Moment;

/// When the topology is to be asked for.
///
/// In quiet times every `discovery_interval`; after `early_discovery` once a node has failed or the last answer was
/// none, twice that if it was no use, and so on up to the interval. Jitter shortens each by a tenth at most.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// The last time, whatever came of it.
    asked: Option<Moment>,
    /// The next time; at once where it was never asked for.
    due: Option<Moment>,
    /// A node has failed since.
    is_urgent: bool,
    /// Times in a row that were early, or failed, and changed nothing.
    fruitless: u32,
    /// From 0 to 1, drawn anew every time, so that environments do not ask in step.
    jitter: f64,
}

impl Schedule {
    /// Whether it is time to ask.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.due.is_none_or(|due| now.has_reached(&due))
    }

    /// A node has failed: its replacement may be known by now.
    pub(crate) fn hasten(&mut self, config: &Config) {
        if !self.is_urgent {
            self.is_urgent = true;
            self.set_due(config);
        }
    }

    /// The endpoint is asked at `now`. That counts, for whoever asks may leave before the answer.
    pub(crate) fn begun(&mut self, now: Moment, config: &Config) {
        self.asked = Some(now);
        self.set_due(config);
    }

    /// The endpoint was asked at `now`; `brought_news` says whether the answer was another one than before.
    pub(crate) fn answered(&mut self, now: Moment, brought_news: bool, config: &Config, jitter: f64) {
        let was_fruitless = self.is_urgent && !brought_news;
        self.fruitless = if was_fruitless { self.fruitless.saturating_add(1) } else { 0 };
        self.asked_at(now, false, config, jitter);
    }

    /// The endpoint was asked at `now` and gave no good answer.
    pub(crate) fn failed(&mut self, now: Moment, config: &Config, jitter: f64) {
        self.fruitless = self.fruitless.saturating_add(1);
        self.asked_at(now, true, config, jitter);
    }

    fn asked_at(&mut self, now: Moment, is_urgent: bool, config: &Config, jitter: f64) {
        (self.asked, self.is_urgent, self.jitter) = (Some(now), is_urgent, jitter);
        self.set_due(config);
    }

    fn set_due(&mut self, config: &Config) {
        let pause = if self.is_urgent {
            let doubled = config.early_discovery.saturating_mul(1 << self.fruitless.min(MOST_DOUBLINGS));
            doubled.min(config.discovery_interval)
        } else {
            config.discovery_interval
        };
        self.due = self.asked.map(|asked| asked.plus(shortened(pause, self.jitter)));
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
        let now = Moment::now();
        let mut schedule = Schedule::default();
        assert!(schedule.is_due(now));
        schedule.answered(now, true, &config(), 0.0);
        assert!(!schedule.is_due(after(now, 59_999)));
        assert!(schedule.is_due(after(now, 60_000)));
    }

    #[test]
    fn a_thaw_asks_even_if_the_monotonic_clock_stood_still() {
        let (now, mut schedule) = (Moment::now(), Schedule::default());
        schedule.answered(now, true, &config(), 0.0);
        assert!(schedule.is_due(now.later(Duration::ZERO, Duration::from_secs(60))));
    }

    #[test]
    fn a_failed_node_makes_it_urgent_and_fruitless_asking_slows_down() {
        let mut now = Moment::now();
        let mut schedule = Schedule::default();
        schedule.answered(now, true, &config(), 0.0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.hasten(&config());
            let pause = (0..).step_by(500).find(|millis| schedule.is_due(after(now, *millis))).unwrap();
            now = after(now, pause);
            schedule.answered(now, false, &config(), 0.0);
            pauses.push(pause);
        }
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
    }

    #[test]
    fn an_answer_that_brings_news_makes_the_next_alarm_quick_again() {
        let now = Moment::now();
        let mut schedule = Schedule::default();
        for _ in 0..5 {
            schedule.failed(now, &config(), 0.0);
        }
        assert!(!schedule.is_due(after(now, 5_000)));
        schedule.answered(now, true, &config(), 0.0);
        schedule.hasten(&config());
        assert!(schedule.is_due(after(now, 1_000)));
    }

    #[test]
    fn jitter_takes_a_tenth_at_most() {
        let now = Moment::now();
        let mut schedule = Schedule::default();
        schedule.answered(now, true, &config(), 1.0);
        assert!(!schedule.is_due(after(now, 53_999)));
        assert!(schedule.is_due(after(now, 54_000)));
    }

    fn config() -> Config {
        Config::new(Endpoint::Nodes(Vec::new()))
    }

    fn after(now: Moment, millis: u64) -> Moment {
        now.later(Duration::from_millis(millis), Duration::from_millis(millis))
    }
}
