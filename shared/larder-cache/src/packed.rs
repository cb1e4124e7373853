//! A value as it is stored: behind its version, and compressed where that makes it smaller.

use std::borrow::Cow;

use bytes::Bytes;
use larder_client::{Item, Key, NewItem, Ttl};

use crate::format::{ItemFlags, Kind};
use crate::policy::Policy;
use crate::value::Loaded;

/// What is to be stored under a key.
#[derive(Debug)]
pub(crate) struct Packed<'v> {
    value: Cow<'v, [u8]>,
    flags: ItemFlags,
    ttl: Ttl,
}

impl<'v> Packed<'v> {
    /// What the origin has loaded for `key`, or that it has no such record.
    pub(crate) fn of(loaded: Option<&'v Loaded>, key: &Key, policy: &Policy) -> Self {
        let Some(loaded) = loaded else {
            let flags = ItemFlags::new(Kind::NotFound, policy.schema);
            return Self { value: Cow::default(), flags, ttl: policy.negative_ttl(key) };
        };
        let kind = if loaded.is_json { Kind::Json } else { Kind::Raw };
        let compressed = policy.compress_from.filter(|least| loaded.value.len() >= *least);
        let compressed = compressed.and_then(|_| compress(&loaded.value));
        let flags = ItemFlags {
            is_compressed: compressed.is_some(),
            has_version: loaded.version.is_some(),
            has_own_ttl: loaded.fresh_for.is_some(),
            ..ItemFlags::new(kind, policy.schema)
        };
        let mut value = compressed.map_or(Cow::Borrowed(&loaded.value[..]), Cow::Owned);
        if let Some(version) = loaded.version {
            value = Cow::Owned([&version.to_be_bytes()[..], &value].concat());
        }
        Self { value, flags, ttl: policy.value_ttl(key, loaded.fresh_for) }
    }

    /// That the origin has failed, to be believed for `ttl`.
    pub(crate) fn failing(policy: &Policy, ttl: Ttl) -> Self {
        let flags = ItemFlags::new(Kind::Failing, policy.schema);
        Self { value: Cow::default(), flags, ttl: policy.failing_ttl(ttl) }
    }

    pub(crate) fn item<'a>(&'a self, key: &'a Key) -> NewItem<'a> {
        NewItem { key, value: &self.value, client_flags: self.flags.encode(), ttl: self.ttl }
    }
}

/// What was found under a key, if it is ours.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) flags: ItemFlags,
    pub(crate) version: Option<u64>,
    /// Empty but for values.
    pub(crate) value: Bytes,
}

impl Unpacked {
    /// Reads an `item`; `None` for one that is not ours, of another schema, or broken.
    pub(crate) fn of(item: &Item, schema: u8) -> Option<Self> {
        let flags = ItemFlags::decode(item.client_flags).filter(|flags| flags.schema == schema)?;
        let mut value = item.value.clone();
        let version = match flags.has_version {
            true if value.len() < VERSION_LEN => return None,
            true => Some(u64::from_be_bytes(value.split_to(VERSION_LEN)[..].try_into().ok()?)),
            false => None,
        };
        if flags.is_compressed {
            value = decompress(&value)?.into();
        }
        Some(Self { flags, version, value })
    }
}

/// `value` compressed; `None` where that does not make it smaller.
fn compress(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() > MOST_VALUE_LEN {
        return None;
    }
    let compressed = zstd::bulk::compress(value, LEVEL).ok()?;
    (compressed.len() < value.len()).then_some(compressed)
}

/// The value that was `compressed`; `None` for bytes that are none, and for what would take more than
/// [`MOST_VALUE_LEN`].
fn decompress(compressed: &[u8]) -> Option<Vec<u8>> {
    if compressed.is_empty() {
        return None;
    }
    // The length that the bytes claim bounds what is reserved, and what is reserved bounds what is written.
    let len = zstd::bulk::Decompressor::upper_bound(compressed)?;
    (len <= MOST_VALUE_LEN).then(|| zstd::bulk::decompress(compressed, len).ok()).flatten()
}

const VERSION_LEN: usize = 8;
/// Fast, and most of what there is to gain on JSON.
const LEVEL: i32 = 1;
/// The longest value that is compressed, in bytes: a small item must not become a large one in an environment's memory.
const MOST_VALUE_LEN: usize = 16 << 20;
