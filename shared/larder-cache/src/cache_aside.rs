//! Cache-aside: read the cache, load what is missing once, fill it for the others.
//!
//! 1. All keys are read, each node once. What that means for a key says the table of `work.rs`.
//! 2. What is left by winners who are dead is taken over, and read again.
//! 3. What we are to load is loaded by one call to the origin, and stored, each node once.
//! 4. What others load is waited for, in rounds that read all of it at once; what is waited for in vain is loaded.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{join, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use larder_client::{Claim, Cluster, Fill, Key, Lease, NewItem, Read, ReadOptions, Stored, Usage};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Answer, Batch, Counts, LoadError};
use crate::catalogue::joined;
use crate::copies::Chosen;
use crate::flights::Flights;
use crate::guard::OriginGuard;
use crate::near::{Clocks, Near, ToKeep};
use crate::packed::{Packed, Unpacked};
use crate::policy::Policy;
use crate::record::{Record, record_key};
use crate::rivals::Rivals;
use crate::sampler::Sampler;
use crate::sketch::Counted;
use crate::tags::{self, Standing};
use crate::value::Loaded;
use crate::work::{Found, Leases, ToAwait, ToLoad, Work};

/// A cache in front of an origin.
#[derive(Debug)]
pub struct Cache {
    cluster: Cluster,
    guard: OriginGuard,
    sampler: Option<Sampler>,
    rivals: Rivals,
    flights: Flights,
    near: Near,
}

impl Cache {
    /// A cache in `cluster`, in front of an origin that `guard` protects.
    pub fn new(cluster: Cluster, guard: OriginGuard) -> Self {
        let (rivals, flights, near) = (Rivals::default(), Flights::default(), Near::default());
        Self { cluster, guard, sampler: None, rivals, flights, near }
    }

    /// The same cache, which tells the fleet from time to time what it reads most, so that nodes that come can be warmed:
    /// a record of at most [`Record::MAX_LEN`] bytes to one node, along with a read.
    #[must_use]
    pub fn sampled_by(self, sampler: Sampler) -> Self {
        Self { sampler: Some(sampler), ..self }
    }

    /// The keys that this environment reads most, where it has told the fleet since this was asked last, most read first; see
    /// [`Sampler::take_hottest`].
    pub fn take_hottest(&self) -> Vec<Counted> {
        self.sampler.as_ref().map(Sampler::take_hottest).unwrap_or_default()
    }

    /// The cluster that holds it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Answers the value under `key`: from the cache, or from `load`, which says `None` for "no such record".
    ///
    /// As [`get_or_load_many`](Self::get_or_load_many) for one key.
    pub async fn get_or_load<E, V, F>(
        &self,
        key: &Key,
        policy: &Policy,
        deadline: Instant,
        load: impl Fn() -> F,
    ) -> (Result<Answer, LoadError<E>>, Counts)
    where
        V: Into<Loaded>,
        F: Future<Output = Result<Option<V>, E>>,
    {
        if let Some(answer) = self.near_answer(key, policy) {
            let (answer, mut counts) = (Ok(answer), Counts::default());
            counts.add(&answer);
            return (answer, counts);
        }
        let keys = std::slice::from_ref(key);
        let reads = self.read(keys, policy, deadline).await;
        if let Some(answer) = reads.hit(keys, policy) {
            let (answer, mut counts) =
                (Ok(answer), Counts { tag_reads: reads.tag_reads, ..Counts::default() });
            counts.add(&answer);
            return (answer, counts);
        }
        let load_one = |_| async { load().await.map(|value| vec![value]) };
        // Boxed, for most reads end above and need not carry it along.
        let batch = Box::pin(self.go_on(keys, Vec::new(), reads, policy, deadline, load_one));
        let mut batch = batch.await;
        (batch.answers.pop().unwrap_or(Err(LoadError::Deadline)), batch.counts)
    }

