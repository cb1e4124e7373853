//! A batch in the making: every key is answered, to be loaded, waited for, or answered with its twin.
//!
//! | the node says | it is |
//! | --- | --- |
//! | a fresh value | answered; loaded, too, if we are to refresh it early |
//! | a value in its grace | answered; loaded, if we are to refresh it |
//! | a value that was invalidated softly | as one in its grace, if the policy allows, else as none |
//! | that the origin has failed | an error, for as long as that is believed |
//! | nothing, and we won the lease | loaded, and stored |
//! | nothing, and somebody else has the lease | waited for |
//! | that the value is too long to be stored | loaded by every reader; stored in place of that word once it is shorter |
//! | something of another schema | loaded, and not stored |
//! | something that is not ours | removed, and asked again |
//! | something that had other tags | asked again, for it was thrown away: see `reading.rs` |
//! | an error | loaded, and not stored |
//!
//! Whoever holds a lease for longer than a load may take is dead: what is there is taken over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use larder_client::{Cas, Claim, Key, Lease, Read};
use tokio::time::Instant;

use crate::answer::{Answer, Batch, Counts, LoadError, Outcome};
use crate::copies::Chosen;
use crate::flights::{Flights, Landing};
use crate::format::Kind;
use crate::guard::OriginGuard;
use crate::packed::{NotOurs, UNCACHEABLE_FOR, Unpacked};
use crate::policy::{Policy, TTL_SLACK_SECS};
use crate::rivals::Rivals;
use crate::tags::Standing;

/// A batch in the making.
pub(crate) struct Work<'a, E> {
    pub(crate) keys: &'a [Key],
    /// Which copies of them are read.
    pub(crate) chosen: Chosen,
    pub(crate) policy: &'a Policy,
    /// When all of it has to be answered.
    pub(crate) deadline: Instant,
    /// What it took so far.
    pub(crate) counts: Counts,
    /// How the tags of the policy stood when the cache was asked last.
    pub(crate) tags: Standing,
    pub(crate) to_load: Vec<ToLoad>,
    pub(crate) to_await: Vec<ToAwait>,
    /// What is left by winners who are dead, or is not ours, and where its keys stand.
    pub(crate) to_take_over: Vec<(usize, Read)>,
    answers: Vec<Option<Result<Answer, LoadError<E>>>>,
    /// Where the keys that the cache did not answer stand first.
    first_at: HashMap<&'a Key, usize>,
    /// Where they stand once more, and where first.
    twins: Vec<(usize, usize)>,
}

/// A key to be loaded.
pub(crate) struct ToLoad {
    pub(crate) index: usize,
    pub(crate) outcome: Outcome,
    /// Who said that it is missing.
    pub(crate) node: Option<Arc<str>>,
    /// The right to fill it.
    pub(crate) lease: Option<Lease>,
    /// What to answer if the origin fails.
    pub(crate) fallback: Option<Answer>,
    /// Where it is known that the value was too long to be stored; the lease is then that of every reader.
    pub(crate) uncacheable: Option<Uncacheable>,
}

/// The word that a value is too long to be stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Uncacheable {
    /// From which length on, as it would be stored.
    pub(crate) least_len: u64,
    /// The seconds that the word has left.
    pub(crate) ttl_secs: u64,
}

/// A key that somebody else loads.
pub(crate) struct ToAwait {
    pub(crate) index: usize,
    /// Under which lease.
    pub(crate) cas: Cas,
    pub(crate) node: Arc<str>,
    /// Where it is somebody in this environment: what comes of it.
    pub(crate) landing: Option<Landing>,
}

/// What an environment knows of leases.
#[derive(Clone, Copy)]
pub(crate) struct Leases<'a> {
    pub(crate) rivals: &'a Rivals,
    pub(crate) flights: &'a Flights,
    /// What says which keys are loaded around this call, which would wait for itself.
    pub(crate) guard: &'a OriginGuard,
}

