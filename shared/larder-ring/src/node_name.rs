//! What each library hashes for a node.

use std::net::{IpAddr, Ipv6Addr};

use crate::error::RingError;
use crate::kind::RingKind;
use crate::node::RingNode;

/// The name of `node` in the rings of `kind`; for modulo rings, which hash none, the plain one.
///
/// # Errors
///
/// [`RingError::MissingIp`] and [`RingError::NotAnIp`] for the rings that need an address.
pub(crate) fn node_name(kind: RingKind, node: &RingNode) -> Result<String, RingError> {
    Ok(match kind {
        RingKind::LibmemcachedKetamaWeighted
        | RingKind::LibmemcachedKetama
        | RingKind::TwemproxyKetamaFnv1a64Default => default_port_left_out(&node.host, node.port),
        // connection-parse splits at the first colon: it never sees the port of an IPv6 address, and keeps it.
        RingKind::NodeMemcachedKetama if !node.host.contains(':') => {
            default_port_left_out(&node.host, node.port)
        }
        RingKind::NodeMemcachedKetama
        | RingKind::LibmemcachedDefault
        | RingKind::SpymemcachedArrayModNative
        | RingKind::DalliRing
        | RingKind::PymemcacheRendezvousHost => with_port(&node.host, node.port),
        RingKind::PymemcacheAwsExtRendezvousIp => with_port(ip_text(kind, node)?, node.port),
        RingKind::SpymemcachedKetamaLibmemcachedFormat => match node.host.parse() {
            Ok(literal) => default_port_left_out(&java_host_address(literal), node.port),
            Err(_) => default_port_left_out(&node.host, node.port),
        },
        RingKind::SpymemcachedKetamaSpymemcachedFormat => match node.host.parse() {
            Ok(literal) => java_socket_address(literal, node.port),
            Err(_) => format!("{}/{}", node.host, java_socket_address(ip(kind, node)?, node.port)),
        },
        RingKind::SpymemcachedKetamaIpOnly | RingKind::AwsJavaKetamaDynamicIpOnly => {
            java_socket_address(ip(kind, node)?, node.port)
        }
    })
}

/// libmemcached's form, which others copied. Nothing marks where an IPv6 host ends.
fn default_port_left_out(host: &str, port: u16) -> String {
    if port == DEFAULT_PORT { host.to_owned() } else { with_port(host, port) }
}

fn with_port(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// The address as said, or the host where that is one.
fn ip_text(kind: RingKind, node: &RingNode) -> Result<&str, RingError> {
    match &node.ip {
        Some(ip) if !ip.is_empty() => Ok(ip),
        _ if node.host.parse::<IpAddr>().is_ok() => Ok(&node.host),
        _ => Err(RingError::MissingIp { kind, node: node.to_string() }),
    }
}

fn ip(kind: RingKind, node: &RingNode) -> Result<IpAddr, RingError> {
    ip_text(kind, node)?.parse().map_err(|_| RingError::NotAnIp { kind, node: node.to_string() })
}

/// `InetSocketAddress.toString` of an address without host name, less its leading slash. Java 14 and later put IPv6 in
/// brackets.
fn java_socket_address(ip: IpAddr, port: u16) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{}]:{port}", java_ipv6(ip)),
    }
}

/// `InetAddress.getHostAddress`.
fn java_host_address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => java_ipv6(ip),
    }
}

/// Java writes all eight groups of an IPv6 address, zeros too.
fn java_ipv6(ip: Ipv6Addr) -> String {
    ip.segments().map(|group| format!("{group:x}")).join(":")
}

/// The port that libmemcached leaves out of names.
const DEFAULT_PORT: u16 = 11211;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_each_library_writes_them() {
        let named = "cache-1:11211@10.0.0.7";
        check(RingKind::LibmemcachedKetamaWeighted, named, "cache-1");
        check(RingKind::LibmemcachedKetama, "cache-1:11212", "cache-1:11212");
        check(RingKind::TwemproxyKetamaFnv1a64Default, named, "cache-1");
        check(RingKind::NodeMemcachedKetama, named, "cache-1");
        check(RingKind::DalliRing, named, "cache-1:11211");
        check(RingKind::PymemcacheRendezvousHost, named, "cache-1:11211");
        check(RingKind::PymemcacheAwsExtRendezvousIp, named, "10.0.0.7:11211");
        check(RingKind::SpymemcachedKetamaLibmemcachedFormat, named, "cache-1");
        check(RingKind::SpymemcachedKetamaSpymemcachedFormat, named, "cache-1/10.0.0.7:11211");
        check(RingKind::SpymemcachedKetamaSpymemcachedFormat, "10.0.0.7:11212", "10.0.0.7:11212");
        check(RingKind::SpymemcachedKetamaIpOnly, named, "10.0.0.7:11211");
        check(RingKind::AwsJavaKetamaDynamicIpOnly, "10.0.0.7:11211", "10.0.0.7:11211");
    }

    #[test]
    fn ipv6_is_written_as_each_library_writes_it() {
        let literal = "[2001:db8::1]:11211";
        check(RingKind::LibmemcachedKetamaWeighted, literal, "2001:db8::1");
        check(RingKind::LibmemcachedKetamaWeighted, "[2001:db8::1]:11212", "2001:db8::1:11212");
        check(RingKind::NodeMemcachedKetama, literal, "2001:db8::1:11211");
        check(RingKind::PymemcacheRendezvousHost, literal, "2001:db8::1:11211");
        check(RingKind::SpymemcachedKetamaLibmemcachedFormat, literal, "2001:db8:0:0:0:0:0:1");
        check(RingKind::SpymemcachedKetamaIpOnly, literal, "[2001:db8:0:0:0:0:0:1]:11211");
        check(
            RingKind::SpymemcachedKetamaSpymemcachedFormat,
            "c:11211@2001:db8::1",
            "c/[2001:db8:0:0:0:0:0:1]:11211",
        );
        check(RingKind::SpymemcachedKetamaIpOnly, "c:11211@::ffff:10.0.0.7", "10.0.0.7:11211");
    }

    #[test]
    fn a_ring_of_addresses_asks_for_them() {
        for kind in RingKind::ALL {
            let node: RingNode = "cache-1:11211".parse().unwrap();
            assert_eq!(node_name(kind, &node).is_err(), kind.needs_ip(), "{kind}");
        }
        let node = RingNode { ip: Some("cache-1.example".into()), ..RingNode::new("cache-1", 11211) };
        assert!(matches!(
            node_name(RingKind::AwsJavaKetamaDynamicIpOnly, &node),
            Err(RingError::NotAnIp { .. })
        ));
    }

    #[track_caller]
    fn check(kind: RingKind, node: &str, expected: &str) {
        assert_eq!(node_name(kind, &node.parse().unwrap()).as_deref(), Ok(expected), "{kind}");
    }
}
