//! Judges a history: which reads were answered with what they must not be.
//!
//! A read is guilty if
//! - it did not see a write to its key that had ended before it began ([`Guilt::Old`]), or
//! - the same environment had read a newer version before it began ([`Guilt::WentBack`]), or
//! - its value is not the flight's, or of a version that nobody had made by the time it ended ([`Guilt::Wrong`]).
//!
//! What overlaps in time has no order, so nothing is concluded from it. A read that was told that its value is stale
//! may be old and go back; but it has seen its version, as any other.

use super::clock::Stamp;
use super::history::{Answer, Commit, Diary, Read};

/// A read that must not have been answered so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    pub(crate) guilt: Guilt,
    /// The number of the environment.
    pub(crate) environment: usize,
    pub(crate) read: Read,
}

/// What is wrong with a read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Guilt {
    /// A write that made this version had ended before the read began.
    Old { written: u32 },
    /// The environment had read this version before.
    WentBack { seen: u32 },
    /// Another record's value, or a version that did not exist yet.
    Wrong,
}

/// Finds every fault of the reads in `diaries`, each kind for itself, in no order.
///
/// `commits` are all that the origin has made; what a record was before its first has version 0.
pub(crate) fn faults(diaries: &[Diary], commits: &[Commit]) -> Vec<Fault> {
    let written = Newest::of(diaries.iter().flat_map(|diary| &diary.writes).filter_map(|write| {
        // A write that has not ended binds nobody.
        write.end.map(|end| (write.key, end, write.version))
    }));
    let made = Newest::of(commits.iter().map(|commit| (commit.key, commit.at, commit.version)));
    let mut faults = Vec::new();
    for (environment, diary) in diaries.iter().enumerate() {
        let seen = Newest::of(
            diary.reads.iter().filter_map(|read| Some((read.key, read.end, read.answer.version()?))),
        );
        for read in &diary.reads {
            let guilts = guilts_of(read, &written, &made, &seen).into_iter().flatten();
            faults.extend(guilts.map(|guilt| Fault { guilt, environment, read: *read }));
        }
    }
    faults
}

fn guilts_of(read: &Read, written: &Newest, made: &Newest, seen: &Newest) -> [Option<Guilt>; 2] {
    if read.answer == Answer::Wrong {
        return [Some(Guilt::Wrong), None];
    }
    let Some(version) = read.answer.version() else { return [None; 2] };
    if version > made.before(read.key, read.end) {
        return [Some(Guilt::Wrong), None];
    }
    if matches!(read.answer, Answer::Stale(_)) {
        return [None; 2];
    }
    let written = written.before(read.key, read.begin);
    let seen = seen.before(read.key, read.begin);
    [
        (version < written).then_some(Guilt::Old { written }),
        (version < seen).then_some(Guilt::WentBack { seen }),
    ]
}

/// The newest version of each key at any time: by key, then by time, each with the newest up to there.
struct Newest(Vec<(u32, Stamp, u32)>);

impl Newest {
    /// Takes keys with the moment from which a version counts.
    fn of(versions: impl Iterator<Item = (u32, Stamp, u32)>) -> Self {
        let mut versions: Vec<_> = versions.collect();
        versions.sort_unstable();
        let mut before: Option<(u32, u32)> = None;
        for (key, _, version) in &mut versions {
            if let Some((same, newest)) = before
                && same == *key
            {
                *version = newest.max(*version);
            }
            before = Some((*key, *version));
        }
        Self(versions)
    }

