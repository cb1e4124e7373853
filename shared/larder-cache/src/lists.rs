//! Lists that are refreshed on a schedule: by one of all who try, and never by a reader.
//!
//! | who | finds | does |
//! | --- | --- | --- |
//! | a reader | a list, of whatever age | answers it |
//! | | none, and wins the lease | computes it, answers it, stores it |
//! | | none, and somebody else has the lease | waits for it |
//! | a refresher | that another one is at work | nothing |
//! | | a list that is young enough | nothing |
//! | | other rows in the origin | stores them in place of what it read before it asked |
//! | | the same rows | touches the list |
//! | | an origin that fails | nothing: the old list stays for as long as it had left |
//!
//! One refresher at a time holds a lease on a key of its own, `larder~refresh~` and that of the list. A lease on the
//! list's own key would not do: memcached gives the right to refresh an item once, and only a new item ends it, so a
//! refresher that dies, whose query fails, or that finds the same rows would have to store the list anew. That lease
//! saves queries; it is not what keeps lists right. What was read before the query has to be there yet, and nobody may
//! have touched it since, else nothing is stored: an older run that was frozen in between never overwrites what a newer
//! one has left.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use larder_client::{Claim, Cluster, Error, Lease, Read, ReadOptions, Stored};
use larder_ring::Phase;
use tokio::time::Instant;

use crate::answer::{Counts, LoadError, LoadFault};
use crate::cache_aside::{Cache, GIVE_BACK_LIMIT, half_until};
use crate::packed::Packed;
use crate::tags::Standing;
use crate::timed_list::{KeptList, ListAnswer, ListItems, TimedList};
use crate::value::Loaded;
use crate::work::{Found, ToLoad};

/// What became of a refresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refreshed {
    /// The list is new.
    Stored {
        /// How many rows it has.
        count: u32,
    },
    /// The rows are the same: the list was touched, or, where its period changed or the ring is changing, stored once
    /// more.
    Unchanged {
        /// How many rows it has.
        count: u32,
    },
    /// The list is younger than was asked for. The origin was not asked.
    NotDue {
        /// How old it is.
        age: Duration,
    },
    /// Somebody else is at work on it. The origin was not asked.
    UnderWay,
    /// Somebody else has stored, touched or forgotten the list meanwhile; what was loaded may be older than that, and
    /// was thrown away.
    Overtaken,
}

