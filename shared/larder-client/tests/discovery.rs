//! How a cluster learns its nodes, keeps what it has learnt, and follows what changes.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::{join, join_all};
use larder_client::{Cluster, Config, DiscoveryError, Endpoint, Error, NodeError};
use larder_ring::{RingDocument, RingNode};
use support::endpoint::{Answer, ConfigEndpoint, framed};
use support::memcached::Memcached;
use support::{Hosts, PATIENCE, fault, item, key, pass, text};
use tokio::time::{Instant, timeout};

// Taking a list.

#[tokio::test]
async fn the_list_is_asked_for_at_the_first_use_and_again_when_the_interval_is_over() {
    let endpoint = ConfigEndpoint::listing(LIST).await;
    let cluster = cluster(&endpoint);
    assert_eq!(endpoint.asked(), 0);
    for _ in 0..3 {
        check_list(&cluster, LIST).await;
    }
    assert_eq!(endpoint.asked(), 1);
    pass(Duration::from_secs(50)).await;
    check_list(&cluster, LIST).await;
    assert_eq!(endpoint.asked(), 1);
    pass(Duration::from_secs(10)).await;
    check_list(&cluster, LIST).await;
    assert_eq!(endpoint.asked(), 2);
}

#[tokio::test]
async fn every_spelling_of_a_list_gives_its_nodes() {
    for (payload, expected) in [
        (
            "12\na.0001.cache|10.0.0.1|11211 a.0002.cache|10.0.0.2|11212\n",
            &["a.0001.cache:11211", "a.0002.cache:11212"][..],
        ),
        (
            "12\r\na.0001.cache|10.0.0.1|11211 a.0002.cache|10.0.0.2|11211\r\n",
            &["a.0001.cache:11211", "a.0002.cache:11211"],
        ),
        ("12 \n a|10.0.0.1|1  b|10.0.0.2|2 \n", &["a:1", "b:2"]),
        ("12\na|10.0.0.1|1", &["a:1"]),
        ("1\na||1 b||2\n", &["a:1", "b:2"]),
        ("1\na|a|1\n", &["a:1"]),
        ("1\n0001.a.cache||11211 0002.a.cache||11211\n", &["0001.a.cache:11211", "0002.a.cache:11211"]),
        ("1\n12|10.0.0.1|1\n", &["12:1"]),
        ("1\na|2600:1f18::5|1\n", &["a:1"]),
        ("1\n10.0.0.1|10.0.0.1|1 fd00::1|fd00::1|2\n", &["10.0.0.1:1", "[fd00::1]:2"]),
        ("1\nEND||1\n", &["END:1"]),
        ("0\na||1\n", &["a:1"]),
        ("18446744073709551615\na||1\n", &["a:1"]),
    ] {
        for answer in [Answer::Bytes(framed(payload)), Answer::Drip(framed(payload))] {
            let endpoint = ConfigEndpoint::start(answer).await;
            let topology = cluster(&endpoint).topology().await.unwrap().unwrap();
            let nodes: Vec<String> = topology.nodes().iter().map(ToString::to_string).collect();
            assert_eq!(nodes, expected, "{payload:?}");
        }
    }
}

#[tokio::test]
async fn any_other_list_is_taken_whatever_its_version() {
    for (before, after) in [
        ("12\na|10.0.0.1|1\n", "13\na|10.0.0.1|1 b|10.0.0.2|1\n"),
        // A node replaced in place keeps the version.
        ("12\na|10.0.0.1|1\n", "12\na|10.0.0.9|1\n"),
        ("12\na||1\n", "12\na||1 b||1\n"),
        // A cluster created again starts anew.
        ("12\na||1\n", "1\nb||1\n"),
        ("12\na||1 b||1 c||1\n", "13\nb||1\n"),
        ("13\nb||1\n", "14\na||1 b||1 c||1\n"),
        ("18446744073709551615\na||1\n", "0\nb||1\n"),
    ] {
        let endpoint = ConfigEndpoint::listing(before).await;
        let cluster = cluster(&endpoint);
        check_list(&cluster, before).await;
        endpoint.list(after);
        check_list(&cluster, before).await;
        pass(INTERVAL).await;
        check_list(&cluster, after).await;
    }
}

