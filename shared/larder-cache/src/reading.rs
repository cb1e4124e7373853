//! What the cache says of some keys: one read of each, or a value that is kept near.
//!
//! | a key | is read |
//! | --- | --- |
//! | that is hot | by one of its copies, and once more if that turned out to be no copy any more |
//! | with tags | beside their numbers; what has other ones than now is thrown away, and read once more |
//! | of a sampled read | with how it was used, and what was counted is told to the fleet where that is due |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{join, join_all};
use larder_client::{Claim, Cluster, Key, Lease, NewItem, Read, ReadOptions, Usage};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::cache_aside::{Cache, half_until};
use crate::catalogue::joined;
use crate::copies::{self, Chosen};
use crate::near::{Clocks, ToKeep};
use crate::packed::Unpacked;
use crate::policy::Policy;
use crate::record::{Record, record_key};
use crate::sampler::Sampler;
use crate::sketch::Counted;
use crate::standing;
use crate::tags::Standing;
use crate::work::{Found, Work};

impl Cache {
    /// Asks the cache for `keys`, of which it picks a copy where there are several, for half of the time to `deadline`
    /// at most: where a node hangs, the origin needs the rest. What has other tags than now is thrown away, and asked
    /// for once more.
    pub(crate) async fn read(&self, keys: &[Key], policy: &Policy, deadline: Instant) -> Reads {
        let cluster = self.cluster.until(Instant::now() + half_until(deadline));
        let chosen = Chosen::of(&cluster, keys);
        if chosen.is_empty() {
            return self.read_as(&cluster, Asked { names: keys, keys }, policy).await;
        }
        // Boxed, for most keys are not hot.
        Box::pin(self.read_copies(&cluster, keys, chosen, policy)).await
    }

    /// The same, of `keys` that have no copies, whatever the ring document says.
    pub(crate) async fn read_own(&self, keys: &[Key], policy: &Policy, deadline: Instant) -> Reads {
        let cluster = self.cluster.until(Instant::now() + half_until(deadline));
        self.read_as(&cluster, Asked { names: keys, keys }, policy).await
    }

    /// Asks for the copies of `keys` that were `chosen`, and again for those that are not read any more when that has
    /// ended: nobody tells them of writes.
    async fn read_copies(
        &self,
        cluster: &Cluster,
        keys: &[Key],
        mut chosen: Chosen,
        policy: &Policy,
    ) -> Reads {
        let mut reads = self.read_as(cluster, Asked { names: keys, keys: &chosen.keys(keys) }, policy).await;
        for _ in 0..MOST_CHOICES {
            let outdated = chosen.outdated(cluster, keys);
            if outdated.is_empty() {
                break;
            }
            let names: Vec<Key> = outdated.iter().map(|index| keys[*index].clone()).collect();
            let others = Chosen::of(cluster, &names);
            let asked = Asked { names: &names, keys: &others.keys(&names) };
            let again = self.read_as(cluster, asked, policy).await;
            let before = outdated.iter().zip(again.reads).map(|(index, read)| {
                let key = chosen.key(*index).unwrap_or(&keys[*index]).clone();
                (key, std::mem::replace(&mut reads.reads[*index], read))
            });
            release(cluster, before.collect()).await;
            chosen.replace(&outdated, others);
            reads = Reads { tags: again.tags, tag_reads: reads.tag_reads + again.tag_reads, ..reads };
        }
        let left = chosen
            .outdated(cluster, keys)
            .into_iter()
            .filter_map(|index| Some((chosen.key(index)?.clone(), reads.reads[index].take())));
        release(cluster, left.collect()).await;
        Reads { chosen, ..reads }
    }

    async fn read_as(&self, cluster: &Cluster, asked: Asked<'_>, policy: &Policy) -> Reads {
        if policy.tags.is_empty() {
            let reads = self.read_keys(cluster, asked, policy).await;
            return Reads { reads, chosen: Chosen::default(), tags: Standing::Untagged, tag_reads: 0 };
        }
        // Boxed, for most policies have none.
        Box::pin(self.read_tagged(cluster, asked, policy)).await
    }

    /// The same in the middle of `work`, for the keys at `indices`; it is told how its tags stand now.
    pub(crate) async fn read_again<E>(&self, indices: &[usize], work: &mut Work<'_, E>) -> Vec<Option<Read>> {
        if indices.is_empty() {
            return Vec::new();
        }
        let keys: Vec<Key> = indices.iter().map(|index| work.keys[*index].clone()).collect();
        let cluster = self.cluster.until(Instant::now() + half_until(work.deadline));
        // The same copies again, for it is them that somebody loads.
        let chosen = work.chosen.part(indices);
        let reads = self.read_copies(&cluster, &keys, chosen, work.policy).await;
        work.chosen.replace(indices, reads.chosen);
        work.tags = reads.tags;
        work.counts.tag_reads += reads.tag_reads;
        reads.reads
    }

