//! How many points a node gets for its weight, in the arithmetic of each library.
//!
//! Each function takes the weights of all nodes, which do not add up to 0, and answers for each node. In the rings of
//! MD5 a hash gives four points, and an average node has forty hashes.

/// Hashes of an average node.
pub(crate) const HASHES: u32 = 40;

/// Hashes for each node as libmemcached, twemproxy and spymemcached count them: in 32-bit floats, step by step.
///
/// The rounding is part of the ring: at 25 equal nodes each gets 39, not 40. The libraries add 1e-10 at the end, which
/// never changes the answer: near any whole number it is far below half a unit in the last place.
///
/// Source: libmemcached `src/libmemcached/hosts.cc`, `update_continuum`, compiled without fused multiply-add, as for
/// x86.
pub(crate) fn float32_hashes(weights: &[u32]) -> Vec<u32> {
    let total = total(weights) as f32;
    let nodes = weights.len() as f32;
    weights.iter().map(|weight| (*weight as f32 / total * 160.0 / 4.0 * nodes).floor() as u32).collect()
}

/// Hashes for each node as node-memcached counts them: in 64-bit floats.
///
/// Source: hashring 3.2 `index.js`, `continuum`.
pub(crate) fn float64_hashes(weights: &[u32]) -> Vec<u32> {
    let total = total(weights) as f64;
    let nodes = weights.len() as f64;
    let hashes = |weight: &u32| (f64::from(*weight) / total * f64::from(HASHES) * nodes).floor() as u32;
    weights.iter().map(hashes).collect()
}

/// Points for each node as dalli counts them: 160 for an average node, the fraction dropped.
///
/// dalli divides in 64-bit floats, which at these sizes drops the same fraction.
///
/// Source: dalli `lib/dalli/ring.rb`, `entry_count_for`.
pub(crate) fn dalli_points(weights: &[u32]) -> Vec<u32> {
    let total = total(weights);
    let nodes = weights.len() as u64;
    weights.iter().map(|weight| (nodes * 160 * u64::from(*weight) / total) as u32).collect()
}

/// The sum of all weights.
pub(crate) fn total(weights: &[u32]) -> u64 {
    weights.iter().copied().map(u64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float32_loses_a_hash_at_the_sizes_libmemcached_does() {
        assert_eq!(short_sizes(float32_hashes), [25, 47, 50, 55, 61, 71, 94, 100, 107, 109, 110]);
    }

    #[test]
    fn float64_loses_a_hash_at_the_sizes_hashring_does() {
        assert_eq!(short_sizes(float64_hashes)[..6], [7, 14, 28, 49, 56, 98]);
    }

    #[test]
    fn shares_follow_the_weights() {
        assert_eq!(float32_hashes(&[1, 2, 3]), [20, 40, 60]);
        assert_eq!(float64_hashes(&[1, 2, 3]), [20, 40, 60]);
        assert_eq!(dalli_points(&[1, 2, 3]), [80, 160, 240]);
        assert_eq!(dalli_points(&[0, 1]), [0, 320]);
    }

    /// The sizes up to 110 at which equal nodes get fewer than forty hashes.
    fn short_sizes(hashes: fn(&[u32]) -> Vec<u32>) -> Vec<usize> {
        (1..=110).filter(|nodes| hashes(&vec![1; *nodes])[0] < HASHES).collect()
    }
}
