//! What changes its owner between two rings.

use std::collections::HashMap;
use std::io::Write;

use crate::continuum::Continuum;
use crate::node::RingNode;
use crate::ring::{Placement, Ring};

/// How much changes its owner between two rings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// From 0 for nothing to 1 for everything.
    pub share: f64,
    /// How the share was found.
    pub measure: Measure,
}

/// How a [`Moved`] share was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measure {
    /// By going once through all hashes: their share, to the last one.
    Exact,
    /// By asking both rings for the owners of made-up keys. The standard error is at most 0.5 divided by the root of
    /// their number: 0.4 percentage points for 16,384.
    Sampled {
        /// How many keys were asked for.
        keys: u32,
    },
}

impl Ring {
    /// How much changes its owner when `next` takes the place of this ring.
    ///
    /// An owner is a host and port; its index, weight and IP may change without moving a key. Exact where both rings
    /// are circles of points, or both modulo, and hash keys alike, whatever their kinds; else, and for rendezvous,
    /// sampled. Exact means the share of hashes: of keys too, as far as the library's key hash spreads them evenly
    /// (Java's and twemproxy's do not, for short keys or numbered ones; [`moved_keys`](Self::moved_keys) tells).
    ///
    /// ```
    /// use larder_ring::{Measure, Ring, RingKind, RingNode};
    ///
    /// let nodes: Vec<_> = (1..=4).map(|i| RingNode::new(format!("cache-{i}"), 11211)).collect();
    /// let three = Ring::new(RingKind::default(), &nodes[..3])?;
    /// let four = Ring::new(RingKind::default(), &nodes)?;
    /// let moved = three.moved(&four);
    /// assert_eq!(moved.measure, Measure::Exact);
    /// assert!((0.2..0.3).contains(&moved.share));
    ///
    /// let modulo = |nodes| Ring::new(RingKind::LibmemcachedDefault, nodes);
    /// assert!(modulo(&nodes[..3])?.moved(&modulo(&nodes)?).share > 0.7, "modulo moves nearly everything");
    /// # Ok::<(), larder_ring::RingError>(())
    /// ```
    pub fn moved(&self, next: &Ring) -> Moved {
        self.moved_between(next, &Owners::of(self, next))
    }

    /// Whether no key but those of nodes that `are_gone` changes its owner when `next` takes the place of this ring.
    ///
    /// As [`moved`](Self::moved) it is exact but for rendezvous. A modulo ring never keeps the others where they are.
    pub fn keeps_all_but(&self, next: &Ring, are_gone: impl Fn(&RingNode) -> bool) -> bool {
        let owners = Owners::of(self, next).ignoring(self.nodes().iter().map(are_gone));
        self.moved_between(next, &owners).share == 0.0
    }

    fn moved_between(&self, next: &Ring, owners: &Owners) -> Moved {
        match (&self.placement, &next.placement) {
            (
                Placement::Continuum { key_hash, continuum },
                Placement::Continuum { key_hash: next_hash, continuum: next },
            ) if key_hash == next_hash => {
                let moved = moved_on_circles(continuum, next, owners);
                Moved { share: moved as f64 / HASHES_IN_ALL as f64, measure: Measure::Exact }
            }
            (Placement::Modulo(modulo), Placement::Modulo(next)) if modulo.key_hash == next.key_hash => {
                let moved = moved_by_modulo(modulo.nodes, next.nodes, owners);
                Moved { share: moved as f64 / HASHES_IN_ALL as f64, measure: Measure::Exact }
            }
            _ => Moved {
                share: f64::from(moved_samples(self, next, owners)) / f64::from(SAMPLES),
                measure: Measure::Sampled { keys: SAMPLES },
            },
        }
    }

    /// Calls `each` with the index of every key that changes its owner when `next` takes the place of this ring, the
    /// index of its owner in this ring and that of its owner in `next`.
    ///
    /// Keys come in order. An owner is a host and port, as in [`moved`](Self::moved).
    pub fn moved_keys<K: AsRef<[u8]>>(
        &self,
        next: &Ring,
        keys: &[K],
        mut each: impl FnMut(usize, usize, usize),
    ) {
        let owners = Owners::of(self, next);
        self.owners(keys, |key, from| {
            let to = next.owner(keys[key].as_ref());
            if owners.differ(from, to) {
                each(key, from, to);
            }
        });
    }
}

