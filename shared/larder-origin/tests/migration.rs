//! A migration under an origin that has read the schema before.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use larder_origin::{
    Change, ListQuery, Misconfigured, Origin, OriginError, PoolConfig, Rejected, WriteOptions, Written,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use forward::Forward;
use place::{Kind, Place, fields, no_hurry, parsed, put, read, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/forward.rs"]
mod forward;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

/// Each case as a test of every kind of database that has schemas.
macro_rules! on_every_schema {
    ($($case:ident)*) => {
        mod in_sqlite { on_every_schema!(@ Sqlite $($case)*); }
        mod in_postgres { on_every_schema!(@ Postgres $($case)*); }
        mod in_mariadb { on_every_schema!(@ MySql $($case)*); }
    };
    (@ $kind:ident $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                super::$case(super::orders(super::Kind::$kind).await).await;
            }
        )*
    };
}

on_every_schema! {
    a_dropped_column_is_left_out_by_the_next_call_of_each_kind
    a_renamed_column_has_its_new_name_in_the_next_call
    an_added_column_is_shown_once_the_schema_is_old
    an_added_column_can_be_written_at_once_or_soon
    a_list_of_all_columns_shows_an_added_one
    a_swapped_table_answers_by_its_own_columns
    a_table_that_is_taken_away_is_named_and_answers_when_it_is_back
    a_key_that_is_unique_no_more_is_refused
    a_key_that_becomes_text_is_found_by_texts
    a_column_that_is_computed_from_now_on_is_left_out_of_a_put
    a_warm_environment_outlives_ten_migrations
}

async fn a_dropped_column_is_left_out_by_the_next_call_of_each_kind(place: Place) {
    for (number, call) in [CALL_READ, CALL_PUT, CALL_PATCH, CALL_DELETE].into_iter().enumerate() {
        let column = ["legacy", "more", "extra", "last"][number];
        let origin = warm(&place).await;
        place.run(&format!("ALTER TABLE orders DROP COLUMN {column}")).await;
        let shown = call_it(&origin, call).await.unwrap();
        assert!(shown.get("note").is_some() && shown.get(column).is_none(), "{call}: {shown}");
    }
}

