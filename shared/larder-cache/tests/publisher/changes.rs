//! Nodes come and go, and the ring follows.

use larder_client::{NewItem, Ttl};
use larder_ring::Phase;

use crate::support::{client, key, publisher, reconcile, shown, start};

#[tokio::test]
async fn the_first_run_publishes_what_everyone_has_by_discovery_and_the_next_one_changes_nothing() {
    let local = start(3).await;
    let publisher = publisher(&local);
    let first = reconcile(&publisher).await;
    assert_eq!(first.published.len(), 1);
    assert_eq!(shown(first.document.as_ref().unwrap()), "123");
    let second = reconcile(&publisher).await;
    assert!(second.published.is_empty() && second.unfinished.is_none(), "{second:?}");
}

#[tokio::test]
async fn a_node_that_comes_is_warm_before_it_is_alone_with_its_keys() {
    let local = start(3).await;
    let (publisher, environment) = (publisher(&local), client(&local));
    reconcile(&publisher).await;
    let keys: Vec<_> = (0..200).map(|number| key(&format!("flights:{number}"))).collect();
    for key in &keys {
        let item = NewItem { key, value: b"a flight", client_flags: 1, ttl: Ttl::clamped(60) };
        environment.set(item).await.unwrap();
    }

    local.add_node().await.unwrap();
    let report = reconcile(&publisher).await;
    let phases: Vec<Phase> = report.published.iter().map(|published| published.phase).collect();
    assert_eq!(phases, [Phase::Joining, Phase::Warming, Phase::Leaving, Phase::Active]);
    assert_eq!(shown(report.document.as_ref().unwrap()), "1234");
    for key in &keys {
        environment.get(key).await.unwrap();
    }
    assert_eq!(shown(&environment.ring_document().await.unwrap().unwrap()), "1234");
}
