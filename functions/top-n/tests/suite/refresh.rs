//! What a run does, over real memcached nodes and a real SQLite file.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{House, PATIENCE, done, run, schedule, told};
use anyhow::Result;
use futures_util::future::join_all;
use larder_cache::Outcome;
use larder_top_n::{Failure, LEAST_TIME, handle};
use serde_json::json;
use tokio::time::Instant;

#[tokio::test]
async fn a_schedule_refreshes_what_is_due_and_leaves_the_rest() -> Result<()> {
    let house = House::new(&[300, 600]).await?;
    let app = house.counted()?;
    let first = run(&app, schedule()).await;
    assert_eq!(done(&first), "a refreshed, b refreshed");
    assert_eq!(first.work.query_times.len(), 2);
    assert_eq!(first.work.oldest_age, Some(Duration::ZERO));
    let read = house.read(app.lists.get("a").unwrap()).await?;
    let rows = r#"[{"list":"a","dest":"IAH","flights":3},{"list":"a","dest":"MIA","flights":2}]"#;
    assert_eq!((&read.items[..], read.count, read.outcome), (rows.as_bytes(), 2, Outcome::Hit));

    let again = run(&app, schedule()).await;
    assert_eq!((done(&again).as_str(), app.source.asked().as_str()), ("", "ab"));

    // Not before nine tenths of its period are over.
    house.let_age(&app, "a", 264).await?;
    house.let_age(&app, "b", 541).await?;
    house.change("INSERT INTO flights VALUES (7, 'MIA'), (8, 'MIA')").await?;
    let later = run(&app, schedule()).await;
    assert_eq!(done(&later), "b refreshed");
    let oldest = later.work.oldest_age.unwrap().as_secs();
    assert!((264..270).contains(&oldest), "{oldest}");
    Ok(())
}

#[tokio::test]
async fn unchanged_rows_are_told_apart() -> Result<()> {
    let house = House::new(&[300]).await?;
    let app = house.counted()?;
    run(&app, schedule()).await;
    house.let_age(&app, "a", 700).await?;
    assert_eq!(house.read(app.lists.get("a").unwrap()).await?.outcome, Outcome::Stale);
    assert_eq!(done(&run(&app, schedule()).await), "a unchanged");
    let read = house.read(app.lists.get("a").unwrap()).await?;
    assert!(read.outcome == Outcome::Hit && read.age < Duration::from_secs(5), "{read:?}");
    Ok(())
}

#[tokio::test]
async fn the_most_overdue_list_comes_first_and_one_that_is_not_there_before_all() -> Result<()> {
    let house = House::new(&[300, 300, 30, 300]).await?;
    let app = house.counted()?;
    run(&app, schedule()).await;
    house.let_age(&app, "a", 290).await?;
    house.let_age(&app, "b", 400).await?;
    house.let_age(&app, "c", 100).await?;
    house.remove(app.lists.get("d").unwrap().timed().key()).await?;
    assert_eq!(done(&run(&app, json!({})).await), "d refreshed, b unchanged, c unchanged, a unchanged");
    Ok(())
}

#[tokio::test]
async fn lists_that_are_named_are_refreshed_unless_they_just_were() -> Result<()> {
    let house = House::new(&[300, 300]).await?;
    let app = house.counted()?;
    assert_eq!(done(&run(&app, json!({ "list": "b" })).await), "b refreshed");
    assert_eq!(done(&run(&app, json!({ "list": "b" })).await), "b not due");
    assert_eq!(done(&run(&app, json!({ "lists": ["b", "a"] })).await), "b not due, a refreshed");
    house.let_age(&app, "b", 151).await?;
    assert_eq!(done(&run(&app, json!({ "list": "b" })).await), "b unchanged");
    house.change("DELETE FROM flights").await?;
    assert_eq!(done(&run(&app, json!({ "list": "b", "force": true })).await), "b refreshed");
    assert_eq!(&house.read(app.lists.get("b").unwrap()).await?.items[..], b"[]");
    assert_eq!(app.source.asked(), "babb");
    Ok(())
}

#[tokio::test]
async fn the_same_schedule_in_twenty_environments_at_once_asks_for_each_list_once() -> Result<()> {
    let house = House::new(&[300, 300]).await?;
    let apps: Vec<_> = (0..20).map(|_| house.counted()).collect::<Result<_>>()?;
    let runs = join_all(apps.iter().map(|app| run(app, schedule()))).await;
    let asked: Vec<_> = apps.iter().map(|app| app.source.asked()).collect();
    let mut asked: Vec<char> = asked.concat().chars().collect();
    asked.sort_unstable();
    assert_eq!(asked, ['a', 'b']);
    assert!(runs.iter().all(|run| run.answer.is_ok()));
    let refreshed = runs.iter().map(told).collect::<String>().matches("refreshed").count();
    assert_eq!(refreshed, 2);
    Ok(())
}

