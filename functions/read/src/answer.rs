//! What a request is answered: records as they were stored, and in the headers how they were come by.
//!
//! | header | one record | a batch |
//! | --- | --- | --- |
//! | `x-cache` | `hit`, `miss`, `stale` or `bypass` | the one that cost most: `bypass` before `miss` before `stale` before `hit` |
//! | `x-cache-counts` | – | how many of each, `hit=97, miss=3`; a repeated id counts once |
//! | `x-cache-node` | the node that owns the key, where known | all of them, up to [`MAX_NODES_TOLD`] |
//! | `x-record-version` | the version of the record, where its table has one | – |
//! | `age` | seconds since the record was stored, where known | the greatest of them |
//!
//! One record is a JSON object. A batch is `{"records":[…]}` with one place for each id in the order asked, `null` for
//! a record that does not exist, as for an id that no record of the table can have, such as a text where ids are
//! numbers. What is longer than Lambda lets an answer be, by its length as it is sent, is 413. Nothing may store an answer on its way (`cache-control: no-store`): it was let through
//! for one caller, and how fresh it may be is for Larder to say.

use larder_cache::{Answer, Counts};
use larder_lambda::http::{HttpAnswer, MAX_ANSWER_LEN};

use crate::refusal::Refusal;

/// Answers one record. What is larger than Lambda takes is refused.
pub fn record(answer: &Answer, counts: &Counts) -> HttpAnswer {
    let http = match &answer.value {
        Some(record) => json(200, String::from_utf8_lossy(record).into_owned()),
        None => Refusal::NoSuchRecord.answer(),
    };
    let http = match answer.version {
        Some(version) => http.header("x-record-version", version.to_string()),
        None => http,
    };
    or_too_large(with_cache_headers(http, std::slice::from_ref(answer), counts), Refusal::RecordTooLarge)
}

/// Answers a batch: for each of `places`, the record that stands there in `answers`, and none for an id that no record of
/// the table can have. What is larger than Lambda takes is refused.
pub fn records(answers: &[Answer], places: &[Option<usize>], counts: &Counts) -> HttpAnswer {
    let record = |place: &Option<usize>| place.and_then(|place| answers[place].value.as_deref());
    let records = || places.iter().map(|place| record(place).unwrap_or(NULL));
    let len = BEFORE.len() + AFTER.len() + records().map(|record| record.len() + 1).sum::<usize>();
    // None is shorter as it is sent.
    if len > MAX_ANSWER_LEN {
        return Refusal::TooLarge.answer();
    }
    let mut body = String::with_capacity(len);
    body.push_str(BEFORE);
    for (at, record) in records().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(&String::from_utf8_lossy(record));
    }
    body.push_str(AFTER);

    let told: Vec<_> = outcomes(counts).map(|(name, count)| format!("{name}={count}")).collect();
    let http = with_cache_headers(json(200, body).header("x-cache-counts", told.join(", ")), answers, counts);
    or_too_large(http, Refusal::TooLarge)
}

/// `http`, or `refusal` where Lambda does not take it.
pub(crate) fn or_too_large(http: HttpAnswer, refusal: Refusal) -> HttpAnswer {
    if http.fits() { http } else { refusal.answer() }
}

/// An answer in JSON with the headers that all of them have.
pub fn json(status: u16, body: String) -> HttpAnswer {
    HttpAnswer::new(status, body)
        .header("content-type", "application/json")
        .header("cache-control", "no-store")
        .header("x-content-type-options", "nosniff")
}

