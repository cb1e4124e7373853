//! TLS to real nodes: each is checked against its own name before it hears a word.
//!
//! A door that speaks TLS stands before a memcached that does not, so that any build of it will do.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use larder_client::{Cluster, Config, Endpoint, Error, Key, NodeError, Tls};
use larder_ring::RingNode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::endpoint::ConfigEndpoint;
use support::memcached::Memcached;
use support::script::Signal;
use support::{Hosts, PATIENCE, fault, item, key, pass, text};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, crypto};

#[tokio::test]
async fn every_request_works_over_tls_1_2_and_1_3() {
    for version in [&TLS12, &TLS13] {
        let (authority, node) = (Authority::new(), Memcached::start());
        let door = Door::open(node.address, authority.server("a.test", version)).await;
        let (cluster, _hosts) = authority.cluster(&[("a.test", &door)]);
        cluster.set(item(&key("k"), "v")).await.unwrap();
        assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
        assert!(cluster.delete(&key("k")).await.unwrap());

        // More than one TLS record holds, and more than a socket takes at once.
        let keys: Vec<Key> = (0..20).map(|number| key(&format!("key-{number}"))).collect();
        let values: Vec<String> = (0..20).map(|number| number.to_string().repeat(100_000)).collect();
        let items: Vec<_> = keys.iter().zip(&values).map(|(key, value)| item(key, value)).collect();
        assert!(cluster.set_many(&items).await.is_empty());
        for (found, value) in cluster.get_many(&keys).await.into_iter().zip(&values) {
            assert_eq!(&text(found).unwrap(), value);
        }
        assert_eq!(door.opened(), 1);
    }
}

#[tokio::test]
async fn each_node_is_checked_against_its_own_name() {
    let authority = Authority::new();
    let nodes = [(); 2].map(|()| Memcached::start());
    let honest = Door::open(nodes[0].address, authority.server("a.test", &TLS13)).await;
    // It shows the certificate of the other one.
    let wrong = Door::open(nodes[1].address, authority.server("a.test", &TLS13)).await;
    let (cluster, _hosts) = authority.cluster(&[("a.test", &honest), ("b.test", &wrong)]);
    for number in 0..20 {
        let key = key(&format!("key-{number}"));
        let stored = cluster.set(item(&key, "v")).await;
        if cluster.owner(&key).await.unwrap().starts_with("a.test:") {
            stored.unwrap();
            assert_eq!(text(cluster.get(&key).await).unwrap(), "v");
        } else {
            assert!(matches!(fault(stored), NodeError::Tls(_) | NodeError::Down { .. }));
        }
    }
    assert!(wrong.opened() > 0);
    assert_eq!(wrong.heard(), 0, "no request was sent");
}

#[tokio::test]
async fn a_node_that_cannot_be_trusted_hears_no_request() {
    let (authority, stranger, node) = (Authority::new(), Authority::new(), Memcached::start());
    for (server, name) in [
        (stranger.server("a.test", &TLS13), "an authority that we do not know"),
        (stranger.server("a.test", &TLS12), "an authority that we do not know, TLS 1.2"),
        (authority.server("test", &TLS13), "another name"),
        (authority.server("*.a.test", &TLS13), "a wildcard for other names"),
        (authority.expired("a.test"), "a certificate that has ended"),
    ] {
        let door = Door::open(node.address, server).await;
        let (cluster, _hosts) = authority.cluster(&[("a.test", &door)]);
        let refused = fault(cluster.set(item(&key("k"), "secret")).await);
        assert!(matches!(refused, NodeError::Tls(_)), "{name}: {refused:?}");
        assert_eq!((door.opened(), door.heard()), (1, 0), "{name}");
    }
}

#[tokio::test]
async fn a_wildcard_and_an_address_are_names_too() {
    let (authority, node) = (Authority::new(), Memcached::start());
    let door = Door::open(node.address, authority.server("*.c.test", &TLS13)).await;
    let (cluster, _hosts) = authority.cluster(&[("0001.c.test", &door)]);
    cluster.set(item(&key("k"), "v")).await.unwrap();

    let door = Door::open(node.address, authority.server("127.0.0.1", &TLS13)).await;
    let (cluster, _hosts) = authority.cluster(&[("127.0.0.1", &door)]);
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
}

