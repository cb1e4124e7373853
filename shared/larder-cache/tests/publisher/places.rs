//! Nodes that keep their place: replaced, rebooted, failed.

use larder_cache::Unfinished;
use larder_client::{Claim, Cluster, Config, Key, NewItem, ReadOptions, Stored, Ttl};
use larder_local::{ConfigReply, NodeId, NodeStatus};
use larder_ring::{Phase, RingDocument};

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
    check(&report, &[Phase::Active, Phase::Active], "123");
    let now = report.document.unwrap();
    assert_eq!(now.nodes, ring_nodes(&local));
    let [before, reign] = &now.history[..] else { panic!("{:?}", now.history) };
    assert_eq!((&before.nodes, &reign.nodes), (&document.nodes, &now.nodes), "its reign begins anew");
    all_hold(&now, &held(&local).await);
    until("the environment follows", || async {
        let stored = environment.set(NewItem { value: b"after", ..item }).await;
        stored.is_ok() && environment.ring_document().await.unwrap().as_ref() == Some(&now)
    })
    .await;
    let request = format!("mg {key} v\r\n");
    assert_eq!(ask(replaced.endpoint, request.as_bytes()).await, "VA 5");
}

/// Without an end to what its predecessor confirms, the writer would stay there until its next discovery.
#[tokio::test]
async fn what_a_predecessor_was_told_does_not_leave_an_old_value_at_its_successor() {
    check_predecessor(|_, ip| ip).await;
}

/// As a cluster with TLS may list them.
#[tokio::test]
async fn the_same_goes_for_nodes_that_are_listed_without_an_address() {
    check_predecessor(|_, _| String::new()).await;
}

#[tokio::test]
async fn the_same_goes_for_nodes_that_are_listed_with_their_names_for_addresses() {
    check_predecessor(|name, _| name).await;
}

/// `listed` says what is listed for the address of a node with a name and an address.
async fn check_predecessor(listed: impl Fn(String, String) -> String) {
    let (local, document) = settled(3).await;
    let list = async || {
        let nodes = local.nodes();
        let node = |node: &NodeStatus| {
            format!("{}|{}|{}", node.name, listed(node.name.clone(), node.ip.to_string()), node.port)
        };
        let nodes: Vec<String> = nodes.iter().map(node).collect();
        let payload = format!("1\n{}\n", nodes.join(" "));
        local.answer_config(ConfigReply::Payload(payload.into())).await.unwrap();
    };
    list().await;
    let key = moving_key(&document, 2, 2);
    let (writer, reader) = (client(&local), client(&local));
    store(&writer, &key, "v1").await;
    // The successor takes its place and its name; the predecessor lives on, and so does the writer's connection.
    let successor = local.replace_node_beside(NodeId(2)).await.unwrap();
    list().await;
    store(&reader, &key, "v1").await;
    let read = writer.read(&key, LEASE).await.unwrap();
    let told = writer.put_in_place(item(&key, "v2"), read.in_place().unwrap()).await.unwrap();
    assert_eq!(told, Stored::Yes, "by the predecessor, or this tests nothing");
    assert_eq!(ask(successor.endpoint, format!("mg {key} v\r\n").as_bytes()).await, "VA 2");

    let report = finish(&publisher(&local)).await;
    check(&report, &[Phase::Active, Phase::Active], "123");
    let now = report.document.unwrap();
    for environment in [&writer, &reader] {
        until("the environment follows by this one node", || async {
            let read = environment.read(&key, ReadOptions::default()).await;
            read.is_ok() && environment.ring_document().await.unwrap().as_ref() == Some(&now)
        })
        .await;
        let read = environment.read(&key, ReadOptions::default()).await.unwrap();
        assert_eq!(read.item, None, "of the two values none is known to be the last");
    }
    store(&writer, &key, "v2").await;
    assert_eq!(reader.read(&key, LEASE).await.unwrap().item.unwrap().value, "v2");
}

/// It does for as long as name servers keep what they have heard.
#[tokio::test]
async fn a_name_that_leads_to_the_predecessor_yet_is_not_followed() {
    let (local, document) = settled(3).await;
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(config(&local).hosts_file.unwrap(), hosts.path()).unwrap();
    let by_old_names = || Config { hosts_file: Some(hosts.path().to_owned()), ..config(&local) };
    let (warm, key) = (Cluster::new(by_old_names()).unwrap(), moving_key(&document, 2, 2));
    store(&warm, &key, "v1").await;
    let successor = local.replace_node_beside(NodeId(2)).await.unwrap();
    let now = finish(&publisher(&local)).await.document.unwrap();
    let cold = Cluster::new(by_old_names()).unwrap();
    for (environment, value) in [(&warm, "v2"), (&cold, "v3")] {
        until("the environment follows", || async {
            let read = environment.read(&key, ReadOptions::default()).await;
            read.is_ok() && environment.ring_document().await.unwrap().as_ref() == Some(&now)
        })
        .await;
        assert!(environment.delete(&key).await.is_ok());
        store(environment, &key, value).await;
        assert_eq!(ask(successor.endpoint, format!("mg {key} v\r\n").as_bytes()).await, "VA 2", "{value}");
        let held = client(&local).read(&key, ReadOptions::default()).await.unwrap();
        assert_eq!(held.item.unwrap().value, value);
    }
}

