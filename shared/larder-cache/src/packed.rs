//! A value as it is stored: behind how its tags stood and its version, and compressed where that makes it smaller.

use std::borrow::Cow;
use std::cell::RefCell;

use bytes::Bytes;
use larder_client::{Item, Key, NewItem, Read, Ttl};
use zstd::bulk::Decompressor;

use crate::format::{ItemFlags, Kind};
use crate::policy::Policy;
use crate::tags::Standing;
use crate::value::Loaded;

/// What is to be stored under a key.
#[derive(Debug)]
pub(crate) struct Packed<'v> {
    value: Cow<'v, [u8]>,
    flags: ItemFlags,
    ttl: Ttl,
}

impl<'v> Packed<'v> {
    /// What the origin has loaded for `key`, or that it has no such record, with its `tags` as they stood before it was
    /// asked.
    pub(crate) fn of(loaded: Option<&'v Loaded>, key: &Key, policy: &Policy, tags: Standing) -> Self {
        let tags = match tags {
            Standing::Known(tags) => Some(tags),
            // Nothing is stored whose tags are not known.
            Standing::Untagged | Standing::Unknown => None,
        };
        let Some(loaded) = loaded else {
            let flags =
                ItemFlags { has_tags: tags.is_some(), ..ItemFlags::new(Kind::NotFound, policy.schema) };
            return Self { value: behind(tags, None, Cow::default()), flags, ttl: policy.negative_ttl(key) };
        };
        let kind = if loaded.is_json { Kind::Json } else { Kind::Raw };
        let compressed = policy.compress_from.filter(|least| loaded.value.len() >= *least);
        let compressed = compressed.and_then(|_| compress(&loaded.value));
        let flags = ItemFlags {
            is_compressed: compressed.is_some(),
            has_version: loaded.version.is_some(),
            has_own_ttl: loaded.fresh_for.is_some(),
            has_tags: tags.is_some(),
            ..ItemFlags::new(kind, policy.schema)
        };
        let value = compressed.map_or(Cow::Borrowed(&loaded.value[..]), Cow::Owned);
        let value = behind(tags, loaded.version, value);
        Self { value, flags, ttl: policy.value_ttl(key, loaded.fresh_for) }
    }

    /// That the origin has failed, to be believed for `ttl`.
    pub(crate) fn failing(policy: &Policy, ttl: Ttl) -> Self {
        let flags = ItemFlags::new(Kind::Failing, policy.schema);
        Self { value: Cow::default(), flags, ttl: policy.failing_ttl(ttl) }
    }

    /// That the value is too long to be stored, as every one is from this `len` on.
    pub(crate) fn uncacheable(policy: &Policy, len: usize) -> Self {
        let flags = ItemFlags::new(Kind::Uncacheable, policy.schema);
        let value = (len as u64).to_be_bytes().to_vec();
        Self { value: Cow::Owned(value), flags, ttl: UNCACHEABLE_FOR }
    }

    /// How many bytes are stored.
    pub(crate) fn len(&self) -> usize {
        self.value.len()
    }

    pub(crate) fn item<'a>(&'a self, key: &'a Key) -> NewItem<'a> {
        NewItem { key, value: &self.value, client_flags: self.flags.encode(), ttl: self.ttl }
    }
}

/// Why what was found under a key cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotOurs {
    /// It is of another schema, whose readers have use for it.
    OtherSchema,
    /// It is of an unknown format or broken: of use to no reader.
    Foreign,
}

/// What was found under a key, if it is ours.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) flags: ItemFlags,
    pub(crate) tags: Option<u64>,
    pub(crate) version: Option<u64>,
    /// What the kind of the item says; empty for those that have no bytes.
    pub(crate) value: Bytes,
}

impl Unpacked {
    /// How the tags of what was `read` stood when it was stored; `None` for a miss, for what is not ours, and for what
    /// says nothing of the record.
    pub(crate) fn tags_of(read: &Read, schema: u8) -> Option<Option<u64>> {
        let item = read.item.as_ref()?;
        let flags = ItemFlags::decode(item.client_flags).filter(|flags| flags.schema == schema)?;
        let tags = flags.has_tags.then(|| take_number(&mut item.value.clone())).flatten();
        flags.kind.is_of_record().then_some(tags)
    }

    /// Reads an `item`.
    pub(crate) fn of(item: &Item, schema: u8) -> Result<Self, NotOurs> {
        let flags = ItemFlags::decode(item.client_flags).ok_or(NotOurs::Foreign)?;
        if flags.schema != schema {
            return Err(NotOurs::OtherSchema);
        }
        Self::of_flags(item, flags).ok_or(NotOurs::Foreign)
    }

