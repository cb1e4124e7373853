//! What the fleet reads most: the records of many environments, merged.

use std::collections::HashMap;

use larder_client::Key;
use larder_ring::HotKey;

use crate::record::Record;
use crate::sketch::Counted;

/// The keys that the fleet reads most.
///
/// ```
/// use larder_cache::{Catalogue, Record};
///
/// let records = ["larder-hot 1 1000\n90 flights:17\n70 flights:4\n", "larder-hot 1 1000\n30 flights:4\n"];
/// let records = records.into_iter().filter_map(|text| Record::decode(text.as_bytes()).ok());
/// let catalogue = Catalogue::merge(records, 1000, Catalogue::MOST_KEYS);
/// let keys: Vec<_> = catalogue.keys().iter().map(|(key, _)| key.to_string()).collect();
/// assert_eq!(keys, ["flights:4", "flights:17"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    keys: Vec<(Key, f64)>,
}

/// How much a key weighs on the node that owns it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyLoad<'c> {
    /// The key.
    pub key: &'c Key,
    /// Its count, as [`keys`](Catalogue::keys) has it.
    pub reads: f64,
    /// The same as a share of what a node is asked for on the average: of 1, it is half of what its node does.
    pub share: f64,
    /// How many copies would bring each below the share that was asked for; `None` where the key is below as it is.
    pub advised: Option<u32>,
}

impl Catalogue {
    /// The share of the mean reads of a node from which on a key had better have copies.
    pub const MOST_SHARE: f64 = 0.5;
    /// How many keys a catalogue usually has at most.
    pub const MOST_KEYS: usize = 50_000;
    /// In so many seconds a record loses half of its weight; in its [`TTL`](Record::TTL), seven eighths.
    pub const HALF_LIFE_SECS: u64 = 5 * 60;

    /// Merges `records`, as they were at `now_secs` since 1970, into a catalogue of the `most` keys read most.
    ///
    /// The counts of a key are added up, each weighted by the age of its record; a record that is dated later than
    /// now, by a clock that is ahead, counts in full. While it works it holds twice as many keys at most: where there
    /// are more, those with the smallest sums so far are forgotten, and begin again if they come again.
    pub fn merge(records: impl IntoIterator<Item = Record>, now_secs: u64, most: usize) -> Self {
        let mut sums: HashMap<Key, f64> = HashMap::new();
        for record in records {
            let weight = weight(now_secs.saturating_sub(record.time_secs()));
            for (key, count) in record.into_keys() {
                *sums.entry(key).or_default() += count as f64 * weight;
                if sums.len() > most.saturating_mul(2) {
                    sums = largest(sums, most).into_iter().collect();
                }
            }
        }
        let mut keys = largest(sums, most);
        keys.sort_unstable_by(most_read_first);
        Self { keys }
    }

    /// How much each key weighs on one of so many `nodes`, in the same order; keys above `most_share` of the mean reads
    /// of a node are advised copies, as many as bring each of them down to it, and no more than a key may have.
    ///
    /// Compared with the keys of the catalogue alone, as if no others were read, and with all that environments have
    /// read, near values included: so a share is too large rather than too small.
    pub fn loads(&self, nodes: usize, most_share: f64) -> impl Iterator<Item = KeyLoad<'_>> {
        let total: f64 = self.keys.iter().map(|(_, reads)| reads).sum();
        let mean = total / nodes.max(1) as f64;
        self.keys.iter().map(move |(key, reads)| {
            let share = if mean > 0.0 { reads / mean } else { 0.0 };
            let copies = (share / most_share).ceil() as u32;
            let (least, most) = (*HotKey::COPIES.start(), *HotKey::COPIES.end());
            let advised = (share > most_share).then(|| copies.clamp(least, most));
            KeyLoad { key, reads: *reads, share, advised }
        })
    }

    /// The keys, most read first, none of them one of our own.
    ///
    /// The numbers compare keys with each other; they are no rates.
    pub fn keys(&self) -> &[(Key, f64)] {
        &self.keys
    }
}

