//! A cluster that `larder local up` runs, by its control socket: one line of JSON, answered by another.
//!
//! The lines are written down here once more rather than shared: `larder-local` starts processes, which a function that
//! is deployed has no use for.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::{ClusterState, ClusterStatus, ControlError, Node, NodeId, NodeStatus, Pending};

/// A local cluster.
///
/// Its changes are made one after the other and are over when they are answered, so it is never seen in the middle of
/// one. It has 30 seconds for each.
#[derive(Debug)]
pub struct Local {
    socket: PathBuf,
}

impl Local {
    /// The cluster whose control socket is `socket`: `control.sock` in its directory. Connects to nothing.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    pub(crate) async fn describe(&self) -> Result<ClusterState, ControlError> {
        let status = self.ask(Request::Status).await?;
        let engine_version = status.nodes.first().map(|node| node.version.clone()).unwrap_or_default();
        Ok(ClusterState {
            id: status.name,
            status: ClusterStatus::Available,
            engine_version,
            node_count: u32::try_from(status.nodes.len()).unwrap_or(u32::MAX),
            nodes: status.nodes.into_iter().map(Node::from).collect(),
            pending: Pending::default(),
            topic: None,
            has_tls: false,
        })
    }

    pub(crate) async fn grow_to(&self, count: u32) -> Result<(), ControlError> {
        let status = self.ask(Request::Status).await?;
        let requests = (status.nodes.len()..count as usize).map(|_| Request::AddNode);
        self.make(requests).await
    }

    pub(crate) async fn remove_nodes(&self, ids: &[NodeId], left: u32) -> Result<(), ControlError> {
        let status = self.ask(Request::Status).await?;
        let there: BTreeSet<_> = status.nodes.iter().map(|node| node.id.as_str()).collect();
        let going: BTreeSet<_> = ids.iter().map(NodeId::as_str).collect();
        if !going.is_subset(&there) || there.len() != going.len() + left as usize {
            return Err(ControlError::Refused(format!(
                "the nodes are {}, from which {} cannot go and leave {left}",
                list(&there),
                list(&going)
            )));
        }
        self.make(going.into_iter().map(|node| Request::RemoveNode { node })).await
    }

    /// Asks for changes, one after the other. One that fails after others were made leaves doubt.
    async fn make(&self, requests: impl Iterator<Item = Request<'_>>) -> Result<(), ControlError> {
        for (made, request) in requests.enumerate() {
            match self.ask(request).await {
                Ok(_) => {}
                Err(error) if made > 0 => return Err(ControlError::NoAnswer(error.into())),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn ask(&self, request: Request<'_>) -> Result<Status, ControlError> {
        let asked = timeout(ANSWER_TIMEOUT, exchange(&self.socket, &request)).await;
        asked.unwrap_or_else(|late| Err(ControlError::NoAnswer(late.into())))
    }
}

async fn exchange(socket: &Path, request: &Request<'_>) -> Result<Status, ControlError> {
    let lost = |error: io::Error| ControlError::NoAnswer(error.into());
    let mut stream =
        UnixStream::connect(socket).await.map_err(|error| ControlError::Unreachable(error.into()))?;
    let mut line = serde_json::to_vec(request).map_err(|error| lost(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(lost)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut answer).await.map_err(lost)?;
    if answer.is_empty() {
        return Err(lost(io::ErrorKind::UnexpectedEof.into()));
    }
    match serde_json::from_str(&answer) {
        Ok(Answer::Status(status)) => Ok(status),
        Ok(Answer::Error(reason)) => Err(ControlError::Refused(reason)),
        Err(error) => Err(ControlError::Malformed(error.to_string())),
    }
}

fn list(ids: &BTreeSet<&str>) -> String {
    ids.iter().copied().collect::<Vec<_>>().join(", ")
}

#[derive(Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Request<'a> {
    Status,
    AddNode,
    RemoveNode { node: &'a str },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Status(Status),
    Error(String),
}

#[derive(Deserialize)]
struct Status {
    name: String,
    nodes: Vec<NodeLine>,
}

#[derive(Deserialize)]
struct NodeLine {
    id: String,
    name: String,
    port: u16,
    state: String,
    version: String,
}

impl From<NodeLine> for Node {
    fn from(line: NodeLine) -> Self {
        let status = match line.state.as_str() {
            "running" => NodeStatus::Available,
            other => NodeStatus::of(other),
        };
        Self { id: NodeId::new(line.id), status, endpoint: Some((line.name, line.port)) }
    }
}

/// How long a change may take: longer than the start of a node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A status of 40 nodes has some 10 KiB.
const MAX_ANSWER: u64 = 256 * 1024;
