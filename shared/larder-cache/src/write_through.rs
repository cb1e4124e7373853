//! Write-through: when the origin has another value, the cache has it, too, or has nothing.
//!
//! | | the writer |
//! | --- | --- |
//! | 1 | reads what the cache has before it changes the origin: an [`Intent`] |
//! | 2 | changes the origin |
//! | 3 | stores the new value in place of just what it read |
//!
//! Whatever was there in step 1 is older than what is stored in step 3, and nothing that came in between is
//! overwritten: where something did, versions decide, and where there are none the key is forgotten. A reader who
//! loaded the old value meanwhile cannot store it, for its lease is void.

use bytes::Bytes;
use futures_util::future::{join, join_all};
use larder_client::{Cluster, Error, Key, Lease, Read, ReadOptions, Stored};
use tokio::time::Instant;

use crate::answer::{Answer, Counts, LoadError, LoadFault, Outcome};
use crate::cache_aside::{Cache, GIVE_BACK_LIMIT, half_until};
use crate::copies;
use crate::invalidation::Forget;
use crate::packed::{Packed, Unpacked};
use crate::policy::Policy;
use crate::standing;
use crate::tags::Standing;
use crate::uncacheable::is_too_long;
use crate::value::Loaded;
use crate::work::ToLoad;

/// What a writer has read of the cache before it changes the origin. Dropped, it leaves a lease that ends by its own
/// time.
#[derive(Debug)]
#[must_use = "a lease may depend on it: see `Cache::written` and `Cache::abandon`"]
pub struct Intent {
    key: Key,
    /// What was read of it, and of its copies.
    parts: Vec<Part>,
    tags: Standing,
}

/// What was read of one copy.
#[derive(Debug)]
struct Part {
    key: Key,
    read: Result<Read, Error>,
}

impl Intent {
    /// The value that the cache had, fresh or not, if it had one: a hint at what the row was before it is changed.
    pub fn found(&self, policy: &Policy) -> Option<Bytes> {
        let items = self.parts.iter().filter_map(|part| part.read.as_ref().ok()?.item.as_ref());
        let unpacked = items.filter_map(|item| Unpacked::of(item, policy.schema).ok());
        let mut values =
            unpacked.filter(|unpacked| unpacked.flags.kind.is_of_record()).map(|unpacked| unpacked.value);
        values.find(|value| !value.is_empty())
    }
}

/// What came of telling the cache what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Written {
    /// The cache has the new value.
    Stored,
    /// The cache has a newer one already.
    Newer,
    /// The cache has no value: the next reader loads it.
    Forgotten,
}

impl Cache {
    /// Begins to change the row of `key`, by `deadline`: to be called before the origin is asked to.
    ///
    /// Where the cache has nothing, others wait for what is written, for [`Policy::load_for`]; so let the change be
    /// under way at once. Never fails: a fault of the cache counts when the change is [`written`](Self::written). If
    /// the future is dropped, leases that it won end by their own time, or are taken over.
    pub async fn intend(&self, key: &Key, policy: &Policy, deadline: Instant) -> Intent {
        let _kept_away = self.near.keep_away(key);
        let cluster = self.cluster().until(Instant::now() + half_until(deadline));
        let options = ReadOptions { lease_for: Some(policy.lease_for), ..ReadOptions::default() };
        let parts = (0..copies::count(&cluster, key)).map(|number| {
            let (key, cluster) = (key.copy_at(number), &cluster);
            async move { Part { read: cluster.read(&key, options).await, key } }
        });
        let (parts, tags) = join(join_all(parts), standing::read(&cluster, &policy.tags)).await;
        Intent { key: key.clone(), parts, tags }
    }

