//! One node by its name: for whoever publishes the ring document.

use larder_client::Stored;
use larder_ring::{MalformedDocument, RingDocument};

use crate::fleet::{Fleet, NOW_MS};
use crate::support::key;

#[tokio::test]
async fn a_document_is_stored_where_there_is_none_and_then_over_the_version_that_was_read() {
    let fleet = Fleet::start(2).await;
    let cluster = fleet.client().await;
    let node = cluster.direct(&fleet.id(0));
    assert!(node.document().await.unwrap().is_none());
    let first = RingDocument::first(fleet.ids(&[0, 1]), NOW_MS);
    assert_eq!(node.store_document(&first, None).await.unwrap(), Stored::Yes);
    assert_eq!(node.store_document(&first, None).await.unwrap(), Stored::Refused, "there is one");

    let held = node.document().await.unwrap().unwrap();
    assert_eq!(held.document, Ok(first.clone()));
    let second = fleet.steps(&first, &[0]).0.remove(0);
    assert_eq!(node.store_document(&second, Some(&held.version)).await.unwrap(), Stored::Yes);
    assert_eq!(
        node.store_document(&first, Some(&held.version)).await.unwrap(),
        Stored::Refused,
        "it is another one"
    );
    assert_eq!(node.document().await.unwrap().unwrap().document, Ok(second.clone()));
    let flags = format!("HD f{}\r\n", second.client_flags());
    assert_eq!(fleet.nodes[0].ask("mg larder~ring f"), flags);

    fleet.rob_node(0);
    assert_eq!(node.store_document(&second, Some(&held.version)).await.unwrap(), Stored::Missing);
}

#[tokio::test]
async fn what_is_no_document_can_be_replaced() {
    let fleet = Fleet::start(1).await;
    let cluster = fleet.client().await;
    let node = cluster.direct(&fleet.id(0));
    fleet.tell_node_bytes(0, 0, "{\"larder_ring\":7}");
    let held = node.document().await.unwrap().unwrap();
    assert_eq!(held.document, Err(MalformedDocument::Format(7)));
    let first = RingDocument::first(fleet.ids(&[0]), NOW_MS);
    assert_eq!(node.store_document(&first, Some(&held.version)).await.unwrap(), Stored::Yes);
}

#[tokio::test]
async fn a_node_that_is_not_listed_is_reached_as_well_and_one_that_is_gone_is_an_error() {
    let (mut fleet, _) = Fleet::with(2, &[0]).await;
    let other = Fleet::start(1).await;
    let cluster = fleet.client().await;
    let node = cluster.direct(&other.id(0));
    node.ping().await.unwrap();
    assert_eq!(node.name(), other.relays[0].address.to_string());
    cluster.direct(&fleet.id(1)).ping().await.unwrap();
    fleet.nodes[1].kill();
    cluster.direct(&fleet.id(1)).ping().await.unwrap_err();
}

#[tokio::test]
async fn a_node_of_the_fleet_is_asked_on_the_connection_that_all_share() {
    let (fleet, _) = Fleet::with(1, &[0]).await;
    let cluster = fleet.client().await;
    let connections = || {
        let stats = fleet.nodes[0].ask("stats");
        let line = stats.lines().find_map(|line| line.strip_prefix("STAT total_connections ")).unwrap();
        line.parse::<u32>().unwrap()
    };
    let before = connections();
    let node = cluster.direct(&fleet.id(0));
    node.ping().await.unwrap();
    cluster.get(&key("k")).await.unwrap();
    assert_eq!(connections() - before, 1, "that of who asks for this number");
}
