//! `larder delete`

use super::cluster::{ClusterArgs, block_on, key};
use crate::exit::Outcome;
use clap::Args;
use larder_cache::Tag;
use larder_client::Key;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Delete {
    /// The key.
    #[arg(value_parser = key)]
    key: Key,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Delete {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.cluster.cluster()?;
        let was_there = block_on(async {
            let mut was_there = cluster.delete(&self.key).await?;
            // Whether it has any is known by now.
            let copies = cluster.copies_of(&self.key).map_or(1, |copies| copies.count);
            for number in 1..copies {
                was_there |= cluster.delete(&self.key.copy_at(number)).await?;
            }
            let seconds =
                Tag::of_key(&self.key).into_iter().flat_map(|tag| tag.places().skip(1).collect::<Vec<_>>());
            for second in seconds {
                cluster.delete(&second).await?;
            }
            Ok(was_there)
        })?;
        Ok(if was_there { Outcome::Done } else { Outcome::Miss })
    }
}

const EXAMPLES: &str = "\
Exit code 3 means that there was no such item.

Example:
  larder delete --config-endpoint 127.0.0.1:11211 greeting";
