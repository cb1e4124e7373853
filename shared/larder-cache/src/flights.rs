//! Loads that are under way in this environment, for others in it that want the same.
//!
//! Most environments serve one request at a time. Where one serves several, a loser gets the winner's value from it
//! instead of asking its node again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder_client::{Cas, Key};
use tokio::sync::watch;

use crate::tags::Standing;
use crate::value::Loaded;

/// What came of a load: a value, or that there is no such record. Nothing yet in the beginning.
pub(crate) type Landing = watch::Receiver<Landed>;
type Landed = Option<Option<Loaded>>;

/// The loads under way, each by the lease that it was begun under and how its tags stood then: a lease that came later
/// is another load, for what that one finds may be newer, and so are tags that stand otherwise.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, (Terms, Landing)>>);

/// Under which lease a key is loaded, and how its tags stand.
type Terms = (Cas, Standing);

/// Loads that were begun. Dropped before they land, they are given up.
#[derive(Debug)]
pub(crate) struct Begun<'f> {
    flights: &'f Flights,
    /// One for every key; `None` without a lease.
    loads: Vec<Option<(Key, Terms, watch::Sender<Landed>)>>,
}

impl Flights {
    /// Begins to load keys, each under the lease that there is for it: without one, nobody waits for it.
    pub(crate) fn begin(&self, keys: impl Iterator<Item = Option<(Key, Cas)>>, tags: Standing) -> Begun<'_> {
        let mut flights = self.lock();
        let mut begin = |(key, cas): (Key, Cas)| {
            let (sender, landing) = watch::channel(None);
            flights.insert(key.clone(), ((cas, tags), landing));
            (key, (cas, tags), sender)
        };
        let loads = keys.map(|leased| leased.map(&mut begin)).collect();
        Begun { flights: self, loads }
    }

    /// The load under way of `key` under this very lease.
    pub(crate) fn find(&self, key: &Key, cas: Cas, tags: Standing) -> Option<Landing> {
        self.lock().get(key).filter(|(terms, _)| *terms == (cas, tags)).map(|(_, landing)| landing.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (Terms, Landing)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun<'_> {
    /// Tells whoever waits what was loaded: as many values as there are keys, in their order.
    pub(crate) fn land(&self, values: &[Option<Loaded>]) {
        for (load, value) in self.loads.iter().zip(values) {
            if let Some((.., sender)) = load {
                sender.send_replace(Some(value.clone()));
            }
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        for (key, terms, _) in self.loads.iter().flatten() {
            if flights.get(key).is_some_and(|(begun, _)| begun == terms) {
                flights.remove(key);
            }
        }
    }
}
