//! The function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

use crate::function::Function;
use crate::runtime_api::{Event, Reply, RuntimeApi};
use crate::support::{House, batch, failed, hard, keys};
use serde_json::{Value, json};

#[tokio::test]
async fn a_process_forgets_and_writes_one_line_of_metrics_for_each_event() {
    let house = House::start(2).await;
    let keys = keys(3);
    house.store(&keys).await;
    let api = RuntimeApi::start().unwrap();
    let function = start(&api, house.variables());
    let bodies = [hard(&keys[..2]).encode(), "hello".to_owned()];
    let (replies, lines) = tokio::task::spawn_blocking(move || {
        let by_queue = invoke(&api, "one", batch(bodies));
        let by_hand = invoke(&api, "two", json!({ "keys": ["flights:2"] }));
        let invalid = invoke(&api, "three", json!({ "keys": [] }));
        ([by_queue, by_hand, invalid], function.end().unwrap())
    })
    .await
    .unwrap();

    assert_eq!((replies[0].path.as_str(), &replies[0].body), ("one/response", &failed(&["1"])));
    assert_eq!((replies[1].path.as_str(), &replies[1].body), ("two/response", &json!({ "forgotten": 1 })));
    let error = (replies[2].path.as_str(), &replies[2].body["errorType"]);
    assert_eq!(error, ("three/error", &json!("InvalidEvent")));
    assert_eq!(house.held(&keys).await, [false; 3]);

    assert_eq!(metrics(&lines, "function_request_id"), ["one", "two", "three"]);
    assert_eq!(metrics(&lines, "function_name"), ["stack-Invalidate-1"; 3]);
    for (name, expected) in [
        ("Invalidations", [1, 1, 0]),
        ("Keys", [2, 1, 0]),
        ("KeysLeft", [0; 3]),
        ("Malformed", [1, 0, 0]),
        ("Failures", [0, 0, 1]),
        ("ColdStarts", [1, 0, 0]),
    ] {
        assert_eq!(
            metrics(&lines, name),
            expected.map(|count| json!(count)).iter().collect::<Vec<_>>(),
            "{name}"
        );
    }
    assert!(metrics(&lines, "Age")[0].as_f64().is_some_and(|age| age > 0.0), "{lines:?}");
    let logged: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    let messages: Vec<_> = logged.iter().map(|line| line["message"].as_str().unwrap()).collect();
    // What the runtime says of the last one comes after it.
    assert_eq!(messages[..2], ["a message cannot be read", "not everything was forgotten"]);
    assert_eq!(logged[0]["message_id"], "1");
    assert!(lines.iter().all(|line| !line.to_string().contains("hello")), "{lines:?}");
}

#[test]
fn a_process_with_wrong_settings_says_all_that_is_wrong_in_one_line_and_ends() {
    let api = RuntimeApi::start().unwrap();
    let variables = [("LARDER_TIMEOUT_MS", "1"), ("LARDER_QUEUE", "file:queue")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (code, lines) = start(&api, variables.to_vec()).ended().unwrap();
    assert_eq!(code, Some(1));
    let [line] = lines.as_slice() else { panic!("not one line: {lines:?}") };
    let error = line["error"].as_str().unwrap();
    for name in ["3 settings are wrong: ", "LARDER_CONFIG_ENDPOINT", "LARDER_TIMEOUT_MS", "LARDER_QUEUE"] {
        assert!(error.contains(name), "{name}: {error}");
    }
}

/// Starts the function, told `variables`.
fn start(api: &RuntimeApi, variables: Vec<(String, String)>) -> Function {
    Function::start(env!("CARGO_BIN_EXE_invalidate"), "stack-Invalidate-1", api, variables).unwrap()
}

/// What was written down of every event.
fn metrics<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line.get("_aws").is_some()).map(|line| &line[name]).collect()
}

/// Has `payload` handled; the deadline is one that no function can have, so the function's own holds.
fn invoke(api: &RuntimeApi, request_id: &'static str, payload: Value) -> Reply {
    api.invoke(Event { request_id, deadline_ms: 600_000, payload }).unwrap()
}
