//! The whole house under load: environments that read and invalidate while nodes come, go, are replaced and fail.
//!
//! Every key has a version at the origin. Whoever writes raises it there, then removes the key from the cache; the
//! write has ended when that has succeeded. Then no read that begins later may answer an older version, in whichever
//! environment and whatever the ring is doing; so no environment goes back behind a version that it has read, either,
//! once the write of that version has ended.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use larder_cache::{Cache, OriginGuard, Policy, Publisher, WarmUp};
use larder_client::{Cluster, Config, Key, Ttl};
use larder_local::{LocalCluster, NodeId};
use larder_ring::RingDocument;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_a_write_that_had_ended_while_nodes_come_go_and_fail() {
    let local = start(4).await;
    let publisher = Publisher::new(Cluster::new(fleet_config(&local)).unwrap(), house_warm_up());
    reconcile(&publisher).await;
    let origin = Arc::new(Origin::new());
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let clusters: Vec<Cluster> =
        (0..ENVIRONMENTS).map(|_| Cluster::new(fleet_config(&local)).unwrap()).collect();
    for (nth, cluster) in clusters.iter().enumerate() {
        let cache = Arc::new(Cache::new(cluster.clone(), OriginGuard::new(100)));
        for task in 0..TASKS {
            let environment = Environment {
                name: nth,
                cluster: cluster.clone(),
                cache: Arc::clone(&cache),
                origin: Arc::clone(&origin),
                random: Rng::with_seed(SEED + (nth * TASKS + task) as u64),
            };
            tasks.spawn(environment.work(stopped.clone()));
        }
    }

    let document = everything_changes(&local, &publisher).await;
    until("enough has been done", || async { origin.operations.load(SeqCst) >= OPERATIONS }).await;
    until("all environments follow", || async {
        let mut documents = Vec::new();
        for cluster in &clusters {
            documents.push(cluster.ring_document().await.unwrap());
        }
        documents.iter().all(|found| found.as_ref() == Some(&document))
    })
    .await;
    stop.send(true).unwrap();
    let wrong = tasks.join_all().await.concat();
    let (operations, hits) = (origin.operations.load(SeqCst), origin.hits.load(SeqCst));
    assert!(
        wrong.is_empty(),
        "{} of {operations} are wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(9)]
    );
    assert!(hits > operations / 2, "it is a cache, and not only an origin: {hits} hits of {operations}");
    all_hold(&document, &held(&local).await);
}

/// Has nodes come, go, be replaced and fail, in an order of chance; answers the document in the end.
async fn everything_changes(local: &LocalCluster, publisher: &Publisher) -> RingDocument {
    let mut random = Rng::with_seed(SEED);
    let mut changes = [
        &[Change::Add, Change::RemoveNewest][..],
        &[Change::Retire],
        &[Change::Replace],
        &[Change::Reboot],
        &[Change::Heat, Change::Heat, Change::Cool],
        &[Change::Heat],
    ];
    random.shuffle(&mut changes);
    let mut document = None;
    for change in changes.concat().into_iter().chain([Change::AddWhileAnotherFails]) {
        let ids: Vec<NodeId> = local.nodes().iter().map(|node| node.id).collect();
        let id = ids[random.usize(..ids.len())];
        match change {
            Change::Add => drop(local.add_node().await.unwrap()),
            // What it owned returns to nodes that have kept what they had before.
            Change::RemoveNewest => drop(local.remove_node(None).await.unwrap()),
            Change::Replace => {
                // A node that is replaced on ElastiCache is dead.
                local.kill_node(id).await.unwrap();
                local.replace_node(id).await.unwrap();
            }
            Change::Reboot => {
                local.kill_node(id).await.unwrap();
                sleep(Duration::from_millis(100)).await;
                local.reboot_node(id).await.unwrap();
            }
            Change::Retire => {
                let node = local.nodes().into_iter().find(|node| node.id == id).unwrap();
                until("the node is retired", || async {
                    let run = publisher.retire(&ring_node(&node), soon()).await;
                    run.is_ok_and(|report| report.unfinished.is_none())
                })
                .await;
                local.remove_node(id).await.unwrap();
            }
            Change::Heat | Change::Cool => {
                let key = key(&format!("flights:{}", random.usize(..HOTTEST_KEYS)));
                let copies = matches!(change, Change::Heat).then(|| random.u32(2..=6));
                until("the key has its copies", || async {
                    let run = publisher.copies(&key, copies, soon()).await;
                    run.is_ok_and(|report| report.unfinished.is_none())
                })
                .await;
            }
            Change::AddWhileAnotherFails => {
                local.add_node().await.unwrap();
                let run = reconcile(publisher);
                let failure = async {
                    sleep(Duration::from_millis(random.u64(500..2500))).await;
                    local.kill_node(id).await.unwrap();
                    sleep(Duration::from_millis(100)).await;
                    local.reboot_node(id).await.unwrap();
                };
                tokio::join!(run, failure);
            }
        }
        let deadline = soon();
        document = loop {
            let report = reconcile(publisher).await;
            if report.unfinished.is_none() {
                break report.document;
            }
            assert!(Instant::now() < deadline, "{report:?}");
        };
        sleep(Duration::from_millis(100)).await;
    }
    document.unwrap()
}

