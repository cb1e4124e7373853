//! `larder invalidate`

use super::cluster::{ClusterArgs, block_on};
use crate::exit::Outcome;
use anyhow::{Error, bail};
use clap::Args;
use larder_cache::{Invalidated, Invalidation};
use larder_client::Cluster;
use larder_queue::{FileQueue, QueueConfig, Waiting};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Invalidate {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The queue, file: and its directory: what LARDER_INVALIDATION_QUEUE says on this machine.
    #[arg(long, value_name = "URL", value_parser = queue)]
    queue: QueueConfig,
    /// How long keys are forgotten at most, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    max_secs: u64,
}

impl Invalidate {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let QueueConfig::File(directory) = &self.queue else {
            bail!(
                "a queue of SQS is worked off by the function invalidate; this takes file: and a directory"
            );
        };
        let cluster = self.cluster.cluster()?;
        let end = Instant::now() + Duration::from_secs(self.max_secs);
        let done = block_on(work_off(&FileQueue::new(directory), &cluster, end))?;
        let mut out = io::stdout().lock();
        out.write_all(done.summary().as_bytes())?;
        out.flush()?;
        Ok(if done.is_all() { Outcome::Done } else { Outcome::Faults })
    }
}

/// Does what waits in `queue` now, oldest first, until `end` at most. What is not wholly done stays there.
async fn work_off(queue: &FileQueue, cluster: &Cluster, end: Instant) -> anyhow::Result<Done> {
    let mut done = Done::default();
    for waiting in queue.take(MOST_MESSAGES)? {
        match &waiting.invalidation {
            Ok(invalidation) => {
                let invalidated = invalidation.run(cluster, end).await;
                done.count(invalidated, waiting)?;
            }
            Err(malformed) => {
                let reason = malformed.to_string();
                let aside = waiting.set_aside()?;
                let _ = writeln!(done.reasons, "set aside as {}: {reason}", aside.display());
                done.malformed += 1;
            }
        }
    }
    Ok(done)
}

/// What became of the messages.
#[derive(Debug, Default)]
struct Done {
    messages: usize,
    keys: usize,
    messages_left: usize,
    keys_left: usize,
    malformed: usize,
    /// Lines of their own.
    reasons: String,
}

impl Done {
    fn count(&mut self, invalidated: Invalidated, waiting: Waiting) -> anyhow::Result<()> {
        let Invalidated { done, left, errors } = invalidated;
        self.keys += done;
        match left {
            None => {
                waiting.done()?;
                self.messages += 1;
            }
            Some(Invalidation { keys, .. }) => {
                self.messages_left += 1;
                self.keys_left += keys.len();
                if errors.is_empty() {
                    self.note("the time was over (--max-secs)");
                }
                for error in errors {
                    self.note(&format!("{:#}", Error::new(error)));
                }
            }
        }
        Ok(())
    }

    /// Keeps a reason unless it is known, of the few that a person reads.
    fn note(&mut self, reason: &str) {
        if !self.reasons.lines().any(|known| known == reason) && self.reasons.lines().count() < MOST_REASONS {
            let _ = writeln!(self.reasons, "{reason}");
        }
    }

    fn is_all(&self) -> bool {
        self.messages_left == 0 && self.malformed == 0
    }

    fn summary(&self) -> String {
        let Self { messages, keys, messages_left, keys_left, malformed, reasons } = self;
        format!(
            "{messages} messages done, {keys} keys forgotten; {messages_left} messages stay for {keys_left} keys that are left; \
             {malformed} malformed\n{reasons}"
        )
    }
}

fn queue(text: &str) -> Result<QueueConfig, String> {
    QueueConfig::from_url(text).map_err(|wrong| format!("it {wrong}"))
}

/// Messages of one run; those that come meanwhile, or are more, are for the next.
const MOST_MESSAGES: usize = 100_000;

const MOST_REASONS: usize = 20;

const EXAMPLES: &str = "\
An invalidation that failed waits in a queue until it is done. On AWS that is SQS, and the function invalidate repeats it; on \
this machine it is a directory, and this does, once, all that waits there. What a node did not hear stays for the next run; \
a message that cannot be read is set aside, in dead-letters within the directory.

Exit code 1 says that something stays or was set aside.

Example:
  larder invalidate --queue file:queue --config-endpoint 127.0.0.1:11211";
