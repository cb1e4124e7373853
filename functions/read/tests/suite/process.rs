//! The function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

use crate::function::Function;
use crate::runtime_api::{Event, RuntimeApi};
use crate::support::House;
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Starts the function, told `variables`.
fn start(api: &RuntimeApi, variables: Vec<(String, String)>) -> Result<Function> {
    Function::start(env!("CARGO_BIN_EXE_read"), "stack-Read-1", api, variables)
}

fn get(path: &str) -> Value {
    json!({
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "requestContext": { "http": { "method": "GET", "path": path }, "stage": "$default" },
    })
}

/// The deadline that `cargo lambda watch` sends, and one that no function can have.
const NO_DEADLINE_MS: [u64; 2] = [600_000, u64::MAX];

#[tokio::test]
async fn a_process_answers_events_and_writes_one_line_of_metrics_for_each() -> Result<()> {
    let house = House::new(&[]).await?;
    let api = RuntimeApi::start()?;
    let function = start(&api, house.variables(&[]))?;

    for (request_id, deadline_ms, x_cache) in
        [("one", NO_DEADLINE_MS[0], "miss"), ("two", NO_DEADLINE_MS[1], "hit")]
    {
        let reply = api.invoke(Event { request_id, deadline_ms, payload: get("/records/airports/JFK") })?;
        assert_eq!(reply.path, format!("{request_id}/response"));
        let answer = reply.body;
        assert_eq!(
            (&answer["statusCode"], &answer["headers"]["x-cache"]),
            (&200.into(), &x_cache.into()),
            "{answer}"
        );
        assert_eq!(answer["body"], r#"{"faa":"JFK","name":"John F Kennedy Intl","alt":13}"#);
        assert_eq!(answer["isBase64Encoded"], false);
    }

    let lines = function.end()?;
    let metrics: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    let told = |name: &str| metrics.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("function_request_id"), ["one", "two"]);
    assert_eq!(told("function_name"), ["stack-Read-1", "stack-Read-1"]);
    assert_eq!(told("ColdStarts"), [1, 0]);
    assert_eq!(told("Misses"), [1, 0]);
    assert_eq!(told("Hits"), [0, 1]);
    assert!(metrics[0].get("idle_ms").is_none() && metrics[1]["idle_ms"].is_u64());
    let is_fault = |line: &Value| ["WARN", "ERROR"].iter().any(|level| line["level"] == *level);
    assert!(!lines.iter().any(is_fault), "nothing went wrong: {lines:?}");
    Ok(())
}

#[tokio::test]
async fn an_event_of_another_kind_is_an_error_and_the_process_lives_on() -> Result<()> {
    let house = House::new(&[]).await?;
    let api = RuntimeApi::start()?;
    let function = start(&api, house.variables(&[]))?;

    let payload = json!({ "Records": [{ "EventSource": "aws:sns" }] });
    let reply = api.invoke(Event { request_id: "sns", deadline_ms: NO_DEADLINE_MS[0], payload })?;
    assert_eq!(reply.path, "sns/error");
    let reply =
        api.invoke(Event { request_id: "next", deadline_ms: NO_DEADLINE_MS[0], payload: get("/") })?;
    assert_eq!((reply.path.as_str(), &reply.body["statusCode"]), ("next/response", &404.into()));
    drop(function);
    Ok(())
}

#[tokio::test]
async fn where_lambda_sends_several_events_at_once_all_are_answered() -> Result<()> {
    let house = House::new(&[]).await?;
    let api = RuntimeApi::start()?;
    let variables = house.variables(&[("AWS_LAMBDA_MAX_CONCURRENCY", "4")]);
    let function = start(&api, variables)?;

    let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for request_id in ids {
        let payload = get("/records/airports/JFK");
        api.send(Event { request_id, deadline_ms: NO_DEADLINE_MS[0], payload })?;
    }
    let mut answered = Vec::new();
    for _ in ids {
        let reply = api.reply()?;
        assert_eq!(reply.body["statusCode"], 200, "{reply:?}");
        answered.push(reply.path);
    }
    answered.sort();
    assert_eq!(answered, ids.map(|id| format!("{id}/response")));

    let lines = function.end()?;
    let metrics = lines.iter().filter(|line| line.get("_aws").is_some());
    assert_eq!(metrics.filter_map(|line| line["OriginCalls"].as_u64()).sum::<u64>(), 1);
    Ok(())
}

#[tokio::test]
async fn a_warning_names_the_request() -> Result<()> {
    let house = House::new(&[]).await?;
    let api = RuntimeApi::start()?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let variables = house.variables(&[("LARDER_CONFIG_ENDPOINT", &nobody)]);
    let function = start(&api, variables)?;

    let payload = get("/records/airports/JFK");
    let reply = api.invoke(Event { request_id: "one", deadline_ms: NO_DEADLINE_MS[0], payload })?;
    assert_eq!(reply.body["headers"]["x-cache"], "bypass", "{reply:?}");
    let lines = function.end()?;
    let warning = lines.iter().find(|line| line["level"] == "WARN").context("no warning")?;
    for (key, expected) in [
        ("function_request_id", json!("one")),
        ("xray_trace_id", json!("1-5f0b-c6d1")),
        ("cold_start", json!(true)),
        ("function_name", json!("stack-Read-1")),
        ("service", json!("larder")),
    ] {
        assert_eq!(warning[key], expected, "{key}: {warning}");
    }
    Ok(())
}

#[test]
fn a_process_with_wrong_settings_says_all_that_is_wrong_in_one_line_and_ends() -> Result<()> {
    let api = RuntimeApi::start()?;
    let variables = [("LARDER_TTL_SECS", "0"), ("LARDER_RINGS", "ketama")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (code, lines) = start(&api, variables.to_vec())?.ended()?;
    assert_eq!(code, Some(1));
    let [line] = lines.as_slice() else { panic!("not one line: {lines:?}") };
    assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &"could not start".into()));
    let error = line["error"].as_str().context("no error")?;
    let wrong =
        ["LARDER_CONFIG_ENDPOINT", "LARDER_ORIGIN_URL", "LARDER_TTL_SECS", "LARDER_TABLES", "LARDER_RINGS"];
    for name in wrong {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(error.starts_with("5 settings are wrong: "), "{error}");
    Ok(())
}
