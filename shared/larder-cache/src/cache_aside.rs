//! Cache-aside: read the cache, load what is missing once, fill it for the others.
//!
//! 1. All keys are read, each node once. What that means for a key says the table of `work.rs`.
//! 2. What we are to load is loaded by one call to the origin, and stored, each node once.
//! 3. What is left by winners who are dead is taken over, read again, and loaded.
//! 4. What others load is waited for, in rounds that read all of it at once. What we win in a round is loaded at once,
//!    what is waited for in vain in the end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use larder_client::{Cas, Claim, Cluster, Fill, Key, Lease, Read, Stored};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Answer, Batch, Counts, LoadError, LoadFault};
use crate::flights::Flights;
use crate::guard::OriginGuard;
use crate::near::Near;
use crate::packed::Packed;
use crate::policy::Policy;
use crate::reading::{Reads, others_at};
use crate::rivals::Rivals;
use crate::sampler::Sampler;
use crate::sketch::Counted;
use crate::uncacheable::{self, Filling, is_too_long};
use crate::value::Loaded;
use crate::work::{Leases, ToAwait, ToLoad, Work};

/// A cache in front of an origin.
#[derive(Debug)]
pub struct Cache {
    pub(crate) cluster: Cluster,
    guard: OriginGuard,
    pub(crate) sampler: Option<Sampler>,
    rivals: Rivals,
    flights: Flights,
    pub(crate) near: Near,
}

impl Cache {
    /// A cache in `cluster`, in front of an origin that `guard` protects.
    pub fn new(cluster: Cluster, guard: OriginGuard) -> Self {
        let (rivals, flights, near) = (Rivals::default(), Flights::default(), Near::default());
        Self { cluster, guard, sampler: None, rivals, flights, near }
    }

    /// The same cache, which tells the fleet from time to time what it reads most, so that nodes that come can be
    /// warmed: a record of at most [`Record::MAX_LEN`](crate::Record::MAX_LEN) bytes to one node, along with a read.
    #[must_use]
    pub fn sampled_by(self, sampler: Sampler) -> Self {
        Self { sampler: Some(sampler), ..self }
    }

