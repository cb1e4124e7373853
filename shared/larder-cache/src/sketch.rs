//! What is read most, counted in a fixed space.
//!
//! An environment reads more keys than it can count. The Space-Saving sketch counts as many as it has counters; a key
//! without one takes over the counter with the smallest count, and that count with it, as an error that is known. So a
//! count is never too small, is too large by its error at most, and no key that is read often can be without a counter.
//!
//! Source: Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005.
//! With weights, and so with a heap in place of the paper's list of buckets: the keys that come most often stand at its
//! bottom, where an addition moves nothing.

use std::cmp::Reverse;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use larder_client::Key;

use crate::least::Least;

/// A key, and how much was added for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Counted {
    /// The key.
    pub key: Key,
    /// What was added for it, and up to `error` more.
    pub count: u64,
    /// How much of `count` may have been added for other keys.
    pub error: u64,
}

impl Counted {
    /// What was added for the key at least.
    pub fn certain(&self) -> u64 {
        self.count.saturating_sub(self.error)
    }
}

/// Counts the keys that come most often.
///
/// Holds `capacity` keys at most, and takes no memory before it is used. Of all that was added, a share of more than
/// 1 / `capacity` has a counter for certain.
///
/// ```
/// use larder_cache::Sketch;
/// use larder_client::Key;
///
/// let mut sketch = Sketch::new(2);
/// for id in ["17", "17", "4", "17", "9"] {
///     sketch.add(&Key::compose(["flights", id])?, 1);
/// }
/// let top = sketch.top(1);
/// assert_eq!((top[0].key.as_bytes(), top[0].count, top[0].error), (&b"flights:17"[..], 3, 0));
/// # Ok::<(), larder_client::InvalidKey>(())
/// ```
#[derive(Debug)]
pub struct Sketch {
    capacity: usize,
    /// What stands under the numbers of `counts`.
    counters: Vec<Counter>,
    counts: Least,
    /// What was added in all.
    total: u64,
    /// The numbers of the keys.
    numbers: HashTable<u32>,
    /// Seeded anew in every process, for keys may be chosen by strangers.
    hasher: RandomState,
}

#[derive(Debug)]
struct Counter {
    key: Key,
    hash: u64,
    error: u64,
}

impl Sketch {
    /// The usual capacity: about a megabyte with keys of usual length.
    pub const DEFAULT_CAPACITY: usize = 8192;

    /// A sketch of `capacity` keys; of one, if that is 0.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.clamp(1, u32::MAX as usize),
            counters: Vec::new(),
            counts: Least::default(),
            total: 0,
            numbers: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// Adds `weight` for `key`. Nothing is allocated for a key that has a counter.
    pub fn add(&mut self, key: &Key, weight: u64) {
        let hash = self.hasher.hash_one(key.as_bytes());
        self.total = self.total.saturating_add(weight);
        match (self.number_of(key, hash), self.counts.least()) {
            (Some(number), _) => self.counts.add(number, weight),
            (None, _) if weight == 0 => {}
            (None, Some(least)) if self.counters.len() == self.capacity => {
                let error = self.counts.count(least);
                self.replace(least, Counter { key: key.clone(), hash, error });
                self.counts.add(least, weight);
            }
            (None, _) => self.insert(Counter { key: key.clone(), hash, error: 0 }, weight),
        }
    }

    /// What was added for `key` at least.
    pub fn certain(&self, key: &Key) -> u64 {
        let number = self.number_of(key, self.hasher.hash_one(key.as_bytes()));
        let certain = |number| self.counts.count(number).saturating_sub(self.counters[number as usize].error);
        number.map_or(0, certain)
    }

    /// What was added for all keys, those without a counter included.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The `n` keys with the largest counts, largest first.
    pub fn top(&self, n: usize) -> Vec<Counted> {
        let counters = (0..).zip(&self.counters);
        let mut top: Vec<_> =
            counters.map(|(number, counter)| (self.counts.count(number), counter)).collect();
        top.sort_unstable_by_key(|(count, counter)| (Reverse(*count), counter.error, &counter.key));
        let counted = |(count, counter): (u64, &Counter)| Counted {
            key: counter.key.clone(),
            count,
            error: counter.error,
        };
        top.into_iter().take(n).map(counted).collect()
    }