fn with_cache_headers(mut http: HttpAnswer, answers: &[Answer], counts: &Counts) -> HttpAnswer {
    if let Some((costliest, _)) = outcomes(counts).last() {
        http = http.header("x-cache", costliest);
    }
    if let Some(age) = answers.iter().filter_map(|answer| answer.age).max() {
        http = http.header("age", age.as_secs().to_string());
    }
    let mut nodes: Vec<&str> = Vec::new();
    for node in answers.iter().filter_map(|answer| answer.node.as_deref()) {
        if nodes.len() < MAX_NODES_TOLD && !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    if nodes.is_empty() { http } else { http.header("x-cache-node", nodes.join(", ")) }
}

/// The outcomes that there were and how many of each, the one that cost most last.
fn outcomes(counts: &Counts) -> impl Iterator<Item = (&'static str, u32)> {
    let all =
        [("hit", counts.hits), ("stale", counts.stale), ("miss", counts.misses), ("bypass", counts.bypasses)];
    all.into_iter().filter(|(_, count)| *count > 0)
}

const BEFORE: &str = r#"{"records":["#;
const AFTER: &str = "]}";
const NULL: &[u8] = b"null";

/// Most nodes named in one answer: a gateway bounds all headers together to 10 KiB.
pub const MAX_NODES_TOLD: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder_cache::Outcome;

    use super::*;

    fn answer(value: Option<&str>, outcome: Outcome, node: Option<&str>, age: Option<u64>) -> Answer {
        Answer {
            version: None,
            value: value.map(|value| value.as_bytes().to_vec().into()),
            outcome,
            node: node.map(Into::into),
            age: age.map(Duration::from_secs),
        }
    }

    #[track_caller]
    fn check_headers(http: &HttpAnswer, expected: &[(&str, &str)]) {
        let common = [
            ("cache-control", "no-store"),
            ("content-type", "application/json"),
            ("x-content-type-options", "nosniff"),
        ];
        let mut expected: Vec<_> = expected.iter().copied().chain(common).collect();
        expected.sort_unstable();
        let headers: Vec<_> = http.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(headers, expected);
    }

    const ONE_HIT: Counts = counts(1, 0, 0, 0);

    const fn counts(hits: u32, stale: u32, misses: u32, bypasses: u32) -> Counts {
        let none = Counts {
            hits: 0,
            misses: 0,
            stale: 0,
            bypasses: 0,
            errors: 0,
            negative_hits: 0,
            near_hits: 0,
            failing: 0,
            tag_reads: 0,
            waits: 0,
            takeovers: 0,
            origin_calls: 0,
            fills: 0,
            fills_refused: 0,
            fills_failed: 0,
            foreign: 0,
        };
        Counts { hits, misses, stale, bypasses, ..none }
    }

    #[test]
    fn one_record_is_answered_as_it_was_stored() {
        let http = record(&answer(Some(r#"{"id":1}"#), Outcome::Hit, Some("a:1"), Some(7)), &ONE_HIT);
        assert_eq!((http.status_code, http.body.as_str()), (200, r#"{"id":1}"#));
        check_headers(&http, &[("x-cache", "hit"), ("x-cache-node", "a:1"), ("age", "7")]);
    }

    #[test]
    fn a_record_that_does_not_exist_is_404_and_tells_how_that_is_known() {
        let http = record(&answer(None, Outcome::Hit, Some("a:1"), None), &ONE_HIT);
        assert_eq!(http.status_code, 404);
        check_headers(&http, &[("x-cache", "hit"), ("x-cache-node", "a:1")]);
    }

    #[test]
    fn a_bypass_knows_no_node_and_no_age() {
        let http = record(&answer(Some("{}"), Outcome::Bypass, None, None), &counts(0, 0, 0, 1));
        check_headers(&http, &[("x-cache", "bypass")]);
    }

    #[test]
    fn a_batch_keeps_the_order_asked_and_says_null_for_what_does_not_exist() {
        let answers = [
            answer(Some(r#"{"id":1}"#), Outcome::Hit, Some("a:1"), Some(7)),
            answer(None, Outcome::Miss, Some("b:1"), None),
            answer(Some(r#"{"id":3}"#), Outcome::Hit, Some("a:1"), Some(9)),
        ];
        let http = records(&answers, &[2, 0, 1, 2].map(Some), &counts(2, 0, 1, 0));
        assert_eq!(http.body, r#"{"records":[{"id":3},{"id":1},null,{"id":3}]}"#);
        check_headers(
            &http,
            &[
                ("x-cache", "miss"),
                ("x-cache-counts", "hit=2, miss=1"),
                ("x-cache-node", "a:1, b:1"),
                ("age", "9"),
            ],
        );
    }

    #[test]
    fn an_id_that_no_record_can_have_leaves_its_place_empty() {
        let answers = [answer(Some(r#"{"id":1}"#), Outcome::Hit, None, None)];
        let http = records(&answers, &[None, Some(0), None], &ONE_HIT);
        assert_eq!(http.body, r#"{"records":[null,{"id":1},null]}"#);
        assert_eq!(records(&[], &[None], &counts(0, 0, 0, 0)).body, r#"{"records":[null]}"#);
    }

    #[test]
    fn the_outcome_that_cost_most_speaks_for_a_batch() {
        let told = |counts| records(&[], &[], &counts).headers["x-cache"].clone();
        assert_eq!(told(counts(97, 0, 0, 0)), "hit");
        assert_eq!(told(counts(97, 1, 0, 0)), "stale");
        assert_eq!(told(counts(97, 1, 1, 0)), "miss");
        assert_eq!(told(counts(97, 1, 1, 1)), "bypass");
    }

    #[test]
    fn only_so_many_nodes_are_told() {
        let names: Vec<_> = (0..40).map(|at| format!("node{at}:11211")).collect();
        let answers: Vec<_> =
            names.iter().map(|name| answer(Some("{}"), Outcome::Hit, Some(name), None)).collect();
        let told = &records(&answers, &[Some(0)], &ONE_HIT).headers["x-cache-node"];
        assert_eq!(told.split(", ").count(), MAX_NODES_TOLD);
    }

    #[test]
    fn a_record_larger_than_lambda_takes_is_refused() {
        for (text, count, status) in [
            ("x", 6_200_000, 200),
            ("x", 6_400_000, 413),
            (r#"\\"#, 1_500_000, 200),
            (r#"\\"#, 1_600_000, 413),
        ] {
            let http = record(
                &answer(Some(&format!(r#"{{"text":"{}"}}"#, text.repeat(count))), Outcome::Hit, None, None),
                &ONE_HIT,
            );
            assert_eq!(http.status_code, status, "{count} of {text}");
            assert!(serde_json::to_string(&http).unwrap().len() <= MAX_ANSWER_LEN);
        }
    }

    #[test]
    fn a_batch_larger_than_lambda_takes_is_refused() {
        let record = format!(r#"{{"text":"{}"}}"#, r#"\\"#.repeat(500_000));
        let answers = [answer(Some(&record), Outcome::Hit, None, None)];
        let fits = records(&answers, &[Some(0); 3], &ONE_HIT);
        assert_eq!(fits.status_code, 200);
        assert!(serde_json::to_string(&fits).unwrap().len() <= MAX_ANSWER_LEN);
        assert_eq!(records(&answers, &[Some(0); 4], &ONE_HIT).status_code, 413);
        let plain =
            [answer(Some(&format!(r#"{{"text":"{}"}}"#, "x".repeat(1_200_000))), Outcome::Hit, None, None)];
        assert_eq!(records(&plain, &[Some(0); 5], &ONE_HIT).status_code, 200);
        assert_eq!(records(&plain, &[Some(0); 6], &ONE_HIT).status_code, 413);
    }
}
