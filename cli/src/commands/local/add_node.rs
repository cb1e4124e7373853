//! `larder local add-node`

use super::place::Place;
use super::print::Format;
use crate::exit::Outcome;
use clap::Args;
use larder_local::Request;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AddNode {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: Format,
}

impl AddNode {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        self.place.ask(&Request::AddNode, &self.format)
    }
}

const EXAMPLES: &str = "\
Examples:
  larder local add-node
  larder local add-node --name other --json";
