//! The nodes: they come, go, are replaced, restart and stand still, and the ring is published as ring-refresh does.

use std::time::Duration;

use fastrand::Rng;
use larder_cache::{Publisher, WarmUp};
use larder_client::{Cluster, Config, Endpoint};
use larder_local::{LocalCluster, NodeId, NodeStatus, Options};
use larder_ring::RingNode;
use tokio::time::{Instant, sleep};

pub(crate) struct World {
    local: LocalCluster,
    publisher: Publisher,
    random: Rng,
}

impl World {
    /// Three nodes, and their ring published.
    pub(crate) async fn begin(seed: u64) -> Self {
        let local = LocalCluster::start(Options { nodes: 3, ..Options::default() }).await.unwrap();
        let warm_up = WarmUp { least: Duration::ZERO, most: Duration::from_secs(1), ..WarmUp::default() };
        let publisher = Publisher::new(Cluster::new(config(&local)).unwrap(), warm_up);
        let world = Self { local, publisher, random: Rng::with_seed(seed) };
        world.reconcile().await;
        world
    }

    /// What an environment is told of them.
    pub(crate) fn config(&self) -> Config {
        config(&self.local)
    }

    /// Lets one thing happen after the other until `is_over`; answers how many did.
    pub(crate) async fn change_until(mut self, mut is_over: impl AsyncFnMut() -> bool) -> usize {
        let mut changes = 0;
        while !is_over().await {
            self.change().await;
            changes += 1;
            sleep(Duration::from_millis(self.random.u64(50..400))).await;
        }
        changes
    }

    async fn change(&mut self) {
        let nodes = self.local.nodes();
        let node = &nodes[self.random.usize(..nodes.len())];
        match self.random.u32(..7) {
            0 | 1 if nodes.len() < MOST_NODES => drop(self.local.add_node().await.unwrap()),
            0 if nodes.len() > 2 => drop(self.local.remove_node(node.id).await.unwrap()),
            1 | 2 if nodes.len() > 2 => self.retire(node).await,
            3 => {
                // A node that is replaced on ElastiCache is dead.
                self.local.kill_node(node.id).await.unwrap();
                self.local.replace_node(node.id).await.unwrap();
            }
            4 => {
                self.local.pause_node(node.id).await.unwrap();
                sleep(Duration::from_millis(self.random.u64(1..900))).await;
                self.local.resume_node(node.id).await.unwrap();
            }
            _ => self.restart(node.id).await,
        }
        self.reconcile().await;
    }

    async fn restart(&mut self, id: NodeId) {
        self.local.kill_node(id).await.unwrap();
        sleep(Duration::from_millis(self.random.u64(1..300))).await;
        self.local.reboot_node(id).await.unwrap();
    }

    async fn retire(&self, node: &NodeStatus) {
        let ring_node =
            RingNode { ip: Some(node.ip.to_string()), ..RingNode::new(node.name.clone(), node.port) };
        let end = Instant::now() + PATIENCE;
        loop {
            let run = self.publisher.retire(&ring_node, Instant::now() + PATIENCE).await;
            if run.as_ref().is_ok_and(|report| report.unfinished.is_none()) {
                break;
            }
            assert!(Instant::now() < end, "{run:?}");
        }
        self.local.remove_node(node.id).await.unwrap();
    }

    async fn reconcile(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let run = self.publisher.reconcile(Instant::now() + PATIENCE).await;
            if run.as_ref().is_ok_and(|report| report.unfinished.is_none()) {
                break;
            }
            assert!(Instant::now() < end, "{run:?}");
        }
    }
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

const MOST_NODES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