#[tokio::test]
async fn a_node_without_tls_is_an_error() {
    let (authority, node) = (Authority::new(), Memcached::start());
    let hosts = Hosts::new([("a.test", LOCALHOST)]);
    let cluster = authority.cluster_at(&[("a.test", node.address.port())], &hosts);
    let refused = fault(cluster.get(&key("k")).await);
    assert!(matches!(refused, NodeError::Tls(_)), "{refused:?}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_ends_at_the_deadline() {
    let authority = Authority::new();
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let hosts = Hosts::new([("a.test", LOCALHOST)]);
    let cluster = authority.cluster_at(&[("a.test", silent.local_addr().unwrap().port())], &hosts);
    let hurried = cluster.until(Instant::now() + Duration::from_millis(100));
    assert!(matches!(fault(hurried.get(&key("k")).await), NodeError::Deadline));
}

/// Two addresses of one name: the first takes connections and never speaks.
#[tokio::test]
async fn a_host_that_never_speaks_tls_is_passed_over() {
    let (authority, node) = (Authority::new(), Memcached::start());
    let door = Door::open(node.address, authority.server("a.test", &TLS13)).await;
    let silent_at = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let _silent = std::net::TcpListener::bind((silent_at, door.address.port())).unwrap();
    let hosts = Hosts::new([("a.test", silent_at), ("a.test", LOCALHOST)]);
    let cluster = authority.cluster_at(&[("a.test", door.address.port())], &hosts);
    cluster.set(item(&key("k"), "v")).await.unwrap();
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
}

#[tokio::test]
async fn a_missing_or_empty_file_of_authorities_is_an_error_that_names_it() {
    let (authority, node) = (Authority::new(), Memcached::start());
    let door = Door::open(node.address, authority.server("a.test", &TLS13)).await;
    let empty = authority.dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for (file, told) in
        [(authority.dir.path().join("none.pem"), "none.pem"), (empty, "no authority to trust")]
    {
        let hosts = Hosts::new([("a.test", LOCALHOST)]);
        let mut config = authority.config(&[("a.test", door.address.port())], &hosts);
        config.tls = Some(Tls { ca_file: Some(file) });
        let NodeError::Tls(error) = fault(Cluster::new(config).unwrap().get(&key("k")).await) else {
            panic!("the authorities are missing")
        };
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_close_at_rest_is_seen_before_use_so_that_even_a_set_succeeds() {
    for version in [&TLS12, &TLS13] {
        let (authority, node) = (Authority::new(), Memcached::start());
        let door = Door::open(node.address, authority.server("a.test", version)).await;
        let (cluster, _hosts) = authority.cluster(&[("a.test", &door)]);
        cluster.set(item(&key("k"), "1")).await.unwrap();
        door.close_one().await;
        pass(A_REST).await;
        cluster.set(item(&key("k"), "2")).await.unwrap();
        assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "2");
        assert_eq!(door.opened(), 2);
    }
}

#[tokio::test]
async fn a_connection_at_rest_that_is_alive_is_used_again() {
    for version in [&TLS12, &TLS13] {
        let (authority, node) = (Authority::new(), Memcached::start());
        let door = Door::open(node.address, authority.server("a.test", version)).await;
        let (cluster, _hosts) = authority.cluster(&[("a.test", &door)]);
        for _ in 0..3 {
            cluster.set(item(&key("k"), "v")).await.unwrap();
            pass(A_REST).await;
        }
        assert_eq!(door.opened(), 1);
    }
}

#[tokio::test]
async fn callers_who_wait_for_one_connection_share_its_failure() {
    let (authority, node) = (Authority::new(), Memcached::start());
    let door = Door::open(node.address, authority.server("other.test", &TLS13)).await;
    let (cluster, _hosts) = authority.cluster(&[("a.test", &door)]);
    for refused in join_all([(); 8].map(|()| async { cluster.get(&key("k")).await })).await {
        assert!(matches!(fault(refused), NodeError::Tls(_)));
    }
    assert_eq!(door.opened(), 1);
}

/// A TLS cluster lists names without addresses, and they begin with digits.
#[tokio::test]
async fn discovery_asks_over_tls_and_finds_names_without_addresses() {
    let (authority, node) = (Authority::new(), Memcached::start());
    let node_door = Door::open(node.address, authority.server("0001.c.test", &TLS13)).await;
    let endpoint = ConfigEndpoint::listing(&format!("2\n0001.c.test||{}\n", node_door.address.port())).await;
    let endpoint_door = Door::open(endpoint.address, authority.server("c.cfg.test", &TLS13)).await;
    let hosts = Hosts::new([("c.cfg.test", LOCALHOST), ("0001.c.test", LOCALHOST)]);
    let at =
        |host: &str| Endpoint::Configuration { host: host.to_owned(), port: endpoint_door.address.port() };
    let config = |host| Config { endpoint: at(host), ..authority.config(&[], &hosts) };
    let cluster = Cluster::new(config("c.cfg.test")).unwrap();
    cluster.set(item(&key("k"), "v")).await.unwrap();
    assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");

    // The same place by the name of a node is not the endpoint.
    let cluster = Cluster::new(config("0001.c.test")).unwrap();
    let refused = cluster.get(&key("k")).await;
    assert!(matches!(refused, Err(Error::Discovery { .. })), "{refused:?}");
}

/// A certificate authority made for one test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), dir }
    }

    /// A server with a certificate for `name`.
    fn server(&self, name: &str, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        self.server_with(CertificateParams::new([name.to_owned()]).unwrap(), version)
    }

    fn expired(&self, name: &str) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.server_with(params, &TLS13)
    }

    fn server_with(
        &self,
        params: CertificateParams,
        version: &'static SupportedProtocolVersion,
    ) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A cluster of nodes with these names behind these doors, that trusts us.
    fn cluster(&self, nodes: &[(&str, &Door)]) -> (Cluster, Hosts) {
        let hosts = Hosts::new(nodes.iter().map(|(name, _)| (*name, LOCALHOST)));
        let nodes: Vec<_> = nodes.iter().map(|(name, door)| (*name, door.address.port())).collect();
        (self.cluster_at(&nodes, &hosts), hosts)
    }

    fn cluster_at(&self, nodes: &[(&str, u16)], hosts: &Hosts) -> Cluster {
        Cluster::new(self.config(nodes, hosts)).unwrap()
    }

    fn config(&self, nodes: &[(&str, u16)], hosts: &Hosts) -> Config {
        let node = |(host, port): &(&str, u16)| RingNode {
            host: (*host).to_owned(),
            port: *port,
            weight: 1,
            ip: None,
        };
        Config {
            tls: Some(Tls { ca_file: Some(self.ca_file()) }),
            timeout: PATIENCE,
            hosts_file: Some(hosts.path()),
            ..Config::new(Endpoint::Nodes(nodes.iter().map(node).collect()))
        }
    }

    fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

