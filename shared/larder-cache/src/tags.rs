//! Tags: what many items have in common, so that all of them can be forgotten at once.
//!
//! A tag is an item of its own that holds a number which was never used before. What is stored under a policy with tags
//! is stored with their numbers, as they were before it was loaded; what is read counts only where they are still the
//! same. Removing the item of a tag therefore makes all that has it a miss, at once and everywhere: the next reader
//! makes up another number. The same happens where the item is lost, which costs misses and nothing else.
//!
//! No clock is asked: there is no time at which something was invalidated that could be compared with that of another
//! machine. The price is one more key to read, beside the others, and counted.

use std::time::Duration;

use larder_client::{Claim, Cluster, Error, Fill, Key, NewItem, Read, ReadOptions, Stored, Ttl};
use tokio::time::{Instant, sleep};

use crate::cache_aside::Cache;
use crate::policy::fnv1a;

/// What many items have in common: a table, say. See [`Policy::tags`](crate::Policy::tags).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Tag(Key);

impl Tag {
    /// The tag that is called by `parts`; other parts are another tag.
    ///
    /// ```
    /// use larder_cache::Tag;
    ///
    /// assert_eq!(Tag::new(["air", "flights"]).key().as_bytes(), b"larder~tag~air:flights");
    /// ```
    pub fn new<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        let name = Key::compose(parts).map_or_else(|_| Vec::new(), |key| key.as_bytes().to_vec());
        let key = [PREFIX, &name[..]].concat();
        Self(Key::new(&key).unwrap_or_else(|_| {
            // As good as its name, and short.
            let digest = format!("{:016x}{:016x}", fnv1a(&key), fnv1a(&key[1..]));
            Key::new(&[PREFIX, digest.as_bytes()].concat()).expect("letters, tildes and digits are a key")
        }))
    }

    /// The key of its item: what has to be forgotten to forget all that has the tag, by
    /// [`Cache::forget_tag`], an [`Invalidation`](crate::Invalidation) or any other client.
    pub fn key(&self) -> &Key {
        &self.0
    }
}

/// How the tags of a policy stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It has none.
    Untagged,
    /// So, for as long as none of them was forgotten.
    Known(u64),
    /// They could not be read: nothing that has them may be answered, or stored.
    Unknown,
}

impl Cache {
    /// Makes all that has `tag` a miss, by `deadline`. What is being loaded is not answered to others afterwards.
    ///
    /// # Errors
    ///
    /// [`Error`] where that is not known to be done: it has to be done yet.
    pub async fn forget_tag(&self, tag: &Tag, deadline: Instant) -> Result<(), Error> {
        self.cluster().until(deadline).delete(tag.key()).await.map(drop)
    }
}

/// Reads how `tags` stand; those that have no number get one.
pub(crate) async fn read(cluster: &Cluster, tags: &[Tag]) -> Standing {
    if tags.is_empty() {
        return Standing::Untagged;
    }
    let mut numbers: Vec<Option<u64>> = vec![None; tags.len()];
    for round in 0..MOST_ROUNDS {
        if round > 0 {
            sleep(PAUSE).await;
        }
        if let Err(error) = look(cluster, tags, &mut numbers).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "tags not read, cache bypassed");
            return Standing::Unknown;
        }
        if numbers.iter().all(Option::is_some) {
            return Standing::Known(digest(tags, numbers.iter().flatten()));
        }
    }
    Standing::Unknown
}

