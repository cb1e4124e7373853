//! What an origin promises, whatever its database: the same cases on a real one of every kind.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_origin::{
    BadId, Change, Effect, IdempotencyKey, ListQuery, Misconfigured, Origin, OriginError, Outage, Rejected,
    Scalar, WriteOptions,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use place::{Kind, Place, fields, ids, no_hurry, parsed, put, read, tables, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "contract/names.rs"]
mod names;
#[path = "contract/numbers.rs"]
mod numbers;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;
#[path = "contract/versions.rs"]
mod versions;

use names::*;
use numbers::*;
use versions::*;

/// Each case as a test of every kind of database.
macro_rules! on_every_database {
    (all: $($case:ident)* ; with_sql: $($sql:ident)*) => {
        mod in_sqlite { on_every_database!(@ Sqlite $($case)* $($sql)*); }
        mod in_postgres { on_every_database!(@ Postgres $($case)* $($sql)*); }
        mod in_mariadb { on_every_database!(@ MySql $($case)* $($sql)*); }
        mod in_dynamodb { on_every_database!(@ DynamoDb $($case)*); }
    };
    (@ $kind:ident $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                super::$case(super::Place::new(super::Kind::$kind).await).await;
            }
        )*
    };
}

on_every_database! {
    all:
    a_row_is_found_and_one_that_is_not_there_is_an_answer
    records_come_in_the_order_asked_and_as_often
    an_integer_id_has_one_way_to_be_written
    odd_text_comes_back_as_it_went
    an_id_is_a_value_and_never_a_part_of_the_statement
    a_put_makes_a_row_and_replaces_all_of_one
    a_patch_changes_what_it_names
    a_patch_of_no_row_does_nothing
    a_delete_removes_the_row_and_tells_what_it_was
    a_version_grows_with_every_write_and_beyond_a_delete
    a_write_for_another_version_is_a_conflict
    a_write_of_one_name_happens_once
    a_repeat_of_what_left_no_row_answers_none
    what_is_kept_of_a_write_is_short_whatever_the_row
    an_outcome_that_holds_the_rows_is_repeated_as_well
    a_row_whose_version_is_no_count_is_read_and_written
    writers_at_once_of_a_row_without_a_count_give_each_a_version
    a_version_that_has_no_next_one_is_refused_and_can_be_removed
    an_id_of_another_kind_than_the_key_finds_nothing_in_a_batch
    a_number_is_written_as_it_is_read
    a_number_that_the_column_cannot_hold_is_rejected
    a_key_is_read_written_and_named_with_all_its_digits
    a_name_is_that_of_one_write
    writes_of_one_name_at_once_happen_once
    writes_of_one_name_and_version_at_once_are_no_conflict
    a_write_to_an_id_in_another_case_is_to_another_row
    a_write_that_fails_leaves_no_name_behind
    two_writers_at_once_give_two_versions
    two_writers_of_a_new_row_give_two_versions
    an_origin_that_only_reads_does_not_write
    a_write_with_a_name_needs_the_table_of_writes
    a_deadline_that_is_over_asks_nothing
    a_call_that_is_dropped_harms_no_later_call
    a_table_that_the_schema_lacks_is_named
    ;
    with_sql:
    old_names_are_removed_a_few_at_a_time
    a_column_that_is_not_there_is_refused
    a_column_that_cannot_be_set_is_refused
    what_was_read_can_be_put
    what_a_column_does_not_take_is_rejected
    bytes_are_written_as_base64
    a_list_has_parameters_and_a_limit
    a_list_takes_a_number_of_any_size
    a_list_of_two_columns_of_one_name_is_refused
    a_list_cannot_write
    a_list_is_one_statement
    a_list_of_the_other_kind_is_a_misconfiguration
    no_message_shows_the_address_or_what_was_sent
}

