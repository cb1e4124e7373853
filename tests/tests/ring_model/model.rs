//! The model itself: what can happen in a scenario, and what must be true whatever happens.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use larder_ring::Phase;
use stateright::{Model, Property};

use crate::client::ClientStep;
use crate::documents::{DocumentId, Documents, NAMES, NodeId, Nodes, World, has, members, nodes};
use crate::publisher::PublisherStep;
use crate::state::{Client, Copy, Doing, Item, Node, Publisher, State, Write};

/// What happens to a fleet. What is not said here can always happen: clients freeze, publishers crash at every step and
/// run again, notices are lost and repeated, nodes drop the item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// The lists that discovery tells, one after the other, at any time.
    pub(crate) lists: &'static [&'static str],
    /// Which node owns the key in the ring of which nodes.
    pub(crate) owners: &'static [(&'static str, char)],
    /// Nodes that may die for good, each at any time.
    pub(crate) may_be_lost: &'static str,
    /// Nodes that may restart, empty, and drop the document.
    pub(crate) may_fail: &'static str,
    /// How often a node may restart.
    pub(crate) restarts: u8,
    /// How often a node may drop the document alone.
    pub(crate) drops: u8,
    /// By how many seconds the epoch jumps each time that a document is founded anew: longer than documents have been
    /// published before.
    pub(crate) founded_later_secs: u64,
    /// Whether the publisher makes copies of its own, beside those of the readers.
    pub(crate) has_copies: bool,
    /// Whether clients read and write; else they only follow the documents.
    pub(crate) has_operations: bool,
    /// 1, or 2 that do not know of each other.
    pub(crate) publishers: usize,
}

/// A safeguard left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mistake {
    /// Writes go to the next owner before the present one.
    NextFirst,
    /// Copies are stored unless there is a value, whatever happened since the lease.
    CopyByAdd,
    /// Copies are stored whatever happened since the lease.
    CopyBySet,
    /// What was loaded is stored whatever happened since the lease.
    FillBySet,
    /// An item is stamped with the epoch in which it is stored rather than that of its lease.
    StampOfTheFill,
    /// The history is not asked.
    TrustsAll,
    /// The publisher does not wait between two documents.
    DoesNotSettle,
    /// Copies are made before anyone has been told.
    CopiesBeforeTheDocument,
    /// A phase is left out.
    LeavesOut(Phase),
    /// A thawed client reads by its old view.
    ReaderDoesNotCheck,
    /// A thawed client keeps the reply of a node that it would ask again, as its old view judged it.
    KeepsTheReply,
    /// A thawed client ends its write by its old view.
    WriterDoesNotCheck,
    /// A client takes the word of any node that its view names.
    AnyNodeConfirms,
    /// A write counts that began in time, however long it took.
    SlowWriteCounts,
    /// A client takes a node without a document for a confirmation of its own.
    NothingConfirms,
    /// A client takes an earlier document for a confirmation of its own.
    EarlierConfirms,
    /// A client that finds a later document does not ask whether there is a still later one.
    TrustsWhatItIsHanded,
    /// A removal that nobody answered counts.
    SilenceIsRemoval,
    /// CAS numbers begin again when a node restarts, and leases outlive it.
    LeasesOutliveTheirNode,
    /// Who finds no document makes a new one without waiting.
    FoundsAtOnce,
    /// Of two documents with one epoch nobody is the later.
    EpochAlone,
    /// A publisher replaces whatever it finds on a node.
    WritesWithoutLooking,
    /// A publisher replaces every earlier document, even one that it knows nothing of.
    ReplacesWhatIsEarlier,
    /// Two publishers begin with different nodes.
    NoNodeDecides,
    /// From one active document to another the publisher goes at once.
    GoesOnAtOnce,
    /// A publisher waits for those who are behind its document, not for those who go by one of a run that crashed.
    WaitsForNoOtherDocument,
}

/// What a model must have come upon, lest it prove little.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    CopyStored,
    CopyRefused,
    FillStored,
    FillRefused,
    OldItemRefused,
    ReaderFollowed,
    WriteRepeated,
    ChangeEnded,
    TakenOver,
    FoundedAgain,
    GaveUp,
}

/// One step of anyone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    ListChanges,
    Dies(NodeId),
    Restarts(NodeId),
    DropsDocument(NodeId),
    DropsItem(NodeId),
    Publisher(usize, PublisherStep),
    Copies,
    Client(u8, ClientStep),
}

