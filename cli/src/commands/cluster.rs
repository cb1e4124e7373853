//! How the commands reach a cluster.

use anyhow::Error;
use clap::Args;
use larder_client::{Cluster, Config, DiscoveryError, Endpoint, Key, Tls};
use larder_ring::RingKind;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// The cluster that a command is for, found by its configuration endpoint.
#[derive(Args, Debug)]
pub(crate) struct ClusterArgs {
    /// The configuration endpoint. A single memcached, or ElastiCache Serverless, is its own only node.
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
    config_endpoint: Endpoint,
    #[command(flatten)]
    reach: ReachArgs,
    /// Which ring says who owns a key: see `larder ring list`. Must be that of the other clients of the cluster.
    #[arg(long, value_name = "NAME", default_value_t)]
    ring: RingKind,
}

/// What a connection takes.
#[derive(Args, Debug)]
pub(crate) struct ReachArgs {
    /// A file of lines "address name" that is asked before /etc/hosts and the name servers of /etc/resolv.conf: for a
    /// local cluster.
    #[arg(long, value_name = "FILE")]
    hosts_file: Option<PathBuf>,
    /// Speak TLS, checked against the authorities that the system trusts.
    #[arg(long)]
    tls: bool,
    /// Speak TLS, checked against the authorities in this PEM file.
    #[arg(long, value_name = "FILE")]
    tls_ca_file: Option<PathBuf>,
    /// How long to wait for the whole answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    timeout_ms: u64,
}

impl ClusterArgs {
    /// The cluster, whose nodes are known.
    pub(crate) fn cluster(&self) -> anyhow::Result<Cluster> {
        discovered(Cluster::new(self.config())?)
    }

    /// What the cluster is made from, for commands that know more of it.
    pub(crate) fn config(&self) -> Config {
        self.reach.config(self.config_endpoint.clone(), self.ring)
    }
}

impl ReachArgs {
    pub(crate) fn cluster(&self, endpoint: Endpoint, ring: RingKind) -> anyhow::Result<Cluster> {
        discovered(Cluster::new(self.config(endpoint, ring))?)
    }

    fn config(&self, endpoint: Endpoint, ring: RingKind) -> Config {
        let tls = (self.tls || self.tls_ca_file.is_some()).then(|| Tls { ca_file: self.tls_ca_file.clone() });
        let timeout = Duration::from_millis(self.timeout_ms);
        let hosts_file = self.hosts_file.clone();
        // What is left is for connecting and asking.
        let resolve_timeout = timeout / 2;
        Config { tls, ring, timeout, resolve_timeout, hosts_file, ..Config::new(endpoint) }
    }
}

/// Asks for the nodes of `cluster`, once more where the endpoint tells none for the first time: a command has no other
/// use of it by which a plain memcached could say so again.
fn discovered(cluster: Cluster) -> anyhow::Result<Cluster> {
    block_on(async {
        match cluster.discover().await {
            Err(larder_client::Error::Discovery { source: DiscoveryError::Unconfirmed, .. }) => {
                cluster.discover().await?;
            }
            discovered => drop(discovered?),
        }
        Ok(cluster)
    })
}

/// Runs one call to a cluster; a thread that is at work yet for what the call has left is not waited for.
pub(crate) fn block_on<T>(call: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(call);
    runtime.shutdown_background();
    result
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: larder_client::Error) -> String {
    format!("{:#}", Error::new(error))
}

/// An endpoint, for the parser of arguments.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, larder_client::ConfigError> {
    text.parse()
}

/// A key, for the parser of arguments.
pub(crate) fn key(text: &str) -> Result<Key, larder_client::InvalidKey> {
    Key::new(text.as_bytes())
}
