//! An origin that cannot answer, and what it leaves behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_origin::{Misconfigured, Origin, OriginError, Outage, PoolConfig, Record, Tables};
use sqlx::Connection;
use tokio::task::JoinSet;

use scratch::{Scratch, json, no_hurry};

#[path = "support/scratch.rs"]
mod scratch;

#[tokio::test]
async fn a_missing_file_is_an_outage_and_is_not_made() {
    let scratch = Scratch::without_file();
    let origin = scratch.origin("t:id");
    let answer = load(&origin, no_hurry()).await;
    assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
    assert_eq!(files(&scratch), [""; 0]);
}

#[tokio::test]
async fn a_url_that_asks_to_make_the_file_does_not_make_it() {
    let scratch = Scratch::without_file();
    let origin = Origin::new(&format!("{}?mode=rwc", scratch.url()), tables()).unwrap();
    assert!(load(&origin, no_hurry()).await.is_err());
    assert_eq!(files(&scratch), [""; 0]);
}

#[tokio::test]
async fn a_file_that_comes_later_ends_the_outage() {
    let scratch = Scratch::without_file();
    let origin = scratch.origin("t:id");
    assert!(load(&origin, no_hurry()).await.is_err());
    scratch.run(ONE_ROW).await;
    assert!(load(&origin, no_hurry()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_outage() {
    let scratch = Scratch::without_file();
    std::fs::write(scratch.file(), "id,name\n".repeat(1000)).unwrap();
    let answer = load(&scratch.origin("t:id"), no_hurry()).await;
    assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
}

#[tokio::test]
async fn what_needs_no_database_is_told_without_one() {
    let scratch = Scratch::without_file();
    let origin = scratch.origin("t:id");
    let id = origin.id("t", "1").unwrap();
    assert!(matches!(origin.id("users", "1"), Err(OriginError::UnknownTable)));
    assert!(matches!(origin.load("users", &id, no_hurry()).await, Err(OriginError::UnknownTable)));
    assert!(origin.load_many("t", &[], no_hurry()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_origin_is_made_and_asked_for_ids_outside_a_runtime() {
    std::thread::spawn(|| {
        let origin = Origin::new("sqlite:nowhere/at/all.db", tables()).unwrap();
        assert_eq!(origin.id("t", "1").unwrap().as_str(), "1");
    })
    .join()
    .unwrap();
}

#[tokio::test]
async fn a_locked_database_is_given_up_at_the_deadline_and_read_when_it_is_free() {
    let scratch = Scratch::new(ONE_ROW).await;
    let origin = scratch.origin("t:id");
    let mut writer = scratch.writer().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut writer).await.unwrap();

    let asked = Instant::now();
    let answer = load(&origin, asked + Duration::from_millis(50)).await;
    assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Deadline))), "{answer:?}");
    assert!(asked.elapsed() >= Duration::from_millis(50));

    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
    assert!(load(&origin, no_hurry()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_database_locked_for_too_long_is_an_outage_before_a_far_deadline() {
    let scratch = Scratch::new(ONE_ROW).await;
    let origin = scratch.origin("t:id");
    let mut writer = scratch.writer().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut writer).await.unwrap();
    let answer = load(&origin, no_hurry()).await;
    assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
    writer.close().await.unwrap();
}

#[tokio::test]
async fn a_deadline_that_is_over_is_an_outage_and_harms_no_later_load() {
    let scratch = Scratch::new(ONE_ROW).await;
    let origin = scratch.origin("t:id");
    for _ in 0..3 {
        let answer = load(&origin, Instant::now()).await;
        assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Deadline))), "{answer:?}");
        assert!(load(&origin, no_hurry()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_load_dropped_at_any_moment_harms_no_later_load() {
    let scratch = Scratch::new(ONE_ROW).await;
    let origin = scratch.origin("t:id").with_pool(every_time_anew());
    for polls in (0..2_000).step_by(50) {
        let mut dropped = Box::pin(load(&origin, no_hurry()));
        for _ in 0..polls {
            tokio::select! {
                biased;
                _ = &mut dropped => break,
                () = tokio::task::yield_now() => {}
            }
        }
        drop(dropped);
        assert!(load(&origin, no_hurry()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn many_loads_at_once_share_one_connection() {
    let scratch = Scratch::new(ONE_ROW).await;
    let origin = Arc::new(scratch.origin("t:id"));
    let mut loads = JoinSet::new();
    for _ in 0..50 {
        let origin = Arc::clone(&origin);
        loads.spawn(async move { load(&origin, no_hurry()).await });
    }
    for answer in loads.join_all().await {
        assert_eq!(json(&answer.unwrap().unwrap()), r#"{"id":1,"name":"old"}"#);
    }
}

#[tokio::test]
async fn a_new_row_is_seen_by_an_open_connection() {
    let scratch = Scratch::new(ONE_ROW).await;
    let origin = scratch.origin("t:id");
    let id = origin.id("t", "2").unwrap();
    assert!(origin.load("t", &id, no_hurry()).await.unwrap().is_none());
    scratch.run("INSERT INTO t VALUES (2, 'new')").await;
    assert!(origin.load("t", &id, no_hurry()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_replaced_by_another_is_seen_once_the_connection_is_old() {
    let patient = PoolConfig { max_age: Duration::from_secs(3600), ..PoolConfig::default() };
    check_replaced(patient, r#"{"id":1,"name":"old"}"#).await;
    check_replaced(every_time_anew(), r#"{"id":1,"name":"new"}"#).await;
}

#[tokio::test]
async fn a_file_in_wal_mode_is_read_without_side_files_when_immutable() {
    let scratch = Scratch::new(&format!("PRAGMA journal_mode = WAL; {ONE_ROW}")).await;
    assert_eq!(files(&scratch), ["scratch.db"]);

    let origin = Origin::new(&format!("{}?immutable=1", scratch.url()), tables()).unwrap();
    assert!(load(&origin, no_hurry()).await.unwrap().is_some());
    assert_eq!(files(&scratch), ["scratch.db"]);

    // Without it SQLite makes its side files, which a read-only file system refuses.
    let origin = scratch.origin("t:id");
    assert!(load(&origin, no_hurry()).await.unwrap().is_some());
    assert_eq!(files(&scratch), ["scratch.db", "scratch.db-shm", "scratch.db-wal"]);
}

#[tokio::test]
async fn no_message_shows_the_address_or_its_password() {
    let scratch = Scratch::without_file();
    let origin = scratch.origin("t:id");
    let outage = load(&origin, no_hurry()).await.unwrap_err();
    let place = scratch.file().display().to_string();
    assert!(!format!("{origin:?}").contains(&place));
    assert!(!whole_message(&outage).contains(&place), "{}", whole_message(&outage));

    for url in [
        "oracle://user:hunter2@host/db",
        "postgres://user:hunter2@",
        "hunter2",
        "",
        "sqlite:flights.db?password=hunter2",
    ] {
        let refused = Origin::new(url, tables()).unwrap_err();
        assert!(!format!("{refused:?}{}", whole_message(&refused)).contains("hunter2"), "{refused:?}");
    }
}

#[test]
fn a_url_of_another_database_is_refused() {
    for url in ["oracle://host/db", "file:flights.db", "flights.db", "", "SQLITE:flights.db", ":memory:"] {
        assert_eq!(Origin::new(url, tables()).unwrap_err(), Misconfigured::Scheme, "{url}");
    }
    for url in ["sqlite:flights.db?mode=fast", "sqlite:flights.db?key=1"] {
        assert_eq!(Origin::new(url, tables()).unwrap_err(), Misconfigured::Url, "{url}");
    }
}

/// Loads, puts another file in the place of the first, and loads again.
async fn check_replaced(config: PoolConfig, expected: &str) {
    let scratch = Scratch::new(ONE_ROW).await;
    let other = Scratch::new(ONE_ROW).await;
    other.run("UPDATE t SET name = 'new'").await;

    let origin = scratch.origin("t:id").with_pool(config);
    assert_eq!(json(&load(&origin, no_hurry()).await.unwrap().unwrap()), r#"{"id":1,"name":"old"}"#);
    let copy = scratch.file().with_extension("new");
    std::fs::copy(other.file(), &copy).unwrap();
    std::fs::rename(&copy, scratch.file()).unwrap();
    assert_eq!(json(&load(&origin, no_hurry()).await.unwrap().unwrap()), expected);
}

/// Loads row 1 of table t.
async fn load(origin: &Origin, deadline: Instant) -> Result<Option<Record>, OriginError> {
    origin.load("t", &origin.id("t", "1")?, deadline).await
}

/// The names of all files beside the database, sorted.
fn files(scratch: &Scratch) -> Vec<String> {
    let file = scratch.file();
    let entries = std::fs::read_dir(file.parent().unwrap()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn every_time_anew() -> PoolConfig {
    PoolConfig { max_age: Duration::ZERO, ..PoolConfig::default() }
}

fn tables() -> Tables {
    "t:id".parse().unwrap()
}

/// An error and all its sources, as a log shows them.
fn whole_message(error: &dyn Error) -> String {
    let source = error.source().map(whole_message).unwrap_or_default();
    format!("{error}: {error:?} {source}")
}

const ONE_ROW: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'old')";
