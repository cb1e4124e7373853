//! The keys of a node, where it lists them: for copies and diagnosis, never for anything that must work.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BytesMut};
use larder_meta::{DUMP_KEYS, Decoded, Dumped, Key, Limits, Ttl, decode_dump};
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::stream::Stream;
use crate::{Error, NodeError};

/// A key of a node, and when its item ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DumpedKey {
    /// The key.
    pub key: Key,
    /// How long the item has left, from 2 s; [`Ttl::MAX`] for an item that never ends.
    pub ttl: Ttl,
}

/// The list of a node's keys, as it comes.
#[derive(Debug)]
pub struct Dump {
    node: Arc<str>,
    stream: Stream,
    incoming: BytesMut,
    patience: Duration,
    limits: Limits,
    is_over: bool,
}

impl Cluster {
    /// Begins to list the keys of the `index`th node, from 0 in the order of the topology, on a connection of its
    /// own; `None` where there are fewer nodes.
    ///
    /// ElastiCache has the command switched off from 1.6.17 on, and Serverless does not know it.
    pub async fn dump(&self, index: usize) -> Result<Option<Dump>, Error> {
        let (now, deadline) = self.begin();
        let (fleet, _) = self.shared.fleet(now, deadline, false).await?;
        let Some(node) = fleet.nodes().get(index) else { return Ok(None) };
        let common = &self.shared.common;
        let begin = async {
            let mut stream = common.connector.stream(&node.site(), deadline).await?;
            write_all(&mut stream, DUMP_KEYS).await?;
            Ok(stream)
        };
        let begun = tokio::time::timeout_at(deadline, begin).await.unwrap_or(Err(NodeError::Deadline));
        Ok(Some(Dump {
            stream: begun.map_err(|error| self.failed(node, error))?,
            node: Arc::clone(&node.name),
            incoming: BytesMut::with_capacity(READ_BYTES),
            patience: common.config.timeout,
            limits: common.limits,
            is_over: false,
        }))
    }
}

impl Dump {
    /// The next keys, some thousands at most; none at the end of the list.
    ///
    /// Waits for each for [`Config::timeout`](crate::Config::timeout) at most. What is left unread when the future is
    /// dropped comes with the next call.
    pub async fn next(&mut self) -> Result<Vec<DumpedKey>, Error> {
        let mut keys = Vec::new();
        while keys.is_empty() && !self.is_over {
            let read = timeout(self.patience, self.read(&mut keys)).await;
            read.unwrap_or(Err(NodeError::Deadline))
                .map_err(|source| Error::Node { node: Arc::clone(&self.node), source })?;
        }
        Ok(keys)
    }

    async fn read(&mut self, keys: &mut Vec<DumpedKey>) -> Result<(), NodeError> {
        self.incoming.reserve(READ_BYTES);
        let read = poll_fn(|cx| self.stream.poll_read(cx, &mut self.incoming)).await;
        if read.map_err(lost)? == 0 {
            return Err(NodeError::Lost { replied: true, source: None });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        while let Decoded::Reply(line) = decode_dump(&mut self.incoming, &self.limits)? {
            match line {
                Dumped::Key { key, expires_at_secs } => {
                    let ttl = expires_at_secs.map_or(Ttl::MAX, |at| Ttl::clamped(at.saturating_sub(now)));
                    keys.push(DumpedKey { key, ttl });
                }
                Dumped::Skipped => {}
                Dumped::Refused(refusal) => return Err(refusal.into()),
                Dumped::End => {
                    self.is_over = true;
                    break;
                }
            }
        }
        Ok(())
    }
}

async fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> Result<(), NodeError> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| stream.poll_write(cx, bytes)).await.map_err(lost)?;
        bytes.advance(written);
    }
    poll_fn(|cx| stream.poll_flush(cx)).await.map_err(lost)
}

fn lost(error: std::io::Error) -> NodeError {
    NodeError::Lost { replied: false, source: Some(Arc::new(error)) }
}

const READ_BYTES: usize = 64 << 10;