async fn a_row_is_found_and_one_that_is_not_there_is_an_answer(place: Place) {
    let origin = place.origin();
    put(&origin, "airports", "JFK", r#"{"name": "John F Kennedy Intl"}"#).await.unwrap();
    assert_eq!(
        read(&origin, "airports", "JFK").await,
        Some(json!({"faa": "JFK", "name": "John F Kennedy Intl"}))
    );
    for id in ["XXX", "jfk", "JFK "] {
        assert_eq!(read(&origin, "airports", id).await, None, "{id:?}");
    }
}

#[tokio::test]
async fn a_schema_that_has_rows_replaced_loses_none_by_a_write() {
    let place = Place::empty(Kind::Sqlite).await;
    for conflict in ["REPLACE", "IGNORE"] {
        place
            .run(&format!(
                "DROP TABLE IF EXISTS t;
                 CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE ON CONFLICT {conflict});
                 INSERT INTO t VALUES (7, 'a'), (8, 'b')"
            ))
            .await;
        let origin = place.origin_of("t:id".parse().unwrap()).writable();
        for id in ["8", "9"] {
            let refused = put(&origin, "t", id, r#"{"code": "a"}"#).await;
            assert!(
                matches!(refused, Err(OriginError::Rejected(Rejected::Unique))),
                "{conflict}: {refused:?}"
            );
        }
        assert_eq!(read(&origin, "t", "7").await.unwrap()["code"], "a", "{conflict}");
    }
}

#[tokio::test]
async fn a_default_is_the_same_in_a_put_that_makes_a_row_and_in_one_that_replaces_it() {
    let place = Place::empty(Kind::Sqlite).await;
    place
        .run(
            r#"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT none, b TEXT DEFAULT "a", c TEXT DEFAULT 'it''s',
                   d INTEGER DEFAULT -1, e INTEGER DEFAULT (1 + 1), f INTEGER DEFAULT true, g BLOB DEFAULT x'00ff',
                   h TEXT DEFAULT "it's ""h""", i TEXT DEFAULT [id], j TEXT DEFAULT `id`, k TEXT DEFAULT null)"#,
        )
        .await;
    let origin = place.origin_of("t:id".parse().unwrap()).writable();
    let made = put(&origin, "t", "7", "{}").await.unwrap().record;
    let other = r#"{"a": "x", "b": "x", "c": "x", "d": 5, "e": 5, "f": 5, "g": "", "h": "", "i": "x", "j": "x", "k": "x"}"#;
    put(&origin, "t", "7", other).await.unwrap();
    assert_eq!(put(&origin, "t", "7", "{}").await.unwrap().record, made);
}

async fn records_come_in_the_order_asked_and_as_often(place: Place) {
    let origin = place.origin();
    for id in ["1", "2", "3"] {
        put(&origin, "flights", id, "{}").await.unwrap();
    }
    let ids = ids(&origin, "flights", &["3", "999999999", "1", "3", "2"]);
    let records = origin.load_many("flights", &ids, no_hurry()).await.unwrap();
    let found: Vec<_> = records.iter().map(|record| Some(parsed(record.as_ref()?)["id"].clone())).collect();
    assert_eq!(found, [Some(json!(3)), None, Some(json!(1)), Some(json!(3)), Some(json!(2))]);
    assert!(records[0].as_ref().unwrap().version().is_some());
}

async fn an_integer_id_has_one_way_to_be_written(place: Place) {
    let origin = place.origin();
    let no_number = if place.kind == Kind::DynamoDb { BadId::NotANumber } else { BadId::NotAnInteger };
    for (text, expected) in [("abc", no_number), ("007", BadId::NotCanonical)] {
        let id = place.origin().id("flights", text).unwrap();
        let refused = origin.load("flights", &id, no_hurry()).await;
        assert!(matches!(refused, Err(OriginError::BadId(bad)) if bad == expected), "{refused:?}");
        let refused = origin.id("flights", text);
        assert!(matches!(refused, Err(OriginError::BadId(bad)) if bad == expected), "{refused:?}");
    }
    // Beyond what the column holds, and still only a row that is not there.
    assert_eq!(read(&origin, "flights", "9223372036854775807").await, None);
}

async fn odd_text_comes_back_as_it_went(place: Place) {
    let origin = place.origin();
    for (number, text) in
        ["", "O'Hare \"ORD\"", "\\'; DROP TABLE flights; --", "Zürich 🛫", "a\nb\tc", "NULL", "?$1%_", "007"]
            .into_iter()
            .enumerate()
    {
        let id = number.to_string();
        let body = json!({"note": text}).to_string();
        let written = put(&origin, "flights", &id, &body).await.unwrap();
        assert_eq!(parsed(&written.record.unwrap())["note"], text);
        assert_eq!(read(&origin, "flights", &id).await.unwrap()["note"], text);
    }
}

