//! Following the ring document: what a look at it, in passing, leads to.
//!
//! A view is confirmed by that very document, on a node that stays in the ring, and by nothing else: an earlier one or
//! none is no confirmation, nor is what a node says that comes or leaves. That there is none at all, only all nodes that
//! answer can say together ([`crate::lost`]). A client that cannot confirm a view that is too old bypasses the cache.
//! `tests/tests/ring_model.rs` shows what each of these is for.

use std::sync::{Arc, PoisonError};

use larder_ring::RingDocument;
use tokio::time::Instant;

use crate::direct::readable_document_of;
use crate::fleet::Fleet;
use crate::moment::Moment;
use crate::node::Node;
use crate::refresh::{Shared, halfway};
use crate::requests::GetDocument;
use crate::view::{Found, Look, View};
use crate::watch::Watch;
use crate::{Error, NodeError};

/// What a call has to do about the ring when it has its answer.
#[derive(Debug)]
pub(crate) enum After {
    /// It went by the ring in force, as far as it has to know.
    Stands,
    /// It did not; this one is.
    Newer(View),
    /// Nobody can tell which ring is in force, and for too long.
    Unknown,
}

impl After {
    /// The newer view, if there is one; an error where the `result` of the call cannot be answered. One that is an
    /// error itself says more.
    pub(crate) fn newer<T>(self, result: &Result<T, Error>) -> Result<Option<View>, Error> {
        match self {
            Self::Stands => Ok(None),
            Self::Newer(view) => Ok(Some(view)),
            Self::Unknown if result.is_err() => Ok(None),
            Self::Unknown => Err(Error::UnknownRing),
        }
    }
}

impl Shared {
    /// What a call has to do that went by `view`.
    ///
    /// Nothing is asked where the call was to look at no document, or found its own: most of the time.
    pub(crate) async fn after(&self, view: &View) -> After {
        if !view.has_questions() {
            return After::Stands;
        }
        let is_confirmed = is_confirmed(view);
        if is_confirmed {
            self.times().ring.confirm(view.now);
        }
        // Boxed, for it is rare and large, and would have to be carried along by every request.
        match view.ahead() {
            _ if view.was_to_look() && !is_confirmed => Box::pin(self.follow(view)).await,
            Some(ahead) => Box::pin(self.look_ahead(view, ahead)).await,
            None => After::Stands,
        }
    }

    /// The same for a write, which has to have reached those who own its key when it ends: one that took so long that
    /// the ring may have changed meanwhile has to confirm its view once more.
    pub(crate) async fn after_write(&self, view: &View) -> After {
        match self.after(view).await {
            After::Stands if self.has_documents(&view.fleet) && self.has_aged(view) => {
                Box::pin(self.confirmed(view)).await
            }
            after => after,
        }
    }

    /// Whether it has taken so long since the ring of `view` was confirmed that it may have changed: in a freeze, say.
    pub(crate) fn has_aged(&self, view: &View) -> bool {
        let is_old = |since| Watch::is_outdated(since, Moment::now(), self.check_interval());
        let known_since = if is_confirmed(view) { Some(view.now) } else { view.known_since };
        // Somebody may have confirmed it since: this call itself, by asking others than it looked at.
        let is_in_use = || self.known().is_some_and(|fleet| Arc::ptr_eq(&fleet, &view.fleet));
        is_old(known_since) && (!is_in_use() || is_old(self.times().ring.confirmed()))
    }

    /// Makes sure which ring is in force, by nodes of the one of `view` and of those that they tell of.
    pub(crate) async fn confirmed(&self, view: &View) -> After {
        self.find_out(view, Moment::now(), witnesses(&view.fleet, None)).await
    }

    /// Gets the document that the look told of, or what others know where the node has lost it or lags behind, or could
    /// not be asked.
    async fn follow(&self, view: &View) -> After {
        let document = view.fleet.document.as_ref();
        let is_later = |flags: u32| {
            let stamp = RingDocument::stamp_in(flags);
            document.is_none_or(|document| document.epoch.of_stamp(stamp) >= Some(document.epoch))
        };
        let nodes = match view.found() {
            Some(Found::Document(node, flags)) if is_later(*flags) => with_others(node, &view.fleet),
            Some(Found::Document(node, _) | Found::Nothing(node)) => witnesses(&view.fleet, Some(node)),
            None => witnesses(&view.fleet, None),
        };
        match self.find_out(view, view.now, nodes).await {
            // It is good yet, and will be looked at again.
            After::Unknown if !self.is_outdated(view) => After::Stands,
            after => after,
        }
    }

    /// Looks for the later document under which somebody has stored an item on the node `ahead`; once in an interval,
    /// for the item may be of none at all.
    async fn look_ahead(&self, view: &View, ahead: &Arc<Node>) -> After {
        if !self.times().ring.may_try(view.now, self.check_interval()) {
            return After::Stands;
        }
        // One that holds ours has not heard yet.
        for node in with_others(ahead, &view.fleet) {
            if let Some(newer @ After::Newer(_)) = self.confirm_by(view, view.now, vec![node]).await {
                return newer;
            }
        }
        After::Stands
    }

