//! From a socket to a session: TLS, start-up, password.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Postgres;
use super::address::{Target, TlsMode};
use super::session::{Session, Socket, protocol};
use super::tls;

impl Postgres {
    /// Opens a session. The name of the host is resolved each time.
    pub(super) async fn connect(&self, limit_ms: u128) -> sqlx::Result<Session> {
        let target = &self.target;
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        let mut session = Session::new(self.secured(stream).await?, limit_ms);
        start(&mut session, target).await?;
        Ok(session)
    }

    /// The stream under TLS, as far as address and server want it.
    async fn secured(&self, mut stream: TcpStream) -> sqlx::Result<Box<dyn Socket>> {
        let mode = self.target.tls;
        if mode == TlsMode::Off {
            return Ok(Box::new(stream));
        }
        let mut asked = BytesMut::new();
        frontend::ssl_request(&mut asked);
        stream.write_all(&asked).await?;
        // One byte alone: what came behind it in the clear would not be the server's.
        match stream.read_u8().await? {
            b'S' => {}
            b'N' if mode == TlsMode::Prefer => return Ok(Box::new(stream)),
            b'N' => return Err(sqlx::Error::Tls("the server has no TLS, which sslmode asks for".into())),
            _ => return Err(protocol("neither yes nor no to TLS")),
        }
        let config = match self.tls.get() {
            Some(config) => config,
            None => {
                let config = tls::config(mode, &self.target.files)?;
                self.tls.get_or_init(|| config)
            }
        };
        let name = ServerName::try_from(self.target.host.clone()).map_err(tls::failed)?;
        Ok(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?))
    }
}

/// Begins a session and waits until it may be used.
async fn start(session: &mut Session, target: &Target) -> sqlx::Result<()> {
    // No more than what every pooler keeps for its clients; all else is set within a transaction.
    let settings = [
        ("user", target.user.as_str()),
        ("database", target.database.as_str()),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
    ];
    let name = target.application_name.as_deref().map(|name| ("application_name", name));
    frontend::startup_message(settings.into_iter().chain(name), session.unsent())?;
    session.send().await?;
    loop {
        match session.receive().await? {
            Message::AuthenticationOk => {}
            Message::AuthenticationCleartextPassword => {
                frontend::password_message(target.password.as_bytes(), session.unsent())?;
                session.send().await?;
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(target.user.as_bytes(), target.password.as_bytes(), body.salt());
                frontend::password_message(hash.as_bytes(), session.unsent())?;
                session.send().await?;
            }
            Message::AuthenticationSasl(body) => scram(session, &body, &target.password).await?,
            Message::BackendKeyData(_) => {}
            Message::ReadyForQuery(_) => return Ok(()),
            _ => return Err(protocol("an unknown way to log in")),
        }
    }
}

/// Source: RFC 5802 and 7677; PostgreSQL, "SASL Authentication".
async fn scram(session: &mut Session, body: &AuthenticationSaslBody, password: &str) -> sqlx::Result<()> {
    let is_offered = body.mechanisms().any(|name| Ok(name == SCRAM_SHA_256))?;
    if !is_offered {
        return Err(protocol("no way to log in that is known"));
    }
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), session.unsent())?;
    session.send().await?;
    let Message::AuthenticationSaslContinue(body) = session.receive().await? else {
        return Err(protocol("no continuation of the login"));
    };
    scram.update(body.data())?;
    frontend::sasl_response(scram.message(), session.unsent())?;
    session.send().await?;
    let Message::AuthenticationSaslFinal(body) = session.receive().await? else {
        return Err(protocol("no end of the login"));
    };
    Ok(scram.finish(body.data())?)
}
