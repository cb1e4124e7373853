//! `larder local remove-node`

use super::place::Place;
use super::print::Format;
use crate::exit::Outcome;
use clap::Args;
use larder_local::{NodeId, Request};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RemoveNode {
    /// The node: its number, such as 0002, or its whole name. The last one if none is given.
    node: Option<NodeId>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: Format,
}

impl RemoveNode {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        self.place.ask(&Request::RemoveNode { node: self.node }, &self.format)
    }
}

const EXAMPLES: &str = "\
Examples:
  larder local remove-node
  larder local remove-node 0002";
