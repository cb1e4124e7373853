//! An environment that is frozen now and then, as Lambda freezes it: nothing of it runs, and it does not notice.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, Sleep, sleep};

/// A future that is not polled while it is frozen.
pub(crate) struct Freezing<F> {
    inner: Pin<Box<F>>,
    random: Rng,
    is_frozen: bool,
    /// Until when it goes on as it does.
    turn: Pin<Box<Sleep>>,
}

impl<F> Freezing<F> {
    pub(crate) fn new(inner: F, random: Rng) -> Self {
        Self {
            inner: Box::pin(inner),
            random,
            is_frozen: false,
            turn: Box::pin(sleep(Duration::from_millis(500))),
        }
    }
}

impl<F: Future> Future for Freezing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        while self.turn.as_mut().poll(context).is_ready() {
            self.is_frozen = !self.is_frozen;
            // Most freezes are short, some longer than anybody goes by a ring without asking.
            let most = if self.random.u32(..4) == 0 { 1500 } else { 100 };
            let millis = if self.is_frozen { self.random.u64(1..most) } else { self.random.u64(100..1500) };
            let until = Instant::now() + Duration::from_millis(millis);
            self.turn.as_mut().reset(until);
        }
        if self.is_frozen { Poll::Pending } else { self.inner.as_mut().poll(context) }
    }
}
