//! A list that is refreshed on a schedule: how long it is kept, and how it is stored.
//!
//! The list is one item, so that readers have the old one or the new one and nothing in between. Before its rows stand
//! 32 bytes: when it was computed (seconds since 1970, 8 bytes), its period (seconds, 4), how many rows it has (4), and
//! a digest of them (16), all with the greatest byte first.
//!
//! How old a list is says the time that its item has left: it is stored, and touched, for a time that follows from its
//! period, so no writer's clock is compared with a reader's. A refresh that finds the same rows touches the item, and
//! its age begins anew; the time in front of the rows stays, for it says when they were first seen so.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use larder_client::{Key, Read, Ttl};
use sha2::{Digest, Sha256};

use crate::answer::Outcome;
use crate::packed::Unpacked;
use crate::policy::{Policy, TTL_SLACK_SECS, schema};
use crate::value::Loaded;

/// A list that is refreshed on a schedule.
///
/// ```
/// use std::time::Duration;
///
/// use larder_cache::TimedList;
/// use larder_client::Key;
///
/// let key = Key::compose(["top-list", "busiest-routes"])?;
/// let list = TimedList::new(key, Duration::from_secs(300), Duration::from_secs(10))?;
/// assert_eq!(list.ttl().as_secs(), 900);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TimedList {
    pub(crate) key: Key,
    /// Who refreshes it holds a lease on this one.
    pub(crate) lock: Key,
    pub(crate) policy: Policy,
    period_secs: u32,
}

impl TimedList {
    /// The list under `key`, refreshed every `period` (whole seconds, [`MIN_PERIOD`](Self::MIN_PERIOD) to
    /// [`MAX_PERIOD`](Self::MAX_PERIOD)) by a query that may take `load_for`.
    ///
    /// # Errors
    ///
    /// [`InvalidTimedList`] for other periods, and for a query that may take so long that one who died of it would not
    /// be replaced by the next run.
    pub fn new(key: Key, period: Duration, load_for: Duration) -> Result<Self, InvalidTimedList> {
        if !(Self::MIN_PERIOD..=Self::MAX_PERIOD).contains(&period) {
            return Err(InvalidTimedList::Period);
        }
        let longest = Self::longest_load(period);
        if load_for.is_zero() || load_for > longest {
            return Err(InvalidTimedList::LoadFor { longest });
        }
        let lease_for = Ttl::clamped((load_for + LEASE_MARGIN).as_secs_f64().ceil() as u64);
        let period_secs = period.as_secs() as u32;
        let policy = Policy {
            // Whoever finds a list answers it: only the schedule refreshes it.
            grace: Duration::ZERO,
            early: Duration::ZERO,
            jitter: 0.0,
            negative_for: Ttl::MIN,
            load_for,
            lease_for,
            wait_for: load_for,
            stale_on_error: false,
            stale_after_invalidate: false,
            schema: FORMAT,
            ..Policy::fresh_for(kept_for(period_secs))
        };
        Ok(Self { lock: lock_of(&key), key, policy, period_secs })
    }

    /// Under which key it is stored.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// How often it is refreshed.
    pub fn period(&self) -> Duration {
        Duration::from_secs(self.period_secs.into())
    }

    /// How long its query may take.
    pub fn load_for(&self) -> Duration {
        self.policy.load_for
    }

    /// How long it is kept where nobody refreshes it: three periods, and 15 minutes at least, which is longer than a
    /// change of the ring, in which no item is replaced.
    pub fn ttl(&self) -> Ttl {
        self.policy.fresh_for
    }

    /// How long the query of a list with this `period` may take: whoever refreshes it has a lease for as long, which
    /// has to end before the next run.
    pub fn longest_load(period: Duration) -> Duration {
        let leased = period.min(LONGEST_LEASE);
        leased.saturating_sub(LEASE_MARGIN)
    }

    /// The shortest period.
    pub const MIN_PERIOD: Duration = Duration::from_secs(30);
    /// The longest period, three of which are less than an item may live.
    pub const MAX_PERIOD: Duration = Duration::from_secs(7 * 86_400);

    /// The list that was `read`; `None` for a miss, for one that is marked stale, for what is no list, and for an item
    /// that has more time left than a list is kept for.
    pub(crate) fn found(&self, read: &Read) -> Option<ListAnswer> {
        let item = read.item.as_ref().filter(|_| !read.is_stale)?;
        let kept = KeptList::decode(&Unpacked::of(item, FORMAT).ok()?.value)?;
        let kept_secs = u64::from(kept_for(kept.period_secs).as_secs());
        // One that is kept for longer has not been stored by us, and would never be due.
        if read.ttl_secs > kept_secs + TTL_SLACK_SECS {
            return None;
        }
        let age = kept_secs.saturating_sub(read.ttl_secs);
        let is_late = age > 2 * u64::from(kept.period_secs);
        let outcome = if is_late { Outcome::Stale } else { Outcome::Hit };
        Some(kept.into_answer(Duration::from_secs(age), outcome, Some(Arc::clone(&read.node))))
    }

