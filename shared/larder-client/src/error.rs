//! What can go wrong, told by what the caller would do next.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use larder_discovery::MalformedTopology;
use larder_meta::{ProtocolError, Refusal, TooLong, Version};

/// Why a call to one node failed. A miss is an answer, never an error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node's name has no address.
    #[error("could not resolve the name")]
    Resolve(#[source] Arc<io::Error>),
    /// No connection was made; no byte was sent.
    #[error("could not connect")]
    Connect(#[source] Arc<io::Error>),
    /// No TLS session was made, for example for a certificate with another name; no request was sent.
    #[error("could not agree on TLS")]
    Tls(#[source] Arc<io::Error>),
    /// The node failed a moment ago and is left alone for a while; nothing was sent.
    #[error("marked down, to be tried again in {}", if retry_in.is_zero() { "a moment".to_owned() } else { format!("{retry_in:.1?}") })]
    Down {
        /// How long it is left alone yet; zero while somebody tries it.
        retry_in: Duration,
    },
    /// The deadline passed before the reply was whole. Whether the node did what was asked is not known.
    #[error("the deadline passed")]
    Deadline,
    /// The stream ended or broke before the reply was whole. Never read as a miss.
    #[error("connection lost {}", if *.replied { "inside a reply" } else { "before a reply" })]
    Lost {
        /// Whether part of the reply had come.
        replied: bool,
        /// What the system said; nothing where the stream just ended.
        source: Option<Arc<io::Error>>,
    },
    /// The node broke the protocol; the connection is dropped.
    #[error("broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// The node refused the request.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine is older than 1.6.12.
    #[error("engine {0} is too old: memcached 1.6.12 or later is needed")]
    UnsupportedEngine(Version),
    /// The item is over the limit; it was not sent, because a node that refuses it removes the old value.
    #[error("the item has {item_len} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes of key, value and overhead.
        item_len: usize,
        /// Bytes allowed, [`Config::max_item_len`](crate::Config::max_item_len).
        limit: usize,
    },
    /// The value is over the limit; another program has stored it on a node with a larger one. It was skipped: other
    /// keys and the connection are as they were.
    #[error(transparent)]
    ValueTooLong(#[from] TooLong),
}

impl NodeError {
    /// The connection ended without a byte of a reply.
    pub(crate) fn unanswered() -> Self {
        Self::Lost { replied: false, source: None }
    }

    /// Whether the same request may be sent again, provided that doing it twice does no harm.
    pub(crate) fn may_try_again(&self) -> bool {
        matches!(self, Self::Lost { replied: false, .. })
    }

    /// Whether it says something about the node, rather than about the request.
    pub(crate) fn blames_node(&self) -> bool {
        !matches!(
            self,
            Self::Down { .. }
                | Self::Refused(_)
                | Self::TooLong { .. }
                // Another program may store longer items than we take; that is no reason to leave the node alone.
                | Self::ValueTooLong(_)
                | Self::Protocol(ProtocolError::ValueTooLong { .. })
        )
    }
}

/// Why a call failed: which node, and what it did.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The nodes are not known: there was no first answer from the configuration endpoint.
    #[error("could not learn the nodes from {endpoint}")]
    Discovery {
        /// `host:port` of the configuration endpoint.
        endpoint: Arc<str>,
        /// What went wrong there.
        #[source]
        source: DiscoveryError,
    },
    /// Nobody could tell for too long which ring the fleet uses, so the cache was left alone. What was written may have
    /// reached an earlier owner only.
    #[error(
        "which ring is in use could not be confirmed: are the nodes there, and who publishes the ring document?"
    )]
    UnknownRing,
    /// One node failed.
    #[error("node {node}")]
    Node {
        /// `host:port` of the node.
        node: Arc<str>,
        /// What went wrong there.
        #[source]
        source: NodeError,
    },
}

/// Why the configuration endpoint gave no topology.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The exchange failed.
    #[error("the exchange failed")]
    Exchange(#[from] NodeError),
    /// The answer makes no sense.
    #[error("the answer makes no sense")]
    Malformed(#[from] MalformedTopology),
    /// The endpoint knew its nodes before and now says it knows none; the known ones are kept.
    #[error("the endpoint does not know its nodes any more")]
    Forgotten,
    /// The endpoint told no nodes, though its name or a ring document on it says that it belongs to a cluster.
    #[error("the endpoint of a cluster told no nodes; it is asked again at the next use")]
    NoTopology,
    /// The endpoint told no nodes for the first time. A plain memcached, and no cluster, says so again.
    #[error("the endpoint told no nodes; it is used as a plain memcached once it has said so again")]
    Unconfirmed,
    /// No ring can be made of the nodes.
    #[error("no ring can be made of the nodes")]
    Ring(#[source] Arc<larder_ring::RingError>),
}

/// A [`Config`](crate::Config) that cannot work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An endpoint that is not `host:port`.
    #[error("\"{0}\" is no endpoint: write host:port, [address]:port for IPv6")]
    Endpoint(String),
    /// A list of nodes with none in it.
    #[error("the list of nodes is empty: name at least one as host:port")]
    NoNodes,
    /// No ring can be made of the listed nodes.
    #[error("no ring can be made of the listed nodes: {0}")]
    Ring(String),
}
