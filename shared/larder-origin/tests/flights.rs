//! The real rows, loaded from their files and read through the origin.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder_origin::{BadId, Id, MAX_IDS, Origin, OriginError, Tables};
use serde_json::Value;
use tokio::sync::OnceCell;

#[path = "support/flights.rs"]
mod flights;

#[tokio::test]
async fn the_files_hold_the_rows_that_their_page_promises() {
    let (_, counts) = database().await;
    assert_eq!(
        counts.as_slice(),
        [("flights", 27_004), ("airlines", 16), ("airports", 1_458), ("planes", 3_322)]
    );
}

#[tokio::test]
async fn a_flight_is_answered_with_its_columns_in_order() {
    check(
        "flights",
        "1",
        Some(concat!(
            r#"{"id":1,"year":2013,"month":1,"day":1,"dep_time":517,"sched_dep_time":515,"dep_delay":2,"#,
            r#""arr_time":830,"sched_arr_time":819,"arr_delay":11,"carrier":"UA","flight":1545,"#,
            r#""tailnum":"N14228","origin":"EWR","dest":"IAH","air_time":227,"distance":1400,"#,
            r#""time_hour":"2013-01-01T10:00:00Z","version":1}"#
        )),
    )
    .await;
}

#[tokio::test]
async fn a_cancelled_flight_has_nulls() {
    check(
        "flights",
        "839",
        Some(concat!(
            r#"{"id":839,"year":2013,"month":1,"day":1,"dep_time":null,"sched_dep_time":1630,"#,
            r#""dep_delay":null,"arr_time":null,"sched_arr_time":1815,"arr_delay":null,"carrier":"EV","#,
            r#""flight":4308,"tailnum":"N18120","origin":"EWR","dest":"RDU","air_time":null,"#,
            r#""distance":416,"time_hour":"2013-01-01T21:00:00Z","version":1}"#
        )),
    )
    .await;
}

#[tokio::test]
async fn an_airport_keeps_its_reals() {
    check(
        "airports",
        "JFK",
        Some(concat!(
            r#"{"faa":"JFK","name":"John F Kennedy Intl","lat":40.639751,"lon":-73.778925,"alt":13,"#,
            r#""tz":-5,"dst":"A","tzone":"America/New_York"}"#
        )),
    )
    .await;
}

#[tokio::test]
async fn a_row_that_is_not_there_is_an_answer() {
    check("flights", "999999999", None).await;
    check("airports", "XXX", None).await;
}

#[tokio::test]
async fn a_text_id_in_another_case_is_another_id() {
    check("airports", "jfk", None).await;
}

#[tokio::test]
async fn an_id_is_a_value_and_never_a_part_of_the_statement() {
    for text in ["' OR '1'='1", "JFK') OR (1=1", "\"faa\"", "JFK'; DROP TABLE airports; --", "%", "?"] {
        check("airports", text, None).await;
    }
}

#[tokio::test]
async fn records_come_in_the_order_asked_and_as_often() {
    let origin = origin().await;
    let ids = ids(&origin, "flights", ["3", "999999999", "1", "3", "2"]);
    let records = origin.load_many("flights", &ids, no_hurry()).await.unwrap();
    let loaded: Vec<Option<Value>> = records
        .iter()
        .map(|record| {
            let record: Value = serde_json::from_slice(record.as_ref()?.json()).unwrap();
            Some(record["id"].clone())
        })
        .collect();
    assert_eq!(loaded, [Some(3.into()), None, Some(1.into()), Some(3.into()), Some(2.into())]);
}

#[tokio::test]
async fn a_batch_has_at_most_a_hundred_ids() {
    let origin = origin().await;
    let numbers: Vec<String> = (1..=MAX_IDS + 1).map(|number| number.to_string()).collect();
    let ids = ids(&origin, "flights", numbers.iter().map(String::as_str));
    let records = origin.load_many("flights", &ids[..MAX_IDS], no_hurry()).await.unwrap();
    assert!(records.iter().all(Option::is_some));
    let refused = origin.load_many("flights", &ids, no_hurry()).await;
    assert!(matches!(refused, Err(OriginError::TooManyIds(101))), "{refused:?}");
}

