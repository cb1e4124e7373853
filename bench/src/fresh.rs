//! `W7`: what a client costs that is made for one read.

use anyhow::Result;
use larder_client::{Cluster, Config, Endpoint};

use crate::load::{TIMEOUT, is_hit, repeat};
use crate::meter::Summary;
use crate::protocol::Settings;

/// `W7`: a new client, one get, and its end; the client finds the nodes itself where there is a configuration node.
pub(crate) async fn fresh(settings: &Settings) -> Result<Summary> {
    let endpoint = settings.config_node.clone().unwrap_or_else(|| Endpoint::Nodes(settings.nodes.clone()));
    let config = Config { timeout: TIMEOUT, ..Config::new(endpoint) };
    let key = settings.key(KEY)?;
    let meter = repeat(&settings.window, 0, async |_turn| {
        let Ok(cluster) = Cluster::new(config.clone()) else { return false };
        is_hit(&cluster.get(&key).await, settings.value_len)
    });
    meter.await?.finish(1)
}

/// Any key will do.
const KEY: usize = 7;
