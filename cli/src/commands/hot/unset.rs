//! `larder hot unset`

use super::ChangeArgs;
use crate::commands::cluster::key;
use crate::exit::Outcome;
use clap::Args;
use larder_client::Key;

#[derive(Args, Debug)]
pub(crate) struct Unset {
    /// The key, as the functions store it.
    #[arg(value_parser = key)]
    key: Key,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Unset {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        self.change.change(&self.key, None)
    }
}
