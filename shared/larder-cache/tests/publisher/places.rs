//! Nodes that keep their place: replaced, rebooted, failed.

use larder_cache::Unfinished;
use larder_client::{NewItem, Ttl};
use larder_local::NodeId;
use larder_ring::Phase;

use crate::support::*;

#[tokio::test]
async fn a_replaced_node_is_told_of_its_address_and_the_fleet_follows_it() {
    let (local, document) = settled(3).await;
    let (environment, key) = (client(&local), moving_key(&document, 2, 2));
    let item = NewItem { key: &key, value: b"before", client_flags: 1, ttl: Ttl::clamped(60) };
    environment.set(item).await.unwrap();
    let publisher = publisher(&local);
    check(&finish(&publisher).await, &[], "123");

    local.kill_node(NodeId(2)).await.unwrap();
    let replaced = local.replace_node(NodeId(2)).await.unwrap();
    let report = finish(&publisher).await;
    check(&report, &[Phase::Active], "123");
    let now = report.document.unwrap();
    assert_eq!(now.nodes, ring_nodes(&local));
    assert_eq!(now.history, document.history, "no key has moved");
    all_hold(&now, &held(&local).await);
    until("the environment follows", || async {
        let stored = environment.set(NewItem { value: b"after", ..item }).await;
        stored.is_ok() && environment.ring_document().await.unwrap().as_ref() == Some(&now)
    })
    .await;
    let request = format!("mg {key} v\r\n");
    assert_eq!(ask(replaced.endpoint, request.as_bytes()).await, "VA 5");
}

#[tokio::test]
async fn a_rebooted_node_gets_its_document_again_though_it_was_found_dead_a_moment_ago() {
    let (local, document) = settled(3).await;
    let publisher = publisher(&local);
    local.kill_node(NodeId(1)).await.unwrap();
    for _ in 0..6 {
        let report = finish(&publisher).await;
        check(&report, &[], "123");
        assert_eq!(report.unreachable.len(), 1, "{report:?}");
    }
    local.reboot_node(NodeId(1)).await.unwrap();
    let report = finish(&publisher).await;
    check(&report, &[], "123");
    assert!(report.unreachable.is_empty(), "{report:?}");
    all_hold(&document, &held(&local).await);
}

#[tokio::test]
async fn growth_waits_for_a_node_that_failed_and_is_listed() {
    let (local, document) = settled(3).await;
    local.kill_node(NodeId(2)).await.unwrap();
    local.add_node().await.unwrap();
    let publisher = publisher(&local);
    let report = reconcile(&publisher).await;
    assert_eq!(report.unfinished, Some(Unfinished::Unreachable));
    // It may be published, for the first step harms nobody; the second one may not.
    assert!(phases(&report).len() <= 1, "{report:?}");
    assert_eq!(report.document.as_ref().map(|document| &document.nodes), Some(&document.nodes));
    assert_eq!(report.unreachable, [format!("{}:{}", local.nodes()[1].name, local.nodes()[1].port)]);

    local.reboot_node(NodeId(2)).await.unwrap();
    comes_to(&local, &publisher, Phase::Warming, "123>1234").await;
}
