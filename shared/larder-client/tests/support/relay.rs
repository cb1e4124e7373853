//! Something in front of a node that passes everything on, tells what came by, and can hold it up.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::PATIENCE;
use super::script::Signal;

/// Something in front of a node, on a port that the system chose. It ends with its owner.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: AbortHandle,
}

/// What came by.
#[derive(Default)]
struct Seen {
    /// What the clients wrote, each piece as it was read.
    writes: Vec<Vec<u8>>,
    answered_bytes: usize,
    hold: Option<(String, Hold)>,
}

/// Something that is held up.
#[derive(Clone, Default)]
pub(crate) struct Hold {
    is_there: Signal,
    may_go: Signal,
}

impl Relay {
    /// In front of the node at `address`, which may die and come back.
    pub(crate) async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(serve(listener, node, seen.clone())).abort_handle();
        Self { address, seen, task }
    }

    /// What the clients wrote since this was asked last: each write, without the greeting of the connection.
    pub(crate) fn writes(&self) -> Vec<String> {
        let writes = std::mem::take(&mut self.seen().writes).into_iter();
        let writes = writes.map(|write| String::from_utf8_lossy(&write).into_owned());
        let ungreeted = writes.map(|write| match write.strip_prefix("version\r\n") {
            Some("mn\r\n") => String::new(),
            Some(rest) => rest.to_owned(),
            None => write,
        });
        ungreeted.filter(|write| !write.is_empty()).collect()
    }

    /// The first two words of every request since this was asked last.
    pub(crate) fn requests(&self) -> Vec<String> {
        requests(&self.writes().concat())
    }

    /// How many bytes were answered since this was asked last.
    pub(crate) fn answered_bytes(&self) -> usize {
        std::mem::take(&mut self.seen().answered_bytes)
    }

    /// Holds up the next write with `text` in it.
    pub(crate) fn hold(&self, text: &str) -> Hold {
        let hold = Hold::default();
        self.seen().hold = Some((text.to_owned(), hold.clone()));
        hold
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Hold {
    /// Waits until something is held up.
    pub(crate) async fn is_there(&self) {
        timeout(PATIENCE, self.is_there.notified()).await.expect("there should be something to hold up");
    }

    /// Lets it go on.
    pub(crate) fn release(&self) {
        self.may_go.notify_one();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first two words of every request in `text`, without the data.
fn requests(mut text: &str) -> Vec<String> {
    let mut requests = Vec::new();
    while let Some((line, rest)) = text.split_once("\r\n") {
        let mut words = line.split(' ');
        let (command, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let data_len = (command == "ms").then(|| words.next().unwrap().parse::<usize>().unwrap() + 2);
        text = &rest[data_len.unwrap_or(0)..];
        match (command, key) {
            ("version" | "mn", _) => {}
            ("get", _) => requests.push(line.to_owned()),
            _ => requests.push(format!("{command} {key}")),
        }
    }
    requests
}

async fn serve(listener: TcpListener, node: SocketAddr, seen: Arc<Mutex<Seen>>) {
    while let Ok((client, _)) = listener.accept().await {
        let seen = seen.clone();
        tokio::spawn(async move {
            // Where the node is dead, so is the connection.
            let Ok(node) = TcpStream::connect(node).await else { return };
            client.set_nodelay(true).unwrap();
            node.set_nodelay(true).unwrap();
            let ((from_client, to_client), (from_node, to_node)) = (client.into_split(), node.into_split());
            tokio::select! {
                () = pass_requests(from_client, to_node, &seen) => {}
                () = pass_answers(from_node, to_client, &seen) => {}
            }
        });
    }
}

async fn pass_requests(mut client: OwnedReadHalf, mut node: OwnedWriteHalf, seen: &Mutex<Seen>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(len @ 1..) = client.read(&mut piece).await {
        let piece = &piece[..len];
        let hold = {
            let mut seen = lock(seen);
            seen.writes.push(piece.to_vec());
            let text = String::from_utf8_lossy(piece);
            seen.hold.take_if(|(awaited, _)| text.contains(awaited.as_str()))
        };
        if let Some((_, hold)) = hold {
            hold.is_there.notify_one();
            hold.may_go.notified().await;
        }
        if node.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn pass_answers(mut node: OwnedReadHalf, mut client: OwnedWriteHalf, seen: &Mutex<Seen>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(len @ 1..) = node.read(&mut piece).await {
        lock(seen).answered_bytes += len;
        if client.write_all(&piece[..len]).await.is_err() {
            return;
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

const PIECE_BYTES: usize = 1 << 20;
