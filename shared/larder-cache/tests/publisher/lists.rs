//! Lists whose key moves to another owner: they are there all the time, and new when the change is over at the latest.

use std::convert::Infallible;
use std::time::Duration;

use larder_cache::{Cache, ListItems, OriginGuard, Outcome, RefreshError, Refreshed, TimedList};
use larder_client::Key;
use larder_local::LocalCluster;
use larder_ring::Phase;

use crate::support::*;

#[tokio::test]
async fn a_list_that_moves_is_always_there_and_is_new_after_the_change() {
    for phase in [Phase::Joining, Phase::Warming, Phase::Leaving] {
        let (local, document) = growing(2, phase).await;
        let house = House::new(&local, moving_key(&document, 1, 3));
        assert_eq!(house.refresh("1").await.unwrap(), Refreshed::Stored { count: 1 }, "{phase:?}");
        assert_eq!(house.read().await, "[1]", "{phase:?}");

        match house.refresh("2").await {
            Ok(Refreshed::Stored { .. }) => assert_eq!(house.read().await, "[2]", "{phase:?}"),
            Ok(Refreshed::Overtaken) | Err(RefreshError::NotStored) => {
                assert_eq!(house.read().await, "[1]", "{phase:?}");
            }
            other => panic!("{phase:?}: {other:?}"),
        }
        finish(&publisher(&local)).await;
        let after = house.refresh("3").await.unwrap();
        assert!(matches!(after, Refreshed::Stored { .. }), "{phase:?}: {after:?}");
        assert_eq!(house.read().await, "[3]", "{phase:?}");
    }
}

#[tokio::test]
async fn a_list_that_moves_is_there_when_its_rows_are_the_same() {
    for phase in [Phase::Joining, Phase::Warming, Phase::Leaving] {
        let (local, document) = growing(2, phase).await;
        let house = House::new(&local, moving_key(&document, 1, 3));
        house.refresh("1").await.unwrap();
        match house.refresh("1").await {
            Ok(Refreshed::Unchanged { .. } | Refreshed::Overtaken) | Err(RefreshError::NotStored) => {}
            other => panic!("{phase:?}: {other:?}"),
        }
        assert_eq!(house.read().await, "[1]", "{phase:?}");
    }
}

#[tokio::test]
async fn a_list_is_read_by_its_own_key_though_somebody_has_set_copies_of_it() {
    let (local, _) = settled(2).await;
    let house = House::new(&local, key("top-list:a"));
    let report = publisher(&local).copies(&house.list.key().clone(), Some(8), soon()).await.unwrap();
    assert_eq!(report.unfinished, None);
    house.refresh("1").await.unwrap();
    let cache = house.cache();
    look(cache.cluster()).await;
    for _ in 0..20 {
        assert_eq!(house.read_by(&cache).await, "[1]");
    }
}

/// Environments over one local cluster, each with a list to look after.
struct House<'a> {
    local: &'a LocalCluster,
    list: TimedList,
}

impl<'a> House<'a> {
    fn new(local: &'a LocalCluster, key: Key) -> Self {
        let list = TimedList::new(key, Duration::from_secs(60), Duration::from_secs(20)).unwrap();
        Self { local, list }
    }

    async fn refresh(&self, row: &str) -> Result<Refreshed, RefreshError<Infallible>> {
        let load = || async { Ok(ListItems::of([row])) };
        self.cache().refresh_list(&self.list, Duration::ZERO, soon(), load).await
    }

    /// What a reader gets, who finds a list.
    async fn read(&self) -> String {
        self.read_by(&self.cache()).await
    }

    async fn read_by(&self, cache: &Cache) -> String {
        let none = || async { Ok::<_, Infallible>(ListItems::of(["none"])) };
        let (answer, _) = cache.read_list(&self.list, soon(), none).await;
        let answer = answer.unwrap();
        assert_eq!(answer.outcome, Outcome::Hit);
        String::from_utf8(answer.items.to_vec()).unwrap()
    }

    fn cache(&self) -> Cache {
        Cache::new(client(self.local), OriginGuard::new(1))
    }
}