/// What is told in a record where one stands `before`: its counts, weighted by its age, and those of `counted`, of
/// which only what is [`certain`](Counted::certain) is told.
pub(crate) fn joined(before: Option<Record>, counted: Vec<Counted>, now_secs: u64) -> Vec<Counted> {
    let mut sums: HashMap<Key, u64> = HashMap::new();
    for counted in counted {
        *sums.entry(counted.key.clone()).or_default() += counted.certain();
    }
    if let Some(before) = before {
        let weight = weight(now_secs.saturating_sub(before.time_secs()));
        for (key, count) in before.into_keys() {
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add((count as f64 * weight).ceil() as u64);
        }
    }
    sums.into_iter().map(|(key, count)| Counted { key, count, error: 0 }).collect()
}

/// What a count is worth when it is `age_secs` old.
fn weight(age_secs: u64) -> f64 {
    (-(age_secs as f64) / Catalogue::HALF_LIFE_SECS as f64).exp2()
}

/// The `most` keys with the largest sums, in no order.
fn largest(sums: HashMap<Key, f64>, most: usize) -> Vec<(Key, f64)> {
    let mut keys: Vec<_> = sums.into_iter().collect();
    if most < keys.len() {
        keys.select_nth_unstable_by(most, most_read_first);
        keys.truncate(most);
    }
    keys
}

