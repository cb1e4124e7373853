//! Rings. Input: a byte that chooses the ring, nodes one a line, an empty line, keys one a line.
#![no_main]

use larder_ring::{Ring, RingKind, RingNode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let kind = RingKind::ALL[usize::from(*kind) % RingKind::ALL.len()];
    let mut lines = rest.split(|byte| *byte == b'\n');
    let nodes: Vec<RingNode> =
        lines.by_ref().take_while(|line| !line.is_empty()).take(MOST_NODES).filter_map(node).collect();
    let keys: Vec<&[u8]> = lines.collect();
    let Ok(ring) = Ring::new(kind, &nodes) else { return };

    let alone: Vec<usize> = keys.iter().map(|key| ring.owner(key)).collect();
    assert!(alone.iter().all(|owner| *owner < nodes.len()));
    let mut batch = vec![None; keys.len()];
    ring.owners(&keys, |key, owner| batch[key] = Some(owner));
    assert_eq!(batch, alone.into_iter().map(Some).collect::<Vec<_>>());
});

fn node(line: &[u8]) -> Option<RingNode> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// A ring of more nodes is only slower.
const MOST_NODES: usize = 16;
