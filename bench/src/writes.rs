//! `W4`: many items, stored and known to be.

use std::time::Duration;

use anyhow::{Context, Result};
use larder_client::{NewItem, Ttl};

use crate::load::cluster;
use crate::meter::{Meter, Summary};
use crate::protocol::{Settings, Window};

/// `W4`: one call that stores all items; the window ends when every node has confirmed its own.
pub(crate) async fn set_many(settings: &Settings) -> Result<Summary> {
    let count = match settings.window {
        Window::Operations(count) => usize::try_from(count)?,
        Window::Lasts(_) => settings.items.get(),
    };
    let cluster = cluster(settings, TIMEOUT)?;
    let keys = settings.keys(count)?;
    let value = vec![b'x'; settings.value_len];
    // Connections come up before the window.
    for node in cluster.stats(None).await? {
        node.stats.context("a node failed before the measurement")?;
    }
    let mut meter = Meter::start(&settings.window)?;
    let items: Vec<_> =
        keys.iter().map(|key| NewItem { key, value: &value, client_flags: 0, ttl: Ttl::MAX }).collect();
    meter.add_errors(cluster.set_many(&items).await.len());
    meter.finish_with(count as u64, count as u64)
}

/// One call writes everything, so it may take as long as the whole measurement.
const TIMEOUT: Duration = Duration::from_secs(60);
