//! Opening a connection: resolve, connect, agree on TLS.
//!
//! All addresses of a name are tried side by side, each a pause later than the one before (RFC 8305, "Happy Eyeballs");
//! the first that is ready wins, and the others are dropped. With TLS one is ready when the handshake is done: a host
//! that takes connections and never speaks is as silent as one that does not. Everything happens in the caller; what it
//! drops has ended.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{Either, select, select_ok};
use larder_discovery::Node;
use larder_meta::Limits;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::connection::Connection;
use crate::moment::Moment;
use crate::race::first_of;
use crate::resolve::Resolver;
use crate::site::Site;
use crate::stream::Stream;
use crate::{Config, NodeError, Tls};

/// How connections are opened. Nothing is read or built before the first one.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) resolver: Resolver,
    connect_timeout: Duration,
    tls: Option<Tls>,
    tls_connector: OnceLock<TlsConnectorDebug>,
}

impl Connector {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            resolver: Resolver::new(config),
            connect_timeout: config.connect_timeout,
            tls: config.tls.clone(),
            tls_connector: OnceLock::new(),
        }
    }

    /// Opens a connection to the node at `site`, whose replies are bounded by `limits`; the caller drops it at its
    /// `deadline`.
    pub(crate) async fn connect(
        &self,
        site: &Site,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Connection, NodeError> {
        // Boxed, for it is rare and large, and would have to be carried along by every request.
        Ok(Connection::new(Box::pin(self.stream(site, deadline)).await?, limits))
    }

    /// The same to the machine at `ip`, wherever the name of `node` leads; TLS checks the name.
    pub(crate) async fn connect_at(
        &self,
        node: &Node,
        ip: IpAddr,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Connection, NodeError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let stream = Box::pin(self.reach(node, vec![SocketAddr::new(ip, node.port)], left)).await?;
        Ok(Connection::new(stream, limits))
    }

    /// The addresses to which the name of `node` leads now.
    pub(crate) async fn resolve(&self, node: &Node) -> Result<Vec<SocketAddr>, NodeError> {
        match self.resolver.at_hand(node)? {
            Some(addresses) => Ok(addresses),
            None => Box::pin(self.resolver.look_up(node)).await,
        }
    }

    /// Opens a stream to the node at `site`; the caller drops it at its `deadline`.
    pub(crate) async fn stream(&self, site: &Site, deadline: Instant) -> Result<Stream, NodeError> {
        let (node, left) = (&site.node, deadline.saturating_duration_since(Instant::now()));
        if let Some(addresses) = self.resolver.at_hand(node)? {
            return self.reach(node, standing(site, addresses), left).await;
        }
        let mut known = self.resolver.otherwise_known(node, Moment::now());
        known.retain(|address| !site.has_left(address.ip()));
        let look_up = async { Ok(standing(site, self.resolver.look_up(node).await?)) };
        let mut asked = pin!(look_up);
        if known.is_empty() {
            return self.reach(node, asked.await?, left).await;
        }
        match timeout(name_pause(left), &mut asked).await {
            Ok(Ok(addresses)) => self.reach(node, addresses, left).await,
            Ok(Err(error)) => {
                tracing::debug!(%node, %error, "going by an address that is known otherwise");
                self.reach(node, known, left).await
            }
            Err(_) => self.reach_while_asking(node, known, asked, left).await,
        }
    }

    /// Reaches `node` by addresses that are `known` otherwise, or by those that name servers tell yet, if these do.
    async fn reach_while_asking(
        &self,
        node: &Node,
        known: Vec<SocketAddr>,
        asked: impl Future<Output = Result<Vec<SocketAddr>, NodeError>> + Unpin,
        left: Duration,
    ) -> Result<Stream, NodeError> {
        tracing::debug!(%node, "name servers are silent, going by an address that is known otherwise");
        let reached = pin!(self.reach(node, known, left));
        match select(reached, asked).await {
            Either::Left((Ok(stream), _)) => Ok(stream),
            Either::Left((Err(error), asked)) => match asked.await {
                Ok(addresses) => self.reach(node, addresses, left).await,
                Err(_) => Err(error),
            },
            Either::Right((Err(_), reached)) => reached.await,
            Either::Right((Ok(addresses), reached)) => {
                let fresh = pin!(self.reach(node, addresses, left));
                select_ok([fresh, reached]).await.map(|(stream, _)| stream)
            }
        }
    }

    /// Reaches `node` by the first of `addresses` that is ready, with so much time `left`.
    ///
    /// Each connects for `connect_timeout` at most. One that has failed or was silent is tried last the next time.
    async fn reach(
        &self,
        node: &Node,
        addresses: Vec<SocketAddr>,
        left: Duration,
    ) -> Result<Stream, NodeError> {
        let ordered = self.resolver.addresses().in_order(&addresses);
        let pause = self.pause(left);
        let attempts = ordered.into_iter().map(|address| self.attempt(node, address));
        let none = || Err(NodeError::Connect(Arc::new(io::ErrorKind::AddrNotAvailable.into())));
        let reached = first_of(attempts, std::iter::repeat(pause)).await;
        let (address, stream) = reached.unwrap_or_else(none)?;
        self.resolver.addresses().succeeded(address, &addresses);
        Ok(stream)
    }

    async fn attempt(&self, node: &Node, address: SocketAddr) -> Result<(SocketAddr, Stream), NodeError> {
        self.resolver.addresses().begun(address);
        let tcp = self.open(address).await.map_err(|error| NodeError::Connect(Arc::new(error)))?;
        Ok((address, self.secure(tcp, &node.host).await?))
    }

    /// How long an address may be silent before the next one is tried beside it: less where little time is `left`. A
    /// handshake takes much of the little CPU of a small function, so with TLS it is twice that.
    fn pause(&self, left: Duration) -> Duration {
        let shares = if self.tls.is_some() { 2 } else { 4 };
        (self.connect_timeout.min(left) / shares).clamp(LEAST_PAUSE, MOST_PAUSE)
    }

    async fn open(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let tcp = timeout(self.connect_timeout, TcpStream::connect(address))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    async fn secure(&self, tcp: TcpStream, host: &str) -> Result<Stream, NodeError> {
        let Some(tls) = &self.tls else { return Ok(Stream::Tcp(tcp)) };
        let handshake = async {
            let connector = self.tls_connector(tls)?;
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            connector.connect(name, tcp).await
        };
        let stream = handshake.await.map_err(|error| NodeError::Tls(Arc::new(error)))?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn tls_connector(&self, tls: &Tls) -> io::Result<&TlsConnector> {
        if self.tls_connector.get().is_none() {
            let _ = self.tls_connector.set(TlsConnectorDebug(tls_connector(tls)?));
        }
        let made = self.tls_connector.get().map(|connector| &connector.0);
        made.ok_or_else(|| io::Error::other("the TLS settings are gone"))
    }
}

/// Those of the `addresses` to which a name leads at which the node stands, as far as is known: a name server may not
/// have heard yet that it was replaced. Where it has left them all, the address that was told last.
fn standing(site: &Site, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.retain(|address| !site.has_left(address.ip()));
    if addresses.is_empty() {
        addresses.extend(site.address().map(|ip| SocketAddr::new(ip, site.node.port)));
    }
    addresses
}

fn tls_connector(tls: &Tls) -> io::Result<TlsConnector> {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(trusted(tls)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The authorities to trust; an error where there is none.
fn trusted(tls: &Tls) -> io::Result<RootCertStore> {
    let certificates: Vec<CertificateDer<'static>> = match &tls.ca_file {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 {
        return Err(io::Error::other("no authority to trust was found: name a PEM file of them"));
    }
    Ok(roots)
}

/// How long name servers may be silent before an address is tried that is known otherwise.
fn name_pause(left: Duration) -> Duration {
    MOST_NAME_PAUSE.min(left / 4)
}

/// The usual pause of RFC 8305, section 5, and the shortest there may be.
const MOST_PAUSE: Duration = Duration::from_millis(250);
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// Much longer than a name server takes that knows the name, and long enough to ask it twice.
const MOST_NAME_PAUSE: Duration = Duration::from_millis(100);

/// A connector has no `Debug` of its own.
struct TlsConnectorDebug(TlsConnector);

impl std::fmt::Debug for TlsConnectorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}
