//! A local cluster, the function over it, and what its nodes hold.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use larder_cache::Publisher;
use larder_lambda::settings::Variables;
use larder_local::{Control, LocalCluster, NodeId, Options};
use larder_ring::{Phase, RingDocument};
use larder_ring_refresh::answer::Answer;
use larder_ring_refresh::settings::Settings;
use larder_ring_refresh::{App, Handled, handle};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use wire::{delete, held};

/// A local cluster in a directory of its own.
pub(crate) struct House {
    pub(crate) cluster: LocalCluster,
    dir: TempDir,
}

impl House {
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::of(Options { nodes, ..Options::default() }).await
    }

    /// A cluster as `options` have it.
    pub(crate) async fn of(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { dir: Some(dir.path().to_owned()), ..options };
        Self { cluster: LocalCluster::start(options).await.unwrap(), dir }
    }

    /// The variables of a function that is quick about this cluster, and `more`.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let endpoint = self.cluster.config_endpoint().to_string();
        let hosts = self.cluster.hosts_file().display().to_string();
        let own = [("LARDER_CONFIG_ENDPOINT", endpoint.as_str()), ("LARDER_HOSTS_FILE", &hosts)];
        owned(own.iter().chain(&QUICK).chain(more))
    }

    pub(crate) fn app(&self, more: &[(&str, &str)]) -> App {
        let settings = Settings::read(&Variables::from_iter(self.variables(more))).unwrap();
        let Settings { cluster, cluster_name, warm_up, control, .. } = settings;
        App { publisher: Publisher::new(cluster, warm_up), cluster_name, control }
    }

    /// The control socket of the cluster, served [`during`](Self::during) something.
    pub(crate) fn socket(&self) -> String {
        self.dir.path().join("control.sock").display().to_string()
    }

    /// Serves the control socket until `work` is done.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let socket = Control::open(&self.cluster).unwrap();
        tokio::select! {
            never = socket.serve(&self.cluster) => match never {},
            done = work => done,
        }
    }

    pub(crate) fn endpoints(&self) -> Vec<SocketAddr> {
        self.cluster.nodes().iter().map(|node| node.endpoint).collect()
    }

    /// The one document that all listed nodes hold.
    #[track_caller]
    pub(crate) fn document(&self) -> RingDocument {
        let held: Vec<_> = self.endpoints().into_iter().map(held).collect();
        let first = held[0].clone();
        assert!(first.is_some() && held.iter().all(|held| *held == first), "{held:#?}");
        first.unwrap()
    }

    /// Takes the document away from every node.
    pub(crate) fn forget_document(&self) {
        for node in self.endpoints() {
            delete(node, RingDocument::RING_KEY);
        }
    }

    /// The name and port of the node with this number.
    pub(crate) fn name(&self, id: u16) -> String {
        let nodes = self.cluster.nodes();
        let node = nodes.iter().find(|node| node.id == NodeId(id)).unwrap();
        format!("{}:{}", node.name, node.port)
    }
}

/// Has `event` handled by `app` within half a minute.
pub(crate) async fn handle_now(app: &App, event: &Value) -> Handled {
    handle(app, event, Instant::now() + Duration::from_secs(30)).await
}

/// The answer to a call for the ring to be brought up to date; again where the machine is too busy for it.
pub(crate) async fn reconcile(app: &App) -> Answer {
    let mut tries = 0;
    loop {
        tries += 1;
        match handle_now(app, &json!({ "reconcile": true })).await.answer {
            Err(_) if tries < 5 => {}
            answered => return answered.unwrap(),
        }
    }
}

/// The phases of the documents that were published, in their order.
pub(crate) fn phases(answer: &Answer) -> Vec<Phase> {
    answer.published.iter().map(|published| published.phase).collect()
}

pub(crate) fn owned<'a>(
    variables: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    variables.into_iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The cluster that the events are about. A change of the ring waits three times for twice the interval and the
/// timeout.
const QUICK: [(&str, &str); 4] = [
    ("LARDER_CLUSTER_NAME", "larder"),
    ("LARDER_RING_CHECK_INTERVAL_MS", "100"),
    ("LARDER_CACHE_TIMEOUT_MS", "400"),
    ("LARDER_WARM_SECS", "0"),
];
