//! Near values: what this environment reads most, kept in its own memory for a moment.
//!
//! A key that everybody reads costs its node a reply for every read. An environment that reads it again and again gets
//! it from its memory instead, for [`Policy::near_for`](crate::Policy::near_for): nobody can tell a frozen environment
//! to drop what it holds, so that time is all that bounds how old it may be.
//!
//! - Only keys that are [hot](crate::Sampler::is_hot) here, and that somebody had read before; only fresh values that
//!   nobody is to refresh, and never into the time in which one reader is to: an early refresh is not held up.
//! - Only without [tags](crate::Policy::tags): how those stand has to be read in any case.
//! - Its time is over when it is by either clock; a wall clock that was set back ends it, too.
//! - What this environment writes or forgets is dropped before and after, and nothing is kept of a read that was under
//!   way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use larder_client::Key;
use tokio::time::Instant;

use crate::answer::Answer;

/// The near values of an environment: [`MOST_ENTRIES`] and [`MOST_BYTES`] at most.
#[derive(Debug, Default)]
pub(crate) struct Near(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    entries: HashMap<Key, Entry>,
    /// Of keys and values.
    bytes: usize,
    /// How often something was dropped.
    drops: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    /// The shape of its value.
    schema: u8,
    since: Clocks,
    lives_for: Duration,
}

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

/// A value to be kept near.
pub(crate) struct ToKeep {
    pub(crate) answer: Answer,
    pub(crate) schema: u8,
    pub(crate) lives_for: Duration,
}

/// A read that began: how often something had been dropped by then, for what it has found is not kept if that was so
/// since, and when, for what it finds may be as old as that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    drops: u64,
    at: Clocks,
}

/// Keeps a key away while it is written: drops it now, and again when this is dropped.
#[derive(Debug)]
pub(crate) struct KeepAway<'n> {
    near: &'n Near,
    key: &'n Key,
}

impl Near {
    /// The value of shape `schema` under `key`, where it is younger than `near_for` at `now`.
    pub(crate) fn find(&self, key: &Key, schema: u8, near_for: Duration, now: Clocks) -> Option<Answer> {
        let mut held = self.lock();
        let entry = held.entries.get(key).filter(|entry| entry.schema == schema)?;
        match entry.age(now).filter(|age| *age < near_for) {
            Some(age) => Some(entry.answer(age)),
            None => {
                held.remove(key);
                None
            }
        }
    }

    /// To be called before a read whose values are to be kept, which begins `now`.
    pub(crate) fn begin(&self, now: Clocks) -> Begun {
        Begun { drops: self.lock().drops, at: now }
    }

    /// Keeps what a read has found under `key` that began with `begun` and ended at `now`; not where there is no room,
    /// and not where anything was dropped meanwhile.
    pub(crate) fn keep(&self, key: &Key, found: ToKeep, begun: Begun, now: Clocks) {
        let mut held = self.lock();
        let len = key.as_bytes().len() + found.answer.value.as_ref().map_or(0, Bytes::len);
        if held.drops != begun.drops || len > MOST_BYTES || found.lives_for.is_zero() {
            return;
        }
        held.remove(key);
        held.forget_over(now);
        if held.entries.len() >= MOST_ENTRIES || held.bytes + len > MOST_BYTES {
            return;
        }
        let ToKeep { answer, schema, lives_for } = found;
        // It may share the buffer that it was received in.
        let value = answer.value.as_deref().map(Bytes::copy_from_slice);
        let entry =
            Entry { answer: Answer { value, node: None, ..answer }, schema, since: begun.at, lives_for };
        held.entries.insert(key.clone(), entry);
        held.bytes += len;
    }

    /// Drops what is kept under `key`.
    pub(crate) fn drop_key(&self, key: &Key) {
        let mut held = self.lock();
        held.drops += 1;
        held.remove(key);
    }

    /// Drops what is kept under `key` unless it is of `version` or later.
    pub(crate) fn drop_older(&self, key: &Key, version: u64) {
        let mut held = self.lock();
        if held.entries.get(key).is_some_and(|entry| entry.answer.version < Some(version)) {
            held.remove(key);
        }
    }

    /// Drops what is kept under `key`, now and when the answer is dropped.
    pub(crate) fn keep_away<'n>(&'n self, key: &'n Key) -> KeepAway<'n> {
        self.drop_key(key);
        KeepAway { near: self, key }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.len(key);
        }
    }

    fn forget_over(&mut self, now: Clocks) {
        let bytes = &mut self.bytes;
        self.entries.retain(|key, entry| {
            let stays = entry.age(now).is_some();
            *bytes -= if stays { 0 } else { entry.len(key) };
            stays
        });
    }
}

impl Entry {
    /// How old it is at `now`, by the clock that says more; `None` where its time is over, or a clock was set back.
    fn age(&self, now: Clocks) -> Option<Duration> {
        let monotonic = now.monotonic.checked_duration_since(self.since.monotonic)?;
        let age = monotonic.max(now.wall.duration_since(self.since.wall).ok()?);
        (age < self.lives_for).then_some(age)
    }

