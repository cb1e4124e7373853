//! The handler over a real local cluster, and a ring that remembers what it was asked.

use std::time::{Duration, SystemTime};

use crate::support::{Asked, House, Recorder, alarm, app, handle_now};
use larder_control::{ControlPlane, Local};
use larder_local::NodeId;
use larder_scale::{Failure, Handled, RESERVE, RingState, SHORTEST_RETIREMENT, Work, handle};
use serde_json::{Value, json};
use tokio::time::Instant;

#[tokio::test]
async fn a_call_for_one_more_gets_one_more_and_leaves_the_ring_to_the_notice() {
    let house = House::start(2).await;
    let app = house.app(Recorder::default());
    let handled = house.handle(&app, json!({ "nodes": 1 })).await;
    check_answer(&handled, json!({ "done": "out", "from": 2, "to": 3 }));
    assert_eq!(house.ids(), ["0001", "0002", "0003"]);
    assert_eq!(app.ring.asked(), []);
    assert_eq!(handled.work, Work { nodes_added: 1, ..Work::default() });
}

#[tokio::test]
async fn a_call_for_one_less_takes_the_newest_out_of_the_ring_and_then_away() {
    let house = House::start(3).await;
    let app = house.app(Recorder::default());
    let newest = house.endpoint(2);
    let handled = house.handle(&app, json!({ "nodes": -1 })).await;
    check_answer(
        &handled,
        json!({ "done": "in", "from": 3, "to": 2, "node": "0003", "endpoint": newest, "epoch": 8, "copied_keys": 12 }),
    );
    assert_eq!(house.ids(), ["0001", "0002"]);
    assert_eq!(app.ring.asked(), [Asked::Retire(newest, Some(3))], "it was still there");
    assert_eq!(handled.work, Work { nodes_removed: 1, copied_keys: 12, ..Work::default() });
}

#[tokio::test]
async fn the_alarms_of_the_settings_do_the_same() {
    let house = House::start(3).await;
    let event = |name| json!({ "Records": [alarm(name, "ALARM")] });
    let out = house.handle(&house.app(Recorder::default()), event("full")).await;
    check_answer(&out, json!({ "done": "out", "from": 3, "to": 4 }));
    house.handle(&house.app(Recorder::default()), event("empty")).await.answer.unwrap();
    assert_eq!(house.ids(), ["0001", "0002", "0003"]);
}

#[tokio::test]
async fn other_messages_are_answered_without_a_question() {
    let app = app(nobody(), Recorder::default());
    for (record, detail) in [
        (alarm("full", "OK"), "alarm \"full\" went to \"OK\", and acts on ALARM alone"),
        (alarm("ReadErrors", "ALARM"), "alarm \"ReadErrors\" is not named in the settings"),
        (json!({ "Sns": { "Message": "hello" } }), "the message is not that of an alarm"),
    ] {
        let handled = handle_now(&app, json!({ "Records": [record] })).await;
        check_answer(&handled, json!({ "done": "nothing", "why": "ignored", "detail": detail }));
        assert_eq!(handled.work, Work { ignored: 1, ..Work::default() });
    }
}

#[tokio::test]
async fn another_event_is_an_error() {
    let handled = handle_now(&app(nobody(), Recorder::default()), json!({ "nodes": 2 })).await;
    assert!(matches!(handled.answer, Err(Failure::InvalidEvent(_))), "{handled:?}");
    assert_eq!(handled.work, Work { failures: 1, ..Work::default() });
}

#[tokio::test]
async fn bounds_are_kept() {
    for (nodes, event, why) in [(4, 1, "at-most"), (2, -1, "at-least")] {
        let house = House::start(nodes).await;
        let app = house.app(Recorder::default());
        let handled = house.handle(&app, json!({ "nodes": event })).await;
        check_refused(&handled, why, nodes);
        assert_eq!((house.ids().len(), app.ring.asked()), (nodes, vec![]));
    }
}

#[tokio::test]
async fn after_a_change_the_next_waits_for_the_cool_down() {
    let house = House::start(3).await;
    let changed = SystemTime::now() - Duration::from_secs(590);
    let state = RingState { last_change: Some(changed), ..RingState::default() };
    let app = house.app(Recorder { state, ..Recorder::default() });
    for nodes in [1, -1] {
        check_refused(&house.handle(&app, json!({ "nodes": nodes })).await, "cool-down", 3);
    }
    assert_eq!((house.ids().len(), app.ring.asked()), (3, vec![]));

    let state = RingState { last_change: Some(changed - Duration::from_secs(10)), ..RingState::default() };
    let app = house.app(Recorder { state, ..Recorder::default() });
    house.handle(&app, json!({ "nodes": 1 })).await.answer.unwrap();
    assert_eq!(house.ids().len(), 4);
}

