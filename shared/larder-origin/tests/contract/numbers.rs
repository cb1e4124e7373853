//! Numbers and ids with all their digits.

use std::collections::HashMap;

use larder_origin::{Change, Effect, OriginError, Rejected, WriteOptions};
use serde_json::value::RawValue;

use crate::place::{Place, fields, ids, no_hurry, put, write};

pub(crate) async fn an_id_of_another_kind_than_the_key_finds_nothing_in_a_batch(place: Place) {
    for warm in [false, true] {
        let (origin, cold) = (place.origin(), place.origin());
        put(&origin, "flights", "1", "{}").await.unwrap();
        put(&origin, "flights", "3", "{}").await.unwrap();
        let asked = ["1", "abc", "18446744073709551616", "007", "3", "1.5", &"9".repeat(39)];
        let ids = ids(&cold, "flights", &asked);
        let origin = if warm { origin } else { cold };
        let found = origin.load_many("flights", &ids, no_hurry()).await.unwrap();
        let found: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, false, false, false, true, false, false]);
        let found = origin.load_many("flights", &ids[1..2], no_hurry()).await.unwrap();
        assert_eq!(found, [None]);
    }
}

/// All that a read shows is written back as it is shown, and read again.
pub(crate) async fn a_number_is_written_as_it_is_read(place: Place) {
    let origin = place.origin();
    for (column, number, shown) in place.numbers() {
        let writes = [number, shown].map(|value| fields(&format!(r#"{{"{column}": {value}}}"#)));
        let [number, shown_fields] = writes;
        for change in [Change::Put(number), Change::Patch(shown_fields.clone()), Change::Put(shown_fields)] {
            let written = write(&origin, "numbers", "7", change, WriteOptions::default()).await;
            let written = written.unwrap_or_else(|wrong| panic!("{column} {shown}: {wrong}")).record.unwrap();
            let json: HashMap<String, Box<RawValue>> = serde_json::from_slice(written.json()).unwrap();
            assert_eq!(json[column].get(), shown, "{column}");
            let id = origin.id("numbers", "7").unwrap();
            assert_eq!(origin.load("numbers", &id, no_hurry()).await.unwrap(), Some(written), "{column}");
        }
    }
}

pub(crate) async fn a_number_that_the_column_cannot_hold_is_rejected(place: Place) {
    let origin = place.origin();
    for (column, number) in place.numbers_too_large() {
        let refused = put(&origin, "numbers", "7", &format!(r#"{{"{column}": {number}}}"#)).await;
        assert!(
            matches!(refused, Err(OriginError::Rejected(Rejected::Value))),
            "{column} {number}: {refused:?}"
        );
    }
}

pub(crate) async fn a_key_is_read_written_and_named_with_all_its_digits(place: Place) {
    let origin = place.origin();
    let ids_there = place.odd_ids();
    for id in ids_there {
        let body = format!(r#"{{"id": {id}, "word": "a"}}"#);
        let made = put(&origin, "numbers", id, &body).await.unwrap_or_else(|wrong| panic!("{id}: {wrong}"));
        assert_eq!(made.effect, Effect::Made, "{id}");
        let patch = Change::Patch(fields(&format!(r#"{{"id": {id}, "word": "b"}}"#)));
        let patched = write(&origin, "numbers", id, patch, WriteOptions::default()).await.unwrap();
        let json: HashMap<String, Box<RawValue>> =
            serde_json::from_slice(patched.record.as_ref().unwrap().json()).unwrap();
        assert_eq!((json["id"].get(), json["word"].get()), (*id, "\"b\""));
        let other = put(&origin, "numbers", id, r#"{"id": 18446744073709551616.5}"#).await;
        assert!(matches!(other, Err(OriginError::Rejected(Rejected::Key))), "{other:?}");
    }
    let found = origin.load_many("numbers", &ids(&origin, "numbers", ids_there), no_hurry()).await.unwrap();
    for (id, found) in ids_there.iter().zip(found) {
        let json: HashMap<String, Box<RawValue>> =
            serde_json::from_slice(found.as_ref().unwrap().json()).unwrap();
        assert_eq!(json["id"].get(), *id);
        let removed = write(&origin, "numbers", id, Change::Delete, WriteOptions::default()).await.unwrap();
        assert_eq!(removed.effect, Effect::Removed, "{id}");
    }
}
