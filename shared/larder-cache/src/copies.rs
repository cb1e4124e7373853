//! Copies of hot keys: which one is read, and that all hear of every write.
//!
//! The ring document says which keys have copies. Each copy is a key of its own, with its own node, lease and value;
//! whoever reads picks one by chance, whoever writes tells all. What may be read is looked at once more when a read has
//! ended, and what has to be told when a write has: the call itself may have found another document.

use futures_util::future::join_all;
use larder_client::{Cluster, Copies, Error, Key, Ttl};

use crate::invalidation::Forget;
use crate::tags::{self, Tag};

/// Which copies of some keys are read, of those that are read by another than their own key. Usually none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen(Vec<Choice>);

#[derive(Clone, Debug)]
struct Choice {
    /// Where the key stands; they stand in the order of that.
    index: usize,
    number: u32,
    key: Key,
}

impl Chosen {
    /// Picks a copy of each of `keys`, by chance, and the same one where a key stands there twice.
    pub(crate) fn of(cluster: &Cluster, keys: &[Key]) -> Self {
        let mut chance = None;
        let choices = keys.iter().enumerate().filter_map(|(index, key)| {
            let count = read_copies(cluster.copies_of(key));
            let number = if count > 1 { *chance.get_or_insert_with(|| fastrand::u32(..)) % count } else { 0 };
            (number > 0).then(|| Choice { index, number, key: key.copy_at(number) })
        });
        Self(choices.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key under which the one at `index` is read, if that is not its own.
    pub(crate) fn key(&self, index: usize) -> Option<&Key> {
        let at = self.0.binary_search_by_key(&index, |choice| choice.index).ok()?;
        Some(&self.0[at].key)
    }

    /// The keys under which `keys` are read.
    pub(crate) fn keys(&self, keys: &[Key]) -> Vec<Key> {
        keys.iter().enumerate().map(|(index, key)| self.key(index).unwrap_or(key).clone()).collect()
    }

    /// Where those of `keys` stand whose copy is read no more.
    pub(crate) fn outdated(&self, cluster: &Cluster, keys: &[Key]) -> Vec<usize> {
        let is_read = |choice: &&Choice| choice.number < read_copies(cluster.copies_of(&keys[choice.index]));
        self.0.iter().filter(|choice| !is_read(choice)).map(|choice| choice.index).collect()
    }

    /// The choices for those that stand at `indices`, which are in order, by their places there.
    pub(crate) fn part(&self, indices: &[usize]) -> Self {
        let choices = indices.iter().enumerate().filter_map(|(place, index)| {
            let at = self.0.binary_search_by_key(index, |choice| choice.index).ok()?;
            Some(Choice { index: place, ..self.0[at].clone() })
        });
        Self(choices.collect())
    }

    /// The same for keys that stand at `indices`.
    pub(crate) fn at(self, indices: &[usize]) -> Self {
        let placed = self.0.into_iter().map(|choice| Choice { index: indices[choice.index], ..choice });
        Self(placed.collect())
    }

    /// Takes the choices of `part` for those that stand at `indices`.
    pub(crate) fn replace(&mut self, indices: &[usize], part: Self) {
        self.0.retain(|choice| !indices.contains(&choice.index));
        self.0.extend(part.at(indices).0);
        self.0.sort_unstable_by_key(|choice| choice.index);
    }
}

/// Whether `key` is `name` itself, or a copy of it that is read.
pub(crate) fn is_read(cluster: &Cluster, name: &Key, key: &Key) -> bool {
    key == name || (1..read_copies(cluster.copies_of(name))).any(|number| name.copy_at(number) == *key)
}

/// How many copies there are of `key`, itself included: so many have to hear of a write.
pub(crate) fn count(cluster: &Cluster, key: &Key) -> u32 {
    cluster.copies_of(key).map_or(1, |copies| copies.count)
}

/// Forgets all copies of `key` but the first `told`, which have heard.
///
/// All of them are tried; an error where one may not have heard.
pub(crate) async fn forget(cluster: &Cluster, key: &Key, mut told: u32, how: Forget) -> Result<(), Error> {
    let mut result = Ok(());
    for _ in 0..MOST_ROUNDS {
        let count = count(cluster, key);
        if told >= count {
            return result;
        }
        let forgotten = match told..count {
            std::ops::Range { start: 0, end: 1 } => forget_one(cluster, key, how).await,
            // Boxed, for it is rare.
            numbers => Box::pin(forget_each(cluster, key, numbers, how)).await,
        };
        result = result.and(forgotten);
        told = count;
    }
    result.and(Err(Error::UnknownRing))
}

async fn forget_each(
    cluster: &Cluster,
    key: &Key,
    numbers: std::ops::Range<u32>,
    how: Forget,
) -> Result<(), Error> {
    let forgotten = numbers.map(|number| async move { forget_one(cluster, &key.copy_at(number), how).await });
    join_all(forgotten).await.into_iter().collect()
}

/// Forgets what is kept under `key` alone, and where that is a tag, at its second place when the first has been told.
pub(crate) async fn forget_one(cluster: &Cluster, key: &Key, how: Forget) -> Result<(), Error> {
    let forgotten = match how {
        Forget::Hard => cluster.delete(key).await.map(drop),
        Forget::Soft(ttl) => cluster.mark_stale(key, ttl).await.map(drop),
    };
    match Tag::of_key(key) {
        // Boxed, for it is rare.
        Some(tag) => forgotten.and(Box::pin(tags::forget_seconds(cluster, &tag)).await),
        None => forgotten,
    }
}

/// As a policy that keeps what was invalidated for `stale_ttl` forgets.
pub(crate) fn how(stale_ttl: Option<Ttl>) -> Forget {
    stale_ttl.map_or(Forget::Hard, Forget::Soft)
}

/// How many copies may be read.
fn read_copies(copies: Option<Copies>) -> u32 {
    copies.filter(|copies| copies.is_read).map_or(1, |copies| copies.count)
}

/// How often a document may come in between that has more copies.
const MOST_ROUNDS: usize = 8;
