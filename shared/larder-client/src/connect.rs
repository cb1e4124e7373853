//! Opening a connection: resolve, connect, agree on TLS.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use larder_discovery::Node;
use larder_meta::Limits;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::connection::Connection;
use crate::resolve::resolve;
use crate::stream::Stream;
use crate::{Config, NodeError, Tls};

/// How connections are opened. Nothing is read or built before the first one.
#[derive(Debug)]
pub(crate) struct Connector {
    connect_timeout: Duration,
    hosts_file: Option<PathBuf>,
    tls: Option<Tls>,
    tls_connector: OnceLock<TlsConnectorDebug>,
}

impl Connector {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            connect_timeout: config.connect_timeout,
            hosts_file: config.hosts_file.clone(),
            tls: config.tls.clone(),
            tls_connector: OnceLock::new(),
        }
    }

    /// Opens a connection to `node`, whose replies are bounded by `limits`; the caller bounds the time.
    pub(crate) async fn connect(&self, node: &Node, limits: Limits) -> Result<Connection, NodeError> {
        Ok(Connection::new(self.stream(node).await?, limits))
    }

    /// Opens a stream to `node`.
    ///
    /// Every address of its name is tried in turn, each for `connect_timeout` at most; the caller bounds the whole.
    pub(crate) async fn stream(&self, node: &Node) -> Result<Stream, NodeError> {
        let mut failure = None;
        for address in resolve(node, self.hosts_file.as_deref()).await? {
            match self.open(address).await {
                Ok(tcp) => return self.secure(tcp, &node.host).await,
                Err(error) => failure = Some(error),
            }
        }
        let failure = failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        Err(NodeError::Connect(Arc::new(failure)))
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

/// A connector has no `Debug` of its own.
struct TlsConnectorDebug(TlsConnector);

impl std::fmt::Debug for TlsConnectorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}
