//! What goes into the cache and what comes out.

use bytes::Bytes;
use larder_meta::{Key, MetaSet, Ttl};

use crate::NodeError;

/// An item as a read gives it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// The value. It shares the buffer that it was received in: copy it before keeping it for long.
    pub value: Bytes,
    /// The client flags that it was stored with.
    pub client_flags: u32,
}

impl Item {
    /// The number that [`increment`](crate::Cluster::increment) and [`decrement`](crate::Cluster::decrement) keep here;
    /// `None` where the value is none.
    ///
    /// A node keeps a number in as many bytes as it took before, with blanks behind its digits: 1 from `100` is `"99 "`.
    /// Source: memcached, `protocol.txt`, "Increment/Decrement".
    ///
    /// ```
    /// use larder_client::Item;
    ///
    /// let item = |value: &'static str| Item { value: value.into(), client_flags: 0 };
    /// assert_eq!(item("99 ").count(), Some(99));
    /// assert_eq!(item("many").count(), None);
    /// ```
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        let digits = self.value.trim_ascii_end();
        let is_plain = digits.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
    }
}

/// An item to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewItem<'a> {
    /// Under which key.
    pub key: &'a Key,
    /// The value; with key and overhead at most [`Config::max_item_len`](crate::Config::max_item_len).
    pub value: &'a [u8],
    /// Client flags, given back by every read.
    pub client_flags: u32,
    /// How long it may live.
    pub ttl: Ttl,
}

impl NewItem<'_> {
    /// Compares what the item takes on its node with `limit`.
    pub(crate) fn check_len(&self, limit: usize) -> Result<(), NodeError> {
        let item_len = self.key.as_bytes().len() + self.value.len() + OVERHEAD_BYTES;
        if item_len > limit { Err(NodeError::TooLong { item_len, limit }) } else { Ok(()) }
    }

    /// The request that stores it, whatever was there.
    pub(crate) fn to_set(self) -> MetaSet {
        MetaSet { client_flags: self.client_flags, ..MetaSet::new(self.ttl) }
    }
}

/// The version of an item on its node, which changes with every store.
///
/// Good on the connection that it was read by, and no longer: the tokens of a node begin anew when it restarts, and an
/// old one could match a newer item. [`Cluster::compare_and_set`](crate::Cluster::compare_and_set) refuses a token whose
/// connection is gone, whether the node has restarted or not: the caller reads again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cas {
    pub(crate) token: u64,
    /// The number of the connection that told it, which no other of this process has.
    pub(crate) connection: u64,
}

/// What came of a store that asks for something first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stored {
    /// It is stored.
    Yes,
    /// It is not: another item is there, or the same one in another version, or that can no longer be told, for the
    /// connection that the version was read by is gone.
    Refused,
    /// It is not: there is no item.
    Missing,
}

/// What a node needs beside key and value: 48 bytes of header, 8 of CAS, and what its allocator loses. With a key
/// of 4 bytes memcached 1.6.18 takes a value of 1,048,376 bytes and refuses one of 1,048,516.
const OVERHEAD_BYTES: usize = 196;
