//! The steps of the publisher: it reads the documents, writes the one in force to all, waits, and writes the next.

use larder_ring::Phase;

use crate::documents::{ALL, DocumentId, NodeId, Nodes, has, members};
use crate::model::{Event, Mistake, RingModel};
use crate::state::{COPIER, Copy, Item, Publisher, State};

/// What a publisher does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PublisherStep {
    /// A run begins, for a notice or by the schedule: it reads the documents of the nodes. If another one was on its
    /// way, that has crashed; a crash that nothing follows is a run that takes no more steps.
    Begins,
    /// It writes its document to this node.
    WritesTo(NodeId),
    /// Everyone has had to look: it goes on to the next document.
    Advances,
}

impl RingModel {
    pub(crate) fn publisher_steps(&self, state: &State, which: usize, mut each: impl FnMut(PublisherStep)) {
        if let Publisher::Up { document, is_stored, .. } = state.publishers[which] {
            if is_stored {
                each(PublisherStep::Advances);
            } else {
                // One node decides between two publishers, so it is the first for both.
                let first = members(self.documents.get(document).all).find(|id| state.node(*id).is_alive);
                let one_decides = self.has_rivals() && !self.makes(Mistake::NoNodeDecides);
                let waits = one_decides && self.lacking(state, document).any(|id| Some(id) == first);
                let ready = self.lacking(state, document).filter(|id| !waits || Some(*id) == first);
                ready.for_each(|id| each(PublisherStep::WritesTo(id)));
            }
        }
        each(PublisherStep::Begins);
    }

    /// Whether the step could be taken.
    pub(crate) fn publisher_step(&self, state: &mut State, which: usize, step: PublisherStep) -> bool {
        match (step, state.publishers[which]) {
            (PublisherStep::Begins, _) => self.begin(state, which),
            (PublisherStep::WritesTo(id), Publisher::Up { document, .. }) => {
                self.write_to(state, which, document, id);
                true
            }
            (PublisherStep::Advances, Publisher::Up { document, .. }) => {
                let next = self.documents.following(document, state.list, self.lost(state));
                let is_active = |id| self.documents.get(id).phase == Phase::Active;
                let is_at_once = |next| {
                    self.makes(Mistake::DoesNotSettle)
                        || self.makes(Mistake::GoesOnAtOnce) && is_active(document) && is_active(next)
                };
                let may_follow = |next: &DocumentId| is_at_once(*next) || self.is_settled(state, document);
                let Some(next) = next.filter(may_follow) else { return false };
                if let Publisher::Up { document, is_stored, .. } = &mut state.publishers[which] {
                    (*document, *is_stored) = (next, false);
                }
                true
            }
            _ => false,
        }
    }

    /// A run ends by itself when nothing is left to do, and knows when all nodes have its document.
    pub(crate) fn settle_runs(&self, state: &mut State) {
        for which in 0..state.publishers.len() {
            let Publisher::Up { document, is_stored, tokens, empty } = state.publishers[which] else {
                continue;
            };
            let is_stored = is_stored || self.lacking(state, document).next().is_none();
            state.publishers[which] = Publisher::Up { document, is_stored, tokens, empty };
            if is_stored && self.documents.following(document, state.list, self.lost(state)).is_none() {
                state.publishers[which] = Publisher::Down;
                self.saw(Event::ChangeEnded);
            }
        }
    }

    fn begin(&self, state: &mut State, which: usize) -> bool {
        let document = match self.found(state) {
            Some(found) => {
                let following = self.documents.following(found, state.list, self.lost(state));
                if following.is_none() && self.lacking(state, found).next().is_none() {
                    return false;
                }
                if self.documents.get(found).phase != Phase::Active {
                    self.saw(Event::TakenOver);
                }
                found
            }
            None => {
                // No document anywhere: who has looked at one within the interval still goes by it.
                let is_settled = state.clients.iter().all(|client| !client.is_fresh);
                if !is_settled && !self.makes(Mistake::FoundsAtOnce) {
                    return false;
                }
                let seen = state.nodes.iter().filter_map(|node| node.document);
                let seen = seen.chain(state.clients.iter().map(|client| client.view));
                let founding = 1 + seen.map(|id| self.documents.founding(id)).max().unwrap_or(0);
                let document = self.documents.founded(founding, state.list, self.lost(state));
                self.saw(Event::FoundedAgain);
                document
            }
        };
        self.stop(state, which);
        let alive = members(ALL).filter(|id| self.has_rivals() && state.node(*id).is_alive);
        let (tokens, empty) = alive.fold((0, 0), |(tokens, empty), id| match state.node(id).document {
            Some(_) => (tokens | 1 << id, empty),
            None => (tokens, empty | 1 << id),
        });
        state.publishers[which] = Publisher::Up { document, is_stored: false, tokens, empty };
        true
    }

