//! From a name to its node: name servers that lose questions, are silent, late, or wrong, and addresses that are.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use larder_client::{Cluster, Config, Endpoint, NodeError};
use larder_ring::RingNode;
use socket2::{Domain, Socket, Type};
use support::endpoint::{Answer, ConfigEndpoint};
use support::memcached::Memcached;
use support::name_server::{Manner, NameServer};
use support::{Hosts, PATIENCE, fault, item, key, pass, text};
use tokio::time::{Instant, timeout};

// Name servers.

#[tokio::test]
async fn a_name_server_that_loses_questions_is_asked_again_at_once() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    for lost in 1..=4 {
        names.answer(Manner::Losing(lost));
        let began = Instant::now();
        check_reached(&cluster(&names, &node)).await;
        assert!(began.elapsed() < MUCH_LATER, "{lost} lost questions took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_late_name_server_is_waited_for() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    names.answer(Manner::Late(Duration::from_millis(700)));
    check_reached(&cluster(&names, &node)).await;
}

#[tokio::test]
async fn a_silent_name_server_is_an_error_within_its_bound_and_nobody_waits_on() {
    let began = Instant::now();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A thread of its own, for a runtime waits for its blocking threads where it is dropped.
    let looked_up = std::thread::spawn(move || {
        let runtime = runtime();
        runtime.block_on(async {
            let names = NameServer::start(&[]).await;
            names.answer(Manner::Silent);
            let config = Config { resolve_timeout: Duration::from_millis(300), ..config(&names, 11211) };
            fault(Cluster::new(config).unwrap().get(&key("k")).await)
        })
    });
    let failed = tokio::task::spawn_blocking(|| looked_up.join().unwrap()).await.unwrap();
    assert!(matches!(&failed, NodeError::Resolve(error) if error.kind() == std::io::ErrorKind::TimedOut));
    assert!(began.elapsed() < MUCH_LATER, "the process waited for {:?}", began.elapsed());
}

#[tokio::test]
async fn a_name_that_is_not_there_is_an_error_at_once() {
    let (node, names) = (Memcached::start(), NameServer::start(&[]).await);
    let failed = fault(cluster(&names, &node).get(&key("k")).await);
    assert!(matches!(&failed, NodeError::Resolve(error) if error.kind() == std::io::ErrorKind::NotFound));
    assert_eq!(names.questions(), 2, "one for each family");
}

#[tokio::test]
async fn a_name_server_that_fails_is_passed_over() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    let failing = NameServer::start(&[]).await;
    failing.answer(Manner::Failing);
    let both = [&failing, &names].map(|names| std::fs::read_to_string(names.resolv_conf()).unwrap());
    std::fs::write(names.resolv_conf(), both.concat()).unwrap();
    check_reached(&cluster(&names, &node)).await;
    assert!(failing.questions() > 0);
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_asked_for_over_tcp() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    names.answer(Manner::ByTcp);
    check_reached(&cluster(&names, &node)).await;
}

#[tokio::test]
async fn files_with_comments_in_another_encoding_are_read() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    let conf = std::fs::read(names.resolv_conf()).unwrap();
    std::fs::write(names.resolv_conf(), [b"# B\xfcro\n", &conf[..]].concat()).unwrap();
    check_reached(&cluster(&names, &node)).await;
    let hosts = Hosts::new([]);
    std::fs::write(hosts.path(), [format!("127.0.0.1 {NAME} # ").as_bytes(), b"B\xfcro\n"].concat()).unwrap();
    let config = Config { timeout: PATIENCE, hosts_file: Some(hosts.path()), ..nodes(node.address.port()) };
    check_reached(&Cluster::new(config).unwrap()).await;
}

#[tokio::test]
async fn a_suffix_with_which_a_host_is_no_name_is_passed_over() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    let conf = std::fs::read_to_string(names.resolv_conf()).unwrap();
    let long = "x.".repeat(120);
    for suffix in ["..test", &*long] {
        std::fs::write(names.resolv_conf(), format!("{conf}search {suffix}\noptions ndots:5\n")).unwrap();
        check_reached(&cluster(&names, &node)).await;
    }
}

#[tokio::test]
async fn a_suffix_that_fails_leads_to_no_host_of_the_next_one() {
    let other = format!("{NAME}.staging.test");
    let (node, names) = (Memcached::start(), NameServer::start(&[(&other, &[LOCALHOST])]).await);
    let conf = std::fs::read_to_string(names.resolv_conf()).unwrap();
    names.fail(&format!("{NAME}.production.test"));
    let search = "search production.test staging.test\noptions ndots:5\n";
    std::fs::write(names.resolv_conf(), conf + search).unwrap();
    let failed = fault(cluster(&names, &node).get(&key("k")).await);
    assert!(matches!(failed, NodeError::Resolve(_)), "{failed:?}");
}

