//! The function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::function::Function;
use crate::runtime_api::{Event, Reply, RuntimeApi};
use crate::support::wire::{held, numbers};
use crate::support::{House, owned};
use crate::told::{TOPIC, Told, asking};
use larder_local::{ConfigReply, NodeId};
use larder_ring::Phase;
use serde_json::{Value, json};

#[tokio::test]
async fn a_process_answers_events_and_writes_one_line_of_metrics_for_each() {
    let house = House::start(2).await;
    let api = RuntimeApi::start().unwrap();
    let function = start(&api, house.variables(&[("LARDER_CONTROL_SOCKET", &house.socket())]));
    let (replies, lines) = house
        .during(blocking(move || {
            let first = invoke(&api, "one", reconcile());
            let other = invoke(&api, "two", notice("AddCacheNodeComplete", "pantry"));
            let failed = invoke(&api, "three", notice("AddCacheNodeFailed", "larder"));
            ([first, other, failed], function.end().unwrap())
        }))
        .await;

    let document = house.document();
    let (epoch, names) = (document.epoch.number(), [house.name(1), house.name(2)]);
    assert_eq!(replies[0].path, "one/response");
    let answer = json!({
        "reconciled": true,
        "published": [{ "epoch": epoch, "phase": "active" }],
        "ring": { "epoch": epoch, "phase": "active", "nodes": names },
        "copied_keys": 0,
        "unreachable": [],
    });
    assert_eq!(replies[0].body, answer);
    for reply in &replies[1..] {
        let answer = json!({ "reconciled": false, "published": [], "copied_keys": 0, "unreachable": [] });
        assert_eq!(reply.body, answer, "{}", reply.path);
    }

    for (name, expected) in [
        ("function_request_id", json!(["one", "two", "three"])),
        ("service", json!(["larder", "larder", "larder"])),
        ("function_name", json!(["stack-RingRefresh-1", "stack-RingRefresh-1", "stack-RingRefresh-1"])),
        ("ColdStarts", json!([1, 0, 0])),
        ("Published", json!([1, 0, 0])),
        ("NodeNotices", json!([0, 0, 0])),
        ("Ignored", json!([0, 1, 0])),
        ("Alarms", json!([0, 0, 1])),
        ("Malformed", json!([0, 0, 0])),
        ("CopiedKeys", json!([0, 0, 0])),
        ("CopiedBytes", json!([0, 0, 0])),
        ("Unreachable", json!([0, 0, 0])),
        ("Unfinished", json!([0, 0, 0])),
        ("Differences", json!([0, 0, 0])),
        ("InactiveTopics", json!([0, 0, 0])),
        ("Failures", json!([0, 0, 0])),
        ("epoch", json!([epoch, null, null])),
    ] {
        assert_eq!(metrics(&lines, name), *expected.as_array().unwrap(), "{name}");
    }
    assert!(metrics(&lines, "Duration").iter().all(Value::is_f64) && metrics(&lines, "idle_ms")[1].is_u64());
    let faults: Vec<_> = faults(&lines).collect();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0]["message"], "ElastiCache reports a failure");
    assert_eq!((&faults[0]["level"], &faults[0]["function_request_id"]), (&json!("ERROR"), &json!("three")));
}

#[tokio::test]
async fn a_failure_is_an_error_with_a_name_and_the_process_lives_on() {
    let house = House::start(1).await;
    let api = RuntimeApi::start().unwrap();
    house.cluster.answer_config(ConfigReply::NotSupported).await.unwrap();
    let function = start(&api, house.variables(&[]));
    let failures = [
        ("one", json!({}), "UnknownEvent", "the event is neither of SNS"),
        ("two", json!({ "Records": "none" }), "UnknownEvent", "the event is neither of SNS"),
        (
            "three",
            reconcile(),
            "NotPublished",
            "the ring could not be published: the endpoint knows of no cluster",
        ),
    ];
    for (request_id, payload, name, message) in failures {
        let reply = invoke(&api, request_id, payload);
        assert_eq!(reply.path, format!("{request_id}/error"));
        assert_eq!(reply.body["errorType"], name);
        let told = reply.body["errorMessage"].as_str().unwrap();
        assert!(told.starts_with(message), "{told}");
    }
    house.cluster.answer_config(ConfigReply::Topology).await.unwrap();
    assert_eq!(invoke(&api, "four", reconcile()).path, "four/response");

    let lines = function.end().unwrap();
    assert_eq!(metrics(&lines, "Failures"), [1, 1, 1, 0]);
    assert_eq!(
        metrics(&lines, "failure"),
        [json!("UnknownEvent"), json!("UnknownEvent"), json!("NotPublished"), Value::Null]
    );
    let logged = faults(&lines).filter(|line| line["message"] == "the ring was not brought up to date");
    let logged: Vec<_> = logged.map(|line| &line["function_request_id"]).collect();
    assert_eq!(logged, ["one", "two", "three"], "the runtime logs errors, too");
}

