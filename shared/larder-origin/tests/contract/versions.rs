//! Versions that are no counts, and those at the end.

use larder_origin::{Change, Effect, OriginError, Rejected, WriteOptions};
use serde_json::json;

use crate::check_distinct_versions;
use crate::place::{Kind, Place, Stored, fields, no_hurry, read, write};

pub(crate) async fn a_row_whose_version_is_no_count_is_read_and_written(place: Place) {
    let origin = place.origin();
    let mut versions = vec![Stored::Nothing, Stored::Number("0"), Stored::Number("-1")];
    if matches!(place.kind, Kind::Sqlite | Kind::DynamoDb) {
        versions.extend([Stored::Number("1.5"), Stored::Text("seven")]);
    }
    if place.kind == Kind::DynamoDb {
        versions.extend([Stored::Null, Stored::Number("100000000000000000000")]);
    }
    for stored in versions {
        for change in [Change::Put(fields("{}")), Change::Patch(fields(r#"{"word": "b"}"#)), Change::Delete] {
            place.set_version("counted", "7", stored).await;
            let id = origin.id("counted", "7").unwrap();
            let before = origin.load("counted", &id, no_hurry()).await.unwrap().unwrap();
            assert_eq!(before.version(), Some(0), "{stored:?}");
            let other = WriteOptions { if_version: Some(1), ..WriteOptions::default() };
            let refused = write(&origin, "counted", "7", change.clone(), other).await;
            assert!(
                matches!(refused, Err(OriginError::VersionConflict { present: Some(0) })),
                "{stored:?}: {refused:?}"
            );
            let same = WriteOptions { if_version: Some(0), ..WriteOptions::default() };
            let written = write(&origin, "counted", "7", change.clone(), same).await.unwrap();
            assert_eq!(written.before, Some(before), "{stored:?}");
            if change == Change::Delete {
                assert_eq!(read(&origin, "counted", "7").await, None, "{stored:?}");
                continue;
            }
            let version = written.version.unwrap();
            // A count goes on; what is none may have been a count, and the time is above it.
            match stored {
                Stored::Number("0") => assert_eq!(version, 1),
                _ => assert!(version > 1_700_000_000_000, "{stored:?}: {version}"),
            }
            let next = write(&origin, "counted", "7", change, WriteOptions::default()).await.unwrap();
            assert_eq!(next.version, Some(version + 1), "{stored:?}");
            assert_eq!(read(&origin, "counted", "7").await.unwrap()["version"], json!(version + 1));
        }
    }
}

pub(crate) async fn writers_at_once_of_a_row_without_a_count_give_each_a_version(place: Place) {
    let mut versions = vec![Stored::Nothing, Stored::Number("0"), Stored::Number("-1")];
    if place.kind == Kind::DynamoDb {
        versions.extend([Stored::Null, Stored::Text("seven"), Stored::Number("1.5")]);
    }
    for stored in versions {
        place.set_version("counted", "7", stored).await;
        check_distinct_versions(&place, "counted").await;
    }
}

pub(crate) async fn a_version_that_has_no_next_one_is_refused_and_can_be_removed(place: Place) {
    let origin = place.origin();
    let mut versions = vec!["9223372036854775807"];
    if place.kind == Kind::DynamoDb {
        versions.push("18446744073709551615");
    }
    for version in versions {
        place.set_version("counted", "7", Stored::Number(version)).await;
        assert_eq!(read(&origin, "counted", "7").await.unwrap()["version"].to_string(), version);
        for change in [Change::Put(fields("{}")), Change::Patch(fields(r#"{"word": "b"}"#))] {
            let refused = write(&origin, "counted", "7", change, WriteOptions::default()).await;
            assert!(matches!(refused, Err(OriginError::Rejected(Rejected::Version))), "{refused:?}");
        }
        let only = WriteOptions { if_version: Some(version.parse().unwrap()), ..WriteOptions::default() };
        let removed = write(&origin, "counted", "7", Change::Delete, only).await.unwrap();
        assert_eq!(removed.effect, Effect::Removed);
    }
}