/// Why a list was not refreshed. What was there stays for as long as it had left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError<E> {
    /// The origin gave no rows.
    #[error("the query failed")]
    Load(#[source] LoadError<E>),
    /// The cache could not be asked, or the list is too long for an item.
    #[error("the cache failed")]
    Cache(#[source] Error),
    /// The node took no other list, though nobody else has written: its key is just moving to another owner, say.
    #[error("the list could not be put in place of the old one now")]
    NotStored,
}

impl Cache {
    /// Answers a list: the one in the cache, however old it is; where there is none, what `load` gives.
    ///
    /// A list that was never there, or has been forgotten, is computed by one reader, and stored for
    /// [`TimedList::ttl`]; the others wait for it. Everything ends by `deadline`. A fault of the cache is no error: the
    /// list is then computed, behind the origin's guard.
    ///
    /// # Errors
    ///
    /// [`LoadError`] where there was no list in the cache, and the origin gave none.
    pub async fn read_list<E, F>(
        &self,
        list: &TimedList,
        deadline: Instant,
        load: impl Fn() -> F,
    ) -> (Result<ListAnswer, LoadError<E>>, Counts)
    where
        E: LoadFault,
        F: Future<Output = Result<ListItems, E>>,
    {
        let keys = std::slice::from_ref(&list.key);
        // Whoever refreshes a list knows of no copies.
        let mut reads = self.read_own(keys, &list.policy, deadline).await;
        if let [Some(read)] = &mut reads.reads[..] {
            if let Some(answer) = list.found(read) {
                let mut counts = Counts::default();
                counts.found(answer.outcome);
                return (Ok(answer), counts);
            }
            // What has no list in it is not of this cache.
            let found = Found::of(read, &list.key, &list.policy, Standing::Untagged);
            if let (Found::Fresh(_) | Found::Grace(_), Some(item)) = (found, &mut read.item) {
                item.client_flags = 0;
            }
        }
        let load_one = |_| load_kept(list, &load);
        // Boxed, for most reads end above and need not carry it along.
        let mut batch = Box::pin(self.go_on(keys, Vec::new(), reads, &list.policy, deadline, load_one)).await;
        let answer = batch.answers.pop().unwrap_or(Err(LoadError::Deadline)).and_then(|answer| {
            let kept = answer.value.as_ref().and_then(KeptList::decode);
            let (age, outcome, node) = (answer.age.unwrap_or_default(), answer.outcome, answer.node);
            // Nobody stores anything else in this format.
            kept.map(|kept| kept.into_answer(age, outcome, node)).ok_or(LoadError::Failing)
        });
        (answer, batch.counts)
    }

    /// Refreshes a list that is `least_age` old, or not there, with what `load` gives, by `deadline`.
    ///
    /// Of many who do so at once, one asks the origin. If the future is dropped, its lease ends before the list's next
    /// run. Where the lease cannot be had because its node is out of reach, the list is refreshed without.
    ///
    /// # Errors
    ///
    /// [`RefreshError`]; readers then get the old list, if there is one.
    pub async fn refresh_list<E, F>(
        &self,
        list: &TimedList,
        least_age: Duration,
        deadline: Instant,
        load: impl Fn() -> F,
    ) -> Result<Refreshed, RefreshError<E>>
    where
        F: Future<Output = Result<ListItems, E>>,
    {
        // Whoever holds the lease ends before it does.
        let deadline = deadline.min(Instant::now() + Duration::from(list.policy.lease_for) - LEASE_LEFT);
        let lease = match self.lock(list, deadline).await {
            Ok(Claim::Lost(_)) => return Ok(Refreshed::UnderWay),
            Ok(Claim::Won(lease)) => Some(lease),
            Ok(Claim::None) => None,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a list is refreshed without a lease"
                );
                None
            }
        };
        let mut won = None;
        let refreshed = self.refresh_leased(list, least_age, deadline, &load, &mut won).await;
        let is_filled = matches!(refreshed, Ok(Refreshed::Stored { .. } | Refreshed::Unchanged { .. }));
        if let Some(read) = won.filter(|_| !is_filled) {
            self.release_list(list, &read).await;
        }
        if let Some(lease) = lease {
            self.give_one_back(&list.lock, &lease).await;
        }
        refreshed
    }

    /// How old each of `lists` is, by `deadline`; `None` for one that is not there.
    ///
    /// # Errors
    ///
    /// [`Error`] for a list whose node could not be asked.
    pub async fn list_ages(
        &self,
        lists: &[&TimedList],
        deadline: Instant,
    ) -> Vec<Result<Option<Duration>, Error>> {
        let keys: Vec<_> = lists.iter().map(|list| list.key.clone()).collect();
        let cluster = self.cluster().until(Instant::now() + half_until(deadline));
        let reads = cluster.read_many(&keys, ReadOptions::default()).await;
        // Who reads one that is marked stale wins the right to refresh it, whether it asks for it or not.
        let read = lists.iter().zip(&reads).filter_map(|(list, read)| Some((*list, read.as_ref().ok()?)));
        join_all(read.map(|(list, read)| self.release_list(list, read))).await;
        let age = |list: &TimedList, read: &Read| list.found(read).map(|answer| answer.age);
        lists.iter().zip(reads).map(|(list, read)| read.map(|read| age(list, &read))).collect()
    }

    async fn lock(&self, list: &TimedList, deadline: Instant) -> Result<Claim, Error> {
        let options = ReadOptions { lease_for: Some(list.policy.lease_for), ..ReadOptions::default() };
        let cluster = self.cluster().until(Instant::now() + half_until(deadline));
        let read = cluster.read(&list.lock, options).await?;
        if let (Some(_), Some(foreign)) = (&read.item, read.in_place()) {
            // Nobody stores an item there. The next refresher finds room for its lease.
            self.give_one_back(&list.lock, foreign).await;
        }
        Ok(read.claim)
    }

    /// Refreshes a list that nobody else refreshes, as far as is known. What was read last that `won` the right to fill
    /// the list is to be released where nothing was stored.
    async fn refresh_leased<E, F>(
        &self,
        list: &TimedList,
        least_age: Duration,
        deadline: Instant,
        load: &impl Fn() -> F,
        won: &mut Option<Read>,
    ) -> Result<Refreshed, RefreshError<E>>
    where
        F: Future<Output = Result<ListItems, E>>,
    {
        let mut read = self.look(list, deadline, won).await?;
        for _ in 0..MOST_TRIES {
            let old = list.found(&read);
            if let Some(why_not) = why_not(old.as_ref(), &read, least_age) {
                return Ok(why_not);
            }
            let new = self.query(list, deadline, load).await.map_err(RefreshError::Load)?;
            if let Read { item: None, claim: Claim::Won(lease), .. } = &read {
                return self.fill_list(list, &new, lease, deadline).await;
            }
            let now = self.look(list, deadline, won).await?;
            if now.item.is_none() {
                // It has ended, or was forgotten: what was loaded may be older than the reason for that.
                read = now;
                continue;
            }
            if !is_untouched(&read, &now) {
                return Ok(Refreshed::Overtaken);
            }
            return self.replace_list(list, old.as_ref(), new, &now, deadline).await;
        }
        Ok(Refreshed::Overtaken)
    }

    /// Looks at the list, and wins the right to fill it where there is none.
    async fn look<E>(
        &self,
        list: &TimedList,
        deadline: Instant,
        won: &mut Option<Read>,
    ) -> Result<Read, RefreshError<E>> {
        let options = ReadOptions { lease_for: Some(list.policy.lease_for), ..ReadOptions::default() };
        let read = self.cluster().until(deadline).read(&list.key, options).await;
        let read = read.map_err(RefreshError::Cache)?;
        if let Claim::Won(_) = read.claim {
            *won = Some(read.clone());
        }
        Ok(read)
    }

    /// Asks the origin, and leaves time to store what it says.
    async fn query<E, F>(
        &self,
        list: &TimedList,
        deadline: Instant,
        load: &impl Fn() -> F,
    ) -> Result<KeptList, LoadError<E>>
    where
        F: Future<Output = Result<ListItems, E>>,
    {
        let left = deadline.saturating_duration_since(Instant::now());
        let deadline = deadline - TO_STORE.min(left / 4);
        let load_one = |_| load_kept(list, load);
        let to_load = [ToLoad::new(0)];
        let mut counts = Counts::default();
        let keys = std::slice::from_ref(&list.key);
        let values = self.call_origin(&list.policy, keys, &to_load, &mut counts, deadline, &load_one).await?;
        let value = values.into_iter().next().flatten();
        value.and_then(|loaded| KeptList::decode(&loaded.value)).ok_or(LoadError::Failing)
    }

    /// Stores `new` where there was no list, under the lease that was won.
    async fn fill_list<E>(
        &self,
        list: &TimedList,
        new: &KeptList,
        lease: &Lease,
        deadline: Instant,
    ) -> Result<Refreshed, RefreshError<E>> {
        let loaded = new.to_loaded();
        let packed = Packed::of(Some(&loaded), &list.key, &list.policy, Standing::Untagged);
        match self.cluster().until(deadline).fill(packed.item(&list.key), lease).await {
            Ok(Stored::Yes) => Ok(Refreshed::Stored { count: new.count }),
            Ok(Stored::Refused | Stored::Missing) => Ok(Refreshed::Overtaken),
            Err(error) => Err(RefreshError::Cache(error)),
        }
    }

    /// Stores `new` in place of the `old` list that was `read`; touches that one where its rows are the same and that
    /// will do.
    async fn replace_list<E>(
        &self,
        list: &TimedList,
        old: Option<&ListAnswer>,
        mut new: KeptList,
        read: &Read,
        deadline: Instant,
    ) -> Result<Refreshed, RefreshError<E>> {
        let (cluster, count) = (self.cluster().until(deadline), new.count);
        let is_same = old.is_some_and(|old| old.digest == new.digest);
        if let Some(old) = old.filter(|_| is_same) {
            // Its age is counted by the period that stands in it.
            if old.period == list.period() && is_ring_at_rest(&cluster).await {
                let touched = cluster.touch(&list.key, list.ttl()).await.map_err(RefreshError::Cache)?;
                return Ok(if touched { Refreshed::Unchanged { count } } else { Refreshed::Overtaken });
            }
            new.computed_at = old.computed_at;
        }
        let loaded = new.to_loaded();
        let packed = Packed::of(Some(&loaded), &list.key, &list.policy, Standing::Untagged);
        let Some(in_place) = read.in_place() else { return Err(RefreshError::NotStored) };
        match cluster.put_in_place(packed.item(&list.key), in_place).await.map_err(RefreshError::Cache)? {
            Stored::Yes if is_same => Ok(Refreshed::Unchanged { count }),
            Stored::Yes => Ok(Refreshed::Stored { count }),
            Stored::Refused | Stored::Missing => self.why_refused(list, read, &cluster).await,
        }
    }

    /// Why nothing could be stored in place of what was `read`.
    async fn why_refused<E>(
        &self,
        list: &TimedList,
        read: &Read,
        cluster: &Cluster,
    ) -> Result<Refreshed, RefreshError<E>> {
        let now = cluster.read(&list.key, ReadOptions::default()).await.map_err(RefreshError::Cache)?;
        self.release_list(list, &now).await;
        if is_untouched(read, &now) { Err(RefreshError::NotStored) } else { Ok(Refreshed::Overtaken) }
    }

    /// Gives the right to fill a list back, if one was won by what was `read`: the next reader need not wait for us.
    async fn release_list(&self, list: &TimedList, read: &Read) {
        // If that fails, it is taken over.
        let _ = self.cluster().until(Instant::now() + GIVE_BACK_LIMIT).release(&list.key, read).await;
    }
}