    /// What is stored of `items` that were computed at `now`.
    pub(crate) fn keep(&self, items: ListItems, now: SystemTime) -> KeptList {
        KeptList {
            computed_at: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            period_secs: self.period_secs,
            count: items.count,
            digest: ListDigest::of(&items.json),
            items: items.json,
        }
    }
}

/// The rows of a list, in its order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListItems {
    json: Bytes,
    count: u32,
}

impl ListItems {
    /// Takes rows, each a text in JSON.
    ///
    /// ```
    /// let items = larder_cache::ListItems::of([r#"{"dest":"IAH"}"#, r#"{"dest":"MIA"}"#]);
    /// assert_eq!((items.json(), items.count()), (&br#"[{"dest":"IAH"},{"dest":"MIA"}]"#[..], 2));
    /// ```
    pub fn of<R: AsRef<[u8]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let (mut json, mut count) = (BytesMut::from(&b"["[..]), 0);
        for row in rows {
            if count > 0 {
                json.put_u8(b',');
            }
            json.put_slice(row.as_ref());
            count += 1;
        }
        json.put_u8(b']');
        Self { json: json.freeze(), count }
    }

    /// A JSON array of them.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// The answer to a read of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListAnswer {
    /// A JSON array of its rows, in their order.
    pub items: Bytes,
    /// How many rows.
    pub count: u32,
    /// When these rows were first computed, in seconds since 1970, by the clock of whoever did.
    pub computed_at: u64,
    /// The period of whoever did.
    pub period: Duration,
    /// The digest of the rows: the same for as long as they are.
    pub digest: ListDigest,
    /// How long ago the origin has last confirmed them, to the second.
    pub age: Duration,
    /// Where it came from; [`Outcome::Stale`] for a list whose last two refreshes did not come.
    pub outcome: Outcome,
    /// `host:port` of the node that answered; `None` where none did.
    pub node: Option<Arc<str>>,
}

/// A digest of rows: the first 128 bits of their SHA-256.
///
/// It says "unchanged" to whoever refreshes the list and to every client that has it already, so no two lists may have
/// the same one, not even by design; a checksum would not do. SHA-256 is linked in for keys, anyway.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ListDigest([u8; 16]);

impl ListDigest {
    fn of(rows: &[u8]) -> Self {
        let whole: [u8; 32] = Sha256::digest(rows).into();
        let [digest, _] = [0, 16].map(|at| std::array::from_fn(|nth| whole[at + nth]));
        Self(digest)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for ListDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ListDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A [`TimedList`] that cannot work.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTimedList {
    /// A period out of bounds.
    #[error("the period of a list is 30 seconds to 7 days")]
    Period,
    /// A query that may take too long, or no time at all.
    #[error("a query that is repeated so often may take {longest:?} at most")]
    LoadFor {
        /// The longest time that it may take.
        longest: Duration,
    },
}

/// A list as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct KeptList {
    pub(crate) computed_at: u64,
    pub(crate) period_secs: u32,
    pub(crate) count: u32,
    pub(crate) digest: ListDigest,
    pub(crate) items: Bytes,
}

impl KeptList {
    pub(crate) fn encode(&self) -> Bytes {
        let mut value = BytesMut::with_capacity(HEADER_LEN + self.items.len());
        value.put_u64(self.computed_at);
        value.put_u32(self.period_secs);
        value.put_u32(self.count);
        value.put_slice(&self.digest.0);
        value.put_slice(&self.items);
        value.freeze()
    }

    /// Reads a value; `None` for one that no list can have.
    pub(crate) fn decode(value: &Bytes) -> Option<Self> {
        let (computed_at, rest) = value.split_first_chunk()?;
        let (period_secs, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (digest, _) = rest.split_first_chunk()?;
        let items = value.slice(HEADER_LEN..);
        let is_array = items.first() == Some(&b'[') && items.last() == Some(&b']');
        is_array.then(|| Self {
            computed_at: u64::from_be_bytes(*computed_at),
            period_secs: u32::from_be_bytes(*period_secs),
            count: u32::from_be_bytes(*count),
            digest: ListDigest(*digest),
            items,
        })
    }

    pub(crate) fn to_loaded(&self) -> Loaded {
        Loaded::raw(self.encode())
    }

    pub(crate) fn into_answer(self, age: Duration, outcome: Outcome, node: Option<Arc<str>>) -> ListAnswer {
        let Self { computed_at, period_secs, count, digest, items } = self;
        let period = Duration::from_secs(period_secs.into());
        ListAnswer { items, count, computed_at, period, digest, age, outcome, node }
    }
}

/// How long a list of this period is kept.
fn kept_for(period_secs: u32) -> Ttl {
    Ttl::clamped(u64::from(period_secs).saturating_mul(PERIODS_KEPT).max(SHORTEST_KEPT_SECS))
}

/// The key of the lease of whoever refreshes the list under `key`. It is one of ours, so it is never warmed.
fn lock_of(key: &Key) -> Key {
    let named = Key::new(&[LOCK, key.as_bytes()].concat());
    named.unwrap_or_else(|_| {
        let digest = format!("{}{}", String::from_utf8_lossy(LOCK), ListDigest::of(key.as_bytes()));
        Key::new(digest.as_bytes()).expect("a name and 32 digits are a key")
    })
}

/// The shape of what is stored: a change of it is another number.
const FORMAT: u8 = schema("timed list 1: computed_at, period, count, digest, rows");
const HEADER_LEN: usize = 32;
const LOCK: &[u8] = b"larder~refresh~";
/// So that nobody sees that two runs in a row have failed.
const PERIODS_KEPT: u64 = 3;
const SHORTEST_KEPT_SECS: u64 = 900;
/// What looking at the cache, storing and memcached's clock may take beside the query.
const LEASE_MARGIN: Duration = Duration::from_secs(3);
const LONGEST_LEASE: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn list(period_secs: u64) -> TimedList {
        let key = Key::new(b"top-list:a").unwrap();
        TimedList::new(key, Duration::from_secs(period_secs), Duration::from_secs(1)).unwrap()
    }

