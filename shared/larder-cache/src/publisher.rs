//! Whoever publishes the ring document: brings the fleet from the ring it has to the ring it should have.
//!
//! One run does as much as its time allows; the next one goes on where it ended, wherever that was, for all that it
//! needs to know stands on the nodes. Two runs at once hold each other up and do no harm.

use larder_client::{Cluster, Error, Key};
use larder_ring::{Epoch, HotKey, Phase, RingDocument, RingNode};
use tokio::time::{Instant, timeout_at};

use crate::record::is_reserved;
use crate::run::{Run, Wish};
use crate::survey::Survey;
use crate::warm::{WarmUp, Warmed};

/// Publishes the ring document of a cluster.
#[derive(Clone, Debug)]
pub struct Publisher {
    cluster: Cluster,
    warm_up: WarmUp,
}

/// What a run has done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The documents that it has published, in their order.
    pub published: Vec<Published>,
    /// The document in force at its end; `None` if there is none.
    pub document: Option<RingDocument>,
    /// What it has copied.
    pub warmed: Warmed,
    /// Nodes that could not be asked, as `host:port`.
    pub unreachable: Vec<String>,
    /// What there is left to do for the next run; `None` if the ring is as it should be.
    pub unfinished: Option<Unfinished>,
}

/// A document that a run has published.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Published {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its phase.
    pub phase: Phase,
    /// When the first node had it.
    pub at: Instant,
}

/// Why a run has not finished its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfinished {
    /// Its time was over.
    OutOfTime,
    /// A node cannot be asked, or takes no document: the change waits until it does, or is taken off the list.
    Unreachable,
    /// Another run is at work.
    Contended,
}

/// Why a run could do nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The nodes are not known.
    #[error("the nodes are not known")]
    Nodes(#[source] Error),
    /// The deadline passed before the nodes had answered.
    #[error("the nodes have not answered in time")]
    Deadline,
    /// The cluster is no cluster: a fixed list, a plain memcached or ElastiCache Serverless.
    #[error(
        "the endpoint knows of no cluster, so there is no ring to publish: name a configuration endpoint"
    )]
    NoCluster,
    /// A node holds a document of another format, which a later version of Larder has written. It is left alone.
    #[error(
        "the ring document has format {0}, which is not known here: update the function that publishes it"
    )]
    Format(u64),
    /// The key cannot have that many copies.
    #[error("the key cannot have copies: {0}")]
    CannotCopy(&'static str),
    /// The node cannot leave the ring.
    #[error("{0} cannot leave the ring: it is the last node there, or none of this cluster")]
    CannotRetire(String),
}

impl Publisher {
    /// Publishes for `cluster`, and warms nodes as `warm_up` says.
    pub fn new(cluster: Cluster, warm_up: WarmUp) -> Self {
        Self { cluster, warm_up }
    }

    /// Brings the ring to what discovery lists, until `deadline` at most, and a store of the document longer.
    ///
    /// Takes a few times [`Cluster::settle_time`], and the time of the warm-up, where nodes come or go; one look at
    /// every node where nothing has changed. May be called again at any time, and by many at once.
    pub async fn reconcile(&self, deadline: Instant) -> Result<Report, PublishError> {
        self.run(deadline).go_on(&Wish::None).await
    }

    /// Takes `node` out of the ring, warming the others first, although discovery lists it: for a node that is to be
    /// removed. If the report says that it is finished, nobody goes by a ring with the node any more.
    pub async fn retire(&self, node: &RingNode, deadline: Instant) -> Result<Report, PublishError> {
        self.run(deadline).go_on(&Wish::Retire(node)).await
    }

    /// Takes `node` back into the ring, after it was not removed after all.
    pub async fn restore(&self, node: &RingNode, deadline: Instant) -> Result<Report, PublishError> {
        self.run(deadline).go_on(&Wish::Restore(node)).await
    }

    /// Has so many `copies` kept of `key`, each where the ring places it, or only itself again: for a key that would
    /// sink one node. If the report says that it is finished, reads are spread over the copies, or nobody reads them
    /// any more.
    ///
    /// Takes a [`Cluster::settle_time`] for each of two steps, after a change of the ring that is under way. What a run
    /// leaves undone the next one of the same wish does; until then all copies are written that anybody may read.
    ///
    /// # Errors
    ///
    /// [`PublishError::CannotCopy`] for a number of copies that is none of [`HotKey::COPIES`], for a key that is no
    /// text or one of Larder's own, and where there are too many hot keys.
    pub async fn copies(
        &self,
        key: &Key,
        copies: Option<u32>,
        deadline: Instant,
    ) -> Result<Report, PublishError> {
        let name =
            std::str::from_utf8(key.as_bytes()).map_err(|_| PublishError::CannotCopy("it is no text"))?;
        if is_reserved(key) {
            return Err(PublishError::CannotCopy("it is one of Larder's own"));
        }
        if copies.is_some_and(|copies| !HotKey::COPIES.contains(&copies)) {
            return Err(PublishError::CannotCopy("a key has 2 to 16 copies"));
        }
        self.run(deadline).go_on(&Wish::Copies { key, name, copies }).await
    }

    /// The ring document in force, as the nodes have it; `None` if there is none.
    pub async fn document(&self, deadline: Instant) -> Result<Option<RingDocument>, PublishError> {
        let survey = timeout_at(deadline, Survey::take(&self.cluster)).await;
        Ok(survey.unwrap_or(Err(PublishError::Deadline))?.current)
    }

    fn run(&self, deadline: Instant) -> Run<'_> {
        Run::new(&self.cluster, &self.warm_up, deadline)
    }
}