    /// Halves what was counted, so that what comes counts for more than what was. A count of 1 is forgotten.
    ///
    /// What is promised of counts and errors then holds for the halves, rounded down, of what was added.
    pub fn halve(&mut self) {
        let (counters, counts) = (std::mem::take(&mut self.counters), std::mem::take(&mut self.counts));
        self.numbers.clear();
        self.total /= 2;
        for (number, counter) in (0..).zip(counters) {
            let count = counts.count(number) / 2;
            if count > 0 {
                self.insert(Counter { error: counter.error.div_ceil(2), ..counter }, count);
            }
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    fn number_of(&self, key: &Key, hash: u64) -> Option<u32> {
        self.numbers.find(hash, |number| self.counters[*number as usize].key == *key).copied()
    }

    /// Adds a counter that stands at `count`.
    fn insert(&mut self, counter: Counter, count: u64) {
        let (number, hash) = (self.counters.len() as u32, counter.hash);
        self.counters.push(counter);
        self.counts.push(count);
        self.name(number, hash);
    }

    /// Puts `counter` in the place of `number`, whose key is forgotten.
    fn replace(&mut self, number: u32, counter: Counter) {
        let hash = counter.hash;
        let old = std::mem::replace(&mut self.counters[number as usize], counter);
        if let Ok(old) = self.numbers.find_entry(old.hash, |other| *other == number) {
            old.remove();
        }
        self.name(number, hash);
    }

    /// Lets `number` be found by `hash`.
    fn name(&mut self, number: u32, hash: u64) {
        self.numbers.insert_unique(hash, number, |number| self.counters[*number as usize].hash);
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_takes_over_the_smallest_count_as_its_error() {
        let mut sketch = Sketch::new(2);
        sketch.add(&key(1), 5);
        sketch.add(&key(2), 3);
        sketch.add(&key(3), 4);
        assert_eq!(sketch.top(9), [counted(3, 7, 3), counted(1, 5, 0)]);
        assert_eq!(sketch.top(1)[0].certain(), 4);
        assert_eq!(sketch.top(0), []);
    }

    #[test]
    fn a_key_is_told_its_certain_share_of_all_that_was_added() {
        let mut sketch = Sketch::new(2);
        [(1, 5), (2, 3), (3, 4)].into_iter().for_each(|(id, weight)| sketch.add(&key(id), weight));
        assert_eq!([1, 2, 3].map(|id| sketch.certain(&key(id))), [5, 0, 4]);
        assert_eq!(sketch.total(), 12);
        sketch.halve();
        assert_eq!((sketch.certain(&key(1)), sketch.total()), (2, 6));
    }

    #[test]
    fn what_weighs_nothing_takes_nobodys_place() {
        let mut sketch = Sketch::new(1);
        sketch.add(&key(1), 1);
        sketch.add(&key(2), 0);
        assert_eq!(sketch.top(9), [counted(1, 1, 0)]);
    }

    #[test]
    fn a_sketch_of_no_capacity_holds_one_key() {
        let mut sketch = Sketch::new(0);
        assert!(sketch.is_empty());
        sketch.add(&key(1), 1);
        sketch.add(&key(2), 1);
        assert_eq!(sketch.top(9), [counted(2, 2, 1)]);
    }

    #[test]
    fn counts_end_at_the_largest_number() {
        let mut sketch = Sketch::new(1);
        sketch.add(&key(1), u64::MAX - 1);
        sketch.add(&key(1), 5);
        sketch.add(&key(2), 5);
        assert_eq!(sketch.top(9), [counted(2, u64::MAX, u64::MAX)]);
    }

    #[test]
    fn halving_forgets_what_was_seen_once() {
        let mut sketch = Sketch::new(3);
        for (id, weight) in [(1, 9), (2, 1), (3, 2)] {
            sketch.add(&key(id), weight);
        }
        sketch.halve();
        assert_eq!(sketch.top(9), [counted(1, 4, 0), counted(3, 1, 0)]);
        sketch.halve();
        sketch.halve();
        sketch.halve();
        assert!(sketch.is_empty());
    }

    #[test]
    fn of_a_hundred_thousand_keys_by_zipfs_law_the_most_read_are_found() {
        const KEYS: usize = 100_000;
        const READS: usize = 300_000;
        let mut sum = 0.0;
        let shares = (1..=KEYS).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let sums: Vec<f64> = shares.collect();
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut sketch, mut truth) = (Sketch::default(), vec![0_u64; KEYS]);
        for _ in 0..READS {
            let drawn = rng.f64() * sum;
            let id = sums.partition_point(|upto| *upto < drawn).min(KEYS - 1);
            truth[id] += 1;
            sketch.add(&key(id), 1);
        }
        let mut by_truth: Vec<usize> = (0..KEYS).collect();
        by_truth.sort_by_key(|id| std::cmp::Reverse(truth[*id]));
        let found: HashSet<Key> = sketch.top(120).into_iter().map(|counted| counted.key).collect();
        let missed: Vec<_> = by_truth[..100].iter().filter(|id| !found.contains(&key(**id))).collect();
        assert!(missed.is_empty(), "{missed:?}");
        for (nth, counted) in sketch.top(50).into_iter().enumerate() {
            let read = truth[by_truth[nth]];
            assert!(counted.error * 10 <= read, "{counted:?} at {nth}, where one was read {read} times");
        }
    }

    proptest! {
        #[test]
        fn a_count_is_too_large_by_its_error_at_most_and_no_frequent_key_is_missing(
            capacity in 1usize..12,
            added in prop::collection::vec((0usize..40, 0u64..6), 0..300),
        ) {
            let (mut sketch, mut truth) = (Sketch::new(capacity), BTreeMap::new());
            for (id, weight) in added {
                sketch.add(&key(id), weight);
                *truth.entry(key(id)).or_insert(0) += weight;
            }
            let top = sketch.top(usize::MAX);
            let total: u64 = truth.values().sum();
            prop_assert!(top.len() <= capacity);
            prop_assert_eq!(sketch.numbers.len(), top.len(), "a key that left is not remembered");
            prop_assert_eq!(top.iter().map(|counted| counted.count).sum::<u64>(), total);
            prop_assert!(top.is_sorted_by(|one, next| one.count >= next.count));
            check_bounds(&top, &truth, total / capacity as u64)?;
        }

        #[test]
        fn halving_keeps_the_promise(
            capacity in 1usize..12,
            steps in prop::collection::vec(prop::option::weighted(0.97, (0usize..40, 0u64..6)), 0..300),
        ) {
            let (mut sketch, mut truth) = (Sketch::new(capacity), BTreeMap::new());
            for step in steps {
                if let Some((id, weight)) = step {
                    sketch.add(&key(id), weight);
                    *truth.entry(key(id)).or_insert(0) += weight;
                } else {
                    sketch.halve();
                    truth.values_mut().for_each(|count| *count /= 2);
                }
            }
            let top = sketch.top(usize::MAX);
            let is_full = top.len() == capacity;
            let least = top.last().map_or(0, |counted| counted.count);
            check_bounds(&top, &truth, if is_full { least } else { 0 })?;
        }
    }

    /// Every count is right within its error, and whoever is missing has `most_missed` at most.
    fn check_bounds(
        top: &[Counted],
        truth: &BTreeMap<Key, u64>,
        most_missed: u64,
    ) -> Result<(), TestCaseError> {
        for counted in top {
            let true_count = truth[&counted.key];
            prop_assert!(true_count <= counted.count && counted.certain() <= true_count, "{counted:?}");
        }
        for (key, true_count) in truth {
            let is_counted = top.iter().any(|counted| counted.key == *key);
            prop_assert!(is_counted || *true_count <= most_missed, "{key}, {true_count} times");
        }
        Ok(())
    }

    fn counted(id: usize, count: u64, error: u64) -> Counted {
        Counted { key: key(id), count, error }
    }

    fn key(id: usize) -> Key {
        Key::new(format!("flights:{id}").as_bytes()).unwrap()
    }
}
