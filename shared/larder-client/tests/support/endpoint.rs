//! A configuration endpoint that says what the test wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::script::GREETING;

/// A configuration endpoint on a port that the system chose. It ends with its owner.
pub(crate) struct ConfigEndpoint {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Told>>,
    asked: Arc<AtomicUsize>,
    task: AbortHandle,
}

/// What the endpoint answers.
struct Told {
    /// To a request for the nodes.
    nodes: Answer,
    /// To a request for the ring document: nothing, unless told otherwise.
    document: String,
}

/// What the endpoint answers to a request for the nodes.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, each in a packet of its own.
    Drip(Vec<u8>),
    /// Nothing, and the connection stays open.
    Silence,
    /// Nothing, and the connection is closed.
    Hangup,
}

impl ConfigEndpoint {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Told { nodes: answer, document: "EN\r\n".to_owned() };
        let (told, asked) = (Arc::new(Mutex::new(told)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(serve(listener, told.clone(), asked.clone())).abort_handle();
        Self { address, told, asked, task }
    }

    /// An endpoint that lists nodes.
    pub(crate) async fn listing(payload: &str) -> Self {
        Self::start(Answer::listing(payload)).await
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).nodes = answer;
    }

    /// Answers so to whoever asks for the ring document from now on.
    pub(crate) fn answer_document(&self, reply: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).document = reply.to_owned();
    }

    /// Lists these nodes from now on.
    pub(crate) fn list(&self, payload: &str) {
        self.answer(Answer::listing(payload));
    }

    /// How many connections came so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Answer {
    /// The frame of `config get cluster` around `payload`.
    pub(crate) fn listing(payload: &str) -> Self {
        Self::Bytes(framed(payload))
    }

    pub(crate) fn bytes(bytes: &str) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl Drop for ConfigEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn framed(payload: &str) -> Vec<u8> {
    format!("CONFIG cluster 0 {}\r\n{payload}\r\nEND\r\n", payload.len()).into_bytes()
}

async fn serve(listener: TcpListener, told: Arc<Mutex<Told>>, asked: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        asked.fetch_add(1, Ordering::SeqCst);
        let told = told.clone();
        tokio::spawn(async move {
            // A client that leaves early is its own business.
            let _ = talk(stream, &told).await;
        });
    }
}

async fn talk(stream: TcpStream, told: &Mutex<Told>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let (answer, document) = {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            (told.nodes.clone(), told.document.clone())
        };
        match (line.as_str(), answer) {
            (_, Answer::Silence) => std::future::pending().await,
            (_, Answer::Hangup) => return Ok(()),
            ("version", _) => writer.write_all(GREETING.as_bytes()).await?,
            ("config get cluster", Answer::Bytes(bytes)) => writer.write_all(&bytes).await?,
            ("config get cluster", Answer::Drip(bytes)) => {
                for byte in bytes {
                    writer.write_all(&[byte]).await?;
                    tokio::task::yield_now().await;
                }
            }
            ("mg larder~ring c f v", _) => writer.write_all(document.as_bytes()).await?,
            ("get AmazonElastiCache:cluster", _) => writer.write_all(b"END\r\n").await?,
            (other, _) => writer.write_all(format!("CLIENT_ERROR {other}\r\n").as_bytes()).await?,
        }
    }
    Ok(())
}
