//! The origin's guard: what keeps a cold or broken cache from drowning the database.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Bounds the origin calls that this environment has under way.
///
/// An environment serves one request at a time, or a few; times the function's reserved concurrency this is what
/// the origin may have to bear.
#[derive(Debug)]
pub struct OriginGuard {
    permits: Semaphore,
}

impl OriginGuard {
    /// A guard that lets `most` calls at once through.
    pub fn new(most: usize) -> Self {
        Self { permits: Semaphore::new(most.min(Semaphore::MAX_PERMITS)) }
    }

    /// Waits for `patience` at most to be let through; `None` where the guard stays shut.
    pub(crate) async fn enter(&self, patience: Duration) -> Option<SemaphorePermit<'_>> {
        match self.permits.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => timeout(patience, self.permits.acquire()).await.ok()?.ok(),
        }
    }
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
}