    /// Tells the cache what the origin has now, by `deadline`: to be called when it was changed, by the one who changed
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error`] where the cache could not be told: it may have the old value yet, and has to be told to
    /// [`forget`](Self::forget) it. So it has where the future is dropped.
    pub async fn written(
        &self,
        intent: Intent,
        value: &Loaded,
        policy: &Policy,
        deadline: Instant,
    ) -> Result<Written, Error> {
        let Intent { key, parts, tags } = intent;
        let _kept_away = self.near.keep_away(&key);
        let cluster = self.cluster().until(deadline);
        let told = parts.len() as u32;
        let written = parts.into_iter().map(|part| put(&cluster, part, tags, value, policy));
        let written: Result<Vec<Written>, Error> = join_all(written).await.into_iter().collect();
        // What has become a copy since has not heard yet.
        let forgotten = copies::forget(&cluster, &key, told, copies::how(policy.stale_ttl())).await;
        let written = written?;
        forgotten?;
        Ok(written.first().copied().unwrap_or(Written::Forgotten))
    }

    /// Gives up what was intended: the origin was not changed. Whoever reads next may load, and what was marked stale
    /// stays. What cannot be given up in 20 ms is taken over. If the future is dropped, leases end by their own time.
    pub async fn abandon(&self, intent: Intent) {
        let cluster = self.cluster().until(Instant::now() + GIVE_BACK_LIMIT);
        let read = intent.parts.iter().filter_map(|part| Some((&part.key, part.read.as_ref().ok()?)));
        join_all(read.map(|(key, read)| cluster.release(key, read))).await;
    }

    /// Forgets what is kept under `key`, and all copies of it, as the policy says: it is removed, or marked stale where
    /// it may be answered until somebody has refreshed it. Whatever is being loaded is not stored.
    ///
    /// # Errors
    ///
    /// [`Error`] where that is not known to be done: it has to be done yet. So it has where the future is dropped.
    pub async fn forget(&self, key: &Key, policy: &Policy, deadline: Instant) -> Result<(), Error> {
        self.forget_by(key, copies::how(policy.stale_ttl()), deadline).await
    }

    async fn forget_by(&self, key: &Key, how: Forget, deadline: Instant) -> Result<(), Error> {
        let _kept_away = self.near.keep_away(key);
        copies::forget(&self.cluster().until(deadline), key, 0, how).await
    }

    /// As [`get_or_load`](Self::get_or_load), but never an older value than the one of `version`: for whoever has
    /// written it, or has read it elsewhere.
    ///
    /// What the cache has is loaded anew where it is older, or where it has no version. What the origin has counts even
    /// where that is no such record; a value of its that is older is [`LoadError::Older`].
    pub async fn get_at_least<E, V, F>(
        &self,
        key: &Key,
        version: u64,
        policy: &Policy,
        deadline: Instant,
        load: impl Fn() -> F,
    ) -> (Result<Answer, LoadError<E>>, Counts)
    where
        E: LoadFault,
        V: Into<Loaded>,
        F: Future<Output = Result<Option<V>, E>>,
    {
        self.near.drop_older(key, version);
        let (answer, counts) = self.get_or_load(key, policy, deadline, &load).await;
        let mut counts = counts.without_answers();
        let answer = match answer {
            Ok(answer) if answer.version >= Some(version) => Ok(answer),
            Ok(Answer { outcome: Outcome::Hit | Outcome::Stale, .. }) => {
                self.load_at_least(key, version, policy, &mut counts, deadline, load).await
            }
            loaded => loaded.and_then(|answer| at_least(version, answer)),
        };
        counts.add(&answer);
        (answer, counts)
    }

    /// Loads a value of `version` at least, whatever the cache has, and tells the cache of it as a writer does.
    async fn load_at_least<E, V, F>(
        &self,
        key: &Key,
        version: u64,
        policy: &Policy,
        counts: &mut Counts,
        deadline: Instant,
        load: impl Fn() -> F,
    ) -> Result<Answer, LoadError<E>>
    where
        V: Into<Loaded>,
        F: Future<Output = Result<Option<V>, E>>,
    {
        let intent = self.intend(key, policy, deadline).await;
        counts.tag_reads += policy.tags.len() as u32;
        let load_one = |_| async { load().await.map(|value| vec![value]) };
        let to_load = [ToLoad::new(0)];
        let loaded = match self
            .call_origin(policy, std::slice::from_ref(key), &to_load, counts, deadline, &load_one)
            .await
        {
            Ok(mut values) => values.pop().flatten(),
            Err(error) => {
                self.abandon(intent).await;
                return Err(error);
            }
        };
        let told = match &loaded {
            Some(loaded) => self.written(intent, loaded, policy, deadline).await,
            // That it has no such row is the origin's word, and no old value is answered against that.
            None => self.forget_by(key, Forget::Hard, deadline).await.map(|()| Written::Forgotten),
        };
        counts.fills += u32::from(matches!(told, Ok(Written::Stored)));
        counts.fills_failed += u32::from(told.is_err());
        at_least(version, Answer::of_loaded(loaded, Outcome::Miss, None))
    }
}

/// Stores `value` in place of what was read of one copy, or forgets that one: what could not be stored, for whatever
/// reason, must not leave what is older.
async fn put(
    cluster: &Cluster,
    part: Part,
    tags: Standing,
    value: &Loaded,
    policy: &Policy,
) -> Result<Written, Error> {
    let key = part.key.clone();
    match replace(cluster, part, tags, value, policy).await {
        Ok(Some(written)) => return Ok(written),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not stored as written, forgotten");
        }
    }
    copies::forget_one(cluster, &key, copies::how(policy.stale_ttl())).await?;
    Ok(Written::Forgotten)
}

/// Stores `value` in place of what was read of one copy, where that is older; `None` where the copy has to be
/// forgotten.
async fn replace(
    cluster: &Cluster,
    Part { key, read }: Part,
    tags: Standing,
    value: &Loaded,
    policy: &Policy,
) -> Result<Option<Written>, Error> {
    let packed = Packed::of(Some(value), &key, policy, tags);
    let read = read.ok().filter(|_| tags != Standing::Unknown);
    let mut lease = read.and_then(|read| read.in_place().cloned());
    for _ in 0..MOST_TRIES {
        let Some(held) = lease.take() else { break };
        match cluster.put_in_place(packed.item(&key), &held).await {
            Ok(Stored::Yes) => return Ok(Some(Written::Stored)),
            Ok(Stored::Refused | Stored::Missing) => {}
            Err(error) if is_too_long(&error) => {
                // No older value is left, and readers need not find out one by one.
                let word = Packed::uncacheable(policy, packed.len());
                let stored = cluster.put_in_place(word.item(&key), &held).await?;
                return Ok((stored == Stored::Yes).then_some(Written::Forgotten));
            }
            Err(error) => return Err(error),
        }
        let read = cluster.read(&key, ReadOptions::default()).await?;
        match compare(&read, value, policy) {
            Present::Older(older) => lease = Some(older),
            // While it moves, another owner may have an older one yet.
            Present::Newer if cluster.has_one_owner(&key) => return Ok(Some(Written::Newer)),
            Present::Newer | Present::Unknown => break,
        }
    }
    Ok(None)
}

/// What the cache has, beside a value that was written.
enum Present {
    /// A value of an earlier version; to be replaced under this lease.
    Older(Lease),
    /// The same value, or one of a later version.
    Newer,
    /// None, or one of which that is not known.
    Unknown,
}

fn compare(read: &Read, written: &Loaded, policy: &Policy) -> Present {
    let unpacked = read.item.as_ref().and_then(|item| Unpacked::of(item, policy.schema).ok());
    let version = unpacked.and_then(|unpacked| unpacked.version);
    match (version, written.version, read.in_place()) {
        // Somebody else has written, too: what he has written may be later than either.
        _ if read.is_stale => Present::Unknown,
        (Some(present), Some(written), _) if present >= written => Present::Newer,
        (Some(_), Some(_), Some(lease)) => Present::Older(lease.clone()),
        _ => Present::Unknown,
    }
}

/// The `answer` of the origin, if it is not older than `version`.
fn at_least<E>(version: u64, answer: Answer) -> Result<Answer, LoadError<E>> {
    match answer.version {
        Some(found) if found < version && answer.value.is_some() => Err(LoadError::Older { found, version }),
        _ => Ok(answer),
    }
}

/// How often a value is tried to be stored over an earlier one, before its key is forgotten: others write it, too.
const MOST_TRIES: usize = 3;