/// The nodes of two rings, numbered alike.
struct Owners {
    before: Vec<usize>,
    after: Vec<usize>,
    /// The nodes of the first ring from which nothing counts as moved.
    ignored: Vec<bool>,
}

impl Owners {
    fn of(before: &Ring, after: &Ring) -> Self {
        let mut numbers = HashMap::new();
        let mut number = |ring: &Ring| {
            let nodes = ring.nodes().iter();
            nodes
                .map(|node| {
                    let next = numbers.len();
                    *numbers.entry((node.host.clone(), node.port)).or_insert(next)
                })
                .collect()
        };
        Self { before: number(before), after: number(after), ignored: vec![false; before.len()] }
    }

    fn ignoring(self, ignored: impl Iterator<Item = bool>) -> Self {
        Self { ignored: ignored.collect(), ..self }
    }

    fn differ(&self, before: usize, after: usize) -> bool {
        self.before[before] != self.after[after] && !self.ignored[before]
    }
}

/// How many of all hashes have different owners on the two circles.
fn moved_on_circles(before: &Continuum, after: &Continuum, owners: &Owners) -> u64 {
    let mut moved = 0;
    let mut start = 0;
    let (mut before, mut after) = (before.stretches(), after.stretches());
    let (mut old, mut new) = (before.next(), after.next());
    // Both circles end at the last hash: neither runs out before the other.
    while let (Some((old_end, old_owner)), Some((new_end, new_owner))) = (old, new) {
        let end = u64::from(old_end.min(new_end)) + 1;
        // Points at the same place make empty stretches.
        let len = end.saturating_sub(start);
        if owners.differ(old_owner, new_owner) {
            moved += len;
        }
        start = start.max(end);
        if u64::from(old_end) < start {
            old = before.next();
        }
        if u64::from(new_end) < start {
            new = after.next();
        }
    }
    moved
}

/// How many of all hashes have different owners by the two moduli.
fn moved_by_modulo(before: u32, after: u32, owners: &Owners) -> u64 {
    // The pair of owners repeats after so many hashes, at most the square of the longest list.
    let period = u64::from(before) * u64::from(after);
    let whole = HASHES_IN_ALL / period;
    let rest = HASHES_IN_ALL % period;
    let times = |hash: u64| whole + u64::from(hash < rest);
    let owner = |hash: u64, nodes: u32| (hash % u64::from(nodes)) as usize;
    let moved = (0..period).filter(|hash| owners.differ(owner(*hash, before), owner(*hash, after)));
    moved.map(times).sum()
}