#[tokio::test]
async fn addresses_of_one_family_are_enough_where_those_of_the_other_are_out_of_reach() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    let v6_by_tcp = [false, true].map(|is_tcp_silent| Manner::V6ByTcp { is_tcp_silent });
    for manner in v6_by_tcp.into_iter().chain([Manner::V4ByTcp]) {
        names.answer(manner);
        let began = Instant::now();
        check_reached(&cluster(&names, &node)).await;
        assert!(began.elapsed() < MUCH_LATER, "{manner:?}: took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_answer_that_is_longer_than_a_datagram_may_be_is_read_where_it_comes() {
    let node = Memcached::start();
    // More than 512 bytes, as from a server that counts on everybody to take them.
    let names = NameServer::start(&[(NAME, &[LOCALHOST; 100])]).await;
    let began = Instant::now();
    check_reached(&cluster(&names, &node)).await;
    assert!(began.elapsed() < MUCH_LATER, "took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_name_is_asked_for_again_at_every_connection() {
    let node = Memcached::start();
    let successor = node.replacing();
    let names = NameServer::start(&[(NAME, &[LOCALHOST])]).await;
    let cluster = cluster(&names, &node);
    cluster.set(item(&key("k"), "old")).await.unwrap();
    names.rename(NAME, &[successor.address.ip()]);
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "old", "its connection is warm");
    pass(A_LONG_REST).await;
    assert_eq!(text(cluster.get(&key("k")).await), None);
}

// Addresses that are known otherwise.

#[tokio::test]
async fn while_name_servers_are_silent_a_node_is_reached_by_the_address_that_discovery_told() {
    let (node, names) = (Memcached::start(), NameServer::start(&[]).await);
    let endpoint = ConfigEndpoint::listing(&listing(&node)).await;
    for manner in [Manner::Silent, Manner::Failing, Manner::Well] {
        names.answer(manner);
        let began = Instant::now();
        check_reached(&Cluster::new(discovering(&names, &endpoint)).unwrap()).await;
        assert!(began.elapsed() < MUCH_LATER, "{manner:?}: took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_address_that_discovery_told_is_not_tried_when_it_is_old() {
    let (node, names) = (Memcached::start(), NameServer::start(&[]).await);
    names.answer(Manner::Silent);
    let endpoint = ConfigEndpoint::listing(&listing(&node)).await;
    let config = Config { timeout: Duration::from_secs(2), ..discovering(&names, &endpoint) };
    let cluster = Cluster::new(config).unwrap();
    check_reached(&cluster).await;
    endpoint.answer(Answer::Hangup);
    pass(A_LONG_REST).await;
    let failed = fault(cluster.get(&key("k")).await);
    assert!(matches!(failed, NodeError::Resolve(_) | NodeError::Deadline), "{failed:?}");
}

#[tokio::test]
async fn what_name_servers_said_serves_for_its_time_while_they_are_silent() {
    let (mut node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    let config = Config { mark_down: Duration::from_millis(1), ..config(&names, node.address.port()) };
    let cluster = Cluster::new(config).unwrap();
    check_reached(&cluster).await;
    names.answer(Manner::Silent);
    node.restart();
    pass(Duration::from_secs(3)).await;
    check_reached(&cluster).await;
    pass(A_LONG_REST).await;
    let failed = fault(cluster.get(&key("k")).await);
    assert!(matches!(failed, NodeError::Resolve(_)), "{failed:?}");
}

#[tokio::test]
async fn a_late_name_server_counts_where_the_address_that_discovery_told_is_dead() {
    let (node, names) = (Memcached::start(), NameServer::start(&[(NAME, &[LOCALHOST])]).await);
    let hole = BlackHole::open(Ipv4Addr::new(127, 0, 0, 2), node.address.port());
    let told = format!("1\n{NAME}|127.0.0.2|{}\n", node.address.port());
    let endpoint = ConfigEndpoint::listing(&told).await;
    names.answer(Manner::Late(Duration::from_millis(400)));
    check_reached(&Cluster::new(discovering(&names, &endpoint)).unwrap()).await;
    drop(hole);
}

// Names with several addresses.

#[tokio::test]
async fn a_name_whose_first_address_is_silent_is_reached_by_the_second() {
    let node = Memcached::start();
    let _hole = BlackHole::open(Ipv4Addr::new(127, 0, 0, 2), node.address.port());
    let hosts = Hosts::new([(NAME, Ipv4Addr::new(127, 0, 0, 2).into()), (NAME, LOCALHOST)]);
    for timeout in [Duration::from_millis(500), Duration::from_secs(1)] {
        let config = Config { timeout, hosts_file: Some(hosts.path()), ..nodes(node.address.port()) };
        let cluster = Cluster::new(config).unwrap();
        for _ in 0..10 {
            assert_eq!(text(cluster.get(&key("k")).await), None, "a timeout of {timeout:?}");
            // So that every call connects.
            pass(A_LONG_REST).await;
        }
    }
}

#[tokio::test]
async fn a_caller_who_leaves_makes_the_next_one_begin_with_another_address() {
    let node = Memcached::start();
    let _hole = BlackHole::open(Ipv4Addr::new(127, 0, 0, 2), node.address.port());
    let hosts = Hosts::new([(NAME, Ipv4Addr::new(127, 0, 0, 2).into()), (NAME, LOCALHOST)]);
    // So long that no second address would be tried beside the first in time.
    let config = Config {
        timeout: PATIENCE,
        connect_timeout: PATIENCE,
        hosts_file: Some(hosts.path()),
        ..nodes(node.address.port())
    };
    let cluster = Cluster::new(config).unwrap();
    assert!(timeout(Duration::from_millis(20), cluster.get(&key("k"))).await.is_err());
    let began = Instant::now();
    assert_eq!(text(cluster.get(&key("k")).await), None);
    let waited = began.elapsed();
    assert!(waited < Duration::from_millis(240), "the silent address was tried first: {waited:?}");
}

#[tokio::test]
async fn addresses_that_refuse_are_passed_over_at_once() {
    let node = Memcached::start();
    let refusing = (2..9).map(|number| (NAME, Ipv4Addr::new(127, 0, 0, number).into()));
    let hosts = Hosts::new(refusing.chain([(NAME, LOCALHOST)]));
    let config = Config { hosts_file: Some(hosts.path()), ..nodes(node.address.port()) };
    check_reached(&Cluster::new(Config { timeout: PATIENCE, ..config }).unwrap()).await;
}

/// A listener whose queue is full: who connects hears nothing, as behind a zone that is out of reach.
struct BlackHole {
    _listener: Socket,
    _held: Vec<Socket>,
}

impl BlackHole {
    fn open(ip: Ipv4Addr, port: u16) -> Self {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let (listener, address) = (socket(), SocketAddr::from((ip, port)));
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let mut held = Vec::new();
        // Full once a connection is not made at once any more.
        for _ in 0..MOST_HELD {
            let client = socket();
            let is_taken = client.connect_timeout(&address.into(), Duration::from_millis(100)).is_ok();
            held.push(client);
            if !is_taken {
                return Self { _listener: listener, _held: held };
            }
        }
        panic!("the queue of {address} takes {MOST_HELD} connections");
    }
}

async fn check_reached(cluster: &Cluster) {
    cluster.set(item(&key("k"), "v")).await.unwrap();
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
}

fn cluster(names: &NameServer, node: &Memcached) -> Cluster {
    Cluster::new(config(names, node.address.port())).unwrap()
}

/// A node called [`NAME`], which `names` knows.
fn config(names: &NameServer, port: u16) -> Config {
    Config {
        timeout: PATIENCE,
        resolve_timeout: Duration::from_secs(5),
        resolv_conf: Some(names.resolv_conf()),
        ..nodes(port)
    }
}

fn nodes(port: u16) -> Config {
    Config::new(Endpoint::Nodes(vec![RingNode::new(NAME, port)]))
}

/// The nodes that `endpoint` lists, whose names `names` knows.
fn discovering(names: &NameServer, endpoint: &ConfigEndpoint) -> Config {
    let (host, port) = (endpoint.address.ip().to_string(), endpoint.address.port());
    Config { endpoint: Endpoint::Configuration { host, port }, ..config(names, 1) }
}

fn listing(node: &Memcached) -> String {
    format!("1\n{NAME}|{}|{}\n", node.address.ip(), node.address.port())
}

/// What no hosts file knows.
const NAME: &str = "node-1.larder.test";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than any connection is kept, and than any answer of [`NameServer`] is good.
const A_LONG_REST: Duration = Duration::from_secs(120);
/// When a resolver of the system asks again, about.
const MUCH_LATER: Duration = Duration::from_secs(4);
const MOST_HELD: usize = 64;
