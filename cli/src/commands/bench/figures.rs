//! The figures of a run: what a change of nodes cost, and what was read that must not be.

use super::change::Kind;
use super::checker::{Fault, Guilt};
use super::clock::Stamp;
use super::history::{Answer, Diary, Read, Sighting, Span};
use super::percentile::{millis, percentile_ms};
use super::publisher::Publication;
use serde::Serialize;
use std::time::Duration;

/// The time around one change.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub(crate) kind: Kind,
    /// Steady load, before.
    pub(crate) before: Span,
    /// From the begin of the change on.
    pub(crate) after: Span,
    /// Until when what goes wrong is put down to this change: until the next one.
    pub(crate) blamed_until: Stamp,
    /// What was to be followed.
    pub(crate) publications: Vec<Publication>,
}

/// The figures of one change.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChangeFigures {
    pub(crate) change: Kind,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// The course of the hit ratio.
    pub(crate) hit_ratio: Halves,
}

/// Hit ratios for every half of a second; `null` where nothing was read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Halves {
    pub(crate) before: Vec<Option<f64>>,
    pub(crate) after: Vec<Option<f64>>,
}

/// What one change cost, or all of them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// From the moment at which the new ring could be known to the one at which the last environment routed by it, in
    /// milliseconds, not counting the time for which that one was frozen. `null` where there was no other ring, or
    /// where somebody did not follow.
    pub(crate) converged_ms: Option<f64>,
    /// How many environments did not follow in the time that was watched.
    pub(crate) not_converged: usize,
    /// The share of reads that the cache answered before the change.
    pub(crate) hit_ratio_before: Option<f64>,
    /// The lowest share in any second before the change: what chance alone does.
    pub(crate) hit_ratio_min_1s_before: Option<f64>,
    /// The lowest share in any second after it.
    pub(crate) hit_ratio_min_1s: Option<f64>,
    /// Calls to the origin to read, before and after, in equal times.
    pub(crate) origin_calls: BeforeAfter<usize>,
    /// Reads that did not see a write that had ended before they began.
    pub(crate) stale_reads: usize,
    /// Reads older than what the same environment had read before.
    pub(crate) version_regressions: usize,
    /// Reads of another record, or of a version that nobody had made.
    pub(crate) wrong_reads: usize,
    /// Reads without an answer, but for those in which the environment was frozen.
    pub(crate) errors: usize,
    /// The time that 99 of 100 reads do not exceed, in milliseconds, but for those in which the environment was
    /// frozen.
    pub(crate) p99_ms: BeforeAfter<Option<f64>>,
    pub(crate) reads: BeforeAfter<usize>,
    pub(crate) writes: BeforeAfter<usize>,
    /// Writes whose invalidation never succeeded.
    pub(crate) unended_writes: usize,
}

impl Figures {
    /// Whether a value was read that must not be.
    pub(crate) fn has_bad_reads(&self) -> bool {
        self.stale_reads + self.version_regressions + self.wrong_reads > 0
    }
}

/// A figure for each side of a change.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct BeforeAfter<T> {
    pub(crate) before: T,
    pub(crate) after: T,
}

impl ChangeFigures {
    /// The figures of `phase`, from all that was seen: `loads` are the times of calls to read.
    pub(crate) fn of(phase: &Phase, diaries: &[Diary], faults: &[Fault], loads: &[Stamp]) -> Self {
        let blamed = Span { from: phase.after.from, until: phase.blamed_until };
        // As long as the time before, so that calls can be compared.
        let until = phase.after.from + phase.before.until.since(phase.before.from);
        let equally_long = Span { from: phase.after.from, until };
        let count = |span: Span| loads.iter().filter(|at| span.holds(**at)).count();
        let (before, after) = (Side::of(phase.before, diaries), Side::of(phase.after, diaries));
        let (converged_ms, not_converged) = convergence(phase, diaries);
        let figures = Figures {
            converged_ms,
            not_converged,
            hit_ratio_before: before.hits.ratio().map(rounded),
            hit_ratio_min_1s_before: before.hits.lowest_second().map(rounded),
            hit_ratio_min_1s: after.hits.lowest_second().map(rounded),
            origin_calls: BeforeAfter { before: count(phase.before), after: count(equally_long) },
            p99_ms: BeforeAfter { before: before.p99_ms(), after: after.p99_ms() },
            reads: BeforeAfter { before: before.reads, after: after.reads },
            writes: BeforeAfter { before: before.writes, after: after.writes },
            ..Figures::blamed_on(blamed, diaries, faults)
        };
        let hit_ratio = Halves { before: before.hits.halves(), after: after.hits.halves() };
        Self { change: phase.kind, figures, hit_ratio }
    }
}

