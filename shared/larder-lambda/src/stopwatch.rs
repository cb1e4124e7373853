//! How long something took, however it ended.

use std::time::{Duration, Instant};

/// Tells when it is dropped for how long it was there: so the time of a future counts that is cut off, too, which took
/// longer than any other.
///
/// ```
/// use std::cell::Cell;
/// use std::time::Duration;
/// use larder_lambda::stopwatch::Stopwatch;
///
/// let took = Cell::new(None);
/// drop(Stopwatch::start(|time| took.set(Some(time))));
/// assert!(took.get() < Some(Duration::from_secs(60)));
/// ```
#[derive(Debug)]
#[must_use = "it counts until it is dropped"]
pub struct Stopwatch<T: FnMut(Duration)> {
    started: Instant,
    tell: T,
}

impl<T: FnMut(Duration)> Stopwatch<T> {
    /// Counts from now on, and has `tell` called in the end.
    pub fn start(tell: T) -> Self {
        Self { started: Instant::now(), tell }
    }
}

impl<T: FnMut(Duration)> Drop for Stopwatch<T> {
    fn drop(&mut self) {
        (self.tell)(self.started.elapsed());
    }
}
