//! `larder discover`

use super::cluster::{ReachArgs, block_on, endpoint};
use crate::exit::Outcome;
use clap::Args;
use larder_client::Endpoint;
use larder_ring::RingKind;
use serde_json::json;
use std::io::{self, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Discover {
    /// The configuration endpoint.
    #[arg(value_name = "HOST:PORT", value_parser = endpoint)]
    config_endpoint: Endpoint,
    #[command(flatten)]
    reach: ReachArgs,
    /// Print one JSON object: version, and nodes with host, ip and port.
    #[arg(long)]
    json: bool,
}

impl Discover {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.reach.cluster(self.config_endpoint, RingKind::default())?;
        let topology = block_on(async { Ok(cluster.topology().await?) })?;
        let (version, nodes) = topology.as_ref().map_or((0, &[][..]), |list| (list.version(), list.nodes()));
        let mut out = io::stdout().lock();
        if self.json {
            let nodes: Vec<_> = nodes
                .iter()
                .map(|node| json!({ "host": node.host, "ip": node.ip, "port": node.port }))
                .collect();
            writeln!(out, "{}", json!({ "version": version, "nodes": nodes }))?;
            return Ok(Outcome::Done);
        }
        match version {
            0 => writeln!(
                out,
                "no configuration: a plain memcached or ElastiCache Serverless, its own only node"
            )?,
            version => writeln!(out, "config version {version}")?,
        }
        for node in nodes {
            writeln!(out, "{}\t{}\t{}", node.host, node.ip.as_deref().unwrap_or("-"), node.port)?;
        }
        Ok(Outcome::Done)
    }
}

const EXAMPLES: &str = "\
Examples:
  larder discover 127.0.0.1:11211
  larder discover my-cluster.abc123.cfg.use1.cache.amazonaws.com:11211 --json | jq -r '.nodes[].host'";
