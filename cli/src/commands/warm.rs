//! `larder warm`

mod key_file;
mod progress;

use super::cluster::{ClusterArgs, block_on};
use super::documents::{Documents, name_of};
use crate::exit::Outcome;
use anyhow::{Context, bail};
use clap::Args;
use larder_cache::{WarmUp, Warmed, Warmer};
use larder_client::{Cluster, Key};
use larder_ring::{Phase, RingDocument};
use progress::{Progress, done};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Warm {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The keys, one a line, the most important first; - for standard input. [default: what the functions have told the
    /// nodes that they read most]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The most keys that are copied.
    #[arg(long, value_name = "NUMBER", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_keys: u32,
    /// The most keys that are copied in a second.
    #[arg(long, value_name = "NUMBER", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys_per_sec: u32,
    /// How long keys are copied at most, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    max_secs: u64,
    /// The most bytes of values that are copied, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    max_mib: u32,
}

impl Warm {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let cluster = self.cluster.cluster()?;
        block_on(self.warm(&cluster))
    }

    async fn warm(&self, cluster: &Cluster) -> anyhow::Result<Outcome> {
        let document = warming(cluster).await?;
        // Copies are made by the ring that the cluster goes by.
        cluster.adopt(&document);
        let warm_up = self.warm_up();
        let warmer = Warmer::new(cluster, &warm_up);
        let mut moving = match &self.keys {
            Some(file) => self.moving_of(file, &warmer, &document)?,
            None => {
                let catalogue = warmer.catalogue().await;
                let keys: Vec<Key> = catalogue.keys().iter().map(|(key, _)| key.clone()).collect();
                warmer.moving(&document, &keys)
            }
        };
        moving.truncate(warm_up.keys);
        let mut progress = Progress::begin(moving.len());
        let end = Instant::now() + warm_up.most;
        let warmed = warmer.copy(moving, end, |warmed| progress.show(warmed)).await;
        progress.end();
        let left = Left::of(&warmed, &warm_up, Instant::now() >= end);
        let mut out = io::stdout().lock();
        out.write_all(summary_of(&warmed, left).as_bytes())?;
        out.flush()?;
        let has_faults = warmed.failed > 0 || left == Some(Left::MovedOn);
        Ok(if has_faults { Outcome::Faults } else { Outcome::Done })
    }

    /// The keys of a file that move, [`max_keys`](Self::max_keys) at most; the rest of the file is read for bad keys.
    fn moving_of(
        &self,
        file: &Path,
        warmer: &Warmer<'_>,
        document: &RingDocument,
    ) -> anyhow::Result<Vec<Key>> {
        let mut moving = Vec::new();
        let read = key_file::open(file).map_err(anyhow::Error::from).and_then(|input| {
            key_file::for_each_keys(input, |keys| {
                let room = self.max_keys as usize - moving.len();
                moving.extend(warmer.moving(document, keys).into_iter().take(room));
            })
        });
        read.with_context(|| format!("could not read the keys from {}", file.display()))?;
        Ok(moving)
    }

    fn warm_up(&self) -> WarmUp {
        WarmUp {
            least: Duration::ZERO,
            most: Duration::from_secs(self.max_secs),
            keys: self.max_keys as usize,
            bytes: u64::from(self.max_mib) << 20,
            keys_per_sec: self.keys_per_sec,
        }
    }
}

/// The ring document in force, if keys are copied under it.
async fn warming(cluster: &Cluster) -> anyhow::Result<RingDocument> {
    let documents = Documents::ask(cluster).await?;
    match documents.in_force() {
        Some(document) if document.phase == Phase::Warming => Ok(document.clone()),
        Some(document) => bail!(
            "nothing moves: the ring is {}, and keys are copied while it is warming; larder ring reconcile, or ring-refresh, \
             brings it there when nodes come or go",
            name_of(document.phase)
        ),
        None => bail!(
            "nothing moves: there is no ring document; larder ring reconcile, or ring-refresh, publishes one"
        ),
    }
}

/// Why keys are left that were to be copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Left {
    Time,
    Bytes,
    /// The ring has gone on to another phase.
    MovedOn,
}

impl Left {
    fn of(warmed: &Warmed, warm_up: &WarmUp, is_over: bool) -> Option<Self> {
        if done(warmed) >= warmed.moving {
            None
        } else if warmed.bytes >= warm_up.bytes {
            Some(Self::Bytes)
        } else if is_over {
            Some(Self::Time)
        } else {
            Some(Self::MovedOn)
        }
    }
}

fn summary_of(warmed: &Warmed, left: Option<Left>) -> String {
    let mut text = format!("{warmed}\n");
    let not_copied = warmed.moving.saturating_sub(done(warmed));
    text += &match left {
        None => String::new(),
        Some(Left::Time) => format!("{not_copied} keys are left: the time was over (--max-secs)\n"),
        Some(Left::Bytes) => format!("{not_copied} keys are left: there were enough bytes (--max-mib)\n"),
        Some(Left::MovedOn) => format!("{not_copied} keys are left: the ring is not warming any more\n"),
    };
    if warmed.failed > 0 {
        text += "for keys that failed a node does not answer: larder ring show says which\n";
    }
    text
}

const EXAMPLES: &str = "\
While the ring is warming, a key that moves is copied to its next owner by whoever reads it. This copies what nobody has \
read yet, as ring-refresh does with the keys that the functions have told of; by hand it takes others, or more of them. It \
overwrites nothing, may be run again, and is for items that Larder's functions stored.

In a key file empty lines are skipped, as are keys that begin with larder~, which are Larder's own.

Examples:
  larder warm --config-endpoint 127.0.0.1:11211
  larder warm --config-endpoint 127.0.0.1:11211 --keys keys.txt --max-keys 200000 --max-secs 300
  printf 'flights:17\\nflights:18\\n' | larder warm --config-endpoint 127.0.0.1:11211 --keys -";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_with_its_reason() {
        let warmed = |copied, bytes| Warmed { moving: 9, copied, there: 2, missing: 1, failed: 1, bytes };
        check(&warmed(5, 700), true, None, "5 copied, 2 there already, 1 missing, 1 failed; 700 bytes");
        check(
            &warmed(2, 1_000),
            true,
            Some(Left::Bytes),
            "3 keys are left: there were enough bytes (--max-mib)",
        );
        check(&warmed(3, 999), true, Some(Left::Time), "2 keys are left: the time was over (--max-secs)");
        check(
            &warmed(4, 999),
            false,
            Some(Left::MovedOn),
            "1 keys are left: the ring is not warming any more",
        );
    }

    #[track_caller]
    fn check(warmed: &Warmed, is_over: bool, left: Option<Left>, text: &str) {
        let warm_up = WarmUp { bytes: 1_000, ..WarmUp::default() };
        assert_eq!(Left::of(warmed, &warm_up, is_over), left);
        let summary = summary_of(warmed, left);
        assert!(summary.starts_with("9 keys move: ") && summary.contains(text), "{summary}");
    }
}
