//! Every file in `events/` itself, sent to the function over real memcached nodes and the real flights, gives what its
//! table says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{DATABASE, House};
use anyhow::{Context, Result};
use larder_lambda::http::HttpRequest;
use larder_read::handle;
use serde_json::Value;
use tokio::time::Instant;

#[tokio::test]
async fn every_event_is_answered_as_its_table_says_cached_or_not() -> Result<()> {
    let dir = tempfile::tempdir()?;
    crate::flight_table::load(&root().join("data/flights"), &dir.path().join(DATABASE)).await?;
    let lists = root().join("demo/lists.json");
    let lists = ("LARDER_LISTS_FILE", lists.to_str().context("a path")?);
    let house = House::over(dir, &[lists, ("LARDER_TABLES", TABLES)]).await?;
    // The second time round the cache answers.
    for round in ["first", "second"] {
        for (file, expected) in table()? {
            let event = fs::read(events().join(&file))?;
            let request: HttpRequest = serde_json::from_slice(&event).with_context(|| file.clone())?;
            let deadline = Instant::now() + Duration::from_secs(10);
            let answer = handle(&house.app, &request, deadline).await.answer;
            assert_eq!(answer.status_code, expected.status, "{round}, {file}: {answer:?}");

            let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            if let Some(code) = &expected.code {
                assert_eq!(body["error"]["code"], code.as_str(), "{round}, {file}: {answer:?}");
            }
            let x_cache = answer.headers.get("x-cache").map(String::as_str);
            let is_cached =
                matches!(expected.status, 200 | 304) || expected.code.as_deref() == Some("no_such_record");
            match round {
                "second" => assert_eq!(x_cache, is_cached.then_some("hit"), "{file}: {answer:?}"),
                _ => assert_eq!(x_cache.is_some(), is_cached, "{file}: {answer:?}"),
            }
            check_body(&file, &body);
            match file.as_str() {
                "min-version.json" => assert_eq!(answer.headers["x-record-version"], "1", "{answer:?}"),
                "min-version-not-yet.json" => assert!(answer.headers.contains_key("retry-after")),
                "unchanged-list.json" => assert_eq!(answer.body, ""),
                _ => {}
            }
        }
    }
    Ok(())
}

/// What the table says in words about some bodies.
fn check_body(file: &str, body: &Value) {
    match file {
        "one-record.json" | "min-version.json" => {
            assert_eq!((&body["id"], &body["tailnum"]), (&1.into(), &"N14228".into()))
        }
        "batch.json" => {
            let ids: Vec<_> =
                body["records"].as_array().into_iter().flatten().map(|record| &record["id"]).collect();
            assert_eq!(ids, [&1.into(), &4711.into(), &26000.into(), &4711.into(), &Value::Null]);
            assert_eq!(body["records"][4], Value::Null);
        }
        "read-list.json" => {
            let first = serde_json::json!({ "origin": "JFK", "dest": "LAX", "flights": 937 });
            assert_eq!((&body["count"], &body["items"][0]), (&10.into(), &first));
        }
        "function-url.json" => assert_eq!(body["name"], "John F Kennedy Intl"),
        "function-url-batch.json" => {
            let carriers: Vec<_> =
                body["records"].as_array().into_iter().flatten().map(|record| &record["carrier"]).collect();
            assert_eq!(carriers, ["UA", "B6", "9E"]);
        }
        _ => {}
    }
}

#[test]
fn every_event_stands_in_the_table() -> Result<()> {
    let files = fs::read_dir(events())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let files: Result<Vec<_>> = files.collect();
    let mut files: Vec<_> = files?.into_iter().filter(|file| file.ends_with(".json")).collect();
    files.sort();
    assert_eq!(files, table()?.into_keys().collect::<Vec<_>>());
    Ok(())
}

/// What the table of `read` in `events/README.md` says of one file.
struct Expected {
    status: u16,
    /// The first word in code style of the last column, where the answer is a refusal.
    code: Option<String>,
}

fn table() -> Result<BTreeMap<String, Expected>> {
    let readme = fs::read_to_string(events().join("README.md"))?;
    let mut table = BTreeMap::new();
    let (_, section) = readme.split_once("## `read`\n").context("no section about read")?;
    let section = section.lines().take_while(|line| !line.starts_with("## "));
    for row in section.filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect();
        let [file, _, status, says] = cells[..] else { anyhow::bail!("not four cells: {row}") };
        let status = status.parse()?;
        let code = says.split('`').nth(1).filter(|_| status >= 400).map(str::to_owned);
        table.insert(file.trim_matches('`').to_owned(), Expected { status, code });
    }
    Ok(table)
}

/// The rows of flights have versions.
const TABLES: &str = "airports:faa,airlines:carrier,flights:id:version=version,planes:tailnum";

fn events() -> PathBuf {
    root().join("events")
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
