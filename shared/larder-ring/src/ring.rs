//! A ring: a node list, and the owner of every key.

use std::collections::HashSet;

use crate::continuum::Continuum;
use crate::error::RingError;
use crate::hash::md5::{LANE_LEN, LANES, Lanes};
use crate::key_hash::KeyHash;
use crate::kind::RingKind;
use crate::modulo::Modulo;
use crate::node::RingNode;
use crate::node_name::node_name;
use crate::points::{Holder, md5_points, one_at_a_time_points, sha1_points, sha384_points};
use crate::rendezvous::Rendezvous;
use crate::share;

/// A node list, and the owner of every key: a pure value that never changes.
///
/// Nodes are numbered from 0 in the order given. See the [crate] for an example.
#[derive(Clone, Debug)]
pub struct Ring {
    kind: RingKind,
    nodes: Box<[RingNode]>,
    pub(crate) placement: Placement,
}

/// The ways of finding an owner.
#[derive(Clone, Debug)]
pub(crate) enum Placement {
    Continuum { key_hash: KeyHash, continuum: Continuum },
    Modulo(Modulo),
    Rendezvous(Rendezvous),
}

impl Ring {
    /// The most nodes a ring takes. ElastiCache allows 60 in a cluster.
    pub const MAX_NODES: usize = 1024;

    /// The largest sum of all weights: what Java's `int`, the smallest of the libraries' counters, holds.
    pub const MAX_TOTAL_WEIGHT: u64 = i32::MAX as u64;

    /// Makes the ring of `nodes` as the library named by `kind` makes it.
    ///
    /// Takes about 160 hashes for each node in the rings of points, 40 in those of MD5; memory is bounded by
    /// [`MAX_NODES`](Self::MAX_NODES).
    ///
    /// # Errors
    ///
    /// A [`RingError`] when the list is empty or too long, names a host that cannot be, has weights that the library
    /// cannot count, or lacks addresses that the ring needs.
    pub fn new(kind: RingKind, nodes: &[RingNode]) -> Result<Self, RingError> {
        check_list(nodes)?;
        Ok(Self { kind, nodes: nodes.into(), placement: place(kind, nodes)? })
    }

    /// The index of the node that owns `key`.
    ///
    /// `key` is hashed as it is, whatever its bytes and length; this allocates nothing.
    #[inline]
    pub fn owner(&self, key: &[u8]) -> usize {
        if self.nodes.len() == 1 {
            return 0;
        }
        match &self.placement {
            Placement::Continuum { key_hash, continuum } => continuum.owner(key_hash.of(key)),
            Placement::Modulo(modulo) => modulo.owner(key),
            Placement::Rendezvous(rendezvous) => rendezvous.owner(key),
        }
    }

    /// Calls `each` with the index of every key, in order, and the index of the node that owns it.
    ///
    /// In the rings of MD5 keys of up to 119 bytes are hashed side by side. Allocates nothing.
    pub fn owners<K: AsRef<[u8]>>(&self, keys: &[K], mut each: impl FnMut(usize, usize)) {
        match &self.placement {
            Placement::Continuum { key_hash: KeyHash::Md5, continuum } if keys.len() >= WORTH_LANES => {
                hash_by_lanes(keys, |key, place| each(key, continuum.owner(place)));
            }
            _ => keys.iter().enumerate().for_each(|(at, key)| each(at, self.owner(key.as_ref()))),
        }
    }

    /// Which library's ring this is.
    pub fn kind(&self) -> RingKind {
        self.kind
    }

    /// The nodes, in the order given.
    pub fn nodes(&self) -> &[RingNode] {
        &self.nodes
    }