impl Figures {
    /// The figures of a whole run: the worst of its changes, or their sum; faults from its begin to its end.
    pub(crate) fn total(changes: &[ChangeFigures], diaries: &[Diary], faults: &[Fault]) -> Self {
        let all = || changes.iter().map(|change| &change.figures);
        let lowest = |of: fn(&Self) -> Option<f64>| all().filter_map(of).reduce(f64::min);
        let highest = |of: fn(&Self) -> Option<f64>| all().filter_map(of).reduce(f64::max);
        let sum = |of: fn(&Self) -> BeforeAfter<usize>| BeforeAfter {
            before: all().map(|figures| of(figures).before).sum(),
            after: all().map(|figures| of(figures).after).sum(),
        };
        let not_converged = all().map(|figures| figures.not_converged).sum();
        Self {
            converged_ms: highest(|figures| figures.converged_ms).filter(|_| not_converged == 0),
            not_converged,
            hit_ratio_before: lowest(|figures| figures.hit_ratio_before),
            hit_ratio_min_1s_before: lowest(|figures| figures.hit_ratio_min_1s_before),
            hit_ratio_min_1s: lowest(|figures| figures.hit_ratio_min_1s),
            origin_calls: sum(|figures| figures.origin_calls),
            p99_ms: BeforeAfter {
                before: highest(|figures| figures.p99_ms.before),
                after: highest(|figures| figures.p99_ms.after),
            },
            reads: sum(|figures| figures.reads),
            writes: sum(|figures| figures.writes),
            ..Self::blamed_on(EVER, diaries, faults)
        }
    }

    /// What went wrong in reads and writes that began in `span`; the rest is empty.
    fn blamed_on(span: Span, diaries: &[Diary], faults: &[Fault]) -> Self {
        let mut figures = Self::default();
        for fault in faults.iter().filter(|fault| span.holds(fault.read.begin)) {
            match fault.guilt {
                Guilt::Old { .. } => figures.stale_reads += 1,
                Guilt::WentBack { .. } => figures.version_regressions += 1,
                Guilt::Wrong => figures.wrong_reads += 1,
            }
        }
        for diary in diaries {
            let unanswered = diary.reads.iter().filter(|read| {
                read.answer == Answer::None && span.holds(read.begin) && !was_frozen(diary, read)
            });
            figures.errors += unanswered.count();
            let unended = diary.writes.iter().filter(|write| write.end.is_none() && span.holds(write.begin));
            figures.unended_writes += unended.count();
        }
        figures
    }
}

/// How long it took until all followed what was published, and how many did not.
fn convergence(phase: &Phase, diaries: &[Diary]) -> (Option<f64>, usize) {
    let mut slowest: Option<Duration> = None;
    let mut behind = 0;
    for diary in diaries {
        let times = phase.publications.iter().enumerate().map(|(nth, published)| {
            let followed = followed_at(&phase.publications[nth..], &diary.sightings, phase.blamed_until)?;
            let frozen = frozen_time(&diary.freezes, published.at, followed);
            Some(followed.since(published.at).saturating_sub(frozen))
        });
        match times.collect::<Option<Vec<_>>>() {
            Some(times) => slowest = slowest.max(times.into_iter().max()),
            None => behind += 1,
        }
    }
    (slowest.filter(|_| behind == 0).map(millis), behind)
}

