//! `larder discover`, `get`, `set`, `delete` and `stats`, against a local cluster.

use crate::support::cluster::{cluster, reach};
use crate::support::{check_failure, run, run_well};
use larder_local::{ConfigReply, NodeId};
use serde_json::{Value, json};
use std::io::Write;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

#[tokio::test]
async fn discover_prints_the_nodes_and_their_version() {
    let cluster = cluster(2).await;
    let endpoint = cluster.config_endpoint();
    let nodes = cluster.nodes();
    let mut text = String::from("config version 1\n");
    text.extend(nodes.iter().map(|node| format!("{}\t{}\t{}\n", node.name, node.ip, node.port)));
    assert_eq!(run_well(&format!("discover {endpoint}"), b""), text);

    let printed: Value =
        serde_json::from_str(&run_well(&format!("discover {endpoint} --json"), b"")).unwrap();
    let nodes: Vec<Value> =
        nodes.iter().map(|node| json!({ "host": node.name, "ip": node.ip, "port": node.port })).collect();
    assert_eq!(printed, json!({ "version": 1, "nodes": nodes }));
}

#[tokio::test]
async fn discover_takes_a_plain_memcached_for_its_own_only_node() {
    let cluster = cluster(1).await;
    cluster.answer_config(ConfigReply::NotSupported).await.unwrap();
    let endpoint = cluster.config_endpoint();
    let printed: Value =
        serde_json::from_str(&run_well(&format!("discover {endpoint} --json"), b"")).unwrap();
    assert_eq!(printed["nodes"], json!([{ "host": "127.0.0.1", "ip": null, "port": endpoint.port() }]));
}

#[tokio::test]
async fn a_value_is_stored_read_back_byte_for_byte_and_deleted() {
    let cluster = cluster(3).await;
    let reach = reach(&cluster);
    let value = b"\x00\xff\r\nconfig get cluster\r\n";
    assert!(run(&format!("set {reach} --ttl 60 a"), value).status.success());
    let got = run(&format!("get {reach} a"), b"");
    assert!(got.status.success());
    assert_eq!(got.stdout, value);
    run_well(&format!("set {reach} a hello"), b"");
    assert_eq!(run_well(&format!("get {reach} a"), b""), "hello");
    run_well(&format!("delete {reach} a"), b"");
}

#[tokio::test]
async fn a_miss_has_an_exit_code_of_its_own() {
    let cluster = cluster(1).await;
    let reach = reach(&cluster);
    check_failure(&format!("get {reach} none"), 3, "");
    check_failure(&format!("delete {reach} none"), 3, "");
}

#[tokio::test]
async fn keys_are_spread_over_the_nodes() {
    let cluster = cluster(2).await;
    let reach = reach(&cluster);
    for i in 0..20 {
        run_well(&format!("set {reach} key-{i} x"), b"");
    }
    let stats: Value = serde_json::from_str(&run_well(&format!("stats {reach} --json"), b"")).unwrap();
    let counts: Vec<u32> = stats.as_object().unwrap().values().map(items).collect();
    assert_eq!(counts.iter().sum::<u32>(), 20);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[tokio::test]
async fn the_statistics_of_a_failed_node_are_an_error_beside_the_others() {
    let cluster = cluster(2).await;
    cluster.kill_node(NodeId(2)).await.unwrap();
    let output = run(&format!("stats {} --json", reach(&cluster)), b"");
    assert_eq!(output.status.code(), Some(1));
    let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |node: usize| &stats[format!("{}:{}", cluster.nodes()[node].name, cluster.nodes()[node].port)];
    assert!(of(0)["pid"].is_string() && of(1)["error"].is_string(), "{stats}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let cluster = cluster(1).await;
    let endpoint = cluster.config_endpoint();
    check_failure("discover localhost", 2, "host:port");
    check_failure(&format!("set --config-endpoint {endpoint} --ttl 1 a b"), 2, "2592000");
    check_failure(&format!("get --config-endpoint {endpoint} {}", "k".repeat(251)), 2, "250");
    drop(cluster);
    check_failure(&format!("discover {endpoint}"), 1, "could not connect");
}

fn items(stats: &Value) -> u32 {
    stats["curr_items"].as_str().unwrap().parse().unwrap()
}

/// Silent name servers are named in a mount namespace of the test's own, which takes the rights of root.
#[test]
fn a_silent_name_server_costs_no_more_than_the_timeout() {
    let address = "127.0.0.83";
    let Ok(_silent) = UdpSocket::bind((address, 53)) else {
        return eprintln!("skipped: port 53 of {address} cannot be taken");
    };
    let mut conf = NamedTempFile::new().unwrap();
    writeln!(conf, "nameserver {address}").unwrap();
    let program = env!("CARGO_BIN_EXE_larder");
    let of_its_own = |command: &str| {
        let script = format!("mount --bind {} /etc/resolv.conf && {command}", conf.path().display());
        Command::new("unshare").args(["-m", "sh", "-c", &script]).output()
    };
    if !of_its_own("true").is_ok_and(|made| made.status.success()) {
        return eprintln!("skipped: no mount namespace can be made");
    }
    for command in ["get {} k", "set {} k v", "discover cache.larder.test:11211 --timeout-ms 1000"] {
        let reach = "--config-endpoint cache.larder.test:11211 --timeout-ms 1000";
        let began = Instant::now();
        let output = of_its_own(&format!("exec {program} {}", command.replace("{}", reach))).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("no name server has answered"), "{command}: {stderr}");
        assert!(began.elapsed() < Duration::from_secs(4), "{command} took {:?}", began.elapsed());
    }
}