/// What a read has found.
pub(crate) enum Found {
    Fresh(Answer),
    Grace(Answer),
    Invalidated(Answer),
    /// That the origin has failed a moment ago.
    Failing,
    /// That the value is too long to be stored.
    Uncacheable(Uncacheable),
    /// An item that is neither ours nor of another schema.
    Foreign,
    /// A miss, or what is of no use to this reader.
    Nothing,
}

impl<'a, E> Work<'a, E> {
    /// One of `keys`, of which these copies were chosen and whose tags stand so.
    pub(crate) fn new(
        keys: &'a [Key],
        chosen: Chosen,
        tags: Standing,
        policy: &'a Policy,
        deadline: Instant,
    ) -> Self {
        Self {
            keys,
            chosen,
            policy,
            deadline,
            counts: Counts::default(),
            tags,
            to_load: Vec::new(),
            to_await: Vec::new(),
            to_take_over: Vec::new(),
            answers: std::iter::repeat_with(|| None).take(keys.len()).collect(),
            first_at: HashMap::new(),
            twins: Vec::new(),
        }
    }

    /// Decides what to do about the key at `index`; see the table of the module.
    pub(crate) fn sort(&mut self, index: usize, read: Option<Read>, leases: Leases<'_>) {
        let policy = self.policy;
        let Some(read) = read else {
            return self.load(ToLoad { outcome: Outcome::Bypass, ..ToLoad::new(index) });
        };
        let found = self.found(index, &read);
        self.counts.foreign += u32::from(matches!(found, Found::Foreign));
        let lease = match &read.claim {
            _ if let Found::Uncacheable(word) = found => {
                return self.load_uncacheable(index, &read, word, leases);
            }
            Claim::None if matches!(found, Found::Foreign) => {
                let node = &*read.node;
                tracing::warn!(key = %self.key(index), node, "an item that is not of this cache is removed");
                return self.take_over(index, read);
            }
            Claim::Lost(lease) => {
                let seen_for = leases.rivals.seen(self.key(index), lease.cas(), Instant::now());
                let is_silent = seen_for > policy.load_for;
                return if is_silent {
                    self.take_over(index, read)
                } else {
                    self.lose(index, found, &read, lease, leases)
                };
            }
            Claim::Won(lease) => Some(lease.clone()),
            Claim::None => None,
        };
        let fallback = match found {
            Found::Failing => return self.answer(index, Err(LoadError::Failing)),
            Found::Fresh(answer) | Found::Grace(answer) if lease.is_none() => {
                return self.answer(index, Ok(answer));
            }
            Found::Fresh(answer) => Some(answer),
            // That there was no such record is not said past its time.
            Found::Grace(answer) | Found::Invalidated(answer) => {
                Some(answer).filter(|answer| policy.stale_on_error && answer.value.is_some())
            }
            Found::Uncacheable(_) | Found::Foreign | Found::Nothing => None,
        };
        self.load(ToLoad { node: Some(read.node), lease, fallback, ..ToLoad::new(index) });
    }

    /// The value of the key at `index` was too long to be stored: readers do not queue for it. They all have the right
    /// to store it, and as every write voids that, what one of them stores is what the origin has.
    fn load_uncacheable(&mut self, index: usize, read: &Read, word: Uncacheable, leases: Leases<'_>) {
        let lease = read.in_place();
        let lease = lease.filter(|_| !leases.guard.is_loading(&self.keys[index]));
        let under_way = lease.and_then(|lease| {
            let landing = leases.flights.find(self.key(index), lease.cas(), self.tags)?;
            Some((lease.cas(), landing))
        });
        let node = Arc::clone(&read.node);
        match under_way {
            Some((cas, landing)) if !self.is_twin(index) => {
                self.to_await.push(ToAwait { index, cas, node, landing: Some(landing) });
            }
            Some(_) => {}
            None => self.load(ToLoad {
                node: Some(node),
                lease: lease.cloned(),
                uncacheable: Some(word),
                ..ToLoad::new(index)
            }),
        }
    }

