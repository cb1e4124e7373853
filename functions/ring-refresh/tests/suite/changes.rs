//! Nodes come, go, are replaced and rebooted, and the notices that the cluster itself posts of it make the ring follow.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::postbox::Postbox;
use crate::support::wire::{get, held, numbers, set};
use crate::support::{House, handle_now, phases, reconcile};
use larder_client::{Cluster, Key, NewItem, Ttl};
use larder_lambda::settings::Variables;
use larder_local::{ConfigReply, NodeId, Options};
use larder_ring::{Phase, RingDocument};
use larder_ring_refresh::settings::Settings;
use larder_ring_refresh::{Failure, Work};
use serde_json::json;
use tokio::time::timeout;

#[tokio::test]
async fn a_node_that_comes_joins_in_four_steps() {
    let (house, postbox) = start(2).await;
    let app = house.app(&[]);
    let first = reconcile(&app).await;
    let environment = environment(&house);
    set_flights(&environment).await;

    house.cluster.add_node().await.unwrap();
    let handled = handle_now(&app, &postbox.next("AddCacheNodeComplete")).await;
    assert_eq!(handled.work, Work { node_notices: 1, published: 4, ..Work::default() });
    let answer = handled.answer.unwrap();
    assert_eq!(phases(&answer), STEPS);
    let epochs: Vec<_> = answer.published.iter().map(|published| published.epoch).collect();
    assert!(epochs[0] > first.published[0].epoch && epochs.is_sorted(), "{epochs:?}");

    let document = house.document();
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![1, 2, 3]));
    let ring = answer.ring.unwrap();
    assert_eq!((ring.epoch, ring.phase), (document.epoch.number(), Phase::Active));
    assert_eq!(ring.nodes, [house.name(1), house.name(2), house.name(3)]);
    follows(&environment, &document).await;
}

#[tokio::test]
async fn what_is_read_most_is_on_a_node_before_anybody_asks_it() {
    let (house, postbox) = start(2).await;
    let app = house.app(&[("LARDER_WARM_SECS", "1")]);
    reconcile(&app).await;
    set_flights(&environment(&house)).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let lines: String = (0..FLIGHTS).map(|id| format!("{} flights:{id}\n", id + 1)).collect();
    let record = format!("larder-hot 1 {now}\n{lines}");
    set(house.endpoints()[0], "larder~hot~3", 0, record.as_bytes());

    house.cluster.add_node().await.unwrap();
    let handled = handle_now(&app, &postbox.next("AddCacheNodeComplete")).await;
    let newcomer = house.endpoints()[2];
    let there = (0..FLIGHTS).filter(|id| get(newcomer, &format!("flights:{id}")).is_some()).count() as u64;
    assert!(there > FLIGHTS / 6, "{there} of {FLIGHTS} keys moved");
    assert_eq!((handled.work.copied_keys, handled.work.copied_bytes), (there, there * VALUE.len() as u64));
    assert_eq!(handled.answer.unwrap().copied_keys as u64, there);
}

