//! The change of ring as a small state machine, explored exhaustively: publishers, clients, nodes and copies.
//!
//! The rules are the real ones: documents come from [`larder_ring::RingDocument`], with its steps, phases and history.
//! Around them everything happens in every order, one access to one node at a time:
//!
//! | who | does |
//! | --- | --- |
//! | world | changes the list of nodes; loses a node; restarts one, empty; drops an item, or the document |
//! | publisher | begins a run, at any time and however often (a notice, or none); writes a document to one node; goes on to the next when everyone has had to look; crashes |
//! | copies | lease at the next owner, read the present one, store under the lease |
//! | clients | read by cache-aside, load, fill; commit one write and remove the key from its owners; look at the document; are frozen at any point and for any time |
//!
//! Time is left out. A client is *fresh* as long as it has looked at the document within the interval, and the
//! publisher goes on when all who are fresh go by its document; a client that is not must look in its next operation.
//!
//! What the model has taught, each with a test that fails without it:
//!
//! - A view is confirmed by nothing but that very document, on a node of the ring that is read. An earlier one or none
//!   is no confirmation, nor is any from a node that has left the ring, nor the first later one that is found.
//! - The epoch alone does not name a document: a run that crashes may leave one on a node that is then lost, and the
//!   next run publishes another one under the same epoch. The later of the two takes precedence.
//! - For the same reason a run waits at its first document, too, and for everyone: not only for those behind.
//! - Two publishers replace on a node what they have seen there and nothing else, and begin with the same node.
//! - Who finds no document on any node waits before making a new one.
//! - A removal that nobody answered is none.
//!
//! What it leaves to others: values are only removed, never stored, by a write; a node that is lost is so for everyone;
//! one listed node or one that its document names still has the document, unless all have lost it.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

#[path = "ring_model/client.rs"]
mod client;
#[path = "ring_model/documents.rs"]
mod documents;
#[path = "ring_model/model.rs"]
mod model;
#[path = "ring_model/publisher.rs"]
mod publisher;
#[path = "ring_model/state.rs"]
mod state;

use std::time::Instant;

use larder_ring::Phase;
use model::*;
use stateright::{Checker, HasDiscoveries, Model};

/// A node comes, and the key moves to it.
const GROWTH: Scenario = Scenario {
    lists: &["a", "ab"],
    owners: &[("ab", 'b')],
    may_be_lost: "",
    may_fail: "",
    restarts: 0,
    drops: 0,
    founded_later_secs: 1000,
    has_copies: true,
    has_operations: true,
    publishers: 1,
};
/// The key moves away and returns.
const THERE_AND_BACK: Scenario = Scenario { lists: &["a", "ab", "a"], ..GROWTH };
/// Nodes lose what they hold, or the document alone: all of them may, one after the other.
const FAILURES: Scenario = Scenario { may_fail: "ab", restarts: 1, drops: 1, ..GROWTH };
/// The document is lost twelve hours after it was founded: 16 bits of the epoch make old items look newer than new ones.
const WRAPPED_EPOCHS: Scenario = Scenario { founded_later_secs: 12 * 3600, ..FAILURES };
/// The key moves twice, from nodes that leave the ring and are still there.
const CHAIN: Scenario =
    Scenario { lists: &["ac", "bc", "c"], owners: &[("ac", 'a'), ("bc", 'b')], has_copies: false, ..GROWTH };
/// The next owner is lost in the middle of the change.
const NEXT_OWNER_LOST: Scenario = Scenario { may_be_lost: "b", ..GROWTH };
/// A node beside the next owner is lost: the change goes back, and begins again without it.
const OTHER_NODE_LOST: Scenario = Scenario {
    lists: &["a", "abc"],
    owners: &[("abc", 'b'), ("ab", 'b')],
    may_be_lost: "c",
    has_copies: false,
    ..GROWTH
};
/// The owner is lost, before or while another node comes.
const OWNER_LOST: Scenario = Scenario {
    lists: &["ab", "abc"],
    owners: &[("ab", 'b'), ("abc", 'c'), ("ac", 'c')],
    may_be_lost: "b",
    has_copies: false,
    ..GROWTH
};
/// The list changes while a run is on its way, and the node that has heard of it restarts.
const LIST_CHANGES_TWICE: Scenario = Scenario {
    lists: &["ab", "abc", "b"],
    owners: &[("ab", 'a'), ("abc", 'c')],
    may_fail: "a",
    restarts: 1,
    has_copies: false,
    ..GROWTH
};
/// Two publishers see different lists.
const RIVALS: Scenario = Scenario {
    lists: &["a", "ab", "ac"],
    owners: &[("ab", 'b'), ("ac", 'c')],
    has_copies: false,
    has_operations: false,
    publishers: 2,
    ..GROWTH
};