/// A scenario with its rules.
#[derive(Debug)]
pub(crate) struct RingModel {
    scenario: Scenario,
    pub(crate) mistake: Option<Mistake>,
    pub(crate) documents: Documents,
    pub(crate) lists: Vec<Nodes>,
    pub(crate) may_be_lost: Nodes,
    may_fail: Nodes,
    pub(crate) has_copies: bool,
    pub(crate) has_operations: bool,
    seen: AtomicU32,
    /// What is left of states whose change was found to end.
    ending: Mutex<HashSet<State>>,
}

impl RingModel {
    pub(crate) fn of(scenario: Scenario, mistake: Option<Mistake>) -> Self {
        let left_out = match mistake {
            Some(Mistake::LeavesOut(phase)) => Some(phase),
            _ => None,
        };
        let Scenario { lists, owners, .. } = scenario;
        let world = World {
            lists,
            owners,
            may_be_lost: nodes(scenario.may_be_lost),
            foundings: scenario.restarts + scenario.drops,
            founded_later_ms: 1000 * scenario.founded_later_secs,
            left_out,
        };
        Self {
            scenario,
            mistake,
            documents: Documents::of(&world),
            lists: lists.iter().map(|list| nodes(list)).collect(),
            may_be_lost: world.may_be_lost,
            may_fail: nodes(scenario.may_fail),
            has_copies: scenario.has_copies,
            has_operations: scenario.has_operations,
            seen: AtomicU32::new(0),
            ending: Mutex::default(),
        }
    }

    pub(crate) fn has_rivals(&self) -> bool {
        self.scenario.publishers > 1
    }