    /// Answers the values under `keys`: from the cache, or from `load`.
    ///
    /// `load` gets the indices of the keys to load and answers as many values in their order, `None` for "no such
    /// record", which is cached, too. It is called once for all keys that this caller has to load, and once more
    /// where it waited for others in vain; a key that stands in `keys` twice is loaded once, for both. The nodes are
    /// asked side by side, each once, and filled side by side. An error of `load` says that the origin is out of order:
    /// where the policy has a time for that, nobody asks again for these keys until it is over. What cannot be a key of the
    /// origin is therefore no error, but no record.
    ///
    /// Everything ends by `deadline`; whenever the cache is asked it may take half of the time left, so that the
    /// origin has the rest. A fault of the cache makes a read slower, never an error; a fault of the origin is an
    /// error for the keys that the cache could not answer. If the future is dropped, leases that it won end by their
    /// own time, or are taken over.
    pub async fn get_or_load_many<E, V, F>(
        &self,
        keys: &[Key],
        policy: &Policy,
        deadline: Instant,
        load: impl Fn(Vec<usize>) -> F,
    ) -> Batch<E>
    where
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let near = self.near_answers(keys, policy);
        let reads = match &near[..] {
            [] => self.read(keys, policy, deadline).await,
            near => {
                let others = others_at(keys, near).into_iter().map(|index| keys[index].clone());
                self.read(&others.collect::<Vec<_>>(), policy, deadline).await
            }
        };
        match keys {
            [_] if let Some(answer) = reads.hit(keys, policy) => {
                Batch::new(vec![Ok(answer)], Counts { tag_reads: reads.tag_reads, ..Counts::default() })
            }
            // Boxed, for most reads of one key end above and need not carry it along.
            keys => Box::pin(self.go_on(keys, near, reads, policy, deadline, load)).await,
        }
    }

    /// What is to be done after the first `reads`, of the keys that have no `near` answer.
    pub(crate) async fn go_on<E, V, F>(
        &self,
        keys: &[Key],
        near: Vec<(usize, Answer)>,
        reads: Reads,
        policy: &Policy,
        deadline: Instant,
        load: impl Fn(Vec<usize>) -> F,
    ) -> Batch<E>
    where
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let chosen = if near.is_empty() { reads.chosen } else { reads.chosen.at(&others_at(keys, &near)) };
        let (mut work, mut counts) = (Work::new(keys, chosen, policy, reads.tags), Counts::default());
        counts.tag_reads = reads.tag_reads;
        let (mut near, mut reads) = (near.into_iter().peekable(), reads.reads.into_iter());
        for index in 0..keys.len() {
            match near.next_if(|(at, _)| *at == index) {
                Some((_, answer)) => work.answer(index, Ok(answer)),
                None => work.sort(index, reads.next().flatten(), self.leases()),
            }
        }
        self.take_over(&mut work, &mut counts, deadline).await;
        self.load_and_fill(&mut work, &mut counts, deadline, &load).await;
        counts.waits = work.to_await.len() as u32;
        self.wait_for_others(&mut work, &mut counts, deadline).await;
        self.load_and_fill(&mut work, &mut counts, deadline, &load).await;
        Batch::new(work.into_answers(), counts)
    }

    /// Asks the cache for `keys`, of which it picks a copy where there are several, for half of the time to `deadline` at most:
    /// where a node hangs, the origin needs the rest. What has other tags than now is thrown away, and asked for once more.
    pub(crate) async fn read(&self, keys: &[Key], policy: &Policy, deadline: Instant) -> Reads {
        let cluster = self.cluster.until(Instant::now() + half_until(deadline));
        let chosen = Chosen::of(&cluster, keys);
        if chosen.is_empty() {
            return self.read_as(&cluster, Asked { names: keys, keys }, policy).await;
        }
        // Boxed, for most keys are not hot.
        Box::pin(self.read_copies(&cluster, keys, chosen, policy)).await
    }

    /// Asks for the copies of `keys` that were `chosen`, and again for those that are not read any more when that has ended:
    /// nobody tells them of writes.
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
            chosen.replace(&outdated, others);
            for (index, read) in outdated.into_iter().zip(again.reads) {
                reads.reads[index] = read;
            }
            reads = Reads { tags: again.tags, tag_reads: reads.tag_reads + again.tag_reads, ..reads };
        }
        chosen.outdated(cluster, keys).into_iter().for_each(|index| reads.reads[index] = None);
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
    async fn read_again<E>(
        &self,
        indices: &[usize],
        work: &mut Work<'_, E>,
        counts: &mut Counts,
        deadline: Instant,
    ) -> Vec<Option<Read>> {
        if indices.is_empty() {
            return Vec::new();
        }
        let keys: Vec<Key> = indices.iter().map(|index| work.keys[*index].clone()).collect();
        let cluster = self.cluster.until(Instant::now() + half_until(deadline));
        // The same copies again, for it is them that somebody loads.
        let chosen = work.chosen.part(indices);
        let reads = self.read_copies(&cluster, &keys, chosen, work.policy).await;
        work.chosen.replace(indices, reads.chosen);
        work.tags = reads.tags;
        counts.tag_reads += reads.tag_reads;
        reads.reads
    }

    async fn read_tagged(&self, cluster: &Cluster, asked: Asked<'_>, policy: &Policy) -> Reads {
        let Asked { names, keys } = asked;
        let (mut reads, tags) =
            join(self.read_keys(cluster, asked, policy), tags::read(cluster, &policy.tags)).await;
        let is_outdated = |read: &Read| match Unpacked::tags_of(read, policy.schema) {
            Some(own) => tags != Standing::Unknown && own.map(Standing::Known) != Some(tags),
            None => false,
        };
        let leased = |read: &Read| matches!(read, Read { claim: Claim::Won(_), item: None, .. });
        let is_of_no_use =
            |read: &Read| if tags == Standing::Unknown { leased(read) } else { is_outdated(read) };
        let found = keys.iter().zip(&reads).enumerate();
        let outdated = found.filter_map(|(at, (key, read))| {
            let read = read.as_ref().filter(|read| is_of_no_use(read))?;
            Some((at, key, read.in_place()?.clone()))
        });
        let outdated: Vec<(usize, &Key, Lease)> = outdated.collect();
        join_all(outdated.iter().map(|(_, key, lease)| cluster.give_back(key, lease))).await;
        if tags == Standing::Unknown {
            reads.fill(None);
        } else if !outdated.is_empty() {
            let keys: Vec<Key> = outdated.iter().map(|(_, key, _)| (*key).clone()).collect();
            let names: Vec<Key> = outdated.iter().map(|(at, ..)| names[*at].clone()).collect();
            let again = self.read_keys(cluster, Asked { names: &names, keys: &keys }, policy).await;
            for ((at, ..), read) in outdated.into_iter().zip(again) {
                reads[at] = read;
            }
        }
        Reads { reads, chosen: Chosen::default(), tags, tag_reads: policy.tags.len() as u32 }
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
        let begun = policy.near().map(|near_for| (near_for, self.near.begin()));
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
                let to_keep = read.as_ref().ok().and_then(|read| to_keep(read, key, policy, near_for));
                if let Some(to_keep) = to_keep.filter(|_| sampler.is_hot(name)) {
                    self.near.keep(name, to_keep, begun, Clocks::now());
                }
            }
        }
        reads
    }

    /// What is kept near of `key`. It counts as a read of an item in use, so that what is hot does not become cold by it.
    fn near_answer(&self, key: &Key, policy: &Policy) -> Option<Answer> {
        let (near_for, sampler) = (policy.near()?, self.sampler.as_ref()?);
        let answer = self.near.find(key, policy.schema, near_for, Clocks::now())?;
        if sampler.draw() {
            sampler.saw([(key, Some(Usage { hit_before: true, last_access_secs: 0 }))]);
        }
        Some(answer)
    }

    /// The same of `keys`, with their indices.
    fn near_answers(&self, keys: &[Key], policy: &Policy) -> Vec<(usize, Answer)> {
        if policy.near().is_none() {
            return Vec::new();
        }
        let answers = keys.iter().enumerate();
        answers.filter_map(|(index, key)| Some((index, self.near_answer(key, policy)?))).collect()
    }

    pub(crate) fn near(&self) -> &Near {
        &self.near
    }

    fn leases(&self) -> Leases<'_> {
        Leases { rivals: &self.rivals, flights: &self.flights }
    }

    /// Takes over what dead winners have left, and reads it again.
    async fn take_over<E>(&self, work: &mut Work<'_, E>, counts: &mut Counts, deadline: Instant) {
        let left = std::mem::take(&mut work.to_take_over);
        if left.is_empty() {
            return;
        }
        let cluster = self.cluster.until(Instant::now() + half_until(deadline));
        let taken = left.iter().map(|(index, read)| cluster.take_over(work.key(*index), read));
        let taken = join_all(taken).await;
        counts.takeovers += taken.into_iter().filter(|taken| matches!(taken, Ok(true))).count() as u32;
        let indices: Vec<usize> = left.iter().map(|(index, _)| *index).collect();
        let reads = self.read_again(&indices, work, counts, deadline).await;
        for ((index, _), read) in left.into_iter().zip(reads) {
            work.sort_taken(index, read, self.leases());
        }
    }

    /// Asks again for what others load, until it is there or patience is at its end; what is left is to be loaded. Patience begins
    /// anew with another lease: who has taken a dead one over is alive.
    async fn wait_for_others<E>(&self, work: &mut Work<'_, E>, counts: &mut Counts, deadline: Instant) {
        let (last, wait_for) = (Instant::now() + half_until(deadline), work.policy.wait_for);
        let patience = || last.min(Instant::now() + wait_for);
        let mut end = patience();
        let mut pause = FIRST_PAUSE;
        while !work.to_await.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return work.load_awaited();
            }
            rest(pause.mul_f64(0.75 + fastrand::f64() / 2.0).min(left), &mut work.to_await).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let mut to_read = Vec::new();
            for key in std::mem::take(&mut work.to_await) {
                match key.landed() {
                    Some(answer) => work.answer(key.index, Ok(answer)),
                    None if key.is_under_way() => work.to_await.push(key),
                    None => to_read.push((key.index, key.cas)),
                }
            }
            let indices: Vec<usize> = to_read.iter().map(|(index, _)| *index).collect();
            let reads = self.read_again(&indices, work, counts, deadline).await;
            for (index, read) in indices.into_iter().zip(reads) {
                work.sort(index, read, self.leases());
            }
            self.take_over(work, counts, deadline).await;
            if to_read.into_iter().any(|(index, cas)| work.awaits_another(index, cas)) {
                end = patience();
            }
        }
    }

    /// Loads what is to be loaded with one call to the origin, and stores what there is a lease for.
    async fn load_and_fill<E, V, F>(
        &self,
        work: &mut Work<'_, E>,
        counts: &mut Counts,
        deadline: Instant,
        load: &impl Fn(Vec<usize>) -> F,
    ) where
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let to_load = std::mem::take(&mut work.to_load);
        if to_load.is_empty() {
            return;
        }
        let leased =
            to_load.iter().filter_map(|key| Some((work.key(key.index).clone(), key.lease.as_ref()?.cas())));
        let begun = self.flights.begin(leased, work.tags);
        match self.call_origin(work.policy, &to_load, counts, deadline, load).await {
            Ok(values) => {
                for (key, loaded) in to_load.iter().zip(&values) {
                    begun.land(work.key(key.index), loaded.as_ref());
                }
                self.fill(work, &to_load, &values, counts, deadline).await;
                for (key, loaded) in to_load.into_iter().zip(values) {
                    let version = loaded.as_ref().and_then(|loaded| loaded.version);
                    let value = loaded.map(|loaded| loaded.value);
                    let answer = Answer { value, version, outcome: key.outcome, node: key.node, age: None };
                    work.answer(key.index, Ok(answer));
                }
            }
            Err(error) => {
                self.give_up(work, &to_load, error.is_outage()).await;
                for key in to_load {
                    work.answer(key.index, key.fallback.ok_or_else(|| error.clone()));
                }
            }
        }
    }

    pub(crate) async fn call_origin<E, V, F>(
        &self,
        policy: &Policy,
        to_load: &[ToLoad],
        counts: &mut Counts,
        deadline: Instant,
        load: &impl Fn(Vec<usize>) -> F,
    ) -> Result<Vec<Option<Loaded>>, LoadError<E>>
    where
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        // Whoever has something to answer need not stand in a queue.
        let is_needed = to_load.iter().any(|key| key.fallback.is_none());
        let patience = if is_needed { policy.wait_for.min(half_until(deadline)) } else { Duration::ZERO };
        let _permit = self.guard.enter(patience).await.ok_or(LoadError::Guarded)?;
        let asked = to_load.len();
        counts.origin_calls += 1;
        let limit = Instant::now() + policy.load_for;
        let loading = load(to_load.iter().map(|key| key.index).collect());
        let late = || if limit < deadline { LoadError::Slow(policy.load_for) } else { LoadError::Deadline };
        let loaded = timeout_at(limit.min(deadline), loading).await.map_err(|_| late())?;
        // An origin that keeps to the caller's deadline itself is not out of order.
        let is_late = Instant::now() >= deadline;
        let blame = |error| if is_late { LoadError::Deadline } else { LoadError::Origin(Arc::new(error)) };
        let values = loaded.map_err(blame)?;
        if values.len() == asked {
            Ok(values.into_iter().map(|value| value.map(V::into)).collect())
        } else {
            Err(LoadError::Miscounted { asked, answered: values.len() })
        }
    }

    /// Stores `values` where there is a lease. What cannot be stored is good for this caller all the same.
    async fn fill<E>(
        &self,
        work: &Work<'_, E>,
        to_load: &[ToLoad],
        values: &[Option<Loaded>],
        counts: &mut Counts,
        deadline: Instant,
    ) {
        let leased = to_load.iter().zip(values).filter_map(|(key, value)| {
            let lease = key.lease.as_ref()?;
            Some((key, lease, Packed::of(value.as_ref(), work.key(key.index), work.policy, work.tags)))
        });
        let packed: Vec<(&ToLoad, &Lease, Packed<'_>)> = leased.collect();
        let fills =
            packed.iter().map(|(key, lease, packed)| Fill { item: packed.item(work.key(key.index)), lease });
        let fills: Vec<Fill<'_>> = fills.collect();
        let mut failed = Vec::new();
        for ((key, ..), filled) in packed.iter().zip(self.cluster.until(deadline).fill_many(&fills).await) {
            match filled {
                Ok(Stored::Yes) => counts.fills += 1,
                Ok(Stored::Refused | Stored::Missing) => counts.fills_refused += 1,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "value not stored");
                    failed.push(*key);
                }
            }
        }
        counts.fills_failed += failed.len() as u32;
        self.give_back(work, failed).await;
    }

    /// Leaves word that the origin is out of order where it `is_outage`, so that others leave it alone for a moment; else
    /// gives the leases back.
    async fn give_up<E>(&self, work: &Work<'_, E>, to_load: &[ToLoad], is_outage: bool) {
        let Some(ttl) = work.policy.error_for.filter(|_| is_outage) else {
            return self.give_back(work, to_load).await;
        };
        let failing = Packed::failing(work.policy, ttl);
        let fills: Vec<Fill<'_>> = unanswered(to_load)
            .filter_map(|key| {
                Some(Fill { item: failing.item(work.key(key.index)), lease: key.lease.as_ref()? })
            })
            .collect();
        // A lease that stays is taken over.
        self.cluster.until(Instant::now() + GIVE_BACK_LIMIT).fill_many(&fills).await;
    }

    /// Gives one lease back; see [`give_back`](Self::give_back).
    pub(crate) async fn give_one_back(&self, key: &Key, lease: &Lease) {
        // If that fails, it is taken over.
        let _ = self.cluster.until(Instant::now() + GIVE_BACK_LIMIT).give_back(key, lease).await;
    }

    /// Gives the leases back, so that the next reader need not wait for a value that does not come.
    async fn give_back<E>(&self, work: &Work<'_, E>, unfilled: impl IntoIterator<Item = &ToLoad>) {
        let cluster = self.cluster.until(Instant::now() + GIVE_BACK_LIMIT);
        let given = unanswered(unfilled).filter_map(|key| Some((key.index, key.lease.as_ref()?)));
        join_all(given.map(|(index, lease)| cluster.give_back(work.key(index), lease))).await;
    }
}

