//! `larder local reboot-node`

use super::place::Place;
use super::print::Format;
use crate::exit::Outcome;
use clap::Args;
use larder_local::{NodeId, Request};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RebootNode {
    /// The node: its number, such as 0002, or its whole name.
    node: NodeId,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: Format,
}

impl RebootNode {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        self.place.ask(&Request::RebootNode { node: self.node }, &self.format)
    }
}

const EXAMPLES: &str = "\
Example:
  larder local reboot-node 0002";
