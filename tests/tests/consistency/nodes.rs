//! Nodes that come, go, are replaced, restart and stand still.

use std::time::Duration;

use larder_local::NodeStatus;
use tokio::time::{Instant, sleep};

use crate::care::Care;
use crate::lapse::Cause;
use crate::world::{PATIENCE, World, ring_node, until_finished};

impl World {
    pub(crate) async fn add(&mut self) {
        self.local.add_node().await.unwrap();
        self.reconcile().await;
    }

    pub(crate) async fn remove(&mut self, node: &NodeStatus) {
        self.local.remove_node(node.id).await.unwrap();
        self.reconcile().await;
    }

    pub(crate) async fn retire(&mut self, node: &NodeStatus) {
        let ring_node = ring_node(node);
        until_finished(|| self.publisher.retire(&ring_node, Instant::now() + PATIENCE)).await;
        self.local.remove_node(node.id).await.unwrap();
        self.reconcile().await;
    }

    pub(crate) async fn replace(&mut self, node: &NodeStatus) {
        self.local.kill_node(node.id).await.unwrap();
        self.local.replace_node(node.id).await.unwrap();
        self.reconcile().await;
    }

    /// The old node answers whoever is connected to it, longer than any environment may go by it.
    pub(crate) async fn replace_beside(&mut self, node: &NodeStatus) {
        let lapses = &self.origin.lapses;
        lapses.begin(Cause::LivingPredecessor, Instant::now());
        self.local.replace_node_beside(node.id).await.unwrap();
        if self.care != Care::LeavesReplacementUntold {
            self.reconcile().await;
        }
        let end = Instant::now() + self.convergence_time();
        self.origin.lapses.end(Cause::LivingPredecessor, end);
        sleep(self.convergence_time() + AFTERLIFE).await;
        self.local.end_predecessors().await.unwrap();
    }

    pub(crate) async fn pause(&mut self, node: &NodeStatus) {
        self.local.pause_node(node.id).await.unwrap();
        sleep(Duration::from_millis(self.random.u64(1..900))).await;
        self.local.resume_node(node.id).await.unwrap();
        self.reconcile().await;
    }

    pub(crate) async fn restart(&mut self, node: &NodeStatus) {
        self.local.kill_node(node.id).await.unwrap();
        sleep(Duration::from_millis(self.random.u64(1..300))).await;
        self.local.reboot_node(node.id).await.unwrap();
        self.reconcile().await;
    }
}

/// How long a predecessor lives on after its lapse.
const AFTERLIFE: Duration = Duration::from_millis(800);
