//! `larder ring list`

use crate::exit::Outcome;
use clap::Args;
use larder_ring::RingKind;
use std::io::{self, Write};

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Print a JSON array of objects with name, default and needs_ip.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let text = if self.json { json() } else { table() };
        io::stdout().lock().write_all(text.as_bytes())?;
        Ok(Outcome::Done)
    }
}

fn table() -> String {
    let line = |kind: RingKind| match (kind == RingKind::default(), kind.needs_ip()) {
        (true, _) => format!("{kind}  (the default; also called ketama)\n"),
        (_, true) => format!("{kind}  (needs HOST:PORT@IP)\n"),
        _ => format!("{kind}\n"),
    };
    RingKind::ALL.into_iter().map(line).collect()
}

fn json() -> String {
    let rings = RingKind::ALL.into_iter().map(|kind| {
        serde_json::json!({
            "name": kind.name(),
            "default": kind == RingKind::default(),
            "needs_ip": kind.needs_ip(),
        })
    });
    serde_json::Value::from_iter(rings).to_string() + "\n"
}
