//! `larder bench stampede`
//!
//! | file | holds |
//! | --- | --- |
//! | `conductor.rs`, `fleet.rs`, `arrivals.rs` | one run: when reads arrive, who serves them, who dies |
//! | `loads.rs`, `figures.rs` | what is counted, and the figures of it |
//! | `environment.rs`, `messages.rs` | one environment, and what is said to it |
//! | `strategy.rs`, `by_hand.rs` | the strategies, and the alternatives to leases |
//! | `database.rs`, `gated_origin.rs` | the truth behind the cache, and the gate before it |

mod arrivals;
mod by_hand;
mod conductor;
mod database;
mod environment;
mod figures;
mod fleet;
mod gated_origin;
mod loads;
mod messages;
mod strategy;

pub(crate) use environment::ReaderArgs;

use super::progress::progress;
use crate::commands::cluster::block_on;
use crate::commands::end::End;
use crate::exit::Outcome;
use anyhow::{Context, bail};
use clap::Args;
use conductor::{Conductor, Plan};
use database::Database;
use fastrand::Rng;
use figures::Figures;
use larder_lambda::settings::Variables;
use larder_local::{LocalCluster, Options};
use larder_read::settings::Settings;
use messages::Setup;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;
use strategy::{Strategies, Strategy};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Stampede {
    /// How many environments there are, each a process of its own that serves one read at a time.
    #[arg(long, value_name = "E", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=MOST_ENVIRONMENTS))]
    environments: u16,
    /// Reads a second, of all environments together.
    #[arg(long, value_name = "R", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How long the record is fresh, in seconds.
    #[arg(long, value_name = "T", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=3600))]
    ttl: u64,
    /// What a load takes, in milliseconds.
    #[arg(long, value_name = "M", default_value_t = 250, value_parser = clap::value_parser!(u64).range(0..=1500))]
    origin_ms: u64,
    /// Of a hundred environments that load, how many are killed meanwhile.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    die: u8,
    /// How long reads are measured, in seconds.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Settles which record is hot, who serves which read, and which loads end in a death.
    #[arg(long, value_name = "K", default_value_t = 1)]
    seed: u64,
    /// What is measured, one after another: naive, lock, lease, larder, joined by commas; or `all`.
    #[arg(long, value_name = "STRATEGIES", default_value = "larder")]
    strategy: Strategies,
    /// Options of the table, as in `LARDER_TABLES`, in place of the defaults that `larder` is measured with:
    /// `grace=0:early=0`.
    #[arg(long, value_name = "OPTIONS")]
    options: Option<String>,
}

/// What is printed: one line of JSON.
#[derive(Serialize)]
struct Report<'a> {
    environments: u16,
    rate: u32,
    ttl: u64,
    origin_ms: u64,
    die: u8,
    seconds: u64,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a str>,
    #[serde(flatten)]
    measured: Measured<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Measured<'a> {
    One {
        strategy: Strategy,
        #[serde(flatten)]
        figures: &'a Figures,
    },
    /// Each by its name.
    Many(BTreeMap<String, &'a Figures>),
}