#[tokio::test]
async fn a_node_that_went_leaves_the_ring_at_once() {
    let (house, postbox) = start(3).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    let environment = environment(&house);
    set_flights(&environment).await;

    house.cluster.remove_node(NodeId(2)).await.unwrap();
    let answer = handle_now(&app, &postbox.next("RemoveCacheNodeComplete")).await.answer.unwrap();
    assert_eq!((phases(&answer), answer.unfinished), (vec![Phase::Active], None));
    let document = house.document();
    assert_eq!(numbers(&document.nodes), [1, 3]);
    follows(&environment, &document).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_replaced_node_keeps_its_place_at_its_new_address() {
    let (house, postbox) = start(3).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    let environment = environment(&house);
    set_flights(&environment).await;
    let before = house.document();

    let replaced = house.cluster.replace_node(NodeId(2)).await.unwrap();
    let mut published = Vec::new();
    for name in ["CacheNodeReplaceStarted", "CacheNodeReplaceComplete"] {
        let answer = handle_now(&app, &postbox.next(name)).await.answer.unwrap();
        assert_eq!((answer.unfinished, &answer.unreachable), (None, &Vec::new()));
        published.extend(phases(&answer));
    }
    assert_eq!(published, [Phase::Active; 2], "its address, and then its reign begins anew");
    let document = house.document();
    assert_eq!(numbers(&document.nodes), numbers(&before.nodes));
    assert_eq!(document.nodes[1].ip.as_deref(), Some(replaced.ip.to_string().as_str()));
    follows(&environment, &document).await;
}

#[tokio::test]
async fn a_rebooted_node_is_given_the_document_again() {
    let (house, postbox) = start(2).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    let before = house.document();

    house.cluster.reboot_node(NodeId(1)).await.unwrap();
    assert_eq!(held(house.endpoints()[0]), None, "it came back empty");
    let handled = handle_now(&app, &postbox.next("CacheNodesRebooted")).await;
    assert_eq!(handled.work, Work { node_notices: 1, ..Work::default() });
    assert_eq!(house.document(), before);
}

#[tokio::test]
async fn notices_that_come_twice_late_or_out_of_order_change_nothing_more() {
    let (house, postbox) = start(2).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    house.cluster.add_node().await.unwrap();
    house.cluster.remove_node(NodeId(1)).await.unwrap();
    let added = postbox.next("AddCacheNodeComplete");
    let removed = postbox.next("RemoveCacheNodeComplete");

    let answer = handle_now(&app, &removed).await.answer.unwrap();
    assert_eq!(answer.unfinished, None);
    let document = house.document();
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![2, 3]));
    let another = house.app(&[]);
    for (app, late) in [(&app, &added), (&app, &removed), (&another, &added), (&another, &removed)] {
        let handled = handle_now(app, late).await;
        assert_eq!(handled.work, Work { node_notices: 1, ..Work::default() });
        assert_eq!(house.document(), document);
    }
}

#[tokio::test]
async fn a_change_waits_for_a_node_that_fails_and_goes_on_when_that_is_back() {
    let (house, postbox) = start(2).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    house.cluster.kill_node(NodeId(1)).await.unwrap();
    house.cluster.add_node().await.unwrap();

    let handled = handle_now(&app, &postbox.next("AddCacheNodeComplete")).await;
    let expected = Work { node_notices: 1, unreachable: 1, unfinished: 1, ..Work::default() };
    assert_eq!(handled.work, expected);
    let answer = handled.answer.unwrap();
    assert_eq!(answer.unfinished, Some("a node of the ring cannot be reached"));
    assert_eq!((answer.unreachable, answer.ring.unwrap().nodes.len()), (vec![house.name(1)], 2));

    house.cluster.reboot_node(NodeId(1)).await.unwrap();
    let answer = handle_now(&app, &postbox.next("CacheNodesRebooted")).await.answer.unwrap();
    assert_eq!((answer.unfinished, &answer.unreachable), (None, &Vec::new()));
    assert_eq!(phases(&answer), STEPS);
    assert_eq!(numbers(&house.document().nodes), [1, 2, 3]);
}

#[tokio::test]
async fn a_node_that_fails_keeps_its_place() {
    let (house, _) = start(3).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    house.cluster.kill_node(NodeId(3)).await.unwrap();
    let answer = reconcile(&app).await;
    assert!(answer.published.is_empty() && answer.unfinished.is_none(), "{answer:?}");
    assert_eq!(answer.unreachable, [house.name(3)]);
    assert_eq!(answer.ring.unwrap().nodes.len(), 3);
}

