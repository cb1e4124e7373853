//! From a node's name to its addresses, anew for every connection: a replaced node keeps its name only.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use larder_discovery::Node;
use tokio::net::lookup_host;

use crate::NodeError;

/// The addresses of `node`, at least one, in the order to try them.
///
/// Asked in turn: the name itself if it is an address, `hosts_file`, the system's resolver, and the address that
/// discovery told.
pub(crate) async fn resolve(node: &Node, hosts_file: Option<&Path>) -> Result<Vec<SocketAddr>, NodeError> {
    let at = |ip| SocketAddr::new(ip, node.port);
    if let Ok(ip) = node.host.parse() {
        return Ok(vec![at(ip)]);
    }
    if let Some(path) = hosts_file {
        let hosts = std::fs::read_to_string(path).map_err(|error| {
            let text = format!("{}: {error}", path.display());
            NodeError::Resolve(Arc::new(io::Error::new(error.kind(), text)))
        })?;
        let found: Vec<_> = addresses(&hosts, &node.host).map(at).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let failure = match lookup_host((node.host.as_str(), node.port)).await.map(Vec::from_iter) {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        Err(error) => error,
    };
    match node.ip.as_deref().map(str::parse) {
        Some(Ok(ip)) => Ok(vec![at(ip)]),
        _ => Err(NodeError::Resolve(Arc::new(failure))),
    }
}

/// The addresses that lines of `hosts` (`address name …`, `#` begins a comment) give for `name`.
fn addresses<'a>(hosts: &'a str, name: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    hosts.lines().filter_map(move |line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(ip)
    })
}

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

    #[tokio::test]
    async fn a_name_that_does_not_resolve_falls_back_to_the_address_that_discovery_told() {
        let mut node = Node { host: "larder.invalid".into(), port: 7, ip: Some("127.0.0.9".into()) };
        assert_eq!(resolve(&node, None).await.unwrap(), ["127.0.0.9:7".parse().unwrap()]);
        node.ip = None;
        assert!(matches!(resolve(&node, None).await, Err(NodeError::Resolve(_))));
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let node = Node { host: "::1".into(), port: 7, ip: None };
        assert_eq!(
            resolve(&node, Some(Path::new("/does/not/exist"))).await.unwrap(),
            ["[::1]:7".parse().unwrap()]
        );
    }
}
