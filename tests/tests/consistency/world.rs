//! The nodes and those who operate them: the ring is published as ring-refresh does, and changes one after the other.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use larder_cache::{Published, Publisher, Report, WarmUp};
use larder_client::{Cluster, Config, Endpoint};
use larder_local::{LocalCluster, NodeStatus, Options};
use larder_ring::{RingDocument, RingNode};
use tokio::time::{Instant, sleep};

use crate::care::Care;
use crate::changes::{Change, Deck};
use crate::founding;
use crate::origin::Origin;
use crate::quiet::Prober;

pub(crate) struct World {
    pub(crate) local: LocalCluster,
    pub(crate) origin: Arc<Origin>,
    pub(crate) publisher: Publisher,
    pub(crate) prober: Prober,
    pub(crate) care: Care,
    pub(crate) random: Rng,
    pub(crate) wrong: Vec<String>,
}

impl World {
    /// Three nodes, and a document that was first published at some time before now.
    pub(crate) async fn begin(seed: u64, care: Care, origin: Arc<Origin>) -> Self {
        let mut random = Rng::with_seed(seed);
        let local = LocalCluster::start(Options { nodes: 3, ..Options::default() }).await.unwrap();
        let age = founding::age(&mut random);
        let document = RingDocument::first(listed(&local), now_ms() - age.as_millis() as u64);
        println!("the document is {age:?} old");
        let publisher = publisher(&local);
        let prober = Prober::new(config(&local), Arc::clone(&origin));
        let world = Self { local, origin, publisher, prober, care, random, wrong: Vec::new() };
        world.place(&document).await;
        world.reconcile().await;
        world
    }

    /// What an environment is told of the nodes.
    pub(crate) fn config(&self) -> Config {
        config(&self.local)
    }

    /// Lets one change happen after the other, unless the run is over before.
    pub(crate) async fn change(&mut self) {
        let mut deck = Deck::new(self.care.changes(), &mut self.random);
        while let Some(change) = deck.next(self.local.nodes().len()) {
            sleep(Duration::from_millis(self.random.u64(100..300))).await;
            if self.origin.is_over() {
                return;
            }
            let (step, begin) = (self.origin.tally.steps(), Instant::now());
            let nodes = self.local.nodes();
            let node = &nodes[self.random.usize(..nodes.len())];
            self.make(change, node).await;
            self.origin.tally.note_change();
            let at = self.origin.tally.millis(begin);
            println!("step {step}, {at} ms: {change:?} at {} took {:?}", node.name, begin.elapsed());
            self.check_quiet(&format!("after {change:?}"), None).await;
        }
    }

    /// Makes `change`, of `node` where it is of one that is there.
    async fn make(&mut self, change: Change, node: &NodeStatus) {
        match change {
            Change::Add => self.add().await,
            Change::Remove => self.remove(node).await,
            Change::Retire => self.retire(node).await,
            Change::Replace => self.replace(node).await,
            Change::ReplaceBeside => self.replace_beside(node).await,
            Change::Pause => self.pause(node).await,
            Change::Restart => self.restart(node).await,
            Change::AddReplicas => self.add_replicas().await,
            Change::RemoveReplicas => self.remove_replicas().await,
            Change::LoseDocument => self.lose_document().await,
            Change::Found => self.found().await,
            Change::FoundElsewhere => self.found_elsewhere(node).await,
            Change::Flush => self.flush().await,
            Change::LoseBesideSilent => self.lose_beside_silent(node).await,
            Change::FoundBesideSilent => self.found_beside_silent(node).await,
        }
    }

    /// Brings the ring to what is listed, in as many runs as that takes.
    pub(crate) async fn reconcile(&self) {
        let report = until_finished(|| self.publisher.reconcile(Instant::now() + PATIENCE)).await;
        let at = |published: &Published| (published.epoch.number(), self.origin.tally.millis(published.at));
        println!("published {:?}", report.published.iter().map(at).collect::<Vec<_>>());
    }

    /// A publisher in an environment that has just begun takes the place of the present one.
    pub(crate) fn begin_publisher_anew(&mut self) {
        self.publisher = publisher(&self.local);
    }

    /// How long after a publication, or a loss, some environments may not know of it.
    pub(crate) fn convergence_time(&self) -> Duration {
        Cluster::new(self.config()).unwrap().settle_time()
    }
}

/// Repeats a run of a publisher until there is nothing left to do.
pub(crate) async fn until_finished<F, E: std::fmt::Debug>(run: impl Fn() -> F) -> Report
where
    F: Future<Output = Result<Report, E>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        let report = run().await;
        match report {
            Ok(report) if report.unfinished.is_none() => return report,
            report => assert!(Instant::now() < end, "{report:?}"),
        }
    }
}

fn publisher(local: &LocalCluster) -> Publisher {
    let warm_up = WarmUp { least: Duration::ZERO, most: Duration::from_secs(1), ..WarmUp::default() };
    Publisher::new(Cluster::new(config(local)).unwrap(), warm_up)
}

/// The listed nodes, as the ring has them.
pub(crate) fn listed(local: &LocalCluster) -> Vec<RingNode> {
    local.nodes().iter().map(ring_node).collect()
}

pub(crate) fn ring_node(node: &NodeStatus) -> RingNode {
    RingNode { ip: Some(node.ip.to_string()), ..RingNode::new(node.name.clone(), node.port) }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn config(local: &LocalCluster) -> Config {
    let endpoint = local.config_endpoint();
    let endpoint = Endpoint::Configuration { host: endpoint.ip().to_string(), port: endpoint.port() };
    Config {
        ring_check_interval: Duration::from_millis(50),
        timeout: Duration::from_millis(300),
        early_discovery: Duration::from_millis(50),
        mark_down: Duration::from_millis(10),
        max_mark_down: Duration::from_millis(50),
        hosts_file: Some(local.hosts_file()),
        ..Config::new(endpoint)
    }
}

/// How long a publisher may take for one change.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
