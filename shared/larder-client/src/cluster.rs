//! The cluster: finds the node that owns a key, asks it, and keeps the list of nodes up to date in passing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use larder_discovery::Topology;
use larder_meta::{Key, ProtocolError, Reply, Text};
use larder_ring::{Epoch, RingDocument, RingKind};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::item::Stored;
use crate::moment::Moment;
use crate::node::{Node, Request};
use crate::place::{Copies, Place};
use crate::refresh::Shared;
use crate::requests::Stats;
use crate::view::View;
use crate::watch::MOST_INTERVALS;
use crate::{Config, ConfigError, Error, NodeError};

/// The nodes behind one configuration endpoint, as one cache.
///
/// A clone is the same cluster, and cheap. Many tasks may use one at once; they share one connection per node.
/// Every call is bounded by [`Config::timeout`], and by the deadline of [`until`](Self::until). No task runs behind
/// it; a dropped future leaves nothing behind. A connection belongs to the runtime in which it was opened: where that one
/// is gone, or does not run, the first call of another runtime that needs it fails.
///
/// Poll a call or drop it: whoever waits moves the bytes for all who share a connection, so one that is kept without
/// being polled may hold up the others until their deadlines.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) shared: Arc<Shared>,
    deadline: Option<Instant>,
}

impl Cluster {
    /// A cluster as `config` describes it. Connects to nothing yet.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self { shared: Arc::new(Shared::new(config)?), deadline: None })
    }

    /// The same cluster for calls that have to end by `deadline`.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { shared: Arc::clone(&self.shared), deadline: Some(deadline) }
    }

    /// The statistics of every node; `group` is `items`, `slabs` or `settings`, none of which Serverless knows.
    pub async fn stats(&self, group: Option<&Key>) -> Result<Vec<NodeStats>, Error> {
        let (now, deadline) = self.begin();
        let (fleet, _) = self.shared.fleet(now, deadline, false).await?;
        let asked = fleet.nodes().iter().map(|node| async move {
            let asked = node.ask(&self.shared.common, now, deadline, &Stats { group }).await;
            let stats = asked.and_then(|(answer, _)| stats_of(answer.into_texts()?));
            NodeStats { node: Arc::clone(&node.name), stats: stats.map_err(|error| self.failed(node, error)) }
        });
        Ok(join_all(asked).await)
    }

    /// `host:port` of the node that owns `key`; while the key moves, of the one that is read first.
    pub async fn owner(&self, key: &Key) -> Result<Arc<str>, Error> {
        let (now, deadline) = self.begin();
        let (fleet, _) = self.shared.fleet(now, deadline, false).await?;
        Ok(Arc::clone(&fleet.place(key).read_first().name))
    }

    /// The topology in use, asked for if it is due; `None` for a fixed list.
    pub async fn topology(&self) -> Result<Option<Topology>, Error> {
        let (now, deadline) = self.begin();
        Ok(self.shared.fleet(now, deadline, false).await?.0.topology.clone())
    }

    /// Asks for the topology now, whether it is due or not; `None` for a fixed list.
    pub async fn discover(&self) -> Result<Option<Topology>, Error> {
        Ok(self.shared.discover_now(self.deadline()).await?.topology.clone())
    }

    /// Which ring says who owns a key.
    pub fn ring_kind(&self) -> RingKind {
        self.shared.common.config.ring
    }

    /// How long after the publication of a ring document the last request may end that did not go by it: in a fleet
    /// whose environments look at the document as often as it says, or as this cluster's configuration where it says
    /// nothing or is not known.
    pub fn settle_time(&self) -> Duration {
        let Config { ring_check_interval, timeout, .. } = self.shared.common.config;
        let document = self.shared.known().and_then(|fleet| fleet.document.as_ref()?.check_interval);
        document.unwrap_or(ring_check_interval) * MOST_INTERVALS + timeout
    }

    /// How often this cluster looks at the ring document by its configuration.
    pub fn ring_check_interval(&self) -> Duration {
        self.shared.common.config.ring_check_interval
    }

    /// The epoch of the ring document in use; `None` where there is none, or nothing is known yet. Asks nobody.
    pub fn epoch(&self) -> Option<Epoch> {
        self.shared.known()?.epoch()
    }

    /// The ring document in use; `None` where nobody has published one, so that the topology is the ring.
    ///
    /// Asks nobody once the nodes are known.
    pub async fn ring_document(&self) -> Result<Option<RingDocument>, Error> {
        let (now, deadline) = self.begin();
        Ok(self.shared.peek(now, deadline).await?.document.clone())
    }

    /// The copies of `key`, if it is a hot one by the ring document in use. Asks nobody: whoever has to know asks again
    /// when a call that it made has ended, for that one may have found another document.
    ///
    /// While there are no hot keys it looks at one flag, and at nothing else.
    pub fn copies_of(&self, key: &Key) -> Option<Copies> {
        self.shared.hot()?.copies_of(key)
    }

    /// Whether `key` has one owner by the ring in use, so that what one node says of it holds everywhere; not while it
    /// moves, or nothing is known yet. Asks nobody, as [`copies_of`](Self::copies_of).
    pub fn has_one_owner(&self, key: &Key) -> bool {
        self.shared.known().is_some_and(|fleet| matches!(fleet.place(key), Place::Settled(_)))
    }

    /// The ring as a call sees it that begins now.
    pub(crate) async fn view(&self) -> Result<View, Error> {
        let (now, deadline) = self.begin();
        self.shared.view(now, deadline).await
    }

    /// Sends `request` to `node` and makes sense of its one reply.
    pub(crate) async fn ask<R: Request, T>(
        &self,
        view: &View,
        node: &Arc<Node>,
        request: &R,
        understand: impl FnOnce(Reply, &Arc<Connection>) -> Result<T, NodeError>,
    ) -> Result<T, Error> {
        let asked = view.ask(&self.shared, node, request).await;
        asked
            .and_then(|(answer, connection)| {
                understand(answer.into_reply()?, &connection).inspect_err(|error| connection.distrust(error))
            })
            .map_err(|error| self.failed(node, error))
    }

    /// The moment at which a call begins, and its deadline.
    pub(crate) fn begin(&self) -> (Moment, Instant) {
        let now = Moment::now();
        let most = now.instant() + self.shared.common.config.timeout;
        (now, self.deadline.map_or(most, |deadline| deadline.min(most)))
    }

    /// The deadline of a call that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        self.begin().1
    }

    /// The error for the caller; a failed node makes discovery urgent.
    pub(crate) fn failed(&self, node: &Node, source: NodeError) -> Error {
        if source.blames_node() || matches!(source, NodeError::Down { .. }) {
            self.shared.hasten_discovery();
        }
        Error::Node { node: Arc::clone(&node.name), source }
    }
}

