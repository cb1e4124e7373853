//! Something in front of a node that counts how often a client asks and waits for what comes back, and lets no more
//! through when it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Something in front of a node, on a port that the system chose. It ends with its owner.
pub(crate) struct Turnstile {
    address: SocketAddr,
    passage: Arc<Passage>,
    task: AbortHandle,
}

/// What its connections have in common.
struct Passage {
    turns: AtomicUsize,
    /// How many more turns it lets through.
    left: AtomicUsize,
    /// Whether it hangs up at the next turn.
    hang_up: AtomicBool,
}

impl Turnstile {
    /// In front of the node at `node`.
    pub(crate) async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let passage = Arc::new(Passage {
            turns: AtomicUsize::new(0),
            left: AtomicUsize::new(usize::MAX),
            hang_up: false.into(),
        });
        let task = tokio::spawn(serve(listener, node, Arc::clone(&passage))).abort_handle();
        Self { address, passage, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many round trips there were since this was asked last: something was sent, after whatever came back before.
    pub(crate) fn turns(&self) -> usize {
        self.passage.turns.swap(0, SeqCst)
    }

    /// Lets `turns` more through, and then hangs up on whoever asks.
    pub(crate) fn shut_after(&self, turns: usize) {
        self.passage.left.store(turns, SeqCst);
    }
}

impl Turnstile {
    /// Hangs up on who asks next, and lets all others through.
    pub(crate) fn hang_up_once(&self) {
        self.passage.hang_up.store(true, SeqCst);
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, node: SocketAddr, passage: Arc<Passage>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let node = TcpStream::connect(node).await.unwrap();
        tokio::spawn(pass(client, node, Arc::clone(&passage)));
    }
}

async fn pass(client: TcpStream, node: TcpStream, passage: Arc<Passage>) {
    let ((mut from_client, mut to_client), (mut from_node, mut to_node)) =
        (client.into_split(), node.into_split());
    // Whether all that was sent has been answered, as far as that can be seen.
    let is_answered = Arc::new(AtomicBool::new(true));
    let asks = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from_client.read(&mut piece).await {
            if is_answered.swap(false, SeqCst) {
                passage.turns.fetch_add(1, SeqCst);
                if passage.hang_up.swap(false, SeqCst) {
                    return;
                }
                let one_less = |left: usize| left.checked_sub(1);
                if passage.left.fetch_update(SeqCst, SeqCst, one_less).is_err() {
                    return;
                }
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
