//! What a cached read answers.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::value::Loaded;

/// The answer for one key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The value; `None` where the origin has no such record. It may share a receive buffer: copy it before keeping
    /// it for long.
    pub value: Option<Bytes>,
    /// The version of its row, where it has one.
    pub version: Option<u64>,
    /// Where it came from.
    pub outcome: Outcome,
    /// `host:port` of the node that answered; `None` where none did: the origin, or of a hit this environment's own
    /// memory.
    pub node: Option<Arc<str>>,
    /// How long ago it was stored, to the second; `None` where it was not found in the cache, and where that cannot be
    /// told: of a value that was invalidated, or is fresh for a time of its own.
    pub age: Option<Duration>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// The cache had it.
    Hit,
    /// The cache did not have it; the origin was asked.
    Miss,
    /// The cache had a value past its time, and there is a reason to answer it: somebody else refreshes it, or the
    /// origin failed.
    Stale,
    /// The cache could not be asked; the origin was.
    Bypass,
}

/// An error of a loader, by whose fault it is.
///
/// An error of the origin itself is remembered under its key for [`Policy::error_for`](crate::Policy::error_for), and
/// no environment asks again meanwhile. An error of one environment must not be: the others may be well.
///
/// ```
/// use larder_cache::LoadFault;
///
/// enum DatabaseError {
///     Unreachable,
///     Overloaded,
/// }
///
/// impl LoadFault for DatabaseError {
///     fn is_outage(&self) -> bool {
///         matches!(self, Self::Overloaded)
///     }
/// }
/// ```
pub trait LoadFault {
    /// Whether the origin was reached and is out of order: it failed, refused or ran out of time. Not where this
    /// environment did not come to ask it: a name without an address, a refused connection, credentials, a setting.
    fn is_outage(&self) -> bool;
}

/// Never.
impl LoadFault for Infallible {
    fn is_outage(&self) -> bool {
        match *self {}
    }
}

/// An error that says nothing is remembered for no other environment.
impl LoadFault for () {
    fn is_outage(&self) -> bool {
        false
    }
}

/// Not where there was no connection, or no file.
impl LoadFault for io::Error {
    fn is_outage(&self) -> bool {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, NotFound,
            PermissionDenied,
        };
        !matches!(
            self.kind(),
            AddrNotAvailable
                | ConnectionRefused
                | HostUnreachable
                | NetworkDown
                | NetworkUnreachable
                | NotFound
                | PermissionDenied
        )
    }
}

/// Why there is no answer for a key. A fault of the cache alone is no reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The origin failed.
    #[error("the origin failed")]
    Origin(#[source] Arc<E>),
    /// The origin took longer than so, which was nearly all of [`Policy::load_for`](crate::Policy::load_for).
    #[error("the origin took longer than {} ms", .0.as_millis())]
    Slow(Duration),
    /// The origin has failed for this key a moment ago, and is left alone.
    #[error("the origin has failed a moment ago")]
    Failing,
    /// The origin answered an older value than was asked for: one that lags behind, or a version that never was.
    #[error("the origin has version {found} and not yet {version}")]
    Older {
        /// The version of what it answered.
        found: u64,
        /// The version that was asked for.
        version: u64,
    },
    /// The origin's guard let no more calls through, or this one so late that the origin had no time.
    #[error("too many loads are under way")]
    Guarded,
    /// The deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The loader reads the very key that it loads, through the same cache: a fault in the program.
    #[error("the loader reads the key that it loads")]
    Recursive,
    /// The loader answered another number of values than it was asked for: a fault in the program.
    #[error("the loader was asked for {asked} values and answered {answered}")]
    Miscounted {
        /// Values asked for.
        asked: usize,
        /// Values answered.
        answered: usize,
    },
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Origin(error) => Self::Origin(Arc::clone(error)),
            Self::Slow(limit) => Self::Slow(*limit),
            Self::Failing => Self::Failing,
            Self::Older { found, version } => Self::Older { found: *found, version: *version },
            Self::Guarded => Self::Guarded,
            Self::Deadline => Self::Deadline,
            Self::Recursive => Self::Recursive,
            Self::Miscounted { asked, answered } => Self::Miscounted { asked: *asked, answered: *answered },
        }
    }
}

