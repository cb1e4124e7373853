//! `W6` and `W6B`: a ring of 20 nodes, alone.

use std::hint::black_box;

use anyhow::Result;
use larder_client::Key;
use larder_ring::{Ring, RingKind, RingNode};

use crate::meter::{Meter, Summary};
use crate::protocol::{Settings, Window};

/// How owners are looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LookUp {
    /// Key by key.
    Single,
    /// All keys in one call.
    Batched,
}

/// `W6`: the owners of all keys, over and over. One operation is a pass over the keys, which are the items.
pub(crate) fn owners(settings: &Settings, look_up: LookUp) -> Result<Summary> {
    let ring = Ring::new(RingKind::default(), &nodes())?;
    let keys = settings.keys(settings.keys.get())?;
    let meter = match look_up {
        LookUp::Single => repeat(&settings.window, || sum_singly(&ring, &keys)),
        LookUp::Batched => repeat(&settings.window, || sum_at_once(&ring, &keys)),
    };
    meter?.finish(keys.len())
}

/// `W6B`: the ring, made over and over.
pub(crate) fn building(settings: &Settings) -> Result<Summary> {
    let nodes = nodes();
    repeat(&settings.window, || Ring::new(RingKind::default(), &nodes))?.finish(1)
}

/// The sum of the owners, so that none of them goes unused.
fn sum_singly(ring: &Ring, keys: &[Key]) -> usize {
    keys.iter().map(|key| ring.owner(key.as_bytes())).sum()
}

fn sum_at_once(ring: &Ring, keys: &[Key]) -> usize {
    let mut sum = 0;
    ring.owners(keys, |_key, owner| sum += owner);
    sum
}

fn repeat<T>(window: &Window, mut operation: impl FnMut() -> T) -> Result<Meter> {
    for _ in 0..WARM_UP {
        black_box(operation());
    }
    let mut meter = Meter::start(window)?;
    let mut now = meter.started();
    while meter.may_begin(now) {
        black_box(operation());
        now = meter.record(now, true);
    }
    Ok(meter)
}

fn nodes() -> Vec<RingNode> {
    let name = |node| format!("cache-node-{node:02}.example.internal");
    (0..NODES).map(|node| RingNode::new(name(node), PORT)).collect()
}

const NODES: usize = 20;
const PORT: u16 = 11211;
const WARM_UP: usize = 3;
