//! Every file in `events/top-n/`, over real memcached nodes and the real flights, does what its table says.

use std::fs;

use crate::support::{DATABASE, House, done, repository, run};
use anyhow::Result;
use larder_top_n::Failure;
use serde_json::Value;

#[tokio::test]
async fn every_event_is_handled_as_its_table_says() -> Result<()> {
    let dir = tempfile::tempdir()?;
    crate::flight_table::load(&repository("data/flights"), &dir.path().join(DATABASE)).await?;
    let house = House::over(dir, fs::read_to_string(repository("demo/lists.json"))?).await?;
    for (file, first, second) in TABLE {
        let app = house.app()?;
        for list in &app.lists {
            house.remove(list.timed().key()).await?;
        }
        let event: Value = serde_json::from_slice(&fs::read(folder().join(file))?)?;
        for expected in [first, second] {
            let handled = run(&app, event.clone()).await;
            match &handled.answer {
                Err(Failure::NothingDone { .. }) => assert_eq!(expected, "NothingDone", "{file}"),
                _ => assert_eq!(done(&handled), expected, "{file}"),
            }
            let failures = handled.answer.ok().and_then(|answer| answer.failures);
            let failures: Option<Vec<_>> =
                failures.map(|failures| failures.into_iter().map(|failure| failure.id).collect());
            let unread = match file {
                "sqs-unreadable.json" => vec!["9d5c2b7e-1f80-47a1-90bb-0a6f1d0c0003".to_owned()],
                _ => Vec::new(),
            };
            assert_eq!(failures, file.starts_with("sqs-").then_some(unread), "{file}");
        }
    }
    Ok(())
}

#[test]
fn every_event_stands_in_the_table() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, TABLE.map(|(file, ..)| file));
}

const ALL: &str = "busiest-routes refreshed, worst-delays refreshed, airports-by-departures refreshed, \
    planes-by-distance refreshed";

const TWO: &str = "worst-delays refreshed, planes-by-distance refreshed";
const TWO_AGAIN: &str = "worst-delays not due, planes-by-distance not due";

/// What comes of each file where no list is there, and what when it comes once more.
const TABLE: [(&str, &str, &str); 11] = [
    ("empty-input.json", ALL, ""),
    ("force.json", "busiest-routes refreshed", "busiest-routes unchanged"),
    ("one-list.json", "busiest-routes refreshed", "busiest-routes not due"),
    ("schedule-rule.json", ALL, ""),
    ("scheduler.json", ALL, ""),
    ("sns.json", TWO, TWO_AGAIN),
    ("sqs-of-event-bridge.json", "busiest-routes refreshed", "busiest-routes not due"),
    ("sqs-of-sns.json", TWO, TWO_AGAIN),
    ("sqs-unreadable.json", "busiest-routes refreshed", "busiest-routes not due"),
    ("two-lists.json", TWO, TWO_AGAIN),
    ("unknown-list.json", "NothingDone", "NothingDone"),
];

fn folder() -> std::path::PathBuf {
    repository("events/top-n")
}
