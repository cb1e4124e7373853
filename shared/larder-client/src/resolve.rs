//! From a node's name to its addresses, anew for every connection: a replaced node keeps its name only.
//!
//! Asked in turn: the name itself if it is an address, the hosts file of the configuration, that of the system, and name
//! servers. While these are silent, addresses that are known otherwise serve: what they said last, for as long as that
//! is good, and what discovery told, where that is no older than a discovery interval.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use larder_discovery::Node;
use tokio::time::timeout;

use crate::addresses::Addresses;
use crate::lookup::look_up;
use crate::moment::Moment;
use crate::resolv_conf::ResolvConf;
use crate::{Config, Endpoint, NodeError};

/// Where addresses come from.
#[derive(Debug)]
pub(crate) struct Resolver {
    hosts_file: Option<PathBuf>,
    resolv_conf: PathBuf,
    resolve_timeout: Duration,
    /// How long an address that was told otherwise is good, with the time of the call in which that ends.
    most_age: Duration,
    /// When discovery told its nodes last; `None` for a fixed list, whose addresses are good for ever.
    told: Option<Mutex<Option<Moment>>>,
    addresses: Mutex<Addresses>,
}

impl Resolver {
    pub(crate) fn new(config: &Config) -> Self {
        let is_told = matches!(config.endpoint, Endpoint::Configuration { .. });
        Self {
            hosts_file: config.hosts_file.clone(),
            resolv_conf: config.resolv_conf.clone().unwrap_or_else(|| SYSTEM_RESOLV_CONF.into()),
            resolve_timeout: config.resolve_timeout,
            most_age: config.discovery_interval + config.timeout,
            told: is_told.then(Mutex::default),
            addresses: Mutex::default(),
        }
    }

    /// Discovery has told its nodes at `now`, and their addresses with them.
    pub(crate) fn told(&self, now: Moment) {
        if let Some(told) = &self.told {
            *lock(told) = Some(now);
        }
    }

    /// What is remembered of addresses.
    pub(crate) fn addresses(&self) -> MutexGuard<'_, Addresses> {
        lock(&self.addresses)
    }

    /// The addresses of `node` that take no name server; `None` where it takes one.
    pub(crate) fn at_hand(&self, node: &Node) -> Result<Option<Vec<SocketAddr>>, NodeError> {
        if let Ok(ip) = node.host.parse() {
            return Ok(Some(at(node, [ip])));
        }
        if let Some(path) = &self.hosts_file {
            let found = in_file(path, node).map_err(|error| {
                let text = format!("{}: {error}", path.display());
                NodeError::Resolve(Arc::new(io::Error::new(error.kind(), text)))
            })?;
            if !found.is_empty() {
                return Ok(Some(found));
            }
        }
        // There need not be one.
        let found = in_file(Path::new(SYSTEM_HOSTS), node).unwrap_or_default();
        if !found.is_empty() {
            return Ok(Some(found));
        }
        // RFC 6761, section 6.3.
        let is_local = node.host.eq_ignore_ascii_case("localhost");
        Ok(is_local.then(|| at(node, [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])))
    }

    /// The addresses of `node` by name servers, asked for [`Config::resolve_timeout`] at most; at least one.
    pub(crate) async fn look_up(&self, node: &Node) -> Result<Vec<SocketAddr>, NodeError> {
        let failed = |error| NodeError::Resolve(Arc::new(error));
        // There need not be one.
        let conf = ResolvConf::parse(&text_of(&self.resolv_conf).unwrap_or_default());
        let silence = || Err(io::Error::new(io::ErrorKind::TimedOut, "no name server has answered"));
        let looked_up = timeout(self.resolve_timeout, look_up(&conf, &node.host)).await;
        let found = looked_up.unwrap_or_else(|_| silence()).map_err(failed)?;
        self.addresses().remember(&node.host, &found, Moment::now());
        Ok(at(node, found.addresses))
    }

    /// Other addresses of `node` that are good at `now`, for when name servers are silent: none, where there are none.
    pub(crate) fn otherwise_known(&self, node: &Node, now: Moment) -> Vec<SocketAddr> {
        if let Some(ips) = self.addresses().remembered(&node.host, now, self.most_age) {
            return at(node, ips.iter().copied());
        }
        let is_good = match &self.told {
            None => true,
            Some(told) => lock(told).is_some_and(|told| now.since(&told) <= self.most_age),
        };
        let told = node.ip.as_deref().filter(|_| is_good).and_then(|ip| ip.parse().ok());
        at(node, told)
    }
}

fn at(node: &Node, ips: impl IntoIterator<Item = IpAddr>) -> Vec<SocketAddr> {
    ips.into_iter().map(|ip| SocketAddr::new(ip, node.port)).collect()
}

fn in_file(path: &Path, node: &Node) -> io::Result<Vec<SocketAddr>> {
    let hosts = text_of(path)?;
    Ok(at(node, addresses(&hosts, &node.host)))
}

/// The text of a file. Comments may be in any encoding.
fn text_of(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

/// The addresses that lines of `hosts` (`address name …`, `#` begins a comment) give for `name`.
fn addresses<'a>(hosts: &'a str, name: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    hosts.lines().filter_map(move |line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(ip)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SYSTEM_HOSTS: &str = "/etc/hosts";
const SYSTEM_RESOLV_CONF: &str = "/etc/resolv.conf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_names_addresses_line_by_line() {
        let hosts = "# local\n127.0.0.1 a b # c\n\n::1 A\nnonsense a\n127.0.0.2 aa\n";
        assert_eq!(
            Vec::from_iter(addresses(hosts, "a")),
            ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]
        );
        assert_eq!(addresses(hosts, "c").count(), 0);
    }

    #[test]
    fn an_address_and_the_machine_itself_need_no_name_server() {
        let node = |host: &str| Node { host: host.into(), port: 7, ip: None };
        let mut config = Config::new("a:1".parse().unwrap());
        let at_hand = |config: &Config, host| Resolver::new(config).at_hand(&node(host));
        assert!(at_hand(&config, "localhost").unwrap().is_some());
        assert_eq!(at_hand(&config, "larder.invalid").unwrap(), None);
        config.hosts_file = Some("/does/not/exist".into());
        assert_eq!(at_hand(&config, "::1").unwrap(), Some(vec!["[::1]:7".parse().unwrap()]));
        assert!(matches!(at_hand(&config, "localhost"), Err(NodeError::Resolve(_))));
    }

    #[test]
    fn an_address_that_discovery_told_is_good_for_an_interval() {
        let node = Node { host: "a".into(), port: 7, ip: Some("10.0.0.9".into()) };
        let config = Config::new("a:1".parse().unwrap());
        let (resolver, now) = (Resolver::new(&config), Moment::now());
        let is_good = |secs| {
            let then = now.later(Duration::from_secs(secs), Duration::from_secs(secs));
            !resolver.otherwise_known(&node, then).is_empty()
        };
        assert!(!is_good(0), "nothing was told yet");
        resolver.told(now);
        assert!(is_good(0) && is_good(60));
        assert!(!is_good(62));
    }

    #[test]
    fn an_address_in_a_fixed_list_is_good_for_ever_and_a_name_beside_it_is_none() {
        let node = |ip: &str| Node { host: "a".into(), port: 7, ip: Some(ip.into()) };
        let resolver = Resolver::new(&Config::new(Endpoint::Nodes(Vec::new())));
        assert_eq!(resolver.otherwise_known(&node("10.0.0.9"), Moment::now()).len(), 1);
        assert!(resolver.otherwise_known(&node("a"), Moment::now()).is_empty());
    }
}
