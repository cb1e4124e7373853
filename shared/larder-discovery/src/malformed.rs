//! Why a configuration payload was refused.

use crate::node::MAX_FIELD_LEN;
use crate::topology::{MAX_NODES, MAX_PAYLOAD_LEN};

/// Why a payload is no topology; the caller keeps the list it has.
///
/// Messages say where the fault is and never repeat the payload, which may be hostile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedTopology {
    /// The payload is longer than a server may hold.
    #[error("the payload has {len} bytes, more than {MAX_PAYLOAD_LEN}")]
    TooLong {
        /// The length, in bytes.
        len: usize,
    },
    /// The payload is not text.
    #[error("the payload is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The first byte that is not UTF-8, from 0.
        at: usize,
    },
    /// The first line is missing or blank.
    #[error("line 1 is blank: no config version")]
    NoVersion,
    /// The first line is not a decimal number of 64 bits.
    #[error("line 1 is not a config version")]
    BadVersion,
    /// No node follows the version.
    #[error("the node list is empty")]
    NoNodes,
    /// More nodes than any cluster has.
    #[error("the node list has more than {MAX_NODES} nodes")]
    TooManyNodes,
    /// One of the nodes cannot be read.
    #[error("node {place} of the list: {fault}")]
    Node {
        /// The node's place in the list, from 1.
        place: usize,
        /// What is wrong with it.
        fault: MalformedNode,
    },
}

/// What is wrong with one node of a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedNode {
    /// A node is `host|ip|port`, pipes kept where the ip is missing.
    #[error("{0} fields where host|ip|port has 3")]
    Fields(usize),
    /// The host is always present.
    #[error("the host is empty")]
    NoHost,
    /// The host is longer than a DNS name.
    #[error("the host has {len} bytes, more than {MAX_FIELD_LEN}")]
    HostTooLong {
        /// The length, in bytes.
        len: usize,
    },
    /// The host holds a control character.
    #[error("the host has a control character at byte {at}")]
    HostControl {
        /// The character's place in the host, in bytes from 0.
        at: usize,
    },
    /// The ip is longer than a DNS name, which some clusters repeat there.
    #[error("the ip has {len} bytes, more than {MAX_FIELD_LEN}")]
    IpTooLong {
        /// The length, in bytes.
        len: usize,
    },
    /// The ip holds a control character.
    #[error("the ip has a control character at byte {at}")]
    IpControl {
        /// The character's place in the ip, in bytes from 0.
        at: usize,
    },
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
    /// The same host and port were named before: the list does not say how many nodes there are.
    #[error("the same host and port as node {first}")]
    Duplicate {
        /// The earlier node's place in the list, from 1.
        first: usize,
    },
}
