//! The HTTP request and answer of an API Gateway HTTP API (payload format 2.0) and of a function URL.
//!
//! Only what a handler reads is decoded, and nothing in a request can make decoding fail that the gateway lets through:
//! cookies and the ready-made query map (which joins repeated names with commas) are not looked at, headers not before
//! a handler asks for one, and the body not at all. Source: "Create AWS Lambda proxy integrations for HTTP APIs", API
//! Gateway developer guide.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    raw_path: String,
    #[serde(default)]
    raw_query_string: Option<String>,
    #[serde(default)]
    path_parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    headers: Option<Box<RawValue>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
    request_context: RequestContext,
}

#[derive(Clone, Debug, Deserialize)]
struct RequestContext {
    http: Http,
    #[serde(default)]
    stage: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Http {
    method: String,
}

impl HttpRequest {
    /// The method, in capitals.
    pub fn method(&self) -> &str {
        &self.request_context.http.method
    }

    /// Whether the caller has what `etag` names: by its header `if-none-match`, which names one or more, or `*` for
    /// any.
    ///
    /// A weak tag is the same as a strong one here. Source: RFC 9110, sections 8.8.3.2 and 13.1.2.
    pub fn has(&self, etag: &str) -> bool {
        let named = self.header("if-none-match");
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        named.is_some_and(|named| {
            named.trim() == "*" || named.split(',').any(|tag| opaque(tag) == opaque(etag))
        })
    }

    /// What stands in the path for `{name}` of the gateway's route, already decoded. A function URL has no routes.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters.as_ref()?.get(name).map(String::as_str)
    }

    /// The path as it came, less the name of the stage if it stands in front.
    ///
    /// A function URL gives it percent-encoded, an HTTP API decoded.
    pub fn path(&self) -> &str {
        let stage = self.request_context.stage.as_deref().filter(|stage| *stage != DEFAULT_STAGE);
        let without_stage = stage.and_then(|stage| self.raw_path.strip_prefix('/')?.strip_prefix(stage));
        without_stage.filter(|path| path.starts_with('/')).unwrap_or(&self.raw_path)
    }

    /// The values of `name` in the query, in order, still encoded.
    pub fn query_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.raw_query_string.as_deref().unwrap_or_default().split('&');
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter_map(move |(key, value)| decode_query(key).is_some_and(|key| key == name).then_some(value))
    }

    /// The value of the header `name`, without blanks around it; those of a header that came several times are joined
    /// with commas. Capitals do not count. Reads all headers anew, so ask once.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers: BTreeMap<Cow<'_, str>, Value> =
            serde_json::from_str(self.headers.as_ref()?.get()).ok()?;
        let (_, value) = headers.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.as_str()?.trim().to_owned())
    }

    /// The body's bytes, none where there is no body. The gateway gives what is no text, and for some types what is, in
    /// base64.
    ///
    /// # Errors
    /// [`BadBody`] for one of more than `most` bytes, which is then not decoded, and for one that is no base64 where it
    /// should be.
    pub fn body(&self, most: usize) -> Result<Cow<'_, [u8]>, BadBody> {
        let body = self.body.as_deref().unwrap_or_default();
        let is_base64 = self.is_base64_encoded == Some(true);
        // Four characters stand for three bytes at most, and for one at least.
        let most_text = if is_base64 { most.div_ceil(3).saturating_mul(4) } else { most };
        if body.len() > most_text {
            return Err(BadBody::TooLong { most });
        }
        if !is_base64 {
            return Ok(Cow::Borrowed(body.as_bytes()));
        }
        let bytes = STANDARD.decode(body).map_err(|_| BadBody::NotBase64)?;
        if bytes.len() > most { Err(BadBody::TooLong { most }) } else { Ok(Cow::Owned(bytes)) }
    }
}

/// A body that is not read. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadBody {
    /// More bytes than the handler takes.
    #[error("the body has more than {most} bytes")]
    TooLong {
        /// The most that it takes.
        most: usize,
    },
    /// The event says that its body is base64, and it is not.
    #[error("the body is not the base64 that it should be")]
    NotBase64,
}

/// Decodes a part of a path. A `%` that no two hex digits follow stands for itself; `None` if the bytes are not UTF-8.
pub fn decode_path(part: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(part).decode_utf8().ok()
}

/// Decodes a part of a query, where `+` is a blank too. `None` if the bytes are not UTF-8.
pub fn decode_query(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('+') {
        return decode_path(part);
    }
    let part = part.replace('+', " ");
    decode_path(&part).map(|decoded| Cow::Owned(decoded.into_owned()))
}

/// An answer, in the form that both sources take.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAnswer {
    /// The status code.
    pub status_code: u16,
    /// Names in small letters, each once.
    pub headers: BTreeMap<&'static str, String>,
    /// The body, as text.
    pub body: String,
    is_base64_encoded: bool,
    /// None; but `cargo lambda watch` refuses an answer that does not say so.
    cookies: [&'static str; 0],
}