/// From when on an environment routed by one of `rings` and no other, until the end of what was seen.
fn followed_at(rings: &[Publication], sightings: &[Sighting], until: Stamp) -> Option<Stamp> {
    let seen = &sightings[..sightings.partition_point(|sighting| sighting.at < until)];
    let is_one = |sighting: &&Sighting| rings.iter().any(|published| published.ring == sighting.ring);
    seen.iter().rev().take_while(is_one).last().map(|first| first.at)
}

/// For how long of the time from `from` to `until` an environment was frozen.
fn frozen_time(freezes: &[Span], from: Stamp, until: Stamp) -> Duration {
    freezes.iter().map(|freeze| freeze.until.min(until).since(freeze.from.max(from))).sum()
}

fn was_frozen(diary: &Diary, read: &Read) -> bool {
    diary.was_frozen(read.begin, read.end)
}

/// What was seen on one side of a change.
struct Side {
    hits: Hits,
    reads: usize,
    writes: usize,
    /// Sorted.
    times: Vec<Duration>,
}

impl Side {
    fn of(span: Span, diaries: &[Diary]) -> Self {
        let mut side = Self { hits: Hits::new(span), reads: 0, writes: 0, times: Vec::new() };
        for diary in diaries {
            for read in diary.reads.iter().filter(|read| span.holds(read.begin)) {
                side.reads += 1;
                side.hits.add(read);
                if !was_frozen(diary, read) {
                    side.times.push(read.end.since(read.begin));
                }
            }
            side.writes += diary.writes.iter().filter(|write| span.holds(write.begin)).count();
        }
        side.times.sort_unstable();
        side
    }

    fn p99_ms(&self) -> Option<f64> {
        percentile_ms(&self.times, 990)
    }
}

/// Reads and those of them that the cache answered, for every tenth of a second.
struct Hits {
    from: Stamp,
    /// Whole ones only.
    tenths: Vec<(u32, u32)>,
}

impl Hits {
    fn new(span: Span) -> Self {
        let count = span.until.since(span.from).as_millis() / TENTH.as_millis();
        Self { from: span.from, tenths: vec![(0, 0); count as usize] }
    }

    fn add(&mut self, read: &Read) {
        let tenth = read.begin.since(self.from).as_millis() / TENTH.as_millis();
        if let Some((hits, reads)) = self.tenths.get_mut(tenth as usize) {
            *hits += u32::from(read.answer.is_from_cache());
            *reads += 1;
        }
    }

    fn ratio(&self) -> Option<f64> {
        ratio_of(&self.tenths)
    }

    /// The lowest ratio in any second.
    fn lowest_second(&self) -> Option<f64> {
        self.tenths.windows(PER_SECOND).filter_map(ratio_of).reduce(f64::min)
    }

    fn halves(&self) -> Vec<Option<f64>> {
        self.tenths.chunks_exact(PER_SECOND / 2).map(|half| ratio_of(half).map(rounded)).collect()
    }
}

fn ratio_of(tenths: &[(u32, u32)]) -> Option<f64> {
    let (hits, reads) = tenths.iter().fold((0, 0), |(hits, reads), tenth| (hits + tenth.0, reads + tenth.1));
    (reads > 0).then(|| f64::from(hits) / f64::from(reads))
}

/// To four digits behind the point: more is chance.
fn rounded(ratio: f64) -> f64 {
    (ratio * 10_000.0).round() / 10_000.0
}

const TENTH: Duration = Duration::from_millis(100);
const PER_SECOND: usize = 10;
const EVER: Span = Span { from: Stamp(0), until: Stamp(u64::MAX) };

#[cfg(test)]
mod tests {
    use super::super::history::Write;
    use super::super::ring_mark::RingMark;
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn hits_are_counted_where_they_began_and_the_lowest_second_may_begin_at_any_tenth() {
        // A read every 10 ms; from 1.3 s to 1.6 s, and in no whole half of a second, all miss.
        let reads = (0..300).map(|nth| {
            let answer = if (130..160).contains(&nth) { Answer::Miss(0) } else { Answer::Hit(0) };
            read(nth * 10, answer)
        });
        let diary = Diary { reads: reads.collect(), ..Diary::default() };
        let side = Side::of(span(0, 3000), &[diary]);
        assert_eq!(side.reads, 300);
        assert_eq!(side.hits.ratio(), Some(0.9));
        assert_eq!(side.hits.lowest_second(), Some(0.7));
        assert_eq!(side.hits.halves(), [1.0, 1.0, 0.6, 0.8, 1.0, 1.0].map(Some));
    }

