//! The truth behind the cache of a run: every flight with its version, in memory, with a latency.

use super::clock::Stamp;
use super::flights::Flight;
use super::history::Commit;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The origin. A call takes effect when it arrives and is answered after [`latency`](Self::latency), so what it
/// answers may be out of date by then, as with any database.
#[derive(Debug)]
pub(crate) struct Origin {
    flights: Vec<Flight>,
    latency: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The version of each flight.
    versions: Vec<u32>,
    /// When there was a call to read, in the order of time.
    loads: Vec<Stamp>,
    commits: Vec<Commit>,
}

impl Origin {
    pub(crate) fn new(flights: Vec<Flight>, latency: Duration) -> Self {
        let state = State { versions: vec![0; flights.len()], loads: Vec::new(), commits: Vec::new() };
        Self { flights, latency, state: Mutex::new(state) }
    }

    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// The ids of all flights, in the order of their places.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.flights.iter().map(|flight| flight.id).collect()
    }

    /// Reads the flights in the places `keys`: version and row of each. One call, however many. `None` if there is no
    /// such place.
    pub(crate) fn load(&self, keys: &[u32]) -> Option<Vec<(u32, String)>> {
        let mut state = self.state();
        state.loads.push(Stamp::now());
        let flight = |key: &u32| {
            let place = *key as usize;
            Some((*state.versions.get(place)?, self.flights.get(place)?.row.clone()))
        };
        keys.iter().map(flight).collect()
    }

    /// Makes a new version of a flight and answers it; `None` if there is no such place.
    pub(crate) fn commit(&self, key: u32) -> Option<u32> {
        let mut state = self.state();
        let version = state.versions.get_mut(key as usize)?;
        *version += 1;
        let version = *version;
        state.commits.push(Commit { key, version, at: Stamp::now() });
        Some(version)
    }

    /// When there was a call to read, in the order of time.
    pub(crate) fn loads(&self) -> Vec<Stamp> {
        self.state().loads.clone()
    }

    pub(crate) fn commits(&self) -> Vec<Commit> {
        self.state().commits.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_makes_the_next_version_and_every_call_counts_once() {
        let flights = [3, 5].map(|id| Flight { id, row: format!("{id},2013") });
        let origin = Origin::new(flights.into(), Duration::ZERO);
        assert_eq!(origin.ids(), [3, 5]);
        assert_eq!([origin.commit(1), origin.commit(1), origin.commit(9)], [Some(1), Some(2), None]);
        assert_eq!(origin.load(&[1, 0]), Some(vec![(2, "5,2013".to_owned()), (0, "3,2013".to_owned())]));
        assert_eq!(origin.load(&[2]), None);
        assert_eq!(origin.loads().len(), 2);
        let versions: Vec<_> = origin.commits().iter().map(|commit| (commit.key, commit.version)).collect();
        assert_eq!(versions, [(1, 1), (1, 2)]);
    }
}
