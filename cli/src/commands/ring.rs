//! `larder ring`: who owns a key.

mod diff;
mod list;
mod owners;

use crate::exit::Outcome;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the names of the rings.
    List(list::List),
    /// Print the owner of every key given on standard input.
    Owners(owners::Owners),
    /// Print how much, and which keys, change their owner between two node lists.
    Diff(diff::Diff),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::List(list) => list.run(),
            Self::Owners(owners) => owners.run(),
            Self::Diff(diff) => diff.run(),
        }
    }
}