    #[test]
    fn what_lies_outside_a_side_or_in_a_started_half_is_left_out() {
        let reads = [999, 1000, 2199, 2200].map(|at| read(at, Answer::Bypass(0)));
        let side = Side::of(span(1000, 2200), &[Diary { reads: reads.into(), ..Diary::default() }]);
        assert_eq!((side.reads, side.hits.halves()), (2, vec![Some(0.0), None]));
        assert_eq!(Side::of(span(0, 900), &[]).hits.lowest_second(), None);
    }

    #[test]
    fn ninety_nine_of_a_hundred_reads_are_no_slower_than_told_not_counting_frozen_ones() {
        let mut reads: Vec<_> =
            (1..=100).map(|took| Read { end: at(took), ..read(0, Answer::Hit(0)) }).collect();
        reads.push(Read { end: at(5000), ..read(200, Answer::Hit(0)) });
        let diary = Diary { reads, freezes: vec![span(201, 4999)], ..Diary::default() };
        assert_eq!(Side::of(span(0, 1000), &[diary]).p99_ms(), Some(99.0));
        assert_eq!(Side::of(span(0, 1000), &[]).p99_ms(), None);
    }

    #[test]
    fn all_follow_when_the_last_one_does() {
        let diaries = [following(&[(0, "a"), (1200, "b")]), following(&[(0, "a"), (1500, "b")])];
        assert_eq!(convergence(&phase(&[(1000, "b")]), &diaries), (Some(500.0), 0));
    }

    #[test]
    fn who_knew_before_it_was_told_took_no_time() {
        let diaries = [following(&[(0, "a"), (990, "b")])];
        assert_eq!(convergence(&phase(&[(1000, "b")]), &diaries), (Some(0.0), 0));
    }

    #[test]
    fn who_was_frozen_is_not_late_for_it() {
        let frozen =
            Diary { freezes: vec![span(500, 1800), span(1850, 1860)], ..following(&[(0, "a"), (1900, "b")]) };
        assert_eq!(convergence(&phase(&[(1000, "b")]), &[frozen]), (Some(90.0), 0));
    }

    #[test]
    fn who_does_not_follow_or_goes_back_is_counted() {
        let diaries = [
            following(&[(0, "a"), (1200, "b")]),
            following(&[(0, "a")]),
            following(&[(0, "a"), (1100, "b"), (1300, "a")]),
            following(&[(0, "a"), (9000, "b")]),
            following(&[]),
        ];
        assert_eq!(convergence(&phase(&[(1000, "b")]), &diaries), (None, 4));
    }

    #[test]
    fn of_several_rings_each_is_followed_by_it_or_a_later_one() {
        let rings = [(1000, "b"), (2000, "c"), (3000, "d")];
        let steps = following(&[(0, "a"), (1100, "b"), (2400, "c"), (3050, "d")]);
        assert_eq!(convergence(&phase(&rings), &[steps]), (Some(400.0), 0));
        let leap = following(&[(0, "a"), (1700, "c"), (3200, "d")]);
        assert_eq!(convergence(&phase(&rings), &[leap]), (Some(700.0), 0));
        let left_behind = following(&[(0, "a"), (1100, "b"), (2400, "c")]);
        assert_eq!(convergence(&phase(&rings), &[left_behind]), (None, 1));
    }

    #[test]
    fn where_nothing_is_published_there_is_nothing_to_follow() {
        assert_eq!(convergence(&phase(&[]), &[following(&[(0, "a")])]), (None, 0));
    }

