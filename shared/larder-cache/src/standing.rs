//! The numbers of tags: read, made, and kept at two places. What they are for, and why this is sound, says `tags.rs`.

use std::time::Duration;

use futures_util::future::join;
use larder_client::{Cas, Claim, Cluster, Error, Fill, Key, Lease, NewItem, Read, ReadOptions, Stored, Ttl};
use tokio::time::sleep;

use crate::policy::fnv1a;
use crate::tags::{MOST_SECONDS, Standing, Tag};

/// Reads how `tags` stand; those that have no number get one.
pub(crate) async fn read(cluster: &Cluster, tags: &[Tag]) -> Standing {
    if tags.is_empty() {
        return Standing::Untagged;
    }
    if fastrand::u32(..ONE_IN) > 0 {
        return read_firsts(cluster, tags).await.map_or(Standing::Unknown, |numbers| numbers.standing(tags));
    }
    // Boxed, for it is rare.
    Box::pin(read_both(cluster, tags)).await
}

/// The numbers of some tags, as far as they are known.
struct Numbers {
    known: Vec<Option<u64>>,
    /// The leases of others that were seen where there was no number.
    seen: Vec<Option<Cas>>,
}

impl Numbers {
    fn standing(&self, tags: &[Tag]) -> Standing {
        Standing::Known(digest(tags, self.known.iter().flatten()))
    }
}

/// Reads the numbers of `tags` at their first places, or, where a node fails, at the second ones, and makes those that
/// are nowhere; `None` where they cannot be had.
async fn read_firsts(cluster: &Cluster, tags: &[Tag]) -> Option<Numbers> {
    let mut numbers = Numbers { known: vec![None; tags.len()], seen: vec![None; tags.len()] };
    for round in 0..MOST_ROUNDS {
        if round > 0 {
            sleep(PAUSE).await;
        }
        if let Err(error) = look(cluster, tags, &mut numbers).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "tags not read, cache bypassed");
            return None;
        }
        if numbers.known.iter().all(Option::is_some) {
            return Some(numbers);
        }
    }
    None
}

/// Looks for those of the `numbers` of `tags` that are not known yet, and makes up those that are nowhere.
async fn look(cluster: &Cluster, tags: &[Tag], numbers: &mut Numbers) -> Result<(), Error> {
    let missing: Vec<usize> = (0..tags.len()).filter(|at| numbers.known[*at].is_none()).collect();
    let keys: Vec<Key> = missing.iter().map(|at| tags[*at].key().clone()).collect();
    let (mut to_make, mut failed) = (Vec::new(), Vec::new());
    for (at, read) in missing.into_iter().zip(cluster.read_many(&keys, LEASE).await) {
        match read {
            // There is none, or one that was marked stale: forgotten is forgotten, here.
            Ok(Read { claim: Claim::Won(lease), .. }) => to_make.push((at, lease)),
            Ok(read @ Read { item: Some(_), is_stale: false, .. }) => {
                numbers.known[at] = keep(cluster, &tags[at], &read).await;
            }
            Ok(read) => to_make.extend(left_by_others(&read, &mut numbers.seen[at]).map(|lease| (at, lease))),
            Err(error) => failed.push((at, error)),
        }
    }
    if !to_make.is_empty() {
        // Boxed, as below, for it is rare.
        let made = Box::pin(make(cluster, tags, to_make)).await?;
        made.into_iter().for_each(|(at, number)| numbers.known[at] = Some(number));
    }
    if failed.is_empty() { Ok(()) } else { Box::pin(read_seconds_of(cluster, tags, failed, numbers)).await }
}

/// The lease of another reader who makes up a number, where it was `seen` one pause ago and so may be taken: a number
/// takes three round trips, and of two who make one, the node refuses the second.
fn left_by_others(read: &Read, seen: &mut Option<Cas>) -> Option<Lease> {
    let lease = read.in_place()?;
    let is_left = *seen == Some(lease.cas());
    *seen = Some(lease.cas());
    is_left.then(|| lease.clone())
}