/// What `load` gives now, as it is stored.
async fn load_kept<E, F>(list: &TimedList, load: impl Fn() -> F) -> Result<Vec<Option<Loaded>>, E>
where
    F: Future<Output = Result<ListItems, E>>,
{
    let begun = SystemTime::now();
    load().await.map(|items| vec![Some(list.keep(items, begun).to_loaded())])
}

/// Why there is nothing to do about a list that was `read`, of which the `old` one was found: if so.
fn why_not(old: Option<&ListAnswer>, read: &Read, least_age: Duration) -> Option<Refreshed> {
    match (old, &read.claim) {
        (Some(old), _) if old.age < least_age => Some(Refreshed::NotDue { age: old.age }),
        // A reader computes what was not there.
        (None, Claim::Lost(_)) if read.item.is_none() => Some(Refreshed::UnderWay),
        _ => None,
    }
}

/// Whether the item that was `read` is there `now` as it was: not stored anew, and not touched either.
fn is_untouched(read: &Read, now: &Read) -> bool {
    let cas = |read: &Read| read.in_place().map(Lease::cas);
    now.item.is_some() && cas(read) == cas(now) && now.ttl_secs <= read.ttl_secs
}

/// Whether no key is moving to another owner, as far as is known. Where one is, a touch is a write as any other: it
/// goes to one owner and takes the key away from the other one, which may be the one that has the list.
async fn is_ring_at_rest(cluster: &Cluster) -> bool {
    match cluster.ring_document().await {
        Ok(document) => document.is_none_or(|document| document.phase == Phase::Active),
        Err(_) => false,
    }
}

/// How often the origin is asked in one refresh: once more where the list went away meanwhile.
const MOST_TRIES: usize = 2;
/// What is kept back of the time for a refresh to store what the origin says.
const TO_STORE: Duration = Duration::from_millis(500);
/// What a lease on a list lasts longer than whoever holds it goes on.
const LEASE_LEFT: Duration = Duration::from_secs(1);
