//! How a fleet is made to follow a change of its nodes: by itself, or by a ring that is published.

use super::change::{Change, Kind};
use super::clock::Stamp;
use super::progress::progress;
use super::ring_mark::RingMark;
use anyhow::{Context, bail};
use larder_cache::{Publisher, Report, WarmUp};
use larder_client::{Cluster, Config};
use larder_local::LocalCluster;
use larder_ring::RingNode;
use std::time::Duration;
use tokio::time::Instant;

/// A ring that every environment is to follow.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    /// Since when it can be known.
    pub(crate) at: Stamp,
    pub(crate) ring: RingMark,
}

/// How the fleet learns of a change.
#[derive(Debug)]
pub(crate) enum Way {
    /// The configuration endpoint lists it, and each environment finds that when it next asks.
    Polling,
    /// A ring document is published, as the function `ring-refresh` does on a notice and `scale` before a removal.
    Publishing(Publisher),
}

impl Way {
    /// The ring is published: the present one at once.
    pub(crate) async fn publishing(
        cluster: &LocalCluster,
        interval: Duration,
        warm_up: WarmUp,
    ) -> anyhow::Result<Self> {
        let endpoint = cluster.config_endpoint().to_string().parse()?;
        let config = Config {
            hosts_file: Some(cluster.hosts_file()),
            ring_check_interval: interval,
            ..Config::new(endpoint)
        };
        let publisher = Publisher::new(Cluster::new(config)?, warm_up);
        finished(publisher.reconcile(soon()).await?)?;
        Ok(Self::Publishing(publisher))
    }

    /// Makes `change` and whatever lets the fleet follow it; answers the rings that are to be followed, in their order.
    ///
    /// None where the nodes are in the end where they were, as after a restart.
    pub(crate) async fn carry_out(
        &self,
        change: &Change,
        cluster: &LocalCluster,
    ) -> anyhow::Result<Vec<Publication>> {
        match self {
            Self::Polling => poll(change, cluster).await,
            Self::Publishing(publisher) => publish(publisher, change, cluster).await,
        }
    }
}

async fn poll(change: &Change, cluster: &LocalCluster) -> anyhow::Result<Vec<Publication>> {
    let before = RingMark::listed(&cluster.status());
    change.make(cluster).await?;
    let ring = RingMark::listed(&cluster.status());
    let is_new = ring != before;
    Ok(is_new.then(|| Publication { at: Stamp::now(), ring }).into_iter().collect())
}

/// A removal is published before it is made, everything else after ElastiCache has told of it.
async fn publish(
    publisher: &Publisher,
    change: &Change,
    cluster: &LocalCluster,
) -> anyhow::Result<Vec<Publication>> {
    let mut publications = Vec::new();
    if change.kind == Kind::Remove {
        let nodes = cluster.nodes();
        let node = nodes.iter().find(|node| node.id == change.node).context("there is no such node")?;
        let node = RingNode::new(node.name.clone(), node.port);
        publications.extend(finished(publisher.retire(&node, soon()).await?)?);
    }
    change.make(cluster).await?;
    publications.extend(finished(publisher.reconcile(soon()).await?)?);
    Ok(publications)
}

/// What was published by a run that has done all that there was to do.
fn finished(report: Report) -> anyhow::Result<Vec<Publication>> {
    if let Some(unfinished) = report.unfinished {
        bail!("the ring was not brought up to date: {unfinished:?}");
    }
    if report.warmed.moving > 0 {
        progress(format_args!("{}", report.warmed));
    }
    let (now, stamp) = (Instant::now(), Stamp::now());
    let publication = |published: &larder_cache::Published| Publication {
        at: stamp - now.duration_since(published.at),
        ring: RingMark::published(published.epoch),
    };
    Ok(report.published.iter().map(publication).collect())
}

fn soon() -> Instant {
    Instant::now() + MOST_TIME
}

/// What a change may take, its warm-up included.
const MOST_TIME: Duration = Duration::from_secs(300);
