//! `larder hot set`

use super::ChangeArgs;
use crate::commands::cluster::key;
use crate::exit::Outcome;
use clap::Args;
use larder_client::Key;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Set {
    /// The key, as the functions store it.
    #[arg(value_parser = key)]
    key: Key,
    /// How many copies there are to be, the key itself included.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(2..=16))]
    copies: u32,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Set {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        self.change.change(&self.key, Some(self.copies))
    }
}

const EXAMPLES: &str = "\
Every write of the key then goes to all copies, and every copy is loaded once for itself: for keys that are read much more \
often than they are written. Takes two steps, and waits before each for all environments to have seen the one before; a run \
that was cut off is finished by the next one. Where nodes have come or gone the ring is brought to what discovery lists, too.

Examples:
  larder hot set flights:17 --copies 3 --config-endpoint 127.0.0.1:11211
  larder hot show --config-endpoint 127.0.0.1:11211 --json | jq '.[] | select(.advised)'";
