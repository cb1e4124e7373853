//! One exchange with a configuration endpoint: which nodes are there, and which ring do they make?

use bytes::BytesMut;
use futures_util::future::join;
use larder_discovery::{MAX_PAYLOAD_LEN, Node, Topology};
use larder_meta::{CONFIG_GET, CONFIG_GET_OLD, Limits, Refusal, Text};
use larder_ring::RingDocument;
use tokio::time::Instant;

use crate::answer::{Answer, Awaited};
use crate::connect::Connector;
use crate::connection::{Connection, Exchange};
use crate::direct::readable_document_of;
use crate::node::Request;
use crate::requests::GetDocument;
use crate::site::Site;
use crate::standalone::is_refusal;
use crate::{DiscoveryError, NodeError};

/// What an endpoint told.
#[derive(Debug)]
pub(crate) struct Discovered {
    /// `None` where it knows of no cluster: a plain memcached, or ElastiCache Serverless.
    pub(crate) topology: Option<Topology>,
    /// `None` where there is none, or none that can be read.
    pub(crate) document: Option<RingDocument>,
}

/// Asks `endpoint` for its topology and its ring document in one round trip, on a connection of its own; the caller
/// drops it at its `deadline`.
pub(crate) async fn discover(
    connector: &Connector,
    endpoint: &Node,
    deadline: Instant,
) -> Result<Discovered, DiscoveryError> {
    let limits = Limits { value_len: MAX_PAYLOAD_LEN, ..Limits::default() };
    let connection = connector.connect(&Site::new(endpoint.clone()), limits, deadline).await?;
    // Both before either is waited for, so that they leave in one write.
    let config = begin(&connection, |out| text(out, CONFIG_GET))?;
    let document = begin(&connection, |out| GetDocument.encode(out))?;
    let (config, document) = join(config, document).await;
    let topology = match told(endpoint, topology_of(config?))? {
        Some(topology) => Some(topology),
        // A refusal may have ended the connection.
        None => match begin(&connection, |out| text(out, CONFIG_GET_OLD)) {
            Ok(asked) => told(endpoint, asked.await.map_err(Into::into).and_then(topology_of))?,
            Err(_) => None,
        },
    };
    // An endpoint that is no node, or does not want to be asked for this, has no document.
    Ok(Discovered { topology, document: document.ok().and_then(document_of) })
}

/// The topology that `endpoint` told; `None` where it refused to tell one.
fn told(
    endpoint: &Node,
    topology: Result<Option<Topology>, DiscoveryError>,
) -> Result<Option<Topology>, DiscoveryError> {
    match topology {
        Err(failure) if is_refusal(&endpoint.host, &failure) => Ok(None),
        topology => topology,
    }
}

fn begin(
    connection: &Connection,
    encode: impl FnOnce(&mut BytesMut) -> Awaited,
) -> Result<Exchange<'_>, NodeError> {
    connection.exchange(false, encode).ok_or_else(NodeError::unanswered)
}

fn text(out: &mut BytesMut, request: &[u8]) -> Awaited {
    out.extend_from_slice(request);
    Awaited::texts(1, 1)
}

/// The topology of an answer; `None` where the server knows of no cluster.
pub(crate) fn topology_of(answer: Answer) -> Result<Option<Topology>, DiscoveryError> {
    match answer.into_texts().map_err(NodeError::from)?.into_iter().next() {
        Some(Text::Config(payload) | Text::Value { value: payload, .. }) => {
            Ok(Some(Topology::parse(&payload)?))
        }
        None | Some(Text::Refused(Refusal::UnknownCommand)) => Ok(None),
        Some(Text::Refused(refusal)) => Err(NodeError::Refused(refusal).into()),
        Some(other) => Err(NodeError::from(unexpected(&other)).into()),
    }
}

fn document_of(answer: Answer) -> Option<RingDocument> {
    readable_document_of(answer.into_reply().ok()?).ok()?
}

fn unexpected(text: &Text) -> larder_meta::ProtocolError {
    larder_meta::ProtocolError::UnknownReply(format!("{text:.80?}"))
}
