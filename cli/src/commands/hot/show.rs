//! `larder hot show`

use crate::commands::cluster::{ClusterArgs, block_on};
use crate::exit::Outcome;
use clap::Args;
use larder_cache::{KeyLoad, WarmUp, Warmer, key_hash};
use larder_client::{Cluster, Key};
use larder_ring::{HotKey, HotPhase, RingDocument};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How many of the keys that are read most are shown, beside those that have copies.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    most: u32,
    /// From which share of what a node is asked for on the average copies are advised, per cent.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    share_percent: u32,
    /// Print an array of JSON, and nothing else.
    #[arg(long)]
    json: bool,
}

/// A key that is read much, or has copies.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    key: String,
    /// As the metrics of the functions name it.
    hash: String,
    reads: u64,
    /// Of the mean reads of a node.
    share: f64,
    owner: String,
    copies: Option<u32>,
    phase: Option<HotPhase>,
    advised: Option<u32>,
}

impl Show {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.cluster.cluster()?;
        let rows = block_on(self.rows(&cluster))?;
        let text = match self.json {
            true => serde_json::to_string(&rows)? + "\n",
            false => table_of(&rows),
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(Outcome::Done)
    }

    async fn rows(&self, cluster: &Cluster) -> anyhow::Result<Vec<Row>> {
        let document = cluster.ring_document().await?;
        let nodes = match &document {
            Some(document) => document.nodes.len(),
            None => cluster.nodes().await?.len(),
        };
        let warm_up = WarmUp::default();
        let catalogue = Warmer::new(cluster, &warm_up).catalogue().await;
        let loads = catalogue.loads(nodes, f64::from(self.share_percent) / 100.0);
        let mut rows = rows_of(loads, document.as_ref(), self.most as usize);
        for row in &mut rows {
            // What the document says of what is no key is shown, too.
            if let Ok(key) = Key::new(row.key.as_bytes()) {
                row.owner = cluster.owner(&key).await?.to_string();
            }
        }
        Ok(rows)
    }
}

/// The `most` keys that are read most, and all those that have copies; their owners are not known yet. A key that is no
/// text cannot have copies, and is left out.
fn rows_of<'c>(
    loads: impl Iterator<Item = KeyLoad<'c>>,
    document: Option<&RingDocument>,
    most: usize,
) -> Vec<Row> {
    let hot = |key: &str| document.and_then(|document| document.hot.get(key)).copied();
    let loads = loads.enumerate().filter_map(|(nth, load)| {
        let key = std::str::from_utf8(load.key.as_bytes()).ok()?;
        let hot = hot(key);
        (nth < most || hot.is_some())
            .then(|| Row { advised: load.advised, ..row(key, load.reads as u64, load.share, hot) })
    });
    let mut rows: Vec<Row> = loads.collect();
    for (key, hot) in document.iter().flat_map(|document| &document.hot) {
        if !rows.iter().any(|row| row.key == *key) {
            rows.push(row(key, 0, 0.0, Some(*hot)));
        }
    }
    rows
}

fn row(key: &str, reads: u64, share: f64, hot: Option<HotKey>) -> Row {
    let (copies, phase) = (hot.map(|hot| hot.copies), hot.map(|hot| hot.phase));
    let share = (share * 1000.0).round() / 1000.0;
    let hash =
        Key::new(key.as_bytes()).map_or_else(|_| String::new(), |key| format!("{:016x}", key_hash(&key)));
    let (key, owner) = (key.to_owned(), String::new());
    Row { key, hash, reads, share, owner, copies, phase, advised: None }
}

fn table_of(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing is known of what is read: the functions tell of it from time to time\n".to_owned();
    }
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let phase = |phase: Option<HotPhase>| match phase {
        None | Some(HotPhase::Reading) => "",
        Some(HotPhase::Writing) => " writing",
    };
    let lines = rows.iter().map(|row| {
        let share = format!("{:.1}%", row.share * 100.0);
        let copies = number(row.copies) + phase(row.phase);
        [row.key.clone(), row.reads.to_string(), share, row.owner.clone(), copies, number(row.advised)]
    });
    let titles = ["key", "reads", "of a node", "owner", "copies", "advised"].map(str::to_owned);
    let lines: Vec<[String; 6]> = [titles].into_iter().chain(lines).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

const EXAMPLES: &str = "\
Counts are what the functions have told of what they read; they compare keys with each other, and are no rates. A key that \
is asked for more than half as often as a node on the average is advised copies; larder hot set makes them.

Examples:
  larder hot show --config-endpoint 127.0.0.1:11211
  larder hot show --config-endpoint 127.0.0.1:11211 --share-percent 30 --json";