impl Stampede {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        block_on(async {
            let mut end = End::watch().context("could not watch for signals")?;
            tokio::select! {
                // Dropped by a signal, it takes all of its processes along.
                measured = self.measure_all() => measured,
                () = end.signalled() => bail!("interrupted"),
            }
        })
    }

    /// Measures what is asked for, and prints it. That a read is not answered is a fault where nobody is killed.
    async fn measure_all(&self) -> anyhow::Result<Outcome> {
        let mut all = Vec::new();
        for strategy in &self.strategy.0 {
            all.push((*strategy, self.measure(*strategy).await?));
        }
        let measured = match all.as_slice() {
            [(strategy, figures)] => Measured::One { strategy: *strategy, figures },
            many => Measured::Many(
                many.iter().map(|(strategy, figures)| (strategy.to_string(), figures)).collect(),
            ),
        };
        let report = Report {
            environments: self.environments,
            rate: self.rate,
            ttl: self.ttl,
            origin_ms: self.origin_ms,
            die: self.die,
            seconds: self.seconds,
            seed: self.seed,
            options: self.options.as_deref(),
            measured,
        };
        writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
        let has_errors = all.iter().any(|(_, figures)| figures.errors > 0);
        Ok(if has_errors && self.die == 0 { Outcome::Faults } else { Outcome::Done })
    }

    /// Measures one strategy, with a cluster and a database of its own.
    async fn measure(&self, strategy: Strategy) -> anyhow::Result<Figures> {
        progress(format_args!("{strategy}: {} environments start", self.environments));
        let id = Rng::with_seed(self.seed).u32(1..=MOST_ID);
        let cluster = LocalCluster::start(Options { nodes: NODES, ..Options::default() }).await?;
        let database = Database::create(id).await?;
        let variables = self.variables(strategy, &cluster, &database);
        // Told here once, and not by every environment.
        Settings::read(&variables.iter().cloned().collect::<Variables>())?;
        let setup = Setup { strategy, variables, id, ttl_secs: self.ttl };
        let mut conductor = Conductor::start(self.plan(), setup).await?;
        let cold = conductor.fill().await?;
        progress(format_args!(
            "{strategy}: the first value took {cold:.0?}; {} s are measured",
            self.seconds
        ));
        let figures = conductor.measure().await?;
        progress(format_args!(
            "{strategy}: {} loads, {} at once, {} deaths, {} errors in {} reads",
            figures.origin_calls, figures.max_concurrent_loads, figures.deaths, figures.errors, figures.reads
        ));
        Ok(figures)
    }

    fn plan(&self) -> Plan {
        Plan {
            environments: usize::from(self.environments),
            rate: self.rate,
            origin: Duration::from_millis(self.origin_ms),
            die_percent: self.die,
            measured: Duration::from_secs(self.seconds),
            seed: self.seed,
        }
    }

    /// The variables of the function: what it has to be told, and else its defaults.
    fn variables(
        &self,
        strategy: Strategy,
        cluster: &LocalCluster,
        database: &Database,
    ) -> Vec<(String, String)> {
        let mut variables = strategy.variables(self.ttl, self.options.as_deref());
        variables.extend([
            ("LARDER_CONFIG_ENDPOINT".to_owned(), cluster.config_endpoint().to_string()),
            ("LARDER_HOSTS_FILE".to_owned(), cluster.hosts_file().display().to_string()),
            ("LARDER_ORIGIN_URL".to_owned(), database.url()),
        ]);
        variables
    }
}

/// More than a machine for development bears.
const MOST_ENVIRONMENTS: i64 = 200;
/// The flights of the example data. Jitter takes as much off the TTL as the id says.
const MOST_ID: u32 = 27_004;
/// One of which owns the key.
const NODES: usize = 3;

const EXAMPLES: &str = "\
Starts a cluster on this machine, a database with one record, and environments that serve reads of it through the handler of
`functions/read`; delays its loads, kills environments that load, and replaces them. When the key has been filled once and
nobody waits for it any more, reads are measured. Prints one line of JSON, with several strategies a member for each, and
tells on standard error what goes on. Exit code 1 where a read had no good answer though nobody was killed. Needs memcached.

A read goes to any environment that is free and waits where none is, as if there could be no more of them: so a strategy that
makes all load makes as many loads as there are environments. Times count from when a read was to begin, and end with the
handler's answer; HTTP is no part of them. What the figures mean: `cli/src/commands/bench/stampede/figures.rs`; what the
strategies are: `strategy.rs`.

Examples:
  larder bench stampede --seconds 60
  larder bench stampede --die 20 --seconds 120 --strategy all | jq -c '.lock, .larder | [.origin_calls_per_ttl, .p999_ms]'
  larder bench stampede --environments 8 --rate 200 --ttl 4 --seconds 10 --strategy naive,larder
  larder bench stampede --die 20 --seconds 120 --options early=1:jitter=0";