#[tokio::test]
async fn what_stands_in_the_place_of_a_document_and_is_none_is_replaced() {
    let (house, _) = start(3).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    let document = house.document();
    for (node, value) in house.endpoints().into_iter().zip(["no JSON", r#"{"larder_ring":1}"#]) {
        set(node, RingDocument::RING_KEY, 7, value.as_bytes());
    }
    let answer = reconcile(&app).await;
    assert!(answer.published.is_empty() && answer.unfinished.is_none(), "{answer:?}");
    assert_eq!(house.document(), document);
}

#[tokio::test]
async fn two_functions_at_once_end_with_one_ring() {
    let (house, postbox) = start(2).await;
    reconcile(&house.app(&[])).await;
    house.cluster.add_node().await.unwrap();
    let notice = postbox.next("AddCacheNodeComplete");
    let apps = [house.app(&[]), house.app(&[])];
    let (one, other) = tokio::join!(handle_now(&apps[0], &notice), handle_now(&apps[1], &notice));
    let published = one.work.published + other.work.published;
    assert!(one.answer.is_ok() && other.answer.is_ok() && published <= 4, "{one:?} {other:?}");

    let answer = reconcile(&apps[0]).await;
    assert_eq!(answer.unfinished, None);
    let document = house.document();
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![1, 2, 3]));
    assert_eq!(answer.published.len() as u64 + published, 4, "no step is taken twice");
}

#[tokio::test]
async fn without_a_good_list_of_nodes_the_ring_stays() {
    let (house, _) = start(2).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    let document = house.document();
    let garbage = ConfigReply::Raw(b"CONFIG cluster 0 3\r\n9\nx\r\nEND\r\n".to_vec());
    for (reply, expected) in [
        (ConfigReply::no_nodes(9), "the nodes are not known"),
        (garbage, "the nodes are not known"),
        // As a plain memcached or Serverless answers; but it holds the ring document.
        (ConfigReply::NotSupported, "the nodes are not known"),
    ] {
        house.cluster.answer_config(reply.clone()).await.unwrap();
        for (app, expected) in [(&app, "the nodes are not known"), (&house.app(&[]), expected)] {
            let handled = handle_now(app, &json!({ "reconcile": true })).await;
            let Err(failure @ Failure::Publish(_)) = &handled.answer else { panic!("{handled:?}") };
            let shown = larder_lambda::logs::chain(failure);
            assert!(shown.contains(expected), "{reply:?}: {shown}");
            assert_eq!(handled.work, Work { failures: 1, ..Work::default() });
        }
    }
    assert_eq!(house.document(), document);
    house.cluster.answer_config(ConfigReply::Topology).await.unwrap();
    assert!(reconcile(&app).await.published.is_empty());
}

/// A cluster of `nodes` nodes that posts its notices.
async fn start(nodes: usize) -> (House, Postbox) {
    let postbox = Postbox::open();
    let house = House::of(Options { nodes, notify: Some(postbox.url()), ..Options::default() }).await;
    (house, postbox)
}

/// A client of the cluster that looks at the ring as often as the function thinks it does.
fn environment(house: &House) -> Cluster {
    Settings::read(&Variables::from_iter(house.variables(&[]))).unwrap().cluster
}

/// Stores [`FLIGHTS`] flights.
async fn set_flights(environment: &Cluster) {
    for id in 0..FLIGHTS {
        let key = Key::new(format!("flights:{id}").as_bytes()).unwrap();
        let item = NewItem { key: &key, value: VALUE, client_flags: 1, ttl: Ttl::clamped(60) };
        environment.set(item).await.unwrap();
    }
}

/// Reads on until `environment` goes by `document`.
async fn follows(environment: &Cluster, document: &RingDocument) {
    let key = Key::new(b"flights:1").unwrap();
    let followed = timeout(Duration::from_secs(10), async {
        while environment.ring_document().await.unwrap().as_ref() != Some(document) {
            // A node that has gone may fail it.
            _ = environment.get(&key).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    followed.await.expect("the environment follows");
}

const STEPS: [Phase; 4] = [Phase::Joining, Phase::Warming, Phase::Leaving, Phase::Active];
const FLIGHTS: u64 = 200;
const VALUE: &[u8] = b"a flight";
