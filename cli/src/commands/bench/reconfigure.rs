//! `larder bench reconfigure`

use super::change::{Change, Kind};
use super::checker::{Fault, Guilt, faults};
use super::clock::Stamp;
use super::crew::Crew;
use super::figures::{ChangeFigures, Figures, Phase};
use super::flights;
use super::freezes::{self, Freeze};
use super::history::{Diary, Span};
use super::messages::{Order, Setup};
use super::origin::Origin;
use super::progress::progress;
use super::publisher::Way;
use crate::commands::cluster::block_on;
use crate::commands::end::End;
use crate::exit::Outcome;
use anyhow::{Context, bail};
use clap::Args;
use fastrand::Rng;
use larder_cache::WarmUp;
use larder_local::{LocalCluster, Options};
use serde::Serialize;
use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Reconfigure {
    /// How many nodes the cluster has at first.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// How many environments read and write, each a process of its own.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=MOST_CLIENTS))]
    clients: u16,
    /// How long the load is watched before each change and again after it, in seconds.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Settles which keys are popular, who is frozen when, and which node it meets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The changes, in their order, joined by commas: add, remove, replace, kill (replaced after half of the time),
    /// reboot; or `all` five.
    #[arg(long, value_name = "CHANGES", default_value = "all")]
    change: Changes,
    /// Measure the same load a second time, where every environment asks the configuration endpoint each second and
    /// nobody does anything else about a change.
    #[arg(long)]
    naive: bool,
    /// How often an environment looks at the ring document, in passing, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    ring_check_interval_ms: u64,
    /// How long nodes that come are warmed, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=120))]
    warm_secs: u64,
    /// Operations per second of each environment, 5 % of them writes.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long a flight is cached, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(2..=2_592_000))]
    ttl: u64,
    /// What a call to the origin takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=500))]
    origin_latency_ms: u64,
    /// The folder that holds `flights.csv.gz`.
    #[arg(long, value_name = "FOLDER", default_value = "data/flights")]
    data: PathBuf,
}

/// What is printed: one line of JSON.
#[derive(Serialize)]
struct Report<'a> {
    nodes: usize,
    clients: u16,
    seconds: u64,
    seed: u64,
    rate: u32,
    #[serde(flatten)]
    published: &'a Measured,
    /// The same without all that Larder does; `None` where it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    naive: Option<&'a Measured>,
}

/// What was measured of one way to follow changes.
#[derive(Serialize)]
struct Measured {
    /// All reads and writes, whenever they were made; every one of them is checked.
    operations: usize,
    #[serde(flatten)]
    total: Figures,
    changes: Vec<ChangeFigures>,
}

impl Reconfigure {
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

    /// Measures what is asked for, and prints it. That an old or a wrong value was read is a fault, but for plain
    /// polling.
    async fn measure_all(&self) -> anyhow::Result<Outcome> {
        let published = self.measure(false).await?;
        let naive = if self.naive {
            progress("and the same by plain polling");
            Some(self.measure(true).await?)
        } else {
            None
        };
        let report = Report {
            nodes: self.nodes,
            clients: self.clients,
            seconds: self.seconds,
            seed: self.seed,
            rate: self.rate,
            published: &published,
            naive: naive.as_ref(),
        };
        writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
        Ok(if published.total.has_bad_reads() { Outcome::Faults } else { Outcome::Done })
    }

    async fn measure(&self, is_naive: bool) -> anyhow::Result<Measured> {
        let flights = flights::read(&self.data)?;
        let origin = Arc::new(Origin::new(flights, Duration::from_millis(self.origin_latency_ms)));
        let cluster = LocalCluster::start(Options { nodes: self.nodes, ..Options::default() }).await?;
        let way = if is_naive { Way::Polling } else { self.publishing(&cluster).await? };
        let mut crew = Crew::start(self.setups(&cluster, &origin, is_naive), &origin).await?;
        let mut random = Rng::with_seed(self.seed);
        let mut phases: Vec<Phase> = Vec::new();
        for kind in &self.change.0 {
            let change = Change::choose(*kind, &cluster, self.watched() / 2, &mut random)?;
            let phase = self.conduct(&change, &cluster, &way, &mut crew, &mut random).await?;
            if let Some(last) = phases.last_mut() {
                last.blamed_until = phase.after.from;
            }
            phases.push(phase);
        }
        let diaries = crew.end().await?;
        Ok(measured(&phases, &diaries, &origin))
    }

    async fn publishing(&self, cluster: &LocalCluster) -> anyhow::Result<Way> {
        let warm = Duration::from_secs(self.warm_secs);
        let warm_up = WarmUp { least: warm, most: warm.max(LEAST_WARM_UP), ..WarmUp::default() };
        Way::publishing(cluster, Duration::from_millis(self.ring_check_interval_ms), warm_up).await
    }

    fn setups(&self, cluster: &LocalCluster, origin: &Origin, is_naive: bool) -> Vec<Setup> {
        let environments = usize::from(self.clients);
        let ids = origin.ids();
        let setup = |number| Setup {
            number,
            environments,
            config_endpoint: cluster.config_endpoint(),
            hosts_file: cluster.hosts_file(),
            discovery_interval_ms: is_naive.then_some(NAIVE_INTERVAL_MS),
            ring_check_interval_ms: self.ring_check_interval_ms,
            rate: f64::from(self.rate),
            ttl_secs: self.ttl,
            seed: self.seed,
            ids: ids.clone(),
        };
        (0..environments).map(setup).collect()
    }