#[derive(Clone, Copy)]
enum Change {
    Add,
    RemoveNewest,
    Replace,
    Reboot,
    Retire,
    /// A key comes to copies, or to another number of them.
    Heat,
    /// It is kept by one node again.
    Cool,
    AddWhileAnotherFails,
}

/// The truth, and what is known of it.
struct Origin {
    keys: Vec<Key>,
    versions: Vec<AtomicU64>,
    /// The highest version of each key whose write has ended.
    ended: Vec<AtomicU64>,
    operations: AtomicUsize,
    hits: AtomicUsize,
}

impl Origin {
    fn new() -> Self {
        let numbers = || (0..KEYS).map(|_| AtomicU64::new(1)).collect();
        let keys = (0..KEYS).map(|number| key(&format!("flights:{number}"))).collect();
        Self {
            keys,
            versions: numbers(),
            ended: numbers(),
            operations: AtomicUsize::default(),
            hits: AtomicUsize::default(),
        }
    }

    fn value(&self, key: usize) -> Option<Bytes> {
        Some(self.versions[key].load(SeqCst).to_string().into())
    }
}

/// One task of an environment.
struct Environment {
    name: usize,
    cluster: Cluster,
    cache: Arc<Cache>,
    origin: Arc<Origin>,
    random: Rng,
}

impl Environment {
    /// Reads and writes until it is stopped; answers what was wrong.
    async fn work(mut self, stopped: watch::Receiver<bool>) -> Vec<String> {
        let mut wrong = Vec::new();
        while !*stopped.borrow() {
            match self.random.u32(..100) {
                0..25 => {
                    let key = self.any_key();
                    self.write(key, &stopped).await;
                }
                25..32 => {
                    let keys = (0..10).map(|_| self.any_key()).collect();
                    self.read(keys, &mut wrong).await;
                }
                _ => {
                    let key = self.any_key();
                    self.read(vec![key], &mut wrong).await;
                }
            }
            self.origin.operations.fetch_add(1, SeqCst);
            // Other tests want to run, too.
            if self.random.bool() {
                sleep(Duration::from_millis(1)).await;
            }
        }
        wrong
    }

    /// A key; some more often than others.
    fn any_key(&mut self) -> usize {
        let most = match self.random.u32(..8) {
            0..2 => KEYS,
            2..4 => HOTTEST_KEYS,
            _ => HOT_KEYS,
        };
        self.random.usize(..most)
    }

    async fn write(&self, key: usize, stopped: &watch::Receiver<bool>) {
        let version = self.origin.versions[key].fetch_add(1, SeqCst) + 1;
        // Until it has succeeded it has not ended.
        while self.cache.forget(&self.origin.keys[key], &POLICY, soon()).await.is_err() {
            if *stopped.borrow() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.origin.ended[key].fetch_max(version, SeqCst);
    }

    async fn read(&mut self, numbers: Vec<usize>, wrong: &mut Vec<String>) {
        let origin = Arc::clone(&self.origin);
        let keys: Vec<Key> = numbers.iter().map(|number| origin.keys[*number].clone()).collect();
        let least: Vec<u64> = numbers.iter().map(|number| origin.ended[*number].load(SeqCst)).collect();
        let pause = Duration::from_millis(if self.random.u32(..8) == 0 { self.random.u64(1..10) } else { 0 });
        let load = |missing: Vec<usize>| {
            let (origin, numbers) = (&origin, &numbers);
            async move {
                let values = missing.iter().map(|index| origin.value(numbers[*index])).collect();
                // What was loaded may be old by the time it is stored.
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                Ok::<_, ()>(values)
            }
        };
        let batch = self.cache.get_or_load_many(&keys, &POLICY, in_millis(2000), load).await;
        for ((key, least), answer) in keys.iter().zip(least).zip(batch.answers) {
            let answer = answer.unwrap();
            let version: u64 = str::from_utf8(&answer.value.unwrap()).unwrap().parse().unwrap();
            if version < least {
                let (name, node) = (self.name, answer.node);
                let ring = self.cluster.ring_document().await.unwrap();
                let ring = ring.map(|ring| (ring.epoch, ring.phase, shown(&ring)));
                wrong.push(format!(
                    "{name} has read {version} of {key}, and not {least}, from {node:?} by {ring:?}"
                ));
            }
        }
        origin.hits.fetch_add(batch.counts.hits as usize, SeqCst);
    }
}

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    lease_for: Ttl::clamped(2),
    wait_for: Duration::from_millis(20),
    jitter: 0.0,
    ..Policy::fresh_for(Ttl::clamped(600))
});

fn house_warm_up() -> WarmUp {
    WarmUp { least: Duration::from_millis(500), ..warm_up() }
}

/// Checks the ring ten times a second, and leaves a failed node alone for a moment only.
fn fleet_config(local: &LocalCluster) -> Config {
    Config {
        ring_check_interval: Duration::from_millis(100),
        early_discovery: Duration::from_millis(100),
        mark_down: Duration::from_millis(20),
        max_mark_down: Duration::from_millis(100),
        ..config(local)
    }
}

const SEED: u64 = 17;
const ENVIRONMENTS: usize = 4;
const TASKS: usize = 2;
const KEYS: usize = 200;
const HOT_KEYS: usize = 40;
/// Those that may have copies.
const HOTTEST_KEYS: usize = 3;
const OPERATIONS: usize = 20_000;
