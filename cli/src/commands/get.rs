//! `larder get`

use super::cluster::{ClusterArgs, block_on, key};
use crate::exit::Outcome;
use clap::Args;
use larder_client::Key;
use std::io::{self, IsTerminal, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    /// The key.
    #[arg(value_parser = key)]
    key: Key,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Get {
    /// Prints the value as it is, byte for byte; on a terminal a line end follows.
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.cluster.cluster()?;
        let Some(item) = block_on(async { Ok(cluster.get(&self.key).await?) })? else {
            return Ok(Outcome::Miss);
        };
        let mut out = io::stdout().lock();
        out.write_all(&item.value)?;
        if out.is_terminal() {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(Outcome::Done)
    }
}

const EXAMPLES: &str = "\
Exit code 3 means that there is no such item.

Example:
  larder get --config-endpoint 127.0.0.1:11211 --hosts-file \"$HOSTS\" flights:17
  # with HOSTS=$(larder local status --json | jq -r .hosts_file)";
