//! Which key is asked for how often: by Zipf's law, with the popular ones anywhere.

use fastrand::Rng;

/// A choice among keys of which the n-th most popular is chosen in proportion to n^-[`EXPONENT`].
pub(crate) struct Popularity {
    /// For every rank, the weights up to and with it.
    cumulated: Vec<f64>,
    /// The key of every rank.
    keys: Vec<u32>,
}

impl Popularity {
    /// A choice among the keys 0 to `count`, at least one. The same `seed` makes the same keys popular.
    pub(crate) fn new(count: u32, seed: u64) -> Self {
        let mut keys: Vec<u32> = (0..count.max(1)).collect();
        Rng::with_seed(seed).shuffle(&mut keys);
        let mut total = 0.0;
        let weights = (1..=keys.len()).map(|rank| {
            total += (rank as f64).powf(-EXPONENT);
            total
        });
        Self { cumulated: weights.collect(), keys }
    }

    pub(crate) fn choose(&self, random: &mut Rng) -> u32 {
        let last = self.keys.len() - 1;
        let point = random.f64() * self.cumulated[last];
        self.keys[self.cumulated.partition_point(|sum| *sum <= point).min(last)]
    }
}

/// As in YCSB, whose skewed loads are those that others measure with.
const EXPONENT: f64 = 0.99;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_chosen_as_often_as_zipf_says() {
        let (popularity, mut random) = (Popularity::new(1000, 7), Rng::with_seed(1));
        let mut counts = vec![0u32; 1000];
        for _ in 0..TIMES {
            counts[popularity.choose(&mut random) as usize] += 1;
        }
        let total: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-0.99)).sum();
        for rank in [1, 2, 3, 10, 50] {
            let expected = f64::from(TIMES) * f64::from(rank).powf(-0.99) / total;
            let found = f64::from(counts[popularity.keys[rank as usize - 1] as usize]);
            // Four standard deviations.
            assert!((found - expected).abs() < 4.0 * expected.sqrt(), "rank {rank}: {found}, not {expected}");
        }
    }

    #[test]
    fn the_seed_says_which_keys_are_popular() {
        let most_popular = |seed| Popularity::new(1000, seed).keys[..5].to_vec();
        assert_eq!(most_popular(1), most_popular(1));
        assert_ne!(most_popular(1), most_popular(2));
    }

    #[test]
    fn a_single_key_is_always_chosen() {
        assert_eq!(Popularity::new(1, 0).choose(&mut Rng::with_seed(0)), 0);
    }

    const TIMES: u32 = 200_000;
}
