//! What moves when the node list changes.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use larder_ring::{Ring, RingKind, RingNode};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_batch_answers_as_single_look_ups_do(
        kind in kinds(),
        nodes in lists(1..30),
        keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..260), 0..40),
    ) {
        let ring = Ring::new(kind, &nodes).unwrap();
        let mut answers = Vec::new();
        ring.owners(&keys, |key, owner| answers.push((key, owner)));
        let expected: Vec<_> = keys.iter().map(|key| ring.owner(key)).enumerate().collect();
        prop_assert_eq!(&answers, &expected);
        prop_assert!(answers.iter().all(|(_, owner)| *owner < ring.len()));
    }

    #[test]
    fn a_new_node_takes_keys_and_no_other_node_does(kind in kinds(), nodes in lists(2..25), keys in keys()) {
        // A list that lost a hash to rounding, or loses one, moves more: those sizes are left out.
        let lossy = [7, 14, 25, 28].iter().any(|size| nodes.len() == *size || nodes.len() == size + 1);
        let modulo = matches!(kind, RingKind::LibmemcachedDefault | RingKind::SpymemcachedArrayModNative);
        prop_assume!(!lossy && !modulo);
        let nodes = weighing_one(nodes);
        let (before, after) =
            (Ring::new(kind, &nodes[..nodes.len() - 1]).unwrap(), Ring::new(kind, &nodes).unwrap());
        let newcomer = nodes.len() - 1;
        let mut all_to_newcomer = true;
        before.moved_keys(&after, &keys, |_, _, to| all_to_newcomer &= to == newcomer);
        prop_assert!(all_to_newcomer);
    }

    #[test]
    fn the_share_that_moves_is_the_same_there_and_back(kind in kinds(), nodes in lists(2..12), cut in 1..11_usize) {
        prop_assume!(cut < nodes.len());
        let (one, other) = (Ring::new(kind, &nodes).unwrap(), Ring::new(kind, &nodes[cut..]).unwrap());
        let (there, back) = (one.moved(&other), other.moved(&one));
        prop_assert_eq!(there, back);
        prop_assert!((0.0..=1.0).contains(&there.share));
        prop_assert_eq!(one.moved(&one).share, 0.0);
    }

    #[test]
    fn keys_that_move_are_those_whose_owners_differ(kind in kinds(), nodes in lists(2..20), keys in keys()) {
        let (before, after) = (Ring::new(kind, &nodes).unwrap(), Ring::new(kind, &nodes[1..]).unwrap());
        let mut moved = Vec::new();
        before.moved_keys(&after, &keys, |key, from, to| moved.push((key, from, to)));
        let expected: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| (at, before.owner(key.as_bytes()), after.owner(key.as_bytes())))
            .filter(|(_, from, to)| *from != 1 + to)
            .collect();
        prop_assert_eq!(moved, expected);
    }
}

fn kinds() -> impl Strategy<Value = RingKind> {
    prop::sample::select(RingKind::ALL.to_vec())
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z0-9:/]{1,80}", 200)
}

/// Lists of different nodes, in any order, with weights.
fn lists(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<RingNode>> {
    prop::collection::vec((1..10_u32, 1..u16::MAX), len).prop_map(|nodes| {
        let node = |(at, (weight, port)): (usize, (u32, u16))| RingNode {
            host: format!("cache-{at}.example"),
            port,
            weight,
            ip: Some(format!("10.0.{}.{at}", at / 7)),
        };
        nodes.into_iter().enumerate().map(node).collect()
    })
}

fn weighing_one(nodes: Vec<RingNode>) -> Vec<RingNode> {
    nodes.into_iter().map(|node| RingNode { weight: 1, ..node }).collect()
}