/// Keys that are read as much stand in the order of their bytes.
fn most_read_first(one: &(Key, f64), other: &(Key, f64)) -> std::cmp::Ordering {
    other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Counted;

    #[test]
    fn a_record_that_stands_there_is_added_to_and_ages() {
        let before = Record::decode(b"larder-hot 1 1000\n80 a\n6 b\n").unwrap();
        let counted =
            |key: &str, count, error| Counted { key: Key::new(key.as_bytes()).unwrap(), count, error };
        let own = vec![counted("a", 30, 10), counted("c", 9, 2)];
        let mut joined = joined(Some(before), own, 1000 + Catalogue::HALF_LIFE_SECS);
        joined.sort_by(|one, other| one.key.cmp(&other.key));
        assert_eq!(joined, [counted("a", 60, 0), counted("b", 3, 0), counted("c", 7, 0)]);
    }

    #[test]
    fn the_counts_of_a_key_are_added_up() {
        let records = [record(NOW, &[(1, 5), (2, 4)]), record(NOW, &[(2, 3), (3, 6)])];
        check(&records, 9, &[(2, 7.0), (3, 6.0), (1, 5.0)]);
    }

    #[test]
    fn keys_above_a_share_of_a_node_are_advised_as_many_copies_as_bring_them_below() {
        // 1000 reads on 4 nodes: 250 are those of a node, 125 are half of them.
        let records = [record(NOW, &[(1, 500), (2, 126), (3, 125), (4, 249)])];
        let catalogue = Catalogue::merge(records, NOW, 9);
        let advised = |nodes, share| -> Vec<_> {
            catalogue.loads(nodes, share).map(|load| (load.share, load.advised)).collect()
        };
        assert_eq!(
            advised(4, Catalogue::MOST_SHARE),
            [(2.0, Some(4)), (0.996, Some(2)), (0.504, Some(2)), (0.5, None)]
        );
        assert_eq!(advised(4, 0.1)[0].1, Some(16), "no more than a key may have");
        assert_eq!(advised(0, 9.0)[0], (0.5, None), "no nodes are one");
        assert_eq!(Catalogue::merge([record(0, &[(1, 1)])], NOW, 9).loads(3, 0.5).next().unwrap().share, 0.0);
    }

    #[test]
    fn a_count_halves_in_a_half_life() {
        let old = NOW - Catalogue::HALF_LIFE_SECS;
        let records = [
            record(old, &[(1, 10)]),
            record(NOW, &[(2, 6)]),
            record(old - Catalogue::HALF_LIFE_SECS, &[(3, 10)]),
        ];
        check(&records, 9, &[(2, 6.0), (1, 5.0), (3, 2.5)]);
    }

    #[test]
    fn a_clock_that_is_ahead_makes_no_count_larger() {
        check(&[record(NOW + 3600, &[(1, 5)]), record(NOW, &[(2, 6)])], 9, &[(2, 6.0), (1, 5.0)]);
    }

    #[test]
    fn a_record_without_a_date_counts_for_nothing_but_keeps_its_keys() {
        let catalogue = Catalogue::merge([record(0, &[(1, u64::MAX)]), record(NOW, &[(2, 1)])], NOW, 9);
        assert_eq!(catalogue.keys(), [(key(2), 1.0), (key(1), 0.0)]);
    }

    #[test]
    fn only_the_most_read_find_room() {
        check(&[record(NOW, &[(1, 1), (2, 3), (3, 2)])], 2, &[(2, 3.0), (3, 2.0)]);
        check(&[record(NOW, &[(1, 1), (2, 3), (3, 2)])], 0, &[]);
        check(&[], 9, &[]);
    }

    #[test]
    fn a_key_that_was_forgotten_on_the_way_begins_again() {
        let records = [record(NOW, &[(1, 9), (2, 8), (3, 5)]), record(NOW, &[(3, 7)])];
        check(&records, 1, &[(1, 9.0)]);
        check(&records, 2, &[(3, 12.0), (1, 9.0)]);
    }

    #[test]
    fn a_key_in_every_record_is_found_among_very_many_that_are_in_one() {
        let records = (0..200).map(|nth| {
            let mut keys: Vec<_> = (0..50).map(|id| (1000 + 50 * nth + id, 10)).collect();
            keys.push((7, 11));
            record(NOW, &keys)
        });
        let catalogue = Catalogue::merge(records, NOW, 20);
        assert_eq!(catalogue.keys().len(), 20);
        assert_eq!(catalogue.keys()[0], (key(7), 200.0 * 11.0));
    }

    proptest! {
        #[test]
        fn a_catalogue_with_room_holds_the_sum_of_all_in_any_order(
            mut records in prop::collection::vec(
                (0..2000u64, prop::collection::vec((0usize..30, 1u64..1000), 0..20)), 0..10)
        ) {
            let merged = |records: &[(u64, Vec<(usize, u64)>)]| {
                let records = records.iter().map(|(age, keys)| record(NOW - age, keys));
                Catalogue::merge(records, NOW, 30)
            };
            let catalogue = merged(&records);
            let sum: f64 = records
                .iter()
                .map(|(age, keys)| weight(*age) * keys.iter().map(|(_, count)| *count).sum::<u64>() as f64)
                .sum();
            let total: f64 = catalogue.keys().iter().map(|(_, sum)| sum).sum();
            prop_assert!((total - sum).abs() <= sum * 1e-9, "{total} of {sum}");
            prop_assert!(catalogue.keys().is_sorted_by(|one, next| one.1 >= next.1));
            records.reverse();
            for (key, sum) in merged(&records).keys() {
                let before = catalogue.keys().iter().find(|(other, _)| other == key);
                prop_assert!(before.is_some_and(|(_, before)| (before - sum).abs() <= sum * 1e-9), "{key}");
            }
        }

        #[test]
        fn a_catalogue_has_no_more_keys_than_asked_and_the_largest_sum_is_first(
            keys in prop::collection::btree_map(0usize..500, 1u64..1000, 0..300), most in 1usize..50
        ) {
            let largest = keys.values().max().copied();
            let keys: Vec<_> = keys.into_iter().collect();
            let catalogue = Catalogue::merge([record(NOW, &keys)], NOW, most);
            prop_assert_eq!(catalogue.keys().len(), most.min(keys.len()));
            prop_assert_eq!(catalogue.keys().first().map(|(_, sum)| *sum as u64), largest);
        }
    }

    #[track_caller]
    fn check(records: &[Record], most: usize, expected: &[(usize, f64)]) {
        let expected: Vec<_> = expected.iter().map(|(id, sum)| (key(*id), *sum)).collect();
        assert_eq!(Catalogue::merge(records.iter().cloned(), NOW, most).keys(), expected);
    }

    fn record(time_secs: u64, keys: &[(usize, u64)]) -> Record {
        let counted = keys.iter().map(|(id, count)| Counted { key: key(*id), count: *count, error: 0 });
        let text = Record::encode(&counted.collect::<Vec<_>>(), time_secs, Record::MAX_LEN);
        Record::decode(&text).unwrap()
    }

    fn key(id: usize) -> Key {
        Key::new(format!("flights:{id}").as_bytes()).unwrap()
    }

    const NOW: u64 = 1_760_000_000;
}
