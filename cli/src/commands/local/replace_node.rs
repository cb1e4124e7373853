//! `larder local replace-node`

use super::place::Place;
use super::print::Format;
use crate::exit::Outcome;
use clap::Args;
use larder_local::{NodeId, Request};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplaceNode {
    /// The node: its number, such as 0002, or its whole name.
    node: NodeId,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: Format,
}

impl ReplaceNode {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        self.place.ask(&Request::ReplaceNode { node: self.node }, &self.format)
    }
}

const EXAMPLES: &str = "\
Example:
  larder local replace-node 0002";
