//! What a request asks for.

use std::borrow::Cow;

use larder_lambda::http::{HttpRequest, decode_path, decode_query};

use crate::refusal::Refusal;

/// Records by table and id, as the request names them. Whether the table is served, and whether an id can be one, the
/// origin knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// `/records/{table}/{id}`
    One {
        /// The table's name.
        table: String,
        /// The record's id.
        id: String,
        /// `?min-version=5`: what has an older version is not good enough, for whoever asks has written that one.
        min_version: Option<u64>,
    },
    /// `/records/{table}?ids=1,2,3`
    Many {
        /// The table's name.
        table: String,
        /// 1 to [`MAX_IDS`] ids in the order asked, repeated where the request repeats them.
        ids: Vec<String>,
    },
}

impl Ask {
    /// Reads a request: its path first, then its method, then its ids.
    ///
    /// The gateway's own path parameters `table` and `id` are taken where a route gives them, for they hold under any
    /// stage and any mapped base path; otherwise the path is read. A comma always stands between two ids: a record with
    /// one in its id is read by its path.
    pub fn of(request: &HttpRequest) -> Result<Self, Refusal> {
        let (table, id) = target(request).ok_or(Refusal::UnknownPath)?;
        if !METHODS.contains(&request.method()) {
            return Err(Refusal::Method);
        }
        match (id, min_version(request)?) {
            (Some(id), min_version) => Ok(Self::One { table, id: id.ok_or(Refusal::NotUtf8)?, min_version }),
            (None, None) => Ok(Self::Many { table, ids: ids(request)? }),
            (None, Some(_)) => Err(Refusal::MinVersionOfMany),
        }
    }
}

/// The table, and the id where the path names one (`Some(None)` if it is not UTF-8); `None` for a path that leads
/// nowhere.
fn target(request: &HttpRequest) -> Option<(String, Option<Option<String>>)> {
    if let Some(table) = request.path_parameter("table") {
        return Some((table.to_owned(), request.path_parameter("id").map(|id| Some(id.to_owned()))));
    }
    let mut parts = request.path().strip_prefix("/records/")?.split('/');
    let (table, id) = (parts.next()?, parts.next());
    let is_whole = parts.next().is_none() && !table.is_empty() && id != Some("");
    let id = id.map(|id| decode_path(id).map(Cow::into_owned));
    is_whole.then_some((decode_path(table)?.into_owned(), id))
}

/// The version that is asked for at least; the highest where there are several.
fn min_version(request: &HttpRequest) -> Result<Option<u64>, Refusal> {
    let versions = request.query_values("min-version").map(|version| version.parse());
    versions
        .collect::<Result<Vec<_>, _>>()
        .map(|versions| versions.into_iter().max())
        .map_err(|_| Refusal::MinVersion)
}

/// Splits the decoded values, because many clients write a comma as `%2C`.
fn ids(request: &HttpRequest) -> Result<Vec<String>, Refusal> {
    let mut ids = Vec::new();
    for value in request.query_values("ids").filter(|value| !value.is_empty()) {
        let value = decode_query(value).ok_or(Refusal::NotUtf8)?;
        // One more than the bound is enough to know that it is passed.
        ids.extend(value.split(',').take(MAX_IDS + 1).map(str::to_owned));
        if ids.len() > MAX_IDS {
            return Err(Refusal::TooManyIds);
        }
    }
    if ids.is_empty() { Err(Refusal::NoIds) } else { Ok(ids) }
}

