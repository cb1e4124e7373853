//! The loads of a run: how many, how many at once, and which winners die.

use super::super::clock::Stamp;
use super::super::history::Span;
use fastrand::Rng;
use std::collections::HashSet;

/// What is known of loads. An environment has one at a time.
#[derive(Debug)]
pub(crate) struct Loads {
    /// The environments that load.
    under_way: HashSet<usize>,
    /// Loads before the window.
    pub(crate) cold: usize,
    /// Loads that began in the window.
    pub(crate) measured: usize,
    /// The most loads that were under way at once when one began in the window.
    pub(crate) most_at_once: usize,
    /// When the last load ended that began in the window.
    last_end: Option<Stamp>,
    /// What is measured; `None` until the key has been filled.
    window: Option<Span>,
    /// The share of loads in the window whose environments die.
    die: f64,
    random: Rng,
}

/// What becomes of the environment that loads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Lives,
    Dies,
}

impl Loads {
    /// Nothing has been loaded. `die_percent` of the loads in the window end in a death, by chance.
    pub(crate) fn new(die_percent: u8, random: Rng) -> Self {
        Self {
            under_way: HashSet::new(),
            cold: 0,
            measured: 0,
            most_at_once: 0,
            last_end: None,
            window: None,
            die: f64::from(die_percent) / 100.0,
            random,
        }
    }

    /// From now on loads are measured, those that begin in `window`.
    pub(crate) fn measure(&mut self, window: Span) {
        self.window = Some(window);
    }

    pub(crate) fn none_is_under_way(&self) -> bool {
        self.under_way.is_empty()
    }

    /// A load of `environment` begins; answers what becomes of it. Nobody dies outside of the window.
    pub(crate) fn begin(&mut self, environment: usize, at: Stamp) -> Fate {
        self.under_way.insert(environment);
        match self.window {
            None => self.cold += 1,
            Some(window) if window.holds(at) => {
                self.measured += 1;
                self.most_at_once = self.most_at_once.max(self.under_way.len());
                if self.random.f64() < self.die {
                    return Fate::Dies;
                }
            }
            Some(_) => {}
        }
        Fate::Lives
    }

    /// The load of `environment`, if it has one, is over: it has ended, or the environment has.
    pub(crate) fn end(&mut self, environment: usize, at: Stamp) {
        if self.under_way.remove(&environment) && self.measured > 0 {
            self.last_end = Some(at);
        }
    }

    /// Loads per `ttl_secs`, counted to the end of the last one, so that no round of a load and what is left of the TTL
    /// counts in part. Zero without any.
    pub(crate) fn per_ttl(&self, ttl_secs: u64) -> f64 {
        match (self.window, self.last_end) {
            (Some(window), Some(end)) if end > window.from => {
                self.measured as f64 * ttl_secs as f64 / end.since(window.from).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn loads_count_from_the_window_on_and_per_ttl_to_the_end_of_the_last() {
        let mut loads = Loads::new(0, Rng::with_seed(1));
        loads.begin(3, at(0));
        loads.end(3, at(1));
        loads.measure(Span { from: at(10), until: at(100) });
        assert_eq!(loads.per_ttl(30), 0.0);
        for (environment, begin) in [(0, 39), (5, 69), (0, 99)] {
            assert_eq!(loads.begin(environment, at(begin)), Fate::Lives);
            loads.end(environment, at(begin + 1));
            loads.end(environment, at(begin + 7));
        }
        assert_eq!((loads.cold, loads.measured, loads.most_at_once), (1, 3, 1));
        assert_eq!(loads.per_ttl(30), 1.0);
        loads.begin(0, at(101));
        assert_eq!(loads.measured, 3);
        assert!(!loads.none_is_under_way());
    }

    #[test]
    fn loads_at_once_are_counted_when_they_begin() {
        let mut loads = Loads::new(0, Rng::with_seed(1));
        loads.measure(Span { from: at(0), until: at(100) });
        let fates: Vec<_> = (0..4).map(|environment| loads.begin(environment, at(1))).collect();
        assert_eq!(fates, [Fate::Lives; 4]);
        (0..4).for_each(|environment| loads.end(environment, at(2)));
        assert_eq!((loads.most_at_once, loads.none_is_under_way()), (4, true));
    }

    #[test]
    fn the_share_dies_that_was_asked_for_and_nobody_outside_of_the_window() {
        for (percent, expected) in [(0, 0..=0), (20, 1800..=2200), (100, 10_000..=10_000)] {
            let mut loads = Loads::new(percent, Rng::with_seed(7));
            assert_eq!(loads.begin(0, at(0)), Fate::Lives);
            loads.measure(Span { from: at(1), until: at(2) });
            let dead = (0..10_000).filter(|_| loads.begin(0, at(1)) == Fate::Dies).count();
            assert!(expected.contains(&dead), "{percent} %: {dead}");
            assert_eq!(loads.begin(0, at(2)), Fate::Lives);
        }
    }

    fn at(secs: u64) -> Stamp {
        Stamp(0) + Duration::from_secs(secs)
    }
}
