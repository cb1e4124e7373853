//! Values that may not be cached, because their items would be too long for their node.
//!
//! A reader that loads one leaves word of it in place of a value, and of an older one that may be there. While the word
//! stands, readers load by themselves and queue for no lease. Each of them has the right to store what it loads in
//! place of the word, if that is shorter by then: every write, every invalidation voids that right, as it voids a
//! lease, so a reader that loaded before it stores nothing.
//!
//! A node that was out of memory may have room again. So the word is not renewed unseen: when half of its time is over,
//! a reader tries to store what it has loaded, however long, and leaves another word only where that is refused.
//!
//! A node that refuses an item removes what was there, the lease included. The reader then wins another one for its
//! word.

use larder_client::{Claim, Cluster, Error, Fill, Key, Lease, NodeError, ReadOptions, Refusal, Stored};

use crate::packed::{Packed, UNCACHEABLE_FOR};
use crate::work::{ToLoad, Uncacheable, Work};

/// A value that is about to be stored under a lease.
pub(crate) struct Filling<'f> {
    pub(crate) key: &'f ToLoad,
    pub(crate) lease: &'f Lease,
    pub(crate) packed: Packed<'f>,
}

impl<'f> Filling<'f> {
    /// Whether nothing is known against it: no word, or one that is about to end, for its node may have room by now.
    pub(crate) fn may_be_stored(&self) -> bool {
        self.key.uncacheable.is_none_or(|word| (self.packed.len() as u64) < word.least_len || !is_young(word))
    }

    /// What stores it.
    pub(crate) fn fill<E>(&'f self, work: &'f Work<'_, E>) -> Fill<'f> {
        Fill { item: self.packed.item(work.key(self.key.index)), lease: self.lease }
    }

    /// Whether word of it is due: there is none, or one that is about to end.
    fn is_to_be_noted(&self) -> bool {
        let is_same = |least_len| self.packed.len() as u64 >= least_len;
        self.key.uncacheable.is_none_or(|word| !is_young(word) || !is_same(word.least_len))
    }
}

/// Whether `word` has half of its time left yet.
fn is_young(word: Uncacheable) -> bool {
    word.ttl_secs >= u64::from(UNCACHEABLE_FOR.as_secs()) / 2
}

/// Whether `error` says that the item was too long for the node, or that the node had no room for one of its length.
///
/// Source: memcached `proto_text.c`, `process_update_command`, and `proto_proxy` alike; 1.6.12 to 1.6.38.
pub(crate) fn is_too_long(error: &Error) -> bool {
    match error {
        Error::Node { source: NodeError::TooLong { .. }, .. } => true,
        Error::Node { source: NodeError::Refused(Refusal::Server(words)), .. } => {
            let words = words.to_ascii_lowercase();
            WORDS.iter().any(|known| words.contains(known))
        }
        _ => false,
    }
}

/// Leaves word that the values of `too_long` are just that, where none stands that will do.
pub(crate) async fn note<E>(cluster: &Cluster, work: &Work<'_, E>, too_long: Vec<Filling<'_>>) {
    let due = too_long.iter().filter(|filling| filling.is_to_be_noted());
    let words = due.map(|filling| {
        (work.key(filling.key.index), Packed::uncacheable(work.policy, filling.packed.len()), filling.lease)
    });
    let words: Vec<(&Key, Packed<'_>, &Lease)> = words.collect();
    let fills = words.iter().map(|(key, word, lease)| Fill { item: word.item(key), lease });
    let filled = cluster.fill_many(&fills.collect::<Vec<_>>()).await;
    let gone = words.iter().zip(filled).filter(|(_, filled)| matches!(filled, Ok(Stored::Missing)));
    let gone: Vec<&(&Key, Packed<'_>, &Lease)> = gone.map(|(word, _)| word).collect();
    if gone.is_empty() {
        return;
    }
    let keys: Vec<Key> = gone.iter().map(|(key, ..)| (*key).clone()).collect();
    let options = ReadOptions { lease_for: Some(work.policy.lease_for), ..ReadOptions::default() };
    let reads = cluster.read_many(&keys, options).await;
    let won = gone.iter().zip(&reads).filter_map(|((key, word, _), read)| match read.as_ref().ok()?.claim {
        Claim::Won(ref lease) => Some(Fill { item: word.item(key), lease }),
        _ => None,
    });
    // Where that fails, the next reader does it.
    cluster.fill_many(&won.collect::<Vec<_>>()).await;
}

/// What memcached says of an item over its limit, and of one for which it finds no room: at once, or with a capital letter
/// when it has read a part of it.
const WORDS: [&str; 2] = ["too large", "out of memory"];
