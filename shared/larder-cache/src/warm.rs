//! Warming: what the fleet reads most is copied to the nodes that are about to own it.

use std::collections::HashSet;
use std::fmt;
use std::ops::AddAssign;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use larder_client::{Cluster, Copied, Key};
use larder_ring::{HotPhase, Ring, RingDocument};
use tokio::time::{Instant, sleep_until};

use crate::catalogue::Catalogue;
use crate::record::{Record, record_key};

/// How nodes are warmed: within which limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// How long a warm-up lasts at least, from the document on that begins it. Meanwhile every key that is read is
    /// copied by its reader, so what is read within this time is warm, whether it stands in the catalogue or not.
    pub least: Duration,
    /// How long it lasts at most, from the same document on, whatever is left to copy and however many runs it takes.
    pub most: Duration,
    /// The most keys that are copied.
    pub keys: usize,
    /// The most bytes of values that are copied, give or take what differs from their average in one batch.
    pub bytes: u64,
    /// The most keys that are copied in a second, from 1.
    pub keys_per_sec: u32,
}

impl Default for WarmUp {
    /// 10 s to a minute, 50,000 keys, 256 MiB, 5,000 keys a second.
    fn default() -> Self {
        Self {
            least: Duration::from_secs(10),
            most: Duration::from_secs(60),
            keys: Catalogue::MOST_KEYS,
            bytes: 256 << 20,
            keys_per_sec: 5_000,
        }
    }
}

/// What a warm-up has come to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Warmed {
    /// Keys that change their owner, and were to be copied.
    pub moving: usize,
    /// Keys whose items were copied.
    pub copied: usize,
    /// Keys that the next owners had already.
    pub there: usize,
    /// Keys that nobody had any more.
    pub missing: usize,
    /// Keys for which a node could not be asked.
    pub failed: usize,
    /// Bytes of the values that were copied or there.
    pub bytes: u64,
}

/// `9 keys move: 5 copied, 2 there already, 1 missing, 1 failed; 700 bytes`
impl fmt::Display for Warmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moving, copied, there, missing, failed, bytes } = self;
        write!(
            f,
            "{moving} keys move: {copied} copied, {there} there already, {missing} missing, {failed} failed; {bytes} bytes"
        )
    }
}

/// One warm-up: what [`Publisher`](crate::Publisher) does between two steps of a change, and whoever warms nodes by
/// hand.
///
/// ```no_run
/// # async fn example(cluster: larder_client::Cluster) -> Result<(), larder_client::Error> {
/// use larder_cache::{WarmUp, Warmer};
/// use tokio::time::Instant;
///
/// let warm_up = WarmUp::default();
/// let warmer = Warmer::new(&cluster, &warm_up);
/// if let Some(document) = cluster.ring_document().await? {
///     let keys: Vec<_> = warmer.catalogue().await.keys().iter().map(|(key, _)| key.clone()).collect();
///     let moving = warmer.moving(&document, &keys);
///     let warmed = warmer.copy(moving, Instant::now() + warm_up.most, |warmed| println!("{warmed:?}")).await;
///     println!("{} keys copied", warmed.copied);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Warmer<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) warm_up: &'a WarmUp,
}

impl<'a> Warmer<'a> {
    /// Warms the nodes of `cluster` within the limits of `warm_up`.
    pub fn new(cluster: &'a Cluster, warm_up: &'a WarmUp) -> Self {
        Self { cluster, warm_up }
    }

    /// Copies the copies of hot keys, which no catalogue names, and the keys of the catalogue that move under
    /// `document`, most read first, until `deadline` at most; lasts for [`WarmUp::least`] at least.
    pub(crate) async fn warm(&self, document: &RingDocument, deadline: Instant) -> Warmed {
        let begun = self.begun(document);
        let most = deadline.min(begun + self.warm_up.most);
        let mut keys = copies(document);
        let catalogue = self.catalogue().await;
        let hot: HashSet<&Key> = keys.iter().collect();
        let others = catalogue.keys().iter().map(|(key, _)| key).filter(|key| !hot.contains(key));
        let others: Vec<Key> = others.cloned().collect();
        keys.extend(others);
        let keys = self.moving(document, &keys);
        let warmed = self.copy(keys, most, |warmed| {
            tracing::info!(
                copied = warmed.copied,
                there = warmed.there,
                moving = warmed.moving,
                bytes = warmed.bytes,
                "warming"
            );
        });
        let warmed = warmed.await;
        sleep_until(most.min(begun + self.warm_up.least)).await;
        warmed
    }

    /// When `document` was published, or now if that is in the future, by a clock that was ahead. A run that goes on
    /// where another one ended does not begin anew: else many short ones would never come to an end.
    fn begun(&self, document: &RingDocument) -> Instant {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = now.saturating_sub(Duration::from_millis(document.time_ms));
        let most = self.warm_up.most.max(self.warm_up.least);
        let now = Instant::now();
        now.checked_sub(age.min(most)).unwrap_or(now)
    }

