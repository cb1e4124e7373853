//! How an environment reads and refreshes lists.

use std::time::Duration;

use fastrand::Rng;
use larder_cache::{Counts, ListItems, Refreshed};
use tokio::time::Instant;

use crate::care::Care;
use crate::environment::{Environment, LIMIT, soon};
use crate::list::List;
use crate::origin::Origin;

impl Environment {
    pub(crate) async fn read_list(&mut self, origin: &Origin) -> Counts {
        let (list, begin, seed) = (self.list(origin), Instant::now(), self.random.u64(..));
        let load = || list.load(Rng::with_seed(seed));
        let (answer, counts) = self.cache.read_list(&list.timed, begin + LIMIT, load).await;
        self.check_time(begin, "read of a list");
        if let Ok(answer) = answer {
            origin.tally.note_list();
            let end = Instant::now();
            // Lists have no replicas.
            let from = origin.lapses.counted_from(begin, end, false);
            if let Some(wrong) = list.wrong(&answer, from, end) {
                self.fault(format!("list: {wrong}: {answer:?}"));
            }
        }
        counts
    }

    /// Refreshes all lists, one after the other.
    pub(crate) async fn refresh_lists(&mut self, origin: &Origin) {
        let mut early = Vec::new();
        for list in origin.lists.iter().filter(|_| self.care == Care::QueriesFirst) {
            early.push(list.load(Rng::with_seed(self.random.u64(..))).await.ok());
        }
        for (at, list) in origin.lists.iter().enumerate() {
            self.refresh_list(origin, list, early.get(at).cloned().flatten()).await;
        }
    }

    async fn refresh_list(&mut self, origin: &Origin, list: &List, early: Option<ListItems>) {
        let (version, seed) = (list.ledger().version(), self.random.u64(..));
        let least_age = Duration::from_secs(self.random.u64(..4) / 3);
        let load = || async {
            match &early {
                Some(items) => Ok(items.clone()),
                None => list.load(Rng::with_seed(seed)).await,
            }
        };
        let refreshed = self.cache.refresh_list(&list.timed, least_age, soon(), load).await;
        if matches!(refreshed, Ok(Refreshed::Stored { .. } | Refreshed::Unchanged { .. })) {
            origin.tally.note_refresh();
            list.tell(version);
        }
    }

    /// One of the lists.
    pub(crate) fn list<'o>(&mut self, origin: &'o Origin) -> &'o List {
        &origin.lists[self.random.usize(..origin.lists.len())]
    }
}
