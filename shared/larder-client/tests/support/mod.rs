//! Real nodes and scripted ones for the tests, and what they all need.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

pub(crate) mod endpoint;
pub(crate) mod memcached;
pub(crate) mod name_server;
pub(crate) mod relay;
pub(crate) mod script;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use larder_client::{Cluster, Config, Endpoint, Error, Item, Key, NewItem, NodeError, Ttl};
use larder_ring::RingNode;
use tempfile::TempDir;

pub(crate) fn key(text: &str) -> Key {
    Key::new(text.as_bytes()).unwrap()
}

pub(crate) fn keys<const N: usize>(texts: [&str; N]) -> [Key; N] {
    texts.map(key)
}

/// `value` for a minute under `key`, with client flags as values of larder have them: never 0.
pub(crate) fn item<'a>(key: &'a Key, value: &'a (impl AsRef<[u8]> + ?Sized)) -> NewItem<'a> {
    NewItem { key, value: value.as_ref(), client_flags: 1, ttl: MINUTE }
}

/// The text that was read; `None` for a miss.
#[track_caller]
pub(crate) fn text(read: Result<Option<Item>, Error>) -> Option<String> {
    read.unwrap().map(|item| item.value.escape_ascii().to_string())
}

/// What the node did, of a call that failed.
#[track_caller]
pub(crate) fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> NodeError {
    match result {
        Err(Error::Node { source, .. }) => source,
        other => panic!("a node should have failed, but: {other:?}"),
    }
}

/// Settings for a list of nodes, patient enough for a busy machine.
pub(crate) fn config(nodes: &[SocketAddr]) -> Config {
    let nodes = nodes.iter().map(|node| node.to_string().parse::<RingNode>().unwrap());
    Config { timeout: PATIENCE, ..Config::new(Endpoint::Nodes(nodes.collect())) }
}

pub(crate) fn cluster(nodes: &[SocketAddr]) -> Cluster {
    Cluster::new(config(nodes)).unwrap()
}

/// Names that resolve without the machine's hosts file.
pub(crate) struct Hosts {
    dir: TempDir,
}

impl Hosts {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = (&'a str, IpAddr)>) -> Self {
        let hosts = Self { dir: TempDir::new().unwrap() };
        hosts.change(names);
        hosts
    }

    /// Gives the names other addresses from now on.
    pub(crate) fn change<'a>(&self, names: impl IntoIterator<Item = (&'a str, IpAddr)>) {
        let lines: String = names.into_iter().map(|(name, ip)| format!("{ip} {name}\n")).collect();
        fs::write(self.path(), lines).unwrap();
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("hosts")
    }
}

/// Lets `time` pass at once for whoever asks the clock. Not while bytes are on their way: timers would run out.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// The first key that `node` owns.
pub(crate) async fn key_on(cluster: &Cluster, node: SocketAddr) -> Key {
    for number in 0..MOST_TRIED_KEYS {
        let key = key(&format!("key-{number}"));
        if *cluster.owner(&key).await.unwrap() == *node.to_string() {
            return key;
        }
    }
    panic!("{node} owns nothing");
}

pub(crate) const MINUTE: Ttl = Ttl::clamped(60);
/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const MOST_TRIED_KEYS: usize = 10_000;
