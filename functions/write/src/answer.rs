//! What a write is answered: the row as it is now, and in the headers what the cache knows of it.
//!
//! | header | |
//! | --- | --- |
//! | `etag` | `"<version>"`, where the table has versions: for `if-match` |
//! | `x-record-version` | the same, bare: for `?min-version=` of a read |
//! | `x-cache` | see below |
//! | `x-idempotent-replay` | `true` where nothing was done, because this very write had happened before |
//! | `x-written-version` | beside that: the version that the write gave the row; the row has had other writes since if `etag` says another one |
//! | `preference-applied` | `return=minimal` where the row is written, and longer than Lambda lets an answer be: the answer then has no body, and is 204 in place of 200 |
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
//!
//! A write of a name that has happened before has the status that it had then, and the row as it is now, with the version
//! that it has now. Where the row has been removed since, a `PUT` or a `PATCH` is 410.

use larder_lambda::http::HttpAnswer;
use larder_origin::{Change, Effect, Record, Repeat, Written};

use crate::refusal::Refusal;
use crate::tell::Told;

/// Answers what was `written` by `change`.
pub fn written(change: &Change, written: &Written, told: Told) -> HttpAnswer {
    let row = |status, record: &Record| {
        let answer = json(status, text(record.json()));
        match written.version {
            Some(version) => tag(answer, version),
            None => answer,
        }
    };
    let answer = match (change, written.effect, &written.record) {
        (Change::Delete, ..) => common(HttpAnswer::new(204, String::new())),
        (_, Effect::Nothing, _) => Refusal::NoSuchRecord.answer(),
        // Only a repeat finds none.
        (_, _, None) => Refusal::RemovedSince.answer(),
        (_, Effect::Made, Some(record)) => row(201, record),
        (_, _, Some(record)) => row(200, record),
    };
    let answer = with_replay(with_told(answer, told), written.repeat.as_ref());
    if answer.fits() { answer } else { without_row(answer) }
}

/// The same answer, which says what is known of the write that it repeats.
fn with_replay(answer: HttpAnswer, repeat: Option<&Repeat>) -> HttpAnswer {
    let Some(repeat) = repeat else { return answer };
    let answer = answer.header("x-idempotent-replay", "true");
    match repeat.version {
        Some(version) => answer.header("x-written-version", version.to_string()),
        None => answer,
    }
}

/// The same answer, that the row is written, without the row. Source: RFC 7240, section 4.2.
fn without_row(mut answer: HttpAnswer) -> HttpAnswer {
    answer.body = String::new();
    answer.headers.remove("content-type");
    if answer.status_code == 200 {
        answer.status_code = 204;
    }
    answer.header("preference-applied", "return=minimal")
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
