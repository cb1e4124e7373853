//! The program against real nodes: every workload answers as the protocol says.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use larder_client::{Cluster, Config, Endpoint, Key, NewItem, Ttl};
use larder_local::{LocalCluster, Options};
use serde_json::Value;
use tokio::process::Command;

#[tokio::test]
async fn every_workload_on_nodes_is_done_as_often_as_asked_and_without_an_error() {
    let nodes = Nodes::start().await;
    for (workload, items_each) in [("W1", 1), ("W1L", 1), ("W2", BATCH), ("W3", 1), ("W4", 1), ("W7", 1)] {
        let answer = nodes.run(&[("WORKLOAD", workload), ("OPS", "100")]).await;
        assert_eq!(answer["ops"], 100, "{workload}: {answer}");
        assert_eq!(answer["items"], 100 * items_each, "{workload}: {answer}");
        assert_eq!(answer["errors"], 0, "{workload}: {answer}");
        assert!(answer["seconds"].as_f64().unwrap() > 0.0, "{workload}: {answer}");
        assert!(answer["allocs"].is_u64() && answer["alloc_bytes"].is_u64(), "{workload}: {answer}");
    }
}

#[tokio::test]
async fn a_window_lasts_as_long_as_asked() {
    let answer = Nodes::start().await.run(&[("WORKLOAD", "W1"), ("SECONDS", "0.1")]).await;
    assert!(answer["seconds"].as_f64().unwrap() >= 0.1, "{answer}");
    assert!(answer["p50_us"].as_f64().unwrap() <= answer["p999_us"].as_f64().unwrap(), "{answer}");
}

#[tokio::test]
async fn what_a_bulk_write_says_is_there_is_there() {
    let nodes = Nodes::start().await;
    nodes.run(&[("WORKLOAD", "W4"), ("ITEMS", "500"), ("KEY_PREFIX", "written:"), ("VALUE_SIZE", "7")]).await;
    let keys: Vec<Key> =
        (0..500).map(|index| Key::new(format!("written:{index:08}").as_bytes()).unwrap()).collect();
    for read in nodes.cluster().get_many(&keys).await {
        assert_eq!(&read.unwrap().unwrap().value[..], b"xxxxxxx");
    }
}

#[tokio::test]
async fn keys_that_are_not_there_fail_the_run_and_are_not_measured() {
    let nodes = Nodes::start().await;
    let output = nodes.command(&[("WORKLOAD", "W1"), ("KEY_PREFIX", "nowhere:")]).output().await.unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("are the keys there?"), "{text}");
}

#[tokio::test]
async fn a_ring_needs_no_node() {
    for (workload, arguments) in [("W6", &[][..]), ("W6", &["--batched"]), ("W6B", &[])] {
        let mut command = program(&[("WORKLOAD", workload), ("PEER_NODES", "nowhere:1"), ("OPS", "10")]);
        let answer = answer(command.args(arguments)).await;
        assert_eq!(answer["ops"], 10, "{workload} {arguments:?}: {answer}");
    }
}

/// Nodes that hold all keys.
struct Nodes {
    local: LocalCluster,
}

impl Nodes {
    async fn start() -> Self {
        let local = LocalCluster::start(Options { nodes: 3, ..Options::default() }).await.unwrap();
        let nodes = Self { local };
        let (cluster, value) = (nodes.cluster(), [b'x'; VALUE_LEN]);
        for index in 0..KEYS {
            let key = &Key::new(format!("{KEY_PREFIX}{index:08}").as_bytes()).unwrap();
            let item = NewItem { key, value: &value, client_flags: 0, ttl: Ttl::MAX };
            cluster.set(item).await.unwrap();
        }
        nodes
    }

    async fn run(&self, variables: &[(&str, &str)]) -> Value {
        answer(&mut self.command(variables)).await
    }

    fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = program(&[
            ("PEER_NODES", &self.list()),
            ("KEY_PREFIX", KEY_PREFIX),
            ("KEYS", &KEYS.to_string()),
            ("VALUE_SIZE", &VALUE_LEN.to_string()),
            ("BATCH", &BATCH.to_string()),
        ]);
        command.envs(variables.iter().copied());
        command
    }

    fn cluster(&self) -> Cluster {
        let nodes = self.list().split(',').map(|node| node.parse().unwrap()).collect();
        Cluster::new(Config::new(Endpoint::Nodes(nodes))).unwrap()
    }

    fn list(&self) -> String {
        let address = |node: &larder_local::NodeStatus| format!("{}:{}", node.ip, node.port);
        self.local.nodes().iter().map(address).collect::<Vec<_>>().join(",")
    }
}

fn program(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder-bench-client"));
    command.env_clear().envs(variables.iter().copied());
    command
}

/// What a run that went well has answered in its last line.
async fn answer(command: &mut Command) -> Value {
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const KEYS: usize = 40;
const KEY_PREFIX: &str = "bench:";
const VALUE_LEN: usize = 100;
const BATCH: usize = 10;