impl HttpAnswer {
    /// An answer with a body and no header yet.
    pub fn new(status_code: u16, body: String) -> Self {
        Self { status_code, headers: BTreeMap::new(), body, is_base64_encoded: false, cookies: [] }
    }

    /// Sets a header. A value that could not stand in a header (control bytes, not ASCII) is left out.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Whether Lambda takes the answer: whether it has at most [`MAX_ANSWER_LEN`] bytes as it is sent.
    pub fn fits(&self) -> bool {
        // Most answers are too short for their length to be of interest.
        if self.body.len() <= SURELY_FITS {
            return true;
        }
        let mut room = Room(MAX_ANSWER_LEN);
        serde_json::to_writer(&mut room, self).is_ok()
    }
}

/// Takes bytes, and keeps none of them, until there is no room left.
struct Room(usize);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Longest answer that Lambda takes, in bytes of the JSON in which it is sent. In it the body is a string: a quotation
/// mark, a backslash and a line feed take two bytes each, and some control bytes six.
///
/// Source: Lambda's own error, `Function.ResponseSizeTooLarge`: "exceeded maximum allowed payload size (6291556 bytes)".
pub const MAX_ANSWER_LEN: usize = 6_291_556;

/// A body of that length fits whatever stands in it, and leaves room for the headers: a gateway takes 10 KiB of them.
const SURELY_FITS: usize = (MAX_ANSWER_LEN - 64 * 1024) / 6;

