//! Keys that the database takes for the same and that are other texts: filling, case, accents, normal forms.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use larder_origin::{Change, Origin, OriginError, Rejected, WriteOptions};
use serde_json::json;

use place::{Kind, Place, fields, no_hurry, parsed, put, read, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn a_key_of_fixed_length_is_found_and_written_without_its_filling() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let (_place, origin) = carriers(kind, "char(3)").await;
        let record = read(&origin, "carriers", "AB").await.unwrap();
        assert_eq!(record, json!({"carrier": "AB", "name": "old"}), "{kind:?}");
        // As it was read, and under its own id alone.
        let written = put(&origin, "carriers", "AB", &record.to_string()).await.unwrap();
        assert!(written.before.is_some());
        let made = put(&origin, "carriers", "CD", r#"{"name": "new"}"#).await.unwrap();
        assert_eq!(parsed(&made.record.unwrap()), json!({"carrier": "CD", "name": "new"}));
        assert_eq!(read(&origin, "carriers", "CD").await.unwrap()["name"], "new");
        let deleted =
            write(&origin, "carriers", "CD", Change::Delete, WriteOptions::default()).await.unwrap();
        assert!(deleted.before.is_some() && deleted.record.is_none());
        assert_eq!(read(&origin, "carriers", "CD").await, None);
        check_other_spelling(&origin, "AB ", "AB", "old").await;
        // Nothing is made that would not be found again.
        let refused = put(&origin, "carriers", "EF ", "{}").await;
        assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Spelling))), "{kind:?}: {refused:?}");
        assert_eq!(read(&origin, "carriers", "EF").await, None);
    }
}

#[tokio::test]
async fn a_row_has_one_id_under_a_collation_without_case() {
    for (kind, key) in [
        (Kind::MySql, "varchar(20) COLLATE utf8mb4_general_ci"),
        (Kind::Postgres, "varchar(20) COLLATE nocase"),
        (Kind::Postgres, "citext"),
        (Kind::Sqlite, "TEXT COLLATE NOCASE"),
    ] {
        let (_place, origin) = carriers(kind, key).await;
        assert_eq!(read(&origin, "carriers", "AB").await.unwrap()["name"], "old", "{key}");
        check_other_spelling(&origin, "ab", "AB", "old").await;
    }
}

#[tokio::test]
async fn a_row_has_one_id_under_a_collation_without_blanks_at_the_end() {
    for (kind, key) in
        [(Kind::MySql, "varchar(20) COLLATE utf8mb4_general_ci"), (Kind::Sqlite, "TEXT COLLATE RTRIM")]
    {
        let (_place, origin) = carriers(kind, key).await;
        check_other_spelling(&origin, "AB  ", "AB", "old").await;
    }
}

#[tokio::test]
async fn a_row_has_one_id_under_a_collation_without_accents_and_normal_forms() {
    for (kind, key) in [
        (Kind::MySql, "varchar(20) COLLATE utf8mb4_unicode_ci"),
        (Kind::Postgres, "varchar(20) COLLATE nocase"),
    ] {
        let (_place, origin) = carriers(kind, key).await;
        put(&origin, "carriers", "caf\u{e9}", r#"{"name": "one letter"}"#).await.unwrap();
        assert_eq!(read(&origin, "carriers", "caf\u{e9}").await.unwrap()["name"], "one letter");
        check_other_spelling(&origin, "cafe\u{301}", "caf\u{e9}", "one letter").await;
    }
}

#[tokio::test]
async fn both_spellings_in_one_load_give_the_row_once() {
    let (_place, origin) = carriers(Kind::MySql, "varchar(20) COLLATE utf8mb4_general_ci").await;
    let ids = place::ids(&origin, "carriers", &["ab", "AB", "Ab", "XY"]);
    let found = origin.load_many("carriers", &ids, no_hurry()).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, false]);
}

#[tokio::test]
async fn a_row_whose_key_a_trigger_changes_is_never_committed() {
    let (place, origin) = carriers(Kind::Postgres, "varchar(20)").await;
    place
        .run(
            "CREATE FUNCTION up() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.carrier = upper(NEW.carrier); RETURN NEW; END $$;
             CREATE TRIGGER up BEFORE INSERT ON carriers FOR EACH ROW EXECUTE FUNCTION up()",
        )
        .await;
    let refused = put(&origin, "carriers", "xy", "{}").await;
    assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Spelling))), "{refused:?}");
    assert_eq!(read(&origin, "carriers", "XY").await, None);
    assert!(put(&origin, "carriers", "XY", "{}").await.is_ok());
}