    /// Decides what to do about the key at `index` once more, after a try to take its lease over: by what is read
    /// `now`, or, where the node does not answer any more, by what was read `before`.
    pub(crate) fn sort_taken(&mut self, index: usize, before: Read, now: Option<Read>, leases: Leases<'_>) {
        let left = now.as_ref().unwrap_or(&before);
        match &left.claim {
            // Somebody was quicker, the engine cannot do it, or nobody can tell.
            Claim::Lost(lease) => match (self.found(index, left), &now) {
                (Found::Nothing, None) => self.sort(index, None, leases),
                (found, _) => self.lose(index, found, left, lease, leases),
            },
            // It is back, and may be removed with the next read.
            Claim::None
                if let Some(now) = &now
                    && matches!(self.found(index, now), Found::Foreign) =>
            {
                self.load(ToLoad { node: Some(Arc::clone(&now.node)), ..ToLoad::new(index) });
            }
            _ => self.sort(index, now, leases),
        }
    }

    /// The key under which the one at `index` is read and stored: its own, or that of a copy.
    pub(crate) fn key(&self, index: usize) -> &Key {
        self.chosen.key(index).unwrap_or(&self.keys[index])
    }

    pub(crate) fn answer(&mut self, index: usize, answer: Result<Answer, LoadError<E>>) {
        self.answers[index] = Some(answer);
    }

    /// Whether the key at `index` is waited for under another lease than `cas`.
    pub(crate) fn awaits_another(&self, index: usize, cas: Cas) -> bool {
        self.to_await.iter().any(|key| key.index == index && key.cas != cas)
    }

    /// Loads now what was waited for in vain.
    pub(crate) fn load_awaited(&mut self) {
        let awaited = std::mem::take(&mut self.to_await).into_iter();
        self.to_load.extend(awaited.map(|key| ToLoad { node: Some(key.node), ..ToLoad::new(key.index) }));
    }

    /// The answers, in the order of the keys, and what they took.
    pub(crate) fn into_batch(mut self) -> Batch<E> {
        for (index, first) in self.twins {
            self.answers[index] = self.answers[first].clone();
        }
        let answers = self.answers.into_iter().map(|answer| answer.unwrap_or(Err(LoadError::Deadline)));
        Batch::new(answers.collect(), self.counts)
    }

    /// What `read` has found of the key at `index`, as far as the policy allows to answer it.
    fn found(&self, index: usize, read: &Read) -> Found {
        Found::of(read, self.key(index), self.policy, self.tags).allowed_by(self.policy)
    }

    /// Somebody else loads the key at `index`.
    fn lose(&mut self, index: usize, found: Found, read: &Read, lease: &Lease, leases: Leases<'_>) {
        match found {
            Found::Fresh(answer) | Found::Grace(answer) | Found::Invalidated(answer) => {
                self.answer(index, Ok(answer))
            }
            Found::Failing => self.answer(index, Err(LoadError::Failing)),
            Found::Uncacheable(_) | Found::Foreign | Found::Nothing
                if leases.guard.is_loading(&self.keys[index]) =>
            {
                self.load(ToLoad { node: Some(Arc::clone(&read.node)), ..ToLoad::new(index) });
            }
            Found::Uncacheable(_) | Found::Foreign | Found::Nothing => {
                let landing = leases.flights.find(self.key(index), lease.cas(), self.tags);
                if !self.is_twin(index) {
                    self.to_await.push(ToAwait {
                        index,
                        cas: lease.cas(),
                        node: Arc::clone(&read.node),
                        landing,
                    });
                }
            }
        }
    }

    fn take_over(&mut self, index: usize, read: Read) {
        if !self.is_twin(index) {
            self.to_take_over.push((index, read));
        }
    }