    /// The keys that this environment reads most, where it has told the fleet since this was asked last, most read
    /// first; see [`Sampler::take_hottest`].
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
        E: LoadFault,
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
    /// record", which is cached, too. It is called once for all keys that nobody loads. What comes to be this caller's
    /// to load, because others have failed, died, or take too long, is loaded when it does, with what else does just
    /// then: seldom with more than one more call, and never with more calls than there are keys. A key that stands in
    /// `keys` twice is loaded once, for both. The nodes are asked side by side, each once, and filled side by side. An
    /// error of `load` may say that the origin is out of order ([`LoadFault::is_outage`]): where the policy has a time
    /// for that, no environment asks again for these keys until it is over.
    ///
    /// Everything ends by `deadline`, but for leases that are given back, which may take 20 ms more; whenever the cache
    /// is asked or filled it may take half of the time left, so that the origin or the caller has the rest. A fault of
    /// the cache makes a read slower, never an error; a fault of the origin is an error for the keys that the cache
    /// could not answer. If the future is dropped, leases that it won end by their own time, or are taken over.
    pub async fn get_or_load_many<E, V, F>(
        &self,
        keys: &[Key],
        policy: &Policy,
        deadline: Instant,
        load: impl Fn(Vec<usize>) -> F,
    ) -> Batch<E>
    where
        E: LoadFault,
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
        E: LoadFault,
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let chosen = if near.is_empty() { reads.chosen } else { reads.chosen.at(&others_at(keys, &near)) };
        let mut work = Work::new(keys, chosen, reads.tags, policy, deadline);
        work.counts.tag_reads = reads.tag_reads;
        let (mut near, mut reads) = (near.into_iter().peekable(), reads.reads.into_iter());
        for index in 0..keys.len() {
            match near.next_if(|(at, _)| *at == index) {
                Some((_, answer)) => work.answer(index, Ok(answer)),
                None => work.sort(index, reads.next().flatten(), self.leases()),
            }
        }
        self.load_ours(&mut work, &load).await;
        work.counts.waits = work.to_await.len() as u32;
        self.wait_for_others(&mut work, &load).await;
        work.into_batch()
    }

    fn leases(&self) -> Leases<'_> {
        Leases { rivals: &self.rivals, flights: &self.flights, guard: &self.guard }
    }

    /// Takes over what dead winners have left, removes what is not of this cache, and reads both again.
    async fn take_over<E>(&self, work: &mut Work<'_, E>) {
        let left = std::mem::take(&mut work.to_take_over);
        let cluster = self.cluster.until(Instant::now() + half_until(work.deadline));
        let taken = left.iter().map(|(index, read)| end(&cluster, work.key(*index), read));
        work.counts.takeovers +=
            join_all(taken).await.into_iter().filter(|is_taken| *is_taken).count() as u32;
        let indices: Vec<usize> = left.iter().map(|(index, _)| *index).collect();
        let reads = self.read_again(&indices, work).await;
        for ((index, before), now) in left.into_iter().zip(reads) {
            work.sort_taken(index, before, now, self.leases());
        }
    }

    /// Loads what is to be loaded, takes over what dead winners have left, and loads that, too. In this order: others
    /// wait for what we have won.
    async fn load_ours<E, V, F>(&self, work: &mut Work<'_, E>, load: &impl Fn(Vec<usize>) -> F)
    where
        E: LoadFault,
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        self.load_and_fill(work, load).await;
        if !work.to_take_over.is_empty() {
            self.take_over(work).await;
            self.load_and_fill(work, load).await;
        }
    }

    /// Asks again for what others load, until all of it is there; what is not when patience is at its end is loaded.
    /// Patience begins anew with another lease: who has taken a dead one over is alive.
    async fn wait_for_others<E, V, F>(&self, work: &mut Work<'_, E>, load: &impl Fn(Vec<usize>) -> F)
    where
        E: LoadFault,
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let (last, wait_for) = (Instant::now() + half_until(work.deadline), work.policy.wait_for);
        let patience = || Instant::now() + wait_for.min(last.saturating_duration_since(Instant::now()));
        let mut end = patience();
        let mut pause = FIRST_PAUSE;
        while !work.to_await.is_empty() && Instant::now() < work.deadline {
            let left = end.saturating_duration_since(Instant::now());
            rest(pause.mul_f64(0.75 + fastrand::f64() / 2.0).min(left), &mut work.to_await).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // What is loaded in this round takes its time; then the others are looked at once more.
            let is_last = Instant::now() >= end;
            let awaited = self.look_again(work).await;
            self.load_ours(work, load).await;
            if awaited.into_iter().any(|(index, cas)| work.awaits_another(index, cas)) {
                end = patience();
            } else if is_last {
                work.load_awaited();
                self.load_ours(work, load).await;
            }
        }
    }

    /// Looks what has come of the keys that others load; answers which ones were read, and under which leases they were
    /// loaded.
    async fn look_again<E>(&self, work: &mut Work<'_, E>) -> Vec<(usize, Cas)> {
        let mut to_read = Vec::new();
        for key in std::mem::take(&mut work.to_await) {
            match key.landed() {
                Some(answer) => work.answer(key.index, Ok(answer)),
                None if key.is_under_way() => work.to_await.push(key),
                None => to_read.push((key.index, key.cas)),
            }
        }
        let indices: Vec<usize> = to_read.iter().map(|(index, _)| *index).collect();
        let reads = self.read_again(&indices, work).await;
        for (index, read) in indices.into_iter().zip(reads) {
            work.sort(index, read, self.leases());
        }
        to_read
    }

    /// Loads what is to be loaded with one call to the origin, and stores what there is a lease for.
    async fn load_and_fill<E, V, F>(&self, work: &mut Work<'_, E>, load: &impl Fn(Vec<usize>) -> F)
    where
        E: LoadFault,
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let to_load = std::mem::take(&mut work.to_load);
        let is_own = |key: &ToLoad| self.guard.is_loading(&work.keys[key.index]);
        let (own, to_load): (Vec<_>, Vec<_>) = to_load.into_iter().partition(is_own);
        if !own.is_empty() {
            self.give_back(work, &own).await;
            own.iter().for_each(|key| work.answer(key.index, Err(LoadError::Recursive)));
        }
        if to_load.is_empty() {
            return;
        }
        let leased = |key: &ToLoad| Some((work.key(key.index).clone(), key.lease.as_ref()?.cas()));
        let begun = self.flights.begin(to_load.iter().map(leased), work.tags);
        let (policy, deadline) = (work.policy, work.deadline);
        match self.call_origin(policy, work.keys, &to_load, &mut work.counts, deadline, load).await {
            Ok(values) => {
                begun.land(&values);
                self.fill(work, &to_load, &values).await;
                for (key, loaded) in to_load.into_iter().zip(values) {
                    work.answer(key.index, Ok(Answer::of_loaded(loaded, key.outcome, key.node)));
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

    /// Has `load` load what is `to_load`, by one call that the guard lets through, within [`Policy::load_for`] from now
    /// and by `deadline`; as many values as there are to load, in their order. `to_load` are some of `keys`.
    pub(crate) async fn call_origin<E, V, F>(
        &self,
        policy: &Policy,
        keys: &[Key],
        to_load: &[ToLoad],
        counts: &mut Counts,
        deadline: Instant,
        load: &impl Fn(Vec<usize>) -> F,
    ) -> Result<Vec<Option<Loaded>>, LoadError<E>>
    where
        V: Into<Loaded>,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let names: Vec<Key> = to_load.iter().map(|key| keys[key.index].clone()).collect();
        if names.iter().any(|name| self.guard.is_loading(name)) {
            return Err(LoadError::Recursive);
        }
        // Whoever holds a lease for longer is taken for dead, wherever it stands.
        let limit = Instant::now() + policy.load_for.min(LONGEST_LOAD);
        // Whoever has something to answer need not stand in a queue.
        let is_needed = to_load.iter().any(|key| key.fallback.is_none());
        let most = policy.wait_for.min(policy.load_for / 2).min(half_until(deadline));
        let most = if is_needed { most } else { Duration::ZERO };
        let _permit = self.guard.enter(most).await.ok_or(LoadError::Guarded)?;
        let left = limit.saturating_duration_since(Instant::now());
        if left.is_zero() || Instant::now() >= deadline {
            return Err(too_late(left, limit, deadline, policy));
        }
        let asked = to_load.len();
        counts.origin_calls += 1;
        let loading = load(to_load.iter().map(|key| key.index).collect());
        let loading = self.guard.run(names, loading);
        let loaded = timeout_at(limit.min(deadline), loading).await;
        let loaded = loaded.map_err(|_| too_late(left, limit, deadline, policy))?;
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
    async fn fill<E>(&self, work: &mut Work<'_, E>, to_load: &[ToLoad], values: &[Option<Loaded>]) {
        let leased = to_load.iter().zip(values).filter_map(|(key, value)| {
            let packed = Packed::of(value.as_ref(), work.key(key.index), work.policy, work.tags);
            Some(Filling { key, lease: key.lease.as_ref()?, packed })
        });
        let (packed, mut too_long): (Vec<_>, Vec<_>) = leased.partition(Filling::may_be_stored);
        let fills = packed.iter().map(|filling| filling.fill(work));
        let fills: Vec<Fill<'_>> = fills.collect();
        let cluster = self.cluster.until(Instant::now() + half_until(work.deadline));
        let filled = cluster.fill_many(&fills).await;
        let mut failed = Vec::new();
        for (filling, filled) in packed.into_iter().zip(filled) {
            match filled {
                Ok(Stored::Yes) => work.counts.fills += 1,
                Ok(Stored::Refused | Stored::Missing) => work.counts.fills_refused += 1,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "value not stored");
                    let unstored = if is_too_long(&error) { &mut too_long } else { &mut failed };
                    unstored.push(filling);
                }
            }
        }
        work.counts.fills_failed += (failed.len() + too_long.len()) as u32;
        if !too_long.is_empty() {
            // Boxed, for it is rare.
            Box::pin(uncacheable::note(&cluster, work, too_long)).await;
        }
        self.give_back(work, failed.into_iter().map(|filling| filling.key)).await;
    }

    /// Leaves word that the origin is out of order where it `is_outage`, so that others leave it alone for a moment;
    /// else gives the leases back, for another environment may come to ask it.
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
        // The right that all readers have is not one's own to give back.
        let own = unanswered(unfilled).filter(|key| key.uncacheable.is_none());
        let given = own.filter_map(|key| Some((key.index, key.lease.as_ref()?)));
        join_all(given.map(|(index, lease)| cluster.give_back(work.key(index), lease))).await;
    }
}

