//! What a caller gets, and what readers get afterwards, over real memcached nodes and a real SQLite file.

use crate::support::{House, check, check_code, event, get, late, request, send, version};
use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use larder_write::handle;
use serde_json::json;
use tokio::time::{Duration, Instant};

const PATH: &str = "/records/flights/1";

#[tokio::test]
async fn a_row_that_was_put_is_a_hit_for_the_next_reader() -> Result<()> {
    let house = House::new().await?;
    let made = house.put("/records/flights/17", r#"{"origin":"JFK","dest":"ORD"}"#).await;
    check(&made, 201, "stored");
    let first = version(&made);
    assert_eq!(made.body, format!(r#"{{"id":17,"origin":"JFK","dest":"ORD","gate":"A1","v":{first}}}"#));
    assert_eq!(made.headers["etag"], format!("\"{first}\""));
    let read = house.get("/records/flights/17").await;
    check(&read, 200, "hit");
    assert_eq!((read.body.as_str(), version(&read)), (made.body.as_str(), first));

    let replaced = house.put("/records/flights/17", r#"{"id":17,"dest":"LGA","gate":null}"#).await;
    check(&replaced, 200, "stored");
    assert_eq!(version(&replaced), first + 1);
    let expected = format!(r#"{{"id":17,"origin":null,"dest":"LGA","gate":null,"v":{}}}"#, first + 1);
    assert_eq!(replaced.body, expected);
    let read = house.get("/records/flights/17").await;
    check(&read, 200, "hit");
    assert_eq!(read.body, expected);
    Ok(())
}

#[tokio::test]
async fn what_a_reader_has_cached_is_replaced() -> Result<()> {
    let house = House::new().await?;
    check(&house.get(PATH).await, 200, "miss");
    let handled = send(&house.writer, "PATCH", PATH, &[], r#"{"gate":"D4"}"#).await;
    check(&handled.answer, 200, "stored");
    let work = &handled.work;
    assert_eq!((work.puts, work.patches, work.deletes, work.stored), (0, 1, 0, 1));
    // The shape beside this one, and those of two parents in two shapes.
    assert_eq!((work.forgotten, work.queued, work.unforgotten), (5, 0, 0));
    assert!(work.origin_time > Duration::ZERO && work.cache_time > Duration::ZERO);
    let read = house.get(PATH).await;
    check(&read, 200, "hit");
    assert_eq!(read.body, r#"{"id":1,"origin":"EWR","dest":"ORD","gate":"D4","v":6}"#);
    check(&house.get(&format!("{PATH}?min-version=6")).await, 200, "hit");
    Ok(())
}

#[tokio::test]
async fn a_patch_of_no_row_is_404_and_keeps_no_reader_waiting() -> Result<()> {
    let house = House::new().await?;
    let answer = send(&house.writer, "PATCH", "/records/flights/99", &[], r#"{"gate":"D4"}"#).await.answer;
    check(&answer, 404, "forgotten");
    check_code(&answer, 404, "no_such_record");
    let started = Instant::now();
    check(&house.get("/records/flights/99").await, 404, "miss");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_row_that_was_deleted_is_gone_for_the_next_reader_whatever_the_policy() -> Result<()> {
    let house = House::new().await?;
    let soft = [("LARDER_STALE_AFTER_INVALIDATE", "on")];
    let (writer, reader) = (house.another_writer(&soft)?, house.another_reader(&soft)?);
    check(&get(&reader, PATH).await, 200, "miss");
    for _ in 0..2 {
        let answer = send(&writer, "DELETE", PATH, &[], "").await.answer;
        check(&answer, 204, "forgotten");
        assert_eq!((answer.body.as_str(), answer.headers.get("etag")), ("", None));
        assert!(!answer.headers.contains_key("content-type"));
    }
    check(&get(&reader, PATH).await, 404, "miss");
    Ok(())
}

#[tokio::test]
async fn a_delete_that_was_cut_off_before_the_cache_is_made_good_by_the_next_one() -> Result<()> {
    let house = House::new().await?;
    house.get(PATH).await;
    sqlx::raw_sql("DELETE FROM flights").execute(&mut house.database().await?).await?;
    check(&house.get(PATH).await, 200, "hit");
    check(&send(&house.writer, "DELETE", PATH, &[], "").await.answer, 204, "forgotten");
    check(&house.get(PATH).await, 404, "miss");

    house.get("/records/airports/JFK").await;
    sqlx::raw_sql("DELETE FROM airports").execute(&mut house.database().await?).await?;
    let patched = send(&house.writer, "PATCH", "/records/airports/JFK", &[], r#"{"alt":1}"#).await.answer;
    check(&patched, 404, "forgotten");
    check(&house.get("/records/airports/JFK").await, 404, "miss");
    Ok(())
}

#[tokio::test]
async fn a_write_for_another_version_is_refused_and_told_the_present_one() -> Result<()> {
    let house = House::new().await?;
    for (method, body) in [("PUT", "{}"), ("PATCH", r#"{"gate":"X"}"#), ("DELETE", "")] {
        let handled = send(&house.writer, method, PATH, &[("if-match", "\"4\"")], body).await;
        check_code(&handled.answer, 412, "version_conflict");
        assert_eq!(version(&handled.answer), 5);
        assert!(handled.answer.body.contains(r#""version":5"#), "{}", handled.answer.body);
        assert_eq!((handled.work.conflicts, handled.work.forgotten), (1, 0));
    }
    let absent = send(&house.writer, "PUT", "/records/flights/99", &[("if-match", "5")], "{}").await.answer;
    check_code(&absent, 412, "version_conflict");

    // Nobody waits for what does not come.
    let started = Instant::now();
    check(&house.get(PATH).await, 200, "miss");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let patched = send(&house.writer, "PATCH", PATH, &[("if-match", "5")], r#"{"gate":"X"}"#).await.answer;
    check(&patched, 200, "stored");
    check(&send(&house.writer, "DELETE", PATH, &[("if-match", "\"6\"")], "").await.answer, 204, "forgotten");
    Ok(())
}

#[tokio::test]
async fn a_write_of_the_same_name_happens_once_and_stores_nothing_old() -> Result<()> {
    let house = House::new().await?;
    let (name, body) = ([("idempotency-key", "8e03978e")], r#"{"dest":"LGA"}"#);
    let put = async || send(&house.writer, "PUT", "/records/flights/17", &name, body).await;
    let first = put().await.answer;
    check(&first, 201, "stored");
    assert_eq!(first.headers.get("x-idempotent-replay"), None);
    let repeated = put().await;
    check(&repeated.answer, 201, "forgotten");
    assert_eq!(repeated.answer.headers["x-idempotent-replay"], "true");
    assert_eq!((repeated.answer.body.as_str(), repeated.work.repeats), (first.body.as_str(), 1));
    assert_eq!(version(&repeated.answer), version(&first));

    let since = house.put("/records/flights/17", r#"{"dest":"EWR"}"#).await;
    check(&since, 200, "stored");
    let repeated = put().await.answer;
    check(&repeated, 201, "forgotten");
    assert_eq!((repeated.body.as_str(), version(&repeated)), (since.body.as_str(), version(&first) + 1));
    assert_eq!(repeated.headers["etag"], since.headers["etag"]);
    assert_eq!(repeated.headers["x-written-version"], version(&first).to_string());
    let read = house.get("/records/flights/17").await;
    check(&read, 200, "miss");
    assert_eq!(version(&read), version(&first) + 1);

    for (method, path, body) in
        [("PUT", "/records/flights/17", "{}"), ("PUT", PATH, body), ("DELETE", "/records/flights/17", "")]
    {
        let other = send(&house.writer, method, path, &name, body).await.answer;
        check_code(&other, 422, "idempotency_mismatch");
    }

    check(&send(&house.writer, "DELETE", "/records/flights/17", &[], "").await.answer, 204, "forgotten");
    let repeated = put().await.answer;
    check(&repeated, 410, "forgotten");
    check_code(&repeated, 410, "removed_since");
    assert_eq!(repeated.headers["x-written-version"], version(&first).to_string());
    assert_eq!(repeated.headers.get("etag"), None);
    check(&house.get("/records/flights/17").await, 404, "miss");
    Ok(())
}

#[tokio::test]
async fn a_repeat_of_what_removed_or_found_no_row_is_answered_as_it_was() -> Result<()> {
    let house = House::new().await?;
    for (method, path, body, status) in
        [("DELETE", PATH, "", 204), ("PATCH", "/records/flights/99", r#"{"gate":"D4"}"#, 404)]
    {
        let name = [("idempotency-key", method)];
        check(&send(&house.writer, method, path, &name, body).await.answer, status, "forgotten");
        check(&house.put(path, r#"{"dest":"LGA"}"#).await, 201, "stored");
        let repeated = send(&house.writer, method, path, &name, body).await.answer;
        check(&repeated, status, "forgotten");
        assert_eq!(repeated.headers["x-idempotent-replay"], "true");
        check(&house.get(path).await, 200, "miss");
    }
    Ok(())
}

#[tokio::test]
async fn a_row_longer_than_lambda_lets_an_answer_be_is_written_and_said_to_be() -> Result<()> {
    let house = House::new().await?;
    sqlx::raw_sql("UPDATE flights SET origin = printf('%.*c', 6400000, 'x') WHERE id = 1")
        .execute(&mut house.database().await?)
        .await?;
    for (method, body) in [("PATCH", r#"{"gate":"D4"}"#), ("PATCH", r#"{"gate":"D5"}"#)] {
        let handled = send(&house.writer, method, PATH, &[("idempotency-key", body)], body).await;
        let answer = handled.answer;
        assert_eq!((answer.status_code, answer.body.as_str()), (204, ""), "{:?}", answer.headers);
        assert_eq!(answer.headers["preference-applied"], "return=minimal");
        assert_eq!(answer.headers["etag"], format!("\"{}\"", version(&answer)));
        assert!(!answer.headers.contains_key("content-type"));
        let repeated = send(&house.writer, method, PATH, &[("idempotency-key", body)], body).await.answer;
        assert_eq!((repeated.status_code, version(&repeated)), (204, version(&answer)));
        assert!(serde_json::to_string(&repeated)?.len() < 1000);
    }
    let read = house.get(PATH).await;
    check_code(&read, 413, "too_large");
    let gate: (String, i64) = sqlx::query_as("SELECT gate, v FROM flights WHERE id = 1")
        .fetch_one(&mut house.database().await?)
        .await?;
    assert_eq!(gate, ("D5".to_owned(), 7));
    Ok(())
}

#[tokio::test]
async fn a_repeated_write_forgets_the_parents_that_the_first_one_may_have_left() -> Result<()> {
    let house = House::new().await?;
    let patch = async || {
        send(&house.writer, "PATCH", PATH, &[("idempotency-key", "one")], r#"{"dest":"JFK"}"#).await.answer
    };
    check(&patch().await, 200, "stored");
    for path in ["/records/airports/ORD", "/records/airports/JFK"] {
        check(&house.get(path).await, 200, "miss");
    }
    // The first one may have been cut off before it told the cache, and the row have changed since.
    sqlx::raw_sql("UPDATE flights SET dest = 'LGA'").execute(&mut house.database().await?).await?;
    check(&patch().await, 200, "forgotten");
    for path in ["/records/airports/ORD", "/records/airports/JFK"] {
        check(&house.get(path).await, 200, "miss");
    }
    let outcome: (String,) =
        sqlx::query_as("SELECT outcome FROM larder_writes").fetch_one(&mut house.database().await?).await?;
    assert_eq!(
        outcome.0,
        concat!(
            r#"{"record":{"dest":"JFK","origin":"EWR"},"before":{"dest":"ORD","origin":"EWR"},"#,
            r#""version":6,"before_version":5}"#
        )
    );
    Ok(())
}

#[tokio::test]
async fn a_table_without_versions_is_written_as_well() -> Result<()> {
    let house = House::new().await?;
    house.get("/records/airports/JFK").await;
    let put = house.put("/records/airports/JFK", r#"{"name":"Idlewild"}"#).await;
    check(&put, 200, "stored");
    assert!(!put.headers.contains_key("etag") && !put.headers.contains_key("x-record-version"));
    let read = house.get("/records/airports/JFK").await;
    check(&read, 200, "hit");
    assert_eq!(read.body, r#"{"faa":"JFK","name":"Idlewild","alt":7}"#);
    let conditional = [("if-match", "1")];
    let refused = send(&house.writer, "PUT", "/records/airports/JFK", &conditional, "{}").await.answer;
    check_code(&refused, 400, "no_versions");
    Ok(())
}

#[tokio::test]
async fn what_the_origin_does_not_take_is_refused_in_a_word() -> Result<()> {
    let house = House::new().await?;
    for (method, path, body, code) in [
        ("PUT", "/records/airports/XXX", "{}", "not_null"),
        ("PUT", PATH, r#"{"id":2}"#, "key_mismatch"),
        ("PATCH", PATH, r#"{"v":2}"#, "not_settable"),
        ("PUT", PATH, r#"{"hotel":2}"#, "unknown_column"),
        ("PATCH", PATH, "{}", "nothing_to_change"),
        ("PUT", "/records/staff/3", r#"{"name":"Ada"}"#, "not_unique"),
    ] {
        let refused = send(&house.writer, method, path, &[], body).await;
        check_code(&refused.answer, 422, code);
        assert_eq!((refused.work.stored, refused.work.forgotten), (0, 0));
    }
    for (path, code) in [
        ("/records/hotels/1", "unknown_table"),
        ("/records/larder_writes/1", "unknown_table"),
        ("/records/flights/007", "bad_id"),
        ("/records/flights/%FF", "bad_id"),
    ] {
        check_code(&house.put(path, "{}").await, 400, code);
    }
    check(&house.get(PATH).await, 200, "miss");
    Ok(())
}

#[tokio::test]
async fn a_body_is_taken_in_base64_and_refused_for_what_is_wrong_with_it() -> Result<()> {
    let house = House::new().await?;
    let put = async |body: &str, is_base64: bool, kind: &str| {
        let mut event = event("PUT", PATH, &[("content-type", kind)], body);
        event["isBase64Encoded"] = is_base64.into();
        handle(&house.writer, &serde_json::from_value(event).expect("an event"), late()).await.answer
    };
    let encoded = STANDARD.encode(r#"{"gate":"ü"}"#);
    let answer = put(&encoded, true, "application/json; charset=utf-8").await;
    check(&answer, 200, "stored");
    assert!(answer.body.contains(r#""gate":"ü""#), "{answer:?}");

    check_code(&put(&encoded, false, "application/json").await, 400, "bad_body");
    check_code(&put("{}", true, "application/json").await, 400, "bad_body");
    check_code(&put("[1]", false, "application/json").await, 400, "bad_body");
    check_code(&put("{}", false, "text/plain").await, 415, "not_json");
    let long = json!({ "gate": "x".repeat(1 << 20) }).to_string();
    check_code(&put(&long, false, "application/json").await, 413, "too_large");
    check_code(&put(&STANDARD.encode(&long), true, "application/json").await, 413, "too_large");
    Ok(())
}

#[tokio::test]
async fn parents_are_forgotten_those_of_before_and_those_of_after() -> Result<()> {
    let house = House::new().await?;
    let cached = async |expected: [&str; 4]| {
        for (faa, x_cache) in ["EWR", "ORD", "JFK", "LGA"].into_iter().zip(expected) {
            let read = house.get(&format!("/records/airports/{faa}")).await;
            assert_eq!(read.headers["x-cache"], x_cache, "{faa}");
        }
    };
    cached(["miss"; 4]).await;
    // From EWR to ORD; now to JFK.
    check(&send(&house.writer, "PATCH", PATH, &[], r#"{"dest":"JFK"}"#).await.answer, 200, "stored");
    cached(["miss", "miss", "miss", "hit"]).await;
    check(&send(&house.writer, "DELETE", PATH, &[], "").await.answer, 204, "forgotten");
    cached(["miss", "hit", "miss", "hit"]).await;
    check(&house.put(PATH, r#"{"origin":"LGA"}"#).await, 201, "stored");
    cached(["hit", "hit", "hit", "miss"]).await;
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_its_own_parent_is_stored_all_the_same() -> Result<()> {
    let house = House::new().await?;
    check(
        &send(&house.writer, "PATCH", "/records/staff/1", &[], r#"{"name":"Eve"}"#).await.answer,
        200,
        "stored",
    );
    check(&house.get("/records/staff/1").await, 200, "hit");
    check(
        &send(&house.writer, "PATCH", "/records/staff/2", &[], r#"{"name":"Dan"}"#).await.answer,
        200,
        "stored",
    );
    check(&house.get("/records/staff/1").await, 200, "miss");
    Ok(())
}

#[tokio::test]
async fn what_is_kept_in_the_shape_beside_is_forgotten() -> Result<()> {
    let house = House::new().await?;
    for schema in ["0", "2"] {
        let old = house.another_reader(&[("LARDER_SCHEMA", schema)])?;
        check(&get(&old, PATH).await, 200, "miss");
        let writer = house.another_writer(&[("LARDER_SCHEMA", "1")])?;
        check(&send(&writer, "PATCH", PATH, &[], r#"{"gate":"Z9"}"#).await.answer, 200, "stored");
        let read = get(&old, PATH).await;
        check(&read, 200, "miss");
        assert!(read.body.contains("Z9"), "{read:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_row_of_a_namespace_is_a_hit_until_all_of_it_is_forgotten() -> Result<()> {
    let house = House::new().await?;
    let tables = [("LARDER_TABLES", "flights:id:version=v:namespace=on")];
    let (writer, reader) = (house.another_writer(&tables)?, house.another_reader(&tables)?);
    let tag =
        reader.records.table("flights").and_then(|table| table.tag()).expect("a namespace").key().clone();
    for _ in 0..2 {
        check(&get(&reader, PATH).await, 200, "miss");
        check(&send(&writer, "PATCH", PATH, &[], r#"{"gate":"Z9"}"#).await.answer, 200, "stored");
        check(&get(&reader, PATH).await, 200, "hit");
        assert!(house.client()?.delete(&tag).await?);
    }
    check(&get(&reader, PATH).await, 200, "miss");
    Ok(())
}

#[tokio::test]
async fn where_stale_records_may_be_answered_a_parent_is_marked_and_the_row_is_new() -> Result<()> {
    let house = House::new().await?;
    let soft = [("LARDER_STALE_AFTER_INVALIDATE", "on")];
    let (writer, reader) = (house.another_writer(&soft)?, house.another_reader(&soft)?);
    get(&reader, "/records/airports/ORD").await;
    get(&reader, PATH).await;
    check(&send(&writer, "PATCH", PATH, &[], r#"{"gate":"Z9"}"#).await.answer, 200, "stored");
    check(&get(&reader, PATH).await, 200, "hit");
    assert!(house.is_kept("airports:ORD").await?);
    let strict = get(&house.another_reader(&[])?, "/records/airports/ORD").await;
    check(&strict, 200, "miss");
    Ok(())
}

#[tokio::test]
async fn where_the_time_is_over_the_origin_is_not_asked_and_nobody_waits() -> Result<()> {
    let house = House::new().await?;
    let put = request("PUT", PATH, &[], r#"{"gate":"Z9"}"#);
    let handled = handle(&house.writer, &put, Instant::now()).await;
    check_code(&handled.answer, 503, "origin_unavailable");
    assert_eq!(handled.answer.headers["retry-after"], "2");
    let read = house.get(PATH).await;
    check(&read, 200, "miss");
    assert_eq!(version(&read), 5);
    Ok(())
}

#[tokio::test]
async fn an_origin_that_is_locked_is_waited_for_no_longer_than_its_share() -> Result<()> {
    let house = House::new().await?;
    let mut other = house.database().await?;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await?;
    let started = Instant::now();
    let put = request("PUT", PATH, &[], "{}");
    let handled = handle(&house.writer, &put, started + Duration::from_millis(400)).await;
    check_code(&handled.answer, 503, "origin_unavailable");
    assert!(handled.work.origin_time < Duration::from_millis(350), "{:?}", handled.work);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await?;
    let started = Instant::now();
    check(&house.get(PATH).await, 200, "miss");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn settings_that_do_not_fit_the_origin_are_500() -> Result<()> {
    let house = House::new().await?;
    let writer = house.another_writer(&[("LARDER_TABLES", "hotels:id,flights:id:version=version")])?;
    for path in ["/records/hotels/1", PATH] {
        check_code(&send(&writer, "PUT", path, &[], "{}").await.answer, 500, "misconfigured");
    }
    sqlx::raw_sql("DROP TABLE larder_writes").execute(&mut house.database().await?).await?;
    let named = send(&house.writer, "PUT", PATH, &[("idempotency-key", "a")], "{}").await.answer;
    check_code(&named, 500, "misconfigured");
    check(&house.put(PATH, "{}").await, 200, "stored");
    Ok(())
}
