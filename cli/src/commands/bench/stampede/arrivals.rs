//! When reads arrive: at fixed times, whatever comes of those before.

use super::super::clock::Stamp;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver};

/// The times at which reads are to begin, each told when it has come.
///
/// A thread of its own keeps them, for the timers of the runtime are a millisecond apart. Where it is late, the times
/// are not: what is measured from them tells of the delay.
pub(crate) struct Arrivals(Receiver<Stamp>);

impl Arrivals {
    /// `per_sec` reads a second, evenly spread, the first one at `first`. They end when this is dropped.
    pub(crate) fn start(per_sec: u32, first: Stamp) -> Self {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        thread::spawn(move || {
            for nth in 0.. {
                let at = nth_arrival(nth, per_sec, first);
                let early = at.since(Stamp::now());
                if !early.is_zero() {
                    thread::sleep(early);
                }
                if sender.blocking_send(at).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Waits for the next read. Nothing is lost where the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Stamp> {
        self.0.recv().await
    }
}

/// Counted from the first one, so that no error adds up.
fn nth_arrival(nth: u64, per_sec: u32, first: Stamp) -> Stamp {
    first + Duration::from_secs(1).mul_f64(nth as f64 / f64::from(per_sec))
}

/// Reads that may have arrived and are not yet taken notice of.
const MOST_WAITING: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_arrive_at_their_times_and_not_before() {
        let first = Stamp::now();
        let mut arrivals = Arrivals::start(2000, first);
        for nth in 0..50 {
            let at = arrivals.next().await.unwrap();
            assert_eq!(at, first + Duration::from_micros(500 * nth));
            assert!(at <= Stamp::now());
        }
    }

    #[test]
    fn a_long_time_makes_no_drift() {
        let hour_later = nth_arrival(3600 * 3000, 3000, Stamp(0));
        assert_eq!(hour_later, Stamp(0) + Duration::from_secs(3600));
    }
}