#[test]
fn a_process_with_wrong_settings_says_all_that_is_wrong_in_one_line_and_ends() {
    let api = RuntimeApi::start().unwrap();
    let variables = [
        ("LARDER_CLUSTER_NAME", "my cluster"),
        ("LARDER_WARM_SECS", "601"),
        ("LARDER_ELASTICACHE_API", "yes"),
        ("LARDER_WARM_KEYS", "5"),
    ];
    let (code, lines) = start(&api, owned(&variables)).ended().unwrap();
    assert_eq!(code, Some(1));
    let [line] = lines.as_slice() else { panic!("not one line: {lines:?}") };
    assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("could not start")));
    let error = line["error"].as_str().unwrap();
    for (name, _) in variables.iter().chain(&[("LARDER_CONFIG_ENDPOINT", "")]) {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(error.starts_with("5 settings are wrong: "), "{error}");
}

#[tokio::test]
async fn an_invocation_ends_by_its_deadline_and_the_next_one_goes_on_where_it_ended() {
    let house = House::start(2).await;
    let api = RuntimeApi::start().unwrap();
    let function = start(&api, house.variables(&[]));
    invoke(&api, "first", reconcile());
    house.cluster.add_node().await.unwrap();

    let mut phases = Vec::new();
    let cut = invoke_for_a_second(&api, "cut", notice("AddCacheNodeComplete", "larder"));
    assert_eq!((cut.path.as_str(), &cut.body["unfinished"]), ("cut/response", &json!("out of time")));
    phases.extend(phases_of(&cut));
    assert!(phases.len() < 4, "{cut:?}");
    phases.extend(finish(&api));
    assert_eq!(phases, ["joining", "warming", "leaving", "active"]);
    assert_eq!(numbers(&house.document().nodes), [1, 2, 3]);
    let lines = function.end().unwrap();
    assert_eq!(metrics(&lines, "Unfinished")[..2], [0, 1]);
    assert!(faults(&lines).any(|line| line["message"] == "work is left for the next run"), "{lines:?}");
}

/// A second each is enough, if there are enough of them.
#[tokio::test]
async fn a_change_comes_to_its_end_in_invocations_that_are_all_too_short() {
    let house = House::start(1).await;
    let api = RuntimeApi::start().unwrap();
    let _function = start(&api, house.variables(&[]));
    invoke(&api, "first", reconcile());
    house.cluster.add_node().await.unwrap();
    let mut phases = Vec::new();
    for _ in 0..10 {
        let reply = invoke_for_a_second(&api, "short", reconcile());
        phases.extend(phases_of(&reply));
        if reply.path.ends_with("/response") && reply.body.get("unfinished").is_none() {
            break;
        }
    }
    assert_eq!(phases, ["joining", "warming", "leaving", "active"]);
    assert_eq!(numbers(&house.document().nodes), [1, 2]);
}

#[tokio::test]
async fn silence_of_a_node_or_of_the_endpoint_ends_with_the_invocation() {
    let house = House::start(2).await;
    let patient = ("LARDER_CACHE_TIMEOUT_MS", "8000");
    let api = RuntimeApi::start().unwrap();
    let _function = start(&api, house.variables(&[patient]));
    let first = invoke(&api, "first", reconcile());
    house.cluster.pause_node(NodeId(2)).await.unwrap();
    check_cut(&api);

    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = silent.local_addr().unwrap().to_string();
    let another = RuntimeApi::start().unwrap();
    let _deaf = start(&another, house.variables(&[patient, ("LARDER_CONFIG_ENDPOINT", &endpoint)]));
    check_cut(&another);

    house.cluster.resume_node(NodeId(2)).await.unwrap();
    let last = invoke(&api, "last", reconcile());
    assert_eq!((&last.body["published"], &last.body["ring"]), (&json!([]), &first.body["ring"]), "{last:?}");
}