/// The stage whose name does not stand in the path.
const DEFAULT_STAGE: &str = "$default";

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, query: &str, stage: &str) -> HttpRequest {
        let event = serde_json::json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": { "host": "not a host" },
            "requestContext": { "http": { "method": "GET", "path": path }, "stage": stage },
            "isBase64Encoded": false
        });
        serde_json::from_value(event).unwrap()
    }

    #[track_caller]
    fn check_path(raw: &str, stage: &str, expected: &str) {
        assert_eq!(request(raw, "", stage).path(), expected);
    }

    #[test]
    fn a_stage_in_front_of_the_path_is_taken_off() {
        check_path("/records/flights/1", "$default", "/records/flights/1");
        check_path("/live/records/flights/1", "live", "/records/flights/1");
        check_path("/records/flights/1", "live", "/records/flights/1");
        check_path("/lively/records", "live", "/lively/records");
        check_path("/live", "live", "/live");
    }

    #[track_caller]
    fn check_query(query: &str, expected: &[&str]) {
        assert_eq!(request("/", query, "$default").query_values("ids").collect::<Vec<_>>(), expected);
    }

    #[test]
    fn query_values_come_in_order_and_encoded() {
        check_query("", &[]);
        check_query("ids=1,2", &["1,2"]);
        check_query("a=0&ids=1%2C2&ids=3&id=4", &["1%2C2", "3"]);
        check_query("ids&%69ds=5", &["", "5"]);
        check_query("ids=1 2<>\"=x", &["1 2<>\"=x"]);
    }

    #[test]
    fn parts_are_percent_decoded_as_utf8() {
        assert_eq!(decode_path("N14%32+8").unwrap(), "N142+8");
        assert_eq!(decode_query("a+b%2Bc").unwrap(), "a b+c");
        assert_eq!(decode_path("100%").unwrap(), "100%");
        assert_eq!(decode_path("%C3%BC").unwrap(), "ü");
        assert_eq!(decode_path("%FF"), None);
        assert_eq!(decode_query("+%FF"), None);
    }

    #[test]
    fn what_the_caller_has_is_told_by_its_tag_weak_or_strong() {
        let has = |named: serde_json::Value| {
            let event = serde_json::json!({
                "rawPath": "/", "headers": named, "requestContext": { "http": { "method": "GET" } },
            });
            serde_json::from_value::<HttpRequest>(event).unwrap().has("W/\"ab\"")
        };
        for named in ["W/\"ab\"", "\"ab\"", "\"x\", W/\"ab\"", " * ", "\"x\",\"ab\""] {
            assert!(has(serde_json::json!({ "if-none-match": named, "host": "h" })), "{named}");
        }
        for named in ["", "\"abc\"", "ab", "W/\"x\"", "\"*\""] {
            assert!(!has(serde_json::json!({ "if-none-match": named })), "{named}");
        }
        assert!(
            !has(serde_json::json!({}))
                && !has(().into())
                && !has(serde_json::json!({ "if-none-match": null }))
        );
    }

    #[test]
    fn path_parameters_are_given_by_name() {
        let mut event = request("/records/flights/1", "", "$default");
        assert_eq!(event.path_parameter("id"), None);
        event.path_parameters = Some(BTreeMap::from([("id".to_owned(), "1".to_owned())]));
        assert_eq!(event.path_parameter("id"), Some("1"));
    }

    #[test]
    fn null_and_missing_members_are_the_same() {
        let event = r#"{"rawPath":"/","rawQueryString":null,"pathParameters":null,"headers":null,"body":null,"isBase64Encoded":null,"requestContext":{"http":{"method":"HEAD"},"stage":null}}"#;
        for event in [event, r#"{"rawPath":"/","requestContext":{"http":{"method":"HEAD"}}}"#] {
            let event: HttpRequest = serde_json::from_str(event).unwrap();
            assert_eq!((event.method(), event.path()), ("HEAD", "/"));
            assert_eq!(event.query_values("ids").count(), 0);
            assert_eq!((event.header("host"), event.body(0)), (None, Ok(Cow::default())));
        }
    }

    fn with(member: &str) -> HttpRequest {
        let event = format!(r#"{{"rawPath":"/","requestContext":{{"http":{{"method":"PUT"}}}},{member}}}"#);
        serde_json::from_str(&event).unwrap()
    }

    #[test]
    fn a_header_is_found_whatever_its_capitals() {
        let event = with(r#""headers":{"host":"a\u0062","If-Match":" \"5\" ","x-odd":null,"x-b":"1,2"}"#);
        for (name, expected) in [
            ("Host", Some("ab")),
            ("if-match", Some("\"5\"")),
            ("x-b", Some("1,2")),
            ("x-odd", None),
            ("x", None),
        ] {
            assert_eq!(event.header(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn headers_of_any_shape_decode() {
        for headers in ["[]", "7", r#""a""#, r#"{"a":{"b":[]}}"#] {
            assert_eq!(with(&format!(r#""headers":{headers}"#)).header("a"), None, "{headers}");
        }
    }

    #[track_caller]
    fn check_body(member: &str, most: usize, expected: Result<&[u8], BadBody>) {
        assert_eq!(with(member).body(most).as_deref(), expected.as_ref().copied(), "{member} of {most}");
    }

    #[test]
    fn a_body_is_text_or_base64() {
        check_body(r#""body":"{\"a\":\"ü\"}""#, 10, Ok("{\"a\":\"ü\"}".as_bytes()));
        check_body(r#""body":"eyJhIjoxfQ==","isBase64Encoded":true"#, 7, Ok(br#"{"a":1}"#));
        check_body(r#""body":"/w==","isBase64Encoded":true"#, 1, Ok(b"\xff"));
        check_body(r#""body":"","isBase64Encoded":true"#, 0, Ok(b""));
        check_body(r#""body":"eyJ","isBase64Encoded":true"#, 10, Err(BadBody::NotBase64));
        check_body(r#""body":"{}","isBase64Encoded":true"#, 10, Err(BadBody::NotBase64));
    }

    #[test]
    fn a_body_has_a_bound_in_its_own_bytes() {
        check_body(r#""body":"abcd""#, 4, Ok(b"abcd"));
        check_body(r#""body":"abcd""#, 3, Err(BadBody::TooLong { most: 3 }));
        check_body(r#""body":"YWJjZA==","isBase64Encoded":true"#, 4, Ok(b"abcd"));
        check_body(r#""body":"YWJjZA==","isBase64Encoded":true"#, 3, Err(BadBody::TooLong { most: 3 }));
        check_body(r#""body":"YWJjZGU=","isBase64Encoded":true"#, 4, Err(BadBody::TooLong { most: 4 }));
    }

    #[test]
    fn another_payload_format_is_refused_by_name() {
        let event = r#"{"version":"1.0","path":"/","httpMethod":"GET","requestContext":{}}"#;
        let error = serde_json::from_str::<HttpRequest>(event).unwrap_err();
        assert!(error.to_string().contains("missing field"), "{error}");
    }

    #[test]
    fn an_answer_has_the_members_the_gateway_reads() {
        let answer =
            HttpAnswer::new(200, "{}".to_owned()).header("x-cache", "hit").header("x-bad", "a\r\nb: c");
        let json = serde_json::to_string(&answer).unwrap();
        let expected = r#"{"statusCode":200,"headers":{"x-cache":"hit"},"body":"{}","isBase64Encoded":false,"cookies":[]}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn an_answer_fits_by_its_length_as_it_is_sent() {
        let answer = |body: String| HttpAnswer::new(200, body).header("etag", "\"5\"");
        let around = serde_json::to_string(&answer(String::new())).unwrap().len();
        for (character, len) in [("x", 1), ("\"", 2), ("\\", 2), ("\n", 2), ("\u{1}", 6), ("é", 2)] {
            let most = (MAX_ANSWER_LEN - around) / len;
            for (count, fits) in [(most, true), (most + 1, false), (SURELY_FITS / len, true)] {
                let answer = answer(character.repeat(count));
                assert_eq!(answer.fits(), fits, "{character:?} {count} times");
                let sent = serde_json::to_string(&answer).unwrap().len();
                assert_eq!(sent <= MAX_ANSWER_LEN, fits, "{character:?} {count} times");
            }
        }
    }
}