/// How many of the sample keys have different owners.
fn moved_samples(before: &Ring, after: &Ring, owners: &Owners) -> u32 {
    let mut key = Vec::new();
    let mut moved = 0;
    for number in 0..SAMPLES {
        key.clear();
        // Writing to a vector does not fail. Odd factors scatter the numbers for the hashes that mix little.
        let _ = write!(key, "sample:{:016x}", u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if owners.differ(before.owner(&key), after.owner(&key)) {
            moved += 1;
        }
    }
    moved
}

const HASHES_IN_ALL: u64 = 1 << 32;
/// Keys asked for where the share cannot be computed.
const SAMPLES: u32 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RingKind, RingNode};

    #[test]
    fn nothing_moves_when_only_the_order_changes() {
        for kind in RingKind::ALL {
            let nodes = nodes(7);
            let turned: Vec<_> = nodes.iter().rev().cloned().collect();
            let moved = ring(kind, &nodes).moved(&ring(kind, &turned));
            if matches!(kind, RingKind::LibmemcachedDefault | RingKind::SpymemcachedArrayModNative) {
                assert!(moved.share > 0.5, "{kind}: modulo goes by order");
            } else {
                assert_eq!(moved.share, 0.0, "{kind}");
            }
        }
    }

    #[test]
    fn everything_moves_when_every_node_is_another() {
        for kind in RingKind::ALL {
            let moved = ring(kind, &nodes(8)[..4]).moved(&ring(kind, &nodes(8)[4..]));
            assert_eq!(moved.share, 1.0, "{kind}");
        }
    }

    #[test]
    fn the_exact_share_is_the_share_of_the_keys() {
        for kind in RingKind::ALL {
            let (five, six) = (ring(kind, &nodes(5)), ring(kind, &nodes(6)));
            let moved = five.moved(&six);
            let keys: Vec<_> = (1..=20_000_u64)
                .map(|i| format!("{:016x}{:x}", i.wrapping_mul(0xd134_2543_de82_ef95), i * i))
                .collect();
            let mut seen = 0_u32;
            five.moved_keys(&six, &keys, |_, _, _| seen += 1);
            let seen = f64::from(seen) / keys.len() as f64;
            // Four standard errors of the two samples.
            assert!((moved.share - seen).abs() < 0.02, "{kind}: {moved:?}, but {seen} of the keys");
        }
    }

    #[test]
    fn the_share_is_exact_but_for_rendezvous() {
        for kind in RingKind::ALL {
            let measure = ring(kind, &nodes(3)).moved(&ring(kind, &nodes(4))).measure;
            let sampled =
                matches!(kind, RingKind::PymemcacheRendezvousHost | RingKind::PymemcacheAwsExtRendezvousIp);
            let expected = if sampled { Measure::Sampled { keys: SAMPLES } } else { Measure::Exact };
            assert_eq!(measure, expected, "{kind}");
        }
    }

    #[test]
    fn rings_of_different_libraries_can_be_compared() {
        let nodes = nodes(5);
        let libmemcached = ring(RingKind::LibmemcachedKetamaWeighted, &nodes);
        let same = ring(RingKind::SpymemcachedKetamaLibmemcachedFormat, &nodes);
        assert_eq!(libmemcached.moved(&same), Moved { share: 0.0, measure: Measure::Exact });
        let other = libmemcached.moved(&ring(RingKind::DalliRing, &nodes));
        assert_eq!(other.measure, Measure::Sampled { keys: SAMPLES });
        assert!((0.75..0.85).contains(&other.share), "chance leaves one in five: {other:?}");
    }

    #[test]
    fn a_new_address_moves_nothing_where_names_count() {
        let before = nodes(5);
        let mut after = before.clone();
        after[2].ip = Some("10.9.9.9".into());
        let moved = |kind| ring(kind, &before).moved(&ring(kind, &after)).share;
        assert_eq!(moved(RingKind::LibmemcachedKetamaWeighted), 0.0);
        assert!(moved(RingKind::AwsJavaKetamaDynamicIpOnly) > 0.2);
    }

    #[test]
    fn a_node_that_goes_takes_only_its_own_keys_along_where_the_ring_is_consistent() {
        for kind in RingKind::ALL {
            let (before, gone) = (nodes(6), nodes(6)[2].clone());
            let after: Vec<_> = before.iter().filter(|node| **node != gone).cloned().collect();
            let (before, after) = (ring(kind, &before), ring(kind, &after));
            let is_modulo =
                matches!(kind, RingKind::LibmemcachedDefault | RingKind::SpymemcachedArrayModNative);
            // In 64-bit floats six nodes have as many points each as five, seven have four fewer.
            assert_eq!(before.keeps_all_but(&after, |node| *node == gone), !is_modulo, "{kind}");
            assert!(!before.keeps_all_but(&after, |node| node.host == "cache-1"), "{kind}");
        }
        let kind = RingKind::NodeMemcachedKetama;
        let (seven, six) = (ring(kind, &nodes(7)), ring(kind, &nodes(6)));
        assert!(!seven.keeps_all_but(&six, |node| node.host == "cache-7"), "the others get points");
    }

    fn ring(kind: RingKind, nodes: &[RingNode]) -> Ring {
        Ring::new(kind, nodes).unwrap()
    }

    fn nodes(count: usize) -> Vec<RingNode> {
        (1..=count).map(|i| format!("cache-{i}:11211@10.0.0.{i}").parse().unwrap()).collect()
    }
}
