//! Which keys an environment reads most, by a sample of its reads.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use larder_client::{Key, Usage};
use tokio::time::Instant;

use crate::sketch::{Counted, Sketch};

/// How an environment samples what it reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sampling {
    /// One read in so many is sampled, by chance; of 0, none.
    pub one_in: u32,
    /// The least time between two reports; jitter adds a quarter at most. No longer than a day.
    pub report_interval: Duration,
    /// In so much time what was counted loses half of its weight; it does so with a report.
    pub half_life: Duration,
    /// How many keys are counted at once.
    pub capacity: usize,
}

impl Default for Sampling {
    /// One read in 4, reports every five minutes, 8192 keys: a report costs 16 KiB, and so 55 bytes a second.
    fn default() -> Self {
        let report_interval = Duration::from_secs(300);
        Self { one_in: 4, report_interval, half_life: report_interval, capacity: Sketch::DEFAULT_CAPACITY }
    }
}

/// Samples the reads of an environment, counts their keys, and says when to tell the others.
///
/// Nothing runs in between: whoever reads asks it. It is shared by all readers, and never waits for long.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    sketch: Sketch,
    /// What the last report said is read most, for whoever asks for it next.
    hottest: Vec<Counted>,
    /// When the next report is due, by either clock; `None` before the first use.
    due: Option<(Instant, SystemTime)>,
    /// When the sketch was halved last, by the monotonic clock alone: a freeze ages nothing that is not read.
    halved: Option<Instant>,
}

impl Sampler {
    /// The share of its sampled reads for which a key that is hot is read. So no more than fifty are at once.
    pub const HOT_SHARE: f64 = 0.02;
    /// What a hot key counts for at least, for each read of which one is sampled: eight sampled reads of an item in
    /// use.
    pub const HOT_LEAST: u64 = 32;
    /// How many keys [`take_hottest`](Self::take_hottest) names at most.
    pub const MOST_HOTTEST: usize = 3;

    /// A sampler that leaves to `rng` which reads it samples, and when it reports: seeded by chance, so that
    /// environments do not act in step.
    pub fn new(sampling: Sampling, rng: fastrand::Rng) -> Self {
        let state = State {
            rng,
            sketch: Sketch::new(sampling.capacity),
            hottest: Vec::new(),
            due: None,
            halved: None,
        };
        Self { sampling, state: Mutex::new(state) }
    }

    /// Draws whether the next read is sampled: it then has to [ask](larder_client::ReadOptions::usage) how its items
    /// were used, and to bring what it is told to [`saw`](Self::saw). A batch is one read.
    pub fn draw(&self) -> bool {
        match self.sampling.one_in {
            0 => false,
            1 => true,
            one_in => self.state().rng.u32(..one_in) == 0,
        }
    }

