//! Cache-aside: read the cache, load what is missing once, fill it for the others.
//!
//! | the node says | we |
//! | --- | --- |
//! | a value | answer it |
//! | nothing, and we won the lease | load, fill |
//! | nothing, somebody else has the lease | wait a moment for the value; then load on our own, without filling |
//! | a stale value, and we won | load, fill; answer the stale one if the origin fails |
//! | a stale value, somebody else won | answer it, if the policy allows |
//! | an error | load, without filling |

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use larder_client::{Claim, Cluster, Fill, Key, Lease, NewItem, Read, ReadOptions, Stored};
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer::{Answer, Batch, Counts, LoadError, Outcome};
use crate::format::{Format, ItemFlags};
use crate::guard::OriginGuard;
use crate::policy::Policy;

/// A cache in front of an origin.
#[derive(Debug)]
pub struct Cache {
    cluster: Cluster,
    guard: OriginGuard,
}

impl Cache {
    /// A cache in `cluster`, in front of an origin that `guard` protects.
    pub fn new(cluster: Cluster, guard: OriginGuard) -> Self {
        Self { cluster, guard }
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
    /// where it waited for others in vain. The nodes are asked side by side, each once, and filled side by side.
    ///
    /// Everything ends by `deadline`. A fault of the cache makes a read slower, never an error; a fault of the
    /// origin is an error for the keys that the cache could not answer. If the future is dropped, leases that it won
    /// end by their own time.
    pub async fn get_or_load_many<E, F: Future<Output = Result<Vec<Option<Bytes>>, E>>>(
        &self,
        keys: &[Key],
        policy: &Policy,
        deadline: Instant,
        load: impl Fn(Vec<usize>) -> F,
    ) -> Batch<E> {
        let cluster = self.cluster.until(deadline);
        let mut work = Work { keys, policy, answers: Vec::new(), to_load: Vec::new(), to_await: Vec::new() };
        let mut counts = Counts::default();
        work.answers.resize_with(keys.len(), || None);
        let reads = match keys {
            [key] => vec![cluster.read(key, options(policy)).await],
            keys => cluster.read_many(keys, options(policy)).await,
        };
        for (index, read) in reads.into_iter().enumerate() {
            work.sort(index, read);
        }
        self.load_and_fill(&mut work, &mut counts, deadline, &load).await;
        counts.waits = work.to_await.len() as u32;
        self.wait_for_others(&mut work, deadline).await;
        self.load_and_fill(&mut work, &mut counts, deadline, &load).await;
        let answers =
            work.answers.into_iter().map(|answer| answer.unwrap_or(Err(LoadError::Deadline))).collect();
        let mut batch = Batch { answers, counts };
        batch.count();
        batch
    }

    /// Asks again for what others load, until it is there or patience is at its end; what is left is to be loaded.
    async fn wait_for_others<E>(&self, work: &mut Work<'_, E>, deadline: Instant) {
        let now = Instant::now();
        let patience = work.policy.wait_for.min(deadline.saturating_duration_since(now) / 2);
        let mut pause = FIRST_PAUSE;
        while !work.to_await.is_empty() {
            let left = (now + patience).saturating_duration_since(Instant::now());
            if left.is_zero() {
                let others = std::mem::take(&mut work.to_await);
                work.to_load.extend(others.into_iter().map(|index| ToLoad::plainly(index, Outcome::Miss)));
                return;
            }
            sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0).min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let indices = std::mem::take(&mut work.to_await);
            let keys: Vec<Key> = indices.iter().map(|index| work.keys[*index].clone()).collect();
            let reads = self.cluster.until(deadline).read_many(&keys, options(work.policy)).await;
            for (index, read) in indices.into_iter().zip(reads) {
                work.sort(index, read);
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
        let patience = patience.min(deadline.saturating_duration_since(Instant::now()));
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
        let fills: Vec<Fill<'_>> = to_load
            .iter()
            .zip(values)
            .filter_map(|(key, value)| {
                Some(Fill { item: work.item(key.index, value.as_deref()), lease: key.lease.as_ref()? })
            })
            .collect();
        for filled in self.cluster.until(deadline).fill_many(&fills).await {
            match filled {
                Ok(Stored::Yes) => counts.fills += 1,
                Ok(Stored::Refused | Stored::Missing) => counts.fills_refused += 1,
                Err(error) => {
                    counts.fills_failed += 1;
                    tracing::warn!(error = &error as &dyn std::error::Error, "value not stored");
                }
            }
        }
    }

    /// Gives the leases back, so that the next reader need not wait for a value that does not come.
    async fn give_back(&self, keys: &[Key], to_load: &[ToLoad]) {
        let cluster = self.cluster.until(Instant::now() + GIVE_BACK_LIMIT);
        let leased = to_load.iter().filter(|key| key.stale.is_none());
        let given = leased.filter_map(|key| Some((key.index, key.lease.as_ref()?)));
        join_all(given.map(|(index, lease)| cluster.give_back(&keys[index], lease))).await;
    }
}

/// A batch in the making: every key is answered, to be loaded, or waited for.
struct Work<'a, E> {
    keys: &'a [Key],
    policy: &'a Policy,
    answers: Vec<Option<Result<Answer, LoadError<E>>>>,
    to_load: Vec<ToLoad>,
    to_await: Vec<usize>,
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

impl ToLoad {
    fn plainly(index: usize, outcome: Outcome) -> Self {
        Self { index, outcome, node: None, lease: None, stale: None }
    }
}

impl<E> Work<'_, E> {
    /// Decides what to do about the key at `index`; see the table of the module.
    fn sort(&mut self, index: usize, read: Result<Read, larder_client::Error>) {
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cache bypassed");
                return self.to_load.push(ToLoad::plainly(index, Outcome::Bypass));
            }
        };
        let found = self.found(index, &read);
        match (found, read.claim) {
            (Some(answer), _) if !read.is_stale => self.answers[index] = Some(Ok(answer)),
            (Some(answer), Claim::Lost(_)) if self.policy.stale_while_refreshed => {
                self.answers[index] = Some(Ok(answer));
            }
            (stale, Claim::Won(lease)) => self.to_load.push(ToLoad {
                index,
                outcome: Outcome::Miss,
                node: Some(read.node),
                lease: Some(lease),
                stale,
            }),
            (_, Claim::Lost(_)) => self.to_await.push(index),
            (stale, Claim::None) => self.to_load.push(ToLoad {
                stale,
                node: Some(read.node),
                ..ToLoad::plainly(index, Outcome::Miss)
            }),
        }
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
        let flags = ItemFlags { format, schema: self.policy.schema, epoch: 0 };
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

fn options(policy: &Policy) -> ReadOptions {
    ReadOptions { lease_for: Some(policy.lease_for), recache_below_secs: None }
}

/// The first pause between two looks for what somebody else loads; the next are twice as long, give or take a
/// quarter.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Giving a lease back is a courtesy that may take a little of the margin after the deadline.
const GIVE_BACK_LIMIT: Duration = Duration::from_millis(20);
