//! `larder local status`

use super::place::Place;
use super::print::Format;
use crate::exit::Outcome;
use clap::Args;
use larder_local::Request;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: Format,
}

impl Status {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        self.place.ask(&Request::Status, &self.format)
    }
}

const EXAMPLES: &str = "\
Examples:
  larder local status
  larder local status --json | jq -r '.nodes[].endpoint'";
