//! A node that follows a script, to the byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_client::{Cluster, Config};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{PATIENCE, config};

/// What happens next on a connection. After the last step the client closes it, and sends nothing more.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The client sends these bytes.
    Expect(Vec<u8>),
    /// We send these bytes, in one write.
    Send(Vec<u8>),
    /// We send these bytes, each in a packet of its own.
    Drip(Vec<u8>),
    /// We send these bytes over and over, for as long as the client takes them.
    Flood(Vec<u8>),
    /// The test is told that we are here.
    Tell(Signal),
    /// We go on when the test says so.
    Await(Signal),
    /// The client closes the connection, and has sent nothing more.
    ExpectEnd,
    /// We close the connection; only a `Tell` may follow.
    Close,
    /// We break the connection; only a `Tell` may follow.
    Reset,
}

/// Something that has happened, told once.
pub(crate) type Signal = Arc<Notify>;

pub(crate) fn expect(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Expect(bytes.into())
}

pub(crate) fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Send(bytes.into())
}

/// The start of a connection: the version is asked along with the first request, whose answer follows.
pub(crate) fn opening() -> [Step; 2] {
    [expect("version\r\n"), send(GREETING)]
}

/// The start of a connection whose first request carries data: it waits for the version.
pub(crate) fn guarded_opening() -> [Step; 2] {
    [expect("version\r\nmn\r\n"), send(format!("{GREETING}MN\r\n"))]
}

/// A request and its reply.
pub(crate) fn exchange(request: &str, reply: &str) -> [Step; 2] {
    [expect(request), send(reply)]
}

/// A scripted node on a port that the system chose.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    began: Instant,
    over: oneshot::Sender<()>,
    task: JoinHandle<Result<(), String>>,
}

impl Script {
    /// A node that expects these connections, in their order, and no others.
    pub(crate) async fn start(connections: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (over, is_over) = oneshot::channel();
        let task = tokio::spawn(serve(listener, connections.into_iter().collect(), is_over));
        Self { address, began: Instant::now(), over, task }
    }

    pub(crate) fn config(&self) -> Config {
        config(&[self.address])
    }

    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster_with(|_| ())
    }

    pub(crate) fn cluster_with(&self, change: impl FnOnce(&mut Config)) -> Cluster {
        let mut config = self.config();
        change(&mut config);
        Cluster::new(config).unwrap()
    }

    /// Closes `cluster`, and fails unless everything went by the script.
    pub(crate) async fn finish(self, cluster: Cluster) {
        drop(cluster);
        // If it has ended already, it tells why.
        let _ = self.over.send(());
        let end = timeout(PATIENCE, self.task).await.expect("the script should come to its end");
        end.unwrap().unwrap();
        // Whoever is woken by nothing but the deadline may still find the reply then.
        assert!(self.began.elapsed() < PATIENCE, "a call was not woken by its reply");
    }
}

async fn serve(
    listener: TcpListener,
    connections: Vec<Vec<Step>>,
    mut is_over: oneshot::Receiver<()>,
) -> Result<(), String> {
    let mut talks = JoinSet::new();
    for (number, steps) in connections.into_iter().enumerate() {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(told)?.0,
            _ = &mut is_over => return Err(format!("connection {number} never came")),
        };
        talks.spawn(async move { talk(stream, steps).await.map_err(|error| named(number, &error)) });
    }
    tokio::select! {
        _ = listener.accept() => return Err("a connection came that the script has not".to_owned()),
        _ = is_over => {}
    }
    while let Some(end) = talks.join_next().await {
        end.map_err(told)??;
    }
    Ok(())
}

/// Says it at once, too: the client sees only that the connection breaks.
fn named(number: usize, error: &str) -> String {
    let error = format!("connection {number}: {error}");
    eprintln!("{error}");
    error
}

async fn talk(mut stream: TcpStream, steps: Vec<Step>) -> Result<(), String> {
    stream.set_nodelay(true).map_err(told)?;
    let mut steps = steps.into_iter();
    while let Some(step) = steps.next() {
        match step {
            Step::Expect(bytes) => expect_bytes(&mut stream, &bytes).await?,
            Step::Send(bytes) => write(&mut stream, &bytes).await?,
            Step::Drip(bytes) => {
                for byte in bytes {
                    write(&mut stream, &[byte]).await?;
                    tokio::task::yield_now().await;
                }
            }
            Step::Flood(bytes) => while write(&mut stream, &bytes).await.is_ok() {},
            Step::Tell(signal) => signal.notify_one(),
            Step::Await(signal) => signal.notified().await,
            Step::ExpectEnd => expect_end(&mut stream).await?,
            Step::Close | Step::Reset => {
                if let Step::Reset = step {
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).map_err(told)?;
                }
                drop(stream);
                steps.for_each(|step| {
                    if let Step::Tell(signal) = step {
                        signal.notify_one()
                    }
                });
                return Ok(());
            }
        }
    }
    expect_end(&mut stream).await
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    stream
        .write_all(bytes)
        .await
        .map_err(|error| format!("{error} at {:?}", bytes.escape_ascii().to_string()))
}

async fn expect_bytes(stream: &mut TcpStream, expected: &[u8]) -> Result<(), String> {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let mut rest = (&mut *stream).take((expected.len() - got.len()) as u64);
        let is_end = rest.read_buf(&mut got).await.map_or(true, |len| len == 0);
        if is_end || !expected.starts_with(&got) {
            return Err(format!("expected {:?}, got {:?}", text(expected), text(&got)));
        }
    }
    Ok(())
}

/// A client that leaves before it has read everything breaks the connection; that is an end, too.
async fn expect_end(stream: &mut TcpStream) -> Result<(), String> {
    let mut got = Vec::new();
    match stream.read_buf(&mut got).await {
        Ok(1..) => Err(format!("expected no more, got {:?}", text(&got))),
        Ok(0) | Err(_) => Ok(()),
    }
}

fn told(error: impl std::error::Error) -> String {
    error.to_string()
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// What the engine says of itself.
pub(crate) const GREETING: &str = "VERSION 1.6.22\r\n";