    proptest! {
        #[test]
        fn a_list_comes_back_as_it_was(
            computed_at: u64,
            period_secs: u32,
            rows in vec("[ -~]{0,20}", 0..10),
        ) {
            let ListItems { json, count } = ListItems::of(&rows);
            let kept =
                KeptList { computed_at, period_secs, count, digest: ListDigest::of(&json), items: json };
            prop_assert_eq!(count as usize, rows.len());
            prop_assert_eq!(KeptList::decode(&kept.encode()), Some(kept));
        }

        #[test]
        fn bytes_of_whatever_origin_are_a_list_that_is_stored_as_just_them_or_none(value in vec(any::<u8>(), 0..100)) {
            let value = Bytes::from(value);
            if let Some(kept) = KeptList::decode(&value) {
                prop_assert_eq!(kept.encode(), value);
            }
        }
    }

    #[test]
    fn a_list_is_kept_for_three_periods_and_through_a_change_of_the_ring() {
        for (period, ttl) in [(30, 900), (300, 900), (301, 903), (604_800, 1_814_400)] {
            assert_eq!(list(period).ttl().as_secs(), ttl);
            assert_eq!(list(period).policy.check(), Ok(()));
        }
    }

    #[test]
    fn a_lease_ends_before_the_next_run() {
        let key = Key::new(b"a").unwrap();
        let of = |period, load| {
            let (period, load) = (Duration::from_secs(period), Duration::from_millis(load));
            TimedList::new(key.clone(), period, load).map(|list| list.policy.lease_for.as_secs())
        };
        assert_eq!(of(30, 27_000), Ok(30));
        assert_eq!(of(30, 26_001), Ok(30));
        let longest = Duration::from_secs(27);
        assert_eq!(of(30, 27_001), Err(InvalidTimedList::LoadFor { longest }));
        assert_eq!(of(86_400, 897_000), Ok(900));
        assert!(of(86_400, 897_001).is_err() && of(30, 0).is_err());
        assert_eq!([of(29, 1), of(604_801, 1)], [Err(InvalidTimedList::Period); 2]);
    }

    #[test]
    fn what_is_stored_has_its_numbers_in_front_and_is_read_back() {
        let kept = list(300).keep(ListItems::of(["1", "2"]), UNIX_EPOCH + Duration::from_millis(7_900));
        let value = kept.encode();
        assert_eq!(&value[..16], b"\0\0\0\0\0\0\0\x07\0\0\x01\x2c\0\0\0\x02");
        assert_eq!(&value[HEADER_LEN..], b"[1,2]");
        assert_eq!(KeptList::decode(&value), Some(kept));
        for len in 0..value.len() {
            assert_eq!(KeptList::decode(&value.slice(..len)), None, "{len} bytes");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_rows() {
        let of = |rows: &[&str]| list(300).keep(ListItems::of(rows), UNIX_EPOCH).digest;
        // sha256sum of `[]`.
        assert_eq!(of(&[]).to_string(), "4f53cda18c2baa0c0354bb5f9a3ecbe5");
        assert_ne!(of(&["1", "2"]), of(&["2", "1"]));
    }

    #[test]
    fn every_list_has_a_lock_of_its_own() {
        let lock = |text: &str| lock_of(&Key::new(text.as_bytes()).unwrap());
        assert_eq!(lock("top-list:a").as_bytes(), b"larder~refresh~top-list:a");
        let long = "x".repeat(Key::MAX_LEN);
        assert_ne!(lock(&long), lock(&long.replacen('x', "y", 1)));
        assert_eq!(lock(&long).as_bytes().len(), LOCK.len() + 32);
    }
}
