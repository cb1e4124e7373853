//! The steps of a client: how it learns of documents, reads by cache-aside, and writes.

use larder_ring::{Reads, Writes};

use crate::documents::{DocumentId, NodeId, has, members};
use crate::model::{Event, Mistake, RingModel};
use crate::state::{COPIER, Client, Copy, Doing, Item, State, Value, Write};

/// What a client does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClientStep {
    /// Its look at the document has become too old; it may have been frozen.
    Lapses,
    /// Between two operations it looks at the document on this node.
    LooksAt(NodeId),
    /// It finds no document where it looks, or nobody answers, and takes this node from discovery.
    IsSentTo(NodeId),
    BeginsRead,
    /// Commits the write at the origin.
    Commits,
    /// Takes the next step of its operation.
    GoesOn,
}

/// What a look at the document on a node says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Look {
    /// There is a later one, and the client goes by it from now on.
    Later,
    /// There is the one that the client goes by.
    Confirmed,
    /// There is none or an earlier one, or the node is none of those whose word counts.
    Nothing,
}

impl RingModel {
    pub(crate) fn client_steps(&self, state: &State, who: u8, mut each: impl FnMut(ClientStep)) {
        let Client { view, is_fresh, doing } = state.clients[usize::from(who)];
        if is_fresh {
            each(ClientStep::Lapses);
        }
        if doing == Doing::Nothing {
            members(self.documents.get(view).all).for_each(|id| each(ClientStep::LooksAt(id)));
            if self.has_operations {
                each(ClientStep::BeginsRead);
            }
            let is_quick = is_fresh || !self.makes(Mistake::SlowWriteCounts);
            if self.has_operations && state.write == Write::ToCome && is_quick {
                each(ClientStep::Commits);
            }
        } else {
            each(ClientStep::GoesOn);
        }
        if !is_fresh && matches!(doing, Doing::Nothing | Doing::Removing { .. }) {
            members(self.listed(state)).for_each(|id| each(ClientStep::IsSentTo(id)));
        }
    }

    pub(crate) fn client_step(&self, state: &mut State, who: u8, step: ClientStep) {
        let is_fresh = state.clients[usize::from(who)].is_fresh;
        match step {
            ClientStep::Lapses => state.clients[usize::from(who)].is_fresh = false,
            ClientStep::LooksAt(id) => {
                self.look(state, who, id);
            }
            ClientStep::IsSentTo(id) => {
                self.adopt_later(state, who, id);
            }
            ClientStep::BeginsRead => {
                let must_check = !is_fresh && !self.makes(Mistake::ReaderDoesNotCheck);
                self.now(state, who, Doing::Asking { least: state.least(), must_check });
            }
            ClientStep::Commits => {
                state.write = Write::Committed;
                self.now(state, who, Doing::Removing { step: 0 });
            }
            ClientStep::GoesOn => match state.clients[usize::from(who)].doing {
                Doing::Nothing => {}
                Doing::Asking { least, must_check } => self.ask(state, who, least, must_check),
                Doing::AskingPresent { least } => self.ask_present(state, who, least),
                Doing::Loading => {
                    let value = state.origin();
                    self.now(state, who, Doing::Filling { value, is_copy: false });
                }
                Doing::Filling { value, is_copy } => self.fill(state, who, value, is_copy),
                Doing::Removing { step } => self.remove(state, who, step),
            },
        }
    }

    /// Asks the owner that is read: a hit is the answer, a miss is a lease if nobody else has it.
    fn ask(&self, state: &mut State, who: u8, least: Value, must_check: bool) {
        let reads = self.reads(state, who);
        let owner = self.owner_read(state, who);
        if !state.node(owner).is_alive {
            return self.end(state, who);
        }
        let before = state.clients[usize::from(who)].view;
        if must_check {
            match self.look(state, who, owner) {
                // The reply is thrown away, and the operation repeated.
                Look::Later => {
                    self.saw(Event::ReaderFollowed);
                    let is_same_owner =
                        self.owner_read(state, who) == owner && self.reads(state, who) == reads;
                    if !is_same_owner || !self.makes(Mistake::KeepsTheReply) {
                        let must_check = !state.clients[usize::from(who)].is_fresh;
                        return self.now(state, who, Doing::Asking { least, must_check });
                    }
                }
                Look::Confirmed => {}
                // The origin answers, and the cache is left alone.
                Look::Nothing => return self.end(state, who),
            }
        }
        match state.node(owner).item {
            Item::Value { value, stamp } if self.trusts(before, owner, stamp) => {
                return self.answer(state, who, value, least);
            }
            Item::Value { .. } => {
                self.saw(Event::OldItemRefused);
                state.node_mut(owner).take_token(who);
            }
            Item::Nothing | Item::Lease => state.node_mut(owner).lease(who),
        }
        if reads == Reads::NextThenPresent {
            self.now(state, who, Doing::AskingPresent { least });
        } else {
            self.now(state, who, Doing::Loading);
        }
    }