    /// Takes what a sampled read was told of its items.
    ///
    /// Each counts for the reads that were not sampled, too: once where there was no item, and where nobody had read it
    /// since it was stored, for most items are read so and never again; up to four times for one that the fleet read a
    /// moment ago. No more, for a busy item may look idle (see [`Usage::last_access_secs`]).
    pub fn saw<'a>(&self, items: impl IntoIterator<Item = (&'a Key, Option<Usage>)>) {
        let mut state = self.state();
        for (key, usage) in items {
            state.sketch.add(key, u64::from(self.sampling.one_in) * weight(usage));
        }
    }

    /// Whether `key` is hot in this environment: certainly read for a [share](Self::HOT_SHARE) of what was sampled, and
    /// [often enough](Self::HOT_LEAST) to say so. Reads count as [`saw`](Self::saw) weighs them, so that of two keys
    /// which are read as often here the one that the fleet reads, too, is the hotter.
    pub fn is_hot(&self, key: &Key) -> bool {
        let state = self.state();
        let certain = state.sketch.certain(key);
        certain >= Self::HOT_LEAST * u64::from(self.sampling.one_in)
            && certain as f64 >= state.sketch.total() as f64 * Self::HOT_SHARE
    }

    /// The keys that stood first in the last report, [`MOST_HOTTEST`](Self::MOST_HOTTEST) at most and most read first:
    /// once for each report, and none in between.
    pub fn take_hottest(&self) -> Vec<Counted> {
        std::mem::take(&mut self.state().hottest)
    }

    /// Answers what was read most, most first, where it is time for a report: to one caller in every
    /// [interval](Sampling::report_interval), by `now` or by `wall`, whichever says that it is over.
    ///
    /// The first comes within an interval of the first call, the others an interval or a little more after the one
    /// before; after a thaw, at once. Where nothing was counted there is none, and the interval begins anew. With every
    /// [half-life](Sampling::half_life) what is reported is then [halved](Sketch::halve).
    pub fn due(&self, now: Instant, wall: SystemTime) -> Option<Vec<Counted>> {
        let mut state = self.state();
        let is_first = match state.due {
            None => true,
            Some(due) if now >= due.0 || wall >= due.1 => false,
            Some(_) => return None,
        };
        let interval = self.sampling.report_interval.min(LONGEST_INTERVAL);
        let chance = state.rng.f64();
        let pause = interval.mul_f64(if is_first { chance } else { 1.0 + chance * MOST_JITTER });
        state.due = Some((now.checked_add(pause).unwrap_or(now), wall.checked_add(pause).unwrap_or(wall)));
        if is_first || state.sketch.is_empty() {
            return None;
        }
        let report = state.sketch.top(usize::MAX);
        state.hottest = report.iter().take(Self::MOST_HOTTEST).cloned().collect();
        let halved = *state.halved.get_or_insert(now);
        if now.saturating_duration_since(halved) >= self.sampling.half_life {
            state.sketch.halve();
            state.halved = Some(now);
        }
        Some(report)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts are of use however the last one ended.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a read of an item counts for that was used like this before.
fn weight(usage: Option<Usage>) -> u64 {
    match usage.filter(|usage| usage.hit_before).map(|usage| usage.last_access_secs) {
        None => 1,
        Some(..=JUST_NOW_SECS) => 4,
        Some(..=LATELY_SECS) => 3,
        Some(_) => 2,
    }
}

const JUST_NOW_SECS: u64 = 10;
const LATELY_SECS: u64 = 60;
/// The share of an interval by which jitter makes it longer.
const MOST_JITTER: f64 = 0.25;
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_read_in_four_is_sampled() {
        let sampler = sampler(SAMPLING);
        let drawn = (0..10_000).filter(|_| sampler.draw()).count();
        assert!((2_300..2_700).contains(&drawn), "{drawn} of 10,000");
    }

    #[test]
    fn all_reads_may_be_sampled_or_none() {
        let of = |one_in| sampler(Sampling { one_in, ..SAMPLING });
        assert!((0..100).all(|_| of(1).draw()));
        assert!(!(0..100).any(|_| of(0).draw()));
    }

    #[test]
    fn an_item_that_nobody_read_before_counts_least() {
        let (sampler, start) = (sampler(SAMPLING), Clocks::now());
        assert_eq!(start.due(&sampler), None);
        let unread = Usage { hit_before: false, last_access_secs: 0 };
        sampler.saw([(&key(1), Some(unread)), (&key(2), used(0)), (&key(3), None)]);
        let expected = [(key(2), 16), (key(1), 4), (key(3), 4)];
        assert_eq!(counts(start.later(30_000).due(&sampler)), expected);
    }

    #[test]
    fn an_item_counts_for_more_the_later_it_was_read_and_for_the_reads_not_sampled() {
        for (last_access_secs, count) in [(0, 40), (10, 40), (11, 30), (60, 30), (61, 20), (u64::MAX, 20)] {
            let sampler = sampler(Sampling { one_in: 10, ..SAMPLING });
            let start = Clocks::now();
            assert_eq!(start.due(&sampler), None);
            sampler.saw([(&key(1), used(last_access_secs))]);
            let report = start.later(30_000).due(&sampler);
            assert_eq!(counts(report), [(key(1), count)], "read {last_access_secs} s ago");
        }
    }

    #[test]
    fn a_key_is_hot_from_a_share_of_all_reads_and_from_a_number_of_them_on() {
        let sampler = sampler(SAMPLING);
        (0..7).for_each(|_| sampler.saw([(&key(1), used(0))]));
        assert!(!sampler.is_hot(&key(1)), "nothing else is read, but seven reads say little");
        sampler.saw([(&key(1), used(0))]);
        assert!(sampler.is_hot(&key(1)));
        // 8 reads of 400 are a fiftieth.
        (0..392).for_each(|id| sampler.saw([(&key(1000 + id), used(0))]));
        assert!(sampler.is_hot(&key(1)) && !sampler.is_hot(&key(1000)));
        sampler.saw([(&key(2), used(0))]);
        assert!(!sampler.is_hot(&key(1)));
    }

    #[test]
    fn the_hottest_keys_are_told_once_for_each_report() {
        let (sampler, start) = (sampler(SAMPLING), Clocks::now());
        assert_eq!(start.due(&sampler), None);
        (1..6).for_each(|id| (0..id).for_each(|_| sampler.saw([(&key(id), used(0))])));
        assert_eq!(sampler.take_hottest(), []);
        assert!(start.later(30_000).due(&sampler).is_some());
        let hottest: Vec<Key> = sampler.take_hottest().into_iter().map(|counted| counted.key).collect();
        assert_eq!(hottest, [key(5), key(4), key(3)]);
        assert_eq!(sampler.take_hottest(), []);
    }

    #[test]
    fn the_first_report_comes_within_an_interval_and_not_in_step_with_others() {
        let start = Clocks::now();
        let mut pauses: Vec<u64> = (0..40)
            .map(|seed| {
                let sampler = Sampler::new(SAMPLING, fastrand::Rng::with_seed(seed));
                sampler.saw([(&key(1), used(0))]);
                assert_eq!(start.due(&sampler), None);
                next_report(&sampler, start)
            })
            .collect();
        pauses.sort_unstable();
        assert!(pauses[39] <= 30_000, "{pauses:?}");
        assert!(pauses.windows(2).all(|pair| pair[1] - pair[0] < 5_000), "{pauses:?}");
    }

    #[test]
    fn later_reports_are_an_interval_apart_or_a_quarter_more() {
        let sampler = sampler(SAMPLING);
        let mut now = Clocks::now();
        assert_eq!(now.due(&sampler), None);
        now = now.later(next_report(&sampler, now));
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let pause = next_report(&sampler, now);
            now = now.later(pause);
            pauses.push(pause);
        }
        assert!(pauses.iter().all(|pause| (30_000..=37_600).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().max() > pauses.iter().min(), "{pauses:?}");
    }

    #[test]
    fn a_report_is_due_after_a_thaw_that_only_the_wall_clock_saw_and_only_once() {
        let (sampler, start) = reported();
        sampler.saw([(&key(2), used(0))]);
        let thawed = Clocks { wall: start.wall + 3600 * SECOND, ..start };
        assert!(thawed.due(&sampler).is_some());
        sampler.saw([(&key(2), used(0))]);
        assert_eq!(thawed.later(29_000).due(&sampler), None);
    }

    #[test]
    fn a_wall_clock_set_back_holds_up_no_report() {
        let (sampler, start) = reported();
        sampler.saw([(&key(2), used(0))]);
        let later = Clocks { monotonic: start.monotonic + 38 * SECOND, wall: start.wall - 3600 * SECOND };
        assert!(later.due(&sampler).is_some());
    }

    #[test]
    fn what_was_reported_counts_for_half_in_the_next_report() {
        let (sampler, start) = reported();
        sampler.saw([(&key(2), used(100))]);
        assert_eq!(counts(start.later(38_000).due(&sampler)), [(key(1), 8), (key(2), 8)]);
    }

    #[test]
    fn without_anything_to_report_the_interval_begins_anew() {
        let (sampler, start) = (sampler(SAMPLING), Clocks::now());
        assert_eq!(start.due(&sampler), None);
        assert_eq!(start.later(30_000).due(&sampler), None);
        sampler.saw([(&key(1), used(0))]);
        assert_eq!(start.later(59_999).due(&sampler), None);
        assert!(start.later(67_500).due(&sampler).is_some());
    }

    #[test]
    fn an_interval_that_no_clock_can_tell_is_a_day() {
        let sampler = sampler(Sampling { report_interval: Duration::MAX, ..SAMPLING });
        let start = Clocks::now();
        assert_eq!(start.due(&sampler), None);
        sampler.saw([(&key(1), used(0))]);
        assert!(start.later(86_400_000).due(&sampler).is_some());
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let (one, other) = (sampler(SAMPLING), sampler(SAMPLING));
        assert!((0..1000).all(|_| one.draw() == other.draw()));
    }

    #[derive(Clone, Copy)]
    struct Clocks {
        monotonic: Instant,
        wall: SystemTime,
    }

    impl Clocks {
        fn now() -> Self {
            Self { monotonic: Instant::now(), wall: SystemTime::now() }
        }

        fn later(self, millis: u64) -> Self {
            let pause = Duration::from_millis(millis);
            Self { monotonic: self.monotonic + pause, wall: self.wall + pause }
        }

        fn due(self, sampler: &Sampler) -> Option<Vec<Counted>> {
            sampler.due(self.monotonic, self.wall)
        }
    }

    fn sampler(sampling: Sampling) -> Sampler {
        Sampler::new(sampling, fastrand::Rng::with_seed(7))
    }

    /// A sampler that counted 16 for the first key and reported that, and when.
    fn reported() -> (Sampler, Clocks) {
        let (sampler, start) = (sampler(SAMPLING), Clocks::now());
        assert_eq!(start.due(&sampler), None);
        sampler.saw([(&key(1), used(0))]);
        let then = start.later(30_000);
        assert_eq!(counts(then.due(&sampler)), [(key(1), 16)]);
        (sampler, then)
    }

    /// After how many milliseconds from `start` the next report comes, to a tenth of a second.
    fn next_report(sampler: &Sampler, start: Clocks) -> u64 {
        sampler.saw([(&key(1), used(0))]);
        (0..100_000).step_by(100).find(|millis| start.later(*millis).due(sampler).is_some()).unwrap()
    }

    fn counts(report: Option<Vec<Counted>>) -> Vec<(Key, u64)> {
        report.unwrap().into_iter().map(|counted| (counted.key, counted.count)).collect()
    }

    fn used(last_access_secs: u64) -> Option<Usage> {
        Some(Usage { hit_before: true, last_access_secs })
    }

    fn key(id: usize) -> Key {
        Key::new(format!("flights:{id}").as_bytes()).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);
    const SAMPLING: Sampling = Sampling {
        one_in: 4,
        report_interval: Duration::from_secs(30),
        half_life: Duration::ZERO,
        capacity: Sketch::DEFAULT_CAPACITY,
    };
}