#[tokio::test]
async fn a_list_that_fails_stays_and_keeps_no_other_from_being_refreshed() -> Result<()> {
    let lists = json!([
        { "name": "bad", "query": { "sql": { "statement": "SELECT dest FROM gone" } }, "n": 1, "period_secs": 300 },
        { "name": "good", "query": { "sql": { "statement": "SELECT dest FROM flights" } }, "n": 1, "period_secs": 300 },
    ]);
    let dir = tempfile::tempdir()?;
    let house = House::over(dir, lists.to_string()).await?;
    let app = house.app()?;
    house
        .create(
            "CREATE TABLE flights (dest TEXT); CREATE TABLE gone (dest TEXT); INSERT INTO gone VALUES ('x')",
        )
        .await?;
    assert_eq!(done(&run(&app, schedule()).await), "bad refreshed, good refreshed");

    house.change("DROP TABLE gone").await?;
    house.let_age(&app, "bad", 700).await?;
    house.let_age(&app, "good", 300).await?;
    let failed = run(&app, schedule()).await;
    assert_eq!(done(&failed), "bad failed, good unchanged");
    let answer = serde_json::to_value(failed.answer.unwrap())?;
    let error = answer["lists"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("the query failed: the origin failed: "), "{error}");
    assert!((700..710).contains(&failed.work.oldest_age.unwrap().as_secs()));
    let read = house.read(app.lists.get("bad").unwrap()).await?;
    assert_eq!((&read.items[..], read.outcome), (&br#"[{"dest":"x"}]"#[..], Outcome::Stale));
    assert!(read.age >= Duration::from_secs(700));

    // Nothing else was done: Lambda is told, and tries again.
    for event in [schedule(), json!({ "list": "bad" })] {
        let failed = run(&app, event).await;
        assert!(matches!(failed.answer, Err(Failure::NothingDone { failed: 1, .. })), "{failed:?}");
        assert_eq!((told(&failed).as_str(), failed.work.failure), ("bad failed", Some("NothingDone")));
    }
    Ok(())
}

#[tokio::test]
async fn a_list_of_two_columns_of_one_name_is_refused_by_both_names() -> Result<()> {
    let statement = "SELECT * FROM flights AS a JOIN flights AS b ON a.id = b.id";
    let lists = json!([
        { "name": "joined", "query": { "sql": { "statement": statement } }, "n": 1, "period_secs": 300 },
    ]);
    let house = House::over(tempfile::tempdir()?, lists.to_string()).await?;
    let app = house.app()?;
    house.create("CREATE TABLE flights (id INTEGER PRIMARY KEY); INSERT INTO flights VALUES (1)").await?;
    let failed = run(&app, schedule()).await;
    let message = failed.answer.unwrap_err().to_string();
    assert!(message.contains("joined: the query failed") && message.contains(r#"called "id""#), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_name_that_there_is_not_fails_by_itself() -> Result<()> {
    let house = House::new(&[300]).await?;
    let app = house.app()?;
    assert_eq!(done(&run(&app, json!({ "lists": ["x", "a"] })).await), "x failed, a refreshed");
    let failed = run(&app, json!({ "list": "x" })).await;
    let message = failed.answer.unwrap_err().to_string();
    assert_eq!(message, "no list could be refreshed, 1 failed; the first: x: there is no such list");
    assert!(matches!(run(&app, json!({ "Records": [] })).await.answer, Err(Failure::InvalidEvent(_))));
    Ok(())
}

#[tokio::test]
async fn a_run_stops_in_time_and_says_what_is_left() -> Result<()> {
    let house = House::new(&[300, 300, 300]).await?;
    let app = house.counted()?;
    // The second query takes for ever.
    app.source.most.store(1, Ordering::SeqCst);
    let begin = Instant::now();
    let deadline = begin + Duration::from_secs(3);
    let handled = handle(&app, &schedule(), deadline).await;
    assert_eq!(done(&handled), "a refreshed, b left, c left");
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert_eq!(app.source.asked(), "ab", "for the third there was no time");
    assert!(Instant::now() <= deadline + Duration::from_secs(1));

    app.source.most.store(usize::MAX, Ordering::SeqCst);
    let late = handle(&app, &schedule(), Instant::now() + LEAST_TIME / 2).await;
    assert_eq!((done(&late).as_str(), app.source.asked().as_str()), ("b left, c left", "ab"));
    assert_eq!(done(&run(&app, schedule()).await), "b refreshed, c refreshed");
    Ok(())
}

#[tokio::test]
async fn without_the_cache_a_run_fails_and_asks_for_nothing() -> Result<()> {
    let house = House::new(&[300]).await?;
    let app = house.counted()?;
    for node in house.nodes.nodes() {
        house.nodes.kill_node(node.id).await?;
    }
    let failed = run(&app, schedule()).await;
    assert!(matches!(failed.answer, Err(Failure::NothingDone { .. })), "{failed:?}");
    assert_eq!(app.source.asked(), "");
    Ok(())
}
