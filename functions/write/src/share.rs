//! Who may take how much of the time that there is.

use tokio::time::Instant;

/// When each step of a write has to be over.
///
/// A write that has been committed must yet be told to the cache, and what the cache cannot be told to the queue: so
/// the origin does not get all the time that there is. What one step leaves, the next one has.
///
/// ```
/// use larder_write::Shares;
/// use tokio::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let shares = Shares::new(now, now + Duration::from_secs(8));
/// assert_eq!(shares.origin_by, now + Duration::from_secs(6));
/// assert_eq!(shares.cache_by, now + Duration::from_secs(7));
/// assert_eq!(shares.queue_by, now + Duration::from_secs(8));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shares {
    /// The origin has committed, or does not.
    pub origin_by: Instant,
    /// The cache has been told, or is told later.
    pub cache_by: Instant,
    /// The queue has it.
    pub queue_by: Instant,
}

impl Shares {
    /// The shares of the time from `now` to `deadline`.
    pub fn new(now: Instant, deadline: Instant) -> Self {
        let share = deadline.saturating_duration_since(now) / SHARES;
        Self {
            origin_by: deadline - share * (CACHE_SHARES + QUEUE_SHARES),
            cache_by: deadline - share * QUEUE_SHARES,
            queue_by: deadline,
        }
    }
}

/// Into how many shares the time is cut.
const SHARES: u32 = 8;
/// Those that the cache has for itself: of five seconds, enough for the timeout of one call.
const CACHE_SHARES: u32 = 1;
/// Those that the queue has for itself: of five seconds, enough for a connection and a call.
const QUEUE_SHARES: u32 = 1;
