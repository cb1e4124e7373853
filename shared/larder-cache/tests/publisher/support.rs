//! A local cluster, an environment that uses it, and the publisher.

use std::time::Duration;

use larder_cache::{Publisher, Report, WarmUp};
use larder_client::{Cluster, Config, Endpoint, Key};
use larder_local::{LocalCluster, Options};
use larder_ring::RingDocument;
use tokio::time::Instant;

/// A cluster of `nodes` nodes.
pub(crate) async fn start(nodes: usize) -> LocalCluster {
    LocalCluster::start(Options { nodes, port: 0, ..Options::default() }).await.unwrap()
}

/// An environment's client: looks at the ring document ten times a second, and at the topology when it must.
pub(crate) fn client(local: &LocalCluster) -> Cluster {
    let endpoint = local.config_endpoint();
    let endpoint = Endpoint::Configuration { host: endpoint.ip().to_string(), port: endpoint.port() };
    let config = Config {
        ring_check_interval: Duration::from_millis(100),
        timeout: Duration::from_millis(500),
        hosts_file: Some(local.hosts_file()),
        ..Config::new(endpoint)
    };
    Cluster::new(config).unwrap()
}

/// A publisher that warms for a moment.
pub(crate) fn publisher(local: &LocalCluster) -> Publisher {
    let warm_up = WarmUp { least: Duration::ZERO, most: Duration::from_secs(5), ..WarmUp::default() };
    Publisher::new(client(local), warm_up)
}

pub(crate) async fn reconcile(publisher: &Publisher) -> Report {
    publisher.reconcile(soon()).await.unwrap()
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text.as_bytes()).unwrap()
}

/// The numbers of the nodes of the present ring and of the next one: `123`, or `123>1234`.
pub(crate) fn shown(document: &RingDocument) -> String {
    let numbers = |list: &[larder_ring::RingNode]| {
        let number = |host: &str| host.split('.').nth(2).and_then(|id| id.parse::<u32>().ok());
        list.iter().filter_map(|node| number(&node.host)).map(|id| id.to_string()).collect::<String>()
    };
    match document.next.is_empty() {
        true => numbers(&document.nodes),
        false => format!("{}>{}", numbers(&document.nodes), numbers(&document.next)),
    }
}
