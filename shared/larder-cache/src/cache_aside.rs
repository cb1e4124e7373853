//! Cache-aside: read the cache, load what is missing once, fill it for the others.
//!
//! | the node says | we |
//! | --- | --- |
//! | a value | answer it |
//! | nothing, and we won the lease | load, fill |
//! | nothing, somebody else has the lease | wait a moment for the value; then load on our own, without filling |
//! | a stale value, and we won | load, fill; answer the stale one if the origin fails and the policy allows |
//! | a stale value, somebody else won | answer it, if the policy allows; else as above |
//! | an error | load, without filling |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use larder_client::{Claim, Cluster, Fill, Key, Lease, NewItem, Read, ReadOptions, Stored};
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer::{Answer, Batch, Counts, LoadError, Outcome};
use crate::catalogue::joined;
use crate::format::{Format, ItemFlags};
use crate::guard::OriginGuard;
use crate::policy::Policy;
use crate::record::{Record, record_key};
use crate::sampler::Sampler;
use crate::sketch::Counted;

/// A cache in front of an origin.
#[derive(Debug)]
pub struct Cache {
    cluster: Cluster,
    guard: OriginGuard,
    sampler: Option<Sampler>,
}

impl Cache {
    /// A cache in `cluster`, in front of an origin that `guard` protects.
    pub fn new(cluster: Cluster, guard: OriginGuard) -> Self {
        Self { cluster, guard, sampler: None }
    }

    /// The same cache, which tells the fleet from time to time what it reads most, so that nodes that come can be warmed:
    /// a record of at most [`Record::MAX_LEN`] bytes to one node, along with a read.
    #[must_use]
    pub fn sampled_by(self, sampler: Sampler) -> Self {
        Self { sampler: Some(sampler), ..self }
    }

    /// The cluster that holds it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Answers the value under `key`: from the cache, or from `load`, which says `None` for "no such record".
    ///
    /// As [`get_or_load_many`](Self::get_or_load_many) for one key.
    pub async fn get_or_load<E, F: Future<Output = Result<Option<Bytes>, E>>>(
        &self,
        key: &Key,
        policy: &Policy,
        deadline: Instant,
        load: impl Fn() -> F,
    ) -> (Result<Answer, LoadError<E>>, Counts) {
        let load_one = |_| async { load().await.map(|value| vec![value]) };
        let mut batch = self.get_or_load_many(std::slice::from_ref(key), policy, deadline, load_one).await;
        (batch.answers.pop().unwrap_or(Err(LoadError::Deadline)), batch.counts)
    }

    /// Answers the values under `keys`: from the cache, or from `load`.
    ///
    /// `load` gets the indices of the keys to load and answers as many values in their order, `None` for "no such
    /// record", which is cached, too. It is called once for all keys that this caller has to load, and once more
    /// where it waited for others in vain; a key that stands in `keys` twice is loaded once, for both. The nodes are
    /// asked side by side, each once, and filled side by side.
    ///
    /// Everything ends by `deadline`; whenever the cache is asked it may take half of the time left, so that the
    /// origin has the rest. A fault of the cache makes a read slower, never an error; a fault of the origin is an
    /// error for the keys that the cache could not answer. If the future is dropped, leases that it won end by their
    /// own time.
    pub async fn get_or_load_many<E, F: Future<Output = Result<Vec<Option<Bytes>>, E>>>(
        &self,
        keys: &[Key],
        policy: &Policy,
        deadline: Instant,
        load: impl Fn(Vec<usize>) -> F,
    ) -> Batch<E> {
        let mut work = Work::new(keys, policy);
        let mut counts = Counts::default();
        for (index, read) in self.read(keys, policy, deadline).await.into_iter().enumerate() {
            work.sort(index, read);
        }
        self.load_and_fill(&mut work, &mut counts, deadline, &load).await;
        counts.waits = work.to_await.len() as u32;
        self.wait_for_others(&mut work, deadline).await;
        self.load_and_fill(&mut work, &mut counts, deadline, &load).await;
        let mut batch = Batch { answers: work.into_answers(), counts };
        batch.count();
        batch
    }