    /// Asks the present owner for what the next one did not have, and copies it there.
    fn ask_present(&self, state: &mut State, who: u8, least: Value) {
        let id = state.clients[usize::from(who)].view;
        let present = self.documents.get(id).present;
        match state.node(present).item {
            Item::Value { value, stamp }
                if state.node(present).is_alive && self.trusts(id, present, stamp) =>
            {
                self.answer(state, who, value, least);
                self.now(state, who, Doing::Filling { value, is_copy: true });
            }
            _ => self.now(state, who, Doing::Loading),
        }
    }

    /// Who has lost the lease has nothing to do any more that others could notice: what he loads, or has loaded, is
    /// good for his own answer, and will be refused.
    pub(crate) fn end_without_lease(&self, state: &mut State) {
        if self.stores_without_lease() {
            return;
        }
        for who in 0..state.clients.len() as u8 {
            let is_copy = match state.clients[usize::from(who)].doing {
                Doing::Loading => false,
                Doing::Filling { is_copy, .. } => is_copy,
                _ => continue,
            };
            if !state.node(self.owner_read(state, who)).has_token(who) {
                self.saw(if is_copy { Event::CopyRefused } else { Event::FillRefused });
                self.end(state, who);
            }
        }
        if let Copy::Leased { document } | Copy::Read { document, .. } = state.copy
            && !state.node(self.documents.get(document).next).has_token(COPIER)
        {
            self.saw(Event::CopyRefused);
            state.copy = Copy::Idle;
            state.drop_tokens(COPIER);
        }
    }

    fn fill(&self, state: &mut State, who: u8, value: Value, is_copy: bool) {
        let owner = self.owner_read(state, who);
        let mut stamp = self.documents.get(state.clients[usize::from(who)].view).stamp;
        if let (true, Some(found)) = (self.makes(Mistake::StampOfTheFill), state.node(owner).document) {
            stamp = self.documents.get(found).stamp;
        }
        self.store(state, who, owner, value, stamp, is_copy);
        self.end(state, who);
    }

    /// Stores `value` on `id`, if `who` still has the lease there.
    pub(crate) fn store(
        &self,
        state: &mut State,
        who: u8,
        id: NodeId,
        value: Value,
        stamp: u8,
        is_copy: bool,
    ) {
        let stamp = self.documents.distinct_stamp(id, stamp);
        let node = state.node_mut(id);
        let may_store = match self.mistake {
            Some(Mistake::CopyBySet) if is_copy => true,
            Some(Mistake::CopyByAdd) if is_copy => !matches!(node.item, Item::Value { .. }),
            Some(Mistake::FillBySet) if !is_copy => true,
            _ => node.has_token(who),
        };
        if node.is_alive && may_store {
            node.store(value, stamp);
            self.saw(if is_copy { Event::CopyStored } else { Event::FillStored });
        }
    }

    /// One step of the removals, in the order of the phase, and a look at the document in passing.
    ///
    /// The write has ended when all steps are done under a view that was good to the end; else it is done again.
    fn remove(&self, state: &mut State, who: u8, step: u8) {
        let steps = self.removals(state, who);
        let id = steps[usize::from(step)];
        if state.node(id).is_alive {
            state.node_mut(id).remove_item();
            let must_check = !state.clients[usize::from(who)].is_fresh && !self.ends_unchecked();
            if must_check && self.look(state, who, id) == Look::Later {
                self.saw(Event::WriteRepeated);
                return self.now(state, who, Doing::Removing { step: 0 });
            }
        } else if !self.makes(Mistake::SilenceIsRemoval) {
            // Nobody said that it is done; who knows whether there is a document without this node?
            state.clients[usize::from(who)].is_fresh = false;
            return self.now(state, who, Doing::Removing { step: 0 });
        }
        let is_last = usize::from(step) + 1 == steps.len();
        let is_fresh = state.clients[usize::from(who)].is_fresh;
        if !is_last {
            self.now(state, who, Doing::Removing { step: step + 1 });
        } else if is_fresh || self.ends_unchecked() {
            state.write = Write::Ended;
            self.end(state, who);
        } else {
            self.now(state, who, Doing::Removing { step: 0 });
        }
    }