#[tokio::test]
async fn what_a_function_that_was_killed_left_undone_another_one_finishes() {
    let house = House::start(2).await;
    let (api, another) = (RuntimeApi::start().unwrap(), RuntimeApi::start().unwrap());
    let function = start(&api, house.variables(&[]));
    invoke(&api, "first", reconcile());
    house.cluster.add_node().await.unwrap();
    let payload = notice("AddCacheNodeComplete", "larder");
    api.send(Event { request_id: "killed", deadline_ms: NO_DEADLINE_MS, payload }).unwrap();
    let node = house.endpoints()[0];
    let end = Instant::now() + Duration::from_secs(20);
    while held(node).is_none_or(|document| document.phase != Phase::Warming) {
        assert!(Instant::now() < end, "no node is warmed");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    function.end().unwrap();

    let _function = start(&another, house.variables(&[]));
    assert_eq!(finish(&another), ["leaving", "active"]);
    assert_eq!(numbers(&house.document().nodes), [1, 2, 3]);
}

#[tokio::test]
async fn a_topic_that_is_not_active_is_an_error_in_the_log_and_a_metric() {
    let house = House::start(1).await;
    let elasticache = Told { topic: Some("inactive"), ..Told::of(&house.cluster.nodes()) }.api();
    let api = RuntimeApi::start().unwrap();
    let function = start(&api, house.variables(&asking(&elasticache.url())));
    let reply = invoke(&api, "one", reconcile());
    assert_eq!(reply.path, "one/response");
    let lines = function.end().unwrap();
    assert_eq!(metrics(&lines, "InactiveTopics"), [1]);
    let [fault] = &faults(&lines).collect::<Vec<_>>()[..] else { panic!("{lines:?}") };
    assert_eq!((&fault["level"], &fault["topic"]), (&json!("ERROR"), &json!(TOPIC)));
    assert!(fault["message"].as_str().unwrap().starts_with("the topic is not active: "), "{fault}");
}

/// Starts the function, told `variables`.
fn start(api: &RuntimeApi, variables: Vec<(String, String)>) -> Function {
    Function::start(env!("CARGO_BIN_EXE_ring-refresh"), "stack-RingRefresh-1", api, variables).unwrap()
}

/// Has `payload` handled; the deadline is one that no function can have, so the function's own holds.
fn invoke(api: &RuntimeApi, request_id: &'static str, payload: Value) -> Reply {
    api.invoke(Event { request_id, deadline_ms: NO_DEADLINE_MS, payload }).unwrap()
}

/// Has `payload` handled by a deadline that is a second away; it has to be kept.
#[track_caller]
fn invoke_for_a_second(api: &RuntimeApi, request_id: &'static str, payload: Value) -> Reply {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + SECOND;
    let started = Instant::now();
    let reply = api.invoke(Event { request_id, deadline_ms: deadline.as_millis() as u64, payload }).unwrap();
    let took = started.elapsed();
    assert!(took < SECOND + SLACK, "{took:?}: {reply:?}");
    reply
}

/// Calls for the ring to be brought up to date until nothing is left to do, for a busy machine may take another call;
/// the phases that were published.
fn finish(api: &RuntimeApi) -> Vec<Value> {
    let mut phases = Vec::new();
    for _ in 0..5 {
        let reply = invoke(api, "finish", reconcile());
        phases.extend(phases_of(&reply));
        if reply.path.ends_with("/response") && reply.body.get("unfinished").is_none() {
            return phases;
        }
    }
    panic!("it comes to no end: {phases:?}");
}

/// Calls for the ring to be brought up to date, for which a second is too short.
#[track_caller]
fn check_cut(api: &RuntimeApi) {
    let reply = invoke_for_a_second(api, "cut", reconcile());
    let cut = ("cut/response", &json!("out of time"));
    assert_eq!((reply.path.as_str(), &reply.body["unfinished"]), cut, "{reply:?}");
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn reconcile() -> Value {
    json!({ "reconcile": true })
}

fn notice(event: &str, cluster: &str) -> Value {
    let message = json!({ format!("ElastiCache:{event}"): cluster }).to_string();
    json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "MessageId": "95df", "Message": message } }] })
}

fn phases_of(reply: &Reply) -> Vec<Value> {
    reply.body["published"].as_array().into_iter().flatten().map(|step| step["phase"].clone()).collect()
}

/// What was written down of every event.
fn metrics(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().filter(|line| line.get("_aws").is_some()).map(|line| line[name].clone()).collect()
}

/// The warnings and errors in the log.
fn faults(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| ["WARN", "ERROR"].iter().any(|level| line["level"] == *level))
}

const SECOND: Duration = Duration::from_secs(1);
/// A busy machine may hand the answer over late.
const SLACK: Duration = Duration::from_millis(500);
const NO_DEADLINE_MS: u64 = 600_000;
