//! The function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

#[path = "../../read/tests/support/runtime_api.rs"]
mod runtime_api;
mod support;

use std::io::Read;
use std::process::{Child, Command, Stdio};

use runtime_api::{Event, Reply, RuntimeApi};
use serde_json::{Value, json};
use support::{House, alarm};

#[tokio::test]
async fn a_process_scales_a_cluster_and_writes_one_line_of_metrics_for_each_event() {
    let house = House::start(2).await;
    let api = RuntimeApi::start().unwrap();
    let socket = house.socket();
    let function =
        Function::start(&api, &[("LARDER_CONTROL_SOCKET", &socket), ("LARDER_SCALE_OUT_ALARM", "full")]);
    let (replies, lines) = house
        .during(async {
            let asked = tokio::task::spawn_blocking(move || {
                let out = invoke(&api, "one", json!({ "Records": [alarm("full", "ALARM")] }));
                let again = invoke(&api, "two", json!({ "nodes": 1 }));
                let less = invoke(&api, "three", json!({ "nodes": -1 }));
                ([out, again, less], function.end())
            });
            asked.await.unwrap()
        })
        .await;

    assert_eq!(replies[0].path, "one/response");
    assert_eq!(replies[0].body, json!({ "done": "out", "from": 2, "to": 3 }));
    assert_eq!((replies[1].path.as_str(), &replies[1].body["why"]), ("two/response", &json!("cool-down")));
    assert_eq!(replies[2].body["why"], "cool-down");
    assert_eq!(house.ids(), ["0001", "0002", "0003"]);

    let metrics: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    let told = |name: &str| metrics.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("function_request_id"), ["one", "two", "three"]);
    assert_eq!(told("NodesAdded"), [1, 0, 0]);
    assert_eq!(told("Refusals"), [0, 1, 1]);
    assert_eq!(told("ColdStarts"), [1, 0, 0]);
}

#[tokio::test]
async fn a_failure_is_an_error_with_a_name_and_the_process_lives_on() {
    let api = RuntimeApi::start().unwrap();
    let function = Function::start(&api, &[("LARDER_CONTROL_SOCKET", "/nowhere/control.sock")]);
    let (replies, lines) = tokio::task::spawn_blocking(move || {
        let unreachable = invoke(&api, "one", json!({ "nodes": 1 }));
        let invalid = invoke(&api, "two", json!({ "nodes": 5 }));
        ([unreachable, invalid], function.end())
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
    let mut function =
        Function::start(&api, &[("LARDER_SCALE_MIN_NODES", "9"), ("LARDER_SCALE_ALARM", "full")]);
    let lines = function.lines();
    assert_eq!(function.0.wait().unwrap().code(), Some(1));
    let [line] = lines.as_slice() else { panic!("not one line: {lines:?}") };
    let error = line["error"].as_str().unwrap();
    for name in ["LARDER_CLUSTER_NAME", "LARDER_SCALE_MAX_NODES", "LARDER_SCALE_ALARM"] {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(error.starts_with("3 settings are wrong: "), "{error}");
}

/// The process; it ends with the test.
struct Function(Child);

impl Function {
    /// Starts it for 2 to 4 nodes, told `more`.
    fn start(api: &RuntimeApi, more: &[(&str, &str)]) -> Self {
        let address = api.address();
        let of_lambda = [
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "stack-Scale-1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("LARDER_SCALE_MIN_NODES", "2"),
            ("LARDER_SCALE_MAX_NODES", "4"),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_scale"));
        command.env_clear().envs(of_lambda).envs(more.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Ends the process; the lines of its standard output.
    fn end(mut self) -> Vec<Value> {
        self.0.kill().unwrap();
        self.lines()
    }

    fn lines(&mut self) -> Vec<Value> {
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Has `payload` handled; the deadline is one that no function can have, so the function's own holds.
fn invoke(api: &RuntimeApi, request_id: &'static str, payload: Value) -> Reply {
    api.invoke(Event { request_id, deadline_ms: 600_000, payload }).unwrap()
}
