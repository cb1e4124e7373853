//! Something between an origin and its server that leads to another one when it is told so.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A port behind which there is another one.
pub(crate) struct Forward {
    pub(crate) port: u16,
    target: Arc<AtomicU16>,
    turns: Arc<AtomicU32>,
}

impl Forward {
    /// Leads to `target` at first.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (target, turns) = (Arc::new(AtomicU16::new(target)), Arc::new(AtomicU32::new(0)));
        let (now, count) = (Arc::clone(&target), Arc::clone(&turns));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", now.load(Ordering::SeqCst))).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&count)));
            }
        });
        Self { port, target, turns }
    }

    /// Leads new connections to `target`; those that there are stay where they are.
    pub(crate) fn lead_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    /// How often a client has spoken behind an answer, or first.
    pub(crate) fn turns(&self) -> u32 {
        self.turns.load(Ordering::SeqCst)
    }

    /// `url`, whose server is at `port`, by way of this.
    pub(crate) fn url(&self, url: &str) -> String {
        let (start, database) = url.rsplit_once('/').unwrap();
        format!("{}:{}/{database}", start.rsplit_once(':').unwrap().0, self.port)
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, turns: Arc<AtomicU32>) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_answered = true;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(len @ 1..) = read else { return };
                turns.fetch_add(u32::from(is_answered), Ordering::SeqCst);
                is_answered = false;
                if server.write_all(&up[..len]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(len @ 1..) = read else { return };
                is_answered = true;
                if client.write_all(&down[..len]).await.is_err() { return }
            }
        }
    }
}
