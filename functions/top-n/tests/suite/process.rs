//! The function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

use crate::function::Function;
use crate::runtime_api::{Event, Reply, RuntimeApi};
use crate::support::{House, schedule};
use anyhow::Result;
use serde_json::{Value, json};

#[tokio::test]
async fn a_process_refreshes_lists_and_writes_one_line_of_metrics_for_each_event() -> Result<()> {
    let house = House::new(&[300, 300]).await?;
    let api = RuntimeApi::start()?;
    let function = start(&api, house.variables(&[]));
    let (replies, lines) = tokio::task::spawn_blocking(move || {
        let all = invoke(&api, "one", schedule());
        let again = invoke(&api, "two", json!({ "list": "a", "force": true }));
        ([all, again], function.end().unwrap())
    })
    .await?;

    let list = |name: &str, done: &str| json!({ "list": name, "done": done, "rows": 2 });
    assert_eq!(replies[0].path, "one/response");
    assert_eq!(replies[0].body, json!({ "lists": [list("a", "refreshed"), list("b", "refreshed")] }));
    assert_eq!(replies[1].body, json!({ "lists": [list("a", "unchanged")] }));

    assert_eq!(metrics(&lines, "function_request_id"), ["one", "two"]);
    assert_eq!(metrics(&lines, "function_name"), ["stack-TopN-1"; 2]);
    assert_eq!(metrics(&lines, "Refreshed"), [2, 0]);
    assert_eq!(metrics(&lines, "Unchanged"), [0, 1]);
    assert_eq!(metrics(&lines, "Failed"), [0, 0]);
    assert_eq!(metrics(&lines, "Rows"), [4, 2]);
    assert_eq!(metrics(&lines, "ColdStarts"), [1, 0]);
    let times = metrics(&lines, "query_ms");
    assert!(times[0]["a"].is_f64() && times[0]["b"].is_f64() && times[1]["a"].is_f64(), "{times:?}");
    let is_fault = |line: &Value| ["WARN", "ERROR"].iter().any(|level| line["level"] == *level);
    assert!(!lines.iter().any(is_fault), "nothing went wrong: {lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_failure_is_an_error_with_a_name_and_the_process_lives_on() -> Result<()> {
    let house = House::new(&[300]).await?;
    let api = RuntimeApi::start()?;
    let function = start(&api, house.variables(&[]));
    let (replies, lines) = tokio::task::spawn_blocking(move || {
        let unknown = invoke(&api, "one", json!({ "list": "x" }));
        let invalid = invoke(&api, "two", json!({ "Records": [] }));
        let fine = invoke(&api, "three", json!({ "list": "a" }));
        ([unknown, invalid, fine], function.end().unwrap())
    })
    .await?;
    let error = |reply: &Reply| (reply.path.clone(), reply.body["errorType"].clone());
    assert_eq!(error(&replies[0]), ("one/error".to_owned(), json!("NothingDone")));
    assert_eq!(error(&replies[1]), ("two/error".to_owned(), json!("InvalidEvent")));
    assert_eq!(replies[2].path, "three/response");
    assert_eq!(metrics(&lines, "Failed"), [1, 1, 0]);
    assert_eq!(metrics(&lines, "failure"), [json!("NothingDone"), json!("InvalidEvent"), Value::Null]);
    let logged = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(
        (&logged["message"], &logged["function_request_id"]),
        (&json!("no list was refreshed"), &json!("one"))
    );
    Ok(())
}

#[test]
fn a_process_with_wrong_settings_says_all_that_is_wrong_in_one_line_and_ends() {
    let api = RuntimeApi::start().unwrap();
    let variables = [("LARDER_LISTS", "[{}]"), ("LARDER_TABLES", "flights"), ("LARDER_LIST", "x")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (code, lines) = start(&api, variables.to_vec()).ended().unwrap();
    assert_eq!(code, Some(1));
    let [line] = lines.as_slice() else { panic!("not one line: {lines:?}") };
    let error = line["error"].as_str().unwrap();
    for name in
        ["LARDER_CONFIG_ENDPOINT", "LARDER_ORIGIN_URL", "LARDER_TABLES", "LARDER_LISTS has", "LARDER_LIST is"]
    {
        assert!(error.contains(name), "{name}: {error}");
    }
}

/// Starts the function, told `variables`.
fn start(api: &RuntimeApi, variables: Vec<(String, String)>) -> Function {
    Function::start(env!("CARGO_BIN_EXE_top-n"), "stack-TopN-1", api, variables).unwrap()
}

/// What was written down of every event.
fn metrics(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().filter(|line| line.get("_aws").is_some()).map(|line| line[name].clone()).collect()
}

/// Has `payload` handled; the deadline is one that no function can have, so the function's own holds.
fn invoke(api: &RuntimeApi, request_id: &'static str, payload: Value) -> Reply {
    api.invoke(Event { request_id, deadline_ms: 600_000, payload }).unwrap()
}
