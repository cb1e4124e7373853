//! One node by its name and not by a key: for whoever publishes the ring document, and copies items.

use std::net::IpAddr;
use std::sync::Arc;

use larder_meta::{Key, MetaDelete, MetaGet, MetaSet, Reply, SetMode, TooLong, Ttl};
use larder_ring::{MalformedDocument, RingDocument, RingNode};
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::cluster::{Cluster, stored, unexpected};
use crate::connection::Connection;
use crate::item::{Item, NewItem, Stored};
use crate::lease::item;
use crate::node::{Node, Request};
use crate::requests::{Delete, GetDocument, GetEach, Noop, Set};
use crate::write::removed;
use crate::{Error, NodeError};

/// One node, on the connection that the cluster shares. Every call is bounded as those of its [`Cluster`].
///
/// A sign of life and the ring document are asked for, and stored, whether the node is marked down or not: a publisher
/// has to know how it is now.
#[derive(Clone, Debug)]
pub struct DirectNode {
    pub(crate) cluster: Cluster,
    pub(crate) node: Arc<Node>,
}

/// The ring document as a node holds it.
#[derive(Clone, Debug)]
pub struct HeldDocument {
    /// The document, or why it is none.
    pub document: Result<RingDocument, MalformedDocument>,
    /// Which it is, to be replaced by [`DirectNode::store_document`].
    pub version: HeldVersion,
}

/// Which document a node holds. Good on the connection that it came by: CAS tokens start again when a node restarts,
/// and an old one could match another document.
#[derive(Clone, Debug)]
pub struct HeldVersion {
    token: u64,
    connection: Arc<Connection>,
}

impl Cluster {
    /// All nodes that are used now, in no particular order.
    pub async fn nodes(&self) -> Result<Vec<DirectNode>, Error> {
        let (now, deadline) = self.begin();
        let fleet = self.shared.peek(now, deadline).await?;
        let direct = |node: &Arc<Node>| DirectNode { cluster: self.clone(), node: Arc::clone(node) };
        Ok(fleet.nodes().iter().map(direct).collect())
    }

    /// A node by its host and port, whether discovery lists it or not.
    pub fn direct(&self, node: &RingNode) -> DirectNode {
        let fleet = self.shared.known();
        let known = fleet.as_ref().and_then(|fleet| fleet.node(node));
        DirectNode { cluster: self.clone(), node: known.unwrap_or_else(|| Arc::new(Node::of_ring(node))) }
    }
}

impl Cluster {
    /// The machine at the address of `node`, wherever its name leads by now: for one that was replaced and may live on.
    /// `None` where the node has no address. Asked on a connection of its own.
    pub fn direct_at_address(&self, node: &RingNode) -> Option<DirectNode> {
        let node = Arc::new(Node::at_address(node)?);
        Some(DirectNode { cluster: self.clone(), node })
    }

    /// Goes by `document` from now on, unless the one in use is as new: for whoever has published it.
    pub fn adopt(&self, document: &RingDocument) {
        // Where no node is known yet, the document will be found along with the nodes.
        let _ = self.shared.take_document(document);
    }
}

