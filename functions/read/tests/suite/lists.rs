//! What a caller gets of a list, over real memcached nodes and a real SQLite file.

use std::time::Duration;

use crate::support::{House, get, request};
use anyhow::{Context, Result};
use futures_util::future::join_all;
use larder_cache::{Cache, ListItems, OriginGuard, Refreshed};
use larder_client::Ttl;
use larder_lambda::http::HttpRequest;
use larder_origin::Record;
use larder_read::{App, Handled, handle};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::time::Instant;

const LISTS: (&str, &str) = (
    "LARDER_LISTS",
    r#"[{"name":"highest","query":{"sql":{"statement":"SELECT faa, alt FROM airports ORDER BY alt DESC"}},"n":2,"period_secs":300},
    {"name":"gone","query":{"sql":{"statement":"SELECT faa FROM nowhere"}},"n":2,"period_secs":300},
    {"name":"writes","query":{"sql":{"statement":"DELETE FROM airports"}},"n":2,"period_secs":300},
    {"name":"twice","query":{"sql":{"statement":"SELECT * FROM airports a JOIN airports b ON a.faa = b.faa"}},
        "n":2,"period_secs":300},
    {"name":"long","query":{"sql":{"statement":"SELECT printf('%.*c', 3200000, 'x') AS x FROM airports"}},
        "n":2,"period_secs":300}]"#,
);
const HIGHEST: &str = r#"[{"faa":"ORD","alt":668},{"faa":"LGA","alt":22}]"#;
const PATH: &str = "/lists/highest";