    fn removals(&self, state: &State, who: u8) -> &'static [NodeId] {
        let view = self.documents.get(state.clients[usize::from(who)].view);
        let (present, next) = (view.present, view.next);
        let is_one = view.phase.writes() == Writes::Present || present == next;
        let order = match (is_one, self.makes(Mistake::NextFirst)) {
            (true, _) => return &EACH[usize::from(present)..][..1],
            (false, false) => (present, next),
            (false, true) => (next, present),
        };
        PAIRS.iter().find(|pair| (pair[0], pair[1]) == order).expect("a pair of nodes")
    }

    /// Looks at the document on a node in passing.
    fn look(&self, state: &mut State, who: u8, id: NodeId) -> Look {
        if !state.node(id).is_alive {
            return Look::Nothing;
        }
        if self.adopt_later(state, who, id) {
            return Look::Later;
        }
        let client = &mut state.clients[usize::from(who)];
        let view = self.documents.get(client.view);
        let counts = if self.makes(Mistake::AnyNodeConfirms) { view.all } else { view.read };
        let is_good = match state.nodes[usize::from(id)].document {
            Some(found) => self.is_same(found, client.view) || self.makes(Mistake::EarlierConfirms),
            None => self.makes(Mistake::NothingConfirms),
        };
        if !is_good || !has(counts, id) {
            return Look::Nothing;
        }
        client.is_fresh = true;
        Look::Confirmed
    }

    /// Goes by the document of a node, if it is later. That is no confirmation unless the node is one of the ring that
    /// is read now: others may have left the ring.
    fn adopt_later(&self, state: &mut State, who: u8, id: NodeId) -> bool {
        let Some(found) = state.node(id).document else { return false };
        let client = &mut state.clients[usize::from(who)];
        if !self.is_later(found, client.view) {
            return false;
        }
        client.view = found;
        let is_read = has(self.documents.get(found).read, id);
        client.is_fresh = is_read || self.makes(Mistake::TrustsWhatItIsHanded);
        if let Doing::Removing { .. } = client.doing {
            client.doing = Doing::Removing { step: 0 };
        }
        true
    }

    fn answer(&self, state: &mut State, who: u8, value: Value, least: Value) {
        state.has_read_stale |= value < least;
        self.end(state, who);
    }

    fn end(&self, state: &mut State, who: u8) {
        self.now(state, who, Doing::Nothing);
        state.drop_tokens(who);
    }

    fn now(&self, state: &mut State, who: u8, doing: Doing) {
        state.clients[usize::from(who)].doing = doing;
    }

    fn reads(&self, state: &State, who: u8) -> Reads {
        let view = self.documents.get(state.clients[usize::from(who)].view);
        if view.present == view.next { Reads::Present } else { view.phase.reads() }
    }

    /// The owner that is asked first and filled.
    fn owner_read(&self, state: &State, who: u8) -> NodeId {
        let view = self.documents.get(state.clients[usize::from(who)].view);
        match self.reads(state, who) {
            Reads::Present => view.present,
            Reads::NextThenPresent | Reads::Next => view.next,
        }
    }

    fn trusts(&self, view: DocumentId, id: NodeId, stamp: u8) -> bool {
        let view = self.documents.get(view);
        self.makes(Mistake::TrustsAll) || view.trusts(id, stamp)
    }

    fn ends_unchecked(&self) -> bool {
        self.makes(Mistake::WriterDoesNotCheck) || self.makes(Mistake::SlowWriteCounts)
    }

    fn stores_without_lease(&self) -> bool {
        [Mistake::CopyByAdd, Mistake::CopyBySet, Mistake::FillBySet, Mistake::LeasesOutliveTheirNode]
            .into_iter()
            .any(|mistake| self.makes(mistake))
    }
}

const EACH: [NodeId; 3] = [0, 1, 2];
const PAIRS: [[NodeId; 2]; 6] = [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]];
