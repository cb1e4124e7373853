//! What was done, as the caller is told.

use larder_cache::{Report, Unfinished};
use larder_lambda::batch::ItemFailure;
use larder_ring::{Phase, RingNode};
use serde::Serialize;

/// What was done.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Answer {
    /// Whether the ring was compared with what is listed. Not where no notice said that nodes changed.
    pub reconciled: bool,
    /// The documents that were published, in their order.
    pub published: Vec<Published>,
    /// The ring in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingInForce>,
    /// Keys that were copied to nodes that came.
    pub copied_keys: usize,
    /// Nodes that could not be asked, as `host:port`.
    pub unreachable: Vec<String>,
    /// Why there is work left for the next run; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<&'static str>,
    /// For a batch of SQS: the messages that could not be read, which SQS keeps; absent for every other event.
    #[serde(rename = "batchItemFailures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<ItemFailure>>,
}

/// A document that was published.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Published {
    /// Its epoch.
    pub epoch: u64,
    /// Its phase.
    pub phase: Phase,
}

/// The ring in force.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RingInForce {
    /// The epoch of its document.
    pub epoch: u64,
    /// How far the fleet has moved to the next ring.
    pub phase: Phase,
    /// Its nodes, as `host:port`.
    pub nodes: Vec<String>,
    /// The nodes of the next ring, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

impl From<&Report> for Answer {
    fn from(report: &Report) -> Self {
        let published = report.published.iter();
        Self {
            reconciled: true,
            published: published
                .map(|document| Published { epoch: document.epoch.number(), phase: document.phase })
                .collect(),
            ring: report.document.as_ref().map(|document| RingInForce {
                epoch: document.epoch.number(),
                phase: document.phase,
                nodes: document.nodes.iter().map(name).collect(),
                next: document.next.iter().map(name).collect(),
            }),
            copied_keys: report.warmed.copied,
            unreachable: report.unreachable.clone(),
            unfinished: report.unfinished.map(|unfinished| match unfinished {
                Unfinished::OutOfTime => "out of time",
                Unfinished::Unreachable => "a node of the ring cannot be reached",
                Unfinished::Contended => "another run is at work",
            }),
            failures: None,
        }
    }
}

fn name(node: &RingNode) -> String {
    RingNode::new(node.host.clone(), node.port).to_string()
}
