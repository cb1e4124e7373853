//! When which environment is frozen, as Lambda does between two requests.

use fastrand::Rng;
use std::time::Duration;

/// A freeze of one environment, in times from the begin of the load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Freeze {
    pub(crate) environment: usize,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

/// Freezes for `environments` up to `end`, sorted by their begins: one that spans `change`, so that somebody sleeps
/// through it, and others by chance, a quarter of all environments at once at most.
///
/// None for a single environment, without which there would be no load. The same `random` gives the same ones.
pub(crate) fn plan(environments: usize, change: Duration, end: Duration, random: &mut Rng) -> Vec<Freeze> {
    if environments < 2 {
        return Vec::new();
    }
    let sleeper = Freeze {
        environment: random.usize(..environments),
        from: change.saturating_sub(LONGEST_BEFORE.min(change / 4)),
        until: change + LONGEST_AFTER.min(end.saturating_sub(change) / 2),
    };
    let mut freezes = vec![sleeper];
    let mut from = Duration::ZERO;
    loop {
        from += between(GAP, random);
        let until = from + between(LENGTH, random);
        if until > end {
            freezes.sort_by_key(|freeze| freeze.from);
            return freezes;
        }
        let environment = random.usize(..environments);
        let overlapping = freezes.iter().filter(|other| other.from <= until && from <= other.until);
        let busy: Vec<usize> = overlapping.map(|other| other.environment).collect();
        if busy.len() < (environments / 4).max(1) && !busy.contains(&environment) {
            freezes.push(Freeze { environment, from, until });
        }
    }
}

fn between([least, most]: [Duration; 2], random: &mut Rng) -> Duration {
    least + (most - least).mul_f64(random.f64())
}

/// How long before the change the one that sleeps through it is frozen, and how long after it is thawed, at most.
const LONGEST_BEFORE: Duration = Duration::from_secs(1);
const LONGEST_AFTER: Duration = Duration::from_secs(2);
/// From the begin of one freeze to that of the next.
const GAP: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
const LENGTH: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(1500)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sleeps_through_the_change_and_never_too_many_at_once() {
        let (change, end) = (Duration::from_secs(10), Duration::from_secs(40));
        for seed in 0..200 {
            let environments = 2 + seed as usize % 12;
            let freezes = plan(environments, change, end, &mut Rng::with_seed(seed));
            assert!(freezes.iter().any(|freeze| freeze.from < change && change < freeze.until));
            assert!(freezes.len() > 5, "seed {seed}: {freezes:?}");
            assert!(freezes.is_sorted_by_key(|freeze| freeze.from));
            for freeze in &freezes {
                assert!(freeze.from < freeze.until && freeze.until <= end, "seed {seed}: {freeze:?}");
                let at_begin =
                    freezes.iter().filter(|other| other.from <= freeze.from && freeze.from <= other.until);
                let mut frozen: Vec<_> = at_begin.map(|other| other.environment).collect();
                assert!(frozen.len() <= (environments / 4).max(1), "seed {seed}: {frozen:?}");
                let count = frozen.len();
                frozen.sort_unstable();
                frozen.dedup();
                assert_eq!(frozen.len(), count, "seed {seed}: frozen twice");
            }
        }
    }

    #[test]
    fn a_single_environment_is_left_alone() {
        let second = Duration::from_secs(1);
        assert_eq!(plan(1, second, second * 9, &mut Rng::with_seed(1)), []);
    }

    #[test]
    fn a_short_run_has_its_sleeper_too() {
        let second = Duration::from_secs(1);
        let freezes = plan(2, second, second * 2, &mut Rng::with_seed(5));
        assert!(freezes.iter().any(|freeze| freeze.from < second && second < freeze.until), "{freezes:?}");
    }
}
