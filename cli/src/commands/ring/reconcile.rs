//! `larder ring reconcile`

use crate::commands::cluster::{ClusterArgs, block_on};
use crate::commands::documents::{name_of, places_of};
use crate::exit::Outcome;
use anyhow::bail;
use clap::Args;
use larder_cache::{Publisher, Report, Unfinished, WarmUp, Warmed};
use larder_client::{Cluster, Config};
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, mut_arg("timeout_ms", |timeout| timeout.default_value("1000").help(TIMEOUT_HELP)))]
pub(crate) struct Reconcile {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How long nodes that come are warmed at most, in seconds; 0 for not at all.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    warm_secs: u64,
    /// How old their view of the ring may grow in the fleet, in milliseconds: the largest
    /// LARDER_RING_CHECK_INTERVAL_MS of its functions.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    ring_check_interval_ms: u64,
    /// How long the whole run may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_secs: u64,
}

impl Reconcile {
    /// Tells what happens as it happens on standard error, and what was done on standard output.
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        log_progress();
        let ring_check_interval = Duration::from_millis(self.ring_check_interval_ms);
        let config = self.cluster.config();
        let connect_timeout = config.connect_timeout.min(config.timeout);
        let cluster = Cluster::new(Config { ring_check_interval, connect_timeout, ..config })?;
        let publisher = Publisher::new(cluster, self.warm_up());
        let deadline = Instant::now() + Duration::from_secs(self.timeout_secs);
        let report = block_on(async { Ok(publisher.reconcile(deadline).await?) })?;
        let mut out = io::stdout().lock();
        out.write_all(text_of(&report).as_bytes())?;
        out.flush()?;
        match report.unfinished {
            None => Ok(Outcome::Done),
            Some(unfinished) => bail!("the ring is not yet as it should be: {}", reason(unfinished)),
        }
    }

    /// As the function has it.
    fn warm_up(&self) -> WarmUp {
        let defaults = WarmUp::default();
        let most = Duration::from_secs(self.warm_secs);
        WarmUp { least: defaults.least.min(most), most, ..defaults }
    }
}

/// What a run has done, in lines.
pub(in crate::commands) fn text_of(report: &Report) -> String {
    let published = report.published.iter().map(|published| {
        format!("published epoch {}, {}\n", published.epoch.number(), name_of(published.phase))
    });
    let mut text: String = published.collect();
    let Warmed { moving, copied, there, missing, failed, .. } = report.warmed;
    if moving > 0 {
        text += &format!(
            "warmed with {moving} keys: {copied} copied, {there} there already, {missing} missing, {failed} failed\n"
        );
    }
    text.extend(report.unreachable.iter().map(|node| format!("could not be asked: {node}\n")));
    if let Some(document) = &report.document {
        let (epoch, phase) = (document.epoch.number(), name_of(document.phase));
        text += &format!("in force: epoch {epoch}, {phase}, {}", places_of(&document.nodes));
        text += &if document.next.is_empty() {
            "\n".to_owned()
        } else {
            format!(", next {}\n", places_of(&document.next))
        };
    }
    text
}

/// Why there is work left, and what to do about it.
pub(in crate::commands) fn reason(unfinished: Unfinished) -> &'static str {
    match unfinished {
        Unfinished::OutOfTime => {
            "the time was over; run this again, and it goes on where it ended, or give it more with --timeout-secs"
        }
        Unfinished::Unreachable => {
            "a node of the ring does not answer; run this again when it does, or when discovery lists it no more"
        }
        Unfinished::Contended => {
            "somebody else is at work on it, such as ring-refresh; run this again when they are done"
        }
    }
}

/// A step takes seconds, and a warm-up a minute: what the publisher logs says that it is alive.
pub(in crate::commands) fn log_progress() {
    let ours = Targets::new().with_target("larder_cache", LevelFilter::INFO).with_default(LevelFilter::WARN);
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_target(false).without_time();
    lines.finish().with(ours).init();
}

pub(in crate::commands) const TIMEOUT_HELP: &str = "How long one call may take, in milliseconds, here and in the fleet: no less than the largest \
                            LARDER_CACHE_TIMEOUT_MS of its functions";

const EXAMPLES: &str = "\
Where nodes came or went this takes four steps, and as many waits: before each step two intervals and one timeout, so that \
all environments have seen the one before. What it knows stands on the nodes: a run that was cut off is finished by the \
next one, of this command or of ring-refresh.

Exit code 1 means that there is work left; it says which.

Examples:
  larder ring reconcile --config-endpoint 127.0.0.1:11211
  larder ring reconcile --config-endpoint 127.0.0.1:11211 --warm-secs 600 --timeout-secs 900";
