//! One cache node, as the configuration names it.

use std::fmt;

use crate::malformed::MalformedNode;

/// A cache node: the name it is known by, its port and the address it had when the list was written.
///
/// A node *is* its [`id`](Node::id), host and port. The ip is news about the node, never its identity: a
/// replaced node keeps its name under another address, so the name is resolved again at every connect.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Node {
    /// DNS name, or an address where the service lists no names (Google Memorystore). IPv6 stands bare.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// What the ip field says: an address, `None` if it is empty, or on TLS clusters perhaps the name again.
    pub ip: Option<String>,
}

impl Node {
    /// What makes this node the same node in two lists: host and port.
    #[must_use]
    pub fn id(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Reads `host|ip|port`.
    pub(crate) fn parse(text: &str) -> Result<Self, MalformedNode> {
        let mut fields = text.split('|');
        let (Some(host), Some(ip), Some(port), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(MalformedNode::Fields(text.split('|').count()));
        };
        Ok(Self { host: parse_host(host)?, port: parse_port(port)?, ip: parse_ip(ip)? })
    }
}

/// `host:port`, with brackets around an IPv6 host: what a log shows and a resolver takes.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn parse_host(text: &str) -> Result<String, MalformedNode> {
    let host = without_brackets(text);
    if host.is_empty() {
        return Err(MalformedNode::NoHost);
    }
    if host.len() > MAX_FIELD_LEN {
        return Err(MalformedNode::HostTooLong { len: host.len() });
    }
    match host.find(char::is_control) {
        Some(at) => Err(MalformedNode::HostControl { at }),
        None => Ok(host.to_owned()),
    }
}

fn parse_ip(text: &str) -> Result<Option<String>, MalformedNode> {
    let ip = without_brackets(text);
    if ip.len() > MAX_FIELD_LEN {
        return Err(MalformedNode::IpTooLong { len: ip.len() });
    }
    match ip.find(char::is_control) {
        Some(at) => Err(MalformedNode::IpControl { at }),
        None => Ok((!ip.is_empty()).then(|| ip.to_owned())),
    }
}

fn parse_port(text: &str) -> Result<u16, MalformedNode> {
    // `u16::from_str` takes a leading plus, which no server writes.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port @ 1..) if digits => Ok(port),
        _ => Err(MalformedNode::BadPort),
    }
}

/// An IPv6 address is listed bare; one in brackets is the same address.
fn without_brackets(text: &str) -> &str {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text)
}

/// Longest host or ip taken, in bytes: the longest DNS name (RFC 1035, section 2.3.4).
pub const MAX_FIELD_LEN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_with_its_port() {
        check_shown("a.0001.use1.cache.amazonaws.com", "a.0001.use1.cache.amazonaws.com:11211");
    }

    #[test]
    fn an_ipv4_host_is_shown_without_brackets() {
        check_shown("10.0.0.1", "10.0.0.1:11211");
    }

    #[test]
    fn an_ipv6_host_is_shown_in_brackets() {
        check_shown("2600:1f18::5", "[2600:1f18::5]:11211");
    }

    #[test]
    fn the_ip_is_no_part_of_the_identity() {
        let before = Node::parse("a|10.0.0.1|11211").unwrap();
        let after = Node::parse("a|10.0.0.2|11211").unwrap();
        assert_eq!(before.id(), after.id());
        assert_ne!(before, after);
    }

    #[test]
    fn the_port_is_part_of_the_identity() {
        assert_ne!(Node::parse("a||11211").unwrap().id(), Node::parse("a||11212").unwrap().id());
    }

    #[track_caller]
    fn check_shown(host: &str, expected: &str) {
        let node = Node { host: host.to_owned(), port: 11211, ip: None };
        assert_eq!(node.to_string(), expected);
    }
}