    /// How many nodes there are.
    #[allow(clippy::len_without_is_empty, reason = "a ring is never empty")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// Calls `each` with the index of every key, in order, and the first word of its MD5.
fn hash_by_lanes<K: AsRef<[u8]>>(keys: &[K], mut each: impl FnMut(usize, u32)) {
    let mut lanes = Lanes::new();
    for (chunk_at, chunk) in keys.chunks(LANES).enumerate() {
        let fits = |key: &[u8]| key.len() <= LANE_LEN && chunk.len() >= WORTH_LANES;
        for (lane, key) in chunk.iter().enumerate() {
            if fits(key.as_ref()) {
                lanes.lay(lane, key.as_ref());
            }
        }
        let first_words = if chunk.len() >= WORTH_LANES { lanes.digests()[0] } else { [0; LANES] };
        for (lane, key) in chunk.iter().enumerate() {
            let key = key.as_ref();
            let place = if fits(key) { first_words[lane] } else { KeyHash::Md5.of(key) };
            each(chunk_at * LANES + lane, place);
        }
    }
}

fn check_list(nodes: &[RingNode]) -> Result<(), RingError> {
    if nodes.is_empty() {
        return Err(RingError::NoNodes);
    }
    if nodes.len() > Ring::MAX_NODES {
        return Err(RingError::TooManyNodes { given: nodes.len(), max: Ring::MAX_NODES });
    }
    for node in nodes {
        node.check()?;
    }
    let total = nodes.iter().map(|node| u64::from(node.weight)).sum();
    if total > Ring::MAX_TOTAL_WEIGHT {
        return Err(RingError::WeightOverflow { total, max: Ring::MAX_TOTAL_WEIGHT });
    }
    Ok(())
}

fn place(kind: RingKind, nodes: &[RingNode]) -> Result<Placement, RingError> {
    let names = nodes.iter().map(|node| node_name(kind, node)).collect::<Result<Vec<_>, _>>()?;
    let weights: Vec<u32> = nodes.iter().map(|node| node.weight).collect();
    let modulo = |key_hash| Ok(Placement::Modulo(Modulo { key_hash, nodes: nodes.len() as u32 }));
    let continuum = |key_hash, continuum| Ok(Placement::Continuum { key_hash, continuum });
    match kind {
        RingKind::LibmemcachedDefault => modulo(KeyHash::OneAtATime),
        RingKind::SpymemcachedArrayModNative => modulo(KeyHash::JavaString),
        RingKind::PymemcacheRendezvousHost | RingKind::PymemcacheAwsExtRendezvousIp => {
            Ok(Placement::Rendezvous(Rendezvous::new(&names)))
        }
        RingKind::LibmemcachedKetamaWeighted => {
            let holders = holders(names, share::float32_hashes(&at_least_one(&weights)), FIRST_LISTED);
            continuum(KeyHash::Md5, Continuum::new(&md5_points(&holders)))
        }
        RingKind::LibmemcachedKetama if weights.iter().any(|weight| *weight > 1) => {
            let holders = holders(names, share::float32_hashes(&at_least_one(&weights)), FIRST_LISTED);
            continuum(KeyHash::OneAtATime, Continuum::new(&md5_points(&holders)))
        }
        RingKind::LibmemcachedKetama => {
            let holders = holders(names, vec![LIBMEMCACHED_POINTS; nodes.len()], FIRST_LISTED);
            continuum(KeyHash::OneAtATime, Continuum::new(&one_at_a_time_points(&holders)))
        }
        RingKind::NodeMemcachedKetama => {
            let holders = holders(names, share::float64_hashes(&at_least_one(&weights)), FIRST_LISTED);
            continuum(KeyHash::Md5, Continuum::new(&md5_points(&holders)))
        }
        RingKind::SpymemcachedKetamaLibmemcachedFormat
        | RingKind::SpymemcachedKetamaSpymemcachedFormat
        | RingKind::SpymemcachedKetamaIpOnly => {
            let holders = holders(names, spymemcached_hashes(&weights)?, LAST_LISTED);
            continuum(KeyHash::Md5, Continuum::new(&md5_points(&holders)))
        }
        RingKind::AwsJavaKetamaDynamicIpOnly => {
            let holders = holders(names, spymemcached_hashes(&weights)?, LAST_LISTED);
            continuum(KeyHash::Sha384, Continuum::new(&sha384_points(&holders)))
        }
        RingKind::DalliRing => {
            check_some_weight(&weights)?;
            // Looking back the larger rank owns: the node listed last, as a stable sort leaves it.
            let holders = holders(names, share::dalli_points(&weights), FIRST_LISTED);
            continuum(KeyHash::Crc32, Continuum::of_predecessors(&sha1_points(&holders)))
        }
        RingKind::TwemproxyKetamaFnv1a64Default => {
            check_twemproxy(kind, nodes)?;
            let ranks = twemproxy_ranks(&names);
            let holders = holders(names, share::float32_hashes(&weights), |node| ranks[node]);
            continuum(KeyHash::TwemproxyFnv1a64, Continuum::new(&md5_points(&holders)))
        }
    }
}

fn holders(names: Vec<String>, numbers: Vec<u32>, rank: impl Fn(usize) -> u16) -> Vec<Holder> {
    let named = names.into_iter().zip(numbers).enumerate();
    named.map(|(node, (name, numbers))| Holder { name, numbers, rank: rank(node) }).collect()
}

/// libmemcached and connection-parse store weight 0 as 1.
fn at_least_one(weights: &[u32]) -> Vec<u32> {
    weights.iter().map(|weight| (*weight).max(1)).collect()
}

/// Hashes for each node: by weight if spymemcached was given weights, else the same for all.
///
/// Source: spymemcached `KetamaNodeLocator.setKetamaNodes`.
fn spymemcached_hashes(weights: &[u32]) -> Result<Vec<u32>, RingError> {
    check_some_weight(weights)?;
    if weights.iter().all(|weight| *weight == 1) {
        return Ok(vec![share::HASHES; weights.len()]);
    }
    Ok(share::float32_hashes(weights))
}

fn check_some_weight(weights: &[u32]) -> Result<(), RingError> {
    if share::total(weights) == 0 { Err(RingError::NoWeight) } else { Ok(()) }
}

/// twemproxy reads no configuration with a weight of 0 or with the same name twice.
fn check_twemproxy(kind: RingKind, nodes: &[RingNode]) -> Result<(), RingError> {
    let mut seen = HashSet::new();
    for node in nodes {
        if node.weight == 0 {
            return Err(RingError::ZeroWeight { kind, node: node.to_string() });
        }
        if !seen.insert(node.identity()) {
            return Err(RingError::Repeated { kind, node: node.to_string() });
        }
    }
    Ok(())
}

/// twemproxy sorts the nodes when it reads its configuration, by the length of the name and then by the name, and
/// where two have a point in common the first one then owns.
///
/// Source: twemproxy `src/nc_conf.c`, `conf_server_name_cmp`; `src/nc_string.c`, `string_compare`.
fn twemproxy_ranks(names: &[String]) -> Vec<u16> {
    let mut sorted: Vec<usize> = (0..names.len()).collect();
    sorted.sort_by_key(|node| (names[*node].len(), &names[*node]));
    let mut ranks = vec![0; names.len()];
    for (rank, node) in (0_u16..).zip(sorted) {
        ranks[node] = rank;
    }
    ranks
}

/// Fewer keys than this are hashed sooner one by one.
const WORTH_LANES: usize = 3;
/// Where two nodes have a point in common, the one listed first owns.
const FIRST_LISTED: fn(usize) -> u16 = |node| node as u16;
/// Where two nodes have a point in common, the one listed last owns.
const LAST_LISTED: fn(usize) -> u16 = |node| u16::MAX - node as u16;
/// Points of a node in libmemcached's unweighted ketama.
const LIBMEMCACHED_POINTS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(Ring::new(RingKind::default(), &[]).unwrap_err(), RingError::NoNodes);
    }

    #[test]
    fn the_longest_list_makes_a_ring_and_a_longer_one_is_refused() {
        let nodes: Vec<_> = (0..=Ring::MAX_NODES).map(|i| RingNode::new(format!("c{i}"), 11211)).collect();
        let ring = Ring::new(RingKind::default(), &nodes[1..]).unwrap();
        assert!(ring.owner(b"a key") < Ring::MAX_NODES);
        let error = Ring::new(RingKind::default(), &nodes).unwrap_err();
        assert_eq!(error, RingError::TooManyNodes { given: 1025, max: 1024 });
    }

    #[test]
    fn weights_that_overflow_are_refused() {
        let error = of(RingKind::default(), &["a:1:2147483647", "b:1:1"]).unwrap_err();
        assert_eq!(error, RingError::WeightOverflow { total: 1 << 31, max: (1 << 31) - 1 });
        assert!(of(RingKind::default(), &["a:1:2147483646", "b:1:1"]).is_ok());
    }

    #[test]
    fn a_host_that_cannot_be_is_refused() {
        for host in ["", "a b", "a\r\nflush_all", "[::1]", &"x".repeat(256)] {
            let error = Ring::new(RingKind::default(), &[RingNode::new(host, 11211)]).unwrap_err();
            assert!(matches!(error, RingError::Node(_)), "{host:?}: {error}");
        }
    }

    #[test]
    fn weight_zero_means_what_the_library_says() {
        let lists = ["a:11211:0@10.0.0.1", "b:11211:1@10.0.0.2"];
        for kind in RingKind::ALL {
            let owns = |ring: &Ring| (0..500).any(|key| ring.owner(format!("key-{key}").as_bytes()) == 0);
            match kind {
                RingKind::TwemproxyKetamaFnv1a64Default => {
                    assert!(matches!(of(kind, &lists), Err(RingError::ZeroWeight { .. })));
                }
                RingKind::SpymemcachedKetamaLibmemcachedFormat
                | RingKind::SpymemcachedKetamaSpymemcachedFormat
                | RingKind::SpymemcachedKetamaIpOnly
                | RingKind::AwsJavaKetamaDynamicIpOnly
                | RingKind::DalliRing => {
                    assert!(!owns(&of(kind, &lists).unwrap()), "{kind}");
                    assert_eq!(of(kind, &["a:1:0@10.0.0.1"]).unwrap_err(), RingError::NoWeight, "{kind}");
                }
                _ => assert!(owns(&of(kind, &lists).unwrap()), "{kind}"),
            }
        }
    }

    #[test]
    fn a_node_listed_twice_is_refused_by_twemproxy_alone() {
        let twice = ["a:11211@10.0.0.1", "b:11211@10.0.0.2", "a:11211@10.0.0.1"];
        for kind in RingKind::ALL {
            match of(kind, &twice) {
                Err(error) => assert!(matches!(error, RingError::Repeated { .. }), "{kind}: {error}"),
                Ok(ring) => assert_eq!(ring.len(), 3, "{kind}"),
            }
        }
    }

    #[test]
    fn one_node_owns_everything() {
        for kind in RingKind::ALL {
            let ring = of(kind, &["a:11211@10.0.0.1"]).unwrap();
            assert!((0..100).all(|key| ring.owner(&[key]) == 0), "{kind}");
        }
    }

    #[test]
    fn a_batch_answers_as_single_look_ups_do_whatever_the_lengths() {
        let keys: Vec<Vec<u8>> = (0..=250).map(|len| vec![b'a' + (len % 26) as u8; len]).collect();
        for kind in RingKind::ALL {
            let ring = of(kind, &["a:1@10.0.0.1", "b:1@10.0.0.2", "c:1@10.0.0.3"]).unwrap();
            for count in [0, 1, 2, 3, 15, 16, 17, 40, keys.len()] {
                for keys in [&keys[..count], &keys[keys.len() - count..]] {
                    let mut answers = Vec::new();
                    ring.owners(keys, |key, owner| answers.push((key, owner)));
                    let expected: Vec<_> = keys.iter().map(|key| ring.owner(key)).enumerate().collect();
                    assert_eq!(answers, expected, "{kind}, {count} keys");
                }
            }
        }
    }

    fn of(kind: RingKind, nodes: &[&str]) -> Result<Ring, RingError> {
        Ring::new(kind, &nodes.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }
}
