//! `larder ring diff`

use crate::commands::lines::for_each_batch;
use crate::exit::Outcome;
use clap::Args;
use larder_ring::{Measure, Moved, Ring, RingKind, RingNode};
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    /// Whose ring it is: see `larder ring list`.
    #[arg(long, value_name = "NAME", default_value_t)]
    ring: RingKind,
    /// The nodes before, in the order that counts. May be repeated.
    #[arg(long, value_name = "HOST:PORT[:WEIGHT][@IP]", required = true, num_args = 1..)]
    from: Vec<RingNode>,
    /// The nodes after. May be repeated.
    #[arg(long, value_name = "HOST:PORT[:WEIGHT][@IP]", required = true, num_args = 1..)]
    to: Vec<RingNode>,
    /// Print one JSON object: ring, share, measure, moved (key, from, to), keys (how many were given).
    #[arg(long)]
    json: bool,
}

impl Diff {
    /// Prints the share of all keys that move; then those that move of the keys on standard input, unless that is a
    /// terminal.
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let (before, after) = (Ring::new(self.ring, &self.from)?, Ring::new(self.ring, &self.to)?);
        let mut report =
            Report { json: self.json, out: BufWriter::new(io::stdout().lock()), keys: 0, moved: 0 };
        report.begin(self.ring, before.moved(&after))?;
        if !io::stdin().is_terminal() {
            for_each_batch(io::stdin().lock(), |keys| {
                let mut written = Ok(());
                report.keys += keys.len();
                before.moved_keys(&after, keys, |key, from, to| {
                    if written.is_ok() {
                        written = report.key(keys[key], &self.from[from], &self.to[to]);
                    }
                });
                written?;
                Ok(report.out.flush()?)
            })?;
        }
        report.end()?;
        Ok(Outcome::Done)
    }
}

/// What is printed, key by key: a million keys are not held.
struct Report<W> {
    json: bool,
    out: W,
    keys: usize,
    moved: usize,
}

impl<W: Write> Report<W> {
    fn begin(&mut self, ring: RingKind, Moved { share, measure }: Moved) -> io::Result<()> {
        let measure = match measure {
            Measure::Exact => "exact".to_owned(),
            Measure::Sampled { keys } => format!("sampled with {keys} keys"),
        };
        if self.json {
            write!(self.out, r#"{{"ring":"{ring}","share":{share},"measure":"{measure}","moved":["#)
        } else {
            writeln!(self.out, "{:.2} % of all keys move ({measure})", share * 100.0)
        }
    }

    fn key(&mut self, key: &[u8], from: &RingNode, to: &RingNode) -> io::Result<()> {
        let (from, to) = (place(from), place(to));
        if self.json {
            let comma = if self.moved == 0 { "" } else { "," };
            self.out.write_all(comma.as_bytes())?;
            serde_json::to_writer(&mut self.out, &MovedKey { key: String::from_utf8_lossy(key), from, to })?;
        } else {
            self.out.write_all(key)?;
            writeln!(self.out, "\t{from}\t{to}")?;
        }
        self.moved += 1;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if self.json {
            writeln!(self.out, r#"],"keys":{}}}"#, self.keys)?;
        } else if self.keys > 0 {
            writeln!(self.out, "{} of {} keys given move", self.moved, self.keys)?;
        }
        self.out.flush()
    }
}

#[derive(Serialize)]
struct MovedKey<'a> {
    key: std::borrow::Cow<'a, str>,
    from: String,
    to: String,
}

fn place(node: &RingNode) -> String {
    format!("{}:{}", node.host, node.port)
}

const EXAMPLES: &str = "\
Keys are read from standard input unless that is a terminal; `< /dev/null` asks for the share alone.

Examples:
  larder ring diff --from a:11211 b:11211 c:11211 --to a:11211 b:11211 c:11211 d:11211 < /dev/null
  larder ring diff --from a:11211 b:11211 --to a:11211 c:11211 --json < keys.txt | jq .share";
