//! `larder ring show`

use crate::commands::cluster::{ClusterArgs, block_on, chain};
use crate::commands::documents::{Documents, Holder, name_of, place_of, places_of};
use crate::exit::Outcome;
use anyhow::bail;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use larder_client::HeldDocument;
use larder_ring::{Reign, RingDocument, RingNode};
use std::fmt::Write as _;
use std::io::{self, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Print the document as it is stored, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.cluster.cluster()?;
        let documents = block_on(Documents::ask(&cluster))?;
        let document = documents.in_force();
        if self.json && document.is_none() && documents.has_silent() {
            bail!("no node that answers holds a ring document, and others do not answer")
        }
        let text = match (self.json, document) {
            (false, _) => table_of(&documents, Utc::now()).into_bytes(),
            (true, Some(document)) => document.encode(),
            (true, None) => Vec::new(),
        };
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()?;
        Ok(match document {
            _ if documents.has_silent() && !self.json => Outcome::Faults,
            Some(_) => Outcome::Done,
            None => Outcome::Miss,
        })
    }
}

fn table_of(documents: &Documents, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    let in_force = documents.in_force();
    match in_force {
        Some(document) => add_document(&mut text, document, now),
        None => text += "no ring document: the ring is what discovery lists\n",
    }
    text += "held by the nodes\n";
    for holder in &documents.nodes {
        let (place, held) = (place_of(&holder.id), held_by(holder, in_force));
        add(&mut text, format_args!("  {place}  {held}\n"));
    }
    text
}

fn add_document(text: &mut String, document: &RingDocument, now: DateTime<Utc>) {
    let RingDocument { epoch, phase, nodes, next, retired, history, .. } = document;
    let (phase, published) = (name_of(*phase), published(document.time_ms, now));
    add(text, format_args!("epoch {}, {phase}, published {published}\n", epoch.number()));
    for (title, nodes) in [("nodes", nodes), ("next nodes", next), ("retired", retired)] {
        add_nodes(text, title, nodes);
    }
    *text += if document.history_is_cut { "history, without what was before\n" } else { "history\n" };
    for Reign { from, to, nodes } in history {
        let to = to.map_or_else(|| "now".to_owned(), |to| to.number().to_string());
        add(text, format_args!("  {} to {to:<10}  {}\n", from.number(), places_of(nodes)));
    }
}

fn add_nodes(text: &mut String, title: &str, nodes: &[RingNode]) {
    if !nodes.is_empty() {
        add(text, format_args!("{title}\n"));
        nodes.iter().for_each(|node| add(text, format_args!("  {node}\n")));
    }
}

/// What a node holds, beside what it should.
fn held_by(holder: &Holder, in_force: Option<&RingDocument>) -> String {
    let is_of_ring = in_force.is_some_and(|document| {
        document.all_nodes().iter().any(|node| node.identity() == holder.id.identity())
    });
    match &holder.held {
        Err(error) => format!("cannot be asked: {}", chain(error.clone())),
        Ok(None) if is_of_ring || in_force.is_none() => "no document".to_owned(),
        Ok(None) => "no document, and in no ring".to_owned(),
        Ok(Some(HeldDocument { document: Err(malformed), .. })) => {
            format!("no document but something else: {malformed}")
        }
        Ok(Some(HeldDocument { document: Ok(document), .. })) => {
            let remark = match in_force {
                Some(in_force) if document.epoch < in_force.epoch => ", which is over",
                Some(in_force) if document != in_force => ", and another document under it",
                _ => "",
            };
            format!("epoch {}{remark}", document.epoch.number())
        }
    }
}

/// When a document was published, and how long ago that is if its clock and ours agree.
fn published(time_ms: u64, now: DateTime<Utc>) -> String {
    let time = i64::try_from(time_ms).ok().and_then(DateTime::from_timestamp_millis);
    let Some(time) = time else { return format!("{time_ms} ms after 1970") };
    let secs = (now - time).num_seconds();
    let ago = match secs {
        ..0 => "ahead of the clock here".to_owned(),
        0..120 => format!("{secs} s ago"),
        120..7_200 => format!("{} min ago", secs / 60),
        7_200..172_800 => format!("{} h ago", secs / 3_600),
        _ => format!("{} days ago", secs / 86_400),
    };
    format!("{} ({ago})", time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(line);
}

const EXAMPLES: &str = "\
Exit code 3 means that there is no ring document: nobody has published one, and the ring is what discovery lists.

Examples:
  larder ring show --config-endpoint 127.0.0.1:11211
  larder ring show --config-endpoint 127.0.0.1:11211 --json | jq .phase";