    #[test]
    fn faults_are_put_down_to_the_change_before_them() {
        let reads = [900, 1500, 4500, 5500].map(|at| read(at, Answer::None));
        let open = Write { key: 0, version: 1, begin: at(1500), end: None };
        let diary = Diary {
            reads: reads.into(),
            writes: vec![open, Write { end: Some(at(1600)), ..open }],
            ..Diary::default()
        };
        let fault = |guilt, begin| Fault { guilt, environment: 0, read: read(begin, Answer::Hit(0)) };
        let faults = [
            fault(Guilt::Old { written: 1 }, 999),
            fault(Guilt::Old { written: 1 }, 1000),
            fault(Guilt::WentBack { seen: 1 }, 4999),
            fault(Guilt::Wrong, 2000),
            fault(Guilt::Wrong, 5000),
        ];
        let diaries = [diary];
        let loads = [0, 999, 1000, 1999, 2000].map(at);
        let change = ChangeFigures::of(&phase(&[]), &diaries, &faults, &loads);
        let found = &change.figures;
        assert_eq!((found.stale_reads, found.version_regressions, found.wrong_reads), (1, 1, 1));
        assert_eq!((found.errors, found.unended_writes), (2, 1));
        assert_eq!(found.origin_calls, BeforeAfter { before: 2, after: 2 });
        assert_eq!(found.writes, BeforeAfter { before: 0, after: 2 });

        let total = Figures::total(&[change], &diaries, &faults);
        assert_eq!((total.stale_reads, total.version_regressions, total.wrong_reads), (2, 1, 2));
        assert_eq!((total.errors, total.unended_writes), (4, 1));
    }

    #[test]
    fn an_unanswered_read_that_was_frozen_is_no_error() {
        let reads = [read(100, Answer::None), Read { end: at(900), ..read(300, Answer::None) }];
        let diary = Diary { reads: reads.into(), freezes: vec![span(400, 800)], ..Diary::default() };
        assert_eq!(Figures::total(&[], &[diary], &[]).errors, 1);
    }

    #[test]
    fn the_total_tells_the_worst_and_no_convergence_where_one_change_had_none() {
        let change = |converged_ms, not_converged, lowest| ChangeFigures {
            change: Kind::Add,
            figures: Figures {
                converged_ms,
                not_converged,
                hit_ratio_min_1s: Some(lowest),
                ..Figures::default()
            },
            hit_ratio: Halves { before: Vec::new(), after: Vec::new() },
        };
        let all = [change(Some(3.0), 0, 0.9), change(None, 0, 0.8), change(Some(2.0), 0, 0.95)];
        let total = Figures::total(&all, &[], &[]);
        assert_eq!((total.converged_ms, total.hit_ratio_min_1s), (Some(3.0), Some(0.8)));
        let total = Figures::total(&[all[0].clone(), change(None, 2, 0.9)], &[], &[]);
        assert_eq!((total.converged_ms, total.not_converged), (None, 2));
    }

    /// A change at 1 s, watched up to 4 s and blamed up to 5 s.
    fn phase(published: &[(u64, &str)]) -> Phase {
        let publications = published.iter().map(|(ms, ring)| Publication { at: at(*ms), ring: mark(ring) });
        Phase {
            kind: Kind::Add,
            before: span(0, 1000),
            after: span(1000, 4000),
            blamed_until: at(5000),
            publications: publications.collect(),
        }
    }

    fn following(rings: &[(u64, &str)]) -> Diary {
        let sightings = rings.iter().map(|(ms, ring)| Sighting { at: at(*ms), ring: mark(ring) });
        Diary { sightings: sightings.collect(), ..Diary::default() }
    }

    fn mark(name: &str) -> RingMark {
        from_value(json!(name)).unwrap()
    }

    /// A read that takes no time.
    fn read(begin_ms: u64, answer: Answer) -> Read {
        Read { key: 0, begin: at(begin_ms), end: at(begin_ms), answer }
    }

    fn span(from_ms: u64, until_ms: u64) -> Span {
        Span { from: at(from_ms), until: at(until_ms) }
    }

    fn at(ms: u64) -> Stamp {
        Stamp::default() + Duration::from_millis(ms)
    }
}
