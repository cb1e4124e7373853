//! Who holds a lease, and for how long we have seen it: whoever is silent for longer than a load may take is dead.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use larder_client::{Cas, Key};
use tokio::time::Instant;

use crate::policy::fnv1a;

/// The leases of others that this environment has met, a few of them.
///
/// On Lambda a request seldom lasts long enough to see a winner die. What one request has seen the next one remembers.
#[derive(Debug, Default)]
pub(crate) struct Rivals(Mutex<Vec<Rival>>);

#[derive(Clone, Copy, Debug)]
struct Rival {
    /// Of its key.
    hash: u64,
    cas: Cas,
    first_seen: Instant,
}

impl Rivals {
    /// Notes that somebody holds the lease `cas` on `key`; answers for how long it has been seen.
    pub(crate) fn seen(&self, key: &Key, cas: Cas, now: Instant) -> Duration {
        let hash = fnv1a(key.as_bytes());
        let mut rivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match rivals.iter_mut().find(|rival| rival.hash == hash) {
            Some(rival) if rival.cas == cas => return now.saturating_duration_since(rival.first_seen),
            Some(rival) => *rival = Rival { hash, cas, first_seen: now },
            None => {
                if rivals.len() == MOST {
                    let oldest = (0..MOST).min_by_key(|at| rivals[*at].first_seen).unwrap_or(0);
                    rivals.swap_remove(oldest);
                }
                rivals.push(Rival { hash, cas, first_seen: now });
            }
        }
        Duration::ZERO
    }
}

/// Hot keys whose leases are watched at once. One that is pushed out is watched anew.
const MOST: usize = 64;