/// Why there is no value of a load that had so much time `left` when the guard had let it through.
fn too_late<E>(left: Duration, limit: Instant, deadline: Instant, policy: &Policy) -> LoadError<E> {
    if deadline <= limit {
        LoadError::Deadline
    } else if left < policy.load_for.mul_f64(LEAST_SHARE) {
        // That says nothing of the origin.
        LoadError::Guarded
    } else {
        LoadError::Slow(left)
    }
}

/// Those of `keys` for which the cache has no answer. The leases of the others are left to be taken over: that nobody
/// tries again until they have been silent for long enough is what an origin needs that is out of order, or has too
/// much to do, and what keeps a value that cannot be stored from being loaded with every read.
fn unanswered<'k>(keys: impl IntoIterator<Item = &'k ToLoad>) -> impl Iterator<Item = &'k ToLoad> {
    keys.into_iter().filter(|key| key.fallback.is_none())
}

/// Ends what was `read` of `key`, if it is still there: the lease of a dead winner, or an item that is not of this
/// cache. Answers whether a lease was taken over.
async fn end(cluster: &Cluster, key: &Key, read: &Read) -> bool {
    match (&read.claim, read.in_place()) {
        (Claim::None, Some(item)) => {
            // Where that fails, the next read finds it.
            let _ = cluster.give_back(key, item).await;
            false
        }
        _ => matches!(cluster.take_over(key, read).await, Ok(true)),
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

/// Half of the time that is left until `deadline`.
pub(crate) fn half_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()) / 2
}

/// The first pause between two looks for what somebody else loads; the next are twice as long, give or take a
/// quarter.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Giving a lease back is a courtesy that may take a little of the margin after the deadline.
pub(crate) const GIVE_BACK_LIMIT: Duration = Duration::from_millis(20);
/// Longer than any deadline, and no time that a clock cannot tell.
const LONGEST_LOAD: Duration = Duration::from_secs(365 * 24 * 3600);
/// The share of [`Policy::load_for`] that a load has to have had for its origin to be slow.
const LEAST_SHARE: f64 = 0.9;