    /// Asks `nodes`, and others that they lead to, which document is in force; what is found is good from `begun` on.
    async fn find_out(&self, view: &View, begun: Moment, nodes: Vec<Arc<Node>>) -> After {
        if view.fleet.document.is_none() {
            return self.find_first(view, begun).await;
        }
        let is_gapless = view.fleet.is_lost() && !self.is_outdated(view);
        if is_gapless && self.stays_lost(view, begun).await {
            return After::Stands;
        }
        match self.confirm_by(view, begun, nodes).await {
            Some(after) => after,
            None => self.search(view, begun).await,
        }
    }

    /// Asks `nodes`, and then those of the rings that are found, until one confirms what it says; `None` if none does.
    /// `begun` is the moment from which on that is good.
    pub(crate) async fn confirm_by(
        &self,
        view: &View,
        begun: Moment,
        mut nodes: Vec<Arc<Node>>,
    ) -> Option<After> {
        let mut fleet = Arc::clone(&view.fleet);
        for _ in 0..MOST_ASKED {
            // From the front: whoever is said to know is asked first.
            if nodes.is_empty() {
                break;
            }
            let node = nodes.remove(0);
            // A silent one leaves time for the others, and for the search on all nodes.
            let document = match self.fetch(&node, halfway(view.deadline)).await {
                Ok(Some(document)) => document,
                Ok(None) => continue,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(node = %node.name, error, "the ring document could not be read");
                    continue;
                }
            };
            let taken = self.take_document(&document)?;
            if taken.document.is_none() {
                // It makes no ring of our kind, for anybody: the topology is the ring.
                self.times().ring.confirm(begun);
                return Some(After::Stands);
            }
            // The document may have told that the node was replaced: it was fetched from the predecessor, which need not
            // hear of what follows.
            if taken.document.as_ref() == Some(&document) && taken.has_witness(&node) {
                self.times().ring.confirm(begun);
                let is_newer = taken.document != view.fleet.document;
                return Some(match is_newer {
                    true => After::Newer(View::new(taken, Moment::now(), view.deadline, Look::since(begun))),
                    false => After::Stands,
                });
            }
            if taken.document != fleet.document {
                // Its own nodes have to confirm it.
                nodes = witnesses(&taken, None);
                fleet = taken;
            }
        }
        None
    }

    /// Whether nobody has confirmed the ring of `view` for too long to go by it.
    fn is_outdated(&self, view: &View) -> bool {
        Watch::is_outdated(view.known_since, view.now, self.check_interval())
    }

    /// The ring document that `node` holds. One that is malformed, or of a format that is not known here, is none.
    pub(crate) async fn fetch(
        &self,
        node: &Node,
        deadline: Instant,
    ) -> Result<Option<RingDocument>, NodeError> {
        let asked = node.ask(&self.common, Moment::now(), deadline, &GetDocument).await;
        let (answer, connection) = asked?;
        readable_document_of(answer.into_reply()?).inspect_err(|error| connection.distrust(error))
    }

    /// Puts `document` to use, unless there is one that is as new; answers the fleet in use.
    pub(crate) fn take_document(&self, document: &RingDocument) -> Option<Arc<Fleet>> {
        let mut held = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let before = held.clone()?;
        if before.document.as_ref().is_some_and(|known| !document.is_later_than(known)) {
            return Some(before);
        }
        let (epoch, phase) = (document.epoch.number(), document.phase);
        let topology = before.topology.clone()?;
        match Fleet::new(self.common.config.ring, topology, Some(document.clone()), Some(&before)) {
            Ok(fleet) => {
                tracing::info!(epoch, ?phase, nodes = fleet.nodes().len(), "ring document taken");
                self.put_to_use(&mut held, Arc::new(fleet));
                held.clone()
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(epoch, error, "no ring can be made of the ring document");
                Some(before)
            }
        }
    }
}

/// Whether the look of `view` told that its ring is the one in force.
fn is_confirmed(view: &View) -> bool {
    view.found().is_some_and(|found| match found {
        Found::Document(_, flags) => Some(*flags) == view.fleet.document_flags,
        Found::Nothing(_) => view.fleet.is_bare(),
    })
}

/// `node`, and a few others in case it does not tell.
fn with_others(node: &Arc<Node>, fleet: &Fleet) -> Vec<Arc<Node>> {
    [Arc::clone(node)].into_iter().chain(witnesses(fleet, Some(node))).collect()
}

/// A few nodes of the ring that is read, but not `node`: any of them, in any order.
pub(crate) fn witnesses(fleet: &Fleet, node: Option<&Arc<Node>>) -> Vec<Arc<Node>> {
    let is_other = |other: &&Arc<Node>| node.is_none_or(|node| !Arc::ptr_eq(other, node));
    let mut some: Vec<_> =
        fleet.nodes().iter().filter(is_other).filter(|node| fleet.is_witness(node)).cloned().collect();
    fastrand::shuffle(&mut some);
    some.truncate(MOST_WITNESSES);
    some
}

/// How many nodes are asked where one has lost the document, or lags behind.
const MOST_WITNESSES: usize = 3;
/// How many nodes are asked in all, where documents lead to other rings.
const MOST_ASKED: usize = 8;