    fn answer(&self, age: Duration) -> Answer {
        let whole = self.answer.age.map(|own| own + Duration::from_secs(age.as_secs()));
        Answer { age: whole, ..self.answer.clone() }
    }

    fn len(&self, key: &Key) -> usize {
        key.as_bytes().len() + self.answer.value.as_ref().map_or(0, Bytes::len)
    }
}

impl Clocks {
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }
}

impl Drop for KeepAway<'_> {
    fn drop(&mut self) {
        self.near.drop_key(self.key);
    }
}

/// The most values that are kept near. No more than fifty keys can be hot at once.
const MOST_ENTRIES: usize = 64;
/// The most bytes of keys and values that are kept near.
const MOST_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Outcome;

    #[test]
    fn a_value_is_near_for_its_time_and_no_longer() {
        let (near, start) = (Near::default(), Clocks::now());
        keep(&near, "k", 2000, start);
        check(&near, start.later(1999, 1999), true);
        check(&near, start.later(2000, 2000), false);
        assert_eq!(near.lock().bytes, 0, "it has made room");
    }

    #[test]
    fn a_reader_that_wants_it_younger_does_not_get_it() {
        let (near, start) = (Near::default(), Clocks::now());
        keep(&near, "k", 3000, start);
        assert!(near.find(&key("k"), 0, SECOND, start.later(999, 999)).is_some());
        assert!(near.find(&key("k"), 0, SECOND, start.later(1000, 1000)).is_none());
    }

    #[test]
    fn after_a_thaw_it_is_gone_by_whichever_clock_saw_the_time() {
        for (monotonic, wall) in [(0, 3_600_000), (3_600_000, 0)] {
            let (near, start) = (Near::default(), Clocks::now());
            keep(&near, "k", 2000, start);
            check(&near, start.later(monotonic, wall), false);
        }
    }

    #[test]
    fn a_wall_clock_that_was_set_back_is_no_longer_life() {
        let (near, start) = (Near::default(), Clocks::now());
        keep(&near, "k", 2000, start);
        check(&near, Clocks { wall: start.wall - SECOND, ..start.later(100, 0) }, false);
    }

    #[test]
    fn what_was_dropped_while_it_was_read_is_not_kept() {
        let (near, now) = (Near::default(), Clocks::now());
        let begun = near.begin(now);
        near.drop_key(&key("k"));
        near.keep(&key("k"), to_keep(1, 2000), begun, now);
        check(&near, now, false);
    }

    #[test]
    fn its_time_counts_from_when_its_read_began() {
        let (near, start) = (Near::default(), Clocks::now());
        near.keep(&key("k"), to_keep(1, 2000), near.begin(start), start.later(1500, 1500));
        check(&near, start.later(1999, 1999), true);
        check(&near, start.later(2000, 2000), false);
    }

    #[test]
    fn a_key_is_kept_away_until_its_write_has_ended_however_it_ends() {
        let (near, now, key) = (Near::default(), Clocks::now(), key("k"));
        let kept_away = near.keep_away(&key);
        let begun = near.begin(now);
        near.keep(&key, to_keep(1, 2000), begun, now);
        drop(kept_away);
        check(&near, now, false);
    }

    #[test]
    fn an_older_version_is_dropped_and_the_same_one_stays() {
        let (near, now) = (Near::default(), Clocks::now());
        keep(&near, "k", 2000, now);
        near.drop_older(&key("k"), 7);
        check(&near, now, true);
        near.drop_older(&key("k"), 8);
        check(&near, now, false);
    }

    #[test]
    fn there_is_room_for_so_many_keys_and_bytes_and_what_is_over_makes_room() {
        let (near, now) = (Near::default(), Clocks::now());
        (0..100).for_each(|id| keep(&near, &format!("k{id}"), 1000, now));
        assert_eq!(near.lock().entries.len(), MOST_ENTRIES);
        let later = now.later(1000, 1000);
        let large = MOST_BYTES / 2;
        (0..3).for_each(|id| {
            near.keep(&key(&format!("l{id}")), to_keep(large, 1000), near.begin(later), later)
        });
        assert_eq!(near.lock().entries.len(), 1);
        assert_eq!(near.lock().bytes, large + 2);
    }

    #[track_caller]
    fn check(near: &Near, now: Clocks, is_there: bool) {
        assert_eq!(near.find(&key("k"), 0, Duration::MAX, now).is_some(), is_there);
    }

    fn keep(near: &Near, text: &str, millis: u64, now: Clocks) {
        near.keep(&key(text), to_keep(1, millis), near.begin(now), now);
    }

    fn to_keep(len: usize, millis: u64) -> ToKeep {
        let value = Some(vec![b'v'; len].into());
        let answer = Answer { value, version: Some(7), outcome: Outcome::Hit, node: None, age: None };
        ToKeep { answer, schema: 0, lives_for: Duration::from_millis(millis) }
    }

    impl Clocks {
        fn later(self, monotonic: u64, wall: u64) -> Self {
            let millis = Duration::from_millis;
            Self { monotonic: self.monotonic + millis(monotonic), wall: self.wall + millis(wall) }
        }
    }

    fn key(text: &str) -> Key {
        Key::new(text.as_bytes()).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);
}