#[tokio::test]
async fn a_ring_that_cannot_be_read_keeps_the_cluster_as_it_is() {
    let house = House::start(3).await;
    for nodes in [1, -1] {
        let app = house.app(Recorder { is_unreadable: true, ..Recorder::default() });
        let handled = house.handle(&app, json!({ "nodes": nodes })).await;
        assert!(matches!(handled.answer, Err(Failure::RingUnknown(_))), "{handled:?}");
        assert_eq!((house.ids().len(), app.ring.asked()), (3, vec![]));
    }
}

#[tokio::test]
async fn a_queue_keeps_what_cannot_be_read_and_what_comes_after_a_failure() {
    let house = House::start(2).await;
    let sqs = |id: &str, body: Value| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body.to_string() });
    let one_more = || json!({ "nodes": 1 });
    let event = json!({ "Records": [sqs("a", json!("hello")), sqs("b", one_more()), sqs("c", one_more())] });
    let handled = house.handle(&house.app(Recorder::default()), event.clone()).await;
    let answers = answer(&handled);
    assert_eq!(answers["batchItemFailures"], json!([{ "itemIdentifier": "a" }]), "a cool-down is an answer");
    assert_eq!(
        (&answers["answers"][1]["done"], &answers["answers"][2]["why"]),
        (&json!("out"), &json!("cool-down"))
    );
    assert_eq!((house.ids().len(), handled.work.failures), (3, 0));

    let app = house.app(Recorder { is_unreadable: true, ..Recorder::default() });
    let handled = house.handle(&app, event).await;
    let failed = ["a", "b", "c"].map(|id| json!({ "itemIdentifier": id }));
    assert_eq!(answer(&handled)["batchItemFailures"], json!(failed));
    assert_eq!((house.ids().len(), handled.work.failures), (3, 1));
}

#[tokio::test]
async fn a_removal_that_another_run_has_begun_is_not_taken_back() {
    let house = House::start(4).await;
    let newest = house.endpoint(3);
    let app = house.app(Recorder { removed_meanwhile: Some(NodeId(4)), ..Recorder::default() });
    let handled = house.handle(&app, json!({ "nodes": -1 })).await;
    assert_eq!(answer(&handled)["done"], "in", "{handled:?}");
    assert_eq!(app.ring.asked(), [Asked::Retire(newest, Some(4))]);
    assert_eq!(house.ids().len(), 3);
}

#[tokio::test]
async fn a_message_that_comes_twice_adds_one_node() {
    let house = House::start(2).await;
    let app = house.app(Recorder::default());
    let event = json!({ "Records": [alarm("full", "ALARM"), alarm("full", "ALARM")] });
    let answers = answer(&house.handle(&app, event.clone()).await);
    assert_eq!((&answers[0]["done"], &answers[1]["why"]), (&json!("out"), &json!("cool-down")), "{answers}");
    house.handle(&app, event).await.answer.unwrap();
    assert_eq!(house.ids().len(), 3);
}

#[tokio::test]
async fn where_the_removal_is_refused_the_ring_gets_its_node_back() {
    let house = House::start(4).await;
    let newest = house.endpoint(3);
    let removed_meanwhile = Some(NodeId(2));
    let app = house.app(Recorder { removed_meanwhile, ..Recorder::default() });
    let handled = house.handle(&app, json!({ "nodes": -1 })).await;
    assert!(matches!(handled.answer, Err(Failure::Control(_))), "{handled:?}");
    assert_eq!(app.ring.asked(), [Asked::Retire(newest.clone(), Some(4)), Asked::Restore(newest)]);
    assert_eq!(house.ids(), ["0001", "0003", "0004"], "only what somebody else took away is gone");
    assert_eq!(handled.work, Work { restored: 1, copied_keys: 12, failures: 1, ..Work::default() });
}

#[tokio::test]
async fn a_node_that_cannot_be_left_out_of_the_ring_stays() {
    let house = House::start(3).await;
    let newest = house.endpoint(2);
    let app = house.app(Recorder { retire_fails: true, ..Recorder::default() });
    let handled = house.handle(&app, json!({ "nodes": -1 })).await;
    assert!(matches!(handled.answer, Err(Failure::Ring(_))), "{handled:?}");
    assert_eq!(app.ring.asked(), [Asked::Retire(newest.clone(), Some(3)), Asked::Restore(newest)]);
    assert_eq!(house.ids().len(), 3);
}