    /// Writes a document to a node in place of what this publisher has found or written there. Where there is another
    /// one, somebody else publishes, and the run gives up.
    fn write_to(&self, state: &mut State, which: usize, document: DocumentId, id: NodeId) {
        let found = state.node(id).document;
        if let (Publisher::Up { tokens, empty, .. }, true) = (state.publishers[which], self.has_rivals()) {
            let may_write = match self.mistake {
                Some(Mistake::WritesWithoutLooking) => true,
                Some(Mistake::ReplacesWhatIsEarlier) => {
                    found.is_none_or(|found| self.is_later(document, found))
                }
                _ => has(tokens, id) || has(empty, id) && found.is_none(),
            };
            if !may_write {
                self.saw(Event::GaveUp);
                return self.stop(state, which);
            }
            state.forget_document_token(id);
            if let Publisher::Up { tokens, .. } = &mut state.publishers[which] {
                *tokens |= 1 << id;
            }
        }
        state.has_gone_back |= found.is_some_and(|found| !self.is_later(document, found));
        state.node_mut(id).document = Some(document);
    }

    fn stop(&self, state: &mut State, which: usize) {
        state.publishers[which] = Publisher::Down;
        if which == COPYING {
            state.copy = Copy::Idle;
            state.drop_tokens(COPIER);
        }
    }

    /// The latest document that is found on the listed nodes, and on those that it names.
    pub(crate) fn found(&self, state: &State) -> Option<DocumentId> {
        let latest = |nodes: Nodes| {
            let alive = members(nodes).map(|id| state.node(id)).filter(|node| node.is_alive);
            let mut found = alive.filter_map(|node| node.document);
            let first = found.next()?;
            Some(found.fold(first, |latest, other| if self.is_later(other, latest) { other } else { latest }))
        };
        let listed = self.listed(state);
        let found = latest(listed)?;
        latest(listed | self.documents.get(found).all)
    }

    /// The living nodes that `document` is still to be written to.
    fn lacking<'a>(&self, state: &'a State, document: DocumentId) -> impl Iterator<Item = NodeId> + use<'a> {
        members(self.documents.get(document).all).filter(move |id| {
            let node = state.node(*id);
            node.is_alive && node.document != Some(document)
        })
    }

    /// Whether everyone whose view still counts goes by `document`, and by no other that a run before had begun with.
    fn is_settled(&self, state: &State, document: DocumentId) -> bool {
        let may_be_later = self.makes(Mistake::WaitsForNoOtherDocument);
        state.clients.iter().all(|client| {
            let is_later = may_be_later && self.is_later(client.view, document);
            !client.is_fresh || self.is_same(client.view, document) || is_later
        })
    }

    /// Whether the next step of a copy could be taken.
    pub(crate) fn copy_step(&self, state: &mut State) -> bool {
        match state.copy {
            Copy::Idle => return self.begin_copy(state),
            Copy::Leased { document } => {
                let known = self.documents.get(document);
                let present = *state.node(known.present);
                state.copy = match present.item {
                    Item::Value { value, stamp }
                        if present.is_alive && known.trusts(known.present, stamp) =>
                    {
                        Copy::Read { document, value }
                    }
                    _ => Copy::Idle,
                };
            }
            Copy::Read { document, value } => {
                let known = self.documents.get(document);
                self.store(state, COPIER, known.next, value, known.stamp, true);
                state.copy = Copy::Idle;
            }
        }
        if state.copy == Copy::Idle {
            state.drop_tokens(COPIER);
        }
        true
    }

    fn begin_copy(&self, state: &mut State) -> bool {
        let Some(document) = self.to_copy_under(state).filter(|_| self.has_copies) else { return false };
        let known = self.documents.get(document);
        let node = state.node_mut(known.next);
        if known.present == known.next || !node.is_alive {
            return false;
        }
        match node.item {
            Item::Nothing => node.lease(COPIER),
            Item::Value { stamp, .. } if !known.trusts(known.next, stamp) => node.take_token(COPIER),
            // Somebody else fills it, or it is there.
            Item::Lease | Item::Value { .. } => return false,
        }
        state.copy = Copy::Leased { document };
        true
    }

    /// The document that copies are made under, if it is time to make some.
    fn to_copy_under(&self, state: &State) -> Option<DocumentId> {
        let Publisher::Up { document, .. } = state.publishers[COPYING] else { return None };
        let is_warming = |id: &DocumentId| self.documents.get(*id).phase == Phase::Warming;
        if self.makes(Mistake::CopiesBeforeTheDocument) {
            let following = |id| self.documents.following(id, state.list, self.lost(state));
            return following(document).and_then(following).filter(is_warming);
        }
        Some(document).filter(is_warming)
    }

    pub(crate) fn listed(&self, state: &State) -> Nodes {
        self.lists[usize::from(state.list)] & !self.lost(state)
    }

    pub(crate) fn lost(&self, state: &State) -> Nodes {
        members(ALL).filter(|id| !state.node(*id).is_alive).fold(0, |set, id| set | 1 << id)
    }
}

/// The publisher that makes copies, where there are two.
const COPYING: usize = 0;