    /// The newest version of `key` that counts before `at`; 0 if there is none.
    fn before(&self, key: u32, at: Stamp) -> u32 {
        let end = self.0.partition_point(|(other, since, _)| (*other, *since) < (key, at));
        match end.checked_sub(1).map(|last| self.0[last]) {
            Some((same, _, version)) if same == key => version,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Write;
    use super::*;

    #[test]
    fn a_read_after_a_write_that_sees_it_is_innocent() {
        check(&[write(1, 10, Some(20)), read(0, 21, 25, Answer::Hit(1))], &[]);
    }

    #[test]
    fn a_read_that_begins_after_a_write_has_ended_and_does_not_see_it_is_old() {
        check(&[write(1, 10, Some(20)), read(0, 21, 25, Answer::Hit(0))], &[Guilt::Old { written: 1 }]);
        // What an origin answers is no better.
        check(&[write(1, 10, Some(20)), read(0, 21, 25, Answer::Miss(0))], &[Guilt::Old { written: 1 }]);
    }

    #[test]
    fn a_read_that_overlaps_the_write_may_see_either() {
        for (begin, end) in [(5, 11), (12, 18), (15, 30), (20, 30)] {
            for version in [0, 1] {
                check(&[write(1, 10, Some(20)), read(0, begin, end, Answer::Hit(version))], &[]);
            }
        }
    }

    #[test]
    fn a_write_that_never_ends_binds_nobody() {
        check(&[write(1, 10, None), read(0, 1000, 1001, Answer::Hit(0))], &[]);
    }

    #[test]
    fn a_write_of_an_older_version_that_ends_late_does_not_lower_what_is_asked() {
        let writes = [write(1, 10, Some(90)), write(2, 30, Some(40))];
        check(&[writes[0], writes[1], read(0, 95, 99, Answer::Hit(1))], &[Guilt::Old { written: 2 }]);
        check(&[writes[0], writes[1], read(0, 95, 99, Answer::Hit(2))], &[]);
    }

    #[test]
    fn a_write_to_another_key_asks_nothing() {
        let other = Event::Write(Write { key: OTHER, ..a_write(7, 10, Some(20)) });
        check(&[other, read(0, 30, 31, Answer::Hit(0))], &[]);
    }

    #[test]
    fn an_environment_that_reads_an_older_version_than_before_went_back() {
        let reads = [read(0, 12, 14, Answer::Hit(1)), read(0, 15, 19, Answer::Hit(0))];
        check(&[write(1, 10, None), reads[0], reads[1]], &[Guilt::WentBack { seen: 1 }]);
    }

    #[test]
    fn reads_that_overlap_have_no_order() {
        check(&[write(1, 10, None), read(0, 12, 16, Answer::Hit(1)), read(0, 15, 19, Answer::Hit(0))], &[]);
    }

    #[test]
    fn environments_do_not_know_what_others_have_read() {
        check(&[write(1, 10, None), read(0, 12, 14, Answer::Hit(1)), read(1, 15, 19, Answer::Hit(0))], &[]);
    }

    #[test]
    fn a_read_may_be_old_and_go_back_at_once() {
        let (reads, write) =
            ([read(0, 30, 31, Answer::Hit(1)), read(0, 40, 41, Answer::Hit(0))], write(1, 10, Some(20)));
        check(&[write, reads[0], reads[1]], &[Guilt::Old { written: 1 }, Guilt::WentBack { seen: 1 }]);
    }

    #[test]
    fn what_is_called_stale_may_be_old_but_counts_as_seen() {
        check(&[write(1, 10, Some(20)), read(0, 30, 31, Answer::Stale(0))], &[]);
        let reads = [read(0, 12, 13, Answer::Stale(1)), read(0, 14, 15, Answer::Hit(0))];
        check(&[write(1, 10, None), reads[0], reads[1]], &[Guilt::WentBack { seen: 1 }]);
    }

    #[test]
    fn a_value_from_nowhere_or_from_the_future_is_wrong() {
        check(&[read(0, 5, 6, Answer::Wrong)], &[Guilt::Wrong]);
        check(&[read(0, 5, 6, Answer::Hit(1))], &[Guilt::Wrong]);
        check(&[write(1, 10, Some(20)), read(0, 5, 9, Answer::Hit(1))], &[Guilt::Wrong]);
        check(&[write(1, 10, Some(20)), read(0, 5, 19, Answer::Stale(2))], &[Guilt::Wrong]);
    }

    #[test]
    fn no_answer_is_not_a_wrong_one() {
        check(&[write(1, 10, Some(20)), read(0, 30, 31, Answer::None)], &[]);
    }

    /// Something that happened, to [`KEY`] unless it says otherwise.
    #[derive(Clone, Copy)]
    enum Event {
        Read { environment: usize, read: Read },
        Write(Write),
    }

    #[track_caller]
    fn check(events: &[Event], expected: &[Guilt]) {
        let mut diaries = [Diary::default(), Diary::default()];
        let mut commits = Vec::new();
        for event in events {
            match event {
                Event::Read { environment, read } => diaries[*environment].reads.push(*read),
                Event::Write(write) => {
                    diaries[1].writes.push(*write);
                    // At once, so that a read may see it from its begin on.
                    commits.push(Commit { key: write.key, version: write.version, at: write.begin });
                }
            }
        }
        let found: Vec<_> = faults(&diaries, &commits).into_iter().map(|fault| fault.guilt).collect();
        assert_eq!(found, expected);
    }

    fn read(environment: usize, begin: u64, end: u64, answer: Answer) -> Event {
        Event::Read { environment, read: Read { key: KEY, begin: Stamp(begin), end: Stamp(end), answer } }
    }

    fn write(version: u32, begin: u64, end: Option<u64>) -> Event {
        Event::Write(a_write(version, begin, end))
    }

    fn a_write(version: u32, begin: u64, end: Option<u64>) -> Write {
        Write { key: KEY, version, begin: Stamp(begin), end: end.map(Stamp) }
    }

    const KEY: u32 = 4;
    const OTHER: u32 = 3;
}
