//! What the workloads on a cluster share.

use std::time::Duration;

use anyhow::{Result, ensure};
use larder_client::{Cluster, Config, Endpoint, Error, Item};

use crate::meter::Meter;
use crate::protocol::{Settings, Window};

/// A cluster of the nodes that `settings` names, on the default ring.
///
/// Every call has its deadline, as it always has; `timeout` is the time it allows.
pub(crate) fn cluster(settings: &Settings, timeout: Duration) -> Result<Cluster> {
    let endpoint = Endpoint::Nodes(settings.nodes.clone());
    Ok(Cluster::new(Config { timeout, ..Config::new(endpoint) })?)
}

/// Does `operation` over and over, each when the one before has ended; it is told its number, and answers whether all
/// was well.
///
/// The first `warm_up` times are not measured, and have to go well.
pub(crate) async fn repeat(
    window: &Window,
    warm_up: usize,
    mut operation: impl AsyncFnMut(usize) -> bool,
) -> Result<Meter> {
    for turn in 0..warm_up {
        ensure!(operation(turn).await, "an operation failed before the measurement: are the keys there?");
    }
    let mut meter = Meter::start(window)?;
    let (mut now, mut turn) = (meter.started(), warm_up);
    while meter.may_begin(now) {
        let is_good = operation(turn).await;
        now = meter.record(now, is_good);
        turn += 1;
    }
    Ok(meter)
}

/// Whether a read gave a value of `len` bytes.
pub(crate) fn is_hit(read: &Result<Option<Item>, Error>, len: usize) -> bool {
    matches!(read, Ok(Some(item)) if item.value.len() == len)
}

/// What a call may take where nothing special is asked of it: long enough for a round trip, short enough for a request.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);
