//! The control socket: how the other commands reach a cluster that runs in the foreground.

use crate::{LocalCluster, LocalError, NodeId, Status};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

/// What can be asked over the control socket: one line of JSON, answered by another.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Tell the status.
    Status,
    /// [`LocalCluster::add_node`]
    AddNode,
    /// [`LocalCluster::remove_node`]
    RemoveNode {
        /// The node, or the last one.
        node: Option<NodeId>,
    },
    /// [`LocalCluster::replace_node`]
    ReplaceNode {
        /// The node.
        node: NodeId,
    },
    /// [`LocalCluster::reboot_node`]
    RebootNode {
        /// The node.
        node: NodeId,
    },
}

/// The listening side, in the process that holds the cluster. The socket goes with the value.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Opens the control socket in the directory of `cluster`. Needs a runtime.
    ///
    /// The directory is locked by the cluster, so a socket that is found there was left by one that was killed.
    pub fn open(cluster: &LocalCluster) -> Result<Self, LocalError> {
        let path = cluster.hosts_file().with_file_name(SOCKET);
        // There is none to take away, most of the time.
        let _ = fs::remove_file(&path);
        match UnixListener::bind(&path) {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(LocalError::Dir { path, source }),
        }
    }

    /// Makes the changes that are asked for, one after the other, until it is dropped.
    ///
    /// Bounds: a request has at most 4 KiB and comes within 5 s.
    pub async fn serve(&self, cluster: &LocalCluster) -> Infallible {
        loop {
            let served = match self.listener.accept().await {
                Ok((client, _)) => answer(client, cluster).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::warn!(%error, "a request on the control socket was not served");
                sleep(FAULT_PAUSE).await;
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// Asks the cluster in `dir`, and waits for the change to be made.
///
/// Returns the status after the change. Errors: [`AskError::NoCluster`] if none runs there.
pub fn ask(dir: &Path, request: &Request) -> Result<Status, AskError> {
    let mut stream = BlockingStream::connect(dir.join(SOCKET))
        .map_err(|source| AskError::NoCluster { dir: dir.to_owned(), source })?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(&line(request)?)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut answer)?;
    let answer: Answer = serde_json::from_str(&answer).map_err(io::Error::from)?;
    match answer {
        Answer::Status(status) => Ok(status),
        Answer::Error(reason) => Err(AskError::Refused(reason)),
    }
}

/// Why a request over the control socket has no status as its answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody listens.
    #[error("no cluster runs in {}: start one with `larder local up`", dir.display())]
    NoCluster {
        /// The directory that was tried.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The cluster cannot do it, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The exchange broke; whether the change was made is not known.
    #[error("the cluster did not answer; `larder local status` shows what was done")]
    Lost(#[from] io::Error),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Status(Status),
    Error(String),
}

async fn answer(mut client: UnixStream, cluster: &LocalCluster) -> io::Result<()> {
    let mut request = String::new();
    let mut reader = tokio::io::BufReader::new((&mut client).take(MAX_REQUEST));
    timeout(REQUEST_TIMEOUT, reader.read_line(&mut request)).await??;
    let answer = match serde_json::from_str(&request) {
        Ok(request) => make(request, cluster).await,
        Err(error) => Answer::Error(format!("the request is not understood: {error}")),
    };
    client.write_all(&line(&answer)?).await
}

async fn make(request: Request, cluster: &LocalCluster) -> Answer {
    let made = match request {
        Request::Status => Ok(()),
        Request::AddNode => cluster.add_node().await.map(drop),
        Request::RemoveNode { node } => cluster.remove_node(node).await.map(drop),
        Request::ReplaceNode { node } => cluster.replace_node(node).await.map(drop),
        Request::RebootNode { node } => cluster.reboot_node(node).await.map(drop),
    };
    match made {
        Ok(()) => Answer::Status(cluster.status()),
        Err(error) => Answer::Error(chain(&error)),
    }
}

/// The message of an error and of what caused it, on one line.
fn chain(error: &LocalError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

const SOCKET: &str = "control.sock";
const MAX_REQUEST: u64 = 4 * 1024;
const MAX_ANSWER: u64 = 256 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than the start of a node may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A pause after a fault, so that one that lasts does not turn into a busy loop.
const FAULT_PAUSE: Duration = Duration::from_millis(20);