    /// Asks the cache for `keys`, for half of the time to `deadline` at most: where a node hangs, the origin needs
    /// the rest.
    async fn read(
        &self,
        keys: &[Key],
        policy: &Policy,
        deadline: Instant,
    ) -> Vec<Result<Read, larder_client::Error>> {
        let sampler = self.sampler.as_ref().filter(|sampler| sampler.draw());
        let options = ReadOptions { usage: sampler.is_some(), ..options(policy) };
        let cluster = self.cluster.until(Instant::now() + half_until(deadline));
        let read = async {
            match keys {
                [] => Vec::new(),
                [key] => vec![cluster.read(key, options).await],
                keys => cluster.read_many(keys, options).await,
            }
        };
        let reads = match sampler {
            None => read.await,
            Some(sampler) => Box::pin(self.sampled(sampler, &cluster, keys, read)).await,
        };
        let mut errors = reads.iter().filter_map(|read| read.as_ref().err());
        if let Some(error) = errors.next() {
            let keys = errors.count() + 1;
            tracing::warn!(keys, error = error as &dyn std::error::Error, "cache bypassed");
        }
        reads
    }

    /// Does the `read`, counts what it read, and tells the fleet where that is due, side by side.
    async fn sampled(
        &self,
        sampler: &Sampler,
        cluster: &Cluster,
        keys: &[Key],
        read: impl Future<Output = Vec<Result<Read, larder_client::Error>>>,
    ) -> Vec<Result<Read, larder_client::Error>> {
        let due = sampler.due(Instant::now(), SystemTime::now());
        let (reads, ()) = join(read, async {
            if let Some(counted) = due {
                report(cluster, counted).await;
            }
        })
        .await;
        let usage = |(key, read): (_, &Result<Read, _>)| Some((key, read.as_ref().ok()?.usage));
        sampler.saw(keys.iter().zip(&reads).filter_map(usage));
        reads
    }