#[tokio::test]
async fn a_row_that_a_trigger_keeps_is_not_told_deleted() {
    let (place, origin) = carriers(Kind::Postgres, "varchar(20)").await;
    place
        .run(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
             CREATE TRIGGER keep BEFORE DELETE ON carriers FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        .await;
    let refused = write(&origin, "carriers", "AB", Change::Delete, WriteOptions::default()).await;
    assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Check))), "{refused:?}");
}

#[tokio::test]
async fn a_row_that_a_trigger_leaves_as_it_was_is_not_told_written() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let place = Place::new(kind).await;
        let origin = place.origin();
        for (table, id, body) in
            [("flights", "7", r#"{"dest": "IAH"}"#), ("airports", "JFK", r#"{"name": "old"}"#)]
        {
            put(&origin, table, id, body).await.unwrap();
            for event in ["UPDATE", "INSERT"] {
                place.run(&skipping_trigger(kind, event, table)).await;
            }
            let change = |id| match table {
                "flights" => (id, fields(r#"{"dest": "JFK", "distance": 5}"#)),
                _ => (id, fields(r#"{"name": "new"}"#)),
            };
            for (id, fields) in [change(id), change(if id == "7" { "8" } else { "EWR" })] {
                let refused = write(&origin, table, id, Change::Put(fields), WriteOptions::default()).await;
                assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Check))), "{refused:?}");
            }
        }
        assert_eq!(read(&origin, "flights", "7").await.unwrap()["dest"], "IAH");
    }
}

#[tokio::test]
async fn a_row_that_is_as_asked_may_be_left_alone_by_a_trigger() {
    let place = Place::new(Kind::Postgres).await;
    let origin = place.origin();
    let body = r#"{"dbl": 0.5, "dec": 12.5, "word": "a"}"#;
    put(&origin, "numbers", "7", body).await.unwrap();
    place
        .run(
            "CREATE TRIGGER same BEFORE UPDATE ON numbers FOR EACH ROW
                 EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        )
        .await;
    for body in [body, r#"{"dbl": 0.5, "dec": "12.50", "word": "a"}"#] {
        let written = put(&origin, "numbers", "7", body).await.unwrap();
        assert_eq!(written.record, written.before);
    }
}

/// A trigger that has nothing done to a row of `table`.
fn skipping_trigger(kind: Kind, event: &str, table: &str) -> String {
    match kind {
        Kind::Postgres => format!(
            "CREATE OR REPLACE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
             CREATE TRIGGER skip_{event} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION skip()"
        ),
        _ => format!(
            "CREATE TRIGGER skip_{event}_{table} BEFORE {event} ON {table} BEGIN SELECT RAISE(IGNORE); END"
        ),
    }
}

#[tokio::test]
async fn an_id_that_the_encoding_lacks_is_that_of_no_row() {
    let latin = Place::empty(Kind::Postgres).await;
    let name = latin.url.rsplit('/').next().unwrap();
    latin.run(&format!("CREATE DATABASE {name}l ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")).await;
    let latin = Place::of_url(Kind::Postgres, format!("{}l", latin.url));
    let maria = || Place::empty(Kind::MySql);
    for (place, charset) in [
        (latin, ""),
        (maria().await, "CHARACTER SET latin1"),
        (maria().await, "CHARACTER SET ascii COLLATE ascii_bin"),
        (maria().await, "CHARACTER SET utf8mb3"),
    ] {
        place
            .run(&format!(
                "CREATE TABLE carriers (carrier varchar(20) {charset} PRIMARY KEY, name varchar(20));
                 INSERT INTO carriers VALUES ('AB', 'old'), ('CD', 'old')"
            ))
            .await;
        let origin = place.origin_of("carriers:carrier".parse().unwrap()).writable();
        if !charset.contains("ascii") {
            put(&origin, "carriers", "\u{e9}", "{}").await.unwrap();
        }
        let lacking = "\u{1f6eb}";
        assert_eq!(read(&origin, "carriers", lacking).await, None, "{charset}");
        let ids = place::ids(&origin, "carriers", &["AB", lacking, "CD", "\u{e9}", "\u{1f6ec}", "ZZ"]);
        let found = origin.load_many("carriers", &ids, no_hurry()).await.unwrap();
        let found: Vec<_> = found.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, false, true, !charset.contains("ascii"), false, false], "{charset}");
        let change = || fields(r#"{"name": "new"}"#);
        for change in [Change::Put(change()), Change::Patch(change()), Change::Delete] {
            let refused = write(&origin, "carriers", lacking, change, WriteOptions::default()).await;
            assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Value))), "{charset}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn the_id_0_is_that_of_a_row_where_the_table_counts_by_itself() {
    let place = Place::empty(Kind::MySql).await;
    place.run("CREATE TABLE carriers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20))").await;
    let origin = place.origin_of("carriers:id".parse().unwrap()).writable();
    for id in ["7", "0", "-1"] {
        put(&origin, "carriers", id, r#"{"name": "new"}"#).await.unwrap();
        assert_eq!(read(&origin, "carriers", id).await.unwrap()["name"], "new", "{id}");
    }
}