/// Reads the numbers of tags whose first place has `failed` at the second one; the error of the first where there is
/// none.
async fn read_seconds_of(
    cluster: &Cluster,
    tags: &[Tag],
    failed: Vec<(usize, Error)>,
    numbers: &mut Numbers,
) -> Result<(), Error> {
    let mut result = Ok(());
    for (at, error) in failed {
        let number = match (&error, second_place(cluster, &tags[at]).await) {
            (Error::Node { .. }, Some(key)) => cluster.read(&key, ReadOptions::default()).await.ok(),
            _ => None,
        };
        match number.and_then(|read| number_of(&read)) {
            Some(number) => numbers.known[at] = Some(number),
            None => result = Err(error),
        }
    }
    result
}

/// Makes numbers for those of `tags` that are `to_make`, each under the lease of its first place, and answers them
/// without those that were forgotten in between: these are to be made anew.
async fn make(
    cluster: &Cluster,
    tags: &[Tag],
    to_make: Vec<(usize, Lease)>,
) -> Result<Vec<(usize, u64)>, Error> {
    // Before there is a number: see the order in `tags.rs`.
    let seconds = lease_seconds(cluster, to_make.iter().map(|(at, _)| &tags[*at])).await;
    let values: Vec<u64> = to_make.iter().map(|_| fastrand::u64(..)).collect();
    let bytes: Vec<[u8; 8]> = values.iter().map(|number| number.to_be_bytes()).collect();
    let fills = to_make.iter().zip(&bytes);
    let fills = fills.map(|((at, lease), value)| Fill { item: item(tags[*at].key(), value), lease });
    let filled = cluster.fill_many(&fills.collect::<Vec<_>>()).await;
    let (mut made, mut result) = (Vec::new(), Ok(()));
    for (nth, filled) in filled.into_iter().enumerate() {
        match filled {
            Ok(Stored::Yes) => {
                made.push((to_make[nth].0, values[nth]));
                if let Some((key, lease)) = &seconds[nth] {
                    store_second(cluster, key, lease, &bytes[nth]).await;
                }
            }
            Ok(Stored::Refused | Stored::Missing) => {}
            // What was made beside it is for others, too.
            Err(error) => result = Err(error),
        }
    }
    result.map(|()| made)
}

/// The second places of `tags`, with the right to store in place of what each has.
async fn lease_seconds<'t>(
    cluster: &Cluster,
    tags: impl Iterator<Item = &'t Tag>,
) -> Vec<Option<(Key, Lease)>> {
    let mut leases = Vec::new();
    for tag in tags {
        leases.push(lease_second(cluster, tag).await);
    }
    leases
}

async fn lease_second(cluster: &Cluster, tag: &Tag) -> Option<(Key, Lease)> {
    let key = second_place(cluster, tag).await?;
    let lease = cluster.read(&key, LEASE).await.ok()?.in_place()?.clone();
    Some((key, lease))
}

/// Stores a number at a second place under `lease`; where that was voided, nothing is to be there.
async fn store_second(cluster: &Cluster, key: &Key, lease: &Lease, number: &[u8; 8]) {
    if !matches!(cluster.fill(item(key, number), lease).await, Ok(Stored::Yes)) {
        // Where that fails, too, what is there costs misses and nothing else.
        let _ = cluster.delete(key).await;
    }
}

/// The key of the second place of `tag`; `None` where the ring gives all candidates to the node of the first.
async fn second_place(cluster: &Cluster, tag: &Tag) -> Option<Key> {
    let first = cluster.owner(tag.key()).await.ok()?;
    for number in 1..=MOST_SECONDS {
        let key = tag.second(number);
        if cluster.owner(&key).await.ok()? != first {
            return Some(key);
        }
    }
    None
}

