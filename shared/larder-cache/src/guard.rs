//! The origin's guard: what keeps a cold or broken cache from drowning the database.
//!
//! A loader may read through the same cache: a page that is made of records. Such a load within a load takes the
//! permit of the load around it where there is no other, else a few pages at once would hold all permits and wait for
//! more. The loads within one load then take turns. What is loaded around a load is known by the task that polls it, so
//! a loader that hands its reads to another task takes permits as any other caller.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_client::Key;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bounds the origin calls that this environment has under way.
///
/// An environment serves one request at a time, or a few; times the function's reserved concurrency this is what
/// the origin may have to bear. Loads that a loader makes through the same cache count as one with their own.
#[derive(Debug)]
pub struct OriginGuard {
    permits: Arc<Semaphore>,
}

/// A load that is under way, as the loads within it see it.
#[derive(Debug)]
pub(crate) struct UnderWay {
    /// Of its cache.
    permits: Arc<Semaphore>,
    /// Its permit, for the loads within it, one at a time.
    turn: Arc<Semaphore>,
    keys: Vec<Key>,
    /// The load around it, of whatever cache.
    around: Option<Arc<UnderWay>>,
}

tokio::task_local! {
    /// The load in which the future runs that is polled.
    static AROUND: Arc<UnderWay>;
}

impl OriginGuard {
    /// A guard that lets `most` calls at once through.
    pub fn new(most: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }

    /// Waits for `patience` at most to be let through; `None` where the guard stays shut.
    pub(crate) async fn enter(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        let own = Arc::clone(&self.permits).acquire_owned();
        let entered = match self.around().next() {
            None => timeout(patience, own).await,
            Some(load) => {
                let turn = Arc::clone(&load.turn).acquire_owned();
                let either = select(Box::pin(own), Box::pin(turn));
                timeout(patience, async {
                    match either.await {
                        Either::Left((permit, _)) | Either::Right((permit, _)) => permit,
                    }
                })
                .await
            }
        };
        entered.ok()?.ok()
    }

    /// Runs `load`, which loads `keys`.
    pub(crate) async fn run<F: Future>(&self, keys: Vec<Key>, load: F) -> F::Output {
        let under_way = UnderWay {
            permits: Arc::clone(&self.permits),
            turn: Arc::new(Semaphore::new(1)),
            keys,
            around: around(),
        };
        AROUND.scope(Arc::new(under_way), load).await
    }

    /// Whether a load around this call loads `key`, so that it would wait for itself.
    pub(crate) fn is_loading(&self, key: &Key) -> bool {
        self.around().any(|load| load.keys.contains(key))
    }

    /// The loads of this guard's cache around this call, the nearest first.
    fn around(&self) -> impl Iterator<Item = Arc<UnderWay>> {
        let all = std::iter::successors(around(), |load| load.around.clone());
        all.filter(|load| Arc::ptr_eq(&load.permits, &self.permits))
    }
}

/// The load around this call.
fn around() -> Option<Arc<UnderWay>> {
    AROUND.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guard_lets_so_many_through_and_the_next_when_one_leaves() {
        let guard = OriginGuard::new(2);
        let (first, _second) = (guard.enter(Duration::ZERO).await, guard.enter(Duration::ZERO).await);
        assert!(guard.enter(Duration::from_millis(1)).await.is_none());
        let third = guard.enter(Duration::from_secs(60));
        let leave = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        assert!(futures_util::future::join(third, leave).await.0.is_some());
    }

    #[tokio::test]
    async fn loads_within_a_load_take_turns_with_its_permit() {
        let guard = OriginGuard::new(1);
        let _outer = guard.enter(Duration::ZERO).await.unwrap();
        let within = guard.run(Vec::new(), async {
            let first = guard.enter(Duration::ZERO).await;
            assert!(first.is_some());
            assert!(guard.enter(Duration::from_millis(1)).await.is_none());
            let deeper = guard.run(Vec::new(), async { guard.enter(Duration::ZERO).await.is_some() });
            assert!(deeper.await, "it has the turn of the load around it");
            drop(first);
            guard.enter(Duration::ZERO).await.is_some()
        });
        assert!(within.await);
        assert!(guard.enter(Duration::from_millis(1)).await.is_none(), "outside there is no permit");
    }

    #[tokio::test]
    async fn another_cache_between_two_loads_hides_nothing() {
        let (pages, rows) = (OriginGuard::new(1), OriginGuard::new(1));
        let (page, row) = (Key::new(b"page").unwrap(), Key::new(b"row").unwrap());
        let _page = pages.enter(Duration::ZERO).await.unwrap();
        let load = pages.run(vec![page.clone()], async {
            let load = rows.run(vec![row.clone()], async {
                assert!(pages.is_loading(&page) && !pages.is_loading(&row));
                assert!(rows.is_loading(&row) && !rows.is_loading(&page));
                assert!(pages.enter(Duration::ZERO).await.is_some());
            });
            load.await;
        });
        load.await;
        assert!(!pages.is_loading(&page));
    }
}