/// Most ids of one request.
pub const MAX_IDS: usize = 100;
/// What a read answers to.
pub(crate) const METHODS: [&str; 2] = ["GET", "HEAD"];

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, query: &str, parameters: serde_json::Value) -> HttpRequest {
        let event = serde_json::json!({
            "rawPath": path,
            "rawQueryString": query,
            "pathParameters": parameters,
            "requestContext": { "http": { "method": method }, "stage": "live" },
        });
        serde_json::from_value(event).unwrap()
    }

    #[track_caller]
    fn check(path: &str, query: &str, expected: Result<Ask, Refusal>) {
        assert_eq!(Ask::of(&request("GET", path, query, ().into())), expected, "{path}?{query}");
    }

    fn one(table: &str, id: &str) -> Result<Ask, Refusal> {
        Ok(Ask::One { table: table.to_owned(), id: id.to_owned(), min_version: None })
    }

    fn many(table: &str, ids: &[&str]) -> Result<Ask, Refusal> {
        Ok(Ask::Many { table: table.to_owned(), ids: ids.iter().map(|id| (*id).to_owned()).collect() })
    }

    #[test]
    fn a_path_names_a_table_and_an_id() {
        check("/records/flights/17", "", one("flights", "17"));
        check("/live/records/flights/17", "", one("flights", "17"));
        check("/records/airports/0%2FS9", "ids=1", one("airports", "0/S9"));
        check("/records/fl%69ghts/%C3%BC+1", "", one("flights", "ü+1"));
    }

    #[test]
    fn a_version_may_be_asked_for_at_least() {
        let asked = |min_version| Ok(Ask::One { table: "a".to_owned(), id: "1".to_owned(), min_version });
        check("/records/a/1", "min-version=17", asked(Some(17)));
        check("/records/a/1", "min-version=3&min-version=7&min-version=5", asked(Some(7)));
        for query in ["min-version=", "min-version=x", "min-version=-1", "min-version=18446744073709551616"] {
            check("/records/a/1", query, Err(Refusal::MinVersion));
            check("/records/a", &format!("{query}&ids=1"), Err(Refusal::MinVersion));
        }
        check("/records/a", "ids=1,2&min-version=3", Err(Refusal::MinVersionOfMany));
    }

    #[test]
    fn a_query_names_many_ids_in_order_and_keeps_doubles() {
        check("/records/flights", "ids=3,1,3", many("flights", &["3", "1", "3"]));
        check("/records/flights", "x=9&ids=3&ids=1,2", many("flights", &["3", "1", "2"]));
        check("/records/names", "ids=a%2Cb,c+d", many("names", &["a", "b", "c d"]));
        check("/records/names/a%2Cb,c", "", one("names", "a,b,c"));
    }

    #[test]
    fn the_gateways_parameters_go_before_the_path_and_are_not_decoded_again() {
        let parameters = serde_json::json!({ "table": "names", "id": "50%25" });
        let asked = Ask::of(&request("GET", "/mapped/records/other/1", "", parameters));
        assert_eq!(asked, one("names", "50%25"));
        let parameters = serde_json::json!({ "proxy": "records/flights/1" });
        assert_eq!(Ask::of(&request("GET", "/records/flights/1", "", parameters)), one("flights", "1"));
        let parameters = serde_json::json!({ "table": "flights" });
        assert_eq!(Ask::of(&request("GET", "/mapped", "ids=1", parameters)), many("flights", &["1"]));
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "",
            "/",
            "/records",
            "/records/",
            "/records//1",
            "/records/a/",
            "/records/a/1/",
            "/record/a/1",
            "/records/%FF/1",
        ] {
            check(path, "ids=1", Err(Refusal::UnknownPath));
        }
    }

    #[test]
    fn a_read_answers_to_get_and_head() {
        let of = |method, path| Ask::of(&request(method, path, "", ().into()));
        assert_eq!(of("HEAD", "/records/flights/1"), one("flights", "1"));
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get"] {
            assert_eq!(of(method, "/records/flights/1"), Err(Refusal::Method));
        }
        assert_eq!(of("POST", "/elsewhere"), Err(Refusal::UnknownPath));
    }

    #[test]
    fn an_id_is_utf8() {
        check("/records/t/%FF", "", Err(Refusal::NotUtf8));
        check("/records/t", "ids=1,%FF", Err(Refusal::NotUtf8));
    }

    #[test]
    fn what_an_id_may_be_is_left_to_the_origin() {
        check("/records/t/a%0Ab", "", one("t", "a\nb"));
        check("/records/t", "ids=1,,2", many("t", &["1", "", "2"]));
    }

    #[test]
    fn a_batch_has_1_to_100_ids() {
        let hundred = vec!["7"; MAX_IDS];
        check("/records/t", &format!("ids={}", hundred.join(",")), many("t", &hundred));
        check("/records/t", &format!("ids={},7", hundred.join(",")), Err(Refusal::TooManyIds));
        check("/records/t", &"ids=7&".repeat(MAX_IDS + 1), Err(Refusal::TooManyIds));
        for query in ["", "ids", "ids=", "id=1"] {
            check("/records/t", query, Err(Refusal::NoIds));
        }
    }
}
