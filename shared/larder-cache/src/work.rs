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
//! | something that is not ours, or of another schema | loaded, and not stored |
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
use crate::packed::Unpacked;
use crate::policy::Policy;
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
    /// What is left by winners who are dead, and where its keys stand.
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
}

/// What a read has found.
pub(crate) enum Found {
    Fresh(Answer),
    Grace(Answer),
    Invalidated(Answer),
    /// That the origin has failed a moment ago.
    Failing,
    /// A miss, or what is not ours.
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
            let outcome = Outcome::Bypass;
            return self.load(ToLoad { index, outcome, node: None, lease: None, fallback: None });
        };
        let found = self.found(index, &read);
        let lease = match &read.claim {
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
            Found::Grace(answer) | Found::Invalidated(answer) => {
                Some(answer).filter(|_| policy.stale_on_error)
            }
            Found::Nothing => None,
        };
        self.load(ToLoad { index, outcome: Outcome::Miss, node: Some(read.node), lease, fallback });
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
        self.to_load.extend(awaited.map(|key| ToLoad {
            index: key.index,
            outcome: Outcome::Miss,
            node: Some(key.node),
            lease: None,
            fallback: None,
        }));
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
            Found::Nothing => {
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
        let unpacked = read.item.as_ref().and_then(|item| Unpacked::of(item, policy.schema));
        let Some(Unpacked { flags, tags: own_tags, version, value }) = unpacked else { return Self::Nothing };
        let is_outdated = tags != Standing::Untagged && own_tags.map(Standing::Known) != Some(tags);
        if is_outdated && flags.kind != Kind::Failing {
            return Self::Nothing;
        }
        let (value, kept_secs, ttl) = match flags.kind {
            Kind::Raw | Kind::Json => (Some(value), policy.grace.as_secs(), policy.value_ttl(key, None)),
            Kind::NotFound => (None, policy.window_secs(), policy.negative_ttl(key)),
            Kind::Failing if read.ttl_secs >= policy.window_secs() && !read.is_stale => return Self::Failing,
            Kind::Failing => return Self::Nothing,
        };
        let age = Duration::from_secs(u64::from(ttl.as_secs()).saturating_sub(read.ttl_secs));
        let age = Some(age).filter(|_| !flags.has_own_ttl && !read.is_stale);
        let answer = |outcome| Answer { value, version, outcome, node: Some(Arc::clone(&read.node)), age };
        if read.is_stale {
            Self::Invalidated(answer(Outcome::Stale))
        } else if read.ttl_secs < kept_secs {
            Self::Grace(answer(Outcome::Stale))
        } else {
            Self::Fresh(answer(Outcome::Hit))
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
