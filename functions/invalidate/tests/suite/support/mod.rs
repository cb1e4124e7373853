//! Real memcached nodes, and events as SQS makes them.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use larder_cache::{Forget, Invalidation};
use larder_client::{Cluster, Config, Key, NewItem, Ttl};
use larder_invalidate::{Handled, handle};
use larder_local::{LocalCluster, NodeStatus, Options};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::Instant;

/// A local cluster.
pub(crate) struct House {
    pub(crate) nodes: LocalCluster,
}

impl House {
    pub(crate) async fn start(nodes: usize) -> Self {
        Self { nodes: LocalCluster::start(Options { nodes, ..Options::default() }).await.unwrap() }
    }

    /// The cluster as an environment sees it that starts now, and waits for as long as a busy machine may need.
    pub(crate) fn patient(&self) -> Cluster {
        self.environment(self.nodes.hosts_file())
    }

    /// Where nobody listens behind the name of `node`.
    pub(crate) fn cut_off_from(&self, node: &NodeStatus) -> CutOff<'_> {
        let mut hosts_file = NamedTempFile::new().unwrap();
        let hosts = fs::read_to_string(self.nodes.hosts_file()).unwrap();
        let hosts = hosts.lines().map(|line| match line.ends_with(&node.name) {
            true => format!("127.255.255.254 {}\n", node.name),
            false => format!("{line}\n"),
        });
        hosts_file.write_all(hosts.collect::<String>().as_bytes()).unwrap();
        CutOff { house: self, hosts_file }
    }

    fn environment(&self, hosts_file: PathBuf) -> Cluster {
        let endpoint = self.nodes.config_endpoint().to_string().parse().unwrap();
        let (hosts_file, timeout) = (Some(hosts_file), Duration::from_secs(20));
        let config = Config { hosts_file, timeout, connect_timeout: timeout, ..Config::new(endpoint) };
        Cluster::new(config).unwrap()
    }

    /// The variables of a function over these nodes.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let hosts_file = self.nodes.hosts_file().display().to_string();
        let endpoint = self.nodes.config_endpoint().to_string();
        let own = [
            ("LARDER_CONFIG_ENDPOINT", endpoint),
            ("LARDER_HOSTS_FILE", hosts_file),
            ("LARDER_CACHE_TIMEOUT_MS", "5000".to_owned()),
        ];
        own.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The node that owns `key`.
    pub(crate) async fn owner(&self, key: &Key) -> NodeStatus {
        let owner = self.patient().owner(key).await.unwrap();
        let is_it = |node: &NodeStatus| *owner == *format!("{}:{}", node.name, node.port);
        self.nodes.nodes().into_iter().find(is_it).unwrap()
    }

    /// Those of `keys` that `node` owns.
    pub(crate) async fn owned(&self, keys: &[Key], node: &NodeStatus) -> Vec<Key> {
        let mut owned = Vec::new();
        for key in keys {
            if self.owner(key).await.id == node.id {
                owned.push(key.clone());
            }
        }
        owned
    }

    pub(crate) async fn store(&self, keys: &[Key]) {
        let client = self.patient();
        for key in keys {
            client
                .set(NewItem { key, value: b"old", client_flags: 1, ttl: Ttl::clamped(600) })
                .await
                .unwrap();
        }
    }

    /// Which of `keys` anybody could still get.
    pub(crate) async fn held(&self, keys: &[Key]) -> Vec<bool> {
        let client = self.patient();
        let mut held = Vec::new();
        for key in keys {
            held.push(client.get(key).await.unwrap().is_some());
        }
        held
    }

    /// What the owner of `key` says of it, by `mg` with `flags`.
    pub(crate) async fn ask(&self, key: &Key, flags: &str) -> String {
        let mut stream = TcpStream::connect(self.owner(key).await.endpoint).unwrap();
        stream.write_all(format!("mg {key} {flags}\r\nquit\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }
}

/// What some environments see of a house.
pub(crate) struct CutOff<'a> {
    house: &'a House,
    hosts_file: NamedTempFile,
}

impl CutOff<'_> {
    /// The cluster as one of them sees it that starts now.
    pub(crate) fn cluster(&self) -> Cluster {
        self.house.environment(self.hosts_file.path().to_owned())
    }
}

/// Has `event` handled in an environment that starts now, patiently.
pub(crate) async fn handle_now(house: &House, event: &Value) -> Handled {
    handle(&house.patient(), event, SystemTime::now(), Instant::now() + Duration::from_secs(60)).await
}

/// What SQS hands over of messages with these bodies, the ids of which are their places.
pub(crate) fn batch<B: AsRef<str>>(bodies: impl IntoIterator<Item = B>) -> Value {
    let records = bodies.into_iter().enumerate().map(|(at, body)| {
        json!({
            "messageId": at.to_string(),
            "receiptHandle": "AQEB",
            "body": body.as_ref(),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1769860920500",
                "SenderId": "AROAEXAMPLE:larder-Read-1",
                "ApproximateFirstReceiveTimestamp": "1769860920512",
            },
            "messageAttributes": {},
            "md5OfBody": "d41d8cd98f00b204e9800998ecf8427e",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:larder-Invalidations-1A2B",
            "awsRegion": "eu-west-1",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// The answer to a batch of which these messages are not done.
pub(crate) fn failed(ids: &[&str]) -> Value {
    let failures: Vec<_> = ids.iter().map(|id| json!({ "itemIdentifier": id })).collect();
    json!({ "batchItemFailures": failures })
}

pub(crate) fn answer(handled: Handled) -> Value {
    serde_json::to_value(handled.answer.unwrap()).unwrap()
}

pub(crate) fn hard(keys: &[Key]) -> Invalidation {
    Invalidation { keys: keys.to_vec(), how: Forget::Hard }
}

pub(crate) fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|at| key(format!("flights:{at}").as_bytes())).collect()
}

pub(crate) fn key(bytes: &[u8]) -> Key {
    Key::new(bytes).unwrap()
}