impl DirectNode {
    /// The same node for calls that have to end by `deadline`.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { cluster: self.cluster.until(deadline), node: Arc::clone(&self.node) }
    }

    /// `host:port`.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// The addresses to which its name leads now; none where that cannot be told in time.
    pub async fn resolve(&self) -> Vec<IpAddr> {
        let (_, deadline) = self.cluster.begin();
        let seen = self.node.site().node;
        let resolved = timeout_at(deadline, self.cluster.shared.common.connector.resolve(&seen)).await;
        let addresses = resolved.ok().and_then(Result::ok).unwrap_or_default();
        addresses.into_iter().map(|address| address.ip()).collect()
    }

    /// Asks for a sign of life (`mn`).
    pub async fn ping(&self) -> Result<(), Error> {
        match self.insist(&Noop).await?.0 {
            Reply::Noop => Ok(()),
            other => Err(self.cluster.failed(&self.node, unexpected(other))),
        }
    }

    /// The ring document that the node holds, if it holds any.
    pub async fn document(&self) -> Result<Option<HeldDocument>, Error> {
        let (reply, connection) = self.insist(&GetDocument).await?;
        let held = document_of(reply).map_err(|error| self.cluster.failed(&self.node, error))?;
        Ok(held
            .map(|(document, token)| HeldDocument { document, version: HeldVersion { token, connection } }))
    }

    /// Stores `document` in the place of what the node held `before`; `None` where that was nothing. Refused if
    /// somebody else has stored one since, or if the connection by which it was seen is gone.
    ///
    /// It lives for 30 days, the longest there is, and is to be stored again in time.
    pub async fn store_document(
        &self,
        document: &RingDocument,
        before: Option<&HeldVersion>,
    ) -> Result<Stored, Error> {
        let key = ring_key();
        let json = document.encode();
        let mode = if before.is_some() { SetMode::Set } else { SetMode::Add };
        let compare = before.map(|before| before.token);
        let client_flags = document.client_flags();
        let set = MetaSet { client_flags, mode, compare, ..MetaSet::new(Ttl::MAX) };
        let request = Set { key: &key, value: &json, set };
        let reply = match before {
            None => self.insist(&request).await?.0,
            Some(before) => {
                let (_, deadline) = self.cluster.begin();
                match self.node.ask_on(&before.connection, deadline, &request).await {
                    Err(NodeError::Lost { .. }) => return Ok(Stored::Refused),
                    answer => answer
                        .and_then(|answer| Ok(answer.into_reply()?))
                        .map_err(|error| self.cluster.failed(&self.node, error))?,
                }
            }
        };
        stored(reply).map_err(|error| self.cluster.failed(&self.node, error))
    }

    /// Removes the ring document, or whatever the node holds in its place; answers whether there was anything.
    ///
    /// Nobody who knows a document forgets it for that: it keeps those who start afterwards from finding one.
    pub async fn forget_document(&self) -> Result<bool, Error> {
        let key = ring_key();
        let (reply, _) = self.insist(&Delete { key: &key, delete: MetaDelete::default() }).await?;
        removed(reply).map_err(|error| self.cluster.failed(&self.node, error))
    }

    /// Reads the items under `keys` on this node, whoever owns them; in their order, `None` for a miss, and for a value
    /// over the limit.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, Error> {
        let get = MetaGet { client_flags: true, value: true, ..MetaGet::default() };
        let members: Vec<u32> = (0..keys.len() as u32).collect();
        let (now, deadline) = self.cluster.begin();
        let request = GetEach { keys, members: &members, get };
        let asked = self.node.ask(&self.cluster.shared.common, now, deadline, &request).await;
        let items =
            asked.and_then(|(answer, _)| answer.into_replies()?.into_iter().map(readable_item).collect());
        items.map_err(|error| self.cluster.failed(&self.node, error))
    }

    /// Stores `item` on this node, whoever owns its key.
    pub async fn set(&self, item: NewItem<'_>) -> Result<(), Error> {
        let set = item.to_set();
        let reply = self.ask(&Set { key: item.key, value: item.value, set }).await?;
        stored(reply).map(drop).map_err(|error| self.cluster.failed(&self.node, error))
    }

    /// Removes the item under `key` from this node, whoever owns it; answers whether there was one. Asked whether the
    /// node is marked down or not, as for the ring document.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        let (reply, _) = self.insist(&Delete { key, delete: MetaDelete::default() }).await?;
        removed(reply).map_err(|error| self.cluster.failed(&self.node, error))
    }

    async fn ask<R: Request>(&self, request: &R) -> Result<Reply, Error> {
        let (now, deadline) = self.cluster.begin();
        let asked = self.node.ask(&self.cluster.shared.common, now, deadline, request).await;
        Ok(self.reply_of(asked)?.0)
    }

    async fn insist<R: Request>(&self, request: &R) -> Result<(Reply, Arc<Connection>), Error> {
        let (now, deadline) = self.cluster.begin();
        let asked = self.node.insist(&self.cluster.shared.common, now, deadline, request).await;
        self.reply_of(asked)
    }

    fn reply_of(
        &self,
        asked: Result<(Answer, Arc<Connection>), NodeError>,
    ) -> Result<(Reply, Arc<Connection>), Error> {
        asked
            .and_then(|(answer, connection)| Ok((answer.into_reply()?, connection)))
            .map_err(|error| self.cluster.failed(&self.node, error))
    }
}

/// The ring document that a node replied to [`GetDocument`] with, and its CAS token.
pub(crate) fn document_of(reply: Reply) -> Result<Option<(Parsed, u64)>, NodeError> {
    match reply {
        Reply::Value(json, flags) => Ok(Some((RingDocument::parse(&json), flags.cas.unwrap_or_default()))),
        Reply::TooLong(TooLong { value_len, .. }, flags) => {
            let malformed = MalformedDocument::TooLong(usize::try_from(value_len).unwrap_or(usize::MAX));
            Ok(Some((Err(malformed), flags.cas.unwrap_or_default())))
        }
        Reply::Miss(_) => Ok(None),
        other => Err(unexpected(other)),
    }
}

/// The same; one that is malformed, or of a format that is not known here, is logged and counts as none.
pub(crate) fn readable_document_of(reply: Reply) -> Result<Option<RingDocument>, NodeError> {
    let logged = |error: &MalformedDocument| {
        tracing::warn!(error = error as &dyn std::error::Error, "the ring document cannot be read");
    };
    Ok(document_of(reply)?.and_then(|(document, _)| document.inspect_err(logged).ok()))
}

/// The item that an `mg` found; none for one whose value is over the limit.
fn readable_item(reply: Reply) -> Result<Option<Item>, NodeError> {
    match item(reply) {
        Err(NodeError::ValueTooLong(_)) => Ok(None),
        found => Ok(found?.0),
    }
}

/// A document, or why it is none.
type Parsed = Result<RingDocument, MalformedDocument>;

fn ring_key() -> Key {
    Key::new(RingDocument::RING_KEY.as_bytes()).expect("the key has 11 letters and a tilde")
}