#[tokio::test]
async fn a_node_that_cannot_be_taken_back_either_is_told_apart() {
    let house = House::start(3).await;
    let ring = Recorder { retire_fails: true, restore_fails: true, ..Recorder::default() };
    let handled = house.handle(&house.app(ring), json!({ "nodes": -1 })).await;
    assert!(matches!(handled.answer, Err(Failure::NotRestored(_))), "{handled:?}");
    assert_eq!((handled.work.restored, house.ids().len()), (0, 3));
}

#[tokio::test]
async fn what_a_run_that_was_cut_off_left_out_of_the_ring_goes_first_and_at_once() {
    let house = House::start(4).await;
    let left_out = house.endpoint(1);
    let app = house.app(Recorder { state: just_retired(&left_out), ..Recorder::default() });
    let handled = house.handle(&app, json!({ "nodes": -1 })).await;
    assert_eq!(answer(&handled)["node"], "0002");
    assert_eq!(app.ring.asked(), [Asked::Retire(left_out, Some(4))]);
    assert_eq!(house.ids(), ["0001", "0003", "0004"]);
}

#[tokio::test]
async fn what_a_run_that_was_cut_off_left_out_of_the_ring_comes_back_before_a_new_node_does() {
    let house = House::start(4).await;
    let left_out = house.endpoint(1);
    let state = RingState { last_change: None, ..just_retired(&left_out) };
    let app = house.app(Recorder { state, ..Recorder::default() });
    let handled = house.handle(&app, json!({ "nodes": 1 })).await;
    check_answer(&handled, json!({ "done": "back", "nodes": 4, "node": "0002", "endpoint": left_out }));
    assert_eq!(app.ring.asked(), [Asked::Restore(left_out)]);
    assert_eq!(handled.work, Work { restored: 1, ..Work::default() });
}

#[tokio::test]
async fn without_a_control_plane_the_ring_is_left_alone() {
    for nodes in [1, -1] {
        let app = app(nobody(), Recorder::default());
        let handled = handle_now(&app, json!({ "nodes": nodes })).await;
        assert!(matches!(handled.answer, Err(Failure::Control(_))), "{handled:?}");
        assert_eq!(app.ring.asked(), []);
    }
}

#[tokio::test]
async fn time_is_kept_back_to_end_what_was_begun() {
    let house = House::start(4).await;
    let enough = RESERVE + SHORTEST_RETIREMENT + Duration::from_secs(60);
    let deadline = Instant::now() + enough;
    let app = house.app(Recorder { retire_fails: true, ..Recorder::default() });
    let now = SystemTime::now();
    house.during(handle(&app, &json!({ "nodes": -1 }), now, deadline)).await.answer.unwrap_err();
    assert_eq!(app.ring.deadlines(), [deadline - RESERVE, deadline], "to leave it out, and to take it back");

    let app = house.app(Recorder::default());
    let deadline = Instant::now() + RESERVE + SHORTEST_RETIREMENT;
    let handled = house.during(handle(&app, &json!({ "nodes": -1 }), now, deadline)).await;
    assert!(matches!(handled.answer, Err(Failure::NoTime)), "{handled:?}");
    assert_eq!((app.ring.asked(), house.ids().len()), (vec![], 4));
}

fn answer(handled: &Handled) -> Value {
    serde_json::to_value(handled.answer.as_ref().unwrap()).unwrap()
}

#[track_caller]
fn check_answer(handled: &Handled, expected: Value) {
    assert_eq!(answer(handled), expected);
}

#[track_caller]
fn check_refused(handled: &Handled, why: &str, nodes: usize) {
    let answer = answer(handled);
    assert_eq!((&answer["done"], &answer["why"]), (&json!("nothing"), &json!(why)), "{answer}");
    assert_eq!(answer["nodes"], nodes, "{answer}");
    assert_eq!(handled.work, Work { refusals: 1, ..Work::default() });
}

/// A ring out of which the node at `endpoint` was left a moment ago.
fn just_retired(endpoint: &str) -> RingState {
    let retired = vec![endpoint.parse().unwrap()];
    RingState { last_change: Some(SystemTime::now()), retired, ..RingState::default() }
}

/// A control plane that is not there.
fn nobody() -> ControlPlane {
    ControlPlane::Local(Local::new("/nowhere/control.sock"))
}