#[tokio::test]
async fn a_key_that_is_unique_by_another_comparison_is_none() {
    let place = Place::empty(Kind::Postgres).await;
    place
        .run(
            "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
             CREATE TABLE carriers (carrier varchar(20) COLLATE nocase NOT NULL, name text);
             CREATE UNIQUE INDEX by_bytes ON carriers (carrier COLLATE \"C\");
             INSERT INTO carriers VALUES ('AB', 'old'), ('ab', 'other')",
        )
        .await;
    let origin = place.origin_of("carriers:carrier".parse().unwrap());
    let id = origin.id("carriers", "AB").unwrap();
    let refused = origin.load("carriers", &id, no_hurry()).await;
    assert!(matches!(refused, Err(OriginError::Misconfigured(_))), "{refused:?}");
}

#[tokio::test]
async fn a_write_never_changes_two_rows_that_a_collation_takes_for_one() {
    let place = Place::empty(Kind::Sqlite).await;
    place
        .run(
            "CREATE TABLE carriers (carrier TEXT COLLATE NOCASE, name TEXT);
             CREATE UNIQUE INDEX by_bytes ON carriers (carrier COLLATE BINARY);
             INSERT INTO carriers VALUES ('AB', 'old'), ('ab', 'other')",
        )
        .await;
    let origin = place.origin_of("carriers:carrier".parse().unwrap()).writable();
    for change in [Change::Patch(fields(r#"{"name": "x"}"#)), Change::Delete] {
        let refused = write(&origin, "carriers", "AB", change, WriteOptions::default()).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    assert_eq!(read(&origin, "carriers", "AB").await.unwrap()["name"], "old");
    assert_eq!(read(&origin, "carriers", "ab").await.unwrap()["name"], "other");
}

/// That `spelling` is no id of the row `id`, for no call, and harms it by none.
async fn check_other_spelling(origin: &Origin, spelling: &str, id: &str, name: &str) {
    assert_eq!(read(origin, "carriers", spelling).await, None, "{spelling:?}");
    let body = || fields(r#"{"name": "changed"}"#);
    for change in [Change::Put(body()), Change::Patch(body()), Change::Delete] {
        let refused = write(origin, "carriers", spelling, change, WriteOptions::default()).await;
        assert!(
            matches!(refused, Err(OriginError::Rejected(Rejected::Spelling))),
            "{spelling:?}: {refused:?}"
        );
    }
    let row = read(origin, "carriers", id).await.unwrap();
    assert_eq!((&row["carrier"], &row["name"]), (&json!(id), &json!(name)));
}

/// A table whose key is a `key`, with one row.
async fn carriers(kind: Kind, key: &str) -> (Place, Origin) {
    let place = Place::empty(kind).await;
    if kind == Kind::Postgres {
        place
            .run(
                "CREATE EXTENSION citext;
                 CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
            )
            .await;
    }
    place
        .run(&format!(
            "CREATE TABLE carriers (carrier {key} PRIMARY KEY, name VARCHAR(20));
             INSERT INTO carriers VALUES ('AB', 'old')"
        ))
        .await;
    let origin = place.origin_of("carriers:carrier".parse().unwrap()).writable();
    (place, origin)
}
