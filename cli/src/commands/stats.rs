//! `larder stats`

use super::cluster::{ClusterArgs, block_on, chain, key};
use crate::exit::Outcome;
use clap::Args;
use larder_client::{Key, NodeStats};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Stats {
    /// What to ask for: `items`, `slabs` or `settings`; without it, the statistics in general.
    #[arg(value_parser = key)]
    group: Option<Key>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Print one JSON object: for every node an object of its statistics, or an `error`.
    #[arg(long)]
    json: bool,
}

impl Stats {
    /// Prints what the nodes say; one that says nothing does not keep the others back.
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.cluster.cluster()?;
        let nodes = block_on(async { Ok(cluster.stats(self.group.as_ref()).await?) })?;
        let has_faults = nodes.iter().any(|node| node.stats.is_err());
        let text = if self.json { json_of(nodes) } else { table_of(nodes) };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(if has_faults { Outcome::Faults } else { Outcome::Done })
    }
}

fn json_of(nodes: Vec<NodeStats>) -> String {
    let nodes = nodes.into_iter().map(|NodeStats { node, stats }| {
        let stats = match stats {
            Ok(stats) => stats.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
            Err(error) => Map::from_iter([("error".into(), json!(chain(error)))]),
        };
        (node.to_string(), Value::Object(stats))
    });
    Value::Object(nodes.collect()).to_string() + "\n"
}

fn table_of(nodes: Vec<NodeStats>) -> String {
    let mut text = String::new();
    for NodeStats { node, stats } in nodes {
        text += &format!("{node}\n");
        match stats {
            Ok(stats) => text.extend(stats.iter().map(|(name, value)| format!("  {name:<28} {value}\n"))),
            Err(error) => text += &format!("  error: {}\n", chain(error)),
        }
    }
    text
}

const EXAMPLES: &str = "\
Examples:
  larder stats --config-endpoint 127.0.0.1:11211
  larder stats --config-endpoint 127.0.0.1:11211 --json settings | jq 'map(.maxbytes)'";
