//! Counts that grow, with the smallest of them always at hand.

/// A binary heap of counts, each known by its number: 0 for the first that came, and so on.
#[derive(Debug, Default)]
pub(crate) struct Least {
    /// The smallest at the root, in the order of a heap.
    heap: Vec<Entry>,
    /// Where in `heap` the counts are, by number.
    places: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u64,
    number: u32,
}

impl Least {
    /// Adds a count under the next number.
    pub(crate) fn push(&mut self, count: u64) {
        let place = self.heap.len();
        let entry = Entry { count, number: place as u32 };
        self.heap.push(entry);
        self.places.push(place as u32);
        self.rise(place, entry);
    }

    /// The count of `number`, one of those pushed.
    pub(crate) fn count(&self, number: u32) -> u64 {
        self.heap[self.places[number as usize] as usize].count
    }

    /// The number of a smallest count.
    pub(crate) fn least(&self) -> Option<u32> {
        self.heap.first().map(|entry| entry.number)
    }

    /// Adds `more` to the count of `number`, one of those pushed; it ends at [`u64::MAX`].
    pub(crate) fn add(&mut self, number: u32, more: u64) {
        let place = self.places[number as usize] as usize;
        let count = self.heap[place].count.saturating_add(more);
        self.sink(place, Entry { count, number });
    }

    /// Puts `entry` at `place` or nearer to the root, below a count that is not larger.
    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].count <= entry.count {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    /// Puts `entry` at `place` or farther from the root, above counts that are not smaller.
    fn sink(&mut self, mut place: usize, entry: Entry) {
        while let Some(child) = self.smaller_child(place) {
            if self.heap[child].count >= entry.count {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, entry);
    }

    fn smaller_child(&self, place: usize) -> Option<usize> {
        let left = 2 * place + 1;
        let left_count = self.heap.get(left)?.count;
        let is_right = self.heap.get(left + 1).is_some_and(|right| right.count < left_count);
        Some(left + usize::from(is_right))
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.places[entry.number as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_none_none_is_least() {
        assert_eq!(Least::default().least(), None);
    }

    proptest! {
        #[test]
        fn the_least_is_at_hand_and_every_count_keeps_its_number(
            steps in prop::collection::vec((prop::option::of(any::<prop::sample::Index>()), 0u64..20), 1..200)
        ) {
            let (mut least, mut counts) = (Least::default(), Vec::new());
            for (grown, count) in steps {
                match grown.filter(|_| !counts.is_empty()).map(|grown| grown.index(counts.len())) {
                    Some(number) => {
                        counts[number] += count;
                        least.add(number as u32, count);
                    }
                    None => {
                        counts.push(count);
                        least.push(count);
                    }
                }
                let number = least.least().unwrap();
                prop_assert_eq!(Some(&counts[number as usize]), counts.iter().min());
                for (number, count) in (0..).zip(&counts) {
                    prop_assert_eq!(least.count(number), *count);
                }
            }
        }
    }
}
