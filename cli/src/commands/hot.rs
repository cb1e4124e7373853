//! `larder hot`: which keys are read most, and copies of them on several nodes.

mod set;
mod show;
mod unset;

use super::cluster::ClusterArgs;
use super::ring::reconcile::{TIMEOUT_HELP, log_progress, reason, text_of};
use crate::exit::Outcome;
use anyhow::bail;
use clap::{Args, Subcommand};
use larder_cache::{Publisher, WarmUp};
use larder_client::{Cluster, Config, Key};
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the keys that are read most, and which of them have copies.
    Show(show::Show),
    /// Have copies of a key kept, each where the ring places it, and its reads spread over them.
    Set(set::Set),
    /// Have a key kept by one node again.
    Unset(unset::Unset),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
            Self::Unset(unset) => unset.run(),
        }
    }
}

/// What a change of copies takes.
#[derive(Args, Debug)]
#[command(mut_arg("timeout_ms", |timeout| timeout.default_value("1000").help(TIMEOUT_HELP)))]
struct ChangeArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How old their view of the ring may grow in the fleet, in milliseconds: the largest
    /// LARDER_RING_CHECK_INTERVAL_MS of its functions.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    ring_check_interval_ms: u64,
    /// How long the whole run may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_secs: u64,
}

impl ChangeArgs {
    /// Brings `key` to so many copies; tells what happens as it happens on standard error, and what was done on
    /// standard output.
    fn change(&self, key: &Key, copies: Option<u32>) -> anyhow::Result<Outcome> {
        log_progress();
        let ring_check_interval = Duration::from_millis(self.ring_check_interval_ms);
        let config = self.cluster.config();
        let connect_timeout = config.connect_timeout.min(config.timeout);
        let cluster = Cluster::new(Config { ring_check_interval, connect_timeout, ..config })?;
        let publisher = Publisher::new(cluster, WarmUp::default());
        let deadline = Instant::now() + Duration::from_secs(self.timeout_secs);
        let report = super::cluster::block_on(async { Ok(publisher.copies(key, copies, deadline).await?) })?;
        let mut out = io::stdout().lock();
        out.write_all(text_of(&report).as_bytes())?;
        out.flush()?;
        match report.unfinished {
            None => Ok(Outcome::Done),
            Some(unfinished) => bail!("the copies are not yet as they should be: {}", reason(unfinished)),
        }
    }
}