#[track_caller]
fn check(handled: &Handled, x_cache: &str) {
    let answer = &handled.answer;
    assert_eq!((answer.status_code, answer.headers["x-cache"].as_str()), (200, x_cache), "{answer:?}");
    assert!(answer.body.ends_with(&format!(r#","items":{HIGHEST}}}"#)), "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    assert_eq!((&body["list"], &body["count"]), (&json!("highest"), &json!(2)));
    assert!(body["computed_at"].as_u64().is_some_and(|secs| secs > 1_700_000_000), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "private, no-cache");
}

#[track_caller]
fn check_code(handled: &Handled, status: u16, code: &str) {
    assert_eq!(handled.answer.status_code, status, "{handled:?}");
    assert!(handled.answer.body.starts_with(&format!(r#"{{"error":{{"code":"{code}","#)), "{handled:?}");
}

fn age(handled: &Handled) -> Option<u64> {
    handled.answer.headers.get("age")?.parse().ok()
}

/// Refreshes the list as the schedule does, in an environment of its own.
async fn refresh(house: &House, app: &App) -> Result<Refreshed> {
    let list = app.lists.get("highest").context("a list")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let load = || async {
        let rows = app.source.list(list.query(), list.n(), deadline.into_std()).await?;
        Ok::<_, larder_origin::OriginError>(ListItems::of(rows.iter().map(Record::json)))
    };
    let cache = Cache::new(house.client()?, OriginGuard::new(1));
    Ok(cache.refresh_list(list.timed(), Duration::ZERO, deadline, load).await?)
}

#[tokio::test]
async fn a_list_that_was_never_there_is_computed_once_and_then_answered_from_the_cache() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    let first = house.get(PATH).await;
    check(&first, "miss");
    assert_eq!((first.work.counts.origin_calls, first.work.counts.fills), (1, 1));
    assert_eq!(first.work.list.as_deref(), Some("highest"));
    assert!(first.work.origin_time > Duration::ZERO);

    let second = get(&house.another(&[LISTS])?, PATH).await;
    check(&second, "hit");
    assert_eq!((second.work.counts.origin_calls, second.work.counts.hits), (0, 1));
    assert_eq!(second.answer.body, first.answer.body);
    assert!(age(&second).is_some_and(|age| age <= 5), "{second:?}");
    assert!(second.answer.headers.contains_key("x-cache-node"));
    Ok(())
}

#[tokio::test]
async fn many_readers_of_a_list_that_was_never_there_ask_the_origin_once() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    let apps: Vec<_> = (0..10).map(|_| house.another(&[LISTS])).collect::<Result<_>>()?;
    let reads = join_all(apps.iter().map(|app| get(app, PATH))).await;
    let calls: u32 = reads.iter().map(|read| read.work.counts.origin_calls).sum();
    assert_eq!(calls, 1);
    assert!(reads.iter().all(|read| read.answer.status_code == 200));
    Ok(())
}

#[tokio::test]
async fn what_the_schedule_has_stored_is_answered_however_old_it_is_and_never_refreshed() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    assert_eq!(refresh(&house, &house.app).await?, Refreshed::Stored { count: 2 });
    house.remove_origin()?;
    check(&house.get(PATH).await, "hit");
    let timed = house.app.lists.get("highest").context("a list")?.timed();
    for (secs, x_cache) in [(590, "hit"), (610, "stale"), (880, "stale")] {
        let left = Ttl::from_secs((timed.ttl().as_secs() - secs).into())?;
        assert!(house.client()?.touch(timed.key(), left).await?);
        let read = house.get(PATH).await;
        check(&read, x_cache);
        let age = age(&read).context("an age")?;
        assert!((secs.into()..u64::from(secs) + 5).contains(&age), "{age}");
        assert_eq!(read.work.counts.origin_calls, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_who_has_the_list_is_told_that_nothing_changed() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    let etag = house.get(PATH).await.answer.headers["etag"].clone();
    assert!(etag.starts_with("W/\"") && etag.len() == 36, "{etag}");
    let ask = |named: String| {
        let event = json!({
            "rawPath": PATH,
            "headers": { "if-none-match": named },
            "requestContext": { "http": { "method": "GET" } },
        });
        serde_json::from_value::<HttpRequest>(event)
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let same = handle(&house.app, &ask(format!("\"x\", {etag}"))?, deadline).await.answer;
    assert_eq!((same.status_code, same.body.as_str()), (304, ""));
    assert_eq!((&same.headers["etag"], same.headers["x-cache"].as_str()), (&etag, "hit"));
    assert!(same.headers.contains_key("age") && !same.headers.contains_key("content-type"), "{same:?}");

    // The same rows once more are the same list; others are not.
    assert_eq!(refresh(&house, &house.app).await?, Refreshed::Unchanged { count: 2 });
    assert_eq!(handle(&house.app, &ask(etag.clone())?, deadline).await.answer.status_code, 304);
    let mut database = house.database().await?;
    sqlx::raw_sql("UPDATE airports SET alt = 700 WHERE faa = 'ORD'").execute(&mut database).await?;
    database.close().await?;
    assert_eq!(refresh(&house, &house.app).await?, Refreshed::Stored { count: 2 });
    let other = handle(&house.app, &ask(etag.clone())?, deadline).await.answer;
    assert_eq!(other.status_code, 200);
    assert!(other.body.contains(r#"{"faa":"ORD","alt":700}"#) && other.headers["etag"] != etag);
    Ok(())
}

#[tokio::test]
async fn head_is_get_without_the_body() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    let got = house.get(PATH).await.answer;
    let deadline = Instant::now() + Duration::from_secs(20);
    let head = handle(&house.app, &request("HEAD", PATH), deadline).await.answer;
    assert_eq!((head.status_code, head.body.as_str()), (200, ""));
    assert_eq!(head.headers["etag"], got.headers["etag"]);
    Ok(())
}

#[tokio::test]
async fn a_list_that_there_is_not_is_404_and_without_lists_there_is_no_such_path() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    check_code(&house.get("/lists/lowest").await, 404, "unknown_list");
    check_code(&house.get("/lists/highest/1").await, 404, "unknown_path");
    check_code(&get(&house.another(&[])?, PATH).await, 404, "unknown_path");
    let deadline = Instant::now() + Duration::from_secs(20);
    check_code(&handle(&house.app, &request("POST", PATH), deadline).await, 405, "method_not_allowed");
    Ok(())
}

#[tokio::test]
async fn a_list_whose_origin_is_out_of_order_is_refused_and_left_alone_for_a_moment() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    house.spoil_origin()?;
    let first = house.get(PATH).await;
    check_code(&first, 503, "origin_unavailable");
    assert_eq!((first.work.counts.origin_calls, first.work.counts.errors), (1, 1));
    let again = get(&house.another(&[LISTS])?, PATH).await;
    check_code(&again, 503, "origin_unavailable");
    assert_eq!((again.answer.headers["retry-after"].as_str(), again.work.counts.failing), ("2", 1));
    Ok(())
}

#[tokio::test]
async fn a_list_that_its_settings_keep_from_being_asked_is_remembered_for_no_other() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    for (list, status, code) in [
        ("writes", 500, "misconfigured"),
        ("twice", 500, "misconfigured"),
        ("gone", 503, "origin_unavailable"),
    ] {
        for _ in 0..2 {
            let refused = house.get(&format!("/lists/{list}")).await;
            check_code(&refused, status, code);
            assert_eq!((refused.work.counts.origin_calls, refused.work.counts.failing), (1, 0), "{list}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_list_longer_than_lambda_lets_an_answer_be_is_413_and_says_what_to_do() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    let refused = house.get("/lists/long").await;
    check_code(&refused, 413, "too_large");
    assert!(refused.answer.body.contains("fewer rows or columns"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn without_the_cache_a_list_is_computed() -> Result<()> {
    let house = House::new(&[LISTS]).await?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let app = house.another(&[LISTS, ("LARDER_CONFIG_ENDPOINT", &nobody)])?;
    check(&get(&app, PATH).await, "bypass");
    Ok(())
}
