//! One node of a list, as the rings see it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A node of the list a ring is made from.
///
/// Host and port are its identity; the rings that know nodes by address also need the IP.
///
/// ```
/// use larder_ring::RingNode;
///
/// let node: RingNode = "cache-1.example:11212:3@10.0.4.27".parse()?;
/// assert_eq!((node.host.as_str(), node.port, node.weight), ("cache-1.example", 11212, 3));
/// assert_eq!(node.ip.as_deref(), Some("10.0.4.27"));
/// assert_eq!(node.to_string(), "cache-1.example:11212:3@10.0.4.27");
///
/// let node: RingNode = "[2001:db8::1]:11211".parse()?;
/// assert_eq!(node.host, "2001:db8::1");
/// # Ok::<(), larder_ring::InvalidNode>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RingNode {
    /// The name as the clients are given it: no lower-casing, no resolving. An IPv6 address stands without brackets.
    pub host: String,
    /// The port, from 1.
    pub port: u16,
    /// How many times the share of a node of weight 1. What 0 means is the library's affair: see
    /// [`RingKind`](crate::RingKind).
    pub weight: u32,
    /// The address as the configuration endpoint gives it, for the rings that are built on addresses.
    pub ip: Option<String>,
}

impl RingNode {
    /// A node of weight 1 whose address nobody said.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, weight: 1, ip: None }
    }

    /// What makes it the same node in two lists: host and port.
    pub fn identity(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether it is the same node as one of `list`.
    pub fn is_in(&self, list: &[Self]) -> bool {
        list.iter().any(|other| other.identity() == self.identity())
    }

    /// Whether it may stand at the same address as `other`: it does where both are known.
    pub(crate) fn may_be_at(&self, other: &Self) -> bool {
        self.ip.as_ref().zip(other.ip.as_ref()).is_none_or(|(one, other)| one == other)
    }

    /// Says what is wrong with host or port, if anything is.
    pub(crate) fn check(&self) -> Result<(), InvalidNode> {
        self.check_as(|| self.to_string())
    }

    /// The same, of a node written as `text` says.
    fn check_as(&self, text: impl Fn() -> String) -> Result<(), InvalidNode> {
        let broken =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']' | '|');
        if self.host.is_empty() || self.host.len() > MAX_HOST_LEN || self.host.contains(broken) {
            return Err(InvalidNode::Host { text: text() });
        }
        if self.port == 0 {
            return Err(InvalidNode::Port { text: text() });
        }
        Ok(())
    }
}

/// Why a text or a value is not a node.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNode {
    /// The parts are not those of `HOST:PORT[:WEIGHT][@IP]`.
    #[error(
        "`{text}` is not HOST:PORT[:WEIGHT][@IP]; write an IPv6 host in brackets, as in [2001:db8::1]:11211"
    )]
    Form {
        /// What was given.
        text: String,
    },
    /// The host is empty, too long, or holds a byte that no host name has.
    #[error(
        "the host of node `{text}` must be 1 to {MAX_HOST_LEN} bytes, without blanks and without / @ | [ ]"
    )]
    Host {
        /// What was given.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("the port of node `{text}` must be a number from 1 to 65535")]
    Port {
        /// What was given.
        text: String,
    },
    /// The weight is not a number.
    #[error("the weight of node `{text}` must be a whole number; leave it out for 1")]
    Weight {
        /// What was given.
        text: String,
    },
    /// The part after `@` is not an IP address.
    #[error("the part after @ of node `{text}` must be an IPv4 or IPv6 address, without brackets")]
    Ip {
        /// What was given.
        text: String,
    },
}

impl FromStr for RingNode {
    type Err = InvalidNode;

    /// Reads `HOST:PORT[:WEIGHT][@IP]`.
    fn from_str(text: &str) -> Result<Self, InvalidNode> {
        let given = || text.to_owned();
        let (address, ip) = match text.rsplit_once('@') {
            Some((address, ip)) => (address, Some(ip)),
            None => (text, None),
        };
        if ip.is_some_and(|ip| ip.parse::<IpAddr>().is_err()) {
            return Err(InvalidNode::Ip { text: given() });
        }
        let form = || InvalidNode::Form { text: given() };
        let (host, rest) = match address.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once("]:").ok_or_else(form)?,
            None => address.split_once(':').ok_or_else(form)?,
        };
        let (port, weight) = match rest.split_once(':') {
            Some((_, weight)) if weight.contains(':') => return Err(form()),
            Some((port, weight)) => (port, Some(weight)),
            None => (rest, None),
        };
        let node = Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| InvalidNode::Port { text: given() })?,
            weight: weight.map_or(Ok(1), str::parse).map_err(|_| InvalidNode::Weight { text: given() })?,
            ip: ip.map(str::to_owned),
        };
        node.check_as(given)?;
        Ok(node)
    }
}

impl fmt::Display for RingNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{}:{}", self.host, self.port)?;
        }
        if self.weight != 1 {
            write!(f, ":{}", self.weight)?;
        }
        match &self.ip {
            Some(ip) => write!(f, "@{ip}"),
            None => Ok(()),
        }
    }
}

/// The longest host name DNS knows, in bytes. Within it no library cuts a name short before hashing it.
const MAX_HOST_LEN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_with_what_it_leaves_out() {
        check("cache-1:11211", ("cache-1", 11211, 1, None));
        check("cache-1:11211:0", ("cache-1", 11211, 0, None));
        check("cache-1:22122:7@10.0.0.1", ("cache-1", 22122, 7, Some("10.0.0.1")));
        check("10.0.0.1:11211@2001:db8::1", ("10.0.0.1", 11211, 1, Some("2001:db8::1")));
        check("[2001:db8::1]:11211:2", ("2001:db8::1", 11211, 2, None));
    }

    #[test]
    fn a_node_that_is_read_and_written_is_the_same_text() {
        for text in ["a:1", "a:1:0", "a:65535:9@10.0.0.1", "[::1]:11211", "[::1]:11211:2@::1"] {
            assert_eq!(text.parse::<RingNode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_broken_node_says_which_part_is_broken() {
        for text in ["", "cache-1", "2001:db8::1:11211", "[::1]", "a:1:2:3"] {
            refused(text, |e| matches!(e, InvalidNode::Form { .. }));
        }
        for text in [":11211", "a b:1", "a/b:1", "[]:1", "x@y:1@10.0.0.1"] {
            refused(text, |e| matches!(e, InvalidNode::Host { .. }));
        }
        for text in ["a:", "a:0", "a:65536", "a:x", "a::1"] {
            refused(text, |e| matches!(e, InvalidNode::Port { .. }));
        }
        for text in ["a:1:", "a:1:-1", "a:1:4294967296"] {
            refused(text, |e| matches!(e, InvalidNode::Weight { .. }));
        }
        for text in ["a:1@", "a:1@b", "a:1@[::1]"] {
            refused(text, |e| matches!(e, InvalidNode::Ip { .. }));
        }
    }

    #[track_caller]
    fn check(text: &str, (host, port, weight, ip): (&str, u16, u32, Option<&str>)) {
        let expected = RingNode { host: host.into(), port, weight, ip: ip.map(str::to_owned) };
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }

    #[track_caller]
    fn refused(text: &str, of_kind: impl Fn(&InvalidNode) -> bool) {
        let error = text.parse::<RingNode>().unwrap_err();
        assert!(of_kind(&error), "{text}: {error:?}");
        assert!(error.to_string().contains(text), "{text}: {error}");
    }
}
