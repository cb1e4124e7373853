//! A ring document that the nodes have lost: restarted, emptied, or told to forget it.
//!
//! An environment that knows the document goes on by it while no node that answers holds one, and the topology, asked
//! for now, lists the nodes of the document's ring in its order. A cold environment goes by that topology as well, so
//! both have one ring. A node that does not answer takes only its own keys out of the cache; it may hold a later
//! document, which this environment learns of as soon as the node answers or the publisher repeats it elsewhere.
//!
//! | state | each `ring_check_interval` costs |
//! | --- | --- |
//! | a node has lost the document, others may hold it | one question to each node, one for the topology |
//! | no node holds it | one question to one node, for document and topology |
//!
//! One call of an environment asks; calls beside it wait for its verdict, within their own deadlines.

use futures_util::future::{join, join_all};
use larder_discovery::Topology;
use larder_ring::{Phase, RingDocument, RingNode};
use tokio::time::{Instant, timeout_at};

use crate::discover::topology_of;
use crate::follow::{After, witnesses};
use crate::moment::Moment;
use crate::node::Node;
use crate::refresh::{Shared, halfway};
use crate::requests::GetTopology;
use crate::view::View;
use crate::{DiscoveryError, Error, NodeError};

/// The last search for a document on all nodes, and what it found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    begun: Moment,
    /// The client flags of the document that was looked for.
    document_flags: Option<u32>,
    is_lost: bool,
}

/// What the nodes that answered hold.
enum Held {
    /// The latest document that one of them holds.
    Document(Box<RingDocument>),
    /// None of them holds one.
    Nothing,
    /// No node answered.
    Unknown,
}

impl Shared {
    /// Looks for a document where none is known, on all nodes: the topology is the ring if no node holds one.
    pub(crate) async fn find_first(&self, view: &View, begun: Moment) -> After {
        let document = match self.held(view, halfway(view.deadline)).await {
            Held::Document(document) => document,
            Held::Nothing => return self.goes_by_topology(view, begun),
            Held::Unknown => return After::Unknown,
        };
        match self.take_document(&document) {
            Some(taken) => {
                self.confirm_by(view, begun, witnesses(&taken, None)).await.unwrap_or(After::Unknown)
            }
            None => self.goes_by_topology(view, begun),
        }
    }

    fn goes_by_topology(&self, view: &View, begun: Moment) -> After {
        view.fleet.note_bare();
        self.times().ring.confirm(begun);
        After::Stands
    }

    /// What to do where none of the nodes that were asked has confirmed the document of `view`: all are asked, by one
    /// call for all, once in an interval. The document stays in use if it is lost on all of them.
    pub(crate) async fn search(&self, view: &View, begun: Moment) -> After {
        let searched = async {
            let mut last = self.searching.lock().await;
            if let Some(found) = self.known().filter(|known| known.document != view.fleet.document) {
                return self.confirm_by(view, begun, witnesses(&found, None)).await.unwrap_or(After::Unknown);
            }
            let interval = self.check_interval();
            let is_recent = |search: &&Search| {
                search.document_flags == view.fleet.document_flags && begun.since(&search.begun) < interval
            };
            match last.as_ref().filter(is_recent) {
                Some(Search { is_lost: true, .. }) => After::Stands,
                Some(Search { is_lost: false, .. }) => After::Unknown,
                None => {
                    let (document_flags, begun) = (view.fleet.document_flags, Moment::now());
                    let after = self.search_all(view, begun).await;
                    let is_lost = matches!(after, After::Stands);
                    *last = Some(Search { begun, document_flags, is_lost });
                    after
                }
            }
        };
        timeout_at(view.deadline, searched).await.unwrap_or(After::Unknown)
    }

