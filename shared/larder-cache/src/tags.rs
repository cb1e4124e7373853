//! Tags: what many items have in common, so that all of them can be forgotten at once.
//!
//! A tag is an item of its own that holds a number which was never used before. What is stored under a policy with tags
//! is stored with their numbers, as they were before it was loaded; what is read counts only where they are still the
//! same. Removing the item of a tag therefore makes all that has it a miss, at once and everywhere: the next reader
//! makes up another number. The same happens where the item is lost, which costs misses and nothing else.
//!
//! No clock is asked: there is no time at which something was invalidated that could be compared with that of another
//! machine. The price is one more key to read, beside the others, and counted.
//!
//! # The second place
//!
//! What has a tag hangs on one item, so its number is kept on a second node, under a key of its own: the first of
//! [`MOST_SECONDS`] candidates that the ring gives to another node than the tag's own key. It is read only where the
//! node of the first place fails.
//!
//! | | in this order |
//! | --- | --- |
//! | a number is made | a lease at the second place, the number at the first, the number at the second |
//! | a tag is forgotten | the first place, then all candidates for the second |
//! | a lost second number is restored | a lease at the second place, the number read at the first, the number at the second |
//!
//! So a number at a second place was at the first after the second place's lease was won. An invalidation that is done
//! has removed the first before the second: where its removal of the second comes after the lease, it voids the lease,
//! and where it comes before, the number is newer than the invalidation. Hence **no invalidation that is done is older
//! than a number that is read at either place**, whichever candidate an environment's ring chooses. An invalidation
//! that reached one place alone is an error, and is repeated from the queue as any other. A first place that comes back
//! with what it held before such an invalidation is what the repetition is for.
//!
//! A first place that comes back empty gets a new number, and the second place the same: what was stored under the old
//! one is a miss. Where both places fail, the cache is bypassed.

use futures_util::future::join_all;
use larder_client::{Cluster, Error, Key};
use tokio::time::Instant;

use crate::cache_aside::Cache;
use crate::copies;
use crate::invalidation::Forget;
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
        Self(Key::new(&key).unwrap_or_else(|_| short(PREFIX, &key)))
    }

    /// The key of its item: what has to be forgotten to forget all that has the tag, by [`Cache::forget_tag`] or an
    /// [`Invalidation`](crate::Invalidation). Any other client has to remove all [`places`](Self::places).
    pub fn key(&self) -> &Key {
        &self.0
    }

    /// The tag that has this key, if it is that of one.
    pub fn of_key(key: &Key) -> Option<Self> {
        key.as_bytes().starts_with(PREFIX).then(|| Self(key.clone()))
    }

    /// The keys under which its number may be, in the order in which they have to be removed to forget the tag: each one
    /// when the one before is gone.
    ///
    /// ```
    /// use larder_cache::Tag;
    ///
    /// let places: Vec<_> = Tag::new(["flights"]).places().map(|key| key.to_string()).collect();
    /// assert_eq!(places[..2], ["larder~tag~flights", "larder~tag1~flights"]);
    /// ```
    pub fn places(&self) -> impl Iterator<Item = Key> {
        std::iter::once(self.0.clone()).chain((1..=MOST_SECONDS).map(|number| self.second(number)))
    }

    /// The candidate `number`, from 1, for its second place.
    pub(crate) fn second(&self, number: u32) -> Key {
        let name = &self.0.as_bytes()[PREFIX.len()..];
        let prefix = format!("{SECOND}{number}~");
        Key::new(&[prefix.as_bytes(), name].concat()).unwrap_or_else(|_| short(prefix.as_bytes(), name))
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
        copies::forget_one(&self.cluster().until(deadline), tag.key(), Forget::Hard).await
    }
}

/// Removes the number of `tag` from all candidates for its second place: to be called when the first has been told. All
/// are tried.
pub(crate) async fn forget_seconds(cluster: &Cluster, tag: &Tag) -> Result<(), Error> {
    let removed = (1..=MOST_SECONDS).map(|number| {
        let key = tag.second(number);
        async move { cluster.delete(&key).await.map(drop) }
    });
    join_all(removed).await.into_iter().collect()
}

/// A key as good as `prefix` and `name`, and short.
fn short(prefix: &[u8], name: &[u8]) -> Key {
    let digest = format!("{:016x}{:016x}", fnv1a(name), fnv1a(&name[1..]));
    Key::new(&[prefix, digest.as_bytes()].concat()).expect("letters, tildes and digits are a key")
}

pub(crate) const PREFIX: &[u8] = b"larder~tag~";
const SECOND: &str = "larder~tag";
/// How many keys may be a second place. Of two nodes, that of the tag gets all of them once in 256 times.
pub(crate) const MOST_SECONDS: u32 = 8;

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
    fn the_places_of_a_tag_are_those_of_no_other() {
        let long = "x".repeat(239);
        let tags = [Tag::new(["a"]), Tag::new(["1~a"]), Tag::new([&*long]), Tag::new([&long[1..]])];
        let mut places: Vec<Key> = tags.iter().flat_map(Tag::places).collect();
        let count = places.len();
        places.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
        places.dedup();
        assert_eq!((places.len(), count), (count, tags.len() * (1 + MOST_SECONDS as usize)));
        assert!(
            places.iter().all(|key| key.as_bytes().starts_with(b"larder~")),
            "no invalidation names them"
        );
    }
}
