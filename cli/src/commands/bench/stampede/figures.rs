//! The figures of a stampede.

use super::super::clock::Stamp;
use super::super::percentile::{millis, percentile_ms};
use super::loads::Loads;
use super::messages::{Answered, Cache};
use serde::Serialize;
use std::time::Duration;

/// What one strategy cost in the window, which begins when the key has been filled and nobody waits for it any more.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    /// Loads per TTL as it was asked for, whatever jitter takes off it; counted to the end of the last load, so that no
    /// round of a load and what is left of the TTL counts in part.
    pub(crate) origin_calls_per_ttl: f64,
    pub(crate) origin_calls: usize,
    /// The most loads that were under way at once when one began. A winner who is dead loads no more.
    pub(crate) max_concurrent_loads: usize,
    /// The times that so many of a thousand reads do not exceed, in milliseconds: from the moment at which a read was
    /// to begin, so with the time for which no environment was free, to the answer of the handler. `null` without any.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    /// The same of reads that were answered before the first load: plain hits, as this machine has them.
    pub(crate) hit_p999_ms: Option<f64>,
    /// The share of answers that `x-cache` calls stale: kept past their freshness.
    pub(crate) stale_share: f64,
    /// By how much the oldest stale answer was older than the TTL, in milliseconds, though `age` counts in seconds; 0
    /// where jitter had ended its freshness before that.
    pub(crate) max_stale_age_ms: u64,
    /// Answers past the cache, which was at fault or too slow: on a machine that is too busy, loads that no strategy is
    /// to blame for.
    pub(crate) bypasses: usize,
    /// Reads that were answered with an error, or not at all, by an environment that lived.
    pub(crate) errors: usize,
    /// Values that were loaded and not stored, because the lease was another's by then.
    pub(crate) fills_refused: u64,
    /// Leases of dead winners that were ended, but for those by winners who died themselves, and so could not tell.
    pub(crate) takeovers: u64,
    /// Environments that were killed while they loaded, each with the one read that it served.
    pub(crate) deaths: usize,
    /// Reads that were answered.
    pub(crate) reads: usize,
    /// From the first read of all until the first value.
    pub(crate) cold_ms: f64,
    /// Loads before the window.
    pub(crate) cold_origin_calls: usize,
}

/// What has been seen of reads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cold: Duration,
    pub(crate) errors: usize,
    pub(crate) deaths: usize,
    times: Vec<Duration>,
    hit_times: Vec<Duration>,
    stale: usize,
    bypasses: usize,
    most_age_secs: u64,
    fills_refused: u64,
    takeovers: u64,
}

impl Tally {
    /// A read in the window that was due at `due` has been `answered`, after as many `loads`.
    pub(crate) fn add(&mut self, due: Stamp, Answered { end, answer }: Answered, loads: usize) {
        self.fills_refused += u64::from(answer.fills_refused);
        self.takeovers += u64::from(answer.takeovers);
        let Some(cache) = answer.cache else {
            self.errors += 1;
            return;
        };
        let time = end.since(due);
        self.times.push(time);
        if loads == 0 {
            self.hit_times.push(time);
        }
        match cache {
            Cache::Stale => {
                self.stale += 1;
                self.most_age_secs = self.most_age_secs.max(answer.age_secs.unwrap_or(0));
            }
            Cache::Bypass => self.bypasses += 1,
            Cache::Hit | Cache::Miss => {}
        }
    }

    /// The figures of it all.
    pub(crate) fn figures(mut self, loads: &Loads, ttl_secs: u64) -> Figures {
        self.times.sort_unstable();
        self.hit_times.sort_unstable();
        let reads = self.times.len();
        let past_secs = self.most_age_secs.saturating_sub(ttl_secs);
        Figures {
            origin_calls_per_ttl: rounded(loads.per_ttl(ttl_secs)),
            origin_calls: loads.measured,
            max_concurrent_loads: loads.most_at_once,
            p50_ms: percentile_ms(&self.times, 500),
            p99_ms: percentile_ms(&self.times, 990),
            p999_ms: percentile_ms(&self.times, 999),
            max_ms: percentile_ms(&self.times, 1000),
            hit_p999_ms: percentile_ms(&self.hit_times, 999),
            stale_share: rounded(self.stale as f64 / reads.max(1) as f64),
            max_stale_age_ms: past_secs * 1000,
            bypasses: self.bypasses,
            errors: self.errors,
            fills_refused: self.fills_refused,
            takeovers: self.takeovers,
            deaths: self.deaths,
            reads,
            cold_ms: millis(self.cold),
            cold_origin_calls: loads.cold,
        }
    }
}

/// To four digits behind the point: more is chance.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::super::messages::Answer;
    use super::*;
    use fastrand::Rng;

    #[test]
    fn reads_count_by_what_they_were_answered_and_from_when_they_were_due() {
        let mut tally = Tally::default();
        let due = Stamp(0) + Duration::from_secs(1);
        let hit = Answer { cache: Some(Cache::Hit), age_secs: Some(90), ..Answer::default() };
        let stale = |age_secs| Answer { cache: Some(Cache::Stale), age_secs, takeovers: 1, ..hit };
        let after = |ms, answer| Answered { end: due + Duration::from_millis(ms), answer };
        tally.add(due, after(2, hit), 0);
        tally.add(due, after(4, stale(Some(33))), 1);
        tally.add(due, after(6, stale(None)), 1);
        tally.add(due, after(8, Answer { cache: Some(Cache::Bypass), ..hit }), 1);
        tally.add(due, after(900, Answer { cache: None, fills_refused: 2, ..hit }), 0);
        let figures = tally.figures(&Loads::new(0, Rng::with_seed(1)), 30);
        assert_eq!((figures.reads, figures.errors, figures.takeovers, figures.fills_refused), (4, 1, 2, 2));
        assert_eq!(figures.bypasses, 1);
        assert_eq!((figures.p50_ms, figures.max_ms, figures.hit_p999_ms), (Some(4.0), Some(8.0), Some(2.0)));
        assert_eq!((figures.stale_share, figures.max_stale_age_ms), (0.5, 3000));
    }

    #[test]
    fn what_is_stale_before_the_ttl_ends_by_jitter_is_not_past_it() {
        let mut tally = Tally::default();
        let stale = Answer { cache: Some(Cache::Stale), age_secs: Some(28), ..Answer::default() };
        tally.add(Stamp(0), Answered { end: Stamp(1), answer: stale }, 1);
        assert_eq!(tally.figures(&Loads::new(0, Rng::with_seed(1)), 30).max_stale_age_ms, 0);
    }
}
