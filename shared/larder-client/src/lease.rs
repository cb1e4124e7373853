//! Leases: the right to fill one key, given by its node to one reader at a time.

use std::sync::Arc;

use larder_meta::{MetaGet, Reply, ReplyFlags, Ttl};

use crate::NodeError;
use crate::cluster::unexpected;
use crate::connection::Connection;
use crate::item::{Cas, Item};
use crate::moment::Moment;
use crate::node::Node;

/// The right to store an item in place of just what a read found, or to fill the key for which it found nothing.
///
/// Bound to the connection that it was read on: CAS tokens start again when a node restarts, and an old one could
/// match a new item. Dropping a lease gives nothing back; until its TTL is over, others wait or load on their own.
#[derive(Clone, Debug)]
pub struct Lease {
    pub(crate) node: Arc<Node>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) cas: Cas,
    /// Under which ring it was won, to be told by the item; `None` for an item whose client flags are all its owner's.
    pub(crate) stamp: Option<u16>,
}

/// What a read asks beside the value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReadOptions {
    /// On a miss, let one reader win a lease of this length.
    pub lease_for: Option<Ttl>,
    /// On a hit with less than these seconds left, let one reader win a lease.
    pub recache_below_secs: Option<u32>,
    /// Ask whether the item was read before, and when.
    pub usage: bool,
}

impl Lease {
    /// The version of what was found: the same for as long as it is the same lease, or the same item.
    pub fn cas(&self) -> Cas {
        self.cas
    }

    /// The client flags of an item that is stored under this lease.
    pub(crate) fn stamped(&self, client_flags: u32) -> u32 {
        match self.stamp {
            Some(stamp) => client_flags & FLAGS_OF_CALLERS | u32::from(stamp) << STAMP_SHIFT,
            None => client_flags,
        }
    }
}

impl ReadOptions {
    pub(crate) fn to_get(self) -> MetaGet {
        MetaGet {
            lease_for: self.lease_for,
            recache_below_secs: self.recache_below_secs,
            ttl: true,
            cas: true,
            client_flags: true,
            hit_before: self.usage,
            last_access: self.usage,
            value: true,
            ..MetaGet::default()
        }
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Read {
    /// The item; `None` on a miss, and while somebody else fills it.
    pub item: Option<Item>,
    /// Seconds that the item has left, [`u64::MAX`] for ever.
    pub ttl_secs: u64,
    /// The item was marked stale.
    pub is_stale: bool,
    /// Who fills the item.
    pub claim: Claim,
    /// How the item was used; `None` without an item, and where it was not asked.
    pub usage: Option<Usage>,
    /// `host:port` of the node.
    pub node: Arc<str>,
    /// To store another item in place of what was found.
    pub(crate) lease: Option<Lease>,
    /// The stamp that was taken off the item's client flags.
    pub(crate) stamp_taken: u16,
    /// When the call began that asked.
    pub(crate) asked_at: Moment,
}

/// How an item was used since it was stored, this read not counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage {
    /// Somebody read it before.
    pub hit_before: bool,
    /// Seconds since the node last noted a read, or since the item was stored.
    ///
    /// Never less than the time since the last read, but it may be much more: a node notes the second read, and then
    /// no more until its LRU maintainer comes by the item. So a small number means that the item is in use, and a
    /// large one means nothing; an item read every second was seen at 88 s.
    ///
    /// Source: memcached `items.c`, `do_item_bump`; 1.6.18.
    pub last_access_secs: u64,
}

/// Who fills an item.
#[derive(Clone, Debug)]
pub enum Claim {
    /// Nobody needs to, or nobody was asked.
    None,
    /// We do.
    Won(Lease),
    /// Somebody else does, under this lease. See [`Cluster::take_over`](crate::Cluster::take_over).
    Lost(Lease),
}

impl Read {
    /// Makes sense of what `node` replied to an `mg` on `connection`, asked under the ring of `stamp`, see [`Lease`],
    /// by a call that began at `asked_at`.
    pub(crate) fn from_reply(
        reply: Reply,
        node: &Arc<Node>,
        connection: &Arc<Connection>,
        stamp: Option<u16>,
        asked_at: Moment,
    ) -> Result<Self, NodeError> {
        let (item, flags) = item(reply)?;
        let lease = flags.cas.map(|token| Lease {
            node: Arc::clone(node),
            connection: Arc::clone(connection),
            cas: Cas { token, connection: connection.number },
            stamp,
        });
        let claim = match (&lease, flags) {
            (Some(lease), ReplyFlags { won: true, .. }) => Claim::Won(lease.clone()),
            (Some(lease), ReplyFlags { lost: true, .. }) => Claim::Lost(lease.clone()),
            _ => Claim::None,
        };
        let usage = flags.hit_before.zip(flags.last_access_secs);
        let usage = usage.map(|(hit_before, last_access_secs)| Usage { hit_before, last_access_secs });
        Ok(Self {
            // A lease that nobody has filled is not an item, though readers leave their mark on it.
            usage: usage.filter(|_| item.is_some()),
            item,
            ttl_secs: flags.ttl_secs.unwrap_or(u64::MAX),
            is_stale: flags.stale,
            claim,
            node: Arc::clone(&node.name),
            lease,
            stamp_taken: 0,
            asked_at,
        })
    }

