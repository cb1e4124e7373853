//! Something in front of a node that counts how often a client asks and waits for what comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Something in front of a node, on a port that the system chose. It ends with its owner.
pub(crate) struct Turnstile {
    address: SocketAddr,
    turns: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Turnstile {
    /// In front of the node at `node`.
    pub(crate) async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(listener, node, Arc::clone(&turns))).abort_handle();
        Self { address, turns, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many round trips there were since this was asked last: something was sent, after whatever came back before.
    pub(crate) fn turns(&self) -> usize {
        self.turns.swap(0, SeqCst)
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, node: SocketAddr, turns: Arc<AtomicUsize>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let node = TcpStream::connect(node).await.unwrap();
        tokio::spawn(pass(client, node, Arc::clone(&turns)));
    }
}

async fn pass(client: TcpStream, node: TcpStream, turns: Arc<AtomicUsize>) {
    let ((mut from_client, mut to_client), (mut from_node, mut to_node)) =
        (client.into_split(), node.into_split());
    // Whether all that was sent has been answered, as far as that can be seen.
    let is_answered = Arc::new(AtomicBool::new(true));
    let asks = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from_client.read(&mut piece).await {
            if is_answered.swap(false, SeqCst) {
                turns.fetch_add(1, SeqCst);
            }
            to_node.write_all(&piece[..len]).await.unwrap();
        }
    };
    let answers = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from_node.read(&mut piece).await {
            is_answered.store(true, SeqCst);
            to_client.write_all(&piece[..len]).await.unwrap();
        }
    };
    tokio::select! {
        () = asks => {}
        () = answers => {}
    }
}
