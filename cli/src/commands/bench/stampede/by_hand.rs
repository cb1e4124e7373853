//! The alternatives to leases, as they are written by hand: read and store, and a lock beside the key.

use super::gated_origin::GatedOrigin;
use super::messages::{Answer, Cache};
use super::strategy::TABLE;
use larder_client::{Cluster, Key, NewItem, Stored, Ttl};
use larder_origin::Id;
use larder_read::Source;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A hot key in front of its origin, with nothing but a cache between them.
pub(crate) struct ByHand {
    pub(crate) cluster: Cluster,
    pub(crate) origin: GatedOrigin,
    pub(crate) key: Key,
    pub(crate) lock: Key,
    pub(crate) id: Id,
    pub(crate) ttl: Ttl,
}

impl ByHand {
    /// Reads the key; whoever misses loads and stores.
    pub(crate) async fn read_naively(&self, deadline: Instant) -> Answer {
        if self.is_there(deadline).await { HIT } else { self.load(deadline).await }
    }

    /// Reads the key; of those who miss, the one who adds the lock loads and stores, and the others look now and then
    /// whether the value has come. Who has waited for too long loads and stores, too.
    ///
    /// Nobody minds whose lock it is that a winner removes, as in most such code.
    pub(crate) async fn read_with_lock(&self, deadline: Instant) -> Answer {
        for _ in 0..MOST_LOOKS {
            if self.is_there(deadline).await {
                return HIT;
            }
            if self.takes_lock(deadline).await {
                let answer = self.load(deadline).await;
                // One that stays ends by its own time.
                let _ = self.cluster.until(deadline).delete(&self.lock).await;
                return answer;
            }
            sleep(PAUSE.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
        self.load(deadline).await
    }

    async fn is_there(&self, deadline: Instant) -> bool {
        // A fault of the cache counts as a miss.
        matches!(self.cluster.until(deadline).get(&self.key).await, Ok(Some(_)))
    }

    async fn takes_lock(&self, deadline: Instant) -> bool {
        let lock = NewItem { key: &self.lock, value: b"locked", client_flags: 0, ttl: LOCKED_FOR };
        matches!(self.cluster.until(deadline).add(lock).await, Ok(Stored::Yes))
    }

    async fn load(&self, deadline: Instant) -> Answer {
        let loaded = self.origin.load_many(TABLE, std::slice::from_ref(&self.id), deadline.into_std()).await;
        let Some(record) = loaded.ok().and_then(|mut records| records.pop()?) else {
            return Answer::default();
        };
        let item = NewItem { key: &self.key, value: record.json(), client_flags: 0, ttl: self.ttl };
        // What could not be stored is good for this caller all the same.
        let _ = self.cluster.until(deadline).set(item).await;
        Answer { cache: Some(Cache::Miss), ..Answer::default() }
    }
}

const HIT: Answer = Answer { cache: Some(Cache::Hit), age_secs: None, fills_refused: 0, takeovers: 0 };
/// How long a lock holds that nobody removes.
const LOCKED_FOR: Ttl = Ttl::clamped(10);
/// How long to wait before looking again, give or take a quarter.
const PAUSE: Duration = Duration::from_millis(50);
/// How often to look: four seconds.
const MOST_LOOKS: usize = 80;