/// Looks for those of the `numbers` of `tags` that are not known yet, and makes up those that are nowhere.
async fn look(cluster: &Cluster, tags: &[Tag], numbers: &mut [Option<u64>]) -> Result<(), Error> {
    let missing: Vec<usize> = (0..tags.len()).filter(|at| numbers[*at].is_none()).collect();
    let keys: Vec<Key> = missing.iter().map(|at| tags[*at].key().clone()).collect();
    let (mut made, mut result) = (Vec::new(), Ok(()));
    for (at, read) in missing.into_iter().zip(cluster.read_many(&keys, LEASE).await) {
        match read {
            // There is none, or one that was marked stale: forgotten is forgotten, here.
            Ok(Read { claim: Claim::Won(lease), .. }) => made.push((at, fastrand::u64(..), lease)),
            Ok(read @ Read { item: Some(_), is_stale: false, .. }) => {
                numbers[at] = keep(cluster, &tags[at], &read).await;
            }
            Ok(_) => {}
            // What was won beside it is for others, too.
            Err(error) => result = Err(error),
        }
    }
    let values: Vec<[u8; 8]> = made.iter().map(|(_, number, _)| number.to_be_bytes()).collect();
    let fills = made.iter().zip(&values);
    let fills = fills.map(|((at, _, lease), value)| Fill { item: item(&tags[*at], value), lease });
    let fills: Vec<Fill<'_>> = fills.collect();
    for ((at, number, _), filled) in made.iter().zip(cluster.fill_many(&fills).await) {
        match filled {
            // One that was forgotten in between is to be made up anew.
            Ok(stored) => numbers[*at] = (stored == Stored::Yes).then_some(*number),
            Err(error) => result = Err(error),
        }
    }
    result
}

/// The number that was `read`, whose item is kept from ending; `None` for what is no number, which is removed.
async fn keep(cluster: &Cluster, tag: &Tag, read: &Read) -> Option<u64> {
    let number = read.item.as_ref().and_then(|item| item.value[..].try_into().ok());
    // Where that fails, the next one does it.
    if number.is_none()
        && let Some(lease) = read.in_place()
    {
        let _ = cluster.give_back(tag.key(), lease).await;
    } else if read.ttl_secs < KEEP_BELOW_SECS {
        let _ = cluster.touch(tag.key(), Ttl::MAX).await;
    }
    number.map(u64::from_be_bytes)
}

fn item<'a>(tag: &'a Tag, number: &'a [u8; 8]) -> NewItem<'a> {
    NewItem { key: tag.key(), value: number, client_flags: FLAGS, ttl: Ttl::MAX }
}

/// One number for all of them, whatever their order.
fn digest<'n>(tags: &[Tag], numbers: impl Iterator<Item = &'n u64>) -> u64 {
    let one = |(tag, number): (&Tag, &u64)| fnv1a(&[tag.key().as_bytes(), &number.to_be_bytes()].concat());
    tags.iter().zip(numbers).map(one).fold(0, u64::wrapping_add)
}

pub(crate) const PREFIX: &[u8] = b"larder~tag~";
/// An item that is not one of a record.
const FLAGS: u32 = 0xff;
/// To make up a number takes one round trip.
const LEASE: ReadOptions = ReadOptions { lease_for: Some(Ttl::MIN), recache_below_secs: None, usage: false };
/// How often it is asked again for a number that somebody else makes up.
const MOST_ROUNDS: usize = 5;
const PAUSE: Duration = Duration::from_millis(5);
/// A number in use is kept for as long as it is read once in a fortnight.
const KEEP_BELOW_SECS: u64 = 15 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_apart_by_their_parts_however_long() {
        let long = "x".repeat(245);
        let names: [&[&str]; 6] = [&["a"], &["a", "b"], &["a:b"], &[&long], &[&long, "b"], &[""]];
        let tags: Vec<Tag> = names.iter().map(|parts| Tag::new(parts.iter().copied())).collect();
        for (at, tag) in tags.iter().enumerate() {
            assert!(tag.key().as_bytes().starts_with(b"larder~tag~"));
            assert!(!tags[..at].contains(tag), "{tag:?}");
        }
    }

    #[test]
    fn numbers_of_other_tags_are_another_digest_and_their_order_does_not_count() {
        let (a, b) = (Tag::new(["a"]), Tag::new(["b"]));
        let one = digest(&[a.clone(), b.clone()], [1, 2].iter());
        assert_eq!(one, digest(&[b.clone(), a.clone()], [2, 1].iter()));
        assert_ne!(one, digest(&[b, a.clone()], [1, 2].iter()));
        assert_ne!(one, digest(&[a], [1].iter()));
    }
}
