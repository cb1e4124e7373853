//! `larder set`

use super::cluster::{ClusterArgs, block_on, key};
use crate::exit::Outcome;
use anyhow::Context;
use clap::Args;
use larder_client::{InvalidTtl, Key, NewItem, Ttl};
use std::io::{self, Read};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Set {
    /// The key.
    #[arg(value_parser = key)]
    key: Key,
    /// The value; without it, standard input to its end.
    value: Option<String>,
    /// How long the item may live, in seconds: 2 to 2592000 (30 days).
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = ttl)]
    ttl: Ttl,
    /// The client flags that are stored with the value.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    client_flags: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Set {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.cluster.cluster()?;
        let value = match self.value {
            Some(value) => value.into_bytes(),
            None => read_value().context("could not read the value from standard input")?,
        };
        let item = NewItem { key: &self.key, value: &value, client_flags: self.client_flags, ttl: self.ttl };
        block_on(async { Ok(cluster.set(item).await?) })?;
        Ok(Outcome::Done)
    }
}

/// Reads standard input, up to one byte more than any node takes, so that the client can say that it is too much.
fn read_value() -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    io::stdin().lock().take(MAX_VALUE + 1).read_to_end(&mut value)?;
    Ok(value)
}

fn ttl(text: &str) -> Result<Ttl, String> {
    let secs: u64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Ttl::from_secs(secs).map_err(|error: InvalidTtl| error.to_string())
}

/// The largest `max_item_size` that memcached takes.
const MAX_VALUE: u64 = 1024 * 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  larder set --config-endpoint 127.0.0.1:11211 --ttl 60 greeting hello
  larder set --config-endpoint 127.0.0.1:11211 page < page.html";