/// It was frozen for all the time that the fleet took to follow; the predecessor has heard of the address, and of
/// nothing since.
#[tokio::test]
async fn what_a_predecessor_says_of_the_ring_is_no_confirmation() {
    let (local, document) = settled(3).await;
    let (frozen, key) = (client(&local), moving_key(&document, 2, 2));
    store(&frozen, &key, "v1").await;
    local.replace_node_beside(NodeId(2)).await.unwrap();
    let now = finish(&publisher(&local)).await.document.unwrap();
    store(&client(&local), &key, "v2").await;
    let read = frozen.read(&key, ReadOptions::default()).await.unwrap();
    assert_eq!((&*read.item.unwrap().value, frozen.epoch()), (&b"v2"[..], Some(now.epoch)));
}

/// The writer has learnt of the address while its write was under way.
#[tokio::test]
async fn a_write_that_a_predecessor_has_taken_is_none() {
    let (local, document) = settled(3).await;
    let (writer, key) = (client(&local), moving_key(&document, 2, 2));
    store(&writer, &key, "v1").await;
    let read = writer.read(&key, LEASE).await.unwrap();
    local.replace_node_beside(NodeId(2)).await.unwrap();
    let now = finish(&publisher(&local)).await.document.unwrap();
    // The look that comes with the write is the first after the change, and is answered by the predecessor.
    let written = writer.put_in_place(item(&key, "v2"), read.in_place().unwrap()).await.unwrap();
    assert_eq!((written, writer.epoch()), (Stored::Refused, Some(now.epoch)));
    store(&client(&local), &key, "v1").await;
    writer.delete(&key).await.unwrap();
    let read = client(&local).read(&key, ReadOptions::default()).await.unwrap();
    assert_eq!(read.item, None);
}

/// It knows of no document, and the first one says that a node that it is connected to was replaced.
#[tokio::test]
async fn an_environment_without_a_document_follows_the_address_in_the_first_one() {
    let local = start(3).await;
    let (environment, all) = (client(&local), ring_nodes(&local));
    let document = RingDocument::first(all, now_ms());
    let [key, elsewhere] = [2, 1].map(|number| moving_key(&document, number, number));
    store(&environment, &key, "v1").await;
    let successor = local.replace_node_beside(NodeId(2)).await.unwrap();
    let founded = finish(&publisher(&local)).await.document.unwrap();
    until("the environment follows", || async {
        // The predecessor holds no document: another node tells of it.
        let read = environment.read(&elsewhere, ReadOptions::default()).await;
        read.is_ok() && environment.ring_document().await.unwrap().as_ref() == Some(&founded)
    })
    .await;
    store(&environment, &key, "v2").await;
    assert_eq!(ask(successor.endpoint, format!("mg {key} v\r\n").as_bytes()).await, "VA 2");
}

#[tokio::test]
async fn a_reign_begins_anew_only_when_all_have_had_to_follow_the_address() {
    let (local, _) = settled(2).await;
    local.replace_node_beside(NodeId(1)).await.unwrap();
    let report = finish(&publisher(&local)).await;
    let [address, reign] = &report.published[..] else { panic!("{report:?}") };
    let waited = reign.at - address.at;
    assert!(waited >= client(&local).settle_time(), "{waited:?}");
}

/// Stores `value` as a cache does that has missed it.
async fn store(environment: &Cluster, key: &Key, value: &str) {
    let read = environment.read(key, LEASE).await.unwrap();
    let Claim::Won(lease) = &read.claim else { panic!("{read:?}") };
    assert_eq!(environment.fill(item(key, value), lease).await.unwrap(), Stored::Yes);
}

fn item<'a>(key: &'a Key, value: &'a str) -> NewItem<'a> {
    NewItem { key, value: value.as_bytes(), client_flags: 1, ttl: Ttl::clamped(60) }
}

const LEASE: ReadOptions =
    ReadOptions { lease_for: Some(Ttl::clamped(10)), recache_below_secs: None, usage: false };

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
