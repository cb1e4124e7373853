//! The function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

use crate::function::Function;
use crate::runtime_api::{Event, Reply, RuntimeApi};
use crate::support::{House, alarm};
use serde_json::{Value, json};

#[tokio::test]
async fn a_process_scales_a_cluster_and_writes_one_line_of_metrics_for_each_event() {
    let house = House::start(2).await;
    let api = RuntimeApi::start().unwrap();
    let function = start(&api, house.variables(&[("LARDER_SCALE_OUT_ALARM", "full")]));
    let (replies, lines) = house
        .during(async {
            let asked = tokio::task::spawn_blocking(move || {
                let out = invoke(&api, "one", json!({ "Records": [alarm("full", "ALARM")] }));
                let again = invoke(&api, "two", json!({ "nodes": 1 }));
                let less = invoke(&api, "three", json!({ "nodes": -1 }));
                ([out, again, less], function.end().unwrap())
            });
            asked.await.unwrap()
        })
        .await;

    assert_eq!(replies[0].path, "one/response");
    assert_eq!(replies[0].body, json!({ "done": "out", "from": 2, "to": 3 }));
    assert_eq!((replies[1].path.as_str(), &replies[1].body["why"]), ("two/response", &json!("cool-down")));
    assert_eq!(replies[2].body["why"], "cool-down");
    assert_eq!(house.ids(), ["0001", "0002", "0003"]);

    assert_eq!(metrics(&lines, "function_request_id"), ["one", "two", "three"]);
    assert_eq!(metrics(&lines, "function_name"), ["stack-Scale-1"; 3]);
    assert_eq!(metrics(&lines, "NodesAdded"), [&json!(1), &json!(0), &json!(0)]);
    assert_eq!(metrics(&lines, "Refusals"), [&json!(0), &json!(1), &json!(1)]);
    assert_eq!(metrics(&lines, "ColdStarts"), [&json!(1), &json!(0), &json!(0)]);
}

#[tokio::test]
async fn a_process_has_a_node_left_out_of_the_published_ring_and_then_taken_away() {
    let house = House::start(3).await;
    let newest = house.endpoint(2);
    let api = RuntimeApi::start().unwrap();
    let function = start(&api, house.variables(&[]));
    let (reply, lines) = house
        .during(async {
            let asked = tokio::task::spawn_blocking(move || {
                (invoke(&api, "one", json!({ "nodes": -1 })), function.end().unwrap())
            });
            asked.await.unwrap()
        })
        .await;
    assert_eq!(reply.path, "one/response", "{reply:?}");
    let done =
        json!({ "done": "in", "from": 3, "to": 2, "node": "0003", "endpoint": newest, "copied_keys": 0 });
    let mut answer = reply.body;
    let epoch = answer.as_object_mut().unwrap().remove("epoch").unwrap();
    assert!(epoch.as_u64().is_some_and(|epoch| epoch > 0), "{epoch}");
    assert_eq!(answer, done);
    assert_eq!(house.ids(), ["0001", "0002"]);
    assert_eq!(
        (metrics(&lines, "NodesRemoved"), metrics(&lines, "Failures")),
        (vec![&json!(1)], vec![&json!(0)])
    );
}

#[tokio::test]
async fn a_failure_is_an_error_with_a_name_and_the_process_lives_on() {
    let api = RuntimeApi::start().unwrap();
    let variables = [
        ("LARDER_CONTROL_SOCKET", "/nowhere/control.sock"),
        ("LARDER_CONFIG_ENDPOINT", "127.0.0.1:1"),
        ("LARDER_SCALE_MIN_NODES", "2"),
        ("LARDER_SCALE_MAX_NODES", "4"),
    ];
    let function = start(&api, owned(&variables));
    let (replies, lines) = tokio::task::spawn_blocking(move || {
        let unreachable = invoke(&api, "one", json!({ "nodes": 1 }));
        let invalid = invoke(&api, "two", json!({ "nodes": 5 }));
        ([unreachable, invalid], function.end().unwrap())
    })
    .await
    .unwrap();

    let error = |reply: &Reply| (reply.path.clone(), reply.body["errorType"].clone());
    assert_eq!(error(&replies[0]), ("one/error".to_owned(), json!("ControlPlane")));
    assert_eq!(error(&replies[1]), ("two/error".to_owned(), json!("InvalidEvent")));
    let message = replies[0].body["errorMessage"].as_str().unwrap();
    assert!(
        message.starts_with("the control plane failed: the control plane is out of reach: "),
        "{message}"
    );

    let failures = lines.iter().filter_map(|line| line["failure"].as_str());
    assert_eq!(failures.collect::<Vec<_>>(), ["ControlPlane", "InvalidEvent"]);
    let logged = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(
        (&logged["message"], &logged["function_request_id"]),
        (&json!("the cluster was not scaled"), &json!("one"))
    );
}

#[test]
fn a_process_with_wrong_settings_says_all_that_is_wrong_in_one_line_and_ends() {
    let api = RuntimeApi::start().unwrap();
    let variables = [
        ("LARDER_SCALE_MIN_NODES", "9"),
        ("LARDER_SCALE_MAX_NODES", "4"),
        ("LARDER_SCALE_ALARM", "full"),
        ("LARDER_WARM_SECS", "601"),
    ];
    let (code, lines) = start(&api, owned(&variables)).ended().unwrap();
    assert_eq!(code, Some(1));
    let [line] = lines.as_slice() else { panic!("not one line: {lines:?}") };
    let error = line["error"].as_str().unwrap();
    for name in [
        "LARDER_CLUSTER_NAME",
        "LARDER_CONFIG_ENDPOINT",
        "LARDER_SCALE_MAX_NODES",
        "LARDER_SCALE_ALARM",
        "LARDER_WARM_SECS",
    ] {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(error.starts_with("5 settings are wrong: "), "{error}");
}

/// Starts the function, told `variables`.
fn start(api: &RuntimeApi, variables: Vec<(String, String)>) -> Function {
    Function::start(env!("CARGO_BIN_EXE_scale"), "stack-Scale-1", api, variables).unwrap()
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What was written down of every event.
fn metrics<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line.get("_aws").is_some()).map(|line| &line[name]).collect()
}

/// Has `payload` handled; the deadline is one that no function can have, so the function's own holds.
fn invoke(api: &RuntimeApi, request_id: &'static str, payload: Value) -> Reply {
    api.invoke(Event { request_id, deadline_ms: 600_000, payload }).unwrap()
}