#[tokio::test]
async fn an_id_that_is_no_integer_is_refused_by_the_load_and_then_at_once() {
    let origin = origin().await;
    for (text, expected) in [("abc", BadId::NotAnInteger), ("007", BadId::NotCanonical)] {
        let fresh = self::origin().await;
        let id = fresh.id("flights", text).unwrap();
        let refused = fresh.load("flights", &id, no_hurry()).await;
        assert!(matches!(refused, Err(OriginError::BadId(bad)) if bad == expected), "{refused:?}");

        origin.load("flights", &origin.id("flights", "1").unwrap(), no_hurry()).await.unwrap();
        let refused = origin.id("flights", text);
        assert!(matches!(refused, Err(OriginError::BadId(bad)) if bad == expected), "{refused:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_no_integer_leaves_its_place_in_a_batch_empty() {
    let origin = origin().await;
    let ids = ids(&origin, "flights", ["1", "abc"]);
    let found = origin.load_many("flights", &ids, no_hurry()).await.unwrap();
    assert!(found[0].is_some() && found[1].is_none(), "{found:?}");
    assert!(origin.load("flights", &ids[0], no_hurry()).await.unwrap().is_some());
}

#[tokio::test]
async fn every_row_is_answered_as_its_file_has_it() {
    for (table, file) in [
        ("flights", "flights.csv.gz"),
        ("airlines", "airlines.csv"),
        ("airports", "airports.csv"),
        ("planes", "planes.csv"),
    ] {
        check_whole(table, &data().join(file)).await;
    }
}

/// Loads one row.
#[track_caller]
fn check(table: &str, id: &str, expected: Option<&str>) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let origin = origin().await;
        let id = origin.id(table, id).unwrap();
        let record = origin.load(table, &id, no_hurry()).await.unwrap();
        let actual = record.as_ref().map(|record| str::from_utf8(record.json()).unwrap());
        assert_eq!(actual, expected, "{table}/{id} at {caller}");
    }
}

/// Loads every row of `file` in batches and compares it field by field.
async fn check_whole(table: &str, file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    let text: Box<dyn std::io::Read> = if bytes.starts_with(&GZIP_MAGIC) {
        Box::new(flate2::read::GzDecoder::new(&*bytes))
    } else {
        Box::new(&*bytes)
    };
    let mut reader = csv::Reader::from_reader(text);
    let names = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();

    let origin = origin().await;
    for batch in rows.chunks(MAX_IDS) {
        let ids = ids(&origin, table, batch.iter().map(|row| &row[0]));
        let records = origin.load_many(table, &ids, no_hurry()).await.unwrap();
        for (row, record) in batch.iter().zip(records) {
            check_row(&names, row, str::from_utf8(record.unwrap().json()).unwrap());
        }
    }
}

#[track_caller]
fn check_row(names: &csv::StringRecord, row: &csv::StringRecord, json: &str) {
    let mut record: Value = serde_json::from_str(json).unwrap();
    // The one column that is in no file.
    assert!(record.as_object_mut().unwrap().remove("version").is_none_or(|version| version == 1), "{json}");
    assert_eq!(record.as_object().unwrap().len(), names.len(), "{json}");
    for (name, field) in names.iter().zip(row) {
        let same = match &record[name] {
            Value::Null => field.is_empty(),
            // As written: serde_json may read the last digit of a real wrong.
            Value::Number(number) if number.is_f64() => {
                json.contains(&format!("\"{name}\":{:?}", field.parse::<f64>().unwrap()))
            }
            Value::Number(number) => number.as_i64() == field.parse().ok(),
            other => other == field,
        };
        assert!(same, "{name} is not {field:?} in {json}");
    }
}

fn ids<'a>(origin: &Origin, table: &str, texts: impl IntoIterator<Item = &'a str>) -> Vec<Id> {
    texts.into_iter().map(|text| origin.id(table, text).unwrap()).collect()
}

/// An origin that has opened nothing yet.
async fn origin() -> Origin {
    let (file, _) = database().await;
    let tables: Tables = "flights:id,airports:faa,planes:tailnum,airlines:carrier".parse().unwrap();
    Origin::new(&format!("sqlite:{}", file.display()), tables).unwrap()
}

/// The file all tests here read, loaded once, and the rows of its tables.
async fn database() -> &'static (PathBuf, Vec<(&'static str, usize)>) {
    static DATABASE: OnceCell<(PathBuf, Vec<(&'static str, usize)>)> = OnceCell::const_new();
    DATABASE
        .get_or_init(|| async {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flights.db");
            let counts = flights::load(&data(), &file).await.unwrap();
            (file, counts)
        })
        .await
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/flights")
}

fn no_hurry() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// How a gzip file begins (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