/// Reads the numbers of `tags` at both places, side by side, and restores the second ones that are lost: a ring that
/// has changed chooses others, and a node may have lost its items.
async fn read_both(cluster: &Cluster, tags: &[Tag]) -> Standing {
    let seconds = async {
        let mut keys = Vec::new();
        for tag in tags {
            keys.push(second_place(cluster, tag).await);
        }
        let asked: Vec<Key> = keys.iter().flatten().cloned().collect();
        let mut reads = cluster.read_many(&asked, ReadOptions::default()).await.into_iter();
        keys.into_iter().map(|key| Some((key?, reads.next()?.ok()?))).collect::<Vec<_>>()
    };
    let (numbers, seconds) = join(read_firsts(cluster, tags), seconds).await;
    let Some(numbers) = numbers else { return Standing::Unknown };
    for ((tag, number), second) in tags.iter().zip(&numbers.known).zip(seconds) {
        match (number, second) {
            (Some(number), Some((_, read))) if number_of(&read) != Some(*number) => {
                restore(cluster, tag, *number).await;
            }
            (_, Some((key, read))) if read.ttl_secs < KEEP_BELOW_SECS => {
                let _ = cluster.touch(&key, Ttl::MAX).await;
            }
            _ => {}
        }
    }
    numbers.standing(tags)
}

/// Stores the `number` of `tag` at its second place, if it is still that of the first when the lease was won.
async fn restore(cluster: &Cluster, tag: &Tag, number: u64) {
    let Some((key, lease)) = lease_second(cluster, tag).await else { return };
    let first = cluster.read(tag.key(), ReadOptions::default()).await;
    if first.ok().and_then(|read| number_of(&read)) == Some(number) {
        store_second(cluster, &key, &lease, &number.to_be_bytes()).await;
        tracing::debug!(tag = %tag.key(), "the second place of a tag has its number again");
    } else {
        // Others need not wait for what does not come.
        let _ = cluster.give_back(&key, &lease).await;
    }
}

/// The number that was `read`, whose item is kept from ending; `None` for what is no number, which is removed.
async fn keep(cluster: &Cluster, tag: &Tag, read: &Read) -> Option<u64> {
    let number = number_of(read);
    // Where that fails, the next one does it.
    if number.is_none()
        && let Some(lease) = read.in_place()
    {
        let _ = cluster.give_back(tag.key(), lease).await;
    } else if read.ttl_secs < KEEP_BELOW_SECS {
        let _ = cluster.touch(tag.key(), Ttl::MAX).await;
    }
    number
}

/// The number that was `read`, if it is one and was not forgotten.
fn number_of(read: &Read) -> Option<u64> {
    let item = read.item.as_ref().filter(|_| !read.is_stale)?;
    item.value[..].try_into().ok().map(u64::from_be_bytes)
}

fn item<'a>(key: &'a Key, number: &'a [u8; 8]) -> NewItem<'a> {
    NewItem { key, value: number, client_flags: FLAGS, ttl: Ttl::MAX }
}

/// One number for all of them, whatever their order.
fn digest<'n>(tags: &[Tag], numbers: impl Iterator<Item = &'n u64>) -> u64 {
    let one = |(tag, number): (&Tag, &u64)| fnv1a(&[tag.key().as_bytes(), &number.to_be_bytes()].concat());
    tags.iter().zip(numbers).map(one).fold(0, u64::wrapping_add)
}

/// An item that is not one of a record.
const FLAGS: u32 = 0xff;
/// To make up a number takes a few round trips.
const LEASE: ReadOptions = ReadOptions { lease_for: Some(Ttl::MIN), recache_below_secs: None, usage: false };
/// How often it is asked again for a number that somebody else makes up.
const MOST_ROUNDS: usize = 5;
const PAUSE: Duration = Duration::from_millis(5);
/// A number in use is kept for as long as it is read once in a fortnight.
const KEEP_BELOW_SECS: u64 = 15 * 24 * 3600;
/// Of so many reads with tags one reads their second places, too.
const ONE_IN: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_other_tags_are_another_digest_and_their_order_does_not_count() {
        let (a, b) = (Tag::new(["a"]), Tag::new(["b"]));
        let one = digest(&[a.clone(), b.clone()], [1, 2].iter());
        assert_eq!(one, digest(&[b.clone(), a.clone()], [2, 1].iter()));
        assert_ne!(one, digest(&[b, a.clone()], [1, 2].iter()));
        assert_ne!(one, digest(&[a], [1].iter()));
    }
}
