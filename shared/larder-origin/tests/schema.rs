//! Configurations against schemas, on real SQLite files.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use larder_origin::{Identifier, Misconfigured, Origin, OriginError, TableConfig, Tables};

use scratch::{Scratch, json, no_hurry};

#[path = "support/scratch.rs"]
mod scratch;

#[tokio::test]
async fn each_value_keeps_the_type_it_is_stored_with() {
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i, r, s, b, n, huge, bad);
         INSERT INTO t VALUES (1, 9223372036854775807, 5.0, 'O''Hare', x'fffe0001', NULL, 9e999, CAST(x'61ff' AS TEXT))",
        "t:id",
        "1",
        r#"{"id":1,"i":9223372036854775807,"r":5.0,"s":"O'Hare","b":"//4AAQ==","n":null,"huge":null,"bad":"a\ufffd"}"#,
    )
    .await;
}

#[tokio::test]
async fn generated_columns_are_columns() {
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, v AS (a + 1), s INTEGER AS (a + 2) STORED);
         INSERT INTO t (id, a) VALUES (1, 40)",
        "t:id",
        "1",
        r#"{"id":1,"a":40,"v":41,"s":42}"#,
    )
    .await;
}

#[tokio::test]
async fn names_that_are_words_of_sql_are_only_names() {
    check(
        r#"CREATE TABLE "order" ("group" TEXT PRIMARY KEY, "from ""here""" INTEGER);
           INSERT INTO "order" VALUES ('a', 1)"#,
        "order:group",
        "a",
        r#"{"group":"a","from \"here\"":1}"#,
    )
    .await;
}

#[tokio::test]
async fn a_unique_index_makes_a_key() {
    check(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code VARCHAR(3));
         CREATE UNIQUE INDEX by_code ON t (code);
         INSERT INTO t VALUES (1, 'a')",
        "t:code",
        "a",
        r#"{"id":1,"code":"a"}"#,
    )
    .await;
}

#[tokio::test]
async fn a_text_key_may_look_like_a_number() {
    check(
        "CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO t VALUES ('007'), ('7')",
        "t:id",
        "007",
        r#"{"id":"007"}"#,
    )
    .await;
}

#[tokio::test]
async fn one_row_has_one_id_whatever_the_collation() {
    let scratch =
        Scratch::new("CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY); INSERT INTO t VALUES ('JFK')")
            .await;
    let origin = scratch.origin("t:id");
    let ids = [origin.id("t", "jfk").unwrap(), origin.id("t", "JFK").unwrap()];
    let records = origin.load_many("t", &ids, no_hurry()).await.unwrap();
    assert!(records[0].is_none() && records[1].is_some(), "{records:?}");
}

#[tokio::test]
async fn chosen_columns_come_in_the_tables_order() {
    let scratch =
        Scratch::new("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c); INSERT INTO t VALUES (1, 2, 3, 4)")
            .await;
    let columns = Some(vec![name("c"), name("a")]);
    let config = TableConfig { columns, ..TableConfig::new(name("t"), name("id")) };
    let tables = Tables::new(vec![config]).unwrap();
    let origin = Origin::new(&scratch.url(), tables).unwrap();
    let record = origin.load("t", &origin.id("t", "1").unwrap(), no_hurry()).await.unwrap().unwrap();
    assert_eq!(json(&record), r#"{"a":2,"c":4}"#);
}

#[tokio::test]
async fn a_table_that_the_schema_lacks_is_named() {
    let missing = |table| Misconfigured::NoTable { table: name(table) };
    check_refused("CREATE TABLE t (id INTEGER PRIMARY KEY)", "nope:id", missing("nope")).await;
    check_refused("CREATE TABLE t (id INTEGER PRIMARY KEY)", "T:id", missing("T")).await;
    check_refused("CREATE VIEW v AS SELECT 1 AS id", "v:id", missing("v")).await;
}

#[tokio::test]
async fn a_key_that_the_schema_lacks_is_named() {
    for key in ["nope", "ID", "rowid"] {
        let missing = Misconfigured::NoColumn { table: name("t"), column: name(key) };
        check_refused("CREATE TABLE t (id INTEGER PRIMARY KEY)", &format!("t:{key}"), missing).await;
    }
}

#[tokio::test]
async fn a_key_that_many_rows_may_share_is_refused() {
    for schema in [
        "CREATE TABLE t (id INTEGER)",
        "CREATE TABLE t (id INTEGER, part INTEGER, PRIMARY KEY (id, part))",
        "CREATE TABLE t (id INTEGER, part INTEGER, UNIQUE (id, part))",
        "CREATE TABLE t (id INTEGER, gone INTEGER); CREATE UNIQUE INDEX i ON t (id) WHERE gone = 0",
        "CREATE TABLE t (id INTEGER); CREATE INDEX i ON t (id)",
        "CREATE TABLE t (id INTEGER); CREATE UNIQUE INDEX i ON t (id + 0)",
    ] {
        check_refused(schema, "t:id", Misconfigured::KeyNotUnique { table: name("t"), key: name("id") })
            .await;
    }
}

#[tokio::test]
async fn a_key_that_ids_cannot_hold_is_refused() {
    for kind in ["REAL", "BLOB", "NUMERIC", "DATE", ""] {
        check_refused(
            &format!("CREATE TABLE t (id {kind} PRIMARY KEY)"),
            "t:id",
            Misconfigured::KeyType { table: name("t"), key: name("id") },
        )
        .await;
    }
}

#[tokio::test]
async fn a_fault_in_one_table_keeps_no_other_from_being_read() {
    let scratch =
        Scratch::new("CREATE TABLE good (id INTEGER PRIMARY KEY); INSERT INTO good VALUES (1)").await;
    let origin = scratch.origin("good:id,bad:id");
    let id = origin.id("good", "1").unwrap();
    assert!(matches!(origin.load("bad", &id, no_hurry()).await, Err(OriginError::Misconfigured(_))));
    assert!(origin.load("good", &id, no_hurry()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_table_made_later_is_found() {
    let scratch = Scratch::new("CREATE TABLE other (id INTEGER PRIMARY KEY)").await;
    let origin = scratch.origin("t:id");
    let id = origin.id("t", "1").unwrap();
    assert!(matches!(origin.load("t", &id, no_hurry()).await, Err(OriginError::Misconfigured(_))));
    scratch.run("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    assert!(origin.load("t", &id, no_hurry()).await.unwrap().is_some());
}

/// Loads one row of a file made by `sql`.
async fn check(sql: &str, tables: &str, id: &str, expected: &str) {
    let scratch = Scratch::new(sql).await;
    let origin = scratch.origin(tables);
    let (table, _) = tables.split_once(':').unwrap();
    let id = origin.id(table, id).unwrap();
    let record = origin.load(table, &id, no_hurry()).await.unwrap().expect("the row is there");
    // Through a parser: an escaped and a plain character are the same text.
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parsed(json(&record)), parsed(expected), "{sql}");
}

async fn check_refused(sql: &str, tables: &str, expected: Misconfigured) {
    let scratch = Scratch::new(sql).await;
    let origin = scratch.origin(tables);
    let (table, _) = tables.split_once(':').unwrap();
    let id = origin.id(table, "1").unwrap();
    match origin.load(table, &id, no_hurry()).await {
        Err(OriginError::Misconfigured(actual)) => assert_eq!(actual, expected, "{sql}"),
        other => panic!("{sql}: {other:?}"),
    }
}

fn name(text: &str) -> Identifier {
    Identifier::new(text).unwrap()
}
