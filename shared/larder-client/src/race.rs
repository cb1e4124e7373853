//! Attempts side by side, each a little later than the one before: the first that succeeds wins.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

/// Begins the first of `attempts` at once and each other one when one before it has failed, or when its `pause` is
/// over. Answers the first success, or the last failure; `None` where there is no attempt. What is still under way is
/// dropped.
///
/// Source: RFC 8305, section 5.
pub(crate) async fn first_of<T, E, F: Future<Output = Result<T, E>>>(
    attempts: impl IntoIterator<Item = F>,
    pauses: impl IntoIterator<Item = Duration>,
) -> Option<Result<T, E>> {
    let (mut attempts, mut pauses) = (attempts.into_iter().peekable(), pauses.into_iter());
    let mut under_way = FuturesUnordered::new();
    let mut failure = None;
    loop {
        under_way.extend(attempts.next());
        // A timer wakes the runtime by a system call: none is set where nothing waits for it.
        let ended = match pauses.next().filter(|_| attempts.peek().is_some()) {
            None => under_way.next().await,
            Some(pause) => match timeout(pause, under_way.next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
        };
        match ended {
            Some(Ok(success)) => return Some(Ok(success)),
            Some(Err(error)) => failure = Some(Err(error)),
            None if attempts.peek().is_none() => return failure,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// What an attempt comes to, and after how many milliseconds.
    type Plan = (u64, Result<(), ()>);

    const NEVER: u64 = 1 << 40;

    #[tokio::test(start_paused = true)]
    async fn the_first_success_wins_and_each_begins_after_a_pause_or_a_failure() {
        for (plans, begun, ended) in [
            (&[(10, Ok(()))][..], &[0][..], Some((10, Ok(0)))),
            (&[(10, Ok(())), (0, Ok(()))], &[0], Some((10, Ok(0)))),
            (&[(NEVER, Ok(())), (10, Ok(()))], &[0, 100], Some((110, Ok(1)))),
            (&[(150, Ok(())), (NEVER, Ok(()))], &[0, 100], Some((150, Ok(0)))),
            (&[(10, Err(())), (10, Ok(()))], &[0, 10], Some((20, Ok(1)))),
            (&[(10, Err(())), (20, Err(()))], &[0, 10], Some((30, Err(1)))),
            (&[(NEVER, Err(())), (NEVER, Err(())), (5, Ok(()))], &[0, 100, 200], Some((205, Ok(2)))),
            (&[(120, Err(())), (300, Ok(())), (5, Err(()))], &[0, 100, 120], Some((400, Ok(1)))),
            (&[], &[], None),
        ] {
            check(plans, begun, ended).await;
        }
    }

    async fn check(plans: &[Plan], begun: &[u64], ended: Option<(u64, Result<usize, usize>)>) {
        let (start, seen) = (Instant::now(), RefCell::new(Vec::new()));
        let millis = || start.elapsed().as_millis() as u64;
        let attempts = plans.iter().enumerate().map(|(number, (after, result))| {
            let (seen, millis) = (&seen, &millis);
            async move {
                seen.borrow_mut().push(millis());
                sleep(Duration::from_millis(*after)).await;
                result.map(|()| number).map_err(|()| number)
            }
        });
        let first = first_of(attempts, std::iter::repeat(Duration::from_millis(100))).await;
        assert_eq!(first.map(|result| (millis(), result)), ended, "{plans:?}");
        assert_eq!(*seen.borrow(), begun, "{plans:?}");
    }
}
