//! What a write is answered: the row as it is now, and in the headers what the cache knows of it.
//!
//! | header | |
//! | --- | --- |
//! | `etag` | `"<version>"`, where the table has versions: for `if-match` |
//! | `x-record-version` | the same, bare: for `?min-version=` of a read |
//! | `x-cache` | see below |
//! | `x-idempotent-replay` | `true` where nothing was done, because this very write had happened before; the rest is what was answered then |
//!
//! | `x-cache` | the row is written, and |
//! | --- | --- |
//! | `stored` | a reader finds it in the cache |
//! | `newer` | a reader finds a newer one there |
//! | `forgotten` | the next reader loads it |
//! | `queued` | some of the cache could not be told and may have what is older, until `functions/invalidate` has told it |
//! | `unforgotten` | the same, and nobody will tell it: the old value ends by its time to live |
//!
//! The last two hold for whatever could not be told, the record itself or one that depends on it. The body is the row
//! as a read gives it, and nothing where it is gone. Nothing may store an answer on its way (`cache-control:
//! no-store`).

use larder_lambda::http::HttpAnswer;
use larder_origin::{Change, Written};

use crate::refusal::Refusal;
use crate::tell::Told;

/// Answers what was `written` by `change`.
pub fn written(change: &Change, written: &Written, told: Told) -> HttpAnswer {
    let row = |status| {
        let record = written.record.as_ref();
        let answer = json(status, record.map_or_else(String::new, |record| text(record.json())));
        match written.version {
            Some(version) => tag(answer, version),
            None => answer,
        }
    };
    let answer = match (change, &written.record, &written.before) {
        (Change::Delete, ..) => common(HttpAnswer::new(204, String::new())),
        (_, None, _) => Refusal::NoSuchRecord.answer(),
        (_, Some(_), None) => row(201),
        (_, Some(_), Some(_)) => row(200),
    };
    let answer = with_told(answer, told);
    if written.is_repeat { answer.header("x-idempotent-replay", "true") } else { answer }
}

/// The same answer, which says what the cache was `told`.
pub fn with_told(answer: HttpAnswer, told: Told) -> HttpAnswer {
    answer.header("x-cache", told.word())
}

/// The same answer, which says what `version` the row has.
pub fn tag(answer: HttpAnswer, version: u64) -> HttpAnswer {
    answer.header("etag", format!("\"{version}\"")).header("x-record-version", version.to_string())
}

/// An answer in JSON with the headers that all of them have.
pub fn json(status: u16, body: String) -> HttpAnswer {
    common(HttpAnswer::new(status, body)).header("content-type", "application/json")
}

fn common(answer: HttpAnswer) -> HttpAnswer {
    answer.header("cache-control", "no-store").header("x-content-type-options", "nosniff")
}

fn text(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}