/// The statistics of one node.
#[derive(Clone, Debug)]
pub struct NodeStats {
    /// `host:port` of the node.
    pub node: Arc<str>,
    /// Names and values, in the order of the node.
    pub stats: Result<Vec<(String, String)>, Error>,
}

pub(crate) fn stored(reply: Reply) -> Result<Stored, NodeError> {
    match reply {
        Reply::Done(_) => Ok(Stored::Yes),
        Reply::NotStored(_) | Reply::Exists(_) => Ok(Stored::Refused),
        Reply::NotFound(_) => Ok(Stored::Missing),
        other => Err(unexpected(other)),
    }
}

fn stats_of(texts: Vec<Text>) -> Result<Vec<(String, String)>, NodeError> {
    let pair = |text| match text {
        Text::Stat { name, value } => Ok((name, value)),
        Text::Refused(refusal) => Err(NodeError::Refused(refusal)),
        other => Err(ProtocolError::UnknownReply(format!("{other:.80?}")).into()),
    };
    texts.into_iter().map(pair).collect()
}

/// The error for a reply that the request cannot have.
pub(crate) fn unexpected(reply: Reply) -> NodeError {
    match reply {
        Reply::Refused(refusal) => refusal.into(),
        Reply::TooLong(too_long, _) => too_long.into(),
        other => ProtocolError::UnknownReply(format!("{other:.80?}")).into(),
    }
}