impl<E: LoadFault> LoadError<E> {
    /// Whether it says that the origin is out of order: others had better not ask it at once.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Origin(error) => error.is_outage(),
            Self::Slow(_) => true,
            _ => false,
        }
    }
}

/// The answers for a batch, and what it took to get them.
#[derive(Debug)]
pub struct Batch<E> {
    /// One for every key, in the order asked.
    pub answers: Vec<Result<Answer, LoadError<E>>>,
    /// What it took.
    pub counts: Counts,
}

/// What a read took. The node's own statistics cannot tell: a miss that wins a lease counts as a hit there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Keys answered by the cache.
    pub hits: u32,
    /// Keys the cache did not have.
    pub misses: u32,
    /// Keys answered with an old value.
    pub stale: u32,
    /// Keys for which the cache could not be asked.
    pub bypasses: u32,
    /// Keys without any answer.
    pub errors: u32,
    /// Of the hits: those that said "no such record".
    pub negative_hits: u32,
    /// Of the hits: those that no node was asked for, see [`Policy::near_for`](crate::Policy::near_for).
    pub near_hits: u32,
    /// Of the errors: those for which the origin was left alone, as it had failed a moment ago.
    pub failing: u32,
    /// Keys read for tags, beside those that were asked for.
    pub tag_reads: u32,
    /// Keys whose value somebody else was loading, so that we waited.
    pub waits: u32,
    /// Leases taken over from somebody who was silent for too long.
    pub takeovers: u32,
    /// Calls to the origin, however many keys each had.
    pub origin_calls: u32,
    /// Values stored.
    pub fills: u32,
    /// Values not stored because their lease was void: nothing is wrong.
    pub fills_refused: u32,
    /// Values not stored because they are too long, or their node failed.
    pub fills_failed: u32,
    /// Keys under which there was an item that is not of this cache, and of no use to any version of it.
    pub foreign: u32,
}

impl Answer {
    /// What the origin has `loaded`, after `node` did not have it.
    pub(crate) fn of_loaded(loaded: Option<Loaded>, outcome: Outcome, node: Option<Arc<str>>) -> Self {
        let version = loaded.as_ref().and_then(|loaded| loaded.version);
        let value = loaded.map(|loaded| loaded.value);
        Self { value, version, outcome, node, age: None }
    }
}

impl<E> Batch<E> {
    /// Sums the `answers` up, beside what was counted on the way.
    pub(crate) fn new(answers: Vec<Result<Answer, LoadError<E>>>, counts: Counts) -> Self {
        let mut batch = Self { answers, counts };
        for answer in &batch.answers {
            batch.counts.add(answer);
        }
        batch
    }
}

impl Counts {
    pub(crate) fn found(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Hit => &mut self.hits,
            Outcome::Miss => &mut self.misses,
            Outcome::Stale => &mut self.stale,
            Outcome::Bypass => &mut self.bypasses,
        };
        *count += 1;
    }

    /// What it took, without what came of it.
    pub(crate) fn without_answers(self) -> Self {
        let (hits, misses, stale, bypasses, errors) = (0, 0, 0, 0, 0);
        let (negative_hits, near_hits, failing) = (0, 0, 0);
        Self { hits, misses, stale, bypasses, errors, negative_hits, near_hits, failing, ..self }
    }

    pub(crate) fn add<E>(&mut self, answer: &Result<Answer, LoadError<E>>) {
        match answer {
            Err(_) => self.errors += 1,
            Ok(answer) => self.found(answer.outcome),
        }
        self.failing += u32::from(matches!(answer, Err(LoadError::Failing)));
        let is_negative_hit = matches!(answer, Ok(Answer { value: None, outcome: Outcome::Hit, .. }));
        self.negative_hits += u32::from(is_negative_hit);
        let is_near_hit = matches!(answer, Ok(Answer { node: None, outcome: Outcome::Hit, .. }));
        self.near_hits += u32::from(is_near_hit);
    }
}