async fn a_renamed_column_has_its_new_name_in_the_next_call(place: Place) {
    let origin = warm(&place).await;
    place.run("ALTER TABLE orders RENAME COLUMN note TO remark").await;
    let record = read(&origin, "orders", "1").await.unwrap();
    assert_eq!((&record["remark"], record.get("note")), (&json!("first"), None));
    let origin = warm(&place).await;
    place.run("ALTER TABLE orders RENAME COLUMN remark TO comment").await;
    // Whose column has another name by now: the caller is told so, and not that the origin is out of order.
    let body = r#"{"remark": "x"}"#;
    let refused = write(&origin, "orders", "1", Change::Patch(fields(body)), WriteOptions::default()).await;
    assert!(matches!(refused, Err(OriginError::UnknownColumn)), "{refused:?}");
    assert!(put(&origin, "orders", "1", r#"{"comment": "y"}"#).await.unwrap().before.is_some());
}

async fn an_added_column_is_shown_once_the_schema_is_old(place: Place) {
    let patient = warm(&place).await;
    let config = PoolConfig { max_age: Duration::ZERO, ..PoolConfig::default() };
    let hasty = origin(&place).with_pool(config);
    assert!(read(&hasty, "orders", "1").await.is_some());
    place.run("ALTER TABLE orders ADD COLUMN added INTEGER DEFAULT 5").await;
    assert_eq!(read(&hasty, "orders", "1").await.unwrap()["added"], 5);
    assert_eq!(read(&patient, "orders", "1").await.unwrap().get("added"), None, "it was not asked for");
}

async fn an_added_column_can_be_written_at_once_or_soon(place: Place) {
    let origin = warm(&place).await;
    place.run("ALTER TABLE orders ADD COLUMN added INTEGER").await;
    let patched = eventually(|| async {
        let change = Change::Patch(fields(r#"{"added": 7}"#));
        write(&origin, "orders", "1", change, WriteOptions::default()).await.ok()
    });
    assert_eq!(parsed(&patched.await.record.unwrap())["added"], 7);
    assert_eq!(read(&origin, "orders", "1").await.unwrap()["added"], 7);
}

async fn a_list_of_all_columns_shows_an_added_one(place: Place) {
    let origin = warm(&place).await;
    let all = ListQuery::Sql { statement: "SELECT * FROM orders".into(), parameters: Vec::new() };
    let rows = origin.list(&all, 10, no_hurry()).await.unwrap();
    assert!(parsed(&rows[0]).get("added").is_none());
    place.run("ALTER TABLE orders DROP COLUMN legacy").await;
    place.run("ALTER TABLE orders ADD COLUMN added INTEGER DEFAULT 5").await;
    let rows = origin.list(&all, 10, no_hurry()).await.unwrap();
    let row = parsed(&rows[0]);
    assert_eq!((&row["added"], row.get("legacy")), (&json!(5), None));
}

async fn a_swapped_table_answers_by_its_own_columns(place: Place) {
    let origin = warm(&place).await;
    place
        .run(
            "CREATE TABLE fresh (id INTEGER PRIMARY KEY, total INTEGER, remark VARCHAR(20));
             INSERT INTO fresh VALUES (1, 99, 'new'), (2, 98, 'two');
             ALTER TABLE orders RENAME TO old_orders; ALTER TABLE fresh RENAME TO orders",
        )
        .await;
    assert_eq!(read(&origin, "orders", "1").await.unwrap(), json!({"id": 1, "total": 99, "remark": "new"}));
    let patch = Change::Patch(fields(r#"{"total": 100}"#));
    let written = write(&origin, "orders", "2", patch, WriteOptions::default()).await.unwrap();
    assert_eq!(parsed(&written.record.unwrap()), json!({"id": 2, "total": 100, "remark": "two"}));
}

async fn a_table_that_is_taken_away_is_named_and_answers_when_it_is_back(place: Place) {
    let origin = warm(&place).await;
    place.run("ALTER TABLE orders RENAME TO away").await;
    let gone = Misconfigured::NoTable { table: "orders".parse().unwrap() };
    for call in [CALL_READ, CALL_PUT, CALL_DELETE] {
        let refused = call_it(&origin, call).await;
        assert!(matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == gone), "{refused:?}");
    }
    place.run("ALTER TABLE away RENAME TO orders").await;
    assert!(call_it(&origin, CALL_READ).await.is_ok());
}

async fn a_key_that_is_unique_no_more_is_refused(place: Place) {
    let origin = warm(&place).await;
    place
        .run(
            "CREATE TABLE loose (id INTEGER, total INTEGER, note VARCHAR(20), legacy INTEGER, more INTEGER,
                 extra INTEGER, last INTEGER);
             INSERT INTO loose VALUES (1, 1, 'a', 0, 0, 0, 0), (1, 2, 'b', 0, 0, 0, 0);
             ALTER TABLE orders RENAME TO old_orders; ALTER TABLE loose RENAME TO orders",
        )
        .await;
    let key = Misconfigured::KeyNotUnique { table: "orders".parse().unwrap(), key: "id".parse().unwrap() };
    for call in [CALL_PATCH, CALL_DELETE, CALL_READ] {
        let refused = call_it(&origin, call).await;
        assert!(
            matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == key),
            "{call}: {refused:?}"
        );
    }
    let count = ListQuery::Sql {
        statement: "SELECT count(*) AS n FROM orders WHERE total < 3".into(),
        parameters: Vec::new(),
    };
    assert_eq!(parsed(&origin.list(&count, 1, no_hurry()).await.unwrap()[0])["n"], 2, "nothing was written");
}

async fn a_key_that_becomes_text_is_found_by_texts(place: Place) {
    if place.kind == Kind::Sqlite {
        return; // It changes no type of a column.
    }
    // MariaDB compares numbers with texts, and tells of no fault: there it is seen once the schema is old.
    let max_age = if place.kind == Kind::Postgres { 3600 } else { 0 };
    let config = PoolConfig { max_age: Duration::from_secs(max_age), ..PoolConfig::default() };
    let origin = origin(&place).with_pool(config);
    assert!(read(&origin, "orders", "1").await.is_some());
    let change = match place.kind {
        Kind::Postgres => "ALTER TABLE orders ALTER COLUMN id TYPE text USING id::text",
        _ => "ALTER TABLE orders MODIFY id VARCHAR(20) COLLATE utf8mb4_bin",
    };
    place.run(change).await;
    place.run("INSERT INTO orders (id, total) VALUES ('a1', 5), ('007', 6)").await;
    assert_eq!(read(&origin, "orders", "1").await.unwrap()["note"], "first");
    let found = eventually(|| async {
        let id = origin.id("orders", "a1").ok()?;
        origin.load("orders", &id, no_hurry()).await.ok().flatten()
    });
    assert_eq!(parsed(&found.await)["total"], 5);
    assert_eq!(read(&origin, "orders", "007").await.unwrap()["total"], 6);
}

async fn a_column_that_is_computed_from_now_on_is_left_out_of_a_put(place: Place) {
    let origin = warm(&place).await;
    place.run("ALTER TABLE orders DROP COLUMN more").await;
    let kind = if place.kind == Kind::Postgres { "STORED" } else { "VIRTUAL" };
    place
        .run(&format!("ALTER TABLE orders ADD COLUMN more INTEGER GENERATED ALWAYS AS (total * 2) {kind}"))
        .await;
    let written = put(&origin, "orders", "1", r#"{"total": 21, "more": 1}"#).await.unwrap();
    assert_eq!(parsed(&written.record.unwrap())["more"], 42);
    let patch = Change::Patch(fields(r#"{"more": 1}"#));
    let refused = write(&origin, "orders", "1", patch, WriteOptions::default()).await;
    assert!(matches!(refused, Err(OriginError::Rejected(Rejected::NotSettable))), "{refused:?}");
}

async fn a_warm_environment_outlives_ten_migrations(place: Place) {
    let origin = warm(&place).await;
    for number in 0..10 {
        let (old, new) = (format!("c{number}"), format!("c{}", number + 1));
        match number {
            0 => place.run("ALTER TABLE orders ADD COLUMN c1 INTEGER").await,
            _ => place.run(&format!("ALTER TABLE orders RENAME COLUMN {old} TO {new}")).await,
        }
        assert!(call_it(&origin, CALL_READ).await.is_ok(), "{number}");
        assert!(call_it(&origin, CALL_PATCH).await.is_ok(), "{number}");
    }
}

#[tokio::test]
async fn readers_and_writers_have_no_fault_of_a_migration_under_them() {
    // Not SQLite, whose lock a migration hardly gets while others write all the time.
    for kind in [Kind::Postgres, Kind::MySql] {
        check_under_migration(orders(kind).await).await;
    }
}

async fn check_under_migration(place: Place) {
    const CALLS: [&str; 4] = [CALL_READ, CALL_PATCH, CALL_READ, CALL_PUT];
    let calls: Arc<[AtomicU32; 4]> = Arc::default();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut environments = JoinSet::new();
    for (number, call) in CALLS.into_iter().enumerate() {
        let (origin, calls, is_over) = (warm(&place).await, Arc::clone(&calls), Arc::clone(&is_over));
        environments.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let row = call_it(&origin, call).await.unwrap();
                assert_eq!(row["id"], 1, "{call}");
                calls[number].fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for round in 0..6 {
        let before: Vec<u32> = calls.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let change = match round % 3 {
            0 => "ADD COLUMN more_yet INTEGER",
            1 => "RENAME COLUMN more_yet TO less",
            _ => "DROP COLUMN less",
        };
        place.run(&format!("ALTER TABLE orders {change}")).await;
        let has_gone_on =
            || calls.iter().zip(&before).all(|(now, before)| now.load(Ordering::SeqCst) > before + 1);
        while !has_gone_on() && environments.try_join_next().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(environments.len(), 4, "none of them has ended");
    environments.join_all().await;
}

#[tokio::test]
async fn a_column_of_another_type_is_answered_and_written_as_what_it_is() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let place = orders(kind).await;
        let origin = warm(&place).await;
        let change = match kind {
            Kind::Postgres => "ALTER TABLE orders ALTER COLUMN total TYPE text USING total || ' EUR'",
            _ => "ALTER TABLE orders MODIFY total VARCHAR(20); UPDATE orders SET total = '10 EUR'",
        };
        place.run(change).await;
        assert_eq!(read(&origin, "orders", "1").await.unwrap()["total"], "10 EUR");
        let written =
            eventually(|| async { put(&origin, "orders", "1", r#"{"total": "12 EUR"}"#).await.ok() });
        assert_eq!(parsed(&written.await.record.unwrap())["total"], "12 EUR");
    }
}

#[tokio::test]
async fn a_type_that_is_made_anew_is_read_again() {
    let place = Place::empty(Kind::Postgres).await;
    place
        .run(
            "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE orders (id INTEGER PRIMARY KEY, m mood);
             INSERT INTO orders VALUES (1, 'ok')",
        )
        .await;
    let origin = warm(&place).await;
    place
        .run(
            "ALTER TYPE mood RENAME TO old_mood; CREATE TYPE feeling AS ENUM ('sad', 'ok', 'glad');
             ALTER TABLE orders ALTER COLUMN m TYPE feeling USING m::text::feeling; DROP TYPE old_mood",
        )
        .await;
    assert_eq!(read(&origin, "orders", "1").await.unwrap()["m"], "ok");
    let written = put(&origin, "orders", "1", r#"{"m": "glad"}"#).await.unwrap();
    assert_eq!(parsed(&written.record.unwrap())["m"], "glad");
}

#[tokio::test]
async fn a_wrong_body_has_the_schema_read_once_a_second_at_most() {
    let place = orders(Kind::Postgres).await;
    let forward = Forward::to(server::postgres().port).await;
    let url = format!("{}?sslmode=disable", forward.url(&place.url));
    let origin = Origin::new(&url, "orders:id".parse().unwrap()).unwrap().writable();
    assert!(read(&origin, "orders", "1").await.is_some());
    let (begun, before) = (Instant::now(), forward.turns());
    for _ in 0..200 {
        let refused = put(&origin, "orders", "1", r#"{"nope": 1}"#).await;
        assert!(matches!(refused, Err(OriginError::UnknownColumn)), "{refused:?}");
    }
    let turns = u64::from(forward.turns() - before);
    assert!(turns <= 2 * (1 + begun.elapsed().as_secs()), "{turns} turns");
}

const CALL_READ: &str = "read";
const CALL_PUT: &str = "put";
const CALL_PATCH: &str = "patch";
const CALL_DELETE: &str = "delete";

/// Calls for row 1, and gives the row that the call shows.
async fn call_it(origin: &Origin, call: &str) -> Result<Value, OriginError> {
    let change = match call {
        CALL_READ => {
            let id = origin.id("orders", "1")?;
            return Ok(parsed(&origin.load("orders", &id, no_hurry()).await?.unwrap()));
        }
        CALL_PUT => Change::Put(fields(r#"{"note": "put"}"#)),
        CALL_PATCH => Change::Patch(fields(r#"{"note": "patched"}"#)),
        _ => Change::Delete,
    };
    let Written { record, before, .. } =
        write(origin, "orders", "1", change, WriteOptions::default()).await?;
    Ok(record.or(before).as_ref().map(parsed).unwrap_or_default())
}

/// What `attempt` gives, once it gives anything.
async fn eventually<T, F: Future<Output = Option<T>>>(mut attempt: impl FnMut() -> F) -> T {
    let deadline = no_hurry();
    loop {
        if let Some(done) = attempt().await {
            return done;
        }
        assert!(Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An origin that has read the schema, and row 1, and keeps both for long.
async fn warm(place: &Place) -> Origin {
    let config = PoolConfig { max_age: Duration::from_secs(3600), ..PoolConfig::default() };
    let origin = origin(place).with_pool(config);
    assert!(read(&origin, "orders", "1").await.is_some());
    // A connection that writes has its own, in SQLite.
    let nobody = write(&origin, "orders", "2", Change::Delete, WriteOptions::default()).await.unwrap();
    assert!(nobody.before.is_none());
    origin
}

fn origin(place: &Place) -> Origin {
    place.origin_of("orders:id".parse().unwrap()).writable()
}

async fn orders(kind: Kind) -> Place {
    let place = Place::empty(kind).await;
    place
        .run(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, note VARCHAR(20), legacy INTEGER,
                 more INTEGER, extra INTEGER, last INTEGER);
             INSERT INTO orders VALUES (1, 10, 'first', 0, 0, 0, 0)",
        )
        .await;
    place
}