#[tokio::test]
async fn a_bad_answer_never_replaces_a_good_list() {
    let oversized = format!("13\n{}\n", "a||1 ".repeat(14_000));
    let declared = |len: usize| format!("CONFIG cluster 0 {len}\r\n{LIST}\r\nEND\r\n");
    for bad in [
        Answer::listing(""),
        Answer::listing("13\n\n"),
        Answer::listing("13"),
        Answer::listing("\n127.0.0.1||1\n"),
        Answer::listing("thirteen\n127.0.0.1||1\n"),
        Answer::listing("99999999999999999999\n127.0.0.1||1\n"),
        Answer::listing("127.0.0.1||1\n"),
        Answer::listing("13\n127.0.0.1|1\n"),
        Answer::listing("13\n127.0.0.1||0\n"),
        Answer::listing("13\n127.0.0.1||65536\n"),
        Answer::listing("13\n||1\n"),
        Answer::listing("13\n127.0.0.1||1 b\n"),
        Answer::listing("13\n127.0.0.1||1 127.0.0.1||1\n"),
        Answer::listing(&oversized),
        Answer::bytes(&declared(LIST.len() - 1)),
        Answer::bytes(&declared(LIST.len() + 1)),
        Answer::bytes(&declared(80)),
        Answer::bytes("CONFIG cluster 0 18446744073709551615\r\n"),
        Answer::bytes("VERSION 1.6.22\r\n"),
        Answer::bytes("END\r\n"),
        Answer::bytes("ERROR\r\n"),
        Answer::bytes("SERVER_ERROR out of memory\r\n"),
        Answer::bytes("CLIENT_ERROR no\r\n"),
        Answer::Hangup,
    ] {
        let endpoint = ConfigEndpoint::listing(LIST).await;
        let cluster = cluster(&endpoint);
        check_list(&cluster, LIST).await;
        endpoint.answer(bad.clone());
        pass(INTERVAL).await;
        check_list(&cluster.until(Instant::now() + 4 * A_MOMENT), LIST).await;
        assert_eq!(endpoint.asked(), 2, "{bad:.60?}");

        endpoint.list(OTHER_LIST);
        pass(INTERVAL).await;
        check_list(&cluster, OTHER_LIST).await;
    }
}

#[tokio::test]
async fn a_first_answer_that_is_bad_is_an_error_that_names_the_endpoint_and_heals() {
    for bad in [Answer::listing("13\n\n"), Answer::bytes("SERVER_ERROR out of memory\r\n"), Answer::Hangup] {
        let endpoint = ConfigEndpoint::start(bad).await;
        let cluster = cluster(&endpoint);
        match cluster.get(&key("k")).await {
            Err(Error::Discovery { endpoint: named, .. }) => {
                assert_eq!(*named, *endpoint.address.to_string())
            }
            other => panic!("{other:?}"),
        }
        endpoint.list(LIST);
        // One that hangs up is left alone for a moment.
        pass(Duration::from_secs(1)).await;
        check_list(&cluster, LIST).await;
    }
}