    /// What the environments have told of what they read: of [`WarmUp::keys`] keys at most, or
    /// [`Catalogue::MOST_KEYS`] where that is more. A node that cannot be asked, and a record that cannot be read, are
    /// logged and left out.
    pub async fn catalogue(&self) -> Catalogue {
        let keys: Vec<Key> = (0..Record::SLOTS).map(record_key).collect();
        let nodes = self.cluster.nodes().await.unwrap_or_default();
        let records = join_all(nodes.iter().map(|node| node.get_many(&keys))).await;
        let records = nodes.iter().zip(records).flat_map(|(node, records)| {
            records.unwrap_or_else(|error| {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(node = node.name(), error, "catalogue not read");
                Vec::new()
            })
        });
        let records = records.flatten().filter_map(|item| {
            Record::decode(&item.value)
                .inspect_err(|error| {
                    tracing::warn!(
                        error = error as &dyn std::error::Error,
                        "record of the catalogue not read"
                    )
                })
                .ok()
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Catalogue::merge(records, now.as_secs(), self.warm_up.keys.max(Catalogue::MOST_KEYS))
    }

    /// Those of `keys` that change their owner from the present ring of `document` to the next one, in their order.
    /// None where there is no next ring.
    pub fn moving(&self, document: &RingDocument, keys: &[Key]) -> Vec<Key> {
        let kind = self.cluster.ring_kind();
        let (Ok(present), Ok(next)) = (Ring::new(kind, &document.nodes), Ring::new(kind, &document.next))
        else {
            return Vec::new();
        };
        let mut moving = Vec::new();
        present.moved_keys(&next, keys, |key, _, _| moving.push(keys[key].clone()));
        moving
    }

    /// Copies `keys`, in their order, until `end` at most or until [`WarmUp::bytes`] are reached, and no faster than
    /// [`WarmUp::keys_per_sec`]; tells `progress` what it has come to after every few hundred.
    ///
    /// Keys are copied while the cluster goes by a document in the phase `warming`. In any other nothing is done for
    /// them, and they are counted as moving alone. If the future is dropped, what has been copied stays.
    pub async fn copy(&self, keys: Vec<Key>, end: Instant, mut progress: impl FnMut(&Warmed)) -> Warmed {
        let mut warmed = Warmed { moving: keys.len(), ..Warmed::default() };
        let mut left = &keys[..keys.len().min(self.warm_up.keys)];
        let mut next = Instant::now();
        while !left.is_empty() {
            sleep_until(next.min(end)).await;
            let now = Instant::now();
            if now >= end || warmed.bytes >= self.warm_up.bytes {
                break;
            }
            let keys = left.split_off(..self.batch_len(&warmed).min(left.len())).unwrap_or_default();
            // What was late is not made up for: that would be more than is allowed in a second.
            next = next.max(now) + Duration::from_secs(keys.len() as u64) / self.warm_up.keys_per_sec.max(1);
            match self.cluster.until(end).copy_moving(keys).await {
                Ok(copied) => warmed += copied,
                Err(error) => {
                    warmed.failed += keys.len();
                    tracing::warn!(error = &error as &dyn std::error::Error, "keys not copied");
                }
            }
            progress(&warmed);
        }
        warmed
    }
}

impl Warmer<'_> {
    /// How many keys are copied next: as many as hold [`BATCH_BYTES`], and no more than the limit leaves, if they are
    /// of average length.
    fn batch_len(&self, warmed: &Warmed) -> usize {
        let values = (warmed.copied + warmed.there) as u64;
        let bytes = self.warm_up.bytes.saturating_sub(warmed.bytes).min(BATCH_BYTES);
        let fitting = match warmed.bytes {
            0 => FIRST_KEYS,
            sum => (u128::from(bytes) * u128::from(values) / u128::from(sum)) as usize,
        };
        let most = BATCH_KEYS.min(self.warm_up.keys_per_sec as usize);
        fitting.min(most).max(1)
    }
}

/// The keys of the copies that are read by `document`, the hot keys themselves included.
fn copies(document: &RingDocument) -> Vec<Key> {
    let read = document.hot.iter().filter(|(_, hot)| hot.phase == HotPhase::Reading);
    let keys = read.filter_map(|(key, hot)| Some((Key::new(key.as_bytes()).ok()?, hot.copies)));
    keys.flat_map(|(key, copies)| (0..copies).map(move |number| key.copy_at(number))).collect()
}

impl AddAssign<Copied> for Warmed {
    fn add_assign(&mut self, copied: Copied) {
        self.copied += copied.items;
        self.there += copied.there;
        self.missing += copied.missing;
        self.failed += copied.failed;
        self.bytes += copied.bytes;
    }
}

impl AddAssign for Warmed {
    fn add_assign(&mut self, other: Self) {
        self.moving += other.moving;
        self.copied += other.copied;
        self.there += other.there;
        self.missing += other.missing;
        self.failed += other.failed;
        self.bytes += other.bytes;
    }
}

/// Keys that are copied in one go at most: many for a round trip.
const BATCH_KEYS: usize = 250;
/// Bytes of their values, about: little enough for the memory of a small function.
const BATCH_BYTES: u64 = 4 << 20;
/// Keys that are copied first, when nobody knows how long their values are.
const FIRST_KEYS: usize = 16;
