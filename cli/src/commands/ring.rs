//! `larder ring`: who owns a key, and the ring document that a fleet goes by.

mod diff;
mod forget;
mod list;
mod owners;
pub(super) mod reconcile;
mod show;

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
    /// Print the ring document in force, and which nodes hold it.
    Show(show::Show),
    /// Bring the ring to what discovery lists, step by step, as the function ring-refresh does.
    Reconcile(reconcile::Reconcile),
    /// Take the ring document off every node.
    Forget(forget::Forget),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::List(list) => list.run(),
            Self::Owners(owners) => owners.run(),
            Self::Diff(diff) => diff.run(),
            Self::Show(show) => show.run(),
            Self::Reconcile(reconcile) => reconcile.run(),
            Self::Forget(forget) => forget.run(),
        }
    }
}
