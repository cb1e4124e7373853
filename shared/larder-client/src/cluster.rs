//! The cluster: finds the node that owns a key, asks it, and keeps the list of nodes up to date in passing.

use std::sync::Arc;

use futures_util::future::join_all;
use larder_discovery::Topology;
use larder_meta::{
    Arithmetic, Key, MetaArithmetic, MetaDelete, MetaGet, MetaSet, ProtocolError, Reply, SetMode, Text, Ttl,
};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::item::{Cas, Item, NewItem, Stored};
use crate::lease::{Lease, Read, ReadOptions, item};
use crate::moment::Moment;
use crate::node::{Node, Request};
use crate::refresh::Shared;
use crate::requests::{Count, Delete, Expire, Get, Set, Stats};
use crate::{Config, ConfigError, Error, NodeError};

/// The nodes behind one configuration endpoint, as one cache.
///
/// A clone is the same cluster, and cheap. Many tasks may use one at once; they share one connection per node.
/// Every call is bounded by [`Config::timeout`], and by the deadline of [`until`](Self::until). No task runs behind
/// it; a dropped future leaves nothing behind.
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

    /// Reads the item under `key`; `None` on a miss, and for a lease that nobody has filled yet.
    ///
    /// Takes no part in who fills an item, which is what [`read`](Self::read) is for: where a node makes us the one
    /// to refresh a stale item, we decline, at the price of another round trip.
    pub async fn get(&self, key: &Key) -> Result<Option<Item>, Error> {
        let get = MetaGet { client_flags: true, value: true, ..MetaGet::default() };
        let (item, flags) = self.ask(key, Get { key, get }, |reply, _, _| item(reply)).await?;
        if flags.won {
            // If that fails, the item is old until it ends, as it may be.
            let declined = self.md(key, MetaDelete { stale: true, ..MetaDelete::default() }).await;
            tracing::debug!(%key, ?declined, "left a stale item to others");
        }
        Ok(item)
    }

    /// Reads the item under `key` with its CAS token, to be changed by [`compare_and_set`](Self::compare_and_set).
    pub async fn get_with_cas(&self, key: &Key) -> Result<Option<(Item, Cas)>, Error> {
        let get = MetaGet { cas: true, client_flags: true, value: true, ..MetaGet::default() };
        let read = self.mg(key, get).await?;
        Ok(read.item.zip(read.cas))
    }

    /// Reads the item under `key` with all that a cache-aside read needs to know, and may win the right to fill it.
    pub async fn read(&self, key: &Key, options: ReadOptions) -> Result<Read, Error> {
        self.mg(key, options.to_get()).await
    }

    /// Stores `item`, whatever was there.
    pub async fn set(&self, item: NewItem<'_>) -> Result<(), Error> {
        self.ms(item, SetMode::Set, None).await.map(drop)
    }

    /// Stores `item` if there is none under its key; else [`Stored::Refused`].
    pub async fn add(&self, item: NewItem<'_>) -> Result<Stored, Error> {
        self.ms(item, SetMode::Add, None).await
    }

    /// Stores `item` if there is one under its key; else [`Stored::Refused`].
    pub async fn replace(&self, item: NewItem<'_>) -> Result<Stored, Error> {
        self.ms(item, SetMode::Replace, None).await
    }

    /// Stores `item` if the one under its key has still the version `cas`.
    pub async fn compare_and_set(&self, item: NewItem<'_>, cas: Cas) -> Result<Stored, Error> {
        self.ms(item, SetMode::Set, Some(cas)).await
    }

    /// Stores `item` under a lease; refused if the lease was voided, ran out, or its connection is gone.
    ///
    /// A refused fill is no error: the value is good for the caller who loaded it, only not for others.
    pub async fn fill(&self, item: NewItem<'_>, lease: &Lease) -> Result<Stored, Error> {
        let Lease { node, connection, cas } = lease;
        let result = match self.set_request(item, SetMode::Set, Some(*cas)) {
            Ok(request) => node.ask_on(connection, self.deadline(), &request).await,
            Err(error) => Err(error),
        };
        match result {
            Err(NodeError::Lost { .. }) => Ok(Stored::Refused),
            result => result
                .and_then(|answer| {
                    stored(answer.into_reply()?).inspect_err(|error| connection.distrust(error))
                })
                .map_err(|error| self.failed(node, error)),
        }
    }

    /// Removes the item under `key`; answers whether there was one.
    ///
    /// Where the first try got no answer and was repeated, that may be `false` for an item that the first one removed.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        self.md(key, MetaDelete::default()).await
    }

    /// Marks the item under `key` stale and lets it live for `ttl` yet; answers whether there was one. The next
    /// reader wins the right to fill it, whether it asks for a lease or not. Plain reads give it as any other item.
    pub async fn mark_stale(&self, key: &Key, ttl: Ttl) -> Result<bool, Error> {
        self.md(key, MetaDelete { stale: true, ttl: Some(ttl), ..MetaDelete::default() }).await
    }

    /// Gives a lease back unfilled, so that the next reader wins it at once.
    pub async fn give_back(&self, key: &Key, lease: &Lease) -> Result<(), Error> {
        let Lease { node, connection, cas } = lease;
        match node.ask_on(connection, self.deadline(), &Expire { key, cas: *cas }).await {
            Ok(_) | Err(NodeError::Lost { .. }) => Ok(()),
            Err(error) => Err(self.failed(node, error)),
        }
    }

    /// Gives the item under `key` a new TTL without reading it; answers whether there was one.
    pub async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool, Error> {
        let get = MetaGet { touch: Some(ttl), ..MetaGet::default() };
        self.ask(key, Get { key, get }, |reply, _, _| match reply {
            Reply::Done(_) => Ok(true),
            Reply::Miss(_) => Ok(false),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// Adds `delta` to the number under `key`, wrapping at 2^64, and answers the new one. `None` where there is none
    /// and `initial` does not make one.
    pub async fn increment(
        &self,
        key: &Key,
        delta: u64,
        initial: Option<(Ttl, u64)>,
    ) -> Result<Option<u64>, Error> {
        self.ma(key, Arithmetic::Increment, delta, initial).await
    }

    /// Takes `delta` from the number under `key`, down to 0, and answers the new one. `None` where there is none and
    /// `initial` does not make one.
    pub async fn decrement(
        &self,
        key: &Key,
        delta: u64,
        initial: Option<(Ttl, u64)>,
    ) -> Result<Option<u64>, Error> {
        self.ma(key, Arithmetic::Decrement, delta, initial).await
    }

    /// The statistics of every node; `group` is `items`, `slabs` or `settings`, none of which Serverless knows.
    pub async fn stats(&self, group: Option<&Key>) -> Result<Vec<NodeStats>, Error> {
        let (now, deadline) = self.begin();
        let fleet = self.shared.fleet(now, deadline).await?;
        let asked = fleet.nodes().iter().map(|node| async move {
            let asked = node.ask(&self.shared.common, now, deadline, &Stats { group }).await;
            let stats = asked.and_then(|(answer, _)| stats_of(answer.into_texts()?));
            NodeStats { node: Arc::clone(&node.name), stats: stats.map_err(|error| self.failed(node, error)) }
        });
        Ok(join_all(asked).await)
    }

    /// `host:port` of the node that owns `key`.
    pub async fn owner(&self, key: &Key) -> Result<Arc<str>, Error> {
        let (now, deadline) = self.begin();
        let fleet = self.shared.fleet(now, deadline).await?;
        Ok(Arc::clone(&fleet.owner(key).name))
    }

    /// The topology in use, asked for if it is due; `None` for a fixed list.
    pub async fn topology(&self) -> Result<Option<Topology>, Error> {
        let (now, deadline) = self.begin();
        let fleet = self.shared.fleet(now, deadline).await?;
        Ok(fleet.topology.clone())
    }

    async fn mg(&self, key: &Key, get: MetaGet) -> Result<Read, Error> {
        self.ask(key, Get { key, get }, Read::from_reply).await
    }

    async fn ms(&self, item: NewItem<'_>, mode: SetMode, compare: Option<Cas>) -> Result<Stored, Error> {
        match self.set_request(item, mode, compare) {
            Ok(request) => self.ask(item.key, request, |reply, _, _| stored(reply)).await,
            Err(error) => Err(Error::Node { node: self.owner(item.key).await?, source: error }),
        }
    }

    async fn md(&self, key: &Key, delete: MetaDelete) -> Result<bool, Error> {
        self.ask(key, Delete { key, delete }, |reply, _, _| match reply {
            Reply::Done(_) => Ok(true),
            Reply::NotFound(_) => Ok(false),
            other => Err(unexpected(other)),
        })
        .await
    }

    async fn ma(
        &self,
        key: &Key,
        mode: Arithmetic,
        delta: u64,
        initial: Option<(Ttl, u64)>,
    ) -> Result<Option<u64>, Error> {
        let count = MetaArithmetic { mode, delta, initial, touch: None, opaque: None };
        self.ask(key, Count { key, count }, |reply, _, _| match &reply {
            Reply::Value(digits, _) => {
                let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.trim().parse().ok());
                number.map(Some).ok_or_else(|| unexpected(reply))
            }
            Reply::NotFound(_) => Ok(None),
            _ => Err(unexpected(reply)),
        })
        .await
    }

    /// Sends `request` to the owner of `key` and makes sense of its one reply.
    async fn ask<R: Request, T>(
        &self,
        key: &Key,
        request: R,
        understand: impl FnOnce(Reply, &Arc<Node>, &Arc<Connection>) -> Result<T, NodeError>,
    ) -> Result<T, Error> {
        let (now, deadline) = self.begin();
        let fleet = self.shared.fleet(now, deadline).await?;
        let node = fleet.owner(key);
        let asked = node.ask(&self.shared.common, now, deadline, &request).await;
        asked
            .and_then(|(answer, connection)| {
                understand(answer.into_reply()?, node, &connection)
                    .inspect_err(|error| connection.distrust(error))
            })
            .map_err(|error| self.failed(node, error))
    }

    fn set_request<'a>(
        &self,
        item: NewItem<'a>,
        mode: SetMode,
        compare: Option<Cas>,
    ) -> Result<Set<'a>, NodeError> {
        item.check_len(self.shared.common.config.max_item_len)?;
        let set = MetaSet { mode, compare: compare.map(|cas| cas.0), ..item.to_set() };
        Ok(Set { key: item.key, value: item.value, set })
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
        other => ProtocolError::UnknownReply(format!("{other:.80?}")).into(),
    }
}
