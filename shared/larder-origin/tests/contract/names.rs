//! What is kept of a write under its name, and what its repeat is answered.

use larder_origin::{Change, Effect, IdempotencyKey, WriteOptions};
use serde_json::json;

use crate::place::{Kind, Place, fields, no_hurry, parsed, put, write};

pub(crate) async fn a_repeat_of_what_left_no_row_answers_none(place: Place) {
    let origin = place.origin();
    for (name, change, effect) in [
        ("patch", Change::Patch(fields(r#"{"dest": "MIA"}"#)), Effect::Nothing),
        ("delete", Change::Delete, Effect::Removed),
    ] {
        let name = IdempotencyKey::new(name).unwrap();
        let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
        if effect == Effect::Removed {
            put(&origin, "flights", "7", "{}").await.unwrap();
        }
        write(&origin, "flights", "7", change.clone(), named).await.unwrap();
        let since = put(&origin, "flights", "7", "{}").await.unwrap();
        let again = write(&origin, "flights", "7", change, named).await.unwrap();
        assert!(again.is_repeat());
        assert_eq!((again.effect, again.record, again.version), (effect, None, None));
        let id = origin.id("flights", "7").unwrap();
        assert_eq!(origin.load("flights", &id, no_hurry()).await.unwrap(), since.record);
        write(&origin, "flights", "7", Change::Delete, WriteOptions::default()).await.unwrap();
    }
}

pub(crate) async fn what_is_kept_of_a_write_is_short_whatever_the_row(place: Place) {
    let origin = place.origin();
    let long = "x".repeat(if place.kind == Kind::DynamoDb { 350_000 } else { 3_000_000 });
    put(&origin, "texts", "7", &json!({"body": long, "word": "a"}).to_string()).await.unwrap();
    let name = IdempotencyKey::new("short").unwrap();
    let named =
        WriteOptions { idempotency_key: Some(&name), kept: &["body", "word"], ..WriteOptions::default() };
    let patch = || Change::Patch(fields(r#"{"word": "b"}"#));
    let patched = write(&origin, "texts", "7", patch(), named).await.unwrap();
    assert!(!patched.is_repeat());
    let outcome = place.outcome("short").await;
    assert!(outcome.len() < 200 && outcome.contains(r#""word":"a""#), "{} bytes", outcome.len());
    let again = write(&origin, "texts", "7", patch(), named).await.unwrap();
    assert!(again.is_repeat());
    assert_eq!(again.record, patched.record);
}

/// As it was before the row was read anew; both functions may run beside each other while one is deployed.
pub(crate) async fn an_outcome_that_holds_the_rows_is_repeated_as_well(place: Place) {
    let origin = place.origin();
    put(&origin, "flights", "7", r#"{"dest": "MIA"}"#).await.unwrap();
    let name = IdempotencyKey::new("old").unwrap();
    let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
    let change = || Change::Patch(fields(r#"{"dest": "BQN"}"#));
    write(&origin, "flights", "7", change(), named).await.unwrap();
    let rows =
        r#"{"record":{"id":7,"dest":"BQN"},"before":{"id":7,"dest":"MIA"},"version":8,"before_version":7}"#;
    place.set_outcome("old", rows).await;
    let again = write(&origin, "flights", "7", change(), named).await.unwrap();
    assert_eq!(
        (again.effect, parsed(&again.record.unwrap())["dest"].clone()),
        (Effect::Changed, json!("BQN"))
    );
    let repeat = again.repeat.unwrap();
    assert_eq!((repeat.version, repeat.kept.len()), (Some(8), 2));
    assert_eq!(parsed(&repeat.kept[0])["dest"], "MIA");
}
