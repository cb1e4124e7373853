//! What a request asks for.

use larder_lambda::http::{BadBody, HttpRequest, decode_path};
use larder_origin::{Change, Fields, IdempotencyKey};

use crate::refusal::Refusal;

/// A change of one record, as the request has it. Whether the table is served, and what the row takes, the origin
/// knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The table's name.
    pub table: String,
    /// The record's id.
    pub id: String,
    /// What happens to it.
    pub change: Change,
    /// The version that the row must have.
    pub if_version: Option<u64>,
    /// The name of this write.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Ask {
    /// Reads a request: its path first, then its method, its headers, and its body at last.
    ///
    /// The gateway's own path parameters `table` and `id` are taken where a route gives them, for they hold under any
    /// stage and any mapped base path; otherwise the path is read. The body of a `DELETE` is not looked at.
    pub fn of(request: &HttpRequest) -> Result<Self, Refusal> {
        let (table, id) = target(request).ok_or(Refusal::UnknownPath)?;
        let change = match request.method() {
            "PUT" => Change::Put,
            "PATCH" => Change::Patch,
            "DELETE" => |_| Change::Delete,
            _ => return Err(Refusal::Method),
        };
        let id = id.ok_or(Refusal::NotUtf8)?;
        if UNKNOWN_CONDITIONS.iter().any(|name| request.header(name).is_some()) {
            return Err(Refusal::UnknownCondition);
        }
        let if_version = request.header("if-match").map(|tag| version(&tag)).transpose()?;
        let idempotency_key = request.header("idempotency-key");
        let idempotency_key = idempotency_key
            .map(|key| IdempotencyKey::new(&key))
            .transpose()
            .map_err(|_| Refusal::IdempotencyKey)?;
        let fields = if request.method() == "DELETE" { Fields::default() } else { fields(request)? };
        Ok(Self { table, id, change: change(fields), if_version, idempotency_key })
    }
}

/// The table and the id (`None` if it is not UTF-8); `None` for a path that leads nowhere.
fn target(request: &HttpRequest) -> Option<(String, Option<String>)> {
    if let Some(table) = request.path_parameter("table") {
        return Some((table.to_owned(), Some(request.path_parameter("id")?.to_owned())));
    }
    let (table, id) = request.path().strip_prefix("/records/")?.split_once('/')?;
    let is_whole = !table.is_empty() && !id.is_empty() && !id.contains('/');
    let id = decode_path(id).map(|id| id.into_owned());
    is_whole.then_some((decode_path(table)?.into_owned(), id))
}

/// The version of an entity tag, in quotation marks or without.
fn version(tag: &str) -> Result<u64, Refusal> {
    let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let digits = quoted.unwrap_or(tag);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain).ok_or(Refusal::IfMatch)
}

fn fields(request: &HttpRequest) -> Result<Fields, Refusal> {
    if !request.header("content-type").is_some_and(|kind| is_json(&kind)) {
        return Err(Refusal::NotJson);
    }
    let body = request.body(MAX_BODY_LEN).map_err(|bad| match bad {
        BadBody::TooLong { .. } => Refusal::TooLong,
        BadBody::NotBase64 => Refusal::NotBase64,
    })?;
    Fields::from_json(&body).map_err(Refusal::BadFields)
}

/// Whether a media type is one of JSON: `application/json`, or `application/…+json`, whatever its parameters.
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// Longest body, in bytes: a row that is longer than an item of memcached is not cached anyway.
pub const MAX_BODY_LEN: usize = 1 << 20;

/// Conditions of a request that nobody looks at here: to write without them is what the caller did not want.
const UNKNOWN_CONDITIONS: [&str; 2] = ["if-none-match", "if-unmodified-since"];

#[cfg(test)]
mod tests {
    use larder_origin::Scalar;
    use serde_json::{Value, json};

    use super::*;

    fn request(method: &str, path: &str, headers: Value, body: &str) -> HttpRequest {
        let event = json!({
            "rawPath": path,
            "headers": headers,
            "body": body,
            "requestContext": { "http": { "method": method }, "stage": "live" },
        });
        serde_json::from_value(event).unwrap()
    }

    const PATH: &str = "/records/flights/17";
    const BODY: &str = r#"{"dest":"JFK"}"#;

    fn put(headers: &Value) -> Result<Ask, Refusal> {
        Ask::of(&request("PUT", PATH, headers.clone(), BODY))
    }

    fn fields() -> Fields {
        [("dest", Scalar::Text("JFK".to_owned()))].into_iter().collect()
    }