    /// Asks all nodes for a document, and one for the topology.
    async fn search_all(&self, view: &View, begun: Moment) -> After {
        match self.held(view, halfway(view.deadline)).await {
            Held::Document(document) => {
                let Some(taken) = self.take_document(&document) else { return After::Unknown };
                self.confirm_by(view, begun, witnesses(&taken, None)).await.unwrap_or(After::Unknown)
            }
            Held::Nothing if self.is_lost_with_its_ring(view).await => {
                self.times().ring.confirm(begun);
                After::Stands
            }
            Held::Nothing | Held::Unknown => After::Unknown,
        }
    }

    /// Whether the document of `view`, which was lost on all nodes an interval ago, is so still, as far as one node and
    /// the topology tell. A publisher goes on to another ring only after all nodes have held its document for longer.
    pub(crate) async fn stays_lost(&self, view: &View, begun: Moment) -> bool {
        for node in witnesses(&view.fleet, None) {
            let deadline = halfway(view.deadline);
            let (held, topology) =
                join(self.fetch(&node, deadline), self.topology_from(&node, deadline)).await;
            match held {
                Ok(None) => {
                    let is_lost = self.is_ring_of(view, topology).await;
                    if is_lost {
                        self.times().ring.confirm(begun);
                    }
                    return is_lost;
                }
                Ok(Some(_)) => return false,
                // Another one may answer.
                Err(_) => {}
            }
        }
        false
    }

    /// Whether the topology, asked for now, is the ring of the document of `view`, which no node holds.
    async fn is_lost_with_its_ring(&self, view: &View) -> bool {
        let Some(document) = view.fleet.document.as_ref().filter(|document| document.phase == Phase::Active)
        else {
            return false;
        };
        let mut topology = Err(NodeError::unanswered().into());
        for node in witnesses(&view.fleet, None) {
            topology = self.topology_from(&node, halfway(view.deadline)).await;
            if topology.is_ok() {
                break;
            }
        }
        let is_lost = self.is_ring_of(view, topology).await;
        if is_lost {
            tracing::warn!(
                epoch = document.epoch.number(),
                "no node holds the ring document; it stays in use"
            );
        }
        is_lost
    }

    /// What the nodes of `view` hold that answer by `deadline`.
    async fn held(&self, view: &View, deadline: Instant) -> Held {
        let nodes = view.fleet.nodes().iter();
        let fetched = join_all(nodes.map(|node| self.fetch(node, deadline))).await;
        let is_answered = fetched.iter().any(Result::is_ok);
        let documents = fetched.into_iter().filter_map(|fetched| fetched.ok()?);
        match documents.reduce(|one, other| if other.is_later_than(&one) { other } else { one }) {
            Some(document) => Held::Document(document.into()),
            None if is_answered => Held::Nothing,
            None => Held::Unknown,
        }
    }

    /// The topology as `node` tells it, over the connection that there is.
    async fn topology_from(&self, node: &Node, deadline: Instant) -> Result<Topology, DiscoveryError> {
        let (answer, connection) = node.ask(&self.common, Moment::now(), deadline, &GetTopology).await?;
        let topology = topology_of(answer).inspect_err(|error| {
            if let DiscoveryError::Exchange(error) = error {
                connection.distrust(error);
            }
        })?;
        topology.ok_or(DiscoveryError::Forgotten)
    }

    /// Whether `topology`, or what the configuration endpoint tells where no node told one, lists the nodes of the ring
    /// of `view` in its order; the document is then known to be lost.
    async fn is_ring_of(&self, view: &View, topology: Result<Topology, DiscoveryError>) -> bool {
        let fleet = match topology {
            Ok(topology) => self.take((topology, None)).map(|(fleet, _)| fleet).map_err(drop),
            Err(_) => self.discover_now(view.deadline).await.map_err(|error: Error| drop(error)),
        };
        let Ok(fleet) = fleet else { return false };
        let is_ring = fleet.document == view.fleet.document
            && fleet.topology.as_ref().zip(fleet.document.as_ref()).is_some_and(|(topology, document)| {
                let listed = topology.nodes().iter().map(larder_discovery::Node::id);
                listed.eq(document.nodes.iter().map(RingNode::identity))
            });
        if is_ring {
            fleet.note_lost();
        }
        is_ring
    }
}
