//! Documents that all nodes have lost, and first documents that are published over the remains of a lost one.

use std::time::Duration;

use fastrand::Rng;
use larder_client::{Cluster, Key};
use larder_local::NodeStatus;
use larder_ring::RingDocument;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::changes::MOST_NODES;
use crate::lapse::Cause;
use crate::world::{PATIENCE, World, listed};

/// How long ago the fleet's first document was published. The next first one has an epoch that is later by as many
/// seconds, of which an item keeps the low 16 bits: its tag may read as one of before, of after, or of just now.
pub(crate) fn age(random: &mut Rng) -> Duration {
    let secs = match random.u64(..4) {
        0 => random.u64(100..10_000),
        1 => WRAP / 2 + random.u64(100..WRAP / 2),
        2 => WRAP * random.u64(1..50) + WRAP / 2 + random.u64(100..WRAP / 2),
        // Founded within a minute, the new epochs run into the tags of the old ones.
        _ => WRAP * random.u64(1..50) - random.u64(..60),
    };
    Duration::from_secs(secs)
}

impl World {
    /// All nodes lose the document; nobody publishes it for a while, and then a publisher that remembers it does.
    pub(crate) async fn lose_document(&mut self) {
        self.forget_document(&self.local.nodes()).await;
        self.live_without_document().await;
        self.reconcile().await;
    }

    /// All nodes lose the document, and a publisher that has never seen it publishes a first one.
    pub(crate) async fn found(&mut self) {
        self.forget_document(&self.local.nodes()).await;
        self.live_without_document().await;
        self.begin_publisher_anew();
        self.reconcile().await;
    }

    /// The same when `node` has gone, or another one has come: those who go by the lost document have another ring.
    pub(crate) async fn found_elsewhere(&mut self, node: &NodeStatus) {
        self.origin.lapses.begin(Cause::ListWithoutDocument, Instant::now());
        if self.local.nodes().len() < MOST_NODES {
            self.local.add_node().await.unwrap();
        } else {
            self.local.remove_node(node.id).await.unwrap();
        }
        self.forget_document(&self.local.nodes()).await;
        self.begin_publisher_anew();
        self.reconcile().await;
        let end = Instant::now() + self.convergence_time();
        self.origin.lapses.end(Cause::ListWithoutDocument, end);
    }

    /// All nodes lose all that they hold.
    pub(crate) async fn flush(&mut self) {
        let begin = Instant::now();
        for node in self.local.nodes() {
            assert_eq!(ask(&node, b"flush_all\r\n").await, "OK");
        }
        self.note_loss(begin);
        self.live_without_document().await;
        self.begin_publisher_anew();
        self.reconcile().await;
    }

    /// All nodes lose the document, and `node` is silent for a while; it may be the only one that has it yet.
    pub(crate) async fn lose_beside_silent(&mut self, node: &NodeStatus) {
        self.silence_one_that_may_have_it(node).await;
        self.reconcile_beside_silent(node).await;
    }

    /// The same, and no publisher remembers the document.
    pub(crate) async fn found_beside_silent(&mut self, node: &NodeStatus) {
        self.silence_one_that_may_have_it(node).await;
        self.begin_publisher_anew();
        self.reconcile_beside_silent(node).await;
    }

    async fn silence_one_that_may_have_it(&mut self, node: &NodeStatus) {
        let mut losers = self.local.nodes();
        if self.random.bool() {
            losers.retain(|loser| loser.id != node.id);
        }
        self.forget_document(&losers).await;
        self.local.pause_node(node.id).await.unwrap();
    }

    async fn reconcile_beside_silent(&mut self, node: &NodeStatus) {
        // What it has to leave undone for the silent node, the next run does.
        let _ = self.publisher.reconcile(Instant::now() + 3 * self.convergence_time()).await;
        self.check_quiet("beside a silent node", Some(node)).await;
        self.local.resume_node(node.id).await.unwrap();
        self.reconcile().await;
    }

    /// Stores `document` on all nodes, whatever they hold.
    pub(crate) async fn place(&self, document: &RingDocument) {
        let publisher = Cluster::new(self.config()).unwrap();
        for node in listed(&self.local) {
            let node = publisher.until(Instant::now() + PATIENCE).direct(&node);
            let held = node.document().await.unwrap();
            node.store_document(document, held.map(|held| held.version).as_ref()).await.unwrap();
        }
    }

    /// As `larder ring forget` does on `nodes`.
    async fn forget_document(&self, nodes: &[NodeStatus]) {
        let key = Key::new(RingDocument::RING_KEY.as_bytes()).unwrap();
        let begin = Instant::now();
        for node in nodes {
            let forgotten = ask(node, format!("md {key}\r\n").as_bytes()).await;
            assert!(["HD", "NF"].contains(&&*forgotten), "{forgotten}");
        }
        self.note_loss(begin);
    }

    /// Without a document keys are as well cached as with one, but for a convergence time.
    async fn live_without_document(&mut self) {
        let is_long = self.random.bool();
        let most = if is_long { 4 * self.convergence_time() } else { self.convergence_time() / 2 };
        sleep(most.mul_f64(self.random.f64())).await;
        if is_long {
            self.check_quiet("without a document", None).await;
        }
    }

    /// The document was lost from `begin` to now.
    fn note_loss(&self, begin: Instant) {
        self.origin.lapses.begin(Cause::LostDocument, begin);
        self.origin.lapses.end(Cause::LostDocument, Instant::now() + self.convergence_time());
    }
}

/// The line that a node replies to `request`.
async fn ask(node: &NodeStatus, request: &[u8]) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(node.endpoint).await?;
        stream.write_all(request).await?;
        stream.write_all(b"quit\r\n").await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.map(|_| reply.trim_end().to_owned())
    };
    timeout(PATIENCE, asked).await.unwrap().unwrap()
}

/// So many epochs have a tag each.
const WRAP: u64 = 1 << 16;