#[test]
fn a_node_comes() {
    use Event::*;
    holds(GROWTH, &[CopyStored, CopyRefused, FillStored, FillRefused, ReaderFollowed, WriteRepeated]);
}

#[test]
fn a_key_moves_there_and_back() {
    holds(THERE_AND_BACK, &[Event::CopyStored, Event::OldItemRefused, Event::TakenOver, Event::ChangeEnded]);
}

#[test]
fn nodes_restart_and_drop_the_document_until_there_is_none() {
    holds(FAILURES, &[Event::FoundedAgain, Event::ChangeEnded, Event::CopyRefused]);
}

#[test]
fn epochs_wrap_when_a_document_is_founded_anew() {
    holds(WRAPPED_EPOCHS, &[Event::FoundedAgain, Event::ChangeEnded, Event::OldItemRefused]);
}

#[test]
fn a_key_moves_twice() {
    holds(CHAIN, &[Event::ReaderFollowed, Event::WriteRepeated, Event::ChangeEnded]);
}

#[test]
fn the_next_owner_is_lost() {
    holds(NEXT_OWNER_LOST, &[Event::ChangeEnded, Event::CopyStored]);
}

#[test]
fn another_of_the_next_nodes_is_lost() {
    holds(OTHER_NODE_LOST, &[Event::TakenOver, Event::OldItemRefused]);
}

#[test]
fn the_owner_is_lost() {
    holds(OWNER_LOST, &[Event::TakenOver, Event::WriteRepeated]);
}

#[test]
fn a_run_crashes_and_the_next_sees_another_list() {
    holds(LIST_CHANGES_TWICE, &[Event::TakenOver, Event::WriteRepeated]);
}

#[test]
fn two_publishers_see_different_lists() {
    holds(RIVALS, &[Event::GaveUp, Event::TakenOver]);
}

#[test]
fn two_publishers_lose_a_node() {
    let Scenario { lists, owners, may_be_lost, .. } = OTHER_NODE_LOST;
    holds(Scenario { lists, owners, may_be_lost, ..RIVALS }, &[Event::GaveUp, Event::TakenOver]);
}

#[test]
fn the_node_that_decides_between_two_publishers_restarts() {
    let rivals = Scenario { publishers: 2, has_operations: false, ..LIST_CHANGES_TWICE };
    holds(rivals, &[Event::GaveUp, Event::TakenOver]);
}

#[test]
fn next_owner_first_loses_to_a_copy_between_the_two_removals() {
    fails(GROWTH, Mistake::NextFirst, NO_OLD_READ);
}

#[test]
fn a_copy_by_add_outlives_a_removal() {
    fails(GROWTH, Mistake::CopyByAdd, NO_OLD_READ);
}

#[test]
fn a_copy_by_set_outlives_a_removal() {
    fails(GROWTH, Mistake::CopyBySet, NO_OLD_READ);
}

#[test]
fn a_fill_by_set_outlives_a_removal() {
    fails(GROWTH, Mistake::FillBySet, NO_OLD_READ);
}

#[test]
fn a_lease_that_outlives_its_node_outlives_a_removal() {
    fails(Scenario { drops: 0, ..FAILURES }, Mistake::LeasesOutliveTheirNode, NO_OLD_READ);
}

#[test]
fn without_the_history_a_value_returns_with_its_key() {
    fails(THERE_AND_BACK, Mistake::TrustsAll, NO_OLD_READ);
}

#[test]
fn a_fill_that_is_stamped_late_hides_that_its_lease_is_old() {
    fails(THERE_AND_BACK, Mistake::StampOfTheFill, NO_OLD_READ);
}

#[test]
fn a_publisher_that_does_not_wait_leaves_clients_behind() {
    fails(GROWTH, Mistake::DoesNotSettle, NO_OLD_READ);
}

#[test]
fn copies_before_the_document_miss_writes() {
    fails(GROWTH, Mistake::CopiesBeforeTheDocument, NO_OLD_READ);
}

#[test]
fn without_joining_a_write_misses_the_next_owner() {
    fails(GROWTH, Mistake::LeavesOut(Phase::Joining), NO_OLD_READ);
}

#[test]
fn without_leaving_a_write_misses_the_present_owner() {
    fails(GROWTH, Mistake::LeavesOut(Phase::Leaving), NO_OLD_READ);
}

/// The one phase that is there for speed: without it no reader finds anything at the next owner.
#[test]
fn without_warming_nothing_is_wrong_and_nothing_is_copied() {
    let checker = explore(GROWTH, Some(Mistake::LeavesOut(Phase::Warming)), HasDiscoveries::AnyFailures);
    checker.assert_properties();
    assert!(!checker.model().has_seen(Event::CopyStored));
}

