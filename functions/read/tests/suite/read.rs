//! What a caller gets, over real memcached nodes and a real SQLite file.

use std::time::Duration;

use crate::support::{House, get, request};
use anyhow::Result;
use futures_util::future::join_all;
use larder_client::{Key, Ttl};
use larder_local::NodeId;
use larder_read::{Handled, handle};
use sqlx::Connection as _;
use tokio::time::Instant;

const JFK: &str = r#"{"faa":"JFK","name":"John F Kennedy Intl","alt":13}"#;
const LGA: &str = r#"{"faa":"LGA","name":"La Guardia","alt":22}"#;

#[track_caller]
fn check(handled: &Handled, status: u16, x_cache: Option<&str>) {
    let answer = &handled.answer;
    let told = answer.headers.get("x-cache").map(String::as_str);
    assert_eq!((answer.status_code, told), (status, x_cache), "{answer:?}");
    assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok(), "{answer:?}");
}

#[track_caller]
fn check_code(handled: &Handled, status: u16, code: &str) {
    check(handled, status, None);
    assert!(handled.answer.body.starts_with(&format!(r#"{{"error":{{"code":"{code}","#)), "{handled:?}");
}

#[tokio::test]
async fn a_record_is_loaded_once_and_then_cached() -> Result<()> {
    let house = House::new(&[]).await?;

    let first = house.get("/records/airports/JFK").await;
    check(&first, 200, Some("miss"));
    assert_eq!(first.answer.body, JFK);
    assert_eq!((first.work.counts.origin_calls, first.work.counts.fills), (1, 1));
    assert!(first.work.origin_time > Duration::ZERO);

    let second = house.get("/records/airports/JFK").await;
    check(&second, 200, Some("hit"));
    assert_eq!(second.answer.body, JFK);
    assert_eq!(second.work.counts.origin_calls, 0);
    let node = &second.answer.headers["x-cache-node"];
    assert!(
        house.nodes.nodes().iter().any(|known| format!("{}:{}", known.name, known.port) == *node),
        "{node}"
    );
    assert!(second.answer.headers["age"].parse::<u64>()? <= 10);
    Ok(())
}

#[tokio::test]
async fn another_environment_finds_what_one_has_stored() -> Result<()> {
    let house = House::new(&[]).await?;
    house.get("/records/airports/JFK").await;
    check(&get(&house.another(&[])?, "/records/airports/JFK").await, 200, Some("hit"));
    Ok(())
}

#[tokio::test]
async fn a_batch_asks_the_origin_once_for_all_that_is_missing() -> Result<()> {
    let house = House::new(&[]).await?;
    house.get("/records/airports/JFK").await;

    let batch = house.get("/records/airports?ids=LGA,JFK,XXX,LGA").await;
    check(&batch, 200, Some("miss"));
    assert_eq!(batch.answer.body, format!(r#"{{"records":[{LGA},{JFK},null,{LGA}]}}"#));
    assert_eq!(batch.answer.headers["x-cache-counts"], "hit=1, miss=2");
    assert_eq!(batch.work.counts.origin_calls, 1);

    let again = house.get("/records/airports?ids=LGA,JFK,XXX,LGA").await;
    check(&again, 200, Some("hit"));
    assert_eq!(again.answer.body, batch.answer.body);
    assert_eq!(again.answer.headers["x-cache-counts"], "hit=3");
    assert_eq!(again.work.counts.origin_calls, 0);
    Ok(())
}

#[tokio::test]
async fn that_a_record_does_not_exist_is_cached() -> Result<()> {
    let house = House::new(&[]).await?;
    check(&house.get("/records/airports/XXX").await, 404, Some("miss"));
    let again = house.get("/records/airports/XXX").await;
    check(&again, 404, Some("hit"));
    assert_eq!((again.work.counts.negative_hits, again.work.counts.origin_calls), (1, 0));
    Ok(())
}

#[tokio::test]
async fn without_a_cache_records_come_from_the_origin() -> Result<()> {
    let house = House::new(&[]).await?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let app = house.another(&[("LARDER_CONFIG_ENDPOINT", &nobody)])?;
    let one = get(&app, "/records/airports/JFK").await;
    check(&one, 200, Some("bypass"));
    assert_eq!(one.answer.body, JFK);
    check(&get(&app, "/records/airports?ids=JFK,LGA").await, 200, Some("bypass"));
    check(&get(&app, "/records/airports/XXX").await, 404, Some("bypass"));
    Ok(())
}

#[tokio::test]
async fn a_killed_node_costs_its_own_records_the_cache_and_nobody_an_error() -> Result<()> {
    let house = House::new(&[]).await?;
    let all = "/records/airports?ids=JFK,LGA,EWR,ORD";
    house.get(all).await;
    let node = house.get("/records/airports/JFK").await.answer.headers["x-cache-node"].clone();
    let killed =
        house.nodes.nodes().into_iter().find(|known| node.starts_with(&known.name)).map(|known| known.id);
    house.nodes.kill_node(killed.unwrap_or(NodeId(1))).await?;

    check(&house.get("/records/airports/JFK").await, 200, Some("bypass"));
    let batch = house.get(all).await;
    check(&batch, 200, Some("bypass"));
    let counts = batch.work.counts;
    assert_eq!((counts.hits + counts.bypasses, counts.origin_calls), (4, 1), "{counts:?}");
    Ok(())
}

#[tokio::test]
async fn a_node_that_hangs_costs_no_more_than_the_time_allowed_for_the_cache() -> Result<()> {
    let house = House::new(&[("LARDER_CACHE_TIMEOUT_MS", "100")]).await?;
    house.get("/records/airports/JFK").await;
    for node in house.nodes.nodes() {
        house.nodes.pause_node(node.id).await?;
    }
    let started = Instant::now();
    check(&house.get("/records/airports/JFK").await, 200, Some("bypass"));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn without_an_origin_what_is_cached_is_answered_and_what_is_not_says_when_to_ask_again() -> Result<()> {
    let house = House::new(&[]).await?;
    house.get("/records/airports/JFK").await;
    house.remove_origin()?;
    let app = house.another(&[])?;

    check(&get(&app, "/records/airports/JFK").await, 200, Some("hit"));
    for path in ["/records/airports/LGA", "/records/airports?ids=JFK,LGA"] {
        let refused = get(&app, path).await;
        check_code(&refused, 503, "origin_unavailable");
        assert_eq!(refused.answer.headers["retry-after"], "2");
        assert_eq!(refused.work.counts.errors, 1);
    }
    Ok(())
}

#[tokio::test]
async fn without_an_origin_a_record_that_was_marked_stale_is_still_answered() -> Result<()> {
    let house = House::new(&[]).await?;
    house.get("/records/airports/JFK").await;
    let key = Key::compose(["airports", "JFK"])?;
    assert!(house.client()?.mark_stale(&key, Ttl::clamped(60)).await?);
    house.remove_origin()?;

    let lenient = house.another(&[("LARDER_STALE_AFTER_INVALIDATE", "on")])?;
    let answered = get(&lenient, "/records/airports/JFK").await;
    check(&answered, 200, Some("stale"));
    assert_eq!(answered.answer.body, JFK);
    check_code(&get(&house.another(&[])?, "/records/airports/JFK").await, 503, "origin_unavailable");
    Ok(())
}

#[tokio::test]
async fn an_origin_that_is_too_slow_is_not_waited_for_past_the_deadline() -> Result<()> {
    let house = House::new(&[]).await?;
    let mut writer = house.database().await?;
    sqlx::raw_sql("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").execute(&mut writer).await?;

    let started = Instant::now();
    let request = request("GET", "/records/airports/JFK");
    let refused = handle(&house.app, &request, started + Duration::from_millis(300)).await;
    check_code(&refused, 503, "origin_unavailable");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());

    writer.close().await?;
    check(&house.get("/records/airports/JFK").await, 200, Some("miss"));
    Ok(())
}

#[tokio::test]
async fn a_table_that_is_not_served_is_400_and_nothing_is_asked() -> Result<()> {
    let house = House::new(&[]).await?;
    for path in ["/records/notes/1", "/records/hotels/1", "/records/hotels?ids=1"] {
        let refused = house.get(path).await;
        check_code(&refused, 400, "unknown_table");
        assert_eq!(refused.work.table, None);
    }
    Ok(())
}

#[tokio::test]
async fn an_id_that_no_record_can_have_is_400_and_kept_as_no_record() -> Result<()> {
    let house = House::new(&[]).await?;
    // The key's type is known once the table has been loaded from: the first time the origin says it.
    for _ in 0..2 {
        let started = Instant::now();
        check_code(&house.get("/records/flights/seventeen").await, 400, "bad_id");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    check_code(&house.get("/records/flights?ids=1,,2").await, 400, "bad_id");
    for id in ["a%0Ab", "%FF", &"x".repeat(300)] {
        check_code(&house.get(&format!("/records/airports/{id}")).await, 400, "bad_id");
    }
    check(&house.get("/records/flights/1").await, 200, Some("miss"));
    let key = Key::compose(["flights", "seventeen"])?;
    let kept = house.client()?.get(&key).await?.expect("others need not ask the origin");
    // The upper half of the client flags says that no ring document was known.
    assert_eq!((&kept.value[..], kept.client_flags), (&b""[..], 1 << 16 | 2));
    Ok(())
}

#[tokio::test]
async fn an_id_that_no_record_can_have_leaves_its_place_in_a_batch_empty() -> Result<()> {
    let house = House::new(&[]).await?;
    // The key's type is known once the table has been loaded from.
    for x_cache in ["miss", "hit"] {
        let batch = house.get("/records/flights?ids=1,007,seventeen,18446744073709551615,2").await;
        check(&batch, 200, Some(x_cache));
        let expected = r#"{"records":[{"id":1,"dest":"IAH"},null,null,null,{"id":2,"dest":"MIA"}]}"#;
        assert_eq!(batch.answer.body, expected);
    }
    let none = house.get("/records/flights?ids=007,seventeen").await;
    check(&none, 200, None);
    assert_eq!(none.answer.body, r#"{"records":[null,null]}"#);
    Ok(())
}

#[tokio::test]
async fn what_is_longer_than_lambda_lets_an_answer_be_is_413_and_says_what_to_do() -> Result<()> {
    let house = House::new(&[]).await?;
    let mut database = house.database().await?;
    // 3.2 MB of quotation marks are 6.4 MB as they are sent.
    sqlx::raw_sql(
        "UPDATE airports SET name = printf('%.*c', 6400000, 'x') WHERE faa = 'JFK';
         UPDATE airports SET name = printf('%.*c', 1600000, '\"') WHERE faa = 'LGA';
         UPDATE airports SET name = printf('%.*c', 1500000, '\"') WHERE faa = 'EWR'",
    )
    .execute(&mut database)
    .await?;
    for (path, says) in [
        ("/records/airports/JFK", "keep what is long elsewhere"),
        ("/records/airports/LGA", "keep what is long elsewhere"),
        ("/records/airports?ids=JFK", "ask for fewer"),
        ("/records/airports?ids=EWR,ORD,EWR", "ask for fewer"),
    ] {
        let refused = house.get(path).await;
        check_code(&refused, 413, "too_large");
        assert!(refused.answer.body.contains(says), "{path}: {}", refused.answer.body);
        assert!(serde_json::to_string(&refused.answer)?.len() < 1000);
    }
    for path in ["/records/airports/EWR", "/records/airports?ids=EWR,ORD"] {
        let whole = house.get(path).await;
        assert_eq!(whole.answer.status_code, 200, "{path}");
        let sent = serde_json::to_string(&whole.answer)?.len();
        assert!((6_000_000..=6_291_556).contains(&sent), "{path}: {sent}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_does_not_fit_the_schema_is_500_for_its_own_records_only() -> Result<()> {
    let house = House::new(&[("LARDER_TABLES", "airports:faa,notes:text,hotels:id")]).await?;
    check_code(&house.get("/records/notes/1").await, 500, "misconfigured");
    check_code(&house.get("/records/hotels/1").await, 500, "misconfigured");
    check(&house.get("/records/airports/JFK").await, 200, Some("miss"));
    Ok(())
}

#[tokio::test]
async fn head_is_get_without_the_body() -> Result<()> {
    let house = House::new(&[]).await?;
    let deadline = Instant::now() + Duration::from_secs(10);
    for (path, status) in
        [("/records/airports/JFK", 200), ("/records/airports/XXX", 404), ("/elsewhere", 404)]
    {
        let head = handle(&house.app, &request("HEAD", path), deadline).await.answer;
        let got = house.get(path).await.answer;
        assert_eq!((head.status_code, head.body.as_str()), (status, ""));
        assert!(
            head.headers.keys().eq(got.headers.keys().filter(|name| **name != "age")),
            "{head:?} {got:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn keys_are_table_and_id_behind_the_prefix() -> Result<()> {
    let house = House::new(&[("LARDER_KEY_PREFIX", "air")]).await?;
    house.get("/records/airports/JFK").await;
    let stored = house.client()?.get(&Key::new(b"air:airports:JFK")?).await?;
    assert_eq!(stored.map(|item| item.value), Some(JFK.into()));
    Ok(())
}

#[tokio::test]
async fn many_requests_of_one_environment_share_one_load() -> Result<()> {
    let house = House::new(&[]).await?;
    let mut reads = Vec::new();
    for _ in 0..8 {
        reads.push(house.get("/records/airports/JFK"));
    }
    let mut origin_calls = 0;
    for handled in join_all(reads).await {
        assert_eq!(handled.answer.body, JFK);
        origin_calls += handled.work.counts.origin_calls;
    }
    assert_eq!(origin_calls, 1);
    Ok(())
}

#[tokio::test]
async fn whoever_asks_for_a_version_gets_that_or_a_newer_one() -> Result<()> {
    let house = House::new(&[("LARDER_TABLES", "parks:id:version=v,airports:faa")]).await?;
    let mut database = house.database().await?;
    sqlx::raw_sql("CREATE TABLE parks (id INTEGER PRIMARY KEY, v BIGINT); INSERT INTO parks VALUES (1, 3)")
        .execute(&mut database)
        .await?;
    check_version(&house.get("/records/parks/1?min-version=3").await, Some("miss"), "3");
    check_version(&house.get("/records/parks/1?min-version=3").await, Some("hit"), "3");
    sqlx::raw_sql("UPDATE parks SET v = 5").execute(&mut database).await?;
    check_version(&house.get("/records/parks/1").await, Some("hit"), "3");
    check_version(&house.get("/records/parks/1?min-version=4").await, Some("miss"), "5");
    check_version(&house.get("/records/parks/1").await, Some("hit"), "5");
    check_code(&house.get("/records/parks/1?min-version=6").await, 503, "not_yet");
    check_code(&house.get("/records/airports/JFK?min-version=1").await, 400, "no_versions");
    Ok(())
}

#[track_caller]
fn check_version(handled: &Handled, cache: Option<&str>, version: &str) {
    check(handled, 200, cache);
    assert_eq!(handled.answer.headers["x-record-version"], version);
}

#[tokio::test]
async fn an_origin_that_one_environment_cannot_reach_is_loaded_by_the_others() -> Result<()> {
    let house = House::new(&[]).await?;
    let listens = std::net::TcpListener::bind("127.0.0.1:0")?;
    let silent = listens.local_addr()?.port();
    // Nothing listens there any more.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let urls = [
        "sqlite:nowhere/at/all.db".to_owned(),
        format!("postgres://larder:x@127.0.0.1:{nobody}/air"),
        format!("mysql://larder:x@127.0.0.1:{nobody}/air"),
        "postgres://larder:x@nowhere.invalid:5432/air".to_owned(),
        // A security group that is missing: nothing answers.
        format!("postgres://larder:x@127.0.0.1:{silent}/air"),
        format!("mysql://larder:x@127.0.0.1:{silent}/air"),
    ];
    for (url, id) in urls.iter().zip(["JFK", "LGA", "EWR", "ORD", "JFK", "LGA"]) {
        let client = house.client()?;
        let path = format!("/records/airports/{id}");
        client.delete(&Key::new(format!("airports:{id}").as_bytes())?).await?;
        let sick = house.another(&[("LARDER_ORIGIN_URL", url)])?;
        let refused = get(&sick, &path).await;
        check_code(&refused, 503, "origin_unavailable");
        for _ in 0..9 {
            let healthy = house.another(&[])?;
            let answer = get(&healthy, &path).await;
            assert!([200, 404].contains(&answer.answer.status_code), "{url}: {answer:?}");
            assert_eq!(answer.work.counts.failing, 0, "{url}");
        }
    }
    Ok(())
}