    /// Brings the cache into its steady state, and makes one change under load.
    async fn conduct(
        &self,
        change: &Change,
        cluster: &LocalCluster,
        way: &Way,
        crew: &mut Crew,
        random: &mut Rng,
    ) -> anyhow::Result<Phase> {
        crew.obey(|_| Order::Fill).await?;
        let begin = Moment::now();
        crew.tell(|number| Order::Load { first: self.first(begin.stamp, number) }).await;
        let change_at = WARM_UP + self.watched();
        let end = change_at + self.watched() + MOST_LONGER;
        let plan = freezes::plan(usize::from(self.clients), change_at, end, random);
        let made = async {
            begin.wait(change_at).await;
            progress(change.kind);
            let (at, changed) = (Stamp::now(), begin.elapsed());
            let publications = way.carry_out(change, cluster).await?;
            begin.wait((changed + self.watched()).max(begin.elapsed() + LEAST_AFTER)).await;
            anyhow::Ok((at, publications))
        };
        let (at, publications) = tokio::select! {
            made = made => made?,
            never = keep_freezing(crew, &plan, begin) => match never? {},
        };
        crew.thaw_all()?;
        let until = Stamp::now();
        crew.obey(|_| Order::Rest).await?;
        let (before, after) = (Span { from: at - self.watched(), until: at }, Span { from: at, until });
        Ok(Phase { kind: change.kind, before, after, blamed_until: Stamp(u64::MAX), publications })
    }

    /// When the environment `number` begins, so that not all act at once.
    fn first(&self, begin: Stamp, number: usize) -> Stamp {
        let nth = number as f64 / f64::from(self.clients);
        begin + Duration::from_secs_f64(nth / f64::from(self.rate))
    }

    /// How long the load is watched before a change, and after it.
    fn watched(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// The figures of all `phases`, by what the environments have written down.
fn measured(phases: &[Phase], diaries: &[Diary], origin: &Origin) -> Measured {
    let operations = diaries.iter().map(|diary| diary.reads.len() + diary.writes.len()).sum();
    progress(format_args!("checking {operations} operations"));
    let (faults, loads) = (faults(diaries, &origin.commits()), origin.loads());
    faults.iter().take(SHOWN_FAULTS).for_each(|fault| progress(Shown(fault)));
    let of = |phase| ChangeFigures::of(phase, diaries, &faults, &loads);
    let changes: Vec<_> = phases.iter().map(of).collect();
    Measured { operations, total: Figures::total(&changes, diaries, &faults), changes }
}

/// Freezes and thaws as planned, and then does nothing.
async fn keep_freezing(crew: &Crew, plan: &[Freeze], begin: Moment) -> anyhow::Result<Infallible> {
    let begins = plan.iter().map(|freeze| (freeze.from, freeze.environment, true));
    let ends = plan.iter().map(|freeze| (freeze.until, freeze.environment, false));
    let mut steps: Vec<_> = begins.chain(ends).collect();
    steps.sort_unstable();
    for (at, environment, is_begin) in steps {
        begin.wait(at).await;
        if is_begin { crew.freeze(environment)? } else { crew.thaw(environment)? }
    }
    std::future::pending().await
}

/// The begin of a load, by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    stamp: Stamp,
    instant: Instant,
}

impl Moment {
    fn now() -> Self {
        Self { stamp: Stamp::now(), instant: Instant::now() }
    }

    fn elapsed(self) -> Duration {
        self.instant.elapsed()
    }

    /// Waits until so much time has passed since.
    async fn wait(self, time: Duration) {
        sleep_until(self.instant + time).await;
    }
}

/// The changes to make.
#[derive(Clone, Debug)]
struct Changes(Vec<Kind>);

impl FromStr for Changes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(Kind::ALL.into()));
        }
        let kind = |name| <Kind as clap::ValueEnum>::from_str(name, false);
        text.split(',').map(kind).collect::<Result<_, _>>().map(Self).map_err(|error| {
            format!("{error}; there are add, remove, replace, kill, reboot, joined by commas, and all")
        })
    }
}

/// A fault, for a person to read.
struct Shown<'a>(&'a Fault);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault { guilt, environment, read } = self.0;
        let what = match guilt {
            Guilt::Old { written } => format!("though version {written} had been written"),
            Guilt::WentBack { seen } => format!("though it had read version {seen}"),
            Guilt::Wrong => "which does not exist".to_owned(),
        };
        write!(f, "environment {environment} read {:?} of flight no. {}, {what}", read.answer, read.key)
    }
}

/// More than a machine for development bears at any useful rate.
const MOST_CLIENTS: i64 = 64;
/// How long a warm-up may last that is not to last at all.
const LEAST_WARM_UP: Duration = Duration::from_secs(10);
/// How often plain polling polls, in milliseconds.
const NAIVE_INTERVAL_MS: u64 = 1000;
/// The load before what is watched.
const WARM_UP: Duration = Duration::from_millis(500);
/// What is watched at least after a change has been carried out.
const LEAST_AFTER: Duration = Duration::from_secs(1);
/// How much longer than it is watched a change may take and environments are still frozen now and then.
const MOST_LONGER: Duration = Duration::from_secs(60);
/// How many faults are told one by one.
const SHOWN_FAULTS: usize = 5;

const EXAMPLES: &str = "\
Starts a cluster on this machine and environments that read and write 27,004 flights through it, prints one line of
JSON with the figures of all changes together and of each in `changes`, with --naive those of plain polling in `naive`,
and tells on standard error what goes on. Exit code 1 where an old or a wrong value was read, but by plain polling.
Needs memcached. What the figures mean: `cli/src/commands/bench/figures.rs`.

Examples:
  larder bench reconfigure --change add --seconds 5
  larder bench reconfigure --nodes 3 --clients 4 --seed 7 --naive | jq '.stale_reads, .naive.stale_reads'
  larder bench reconfigure --change all | jq -c '.changes[] | [.change, .converged_ms, .hit_ratio.after]'";
