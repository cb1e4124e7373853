//! The first exchange of an environment: which nodes are there, and which ring do they make?

use larder_client::{Cluster, Config, Endpoint};
use larder_ring::{Phase, RingDocument, RingKind};

use crate::fleet::{Fleet, INTERVAL, NOW_MS, listed, reply};
use crate::support::endpoint::ConfigEndpoint;
use crate::support::relay::Relay;
use crate::support::{key, pass, text};

#[tokio::test]
async fn topology_and_ring_document_come_in_one_round_trip() {
    let (fleet, document) = Fleet::with(3, &[2, 0]).await;
    let relay = Relay::to(fleet.endpoint.address).await;
    let endpoint =
        Endpoint::Configuration { host: relay.address.ip().to_string(), port: relay.address.port() };
    let cluster = Cluster::new(Config { endpoint, ..fleet.config() }).unwrap();
    assert_eq!(cluster.ring_document().await.unwrap(), Some(document));
    assert_eq!(cluster.topology().await.unwrap().unwrap().nodes().len(), 3);
    assert_eq!(relay.writes(), ["config get cluster\r\nmg larder~ring c f v\r\n"]);
}

#[tokio::test]
async fn the_ring_is_that_of_the_document_whatever_the_topology_lists() {
    let (fleet, _) = Fleet::with(3, &[2, 0]).await;
    let cluster = Cluster::new(fleet.config()).unwrap();
    for owner in [0, 2] {
        let key = fleet.key(&[(&[2, 0], owner), (&[0, 1, 2], 1)]);
        fleet.put(owner, &key, "here", 1);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "here");
    }
    assert!(fleet.requests()[1].is_empty());
}

#[tokio::test]
async fn without_a_document_that_can_be_read_the_topology_is_the_ring() {
    let fleet = Fleet::start(2).await;
    let document = RingDocument::first(fleet.ids(&[0]), NOW_MS);
    let good = String::from_utf8(document.encode()).unwrap();
    let value = |json: &str| format!("VA {} c7 f{}\r\n{json}\r\n", json.len(), document.client_flags());
    for bad in [
        "EN\r\n",
        "ERROR\r\n",
        "CLIENT_ERROR unknown command\r\n",
        "SERVER_ERROR out of memory\r\n",
        &value(""),
        &value("{}"),
        &value(&good[..good.len() / 2]),
        &value(&good.replace("\"larder_ring\":1", "\"larder_ring\":2")),
        &value(&good.replace("\"active\"", "\"resting\"")),
        &value(&good.replace("\"nodes\":[0]", "\"nodes\":[7]")),
        &value(&good.replace("127.0.0.1", "127.0.0.1 x")),
    ] {
        fleet.endpoint.answer_document(bad);
        let cluster = Cluster::new(fleet.config()).unwrap();
        assert_eq!(cluster.ring_document().await.unwrap(), None, "{bad}");
        let key = fleet.key(&[(&[0, 1], 1)]);
        assert_eq!(*cluster.owner(&key).await.unwrap(), *fleet.relays[1].address.to_string(), "{bad}");
    }
    fleet.endpoint.answer_document(&value(&good));
    let cluster = Cluster::new(fleet.config()).unwrap();
    assert_eq!(
        cluster.ring_document().await.unwrap(),
        Some(document),
        "the others are bad for one thing each"
    );
}

#[tokio::test]
async fn a_document_whose_nodes_make_no_ring_of_this_kind_is_no_reason_to_fail() {
    let (fleet, mut document) = Fleet::with(2, &[1]).await;
    // twemproxy takes no node without weight.
    document.nodes[0].weight = 0;
    fleet.tell(&document);
    fleet.tell_node(1, &document);
    let ring = RingKind::TwemproxyKetamaFnv1a64Default;
    let cluster = Cluster::new(Config { ring, ..fleet.config() }).unwrap();
    assert_eq!(cluster.ring_document().await.unwrap(), None);
    for number in 0..20 {
        assert_eq!(text(cluster.get(&key(&format!("key-{number}"))).await), None);
    }
}

#[tokio::test]
async fn a_document_that_the_endpoint_has_lost_is_found_along_with_the_first_key() {
    let (fleet, steps) = Fleet::moving(3, &[0, 1], &[0, 1, 2], Phase::Joining).await;
    fleet.endpoint.answer_document("EN\r\n");
    let cluster = Cluster::new(fleet.config()).unwrap();
    assert_eq!(cluster.ring_document().await.unwrap(), None);
    let key = fleet.key(&[(&[0, 1, 2], 2), (&[0, 1], 1)]);
    fleet.put(2, &key, "old", 1);
    fleet.put(1, &key, "new", 1);
    assert_eq!(text(cluster.get(&key).await).unwrap(), "new");
    assert_eq!(cluster.ring_document().await.unwrap().as_ref(), Some(steps.of(Phase::Joining)));
}

#[tokio::test]
async fn an_endpoint_that_is_a_node_and_has_left_the_ring_does_not_set_the_ring_of_others() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let steps = fleet.steps(&first, &[0, 1]);
    fleet.tell_each(&steps);
    // A name that stands for any of the nodes may stand for the one that leaves: it was told of its leaving, and of
    // nothing since.
    let again = fleet.steps(steps.last(), &[0]);
    fleet.tell_each(&again);
    fleet.endpoint.answer_document(&reply(&steps.0[2]));
    let cluster = Cluster::new(fleet.config()).unwrap();
    let key = fleet.key(&[(&[0, 1, 2], 2), (&[0, 1], 1)]);
    fleet.put(1, &key, "old", 1);
    fleet.put(0, &key, "new", 1);
    assert_eq!(text(cluster.get(&key).await).unwrap(), "new");
}

#[tokio::test]
async fn a_fleet_that_has_never_seen_a_document_asks_for_none_but_in_passing() {
    let fleet = Fleet::start(2).await;
    let cluster = fleet.client().await;
    for round in 0..4 {
        pass(INTERVAL).await;
        for number in 0..10 {
            cluster.get(&key(&format!("key-{number}"))).await.unwrap();
        }
        let requests = fleet.requests().concat();
        let looks = requests.iter().filter(|request| *request == "mg larder~ring").count();
        assert_eq!((looks, requests.len()), (1, 11), "round {round}");
    }
}

#[tokio::test]
async fn a_list_that_names_one_node_is_a_cluster() {
    let (fleet, document) = Fleet::with(1, &[0]).await;
    let cluster = fleet.client().await;
    assert_eq!(cluster.ring_document().await.unwrap(), Some(document));
    pass(INTERVAL).await;
    cluster.get(&key("k")).await.unwrap();
    assert_eq!(fleet.requests()[0], ["mg k", "mg larder~ring"]);
}

#[tokio::test]
async fn an_endpoint_that_lists_itself_is_asked_like_any_node() {
    // The fake is no node: it answers what it knows of, and refuses the rest.
    let endpoint = ConfigEndpoint::listing("1\n127.0.0.1||1\n").await;
    endpoint.list(&format!("1\n{}\n", listed(endpoint.address)));
    let (host, port) = (endpoint.address.ip().to_string(), endpoint.address.port());
    let cluster = Cluster::new(Config::new(Endpoint::Configuration { host, port })).unwrap();
    cluster.get(&key("k")).await.unwrap_err();
    assert_eq!(cluster.ring_document().await.unwrap(), None);
}