    /// The time that its item has left now, give or take a second: longer ago is the read, before a freeze maybe.
    /// `None` where it ends at once.
    pub(crate) fn ttl_left(&self) -> Option<Ttl> {
        let passed = Moment::now().since(&self.asked_at).as_secs_f64().round() as u64;
        let left = if self.ttl_secs == u64::MAX { u64::MAX } else { self.ttl_secs.saturating_sub(passed) };
        Ttl::from_secs(left.min(Ttl::MAX.as_secs().into())).ok()
    }

    /// The right to store another item in place of what was found, for as long as it is that: for a writer who knows
    /// that it is older. `None` for a miss without a lease; while somebody else fills the key, it voids that lease.
    pub fn in_place(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The same without its item: a miss.
    pub(crate) fn without_item(self) -> Self {
        Self { item: None, is_stale: false, lease: None, ..self }
    }

    /// The same with the client flags as their owner gave them: without the stamp.
    pub(crate) fn unstamped(mut self) -> Self {
        if let Some(item) = &mut self.item {
            self.stamp_taken = (item.client_flags >> STAMP_SHIFT) as u16;
            item.client_flags &= FLAGS_OF_CALLERS;
        }
        self
    }

    /// The client flags of its `item` with the stamp that [`unstamped`](Self::unstamped) has taken off.
    pub(crate) fn stamped(&self, item: &Item) -> u32 {
        item.client_flags | u32::from(self.stamp_taken) << STAMP_SHIFT
    }

    /// The stamp of its item.
    pub(crate) fn stamp(&self) -> Option<u16> {
        self.item.as_ref().map(|item| (item.client_flags >> STAMP_SHIFT) as u16)
    }
}

/// The item that an `mg` found, if any, and what was said beside it. A lease that nobody has filled is a miss.
pub(crate) fn item(reply: Reply) -> Result<(Option<Item>, ReplyFlags), NodeError> {
    let (value, flags) = match reply {
        Reply::Value(value, flags) => (value, flags),
        Reply::Miss(flags) => return Ok((None, flags)),
        other => return Err(unexpected(other)),
    };
    let client_flags = flags.client_flags.unwrap_or(0);
    let is_lease = (flags.won || flags.lost) && value.is_empty() && client_flags == 0;
    Ok(((!is_lease).then_some(Item { value, client_flags }), flags))
}

const FLAGS_OF_CALLERS: u32 = 0xffff;
const STAMP_SHIFT: u32 = 16;