    async fn read_tagged(&self, cluster: &Cluster, asked: Asked<'_>, policy: &Policy) -> Reads {
        let (mut reads, tags) =
            join(self.read_keys(cluster, asked, policy), standing::read(cluster, &policy.tags)).await;
        if tags == Standing::Unknown {
            let unused = reads.iter_mut().map(Option::take);
            release(cluster, asked.keys.iter().cloned().zip(unused).collect()).await;
        } else {
            self.read_outdated_again(cluster, asked, policy, tags, &mut reads).await;
        }
        Reads { reads, chosen: Chosen::default(), tags, tag_reads: policy.tags.len() as u32 }
    }

    /// Throws away those of `reads` that have other `tags` than now, and reads them once more.
    async fn read_outdated_again(
        &self,
        cluster: &Cluster,
        Asked { names, keys }: Asked<'_>,
        policy: &Policy,
        tags: Standing,
        reads: &mut [Option<Read>],
    ) {
        let is_outdated = |read: &&Read| {
            let own = Unpacked::tags_of(read, policy.schema);
            own.is_some_and(|own| own.map(Standing::Known) != Some(tags))
        };
        let found = keys.iter().zip(&*reads).enumerate();
        let outdated = found.filter_map(|(at, (key, read))| {
            Some((at, key, read.as_ref().filter(is_outdated)?.in_place()?.clone()))
        });
        let outdated: Vec<(usize, &Key, Lease)> = outdated.collect();
        if outdated.is_empty() {
            return;
        }
        join_all(outdated.iter().map(|(_, key, lease)| cluster.give_back(key, lease))).await;
        let keys: Vec<Key> = outdated.iter().map(|(_, key, _)| (*key).clone()).collect();
        let names: Vec<Key> = outdated.iter().map(|(at, ..)| names[*at].clone()).collect();
        let again = self.read_keys(cluster, Asked { names: &names, keys: &keys }, policy).await;
        for ((at, ..), read) in outdated.into_iter().zip(again) {
            reads[at] = read;
        }
    }

    async fn read_keys(&self, cluster: &Cluster, asked: Asked<'_>, policy: &Policy) -> Vec<Option<Read>> {
        let sampler = self.sampler.as_ref().filter(|sampler| sampler.draw());
        let options = ReadOptions { usage: sampler.is_some(), ..options(policy) };
        let read = async {
            match asked.keys {
                [] => Vec::new(),
                [key] => vec![cluster.read(key, options).await],
                keys => cluster.read_many(keys, options).await,
            }
        };
        let reads = match sampler {
            None => read.await,
            Some(sampler) => Box::pin(self.sampled(sampler, cluster, asked, policy, read)).await,
        };
        let mut errors = reads.iter().filter_map(|read| read.as_ref().err());
        if let Some(error) = errors.next() {
            let keys = errors.count() + 1;
            tracing::warn!(keys, error = error as &dyn std::error::Error, "cache bypassed");
        }
        reads.into_iter().map(Result::ok).collect()
    }

    /// Does the `read`, counts what it read, and tells the fleet where that is due, side by side.
    async fn sampled(
        &self,
        sampler: &Sampler,
        cluster: &Cluster,
        Asked { names, keys }: Asked<'_>,
        policy: &Policy,
        read: impl Future<Output = Vec<Result<Read, larder_client::Error>>>,
    ) -> Vec<Result<Read, larder_client::Error>> {
        let begun = policy.near().map(|near_for| (near_for, self.near.begin(Clocks::now())));
        let due = sampler.due(Instant::now(), SystemTime::now());
        let (reads, ()) = join(read, async {
            if let Some(counted) = due {
                report(cluster, counted).await;
            }
        })
        .await;
        let usage = |(key, read): (_, &Result<Read, _>)| Some((key, read.as_ref().ok()?.usage));
        sampler.saw(names.iter().zip(&reads).filter_map(usage));
        if let Some((near_for, begun)) = begun {
            for ((name, key), read) in names.iter().zip(keys).zip(&reads) {
                let read = read.as_ref().ok().filter(|_| sampler.is_hot(name));
                // Nobody tells a copy that is not read any more of writes.
                let read = read.filter(|_| copies::is_read(cluster, name, key));
                if let Some(to_keep) = read.and_then(|read| to_keep(read, key, policy, near_for)) {
                    self.near.keep(name, to_keep, begun, Clocks::now());
                }
            }
        }
        reads
    }