    fn load(&mut self, key: ToLoad) {
        if !self.is_twin(key.index) {
            self.to_load.push(key);
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
}

impl Found {
    /// What `read` has found under `key`.
    pub(crate) fn of(read: &Read, key: &Key, policy: &Policy, tags: Standing) -> Self {
        let Some(item) = &read.item else { return Self::Nothing };
        let Unpacked { flags, tags: own_tags, version, value } = match Unpacked::of(item, policy.schema) {
            Ok(unpacked) => unpacked,
            Err(NotOurs::OtherSchema) => return Self::Nothing,
            Err(NotOurs::Foreign) => return Self::Foreign,
        };
        // Nothing of ours is kept for ever.
        if read.ttl_secs == u64::MAX {
            return Self::Foreign;
        }
        let is_outdated = tags != Standing::Untagged && own_tags.map(Standing::Known) != Some(tags);
        if is_outdated && flags.kind.is_of_record() {
            return Self::Nothing;
        }
        let (value, kept_secs, ttl) = match flags.kind {
            Kind::Raw | Kind::Json => (Some(value), policy.grace.as_secs(), policy.value_ttl(key, None)),
            Kind::NotFound => (None, policy.window_secs(), policy.negative_ttl(key)),
            Kind::Failing => return Self::of_failing(read, policy),
            Kind::Uncacheable => return Self::of_uncacheable(read, &value),
        };
        if value.is_none() && read.ttl_secs > u64::from(ttl.as_secs()) + TTL_SLACK_SECS {
            return Self::Foreign;
        }
        let age = Duration::from_secs(u64::from(ttl.as_secs()).saturating_sub(read.ttl_secs));
        let age = Some(age).filter(|_| !flags.has_own_ttl && !read.is_stale);
        let answer = |outcome| Answer { value, version, outcome, node: Some(Arc::clone(&read.node)), age };
        if read.is_stale {
            Self::Invalidated(answer(Outcome::Stale))
        } else if read.ttl_secs >= kept_secs {
            Self::Fresh(answer(Outcome::Hit))
        } else if flags.kind == Kind::NotFound {
            Self::Nothing
        } else {
            Self::Grace(answer(Outcome::Stale))
        }
    }

    /// What the word is worth that the origin has failed: it is believed for the policy's time at most, whatever time
    /// it was stored for.
    fn of_failing(read: &Read, policy: &Policy) -> Self {
        let longest = policy.error_for.map_or(0, |ttl| u64::from(policy.failing_ttl(ttl).as_secs()));
        if read.is_stale || read.ttl_secs < policy.window_secs() {
            Self::Nothing
        } else if read.ttl_secs > longest + TTL_SLACK_SECS {
            Self::Foreign
        } else {
            Self::Failing
        }
    }

    /// What the word is worth that the value is too long, which ends with the next write.
    fn of_uncacheable(read: &Read, least_len: &[u8]) -> Self {
        match least_len.try_into() {
            Ok(_) if read.is_stale => Self::Nothing,
            Ok(_) if read.ttl_secs > u64::from(UNCACHEABLE_FOR.as_secs()) + TTL_SLACK_SECS => Self::Foreign,
            Ok(least_len) => {
                let least_len = u64::from_be_bytes(least_len);
                Self::Uncacheable(Uncacheable { least_len, ttl_secs: read.ttl_secs })
            }
            Err(_) => Self::Foreign,
        }
    }

    /// The same, or nothing where the policy does not allow to answer it.
    fn allowed_by(self, policy: &Policy) -> Self {
        match self {
            Self::Invalidated(_) if !policy.stale_after_invalidate => Self::Nothing,
            found => found,
        }
    }
}

impl ToLoad {
    /// The key at `index`, which the cache does not have.
    pub(crate) fn new(index: usize) -> Self {
        Self { index, outcome: Outcome::Miss, node: None, lease: None, fallback: None, uncacheable: None }
    }
}

impl ToAwait {
    /// What has come of it, if it is somebody in this environment who loads it.
    pub(crate) fn landed(&self) -> Option<Answer> {
        let loaded = self.landing.as_ref()?.borrow().clone()?;
        let answer = Answer::of_loaded(loaded, Outcome::Hit, Some(Arc::clone(&self.node)));
        Some(Answer { age: Some(Duration::ZERO), ..answer })
    }

    /// Whether it is somebody in this environment who loads it, and has not given up.
    pub(crate) fn is_under_way(&self) -> bool {
        self.landing.as_ref().is_some_and(|landing| landing.has_changed().is_ok())
    }
}