    /// Reads an `item` of these `flags`; `None` for one that is broken.
    fn of_flags(item: &Item, flags: ItemFlags) -> Option<Self> {
        let mut value = item.value.clone();
        let tags = if flags.has_tags { Some(take_number(&mut value)?) } else { None };
        let version = if flags.has_version { Some(take_number(&mut value)?) } else { None };
        if flags.is_compressed {
            value = decompress(&value)?.into();
        }
        Some(Self { flags, tags, version, value })
    }
}

/// `value` behind the numbers that there are.
fn behind(tags: Option<u64>, version: Option<u64>, value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if tags.is_none() && version.is_none() {
        return value;
    }
    let mut whole = Vec::with_capacity(2 * NUMBER_LEN + value.len());
    for number in [tags, version].into_iter().flatten() {
        whole.extend(number.to_be_bytes());
    }
    whole.extend_from_slice(&value);
    Cow::Owned(whole)
}

/// The number at the begin of `value`, taken off it; `None` where it is too short.
fn take_number(value: &mut Bytes) -> Option<u64> {
    let bytes = (value.len() >= NUMBER_LEN).then(|| value.split_to(NUMBER_LEN))?;
    Some(u64::from_be_bytes(bytes[..].try_into().ok()?))
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
    let len = Decompressor::upper_bound(compressed)?;
    let decompress =
        || DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(compressed, len).ok());
    (len <= MOST_VALUE_LEN).then(decompress).flatten()
}

thread_local! {
    /// Its context of some 100 KiB is made once, and not for every hit.
    static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
}

const NUMBER_LEN: usize = 8;
/// How long it is remembered that a value is too long. Its readers load it anyway, and see when it is not any more.
pub(crate) const UNCACHEABLE_FOR: Ttl = Ttl::clamped(30);
/// Fast, and most of what there is to gain on JSON.
const LEVEL: i32 = 1;
/// The longest value that is compressed, in bytes: a small item must not become a large one in an environment's memory.
const MOST_VALUE_LEN: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_comes_back_as_it_was_however_it_is_stored(
            bytes in prop_oneof![vec(any::<u8>(), 0..3000), vec(Just(b'v'), 0..3000)],
            is_json: bool,
            version: Option<u64>,
            tags: Option<u64>,
            compress_from in proptest::option::of(0..3000_usize),
        ) {
            let policy = Policy { compress_from, schema: 7, ..Policy::fresh_for(Ttl::clamped(100)) };
            let loaded = Loaded { value: bytes.clone().into(), is_json, version, fresh_for: None };
            let standing = tags.map_or(Standing::Untagged, Standing::Known);
            let key = Key::new(b"k").unwrap();
            let packed = Packed::of(Some(&loaded), &key, &policy, standing);
            let stored = packed.item(&key);
            prop_assert!(stored.value.len() <= bytes.len() + 2 * NUMBER_LEN, "no longer by compression");
            let item = Item { value: Bytes::copy_from_slice(stored.value), client_flags: stored.client_flags };
            let unpacked = Unpacked::of(&item, 7).unwrap();
            prop_assert_eq!((unpacked.value, unpacked.version, unpacked.tags), (bytes.into(), version, tags));
            prop_assert_eq!(Unpacked::of(&item, 8).err(), Some(NotOurs::OtherSchema));
        }

        #[test]
        fn bytes_of_whatever_origin_are_a_value_within_bounds_or_none(
            value in vec(any::<u8>(), 0..200),
            client_flags in 0..0x1_0000_u32,
        ) {
            check_bounds(value, client_flags);
        }

        #[test]
        fn what_was_compressed_and_then_broken_is_a_value_within_bounds_or_none(
            at in 0..1000_usize,
            by in 1..=255_u8,
            cut in 0..1000_usize,
        ) {
            let mut value = zstd::bulk::compress(&[b'v'; 100_000], LEVEL).unwrap();
            let len = value.len();
            value[at % len] ^= by;
            value.truncate(len - cut % len);
            check_bounds(value, 0x09);
        }
    }

    #[test]
    fn what_would_be_too_long_is_none_whatever_it_claims() {
        let bomb = zstd::bulk::compress(&vec![0; MOST_VALUE_LEN + 1], LEVEL).unwrap();
        assert!(bomb.len() < 10_000);
        assert!(Unpacked::of(&Item { value: bomb.into(), client_flags: 0x09 }, 0).is_err());
    }

    fn check_bounds(value: Vec<u8>, client_flags: u32) {
        let (len, schema) = (value.len(), (client_flags >> 8) as u8);
        if let Ok(unpacked) = Unpacked::of(&Item { value: value.into(), client_flags }, schema) {
            let most = if unpacked.flags.is_compressed { MOST_VALUE_LEN } else { len };
            assert!(unpacked.value.len() <= most);
        }
    }
}
