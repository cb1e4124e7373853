//! One module a command.

pub(crate) mod bench;
pub(crate) mod cluster;
pub(crate) mod delete;
pub(crate) mod discover;
pub(crate) mod documents;
pub(crate) mod end;
pub(crate) mod get;
pub(crate) mod hot;
pub(crate) mod invalidate;
pub(crate) mod lines;
pub(crate) mod local;
pub(crate) mod ring;
pub(crate) mod set;
pub(crate) mod stats;
pub(crate) mod warm;

use crate::arguments::{Arguments, Command};
use crate::exit::Outcome;

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.command {
        Command::Local(command) => command.run(),
        Command::Ring(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Discover(discover) => discover.run(),
        Command::Get(get) => get.run(),
        Command::Set(set) => set.run(),
        Command::Delete(delete) => delete.run(),
        Command::Stats(stats) => stats.run(),
        Command::Warm(warm) => warm.run(),
        Command::Hot(command) => command.run(),
        Command::Invalidate(invalidate) => invalidate.run(),
    }
}
