//! `larder ring owners`

use crate::commands::lines::for_each_batch;
use crate::exit::Outcome;
use clap::Args;
use larder_ring::{Ring, RingKind, RingNode};
use std::io::{self, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Owners {
    /// Whose ring it is: see `larder ring list`.
    #[arg(long, value_name = "NAME", default_value_t)]
    ring: RingKind,
    /// The nodes, in the order that counts. May be repeated.
    #[arg(long = "node", value_name = "HOST:PORT[:WEIGHT][@IP]", required = true, num_args = 1..)]
    nodes: Vec<RingNode>,
}

impl Owners {
    /// Prints, for every line of standard input, the owner's index from 0 in the order given, as soon as it can.
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let ring = Ring::new(self.ring, &self.nodes)?;
        let indexes: Vec<String> = (0..ring.len()).map(|index| format!("{index}\n")).collect();
        let (mut out, mut text) = (io::stdout().lock(), Vec::new());
        for_each_batch(io::stdin().lock(), |keys| {
            text.clear();
            ring.owners(keys, |_key, owner| text.extend_from_slice(indexes[owner].as_bytes()));
            out.write_all(&text)?;
            Ok(out.flush()?)
        })?;
        Ok(Outcome::Done)
    }
}

const EXAMPLES: &str = "\
Examples:
  printf 'flights:17\\nflights:18\\n' | larder ring owners --node cache-1:11211 --node cache-2:11211:2
  larder ring owners --ring dalli-ring --node a:11211 b:11211 c:11211 < keys.txt | sort | uniq -c";
