//! The requests to one node, as [`Request`]s: what they send and how they are answered.

use bytes::BytesMut;
use larder_meta::{
    CONFIG_GET, Key, MetaArithmetic, MetaDelete, MetaExpire, MetaGet, MetaSet, NOOP, encode_get_many,
    encode_stats,
};

use crate::answer::Awaited;
use crate::item::{Cas, NewItem};
use crate::node::Request;

/// One `mg`.
pub(crate) struct Get<'a> {
    pub(crate) key: &'a Key,
    pub(crate) get: MetaGet,
}

impl Request for Get<'_> {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        self.get.encode(self.key, out);
        Awaited::Reply
    }
}

/// The same `mg` for those of `keys` that `members` names.
pub(crate) struct GetEach<'a> {
    pub(crate) keys: &'a [Key],
    pub(crate) members: &'a [u32],
    pub(crate) get: MetaGet,
}

impl Request for GetEach<'_> {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        for member in self.members {
            self.get.encode(&self.keys[*member as usize], out);
        }
        Awaited::replies(self.members.len())
    }
}

/// A classic `get` of those of `keys` that `members` names, in as many lines as it takes.
pub(crate) struct GetPlain<'a> {
    pub(crate) keys: &'a [Key],
    pub(crate) members: &'a [u32],
}

impl Request for GetPlain<'_> {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        let (mut rest, mut lines) = (self.members, 0);
        while !rest.is_empty() {
            let count = encode_get_many(rest.iter().map(|member| &self.keys[*member as usize]), out);
            rest = &rest[count..];
            lines += 1;
        }
        Awaited::texts(lines, self.members.len())
    }
}

/// One `ms`. Not repeatable: in between, somebody may have stored a newer value.
pub(crate) struct Set<'a> {
    pub(crate) key: &'a Key,
    pub(crate) value: &'a [u8],
    pub(crate) set: MetaSet,
}

impl Request for Set<'_> {
    const IS_REPEATABLE: bool = false;
    const HAS_DATA: bool = true;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        self.set.encode(self.key, self.value, out);
        Awaited::Reply
    }
}

/// Something to store as part of a batch.
pub(crate) trait ToStore {
    /// The item.
    fn item(&self) -> &NewItem<'_>;
    /// How to store it.
    fn set(&self) -> MetaSet;
}

/// Those of `items` that `members` names, stored without a word where they are short, and `mn`.
pub(crate) struct SetEach<'a, T> {
    pub(crate) items: &'a [T],
    pub(crate) members: &'a [u32],
}

impl<T: ToStore> Request for SetEach<'_, T> {
    const IS_REPEATABLE: bool = false;
    const HAS_DATA: bool = true;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        for member in self.members {
            let stored = &self.items[*member as usize];
            let (item, set) = (stored.item(), stored.set());
            let quiet = item.value.len() < LEAST_TOLD_BYTES;
            // Only what is compared can be refused item by item, and has to tell which it was.
            let opaque = set.compare.map(|_| *member);
            MetaSet { quiet, opaque, ..set }.encode(item.key, item.value, out);
        }
        out.extend_from_slice(NOOP);
        Awaited::until_noop(self.members.len())
    }
}

/// One `md`. Doing it twice can at most remove a newer value, which is a miss and no harm.
pub(crate) struct Delete<'a> {
    pub(crate) key: &'a Key,
    pub(crate) delete: MetaDelete,
}

impl Request for Delete<'_> {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;
    const INSISTS: bool = true;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        self.delete.encode(self.key, out);
        Awaited::Reply
    }
}

/// Takes an item away if its CAS token is the one we know.
pub(crate) struct Expire<'a> {
    pub(crate) key: &'a Key,
    pub(crate) cas: Cas,
}

impl Request for Expire<'_> {
    const IS_REPEATABLE: bool = false;
    const HAS_DATA: bool = true;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        MetaExpire { compare: self.cas.token }.encode(self.key, out);
        Awaited::Reply
    }
}

/// One `ma`. Not repeatable: it would count twice.
pub(crate) struct Count<'a> {
    pub(crate) key: &'a Key,
    pub(crate) count: MetaArithmetic,
}

impl Request for Count<'_> {
    const IS_REPEATABLE: bool = false;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        self.count.encode(self.key, out);
        Awaited::Reply
    }
}

/// An `md` for each of those of `keys` that `members` names.
pub(crate) struct DeleteEach<'a> {
    pub(crate) keys: &'a [&'a Key],
    pub(crate) members: &'a [u32],
}

impl Request for DeleteEach<'_> {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;
    const INSISTS: bool = true;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        for member in self.members {
            MetaDelete::default().encode(self.keys[*member as usize], out);
        }
        Awaited::replies(self.members.len())
    }
}

/// Another request, and behind it a look at which ring document the node holds.
///
/// Behind it, because epochs only grow: a node that has no later document when it is looked at had none when it
/// answered.
pub(crate) struct WithRingCheck<'a, R>(pub(crate) &'a R);

impl<R: Request> Request for WithRingCheck<'_, R> {
    const IS_REPEATABLE: bool = R::IS_REPEATABLE;
    const HAS_DATA: bool = R::HAS_DATA;
    const INSISTS: bool = R::INSISTS;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        let first = self.0.encode(out);
        out.extend_from_slice(RING_CHECK);
        Awaited::with_reply(first)
    }
}

/// The ring document, its epoch and its CAS token.
pub(crate) struct GetDocument;

impl Request for GetDocument {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        out.extend_from_slice(GET_DOCUMENT);
        Awaited::Reply
    }
}

/// The topology, as every node of a cluster tells it.
pub(crate) struct GetTopology;

impl Request for GetTopology {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        out.extend_from_slice(CONFIG_GET);
        Awaited::texts(1, 1)
    }
}

/// `mn`, which does nothing.
pub(crate) struct Noop;

impl Request for Noop {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        out.extend_from_slice(NOOP);
        Awaited::Reply
    }
}

/// `stats`, perhaps of one group.
pub(crate) struct Stats<'a> {
    pub(crate) group: Option<&'a Key>,
}

impl Request for Stats<'_> {
    const IS_REPEATABLE: bool = true;
    const HAS_DATA: bool = false;

    fn encode(&self, out: &mut BytesMut) -> Awaited {
        encode_stats(self.group, out);
        Awaited::texts(1, MOST_STATS)
    }
}

/// 18 bytes, answered by about as many: what the ring costs an environment in quiet times, once in an interval.
const RING_CHECK: &[u8] = b"mg larder~ring f\r\n";
/// Asks for the ring document.
pub(crate) const GET_DOCUMENT: &[u8] = b"mg larder~ring c f v\r\n";
/// From this length on a store is answered, whatever comes of it. A node keeps a long value in chunks, of `slab_chunk_max`
/// bytes: where memory runs out in between, a quiet store is told nothing, and an older value stays.
///
/// Source: memcached `memcached.c`, `out_of_memory` in the state `conn_nread`; 1.6.18.
const LEAST_TOLD_BYTES: usize = 4 << 10;
/// Most statistics that are taken from one node; `stats slabs` of a full one has some thousands.
const MOST_STATS: usize = 16 << 10;
