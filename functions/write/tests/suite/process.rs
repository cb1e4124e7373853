//! The function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

use crate::function::Function;
use crate::runtime_api::{Event, RuntimeApi};
use crate::support::{House, check, event};
use anyhow::{Context, Result};
use serde_json::{Value, json};

const DEADLINE_MS: u64 = 600_000;

fn start(api: &RuntimeApi, variables: Vec<(String, String)>) -> Result<Function> {
    Function::start(env!("CARGO_BIN_EXE_write"), "stack-Write-1", api, variables)
}

#[tokio::test]
async fn a_process_answers_events_and_writes_one_line_of_metrics_for_each() -> Result<()> {
    let house = House::new().await?;
    let api = RuntimeApi::start()?;
    let function = start(&api, house.variables(&[]))?;

    let named = [("idempotency-key", "8e03978e")];
    for (request_id, method, status, x_cache) in [
        ("one", "PATCH", 200, "stored"),
        ("two", "PATCH", 200, "forgotten"),
        ("three", "DELETE", 204, "forgotten"),
    ] {
        let headers = if method == "PATCH" { &named[..] } else { &[] };
        let payload = event(method, "/records/flights/1", headers, r#"{"gate":"ü"}"#);
        let reply = api.invoke(Event { request_id, deadline_ms: DEADLINE_MS, payload })?;
        assert_eq!(reply.path, format!("{request_id}/response"));
        let answer = reply.body;
        assert_eq!(
            (&answer["statusCode"], &answer["headers"]["x-cache"]),
            (&status.into(), &x_cache.into()),
            "{answer}"
        );
    }
    check(&house.get("/records/flights/1").await, 404, "miss");

    let lines = function.end()?;
    let metrics: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    let told = |name: &str| metrics.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("function_request_id"), ["one", "two", "three"]);
    assert_eq!(told("function_name"), ["stack-Write-1"; 3]);
    assert_eq!(told("Patches"), [1, 1, 0]);
    assert_eq!(told("Deletes"), [0, 0, 1]);
    assert_eq!(told("Repeats"), [0, 1, 0]);
    assert_eq!(told("Stored"), [1, 0, 0]);
    assert_eq!(told("Unforgotten"), [0, 0, 0]);
    let is_fault = |line: &Value| ["WARN", "ERROR"].iter().any(|level| line["level"] == *level);
    assert!(!lines.iter().any(is_fault), "nothing went wrong: {lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_process_without_a_queue_warns_and_what_the_cache_cannot_be_told_is_an_error_in_the_log()
-> Result<()> {
    let house = House::new().await?;
    let api = RuntimeApi::start()?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let variables =
        house.variables(&[("LARDER_INVALIDATION_QUEUE", ""), ("LARDER_CONFIG_ENDPOINT", &nobody)]);
    let function = start(&api, variables)?;
    let payload = event("PUT", "/records/flights/1", &[], "{}");
    let reply = api.invoke(Event { request_id: "one", deadline_ms: DEADLINE_MS, payload })?;
    assert_eq!(
        (&reply.body["statusCode"], &reply.body["headers"]["x-cache"]),
        (&200.into(), &"unforgotten".into()),
        "{reply:?}"
    );
    let lines = function.end()?;
    let warning = lines.iter().find(|line| line["level"] == "WARN").context("no warning")?;
    assert!(warning["message"].as_str().is_some_and(|text| text.contains("LARDER_INVALIDATION_QUEUE")));
    let error = lines.iter().find(|line| line["level"] == "ERROR").context("no error")?;
    for (key, expected) in [("function_request_id", json!("one")), ("keys", json!(6))] {
        assert_eq!(error[key], expected, "{key}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn where_lambda_sends_several_events_at_once_all_are_answered() -> Result<()> {
    let house = House::new().await?;
    let api = RuntimeApi::start()?;
    let function = start(&api, house.variables(&[("AWS_LAMBDA_MAX_CONCURRENCY", "4")]))?;
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for request_id in ids {
        let payload = event("PATCH", "/records/flights/1", &[], &json!({ "gate": request_id }).to_string());
        api.send(Event { request_id, deadline_ms: DEADLINE_MS, payload })?;
    }
    let mut versions = Vec::new();
    for _ in ids {
        let reply = api.reply()?;
        assert_eq!(reply.body["statusCode"], 200, "{reply:?}");
        versions
            .push(reply.body["headers"]["x-record-version"].as_str().context("no version")?.parse::<u64>()?);
    }
    versions.sort_unstable();
    assert_eq!(versions, (6..14).collect::<Vec<_>>());
    check(&house.get("/records/flights/1?min-version=13").await, 200, "hit");
    drop(function);
    Ok(())
}

#[test]
fn a_process_with_wrong_settings_says_all_that_is_wrong_in_one_line_and_ends() -> Result<()> {
    let api = RuntimeApi::start()?;
    let variables = [("LARDER_INVALIDATION_QUEUE", "s3cret"), ("LARDER_TABELS", "a:id")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (code, lines) = start(&api, variables.to_vec())?.ended()?;
    assert_eq!(code, Some(1));
    let [line] = lines.as_slice() else { panic!("not one line: {lines:?}") };
    let error = line["error"].as_str().context("no error")?;
    for name in ["LARDER_CONFIG_ENDPOINT", "LARDER_ORIGIN_URL", "LARDER_INVALIDATION_QUEUE", "LARDER_TABELS"]
    {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(!error.contains("s3cret"), "{error}");
    Ok(())
}
