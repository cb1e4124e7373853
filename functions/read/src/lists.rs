//! `GET /lists/{name}`: a list that is refreshed on a schedule.
//!
//! ```json
//! {"list": "busiest-routes", "count": 2, "computed_at": 1769922983, "items": [{"origin": "JFK", …}, …]}
//! ```
//!
//! | | says |
//! | --- | --- |
//! | `computed_at` | when these rows were first computed, in seconds since 1970 |
//! | header `age` | how long ago the origin has last confirmed them, in seconds |
//! | header `x-cache` | `hit`; `stale` for a list that is older than two periods; `miss` for one that was not there, and is computed; `bypass` where the cache could not be asked |
//! | header `x-cache-node` | the node that has it, where known |
//! | header `etag` | the rows: a list that was computed anew has the same one if they are the same, so it is a weak tag |
//!
//! A caller that names the tag in `if-none-match` is told that nothing changed: 304, without a body. It may keep the
//! answer for that, `cache-control: private, no-cache`, and has to ask each time. Paths are taken for lists only where
//! there are any.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use larder_cache::{Counts, ListAnswer, ListItems, LoadError, Outcome};
use larder_lambda::http::{HttpAnswer, HttpRequest, decode_path};
use larder_lambda::stopwatch::Stopwatch;
use larder_origin::Record;
use larder_records::{List, Lists, LoadFailure};
use larder_ring::Epoch;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::answer::{json, or_too_large};
use crate::app::{App, Source};
use crate::ask::METHODS;
use crate::handle::{Work, refuse};
use crate::refusal::Refusal;

/// The list that `request` asks for; `None` where it asks for something else.
pub(crate) fn asked<'l>(lists: &'l Lists, request: &HttpRequest) -> Option<Result<&'l List, Refusal>> {
    if lists.is_empty() {
        return None;
    }
    let name = match request.path_parameter("name") {
        Some(name) => name.to_owned(),
        None => {
            let name = request.path().strip_prefix("/lists/").filter(|name| !name.contains('/'))?;
            decode_path(name)?.into_owned()
        }
    };
    if !METHODS.contains(&request.method()) {
        return Some(Err(Refusal::Method));
    }
    Some(lists.get(&name).ok_or(Refusal::UnknownList))
}

/// Answers `list` by `deadline`, and says in `work` what that took.
pub(crate) async fn answer<S: Source>(
    app: &App<S>,
    list: &List,
    request: &HttpRequest,
    deadline: Instant,
    work: &mut Work,
) -> Result<HttpAnswer, Refusal> {
    let (read, counts, origin_time) = read(app, list, deadline).await;
    *work = Work {
        table: None,
        list: Some(list.name().to_owned()),
        counts,
        origin_time,
        ring_epoch: app.cache.cluster().epoch().map(Epoch::number),
    };
    let read = read.map_err(|wrong| refuse_list(list, &wrong))?;
    let etag = format!("W/\"{}\"", read.digest);
    let http = if request.has(&etag) { HttpAnswer::new(304, String::new()) } else { body(list, &read) };
    Ok(or_too_large(with_headers(http, &read, etag), Refusal::ListTooLarge))
}

async fn read<S: Source>(
    app: &App<S>,
    list: &List,
    deadline: Instant,
) -> (Result<ListAnswer, LoadError<LoadFailure>>, Counts, Duration) {
    let origin_time = Mutex::new(Duration::ZERO);
    let load = || async {
        let _timed =
            Stopwatch::start(|time| *origin_time.lock().unwrap_or_else(PoisonError::into_inner) += time);
        let by = deadline.min(Instant::now() + list.timed().load_for());
        let rows = app.source.list(list.query(), list.n(), by.into_std()).await;
        Ok::<_, LoadFailure>(ListItems::of(rows?.iter().map(Record::json)))
    };
    let (read, counts) = app.cache.read_list(list.timed(), deadline, load).await;
    (read, counts, origin_time.into_inner().unwrap_or_default())
}

fn body(list: &List, read: &ListAnswer) -> HttpAnswer {
    let items = String::from_utf8_lossy(&read.items);
    let (name, count, computed_at) = (list.name(), read.count, read.computed_at);
    let body = format!(r#"{{"list":"{name}","count":{count},"computed_at":{computed_at},"items":{items}}}"#);
    json(200, body)
}

fn with_headers(http: HttpAnswer, read: &ListAnswer, etag: String) -> HttpAnswer {
    let outcome = match read.outcome {
        Outcome::Hit => "hit",
        Outcome::Miss => "miss",
        Outcome::Stale => "stale",
        Outcome::Bypass => "bypass",
    };
    let http = http
        .header("cache-control", "private, no-cache")
        .header("etag", etag)
        .header("age", read.age.as_secs().to_string())
        .header("x-cache", outcome);
    match &read.node {
        Some(node) => http.header("x-cache-node", node.to_string()),
        None => http,
    }
}

/// Makes a refusal of what went wrong behind the cache, and logs it.
fn refuse_list(list: &List, wrong: &LoadError<LoadFailure>) -> Refusal {
    let refusal = match wrong {
        LoadError::Origin(wrong) => refuse(&wrong.0),
        LoadError::Miscounted { .. } => Refusal::Misconfigured,
        _ => Refusal::OriginUnavailable,
    };
    let (list, error) = (list.name(), wrong as &dyn std::error::Error);
    match refusal.status() {
        500 => error!(list, error, "the origin cannot be asked for a list"),
        _ => warn!(list, error, "neither cache nor origin had a list"),
    }
    refusal
}

#[cfg(test)]
mod tests {
    use larder_lambda::settings::{Reader, Variables};
    use serde_json::{Value, json};

    use super::*;

    fn lists() -> Lists {
        let query = json!({ "sql": { "statement": "SELECT 1" } });
        let lists = json!([{ "name": "a-b", "query": query, "n": 1, "period_secs": 30 }]).to_string();
        let variables = Variables::from_iter([("LARDER_LISTS", lists)]);
        larder_records::read_lists(&mut Reader::new(&variables), None).unwrap()
    }

    #[track_caller]
    fn check(method: &str, path: &str, parameters: Value, expected: Option<Result<&str, Refusal>>) {
        let event = json!({
            "rawPath": path,
            "pathParameters": parameters,
            "requestContext": { "http": { "method": method }, "stage": "live" },
        });
        let request = serde_json::from_value(event).unwrap();
        let lists = lists();
        let found = asked(&lists, &request).map(|list| list.map(List::name));
        assert_eq!(found, expected, "{method} {path}");
        assert!(asked(&Lists::default(), &request).is_none(), "without lists there is no such path");
    }

    #[test]
    fn a_path_names_a_list() {
        check("GET", "/lists/a-b", ().into(), Some(Ok("a-b")));
        check("HEAD", "/live/lists/a%2Db", ().into(), Some(Ok("a-b")));
        check("GET", "/mapped", json!({ "name": "a-b" }), Some(Ok("a-b")));
    }

    #[test]
    fn a_list_that_there_is_not_and_a_method_that_does_not_read_are_refused() {
        check("GET", "/lists/b", ().into(), Some(Err(Refusal::UnknownList)));
        check("GET", "/lists/", ().into(), Some(Err(Refusal::UnknownList)));
        check("DELETE", "/lists/a-b", ().into(), Some(Err(Refusal::Method)));
    }

    #[test]
    fn other_paths_are_no_lists() {
        for path in ["/lists", "/lists/a-b/c", "/records/lists/a-b", "/lists/%FF"] {
            check("GET", path, ().into(), None);
        }
    }
}
