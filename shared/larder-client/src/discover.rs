//! One exchange with a configuration endpoint: which nodes are there?

use bytes::BytesMut;
use larder_discovery::{MAX_PAYLOAD_LEN, Node, Topology};
use larder_meta::{CONFIG_GET, CONFIG_GET_OLD, Limits, Refusal, Text};

use crate::answer::Awaited;
use crate::connect::Connector;
use crate::connection::Connection;
use crate::{DiscoveryError, NodeError};

/// Asks `endpoint` for its topology, on a connection of its own; the caller bounds the time.
///
/// `None` where it knows of no cluster: a plain memcached, or ElastiCache Serverless.
pub(crate) async fn discover(
    connector: &Connector,
    endpoint: &Node,
) -> Result<Option<Topology>, DiscoveryError> {
    let limits = Limits { value_len: MAX_PAYLOAD_LEN, ..Limits::default() };
    let connection = connector.connect(endpoint, limits).await?;
    for request in [CONFIG_GET, CONFIG_GET_OLD] {
        if let Some(topology) = ask(&connection, request).await? {
            return Ok(Some(topology));
        }
    }
    Ok(None)
}

async fn ask(connection: &Connection, request: &[u8]) -> Result<Option<Topology>, DiscoveryError> {
    let encode = |out: &mut BytesMut| {
        out.extend_from_slice(request);
        Awaited::texts(1, 1)
    };
    let exchange = connection.exchange(false, encode).ok_or_else(NodeError::unanswered)?;
    let texts = exchange.await?.into_texts().map_err(NodeError::from)?;
    match texts.into_iter().next() {
        Some(Text::Config(payload) | Text::Value { value: payload, .. }) => {
            Ok(Some(Topology::parse(&payload)?))
        }
        None | Some(Text::Refused(Refusal::UnknownCommand)) => Ok(None),
        Some(Text::Refused(refusal)) => Err(NodeError::Refused(refusal).into()),
        Some(other) => Err(NodeError::from(unexpected(&other)).into()),
    }
}

fn unexpected(text: &Text) -> larder_meta::ProtocolError {
    larder_meta::ProtocolError::UnknownReply(format!("{text:.80?}"))
}