#[tokio::test]
async fn a_silent_endpoint_is_an_error_at_the_deadline() {
    let endpoint = ConfigEndpoint::start(Answer::Silence).await;
    let hurried = cluster(&endpoint).until(Instant::now() + A_MOMENT);
    let waited = timeout(PATIENCE / 2, hurried.get(&key("k"))).await.expect("an error at the deadline");
    assert!(matches!(waited, Err(Error::Discovery { .. })), "{waited:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_silent_from_the_start_costs_one_call_its_time() {
    let endpoint = ConfigEndpoint::start(Answer::Silence).await;
    let hurried = Config { timeout: Duration::from_millis(300), mark_down: A_PAUSE, ..config(&endpoint) };
    let cluster = Cluster::new(hurried).unwrap();
    assert!(matches!(refused(cluster.get(&key("k")).await), NodeError::Deadline));
    for _ in 0..20 {
        assert!(matches!(refused(cluster.get(&key("k")).await), NodeError::Down { .. }));
    }
    assert_eq!(endpoint.asked(), 1);

    // When the pause is over one of many asks, and the others are told at once.
    pass(A_PAUSE).await;
    let together = join_all((0..20).map(|_| async { refused(cluster.get(&key("k")).await) })).await;
    let down = together.iter().filter(|error| matches!(error, NodeError::Down { .. }));
    assert_eq!((down.count(), endpoint.asked()), (19, 2));

    endpoint.list(LIST);
    pass(2 * A_PAUSE).await;
    check_list(&cluster, LIST).await;
}

#[tokio::test]
async fn callers_who_wait_for_a_silent_endpoint_are_told_when_it_is_given_up() {
    let endpoint = ConfigEndpoint::start(Answer::Silence).await;
    let hurried = Config { timeout: Duration::from_millis(400), mark_down: A_PAUSE, ..config(&endpoint) };
    let cluster = Cluster::new(hurried).unwrap();
    let (first, second) = (key("a"), key("b"));
    let later = async {
        while endpoint.asked() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        refused(cluster.get(&second).await)
    };
    let (first, later) = join(cluster.get(&first), later).await;
    assert!(matches!(refused(first), NodeError::Deadline));
    assert!(matches!(later, NodeError::Down { .. }), "{later:?}");
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_give_the_endpoint_up() {
    let endpoint = ConfigEndpoint::start(Answer::Silence).await;
    let cluster = cluster(&endpoint);
    let hurried = cluster.until(Instant::now() + Duration::from_millis(20));
    assert!(matches!(refused(hurried.get(&key("k")).await), NodeError::Deadline));
    endpoint.list(LIST);
    check_list(&cluster, LIST).await;
}

#[tokio::test]
async fn many_first_callers_ask_once() {
    let endpoint = ConfigEndpoint::listing(LIST).await;
    let cluster = cluster(&endpoint);
    join_all([(); 16].map(|()| check_list(&cluster, LIST))).await;
    assert_eq!(endpoint.asked(), 1);
}

// Endpoints that know of no cluster.

#[tokio::test]
async fn a_plain_memcached_is_its_own_only_node() {
    for node in Memcached::each() {
        let (host, port) = (node.address.ip().to_string(), node.address.port());
        let config = Config::new(Endpoint::Configuration { host, port });
        let cluster = Cluster::new(Config { timeout: PATIENCE, ..config }).unwrap();
        unconfirmed(cluster.get(&key("k")).await);
        for _ in 0..2 {
            cluster.set(item(&key("k"), "v")).await.unwrap();
            assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
            assert_eq!(*cluster.owner(&key("k")).await.unwrap(), *node.address.to_string());
            pass(INTERVAL).await;
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_learns_of_a_cluster_is_followed() {
    for unknown in REFUSALS {
        let endpoint = ConfigEndpoint::start(Answer::bytes(unknown)).await;
        let cluster = cluster(&endpoint);
        unconfirmed(cluster.topology().await);
        let topology = cluster.topology().await.unwrap().unwrap();
        assert_eq!(topology.nodes().len(), 1, "{unknown}");
        assert_eq!(topology.nodes()[0].to_string(), endpoint.address.to_string());
        endpoint.list(LIST);
        pass(INTERVAL).await;
        check_list(&cluster, LIST).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_once_is_not_written_to() {
    for unknown in REFUSALS {
        let endpoint = ConfigEndpoint::start(Answer::bytes(unknown)).await;
        let cluster = cluster(&endpoint);
        unconfirmed(cluster.set(item(&key("k"), "v")).await);
        endpoint.list(LIST);
        check_list(&cluster, LIST).await;
    }
}

#[tokio::test]
async fn calls_at_once_are_one_use_of_an_endpoint_that_refuses_once() {
    for unknown in REFUSALS {
        let endpoint = ConfigEndpoint::start(Answer::bytes(unknown)).await;
        let cluster = cluster(&endpoint);
        let (one, other) = (key("one"), key("other"));
        let writes = [&one, &other].map(|key| cluster.set(item(key, "v")));
        join_all(writes).await.into_iter().for_each(unconfirmed);
        endpoint.list(LIST);
        check_list(&cluster, LIST).await;
    }
}

#[tokio::test]
async fn an_endpoint_with_a_ring_document_is_never_a_node_of_its_own() {
    let ids = [RingNode::new("127.0.0.1", 1)];
    let document = RingDocument::first(ids.to_vec(), 1_764_096_001_000).encode();
    let held = format!("VA {} f0 c1\r\n{}\r\n", document.len(), String::from_utf8(document).unwrap());
    for unknown in ["ERROR\r\n", "END\r\n"] {
        let endpoint = ConfigEndpoint::start(Answer::bytes(unknown)).await;
        endpoint.answer_document(&held);
        let cluster = cluster(&endpoint);
        for _ in 0..3 {
            match cluster.get(&key("k")).await {
                Err(Error::Discovery { source: DiscoveryError::NoTopology, .. }) => {}
                other => panic!("{unknown}: {other:?}"),
            }
        }
        endpoint.list(LIST);
        check_list(&cluster, LIST).await;
    }
}

#[tokio::test]
async fn a_failed_server_is_not_taken_for_one_that_knows_no_cluster() {
    for failed in ["SERVER_ERROR out of memory\r\n", "ERROR Too many open connections\r\n"] {
        let endpoint = ConfigEndpoint::start(Answer::bytes(failed)).await;
        let cluster = cluster(&endpoint);
        for _ in 0..3 {
            match cluster.get(&key("k")).await {
                Err(Error::Discovery { source: DiscoveryError::Exchange(NodeError::Refused(_)), .. }) => {}
                other => panic!("{failed}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_endpoint_is_no_node_unless_it_lists_itself() {
    let node = Memcached::start();
    let endpoint = ConfigEndpoint::listing(&listing(1, &[&node])).await;
    let cluster = cluster(&endpoint);
    for number in 0..100 {
        let key = key(&format!("key-{number}"));
        cluster.set(item(&key, "v")).await.unwrap();
        assert_eq!(text(cluster.get(&key).await).unwrap(), "v");
    }
    assert_eq!(endpoint.asked(), 1, "nothing but the list was asked there");
}

// Asking early, and asking others.

#[tokio::test]
async fn a_failed_node_makes_the_next_use_ask_for_its_replacement() {
    let mut nodes = [(); 2].map(|()| Memcached::start());
    let endpoint = ConfigEndpoint::listing(&listing(1, &[&nodes[0]])).await;
    let cluster = cluster(&endpoint);
    cluster.set(item(&key("k"), "v")).await.unwrap();
    nodes[0].kill();
    endpoint.list(&listing(2, &[&nodes[1]]));
    fault(cluster.get(&key("k")).await);
    assert_eq!(endpoint.asked(), 1);
    pass(Duration::from_secs(1)).await;
    cluster.set(item(&key("k"), "v")).await.unwrap();
    assert_eq!(endpoint.asked(), 2);
    assert_eq!(*cluster.owner(&key("k")).await.unwrap(), *nodes[1].address.to_string());
}

#[tokio::test]
async fn a_node_that_stays_dead_makes_discovery_early_but_ever_rarer() {
    let endpoint = ConfigEndpoint::listing(LIST).await;
    let cluster = cluster(&endpoint);
    for _ in 0..60 {
        fault(cluster.get(&key("k")).await);
        pass(Duration::from_secs(1)).await;
    }
    // At 0, and about 1, 3, 7, 15, 31 and perhaps 60 seconds later.
    assert!((6..=8).contains(&endpoint.asked()), "{} times in a minute", endpoint.asked());
}

#[tokio::test]
async fn a_known_node_is_asked_where_the_endpoint_does_not_answer() {
    for dead in [Answer::Hangup, Answer::Silence, Answer::bytes("ERROR\r\n"), Answer::listing("3\n\n")] {
        let node = ConfigEndpoint::listing(OTHER_LIST).await;
        let list = format!("2\n127.0.0.1||{}\n", node.address.port());
        let endpoint = ConfigEndpoint::listing(&list).await;
        let cluster = cluster(&endpoint);
        check_list(&cluster, &list).await;
        endpoint.answer(dead);
        pass(INTERVAL).await;
        check_list(&cluster.until(Instant::now() + 4 * A_MOMENT), OTHER_LIST).await;
    }
}

#[tokio::test]
async fn a_silent_endpoint_holds_up_one_caller_for_half_of_its_time_and_the_others_not_at_all() {
    let node = Memcached::start();
    let endpoint = ConfigEndpoint::listing(&listing(1, &[&node])).await;
    let cluster = cluster(&endpoint);
    cluster.set(item(&key("k"), "v")).await.unwrap();
    endpoint.answer(Answer::Silence);
    pass(INTERVAL).await;
    let began = Instant::now();
    let held = tokio::spawn({
        let cluster = cluster.until(began + 4 * A_MOMENT);
        async move { text(cluster.get(&key("k")).await) }
    });
    while endpoint.asked() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
    assert!(!held.is_finished());
    assert_eq!(held.await.unwrap().unwrap(), "v");
    assert!(began.elapsed() < 4 * A_MOMENT);
}

#[tokio::test]
async fn a_caller_who_leaves_while_the_endpoint_is_silent_does_not_make_the_next_one_wait() {
    let node = Memcached::start();
    let endpoint = ConfigEndpoint::listing(&listing(1, &[&node])).await;
    let cluster = cluster(&endpoint);
    cluster.set(item(&key("k"), "v")).await.unwrap();
    endpoint.answer(Answer::Silence);
    pass(INTERVAL).await;
    timeout(A_MOMENT, cluster.get(&key("k"))).await.unwrap_err();
    let next = timeout(PATIENCE / 4, cluster.get(&key("k"))).await;
    assert_eq!(text(next.expect("the list at hand should do")).unwrap(), "v");
}

// Names and addresses.

#[tokio::test]
async fn a_name_is_resolved_anew_for_every_connection() {
    let mut node = Memcached::start();
    let successor = node.replacing();
    let hosts = Hosts::new([("a.test", node.address.ip())]);
    let list = format!("1\na.test||{}\n", node.address.port());
    let endpoint = ConfigEndpoint::listing(&list).await;
    let cluster = cluster_with(&endpoint, &hosts);
    cluster.set(item(&key("k"), "old")).await.unwrap();
    successor.cluster().set(item(&key("k"), "new")).await.unwrap();

    hosts.change([("a.test", successor.address.ip())]);
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "old", "the connection is good");
    node.kill();
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "new");
    check_list(&cluster, &list).await;
}

#[tokio::test]
async fn a_node_that_moves_keeps_its_keys_and_gets_new_connections() {
    let node = Memcached::start();
    let successor = node.replacing();
    let (old, new) = (node.address.ip(), successor.address.ip());
    let hosts = Hosts::new([("a.test", old)]);
    let list = |ip: IpAddr| format!("1\na.test|{ip}|{}\n", node.address.port());
    let endpoint = ConfigEndpoint::listing(&list(old)).await;
    let cluster = cluster_with(&endpoint, &hosts);
    cluster.set(item(&key("k"), "old")).await.unwrap();
    successor.cluster().set(item(&key("k"), "new")).await.unwrap();

    // The same version and name, another address, and the old node lives on.
    hosts.change([("a.test", new)]);
    endpoint.list(&list(new));
    pass(SHORT_INTERVAL).await;
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "new");
}

#[tokio::test]
async fn two_nodes_that_swap_their_addresses_are_told_apart_by_name() {
    let one = Memcached::start();
    let other = one.replacing();
    let (x, y, port) = (one.address.ip(), other.address.ip(), one.address.port());
    let hosts = Hosts::new([("a.test", x), ("b.test", y)]);
    let endpoint = ConfigEndpoint::listing(&format!("1\na.test|{x}|{port} b.test|{y}|{port}\n")).await;
    let cluster = cluster_with(&endpoint, &hosts);
    for number in 0..20 {
        cluster.set(item(&key(&format!("key-{number}")), "before")).await.unwrap();
    }
    hosts.change([("a.test", y), ("b.test", x)]);
    endpoint.list(&format!("1\na.test|{y}|{port} b.test|{x}|{port}\n"));
    pass(SHORT_INTERVAL).await;
    for number in 0..20 {
        let key = key(&format!("key-{number}"));
        assert_eq!(text(cluster.get(&key).await), None);
        cluster.set(item(&key, "after")).await.unwrap();
        let now_at = if cluster.owner(&key).await.unwrap().starts_with("a.") { &other } else { &one };
        assert_eq!(text(now_at.cluster().get(&key).await).unwrap(), "after");
    }
}

#[tokio::test]
async fn a_request_under_way_when_its_node_moves_is_answered_by_the_new_one() {
    let node = Memcached::start();
    let successor = node.replacing();
    successor.cluster().set(item(&key("k"), "new")).await.unwrap();
    let hosts = Hosts::new([("a.test", node.address.ip())]);
    let list = |ip: IpAddr| format!("1\na.test|{ip}|{}\n", node.address.port());
    let endpoint = ConfigEndpoint::listing(&list(node.address.ip())).await;
    let interval = Duration::from_millis(10);
    let config = Config { discovery_interval: interval, hosts_file: Some(hosts.path()), ..config(&endpoint) };
    let cluster = Cluster::new(config).unwrap();
    cluster.set(item(&key("k"), "old")).await.unwrap();
    node.stop();
    let under_way = tokio::spawn({
        let cluster = cluster.clone();
        async move { text(cluster.get(&key("k")).await) }
    });
    tokio::task::yield_now().await;
    hosts.change([("a.test", successor.address.ip())]);
    let moved = list(successor.address.ip());
    endpoint.list(&moved);
    // Somebody else may be asking just now.
    for _ in 0..100 {
        if cluster.topology().await.unwrap().unwrap().text() == moved {
            break;
        }
        pass(interval).await;
    }
    assert_eq!(timeout(PATIENCE / 2, under_way).await.unwrap().unwrap().unwrap(), "new");
}

/// What went wrong at the endpoint, of a call that failed there.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> NodeError {
    match result {
        Err(Error::Discovery { source: DiscoveryError::Exchange(error), .. }) => error,
        other => panic!("the endpoint should have failed, but: {other:?}"),
    }
}

fn cluster(endpoint: &ConfigEndpoint) -> Cluster {
    Cluster::new(config(endpoint)).unwrap()
}

/// A cluster that asks so often that its connections do not end by rest.
fn cluster_with(endpoint: &ConfigEndpoint, hosts: &Hosts) -> Cluster {
    let config = Config { discovery_interval: SHORT_INTERVAL, ..config(endpoint) };
    Cluster::new(Config { hosts_file: Some(hosts.path()), ..config }).unwrap()
}

fn config(endpoint: &ConfigEndpoint) -> Config {
    let (host, port) = (endpoint.address.ip().to_string(), endpoint.address.port());
    Config { timeout: PATIENCE, ..Config::new(Endpoint::Configuration { host, port }) }
}

fn listing(version: u64, nodes: &[&Memcached]) -> String {
    let nodes: Vec<String> =
        nodes.iter().map(|node| format!("{}||{}", node.address.ip(), node.address.port())).collect();
    format!("{version}\n{}\n", nodes.join(" "))
}

async fn check_list(cluster: &Cluster, expected: &str) {
    assert_eq!(cluster.topology().await.unwrap().unwrap().text(), expected);
}

/// Nodes that refuse every connection at once.
const LIST: &str = "12\n127.0.0.1||1 127.0.0.1||2\n";
const OTHER_LIST: &str = "13\n127.0.0.1||2 127.0.0.1||3\n";
/// Longer than a list lives unasked.
const INTERVAL: Duration = Duration::from_secs(61);
const SHORT_INTERVAL: Duration = Duration::from_secs(10);
/// Long enough for whoever answers at all.
const A_MOMENT: Duration = Duration::from_millis(500);
/// How long the endpoint is left alone in tests of that.
const A_PAUSE: Duration = Duration::from_secs(60);

/// Asserts that the endpoint is not yet known to be a plain memcached.
#[track_caller]
fn unconfirmed<T: std::fmt::Debug>(result: Result<T, Error>) {
    match result {
        Err(Error::Discovery { source: DiscoveryError::Unconfirmed, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// What endpoints say that know of no cluster, in the words of memcached, of proxies, and of those who like no request.
const REFUSALS: [&str; 4] =
    ["ERROR\r\n", "END\r\n", "ERROR unknown command\r\n", "CLIENT_ERROR unsupported command\r\n"];
