//! Clients of others, unchanged, against the local cluster: `elasticache-auto-discovery` finds the nodes and
//! pymemcache's `HashClient` uses them.

use crate::support::cluster;
use larder_local::LocalCluster;
use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::process::Command;

#[tokio::test]
async fn pymemcache_finds_the_nodes_by_itself_and_reaches_every_one() {
    let cluster = cluster(2).await;
    check(&cluster).await;
    cluster.add_node().await.unwrap();
    check(&cluster).await;
    cluster.remove_node(None).await.unwrap();
    check(&cluster).await;
}

/// Runs the script, which prints the addresses it found; a key has been written to, and read from, each of them.
async fn check(cluster: &LocalCluster) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/foreign_client.py");
    let endpoint = cluster.config_endpoint().to_string();
    let output = Command::new(python()).arg(script).arg(endpoint).output().await.unwrap();
    let (found, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{faults}");
    let found: Vec<SocketAddr> = found.lines().map(|line| line.parse().unwrap()).collect();
    let listed: Vec<SocketAddr> = cluster.nodes().iter().map(|node| node.endpoint).collect();
    assert_eq!(found, listed);
}

/// The Python with the pinned packages of `tools/requirements.txt`.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python =
        env::var_os("LARDER_PYTHON").map_or_else(|| root.join(".tools/venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing: `make tools` installs it, or set LARDER_PYTHON to a Python with the packages of \
         tools/requirements.txt",
        python.display()
    );
    python
}