    /// Asks again for what others load, until it is there or patience is at its end; what is left is to be loaded.
    async fn wait_for_others<E>(&self, work: &mut Work<'_, E>, deadline: Instant) {
        let end = Instant::now() + work.policy.wait_for.min(half_until(deadline));
        let mut pause = FIRST_PAUSE;
        while !work.to_await.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return work.to_load.append(&mut work.to_await);
            }
            sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0).min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let awaited = std::mem::take(&mut work.to_await);
            let keys: Vec<Key> = awaited.iter().map(|key| work.keys[key.index].clone()).collect();
            let reads = self.read(&keys, work.policy, deadline).await;
            for (key, read) in awaited.into_iter().zip(reads) {
                work.sort(key.index, read);
            }
        }
    }

    /// Loads what is to be loaded with one call to the origin, and stores what there is a lease for.
    async fn load_and_fill<E, F: Future<Output = Result<Vec<Option<Bytes>>, E>>>(
        &self,
        work: &mut Work<'_, E>,
        counts: &mut Counts,
        deadline: Instant,
        load: &impl Fn(Vec<usize>) -> F,
    ) {
        let to_load = std::mem::take(&mut work.to_load);
        if to_load.is_empty() {
            return;
        }
        let indices: Vec<usize> = to_load.iter().map(|key| key.index).collect();
        match self.call_origin(indices, work.policy.wait_for, counts, deadline, load).await {
            Ok(values) => {
                self.fill(work, &to_load, &values, counts, deadline).await;
                for (key, value) in to_load.into_iter().zip(values) {
                    let answer = Answer { value, outcome: key.outcome, node: key.node, age: None };
                    work.answers[key.index] = Some(Ok(answer));
                }
            }
            Err(error) => {
                self.give_back(work.keys, &to_load).await;
                for key in to_load {
                    work.answers[key.index] = Some(key.stale.ok_or_else(|| error.clone()));
                }
            }
        }
    }

    async fn call_origin<E, F: Future<Output = Result<Vec<Option<Bytes>>, E>>>(
        &self,
        indices: Vec<usize>,
        patience: Duration,
        counts: &mut Counts,
        deadline: Instant,
        load: &impl Fn(Vec<usize>) -> F,
    ) -> Result<Vec<Option<Bytes>>, LoadError<E>> {
        let patience = patience.min(half_until(deadline));
        let _permit = self.guard.enter(patience).await.ok_or(LoadError::Guarded)?;
        let asked = indices.len();
        counts.origin_calls += 1;
        let loaded = timeout_at(deadline, load(indices)).await.map_err(|_| LoadError::Deadline)?;
        let values = loaded.map_err(|error| LoadError::Origin(Arc::new(error)))?;
        if values.len() == asked {
            Ok(values)
        } else {
            Err(LoadError::Miscounted { asked, answered: values.len() })
        }
    }

    /// Stores `values` where there is a lease. What cannot be stored is good for this caller all the same.
    async fn fill<E>(
        &self,
        work: &Work<'_, E>,
        to_load: &[ToLoad],
        values: &[Option<Bytes>],
        counts: &mut Counts,
        deadline: Instant,
    ) {
        let leased = to_load.iter().zip(values).filter_map(|(key, value)| {
            let lease = key.lease.as_ref()?;
            Some((key, Fill { item: work.item(key.index, value.as_deref()), lease }))
        });
        let (keys, fills): (Vec<&ToLoad>, Vec<Fill<'_>>) = leased.unzip();
        let mut failed = Vec::new();
        for (key, filled) in keys.into_iter().zip(self.cluster.until(deadline).fill_many(&fills).await) {
            match filled {
                Ok(Stored::Yes) => counts.fills += 1,
                Ok(Stored::Refused | Stored::Missing) => counts.fills_refused += 1,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "value not stored");
                    failed.push(key);
                }
            }
        }
        counts.fills_failed += failed.len() as u32;
        self.give_back(work.keys, failed).await;
    }

    /// Gives the leases back, so that the next reader need not wait for a value that does not come. Not those of
    /// stale values, which would go with them.
    async fn give_back(&self, keys: &[Key], unfilled: impl IntoIterator<Item = &ToLoad>) {
        let cluster = self.cluster.until(Instant::now() + GIVE_BACK_LIMIT);
        let leased = unfilled.into_iter().filter(|key| key.stale.is_none());
        let given = leased.filter_map(|key| Some((key.index, key.lease.as_ref()?)));
        join_all(given.map(|(index, lease)| cluster.give_back(&keys[index], lease))).await;
    }
}

/// A batch in the making: every key is answered, to be loaded, waited for, or answered with its twin.
struct Work<'a, E> {
    keys: &'a [Key],
    policy: &'a Policy,
    answers: Vec<Option<Result<Answer, LoadError<E>>>>,
    to_load: Vec<ToLoad>,
    to_await: Vec<ToLoad>,
    /// Where the keys that the cache did not answer stand first.
    first_at: HashMap<&'a Key, usize>,
    /// Where they stand once more, and where first.
    twins: Vec<(usize, usize)>,
}

/// A key to be loaded.
struct ToLoad {
    index: usize,
    outcome: Outcome,
    /// Who said that it is missing.
    node: Option<Arc<str>>,
    /// The right to fill it.
    lease: Option<Lease>,
    /// What to answer if the origin fails.
    stale: Option<Answer>,
}

impl<'a, E> Work<'a, E> {
    fn new(keys: &'a [Key], policy: &'a Policy) -> Self {
        Self {
            keys,
            policy,
            answers: std::iter::repeat_with(|| None).take(keys.len()).collect(),
            to_load: Vec::new(),
            to_await: Vec::new(),
            first_at: HashMap::new(),
            twins: Vec::new(),
        }
    }