    pub(crate) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(crate) fn saw(&self, event: Event) {
        let bit = 1 << event as u32;
        // Once seen, it is only looked at: this is in the way of every step.
        if self.seen.load(Ordering::Relaxed) & bit == 0 {
            self.seen.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(crate) fn has_seen(&self, event: Event) -> bool {
        self.seen.load(Ordering::Relaxed) & (1 << event as u32) != 0
    }

    /// Whether a document takes the place of another: its epoch is higher, or it is the later of two with one epoch.
    pub(crate) fn is_later(&self, one: DocumentId, other: DocumentId) -> bool {
        let rank = |id| {
            let document = &self.documents.get(id).document;
            (document.epoch, if self.makes(Mistake::EpochAlone) { 0 } else { document.time_ms })
        };
        rank(one) > rank(other)
    }

    /// Whether two documents are one, as far as anyone can tell.
    pub(crate) fn is_same(&self, one: DocumentId, other: DocumentId) -> bool {
        !self.is_later(one, other) && !self.is_later(other, one)
    }

    /// Whether all clients whose views count go by one document and the one that follows it.
    fn are_neighbours(&self, state: &State) -> bool {
        let [one, other] = &state.clients;
        let (from, to) =
            if self.is_later(one.view, other.view) { (other.view, one.view) } else { (one.view, other.view) };
        !one.is_fresh || !other.is_fresh || from == to || self.documents.is_step(from, to)
    }

    /// Whether the change comes to its end from here if nothing more goes wrong: whatever clients do, the publisher's
    /// runs bring the last document to all nodes within a bounded number of steps.
    fn can_end(&self, state: &State) -> bool {
        let mut calm = *state;
        for client in &mut calm.clients {
            *client = Client { is_fresh: false, doing: Doing::Nothing, ..*client };
        }
        for node in &mut calm.nodes {
            node.remove_item();
        }
        (calm.copy, calm.write) = (Copy::Idle, Write::ToCome);
        if self.ending.lock().unwrap().contains(&calm) {
            return true;
        }
        let ends = self.ends(calm);
        if ends {
            self.ending.lock().unwrap().insert(calm);
        }
        ends
    }

    fn ends(&self, mut state: State) -> bool {
        for _ in 0..MOST_STEPS {
            let mut next = None;
            for which in 0..self.scenario.publishers {
                self.publisher_steps(&state, which, |step| {
                    let is_crash =
                        step == PublisherStep::Begins && state.publishers[which] != Publisher::Down;
                    if !is_crash && next.is_none() {
                        next = self.next_state(&state, Action::Publisher(which, step));
                    }
                });
            }
            match next {
                Some(next) => state = next,
                None => return self.is_at_the_end(&state),
            }
        }
        false
    }

    fn is_at_the_end(&self, state: &State) -> bool {
        self.found(state).is_some_and(|found| {
            let known = self.documents.get(found);
            let has_it = |id: NodeId| !state.node(id).is_alive || state.node(id).document == Some(found);
            let is_last = self.documents.following(found, state.list, self.lost(state)).is_none();
            is_last && known.phase == Phase::Active && members(known.all).all(has_it)
        })
    }
}

impl Model for RingModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let node = |id| Node {
            is_alive: true,
            document: has(self.lists[0], id).then_some(FIRST),
            item: Item::Nothing,
            tokens: 0,
        };
        vec![State {
            list: 0,
            nodes: std::array::from_fn(|id| node(id as NodeId)),
            publishers: [Publisher::Down; 2],
            copy: Copy::Idle,
            clients: [Client { view: FIRST, is_fresh: true, doing: Doing::Nothing }; 2],
            write: Write::ToCome,
            restarts: self.scenario.restarts,
            drops: self.scenario.drops,
            has_read_stale: false,
            has_gone_back: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if usize::from(state.list) + 1 < self.lists.len() {
            actions.push(Action::ListChanges);
        }
        for id in 0..NAMES.len() as NodeId {
            let others = self.listed(state) & !(1 << id);
            if has(self.may_be_lost, id) && state.node(id).is_alive && others != 0 {
                actions.push(Action::Dies(id));
            }
            if has(self.may_fail, id) && state.node(id).document.is_some() {
                if state.restarts > 0 {
                    actions.push(Action::Restarts(id));
                }
                if state.drops > 0 {
                    actions.push(Action::DropsDocument(id));
                }
            }
            if state.node(id).item != Item::Nothing {
                actions.push(Action::DropsItem(id));
            }
        }
        for which in 0..self.scenario.publishers {
            self.publisher_steps(state, which, |step| actions.push(Action::Publisher(which, step)));
        }
        actions.push(Action::Copies);
        for who in 0..state.clients.len() as u8 {
            self.client_steps(state, who, |step| actions.push(Action::Client(who, step)));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        let is_possible = match action {
            Action::ListChanges => {
                state.list += 1;
                true
            }
            Action::Dies(id) => {
                let node = state.node_mut(id);
                node.remove_item();
                *node = Node { is_alive: false, document: None, ..*node };
                true
            }
            Action::Restarts(id) => {
                state.restarts -= 1;
                state.forget_document_token(id);
                let node = state.node_mut(id);
                node.document = None;
                node.item = Item::Nothing;
                if !self.makes(Mistake::LeasesOutliveTheirNode) {
                    node.tokens = 0;
                }
                true
            }
            Action::DropsDocument(id) => {
                state.drops -= 1;
                state.forget_document_token(id);
                state.node_mut(id).document = None;
                true
            }
            Action::DropsItem(id) => {
                state.node_mut(id).remove_item();
                true
            }
            Action::Publisher(which, step) => self.publisher_step(&mut state, which, step),
            Action::Copies => self.copy_step(&mut state),
            Action::Client(who, step) => {
                self.client_step(&mut state, who, step);
                true
            }
        };
        self.settle_runs(&mut state);
        self.end_without_lease(&mut state);
        let state = state.with_clients_in_order();
        (is_possible && state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_OLD_READ, |_, state: &State| !state.has_read_stale),
            Property::always(NO_EPOCH_BACK, |_, state: &State| !state.has_gone_back),
            Property::always(NO_TWO_APART, |model: &Self, state: &State| model.are_neighbours(state)),
            Property::always(EVERY_END, |model: &Self, state| model.can_end(state)),
            Property::sometimes(LAST_RING, |model: &Self, state: &State| {
                usize::from(state.list) + 1 == model.lists.len() && model.is_at_the_end(state)
            }),
        ]
    }
}

pub(crate) const NO_OLD_READ: &str = "no read is older than the last write that ended before it began";
pub(crate) const NO_EPOCH_BACK: &str = "epochs never go back";
pub(crate) const NO_TWO_APART: &str = "no two clients are more than one document apart";
pub(crate) const EVERY_END: &str = "every change comes to its end";
pub(crate) const LAST_RING: &str = "the last list has become the ring";

const FIRST: DocumentId = 0;
/// A run takes a step for each node and document.
const MOST_STEPS: usize = 200;
