//! What a client is told when it is made.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use larder_ring::{RingKind, RingNode};

use crate::ConfigError;

/// How to reach a cluster, and for how long to wait for it.
///
/// The defaults suit a function in the VPC of its cluster. Nothing is connected or resolved before the first call.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the nodes come from.
    pub endpoint: Endpoint,
    /// TLS, where the cluster has it. ElastiCache Serverless always has.
    pub tls: Option<Tls>,
    /// Which ring says who owns a key; every client of one cluster must use the same.
    pub ring: RingKind,
    /// Most a whole call may take: resolve, connect, wait for others, all nodes of a batch. A nearer deadline of
    /// [`Cluster::until`](crate::Cluster::until) goes before.
    pub timeout: Duration,
    /// Most an attempt to connect to one address may take, within `timeout`; not the TLS handshake, which needs much of the
    /// little CPU of a small function.
    pub connect_timeout: Duration,
    /// Most the name servers may take to tell the addresses of a name, within `timeout`. Where another address of the
    /// node is known, it is tried much sooner beside them.
    pub resolve_timeout: Duration,
    /// How old the topology may grow before the next call asks for it again.
    pub discovery_interval: Duration,
    /// How old the view of the ring may grow before the next request looks at the ring document in passing. The first
    /// document of a fleet records its publisher's interval: a longer one of another configuration is cut to it, and
    /// every change of the ring waits for it.
    pub ring_check_interval: Duration,
    /// How soon it may be asked for again because a node failed. Doubles while that does not help, up to
    /// `discovery_interval`.
    pub early_discovery: Duration,
    /// A connection idle for longer is looked at before use: has the node closed it?
    pub look_after_idle: Duration,
    /// A connection idle for longer is not used again; between us and the node it may have been forgotten, and
    /// then only silence would tell.
    pub max_idle: Duration,
    /// How long a failed node is left alone at first. Doubles with every failed try, up to `max_mark_down`.
    pub mark_down: Duration,
    /// How long a failed node is left alone at most.
    pub max_mark_down: Duration,
    /// The nodes' limit for an item (`max_item_size`), in bytes. A longer one is never sent.
    pub max_item_len: usize,
    /// A file of lines `address name …` that is asked before `/etc/hosts` and the name servers, and read again for every
    /// connection: for a cluster on the own machine.
    pub hosts_file: Option<PathBuf>,
    /// A file that says which name servers to ask, as `resolv.conf(5)`, read again for every connection; a server may be
    /// written `[address]:port`. `None`: `/etc/resolv.conf`. Other sources of names, such as those of
    /// `nsswitch.conf`, are not asked.
    pub resolv_conf: Option<PathBuf>,
}

impl Config {
    /// The defaults, for the cluster behind `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls: None,
            ring: RingKind::default(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            resolve_timeout: Duration::from_millis(500),
            discovery_interval: Duration::from_secs(60),
            ring_check_interval: Duration::from_secs(1),
            early_discovery: Duration::from_secs(1),
            look_after_idle: Duration::from_secs(2),
            max_idle: Duration::from_secs(60),
            mark_down: Duration::from_millis(250),
            max_mark_down: Duration::from_secs(10),
            max_item_len: 1 << 20,
            hosts_file: None,
            resolv_conf: None,
        }
    }

    /// The same with no time longer than [`MOST_TIME`], so that none is too long to be added to another.
    pub(crate) fn bounded(mut self) -> Self {
        for time in [
            &mut self.timeout,
            &mut self.connect_timeout,
            &mut self.resolve_timeout,
            &mut self.discovery_interval,
            &mut self.ring_check_interval,
            &mut self.early_discovery,
            &mut self.look_after_idle,
            &mut self.max_idle,
            &mut self.mark_down,
            &mut self.max_mark_down,
        ] {
            *time = MOST_TIME.min(*time);
        }
        self
    }
}

/// Where the nodes of a cluster come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// A configuration endpoint, which knows the nodes. ElastiCache Serverless, which knows none, is its own only node;
    /// a plain memcached is, once it has told no topology twice, so that its first use is an error. A name with a label
    /// `cfg` is always one of a cluster.
    Configuration {
        /// Its name or address, without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A list that does not change.
    Nodes(Vec<RingNode>),
}

/// A configuration endpoint, written `host:port` or `[IPv6 address]:port`.
impl FromStr for Endpoint {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let invalid = || ConfigError::Endpoint(text.chars().take(100).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(invalid)?;
        let host = match host.strip_prefix('[') {
            Some(address) => {
                let address = address.strip_suffix(']').ok_or_else(invalid)?;
                address.parse::<Ipv6Addr>().map_err(|_| invalid())?;
                address
            }
            None if host.contains([':', '[', ']']) => return Err(invalid()),
            None => host,
        };
        let is_sound = (1..=255).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic());
        if is_sound { Ok(Self::Configuration { host: host.to_owned(), port }) } else { Err(invalid()) }
    }
}

/// How TLS is done: 1.2 or 1.3, without a client certificate, each node checked against its own name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tls {
    /// A PEM file of the authorities to trust. `None`: those that the system trusts, read at the first connection.
    pub ca_file: Option<PathBuf>,
}

/// A hundred years or so: as good as for ever.
const MOST_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        check("a.cfg.use1.cache.amazonaws.com:11211", Some(("a.cfg.use1.cache.amazonaws.com", 11211)));
        check("127.0.0.1:1", Some(("127.0.0.1", 1)));
        check("[::1]:11211", Some(("::1", 11211)));
        for bad in [
            "",
            "host",
            "host:",
            ":11211",
            "host:0",
            "host:65536",
            "host:x",
            "::1:11211",
            "[::1:1",
            "[[::1]:1",
            "[host]:1",
            "ho]st:1",
            "a b:1",
            "h\n:1",
        ] {
            check(bad, None);
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, u16)>) {
        let expected = expected
            .map(|(host, port)| Endpoint::Configuration { host: host.to_owned(), port })
            .ok_or_else(|| ConfigError::Endpoint(text.to_owned()));
        assert_eq!(text.parse(), expected);
    }
}
