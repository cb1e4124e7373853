//! After the origin has committed: the cache is told, and the queue what the cache could not be told.

use std::error::Error;

use futures_util::future::join_all;
use larder_cache::{Intent, Loaded, Policy, Written};
use larder_client::Key;
use larder_queue::{Queue, QueueError};
use tracing::{error, warn};

use crate::app::App;
use crate::depend::{ToForget, how};
use crate::handle::Work;
use crate::share::Shares;

/// What the cache knows of a write, the worst of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// It has the row.
    Stored,
    /// It has a newer one.
    Newer,
    /// It has nothing of it.
    Forgotten,
    /// It may have what is older, until the queue has been worked off.
    Queued,
    /// The same, and nobody will tell it.
    Unforgotten,
}

impl Told {
    /// For the header.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Newer => "newer",
            Self::Forgotten => "forgotten",
            Self::Queued => "queued",
            Self::Unforgotten => "unforgotten",
        }
    }
}

/// A row that the cache is to have.
pub(crate) struct Store<'a> {
    pub(crate) intent: Intent,
    pub(crate) key: &'a Key,
    pub(crate) value: Loaded,
    pub(crate) policy: &'a Policy,
}

/// Whether the origin has said that it has committed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Commit {
    Certain,
    /// It may yet, after the cache has forgotten what was there: who loads in between loads what is old. So all of it
    /// is forgotten once more, from the queue.
    Unknown,
}

/// Stores the row where there is one `to_store`, has all of `to_forget` forgotten, side by side, and queues what is
/// left.
pub(crate) async fn tell<T>(
    app: &App<T>,
    to_store: Option<Store<'_>>,
    to_forget: &ToForget,
    commit: Commit,
    shares: Shares,
    work: &mut Work,
) -> Told {
    let told = tell_cache(app, to_store, to_forget, shares, work).await;
    let to_queue = if commit == Commit::Unknown { to_forget } else { &told.left };
    if to_queue.len() == 0 {
        return told.of_rest;
    }
    let sent = match &app.queue {
        Some(queue) => send(queue, to_queue, shares).await,
        None => Sent { keys: 0, unsent: to_queue.clone(), why: None },
    };
    told.settle(sent, work)
}

/// What the cache was told, and what it could not be told.
struct ToldCache {
    of_rest: Told,
    left: ToForget,
    why: Option<larder_client::Error>,
}

async fn tell_cache<T>(
    app: &App<T>,
    to_store: Option<Store<'_>>,
    to_forget: &ToForget,
    shares: Shares,
    work: &mut Work,
) -> ToldCache {
    let invalidations = to_forget.invalidations().iter();
    let forget = join_all(invalidations.map(|keys| app.cache.invalidate(keys, shares.cache_by)));
    let store = async {
        let Store { intent, key, value, policy } = to_store?;
        Some((key, policy, app.cache.written(intent, &value, policy, shares.cache_by).await))
    };
    let (stored, forgotten) = tokio::join!(store, forget);

    let mut told = ToldCache { of_rest: Told::Forgotten, left: ToForget::default(), why: None };
    match stored {
        Some((_, _, Ok(Written::Stored))) => (told.of_rest, work.stored) = (Told::Stored, 1),
        Some((_, _, Ok(Written::Newer))) => (told.of_rest, work.newer) = (Told::Newer, 1),
        Some((_, _, Ok(Written::Forgotten))) => work.forgotten += 1,
        Some((key, policy, Err(wrong))) => {
            told.left.add([key.clone()], how(policy));
            told.why = Some(wrong);
        }
        None => {}
    }
    for invalidated in forgotten {
        work.forgotten += invalidated.done as u64;
        told.left.extend(invalidated.left);
        told.why = told.why.or(invalidated.errors.into_iter().next());
    }
    told
}

impl ToldCache {
    /// What is said of it, after what the cache could not be told was `sent` to the queue, if there is one.
    fn settle(&self, sent: Sent, work: &mut Work) -> Told {
        let why = self.why.as_ref().map(|why| why as &dyn Error);
        let queue = sent.why.as_ref().map(|wrong| wrong as &dyn Error);
        let (keys, untold) = (sent.keys, self.left.len());
        if keys > 0 {
            warn!(keys, untold, error = why, "what was written is forgotten from the queue");
            work.queued += keys as u64;
        }
        let unforgotten = self.left.count_of(&sent.unsent);
        if unforgotten > 0 {
            error!(
                keys = unforgotten,
                error = why,
                queue,
                "the cache may have what is older than the origin"
            );
            work.unforgotten += unforgotten as u64;
            return Told::Unforgotten;
        }
        if sent.unsent.len() > 0 {
            let keys = sent.unsent.len();
            warn!(keys, queue, "what may have been written cannot be forgotten once more");
        }
        if keys > 0 { Told::Queued } else { self.of_rest }
    }
}

/// What the queue has taken.
struct Sent {
    /// So many keys.
    keys: usize,
    /// Those that it has not taken.
    unsent: ToForget,
    why: Option<QueueError>,
}

/// Sends `to_forget`, side by side: what the queue refuses keeps nothing else from it.
async fn send(queue: &impl Queue, to_forget: &ToForget, shares: Shares) -> Sent {
    let invalidations = to_forget.invalidations();
    let results = join_all(invalidations.iter().map(|keys| queue.send(keys, shares.queue_by))).await;
    let mut sent = Sent { keys: 0, unsent: ToForget::default(), why: None };
    for (invalidation, result) in invalidations.iter().zip(results) {
        match result {
            Ok(()) => sent.keys += invalidation.keys.len(),
            Err(wrong) => {
                sent.unsent.extend([invalidation.clone()]);
                sent.why.get_or_insert(wrong);
            }
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use larder_cache::{Forget, Invalidation};
    use larder_client::Ttl;
    use tokio::time::{Duration, Instant};

    use super::*;

    /// A queue that takes what is to be removed, and nothing that is to be marked stale.
    struct TakesHard;

    impl Queue for TakesHard {
        async fn send(&self, invalidation: &Invalidation, _: Instant) -> Result<(), QueueError> {
            match invalidation.how {
                Forget::Hard => Ok(()),
                Forget::Soft(_) => Err(QueueError::Refused("soft".to_owned())),
            }
        }
    }

    #[tokio::test]
    async fn what_the_queue_refuses_keeps_nothing_else_from_it() {
        let key = |text: &str| Key::new(text.as_bytes()).unwrap();
        let mut left = ToForget::default();
        left.add([key("a")], Forget::Soft(Ttl::clamped(30)));
        left.add([key("b"), key("c")], Forget::Hard);
        let now = Instant::now();
        let sent = send(&TakesHard, &left, Shares::new(now, now + Duration::from_secs(8))).await;
        assert_eq!((sent.keys, sent.unsent.len()), (2, 1));
        let told = ToldCache { of_rest: Told::Forgotten, left, why: None };
        let mut work = Work::default();
        assert_eq!(told.settle(sent, &mut work), Told::Unforgotten);
        assert_eq!((work.queued, work.unforgotten), (2, 1));
    }
}
