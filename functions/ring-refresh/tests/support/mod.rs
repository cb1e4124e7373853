//! A local cluster, the function over it, and what its nodes hold.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use larder_cache::Publisher;
use larder_lambda::settings::Variables;
use larder_local::{Control, LocalCluster, NodeId, Options};
use larder_ring::{Phase, RingDocument, RingNode};
use larder_ring_refresh::answer::Answer;
use larder_ring_refresh::settings::Settings;
use larder_ring_refresh::{App, Handled, handle};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

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
            exchange(node, b"md larder~ring\r\n");
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

/// The answer to a call for the ring to be brought up to date.
pub(crate) async fn reconcile(app: &App) -> Answer {
    handle_now(app, &json!({ "reconcile": true })).await.answer.unwrap()
}

/// The phases of the documents that were published, in their order.
pub(crate) fn phases(answer: &Answer) -> Vec<Phase> {
    answer.published.iter().map(|published| published.phase).collect()
}

/// The numbers of `nodes`: `[1, 2]`.
pub(crate) fn numbers(nodes: &[RingNode]) -> Vec<u16> {
    nodes.iter().map(|node| node.host.parse::<NodeId>().unwrap().0).collect()
}

/// The ring document that the node at `address` holds, if it holds one; its client flags have to be those of its epoch.
pub(crate) fn held(address: SocketAddr) -> Option<RingDocument> {
    let (flags, json) = get(address, "larder~ring")?;
    let document = RingDocument::parse(&json).unwrap();
    assert_eq!(flags, document.epoch.client_flags());
    Some(document)
}

/// Client flags and value of an item on the node at `address`, asked for without anything of ours.
pub(crate) fn get(address: SocketAddr, key: &str) -> Option<(u32, Vec<u8>)> {
    let (line, value) = exchange(address, format!("mg {key} f v\r\n").as_bytes());
    if line == "EN" {
        return None;
    }
    let flags = line.split(' ').find_map(|word| word.strip_prefix('f')).unwrap();
    Some((flags.parse().unwrap(), value))
}

/// Stores a value on the node at `address`.
pub(crate) fn set(address: SocketAddr, key: &str, flags: u32, value: &[u8]) {
    let head = format!("ms {key} {} T60 F{flags}\r\n", value.len());
    assert_eq!(exchange(address, &[head.as_bytes(), value, b"\r\n"].concat()).0, "HD");
}

/// The first line of the reply to `request`, and the value behind it.
fn exchange(address: SocketAddr, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let len = line.strip_prefix("VA ").and_then(|rest| rest.split([' ', '\r']).next());
    let mut value = vec![0; len.map_or(0, |len| len.parse().unwrap())];
    reader.read_exact(&mut value).unwrap();
    (line.trim_end().to_owned(), value)
}

pub(crate) fn owned<'a>(
    variables: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    variables.into_iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The cluster that the events are about. A change of the ring waits three times for twice the interval and the timeout.
const QUICK: [(&str, &str); 4] = [
    ("LARDER_CLUSTER_NAME", "larder"),
    ("LARDER_RING_CHECK_INTERVAL_MS", "100"),
    ("LARDER_CACHE_TIMEOUT_MS", "400"),
    ("LARDER_WARM_SECS", "0"),
];