/// Where nothing moves but the keys of lost nodes, nobody can be wrong who goes by the ring of before: he reaches no
/// owner.
#[test]
fn from_one_active_document_to_another_nobody_need_wait() {
    for scenario in [NEXT_OWNER_LOST, OTHER_NODE_LOST, OWNER_LOST] {
        let until = HasDiscoveries::AnyOf([NO_OLD_READ, EVERY_END].into());
        let checker = explore(scenario, Some(Mistake::GoesOnAtOnce), until);
        checker.assert_no_discovery(NO_OLD_READ);
        checker.assert_no_discovery(EVERY_END);
        checker.assert_any_discovery(NO_TWO_APART);
    }
}

#[test]
fn a_thawed_reader_that_does_not_look_reads_from_an_owner_of_before() {
    fails(GROWTH, Mistake::ReaderDoesNotCheck, NO_OLD_READ);
}

#[test]
fn a_reply_that_the_old_view_has_judged_is_not_good_for_the_new_one() {
    fails(THERE_AND_BACK, Mistake::KeepsTheReply, NO_OLD_READ);
}

#[test]
fn a_thawed_writer_that_does_not_look_writes_to_an_owner_of_before() {
    fails(GROWTH, Mistake::WriterDoesNotCheck, NO_OLD_READ);
}

#[test]
fn a_write_that_took_too_long_has_not_ended() {
    fails(GROWTH, Mistake::SlowWriteCounts, NO_OLD_READ);
}

#[test]
fn a_removal_that_nobody_answered_is_none() {
    fails(OWNER_LOST, Mistake::SilenceIsRemoval, NO_OLD_READ);
}

#[test]
fn a_node_that_has_left_the_ring_confirms_nothing() {
    fails(CHAIN, Mistake::AnyNodeConfirms, NO_OLD_READ);
}

#[test]
fn a_node_without_a_document_confirms_nothing() {
    fails(FAILURES, Mistake::NothingConfirms, NO_OLD_READ);
}

#[test]
fn an_earlier_document_confirms_nothing() {
    fails(OWNER_LOST, Mistake::EarlierConfirms, NO_OLD_READ);
}

#[test]
fn the_first_later_document_need_not_be_the_last() {
    fails(CHAIN, Mistake::TrustsWhatItIsHanded, NO_OLD_READ);
}

#[test]
fn one_epoch_may_have_two_documents() {
    fails(LIST_CHANGES_TWICE, Mistake::EpochAlone, NO_OLD_READ);
    fails(OTHER_NODE_LOST, Mistake::EpochAlone, NO_OLD_READ);
}

#[test]
fn a_run_that_crashed_may_have_been_a_document_ahead() {
    fails(OTHER_NODE_LOST, Mistake::WaitsForNoOtherDocument, NO_OLD_READ);
}

#[test]
fn a_document_out_of_nothing_must_wait_for_those_who_know_another() {
    fails(FAILURES, Mistake::FoundsAtOnce, NO_OLD_READ);
}

#[test]
fn a_publisher_that_does_not_look_puts_an_earlier_document_back() {
    fails(RIVALS, Mistake::WritesWithoutLooking, NO_EPOCH_BACK);
}

#[test]
fn a_publisher_that_replaces_what_it_has_not_seen_splits_the_fleet() {
    fails(RIVALS, Mistake::ReplacesWhatIsEarlier, NO_TWO_APART);
}

#[test]
fn two_publishers_that_begin_with_different_nodes_split_the_fleet() {
    fails(RIVALS, Mistake::NoNodeDecides, NO_TWO_APART);
}

/// Explores all of `scenario`, and asserts that nothing goes wrong and all of `events` happen.
#[track_caller]
fn holds(scenario: Scenario, events: &[Event]) {
    let checker = explore(scenario, None, HasDiscoveries::AnyFailures);
    checker.assert_properties();
    for event in events {
        assert!(checker.model().has_seen(*event), "{event:?} has never happened");
    }
}

/// Explores `scenario` with one safeguard less, and asserts that `property` does not hold any more.
#[track_caller]
fn fails(scenario: Scenario, mistake: Mistake, property: &'static str) {
    let checker = explore(scenario, Some(mistake), HasDiscoveries::AnyOf([property].into()));
    let path = checker.assert_any_discovery(property);
    println!("not so, that {property}:");
    for (state, action) in path.into_vec() {
        println!("  {}", action.map_or_else(|| format!("{state:?}"), |action| format!("{action:?}")));
    }
}

/// One thread finds the shortest counterexample, the same each time; the tests run side by side.
fn explore(scenario: Scenario, mistake: Option<Mistake>, until: HasDiscoveries) -> impl Checker<RingModel> {
    let start = Instant::now();
    let checker = RingModel::of(scenario, mistake).checker().finish_when(until).spawn_bfs().join();
    let (unique, all, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    println!("{mistake:?}: {unique} states, {all} transitions, {depth} deep, {:?}", start.elapsed());
    checker
}
