//! `larder local`: a local ElastiCache.

mod add_node;
mod place;
mod print;
mod reboot_node;
mod remove_node;
mod replace_node;
mod status;
mod up;

use crate::exit::Outcome;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster and hold it until ctrl-C, TERM or HUP.
    Up(up::Up),
    /// Add a node, listed under the next config version.
    AddNode(add_node::AddNode),
    /// Remove a node, the last one if none is named; the config version goes up.
    RemoveNode(remove_node::RemoveNode),
    /// Put an empty node in a node's place: same name and port, another address, same config version.
    ReplaceNode(replace_node::ReplaceNode),
    /// Restart a node, failed or not, at its address; it comes back empty.
    RebootNode(reboot_node::RebootNode),
    /// Print the endpoint and the nodes.
    Status(status::Status),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Up(up) => up.run(),
            Self::AddNode(add) => add.run(),
            Self::RemoveNode(remove) => remove.run(),
            Self::ReplaceNode(replace) => replace.run(),
            Self::RebootNode(reboot) => reboot.run(),
            Self::Status(status) => status.run(),
        }
    }
}