/// Takes TLS connections and passes what they say to a node. It ends with its owner.
struct Door {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: AbortHandle,
}

#[derive(Default)]
struct Seen {
    /// Connections that came, whatever became of them.
    opened: AtomicUsize,
    /// Bytes that clients said inside TLS.
    heard: AtomicUsize,
    /// One connection is to be closed.
    close: Signal,
    /// One connection was closed.
    closed: Signal,
}

impl Door {
    async fn open(node: SocketAddr, acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(serve(listener, node, acceptor, seen.clone())).abort_handle();
        Self { address, seen, task }
    }

    fn opened(&self) -> usize {
        self.seen.opened.load(Ordering::SeqCst)
    }

    fn heard(&self) -> usize {
        self.seen.heard.load(Ordering::SeqCst)
    }

    /// Closes one connection as TLS has it, with an alert.
    async fn close_one(&self) {
        self.seen.close.notify_one();
        self.seen.closed.notified().await;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, node: SocketAddr, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        seen.opened.fetch_add(1, Ordering::SeqCst);
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        tokio::spawn(async move {
            // A client that leaves, because it does not trust us or has what it wants, is its own business.
            let _ = talk(stream, node, acceptor, &seen).await;
        });
    }
}

async fn talk(stream: TcpStream, node: SocketAddr, acceptor: TlsAcceptor, seen: &Seen) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = acceptor.accept(stream).await?;
    let mut first = [0; 4096];
    let len = client.read(&mut first).await?;
    seen.heard.fetch_add(len, Ordering::SeqCst);
    let mut node = TcpStream::connect(node).await?;
    node.write_all(&first[..len]).await?;
    tokio::select! {
        ended = copy_bidirectional(&mut client, &mut node) => ended.map(drop),
        () = seen.close.notified() => {
            client.shutdown().await?;
            drop(client);
            seen.closed.notify_one();
            Ok(())
        }
    }
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Long enough for a connection to be looked at before its next use, not so long that it is given up.
const A_REST: Duration = Duration::from_secs(3);
