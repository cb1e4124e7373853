//! Calls over a link that are waited for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Calls that are under way, each with a number of its own, and who waits for the answers.
///
/// As many as there are operations under way.
#[derive(Debug)]
pub(crate) struct Calls<A> {
    begun: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<A>>>,
}

impl<A> Calls<A> {
    pub(crate) fn new() -> Self {
        Self { begun: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// Begins a call: its number, and where its answer arrives.
    pub(crate) fn begin(&self) -> (u64, oneshot::Receiver<A>) {
        let call = self.begun.fetch_add(1, Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(call, sender);
        (call, answer)
    }

    /// Takes the answer to `call` to whoever waits for it, if anybody still does.
    pub(crate) fn answered(&self, call: u64, answer: A) {
        if let Some(waiting) = self.waiting().remove(&call) {
            let _ = waiting.send(answer);
        }
    }

    /// Never held while waiting.
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_finds_its_call_and_one_to_nobody_is_dropped() {
        let calls = Calls::new();
        let ((first, one), (second, other)) = (calls.begin(), calls.begin());
        calls.answered(second, "second");
        calls.answered(first, "first");
        calls.answered(first, "again");
        calls.answered(7, "nobody");
        assert_eq!((one.await, other.await), (Ok("first"), Ok("second")));
    }
}
