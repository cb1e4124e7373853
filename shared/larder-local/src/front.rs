//! The door of a node: it answers questions for the configuration and passes everything else to memcached.

use crate::config::{ConfigReply, Question};
use crate::requests::{MAX_LINE, Requests};
use rustix::net::{Shutdown, shutdown};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, copy, copy_buf, sink};
use tokio::net::tcp::ReadHalf;
use tokio::net::unix::WriteHalf;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// A listening address and the connections through it, each with a connection of its own to memcached.
///
/// memcached's replies are never read, only carried, so they arrive as they left. Order is kept without knowing them:
/// when a question is met, the connection to memcached is closed for writing, memcached answers what it has and closes,
/// the configuration follows, and the next command opens a new connection. So a paused node answers no question either.
///
/// Cost: one more hop, about as long as the way to memcached itself (see the crate's front page).
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    task: JoinHandle<()>,
}

/// What every door of a cluster knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    pub(crate) reply: ConfigReply,
    /// The payload that stands for the nodes as they are.
    pub(crate) payload: Arc<[u8]>,
    /// The sockets of the nodes that run, sorted by node.
    pub(crate) running: Arc<[PathBuf]>,
}

/// Which memcached a door leads to.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// A node's own.
    Node(PathBuf),
    /// The first that runs: the configuration endpoint is a second name of one of the nodes.
    FirstRunning,
}

impl Front {
    /// Opens the door that `listener` is. Needs the runtime that it will live on.
    pub(crate) fn open(
        listener: std::net::TcpListener,
        route: Route,
        published: watch::Receiver<Published>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = Arc::new(TcpListener::from_std(listener)?);
        let task = tokio::spawn(serve(listener.clone(), Door { route, published }));
        Ok(Self { address, listener, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections; when this returns, new ones are refused.
    ///
    /// To close the socket would not do: a process that is being started elsewhere in this one holds a copy of it for a
    /// moment, and it would go on listening. Where a listening socket cannot be shut down (macOS), that moment remains.
    pub(crate) async fn close(self) {
        let _ = shutdown(&*self.listener, Shutdown::Both);
        self.task.abort();
        // An aborted task ends in an error that says so.
        let _ = self.task.await;
    }
}

#[derive(Clone)]
struct Door {
    route: Route,
    published: watch::Receiver<Published>,
}

async fn serve(listener: Arc<TcpListener>, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((client, _)) => drop(connections.spawn(relay(client, door.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one client to its end. An error on either side ends both, as it would without a door between.
async fn relay(mut client: TcpStream, door: Door) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut inbox = Inbox::default();
    loop {
        let mut node = door.connect().await?;
        let Some(question) = exchange(&mut client, &mut node, &mut inbox, &door).await? else {
            return Ok(());
        };
        if !door.answer(question, &mut client).await? {
            return end_stream(client).await;
        }
    }
}

/// Carries requests and replies until a question is met and all replies before it have been passed on.
///
/// `None`: one of the sides has closed.
async fn exchange(
    client: &mut TcpStream,
    node: &mut UnixStream,
    inbox: &mut Inbox,
    door: &Door,
) -> io::Result<Option<Question>> {
    let (mut from_client, mut to_client) = client.split();
    let (from_node, mut to_node) = node.split();
    let mut from_node = BufReader::with_capacity(BUFFER_LEN, from_node);
    let mut replies = pin!(copy_buf(&mut from_node, &mut to_client));
    let question = tokio::select! {
        question = carry_requests(&mut from_client, &mut to_node, inbox, door) => question?,
        closed = &mut replies => {
            closed?;
            return Ok(None);
        }
    };
    to_node.shutdown().await?;
    replies.await?;
    Ok(question)
}

/// Carries requests up to the next question, which it takes, or to the end of the stream.
async fn carry_requests(
    client: &mut ReadHalf<'_>,
    node: &mut WriteHalf<'_>,
    inbox: &mut Inbox,
    door: &Door,
) -> io::Result<Option<Question>> {
    loop {
        let scan = inbox.requests.scan(&inbox.bytes);
        node.write_all(&inbox.bytes[..scan.pass]).await?;
        inbox.bytes.drain(..scan.pass);
        if let Some((question, len)) = scan.question {
            if door.answers() {
                inbox.bytes.drain(..len);
                return Ok(Some(question));
            }
            node.write_all(&inbox.bytes[..len]).await?;
            inbox.bytes.drain(..len);
        } else if client.read_buf(&mut inbox.bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// Closes for writing and reads what still comes, or the kernel would take back what the client has not read yet.
async fn end_stream(mut client: TcpStream) -> io::Result<()> {
    client.shutdown().await?;
    copy(&mut client, &mut sink()).await?;
    Ok(())
}

/// What a client has sent and nobody has got yet.
struct Inbox {
    requests: Requests,
    bytes: Vec<u8>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { requests: Requests::default(), bytes: Vec::with_capacity(BUFFER_LEN) }
    }
}

impl Door {
    async fn connect(&self) -> io::Result<UnixStream> {
        let running = match &self.route {
            Route::Node(socket) => return UnixStream::connect(socket).await,
            Route::FirstRunning => self.published.borrow().running.clone(),
        };
        for socket in running.iter() {
            if let Ok(node) = UnixStream::connect(socket).await {
                return Ok(node);
            }
        }
        Err(io::Error::new(io::ErrorKind::ConnectionRefused, "no node runs"))
    }

    fn answers(&self) -> bool {
        self.published.borrow().reply != ConfigReply::NotSupported
    }

    /// Answers as the cluster is told to; whether the connection lives on.
    async fn answer(&self, question: Question, client: &mut TcpStream) -> io::Result<bool> {
        let published = self.published.borrow().clone();
        let (bytes, lives) = match published.reply {
            ConfigReply::Topology | ConfigReply::NotSupported => (question.frame(&published.payload), true),
            ConfigReply::Payload(payload) => (question.frame(&payload), true),
            ConfigReply::Raw(bytes) => (bytes, true),
            ConfigReply::RawThenClose(bytes) => (bytes, false),
        };
        client.write_all(&bytes).await?;
        Ok(lives)
    }
}

/// What is read at once. A line that is waited for is shorter, so there is always room to read on.
const BUFFER_LEN: usize = 32 * 1024;
const _: () = assert!(BUFFER_LEN > MAX_LINE);

/// As many as one memcached takes by default; more wait in the queue of the listening socket, as they would there.
const MAX_CONNECTIONS: usize = 1024;

/// A pause for a process that has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