async fn an_id_is_a_value_and_never_a_part_of_the_statement(place: Place) {
    let origin = place.origin();
    let odd = ["' OR '1'='1", "JFK') OR (1=1", "\"faa\"", "`faa`", "%", "?", "$1", "\\", "Zürich"];
    for id in odd {
        assert_eq!(read(&origin, "airports", id).await, None, "{id}");
        put(&origin, "airports", id, r#"{"name": "odd"}"#).await.unwrap();
        assert_eq!(read(&origin, "airports", id).await.unwrap()["faa"], id);
    }
}

async fn a_put_makes_a_row_and_replaces_all_of_one(place: Place) {
    let origin = place.origin();
    let made =
        put(&origin, "flights", "7", r#"{"id": 7, "dest": "IAH", "distance": 1400, "gate": "B2"}"#).await;
    let made = made.unwrap();
    assert!(made.before.is_none() && !made.is_repeat());
    assert_eq!(made.effect, Effect::Made);
    let record = parsed(made.record.as_ref().unwrap());
    assert_eq!(
        (&record["dest"], &record["distance"], &record["gate"]),
        (&json!("IAH"), &json!(1400), &json!("B2"))
    );
    assert_eq!(record["version"], json!(made.version.unwrap()));

    let replaced = put(&origin, "flights", "7", r#"{"air_time": 227.5}"#).await.unwrap();
    assert_eq!((&replaced.before, replaced.effect), (&made.record, Effect::Changed));
    let record = parsed(replaced.record.as_ref().unwrap());
    assert_eq!(record.get("dest").unwrap_or(&Value::Null), &Value::Null);
    assert_eq!(record["air_time"], json!(227.5));
    let default = if place.kind == Kind::DynamoDb { None } else { Some(json!("none")) };
    assert_eq!(record.get("gate"), default.as_ref());
    assert_eq!(read(&origin, "flights", "7").await.unwrap(), record);
}

async fn a_patch_changes_what_it_names(place: Place) {
    let origin = place.origin();
    put(&origin, "flights", "7", r#"{"dest": "IAH", "distance": 1400, "note": "x"}"#).await.unwrap();
    let patch = Change::Patch(fields(r#"{"distance": 1401, "id": 7}"#));
    let patched = write(&origin, "flights", "7", patch, WriteOptions::default()).await.unwrap();
    let record = parsed(patched.record.as_ref().unwrap());
    assert_eq!((&record["dest"], &record["distance"]), (&json!("IAH"), &json!(1401)));
    assert_eq!(parsed(patched.before.as_ref().unwrap())["distance"], 1400);

    let null = Change::Patch(fields(r#"{"note": null}"#));
    write(&origin, "flights", "7", null, WriteOptions::default()).await.unwrap();
    assert_eq!(read(&origin, "flights", "7").await.unwrap()["note"], Value::Null);

    let nothing = write(&origin, "flights", "7", Change::Patch(fields("{}")), WriteOptions::default()).await;
    assert!(matches!(nothing, Err(OriginError::Rejected(Rejected::Nothing))), "{nothing:?}");
}

async fn a_patch_of_no_row_does_nothing(place: Place) {
    let origin = place.origin();
    for change in [Change::Patch(fields(r#"{"dest": "IAH"}"#)), Change::Delete] {
        let written = write(&origin, "flights", "7", change, WriteOptions::default()).await.unwrap();
        assert!(written.record.is_none() && written.before.is_none() && written.version.is_none());
        assert_eq!(written.effect, Effect::Nothing);
    }
    assert_eq!(read(&origin, "flights", "7").await, None);
}

async fn a_delete_removes_the_row_and_tells_what_it_was(place: Place) {
    let origin = place.origin();
    let put = put(&origin, "flights", "7", r#"{"dest": "IAH"}"#).await.unwrap();
    let deleted = write(&origin, "flights", "7", Change::Delete, WriteOptions::default()).await.unwrap();
    assert_eq!(deleted.before, put.record);
    assert!(deleted.record.is_none() && deleted.version.is_none());
    assert_eq!(deleted.effect, Effect::Removed);
    assert_eq!(read(&origin, "flights", "7").await, None);
}

async fn a_version_grows_with_every_write_and_beyond_a_delete(place: Place) {
    let origin = place.origin();
    let first = put(&origin, "flights", "7", "{}").await.unwrap().version.unwrap();
    let second = put(&origin, "flights", "7", "{}").await.unwrap().version.unwrap();
    assert_eq!(second, first + 1);
    let id = origin.id("flights", "7").unwrap();
    assert_eq!(origin.load("flights", &id, no_hurry()).await.unwrap().unwrap().version(), Some(second));
    let deleted = write(&origin, "flights", "7", Change::Delete, WriteOptions::default()).await.unwrap();
    assert_eq!(deleted.before.unwrap().version(), Some(second));
    let again = put(&origin, "flights", "7", "{}").await.unwrap();
    assert!(again.version.unwrap() > second, "{again:?}");
    let unversioned = put(&origin, "airports", "JFK", "{}").await.unwrap();
    assert_eq!((unversioned.version, unversioned.record.unwrap().version()), (None, None));
}

async fn a_write_for_another_version_is_a_conflict(place: Place) {
    let origin = place.origin();
    let version = put(&origin, "flights", "7", r#"{"dest": "IAH"}"#).await.unwrap().version.unwrap();
    let only = |version| WriteOptions { if_version: Some(version), ..WriteOptions::default() };
    for change in [Change::Put(fields("{}")), Change::Patch(fields(r#"{"dest": "MIA"}"#)), Change::Delete] {
        let refused = write(&origin, "flights", "7", change.clone(), only(version - 1)).await;
        let present = Some(version);
        assert!(
            matches!(refused, Err(OriginError::VersionConflict { present: told }) if told == present),
            "{refused:?}"
        );
        let refused = write(&origin, "flights", "8", change, only(version)).await;
        assert!(matches!(refused, Err(OriginError::VersionConflict { present: None })), "{refused:?}");
    }
    assert_eq!(read(&origin, "flights", "7").await.unwrap()["dest"], "IAH");
    let written = write(&origin, "flights", "7", Change::Put(fields("{}")), only(version)).await.unwrap();
    assert_eq!(written.version, Some(version + 1));
    let refused = write(&origin, "airports", "JFK", Change::Delete, only(1)).await;
    assert!(matches!(refused, Err(OriginError::Rejected(Rejected::NoVersions))), "{refused:?}");
}

async fn a_write_of_one_name_happens_once(place: Place) {
    let origin = place.origin();
    let name = IdempotencyKey::new("once").unwrap();
    let named = WriteOptions { idempotency_key: Some(&name), kept: &["dest"], ..WriteOptions::default() };
    put(&origin, "flights", "7", r#"{"dest": "IAH"}"#).await.unwrap();
    let change = Change::Put(fields(r#"{"dest": "MIA", "air_time": 1.5}"#));
    let first = write(&origin, "flights", "7", change.clone(), named).await.unwrap();
    assert!(!first.is_repeat());
    let repeated = async || write(&origin, "flights", "7", change.clone(), named).await.unwrap();

    let again = repeated().await;
    assert_eq!((&again.record, again.version, again.effect), (&first.record, first.version, Effect::Changed));
    let repeat = again.repeat.unwrap();
    assert_eq!(repeat.version, first.version);
    let kept: Vec<_> = repeat.kept.iter().map(parsed).collect();
    assert_eq!(kept, [json!({"dest": "IAH"}), json!({"dest": "MIA"})]);

    // Whatever has become of the row since is what it is answered to be.
    let since = put(&origin, "flights", "7", r#"{"dest": "BQN"}"#).await.unwrap();
    let again = repeated().await;
    assert_eq!((&again.record, again.version), (&since.record, since.version));
    assert_eq!((again.effect, again.repeat.unwrap().version), (Effect::Changed, first.version));
    write(&origin, "flights", "7", Change::Delete, WriteOptions::default()).await.unwrap();
    let again = repeated().await;
    assert_eq!((again.record, again.version, again.effect), (None, None, Effect::Changed));
    assert_eq!(read(&origin, "flights", "7").await, None);
}

async fn a_list_takes_a_number_of_any_size(place: Place) {
    let origin = place.origin();
    // SQLite compares by the nearest real.
    let digits = ["18446744073709551615", "12345678901234567890.5"];
    let at = if place.kind == Kind::Postgres { "CAST($1 AS numeric)" } else { "?" };
    for digits in digits {
        let statement = format!("SELECT CASE WHEN {digits} = {at} THEN 'same' ELSE 'other' END AS told");
        let parameters = vec![serde_json::from_str(digits).unwrap()];
        let rows = origin.list(&ListQuery::Sql { statement, parameters }, 1, no_hurry()).await.unwrap();
        assert_eq!(parsed(&rows[0]), json!({"told": "same"}), "{digits}");
    }
}

async fn a_list_of_two_columns_of_one_name_is_refused(place: Place) {
    let origin = place.origin();
    put(&origin, "flights", "7", r#"{"dest": "JFK"}"#).await.unwrap();
    put(&origin, "airports", "JFK", "{}").await.unwrap();
    let unnamed = if place.kind == Kind::Postgres { "?column?" } else { "1" };
    for (statement, twice) in [
        ("SELECT f.id, a.faa, f.id FROM flights AS f JOIN airports AS a ON a.faa = f.dest", "id"),
        ("SELECT * FROM flights AS f JOIN flights AS g ON g.id = f.id", "id"),
        ("SELECT 1, 1, faa FROM airports", unnamed),
    ] {
        let query = ListQuery::Sql { statement: statement.into(), parameters: Vec::new() };
        for _ in 0..2 {
            let refused = origin.list(&query, 10, no_hurry()).await;
            let expected = Misconfigured::ListColumnTwice { name: twice.into() };
            assert!(
                matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == expected),
                "{statement}: {refused:?}"
            );
        }
    }
    let statement = "SELECT f.id, g.id AS other FROM flights AS f JOIN flights AS g ON g.id = f.id".into();
    let rows =
        origin.list(&ListQuery::Sql { statement, parameters: Vec::new() }, 10, no_hurry()).await.unwrap();
    assert_eq!(parsed(&rows[0]), json!({"id": 7, "other": 7}));
}

async fn a_name_is_that_of_one_write(place: Place) {
    let origin = place.origin();
    let name = IdempotencyKey::new("one").unwrap();
    let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
    let change = || Change::Put(fields(r#"{"dest": "MIA"}"#));
    write(&origin, "flights", "7", change(), named).await.unwrap();
    let conditional = WriteOptions { if_version: Some(1), ..named };
    for other in [
        write(&origin, "flights", "8", change(), named).await,
        write(&origin, "flights", "7", Change::Put(fields(r#"{"dest": "IAH"}"#)), named).await,
        write(&origin, "flights", "7", Change::Delete, named).await,
        write(&origin, "flights", "7", change(), conditional).await,
    ] {
        assert!(matches!(other, Err(OriginError::IdempotencyMismatch)), "{other:?}");
    }
    assert_eq!(read(&origin, "flights", "8").await, None);
}

async fn writes_of_one_name_at_once_happen_once(place: Place) {
    // With versions and without, where nothing else keeps the second one from happening.
    for (table, id, body) in
        [("flights", "7", r#"{"distance": 1}"#), ("airports", "JFK", r#"{"name": "John F Kennedy Intl"}"#)]
    {
        put(&place.origin(), table, id, "{}").await.unwrap();
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let origin = place.origin();
            writers.spawn(async move {
                let name = IdempotencyKey::new(table).unwrap();
                let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
                write(&origin, table, id, Change::Put(fields(body)), named).await
            });
        }
        let written: Vec<_> = writers.join_all().await.into_iter().map(Result::unwrap).collect();
        assert_eq!(written.iter().filter(|written| !written.is_repeat()).count(), 1, "{written:?}");
        assert_eq!(written.iter().map(|written| written.version).collect::<HashSet<_>>().len(), 1);
    }
}

async fn writes_of_one_name_and_version_at_once_are_no_conflict(place: Place) {
    for id in ["1", "2", "3", "4"] {
        let made = put(&place.origin(), "flights", id, "{}").await.unwrap();
        for change in [Change::Patch(fields(r#"{"distance": 1}"#)), Change::Delete] {
            let version = match change {
                Change::Delete => made.version.map(|version| version + 1),
                _ => made.version,
            };
            let mut writers = JoinSet::new();
            for _ in 0..4 {
                let (origin, change) = (place.origin(), change.clone());
                writers.spawn(async move {
                    let name = IdempotencyKey::new(&format!("{id}-{version:?}")).unwrap();
                    let named = WriteOptions {
                        idempotency_key: Some(&name),
                        if_version: version,
                        ..Default::default()
                    };
                    write(&origin, "flights", id, change, named).await
                });
            }
            let written: Vec<_> = writers.join_all().await.into_iter().map(Result::unwrap).collect();
            assert_eq!(written.iter().filter(|written| !written.is_repeat()).count(), 1, "{written:?}");
        }
    }
}

async fn a_write_to_an_id_in_another_case_is_to_another_row(place: Place) {
    let origin = place.origin();
    put(&origin, "airports", "JFK", r#"{"name": "John F Kennedy Intl"}"#).await.unwrap();
    let body = || fields(r#"{"name": "other"}"#);
    for change in [Change::Patch(body()), Change::Delete, Change::Put(body())] {
        let is_put = matches!(change, Change::Put(_));
        let written = write(&origin, "airports", "jfk", change, WriteOptions::default()).await;
        match place.kind {
            // Its collation takes both for the same key, and lets only one of them be.
            Kind::MySql => {
                assert!(matches!(written, Err(OriginError::Rejected(Rejected::Spelling))), "{written:?}")
            }
            _ => {
                let written = written.unwrap();
                assert!(written.before.is_none() && written.record.is_some() == is_put, "{written:?}");
            }
        }
    }
    assert_eq!(read(&origin, "airports", "JFK").await.unwrap()["name"], "John F Kennedy Intl");
}

async fn a_write_that_fails_leaves_no_name_behind(place: Place) {
    let origin = place.origin();
    let name = IdempotencyKey::new("later").unwrap();
    let named = WriteOptions { idempotency_key: Some(&name), if_version: Some(1), ..WriteOptions::default() };
    let refused = write(&origin, "flights", "7", Change::Delete, named).await;
    assert!(matches!(refused, Err(OriginError::VersionConflict { .. })), "{refused:?}");
    let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
    let written = write(&origin, "flights", "7", Change::Put(fields("{}")), named).await.unwrap();
    assert!(!written.is_repeat());
}

async fn old_names_are_removed_a_few_at_a_time(place: Place) {
    let origin = place.origin();
    for old in 0..15 {
        place.run(&format!("INSERT INTO larder_writes VALUES ('old{old}', 'x', '{{}}', {old})")).await;
    }
    let count = ListQuery::Sql {
        statement: "SELECT count(*) AS n FROM larder_writes WHERE written_at < 100".into(),
        parameters: Vec::new(),
    };
    for left in [5, 0] {
        let name = IdempotencyKey::new(&format!("new{left}")).unwrap();
        let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
        write(&origin, "flights", "7", Change::Put(fields("{}")), named).await.unwrap();
        let rows = origin.list(&count, 1, no_hurry()).await.unwrap();
        assert_eq!(parsed(&rows[0])["n"], left);
    }
}

async fn two_writers_at_once_give_two_versions(place: Place) {
    put(&place.origin(), "flights", "7", "{}").await.unwrap();
    check_distinct_versions(&place, "flights").await;
}

async fn two_writers_of_a_new_row_give_two_versions(place: Place) {
    check_distinct_versions(&place, "flights").await;
}

async fn check_distinct_versions(place: &Place, table: &'static str) {
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let origin = place.origin();
        writers.spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..5 {
                let body = match table {
                    "flights" => json!({"distance": writer}),
                    _ => json!({"word": writer.to_string()}),
                };
                let body = body.to_string();
                versions.push(put(&origin, table, "7", &body).await.unwrap().version.unwrap());
            }
            versions
        });
    }
    let versions: Vec<u64> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(versions.iter().collect::<HashSet<_>>().len(), 20, "{versions:?}");
    assert_eq!(versions.iter().max().unwrap() - versions.iter().min().unwrap(), 19);
}

async fn a_column_that_is_not_there_is_refused(place: Place) {
    let origin = place.origin();
    for column in ["nope", "DEST", "dest\\\" = dest; --", ""] {
        let body = format!(r#"{{"{column}": 1}}"#);
        let refused = put(&origin, "strict_rows", "7", &body).await;
        assert!(matches!(refused, Err(OriginError::UnknownColumn)), "{column}: {refused:?}");
    }
}

async fn a_column_that_cannot_be_set_is_refused(place: Place) {
    let origin = place.origin();
    for (table, body, expected) in [
        ("flights", r#"{"id": 8}"#, Rejected::Key),
        ("flights", r#"{"id": null}"#, Rejected::Key),
        ("flights", r#"{"id": "07"}"#, Rejected::Key),
    ] {
        let refused = put(&origin, table, "7", body).await;
        assert!(
            matches!(refused, Err(OriginError::Rejected(told)) if told == expected),
            "{body}: {refused:?}"
        );
    }
    for (table, body) in [("flights", r#"{"version": 1}"#), ("strict_rows", r#"{"needed": 1, "twice": 1}"#)] {
        let refused = write(&origin, table, "7", Change::Patch(fields(body)), WriteOptions::default()).await;
        assert!(matches!(refused, Err(OriginError::Rejected(Rejected::NotSettable))), "{body}: {refused:?}");
    }
    // A computed column is not a column to replace either.
    put(&origin, "strict_rows", "7", r#"{"needed": 1}"#).await.unwrap();
    let written = put(&origin, "strict_rows", "7", r#"{"needed": 4}"#).await.unwrap();
    assert_eq!(parsed(&written.record.unwrap())["twice"], 8);
}

async fn what_was_read_can_be_put(place: Place) {
    let origin = place.origin();
    for (table, body) in
        [("flights", r#"{"dest": "IAH", "distance": 1400}"#), ("strict_rows", r#"{"needed": 4, "small": 3}"#)]
    {
        let first = put(&origin, table, "7", body).await.unwrap();
        let mut shown = read(&origin, table, "7").await.unwrap();
        let again = put(&origin, table, "7", &shown.to_string()).await.unwrap();
        assert_eq!(again.version, first.version.map(|version| version + 1), "it is counted, and not set");
        let read_again = read(&origin, table, "7").await.unwrap();
        if let Some(version) = again.version {
            shown["version"] = version.into();
        }
        assert_eq!(read_again, shown);
        // Made anew by the same body, too.
        write(&origin, table, "7", Change::Delete, WriteOptions::default()).await.unwrap();
        let made = put(&origin, table, "7", &shown.to_string()).await.unwrap();
        assert_ne!(made.version, Some(1));
    }
}

async fn what_a_column_does_not_take_is_rejected(place: Place) {
    let origin = place.origin();
    put(&origin, "strict_rows", "1", r#"{"needed": 1, "code": "a"}"#).await.unwrap();
    put(&origin, "airports", "JFK", "{}").await.unwrap();
    put(&origin, "strict_rows", "2", r#"{"needed": 1, "code": "b", "faa": "JFK"}"#).await.unwrap();
    let mut cases = vec![
        (r#"{}"#, Rejected::NotNull),
        (r#"{"needed": null}"#, Rejected::NotNull),
        (r#"{"needed": 1, "code": "a"}"#, Rejected::Unique),
        (r#"{"needed": 1, "small": 10}"#, Rejected::Check),
        (r#"{"needed": 1, "faa": "XXX"}"#, Rejected::ForeignKey),
    ];
    // SQLite's columns take anything, unless a table is strict.
    if place.kind != Kind::Sqlite {
        cases.push((r#"{"needed": "hunter2"}"#, Rejected::Value));
        cases.push((r#"{"needed": 9223372036854775807}"#, Rejected::Value));
        cases.push((r#"{"needed": 1, "code": "far too long"}"#, Rejected::Value));
    }
    for id in ["2", "3"] {
        for (body, expected) in &cases {
            let refused = put(&origin, "strict_rows", id, body).await;
            assert!(
                matches!(&refused, Err(OriginError::Rejected(told)) if told == expected),
                "{id} {body}: {refused:?}"
            );
            let message = whole_message(&refused.unwrap_err());
            assert!(!message.contains("hunter2") && !message.contains("INSERT"), "{message}");
        }
    }
    let refused = write(&origin, "airports", "JFK", Change::Delete, WriteOptions::default()).await;
    assert!(matches!(refused, Err(OriginError::Rejected(Rejected::ForeignKey))), "{refused:?}");
    assert_eq!(read(&origin, "strict_rows", "3").await, None);
    assert_eq!(read(&origin, "strict_rows", "2").await.unwrap()["code"], "b");
}

async fn bytes_are_written_as_base64(place: Place) {
    let origin = place.origin();
    let written = put(&origin, "flights", "7", r#"{"photo": "//4AAQ=="}"#).await.unwrap();
    assert_eq!(parsed(&written.record.unwrap())["photo"], "//4AAQ==");
    assert_eq!(read(&origin, "flights", "7").await.unwrap()["photo"], "//4AAQ==");
    let refused = put(&origin, "flights", "7", r#"{"photo": "no base64"}"#).await;
    assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Value))), "{refused:?}");
}

async fn a_list_has_parameters_and_a_limit(place: Place) {
    let origin = place.origin();
    for (id, dest, distance) in
        [("1", "IAH", 1400), ("2", "MIA", 1089), ("3", "IAH", 1416), ("4", "BQN", 1576)]
    {
        put(&origin, "flights", id, &json!({"dest": dest, "distance": distance}).to_string()).await.unwrap();
    }
    let statement = format!(
        "SELECT dest, count(*) AS flights, max(distance) AS furthest FROM flights
         WHERE distance > {} AND dest <> {} GROUP BY dest ORDER BY flights DESC, dest",
        place.at(1),
        place.at(2)
    );
    let query =
        ListQuery::Sql { statement, parameters: vec![Scalar::Integer(1000), Scalar::Text("BQN".into())] };
    let origin = place.read_only();
    let rows = origin.list(&query, 10, no_hurry()).await.unwrap();
    assert_eq!(
        rows.iter().map(parsed).collect::<Vec<_>>(),
        [
            json!({"dest": "IAH", "flights": 2, "furthest": 1416}),
            json!({"dest": "MIA", "flights": 1, "furthest": 1089})
        ]
    );
    for _ in 0..2 {
        assert_eq!(origin.list(&query, 1, no_hurry()).await.unwrap(), rows[..1]);
    }
    assert!(origin.list(&query, 0, no_hurry()).await.unwrap().is_empty());
    let refused = origin.list(&query, 1001, no_hurry()).await;
    assert!(matches!(refused, Err(OriginError::ListTooLong(1001))), "{refused:?}");
}

async fn a_list_cannot_write(place: Place) {
    let origin = place.origin();
    put(&origin, "airports", "JFK", "{}").await.unwrap();
    let query = ListQuery::Sql { statement: "DELETE FROM airports".into(), parameters: Vec::new() };
    let refused = origin.list(&query, 10, no_hurry()).await;
    assert!(
        matches!(refused, Err(OriginError::Misconfigured(Misconfigured::ListStatement(_)))),
        "{refused:?}"
    );
    assert!(read(&origin, "airports", "JFK").await.is_some());
}

async fn a_list_is_one_statement(place: Place) {
    let origin = place.origin();
    put(&origin, "airports", "JFK", "{}").await.unwrap();
    for statement in [
        "SELECT 1 AS n; SELECT 2 AS n",
        "COMMIT; DELETE FROM airports",
        "SELECT FROM WHERE",
        "SELECT nope FROM airports",
    ] {
        let query = ListQuery::Sql { statement: statement.into(), parameters: Vec::new() };
        let refused = origin.list(&query, 10, no_hurry()).await;
        assert!(
            matches!(refused, Err(OriginError::Misconfigured(Misconfigured::ListStatement(_)))),
            "{statement}: {refused:?}"
        );
    }
    assert!(read(&origin, "airports", "JFK").await.is_some());
}

async fn a_list_of_the_other_kind_is_a_misconfiguration(place: Place) {
    let query = ListQuery::Index {
        table: "flights".parse().unwrap(),
        index: "by-dest".into(),
        partition: Scalar::Text("IAH".into()),
        descending: false,
    };
    let refused = place.origin().list(&query, 10, no_hurry()).await;
    assert!(matches!(refused, Err(OriginError::Misconfigured(Misconfigured::ListKind))), "{refused:?}");
}

async fn an_origin_that_only_reads_does_not_write(place: Place) {
    let refused = put(&place.read_only(), "flights", "7", "{}").await;
    assert!(matches!(refused, Err(OriginError::ReadOnly)), "{refused:?}");
    assert_eq!(read(&place.read_only(), "flights", "7").await, None);
}

async fn a_write_with_a_name_needs_the_table_of_writes(place: Place) {
    place.drop_writes().await;
    let origin = place.origin();
    let name = IdempotencyKey::new("one").unwrap();
    let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
    let refused = write(&origin, "flights", "7", Change::Put(fields("{}")), named).await;
    let expected = Misconfigured::NoIdempotencyTable;
    assert!(matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == expected), "{refused:?}");
    put(&origin, "flights", "7", "{}").await.unwrap();
}

async fn a_deadline_that_is_over_asks_nothing(place: Place) {
    let origin = place.origin();
    let id = origin.id("flights", "7").unwrap();
    let change = Change::Put(fields("{}"));
    let query = ListQuery::Sql { statement: "SELECT 1 AS n".into(), parameters: Vec::new() };
    for _ in 0..3 {
        let over = Instant::now();
        let late = [
            origin.load("flights", &id, over).await.map(|_| ()),
            origin.write("flights", &id, &change, WriteOptions::default(), over).await.map(|_| ()),
            origin.list(&query, 1, over).await.map(|_| ()),
        ];
        for late in late {
            assert!(matches!(late, Err(OriginError::Unavailable(Outage::Deadline))), "{late:?}");
        }
    }
    assert_eq!(read(&origin, "flights", "7").await, None);
}

async fn a_call_that_is_dropped_harms_no_later_call(place: Place) {
    let origin = Arc::new(place.origin());
    put(&origin, "flights", "7", "{}").await.unwrap();
    let mut version = 0;
    for micros in (0..12_000).step_by(600) {
        let id = origin.id("flights", "7").unwrap();
        let change = Change::Patch(fields(r#"{"distance": 1}"#));
        let write = origin.write("flights", &id, &change, WriteOptions::default(), no_hurry());
        let _ = tokio::time::timeout(Duration::from_micros(micros), write).await;
        let present = origin.load("flights", &id, no_hurry()).await.unwrap().unwrap().version().unwrap();
        assert!(present >= version);
        version = present;
    }
    // Nothing of them holds a lock.
    put(&origin, "flights", "7", "{}").await.unwrap();
}

async fn a_table_that_the_schema_lacks_is_named(place: Place) {
    let origin = place.origin_of("nope:id,FLIGHTS:id,flights:dest".parse().unwrap());
    let name = |text: &str| text.parse().unwrap();
    for (table, expected) in [
        ("nope", Misconfigured::NoTable { table: name("nope") }),
        ("FLIGHTS", Misconfigured::NoTable { table: name("FLIGHTS") }),
        ("flights", Misconfigured::KeyNotUnique { table: name("flights"), key: name("dest") }),
    ] {
        let id = origin.id(table, "7").unwrap();
        let refused = origin.load(table, &id, no_hurry()).await;
        assert!(
            matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == expected),
            "{refused:?}"
        );
    }
}

async fn no_message_shows_the_address_or_what_was_sent(place: Place) {
    let url = match place.kind {
        Kind::Sqlite => format!("{}.nowhere", place.url),
        _ => place.url.replace("larder:hunter2", "larder:hunter3").replace("hunter3", "hunter2hunter2"),
    };
    let origin = Origin::new(&url, tables()).unwrap().writable();
    let id = origin.id("airports", "hunter2").unwrap();
    let change = Change::Put(fields(r#"{"name": "hunter2"}"#));
    let errors = [
        origin.load("airports", &id, no_hurry()).await.unwrap_err(),
        origin.write("airports", &id, &change, WriteOptions::default(), no_hurry()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, OriginError::Unavailable(Outage::Database(_))), "{error:?}");
        let message = format!("{} {origin:?}", whole_message(&error));
        assert!(!message.contains("hunter2"), "{message}");
        assert!(!message.contains("nowhere"), "{message}");
    }
}

/// An error and all its sources, as a log shows them.
fn whole_message(error: &dyn Error) -> String {
    let source = error.source().map(whole_message).unwrap_or_default();
    format!("{error}: {error:?} {source}")
}