    #[test]
    fn the_method_says_what_happens_to_a_row() {
        let json = json!({ "content-type": "application/json" });
        for (method, change) in
            [("PUT", Change::Put(fields())), ("PATCH", Change::Patch(fields())), ("DELETE", Change::Delete)]
        {
            let asked = Ask::of(&request(method, PATH, json.clone(), BODY)).unwrap();
            let (table, id) = ("flights".to_owned(), "17".to_owned());
            assert_eq!(asked, Ask { table, id, change, if_version: None, idempotency_key: None });
        }
        for method in ["GET", "HEAD", "POST", "OPTIONS", "put"] {
            assert_eq!(Ask::of(&request(method, PATH, json.clone(), BODY)), Err(Refusal::Method));
        }
    }

    #[test]
    fn a_delete_needs_no_body_and_no_type() {
        assert_eq!(Ask::of(&request("DELETE", PATH, json!({}), "")).unwrap().change, Change::Delete);
    }

    #[track_caller]
    fn check_path(path: &str, expected: Result<(&str, &str), Refusal>) {
        let asked = Ask::of(&request("DELETE", path, json!({}), "")).map(|asked| (asked.table, asked.id));
        assert_eq!(
            asked.as_ref().map(|(table, id)| (&table[..], &id[..])),
            expected.as_ref().copied(),
            "{path}"
        );
    }

    #[test]
    fn a_path_names_a_table_and_an_id() {
        check_path("/live/records/airports/0%2FS9", Ok(("airports", "0/S9")));
        check_path("/records/fl%69ghts/%C3%BC+1", Ok(("flights", "ü+1")));
        check_path("/records/flights/%FF", Err(Refusal::NotUtf8));
        for path in [
            "",
            "/",
            "/records",
            "/records/a",
            "/records/a/",
            "/records//1",
            "/records/a/1/",
            "/records/%FF/1",
        ] {
            check_path(path, Err(Refusal::UnknownPath));
        }
    }

    #[test]
    fn the_gateways_parameters_go_before_the_path_and_are_not_decoded_again() {
        let of = |parameters: Value| {
            let event = json!({
                "rawPath": "/mapped/records/other/1",
                "pathParameters": parameters,
                "requestContext": { "http": { "method": "DELETE" } },
            });
            Ask::of(&serde_json::from_value(event).unwrap()).map(|asked| asked.id)
        };
        assert_eq!(of(json!({ "table": "names", "id": "50%25" })), Ok("50%25".to_owned()));
        assert_eq!(of(json!({ "table": "names" })), Err(Refusal::UnknownPath));
    }

    #[test]
    fn a_body_says_that_it_is_json() {
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(put(&json!({ "Content-Type": kind })).is_ok(), "{kind}");
        }
        for kind in ["", "text/json", "application/x-www-form-urlencoded", "application/jsonx", "json"] {
            assert_eq!(put(&json!({ "content-type": kind })), Err(Refusal::NotJson), "{kind}");
        }
        assert_eq!(put(&json!({})), Err(Refusal::NotJson));
    }

    #[test]
    fn a_body_has_a_bound_and_is_an_object_of_plain_values() {
        let of =
            |body: &str| Ask::of(&request("PUT", PATH, json!({ "content-type": "application/json" }), body));
        let long = |len: usize| format!(r#"{{"dest":"{}"}}"#, "x".repeat(len - 11));
        assert!(of(&long(MAX_BODY_LEN)).is_ok());
        assert_eq!(of(&long(MAX_BODY_LEN + 1)), Err(Refusal::TooLong));
        for body in ["", "[]", "{", r#"{"dest":{}}"#] {
            assert!(matches!(of(body), Err(Refusal::BadFields(_))), "{body}");
        }
    }

    #[test]
    fn a_version_stands_in_quotation_marks_or_alone() {
        let of = |tag: &str| {
            let headers = json!({ "content-type": "application/json", "if-match": tag });
            put(&headers).map(|asked| asked.if_version.unwrap())
        };
        assert_eq!(of("\"5\""), Ok(5));
        assert_eq!(of("18446744073709551615"), Ok(u64::MAX));
        for tag in
            ["", "\"\"", "*", "W/\"5\"", "\"5", "\"5\",\"6\"", "-5", "+5", "five", "18446744073709551616"]
        {
            assert_eq!(of(tag), Err(Refusal::IfMatch), "{tag}");
        }
    }

    #[test]
    fn a_condition_that_nobody_looks_at_is_refused() {
        for name in UNKNOWN_CONDITIONS {
            let headers = json!({ "content-type": "application/json", name: "*" });
            assert_eq!(put(&headers), Err(Refusal::UnknownCondition));
        }
    }

    #[test]
    fn a_write_may_have_a_name() {
        let of = |key: &str| put(&json!({ "content-type": "application/json", "idempotency-key": key }));
        assert_eq!(of("8e03978e").unwrap().idempotency_key.unwrap().as_str(), "8e03978e");
        for key in ["", "a b", &"a".repeat(129)] {
            assert_eq!(of(key), Err(Refusal::IdempotencyKey));
        }
    }
}