    /// What is kept near of `key`. It counts as a read of an item in use, so that what is hot does not become cold by
    /// it.
    pub(crate) fn near_answer(&self, key: &Key, policy: &Policy) -> Option<Answer> {
        let (near_for, sampler) = (policy.near()?, self.sampler.as_ref()?);
        let answer = self.near.find(key, policy.schema, near_for, Clocks::now())?;
        if sampler.draw() {
            sampler.saw([(key, Some(Usage { hit_before: true, last_access_secs: 0 }))]);
        }
        Some(answer)
    }

    /// The same of `keys`, with their indices.
    pub(crate) fn near_answers(&self, keys: &[Key], policy: &Policy) -> Vec<(usize, Answer)> {
        if policy.near().is_none() {
            return Vec::new();
        }
        let answers = keys.iter().enumerate();
        answers.filter_map(|(index, key)| Some((index, self.near_answer(key, policy)?))).collect()
    }
}

/// What is asked for: the keys of copies, as many as the names by which they are known.
#[derive(Clone, Copy)]
struct Asked<'k> {
    names: &'k [Key],
    keys: &'k [Key],
}

/// What the cache has said of keys.
pub(crate) struct Reads {
    /// One for every key; `None` where it could not be asked.
    pub(crate) reads: Vec<Option<Read>>,
    /// Which copies of them were read.
    pub(crate) chosen: Chosen,
    pub(crate) tags: Standing,
    pub(crate) tag_reads: u32,
}

impl Reads {
    /// The answer to the one read that there is, where it is a fresh value and nobody is to load it: most of all reads.
    pub(crate) fn hit(&self, keys: &[Key], policy: &Policy) -> Option<Answer> {
        match (&self.reads[..], keys) {
            ([Some(read @ Read { claim: Claim::None, .. })], [key]) => {
                match Found::of(read, self.chosen.key(0).unwrap_or(key), policy, self.tags) {
                    Found::Fresh(answer) => Some(answer),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Where those of `keys` stand that have no `near` answer.
pub(crate) fn others_at(keys: &[Key], near: &[(usize, Answer)]) -> Vec<usize> {
    let is_other = |index: &usize| near.binary_search_by_key(index, |(at, _)| *at).is_err();
    (0..keys.len()).filter(is_other).collect()
}

/// What is to be kept near of what was `read` under `key`: a fresh value that others had read before, for `near_for`,
/// or for as long as nobody is to refresh it.
fn to_keep(read: &Read, key: &Key, policy: &Policy, near_for: Duration) -> Option<ToKeep> {
    let is_settled = matches!(read.claim, Claim::None) && read.usage.is_some_and(|usage| usage.hit_before);
    let left = Duration::from_secs(read.ttl_secs.saturating_sub(policy.window_secs()));
    match is_settled.then(|| Found::of(read, key, policy, Standing::Untagged))? {
        Found::Fresh(answer) => Some(ToKeep { answer, schema: policy.schema, lives_for: near_for.min(left) }),
        _ => None,
    }
}

/// Gives back what was won by reads that are not used after all.
async fn release(cluster: &Cluster, unused: Vec<(Key, Option<Read>)>) {
    let unused = unused.iter().filter_map(|(key, read)| Some((key, read.as_ref()?)));
    // If that fails, it is taken over.
    join_all(unused.map(|(key, read)| cluster.release(key, read))).await;
}

/// Adds what was `counted` to a record where a publisher looks for it: the keys of one slot, on any node. Many
/// environments then fill few records together.
async fn report(cluster: &Cluster, mut counted: Vec<Counted>) {
    let Ok(nodes) = cluster.nodes().await else { return };
    let Some(node) = fastrand::choice(&nodes) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let slot = fastrand::usize(..Record::SLOTS);
    counted.retain(|counted| Record::slot_of(&counted.key) == slot);
    let key = record_key(slot);
    let added = async {
        let before = node.get_many(std::slice::from_ref(&key)).await?.into_iter().flatten().next();
        // One that is malformed, or was written by another version, makes room for this one.
        let before = before.and_then(|item| Record::decode(&item.value).ok());
        let record = Record::encode(&joined(before, counted, now), now, Record::MAX_LEN);
        node.set(NewItem { key: &key, value: &record, client_flags: 0, ttl: Record::TTL }).await
    };
    if let Err(error) = added.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "what is read most was not told");
    }
}

fn options(policy: &Policy) -> ReadOptions {
    let window = Some(policy.window_secs()).filter(|secs| *secs > 0);
    ReadOptions {
        lease_for: Some(policy.lease_for),
        recache_below_secs: window.map(|secs| secs as u32),
        usage: false,
    }
}

/// How often a document may come in between by which other copies are read.
const MOST_CHOICES: usize = 3;