/// Those of `keys` for which the cache has no answer. What it has for the others would go with their leases, which are left to
/// be taken over: that the origin is asked again when they have been silent for long enough is what it needs.
fn unanswered<'k>(keys: impl IntoIterator<Item = &'k ToLoad>) -> impl Iterator<Item = &'k ToLoad> {
    keys.into_iter().filter(|key| key.fallback.is_none())
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
    chosen: Chosen,
    tags: Standing,
    tag_reads: u32,
}

impl Reads {
    /// The answer to the one read that there is, where it is a fresh value and nobody is to load it: most of all reads.
    fn hit(&self, keys: &[Key], policy: &Policy) -> Option<Answer> {
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
fn others_at(keys: &[Key], near: &[(usize, Answer)]) -> Vec<usize> {
    let is_other = |index: &usize| near.binary_search_by_key(index, |(at, _)| *at).is_err();
    (0..keys.len()).filter(is_other).collect()
}

/// What is to be kept near of what was `read` under `key`: a fresh value that others had read before, for `near_for`, or for
/// as long as nobody is to refresh it.
fn to_keep(read: &Read, key: &Key, policy: &Policy, near_for: Duration) -> Option<ToKeep> {
    let is_settled = matches!(read.claim, Claim::None) && read.usage.is_some_and(|usage| usage.hit_before);
    let left = Duration::from_secs(read.ttl_secs.saturating_sub(policy.window_secs()));
    match is_settled.then(|| Found::of(read, key, policy, Standing::Untagged))? {
        Found::Fresh(answer) => Some(ToKeep { answer, schema: policy.schema, lives_for: near_for.min(left) }),
        _ => None,
    }
}

/// Rests for `pause`, less if a load in this environment ends.
async fn rest(pause: Duration, awaited: &mut [ToAwait]) {
    let landings = awaited.iter_mut().filter_map(|key| key.landing.as_mut());
    let landings: FuturesUnordered<_> = landings.map(|landing| landing.changed()).collect();
    let mut landings = std::pin::pin!(landings);
    let _ = timeout(pause, async {
        if landings.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    })
    .await;
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
pub(crate) fn half_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()) / 2
}

fn options(policy: &Policy) -> ReadOptions {
    let window = Some(policy.window_secs()).filter(|secs| *secs > 0);
    ReadOptions {
        lease_for: Some(policy.lease_for),
        recache_below_secs: window.map(|secs| secs as u32),
        usage: false,
    }
}

/// The first pause between two looks for what somebody else loads; the next are twice as long, give or take a
/// quarter.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How often a document may come in between by which other copies are read.
const MOST_CHOICES: usize = 3;
/// Giving a lease back is a courtesy that may take a little of the margin after the deadline.
const GIVE_BACK_LIMIT: Duration = Duration::from_millis(20);