    /// Decides what to do about the key at `index`; see the table of the module.
    fn sort(&mut self, index: usize, read: Result<Read, larder_client::Error>) {
        let stale = match read.as_ref().ok().and_then(|read| self.found(index, read)) {
            Some(answer) if answer.outcome == Outcome::Hit => {
                self.answers[index] = Some(Ok(answer));
                return;
            }
            found => found.filter(|_| self.policy.stale_while_refreshed),
        };
        if self.is_twin(index) {
            return;
        }
        let Ok(read) = read else {
            let outcome = Outcome::Bypass;
            return self.to_load.push(ToLoad { index, outcome, node: None, lease: None, stale: None });
        };
        let missing =
            ToLoad { index, outcome: Outcome::Miss, node: Some(read.node), lease: None, stale: None };
        match (stale, read.claim) {
            (Some(answer), Claim::Lost(_)) => self.answers[index] = Some(Ok(answer)),
            (None, Claim::Lost(_)) => self.to_await.push(missing),
            (stale, Claim::Won(lease)) => {
                self.to_load.push(ToLoad { lease: Some(lease), stale, ..missing });
            }
            (stale, Claim::None) => self.to_load.push(ToLoad { stale, ..missing }),
        }
    }

    /// Whether the key at `index`, which the cache did not answer, stands before it, too. It gets the same answer:
    /// else the batch would wait for itself, as it has won the lease already.
    fn is_twin(&mut self, index: usize) -> bool {
        let first = *self.first_at.entry(&self.keys[index]).or_insert(index);
        if first != index {
            self.twins.push((index, first));
        }
        first != index
    }

    /// The answers, in the order of the keys.
    fn into_answers(mut self) -> Vec<Result<Answer, LoadError<E>>> {
        for (index, first) in self.twins {
            self.answers[index] = self.answers[first].clone();
        }
        self.answers.into_iter().map(|answer| answer.unwrap_or(Err(LoadError::Deadline))).collect()
    }

    /// The answer that `read` holds; `None` for a miss, and for an item that is not ours or of another schema.
    fn found(&self, index: usize, read: &Read) -> Option<Answer> {
        let item = read.item.as_ref()?;
        let flags =
            ItemFlags::decode(item.client_flags).filter(|flags| flags.schema == self.policy.schema)?;
        let (value, ttl) = match flags.format {
            Format::Value => (Some(item.value.clone()), self.policy.value_ttl(&self.keys[index])),
            Format::NotFound => (None, self.policy.negative_ttl(&self.keys[index])),
        };
        let age = Duration::from_secs(u64::from(ttl.as_secs()).saturating_sub(read.ttl_secs));
        let (outcome, age) = if read.is_stale { (Outcome::Stale, None) } else { (Outcome::Hit, Some(age)) };
        Some(Answer { value, outcome, node: Some(Arc::clone(&read.node)), age })
    }

    /// What to store for the key at `index`.
    fn item<'v>(&'v self, index: usize, value: Option<&'v [u8]>) -> NewItem<'v> {
        let key = &self.keys[index];
        let (format, ttl) = match value {
            Some(_) => (Format::Value, self.policy.value_ttl(key)),
            None => (Format::NotFound, self.policy.negative_ttl(key)),
        };
        let flags = ItemFlags { format, schema: self.policy.schema };
        NewItem { key, value: value.unwrap_or_default(), client_flags: flags.encode(), ttl }
    }
}

impl<E> Batch<E> {
    fn count(&mut self) {
        for answer in &self.answers {
            let count = match answer {
                Err(_) => &mut self.counts.errors,
                Ok(answer) => match answer.outcome {
                    Outcome::Hit => &mut self.counts.hits,
                    Outcome::Miss => &mut self.counts.misses,
                    Outcome::Stale => &mut self.counts.stale,
                    Outcome::Bypass => &mut self.counts.bypasses,
                },
            };
            *count += 1;
            let is_negative_hit = matches!(answer, Ok(Answer { value: None, outcome: Outcome::Hit, .. }));
            self.counts.negative_hits += u32::from(is_negative_hit);
        }
    }
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

/// Half of the time that is left until `deadline`.
fn half_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()) / 2
}

fn options(policy: &Policy) -> ReadOptions {
    ReadOptions { lease_for: Some(policy.lease_for), recache_below_secs: None, usage: false }
}

/// The first pause between two looks for what somebody else loads; the next are twice as long, give or take a
/// quarter.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Giving a lease back is a courtesy that may take a little of the margin after the deadline.
const GIVE_BACK_LIMIT: Duration = Duration::from_millis(20);
