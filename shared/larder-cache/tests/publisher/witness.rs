//! Somebody who watches the documents on the nodes, and has seen whether anything was wrong with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use larder_client::Cluster;
use larder_local::LocalCluster;
use larder_ring::{Epoch, HotKey, HotPhase, Phase, RingDocument};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{client, ring_node};

/// Watches all nodes until it is asked.
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    documents: BTreeMap<Epoch, RingDocument>,
    /// The last document of each node, by its name.
    last: BTreeMap<String, RingDocument>,
    wrong: Vec<String>,
}

impl Witness {
    pub(crate) fn of(local: &Arc<LocalCluster>) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let task = tokio::spawn(watch(Arc::clone(local), client(local), Arc::clone(&seen)));
        Self { seen, task }
    }

    /// The phases that it has seen, in the order of their epochs; panics if it has seen anything wrong.
    #[track_caller]
    pub(crate) fn tells(&self) -> Vec<Phase> {
        let seen = self.seen.lock().unwrap();
        assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
        let documents: Vec<&RingDocument> = seen.documents.values().collect();
        for pair in documents.windows(2) {
            let [one, next] = pair else { unreachable!() };
            let is_gap = one.epoch.next() != next.epoch;
            let is_sound = may_follow(one.phase, next.phase) && are_neighbours(one, next);
            assert!(is_gap || is_sound, "{one:?} is followed by {next:?}");
        }
        documents.iter().map(|document| document.phase).collect()
    }
}

impl Witness {
    /// How many epochs there were since the first that it has seen.
    pub(crate) fn epochs(&self) -> u64 {
        let documents = &self.seen.lock().unwrap().documents;
        let ends = documents.keys().next().zip(documents.keys().next_back());
        ends.map_or(0, |(first, last)| last.number() - first.number() + 1)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(local: Arc<LocalCluster>, client: Cluster, seen: Arc<Mutex<Seen>>) {
    loop {
        let nodes: Vec<_> = local.nodes().iter().map(|node| client.direct(&ring_node(node))).collect();
        let held = join_all(nodes.iter().map(|node| node.document())).await;
        let held = nodes.iter().zip(held).filter_map(|(node, held)| {
            Some((node.name().to_owned(), held.ok()??.document.expect("only documents are written")))
        });
        seen.lock().unwrap().note(held.collect());
        sleep(Duration::from_millis(1)).await;
    }
}

impl Seen {
    fn note(&mut self, held: Vec<(String, RingDocument)>) {
        for (name, document) in &held {
            let known = self.documents.entry(document.epoch).or_insert_with(|| document.clone());
            if known != document {
                self.wrong.push(format!("under one epoch: {known:?} and on {name} {document:?}"));
            }
            let before = self.last.insert(name.clone(), document.clone());
            if let Some(before) = before.filter(|before| before.epoch > document.epoch) {
                self.wrong.push(format!("{name} went from {before:?} back to {document:?}"));
            }
        }
        let latest = held.iter().map(|(_, document)| document).max_by_key(|document| document.epoch);
        let Some(latest) = latest else { return };
        for (name, document) in &held {
            let is_behind = document.epoch != latest.epoch && document.epoch.next() != latest.epoch;
            if is_behind && (latest.phase != Phase::Active || latest.hot != document.hot) {
                self.wrong.push(format!("{name} is two steps behind: {document:?}, others hold {latest:?}"));
            }
        }
    }
}

/// Whether a document in the phase `next` may be published after one in the phase `one`.
fn may_follow(one: Phase, next: Phase) -> bool {
    use Phase::{Active, Joining, Leaving, Warming};
    let steps = [(Active, Joining), (Joining, Warming), (Warming, Leaving), (Leaving, Active)];
    let back = [(Warming, Joining), (Joining, Active)];
    one == next || steps.contains(&(one, next)) || back.contains(&(one, next))
}

/// Whether neither of them reads a copy that the other does not write.
fn are_neighbours(one: &RingDocument, next: &RingDocument) -> bool {
    let read = |document: &RingDocument, key| match document.hot.get(key) {
        Some(HotKey { copies, phase: HotPhase::Reading }) => *copies,
        _ => 1,
    };
    let written = |document: &RingDocument, key| document.hot.get(key).map_or(1, |hot| hot.copies);
    let mut keys = one.hot.keys().chain(next.hot.keys());
    keys.all(|key| read(one, key) <= written(next, key) && read(next, key) <= written(one, key))
}
