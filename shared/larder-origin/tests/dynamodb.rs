//! What only DynamoDB has: indexes, keys that are left out of an answer, items of any columns.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use larder_origin::{
    AwsSettings, Change, IdempotencyKey, ListQuery, Misconfigured, Origin, OriginError, Outage, Rejected,
    Scalar, TableConfig, Tables, WriteOptions,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use place::{Kind, Place, fields, ids, no_hurry, parsed, put, read, tables, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn an_index_gives_a_list_in_the_order_of_its_sort_key() {
    let place = Place::new(Kind::DynamoDb).await;
    let origin = place.origin();
    for (id, dest, distance) in
        [("1", "IAH", 1400), ("2", "MIA", 1089), ("3", "IAH", 1416), ("4", "IAH", 1398)]
    {
        put(&origin, "flights", id, &json!({"dest": dest, "distance": distance}).to_string()).await.unwrap();
    }
    for (descending, limit, expected) in
        [(true, 2, &[3, 1][..]), (false, 2, &[4, 1]), (false, 10, &[4, 1, 3]), (false, 0, &[])]
    {
        let rows =
            origin.list(&by_dest("flights", "by-dest", "IAH", descending), limit, no_hurry()).await.unwrap();
        let found: Vec<_> = rows.iter().map(|row| parsed(row)["id"].clone()).collect();
        assert_eq!(found, expected.iter().map(|id| json!(id)).collect::<Vec<_>>());
    }
    let rows = origin.list(&by_dest("flights", "by-dest", "XXX", true), 2, no_hurry()).await.unwrap();
    assert!(rows.is_empty());

    let refused = origin.list(&by_dest("flights", "by-nothing", "IAH", true), 2, no_hurry()).await;
    let expected = Misconfigured::NoIndex { table: "flights".parse().unwrap() };
    assert!(matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == expected), "{refused:?}");
    let refused = origin.list(&by_dest("users", "by-dest", "IAH", true), 2, no_hurry()).await;
    assert!(matches!(refused, Err(OriginError::UnknownTable)), "{refused:?}");
    let query = ListQuery::Sql { statement: "SELECT 1".into(), parameters: Vec::new() };
    let refused = origin.list(&query, 2, no_hurry()).await;
    assert!(matches!(refused, Err(OriginError::Misconfigured(Misconfigured::ListKind))), "{refused:?}");
}

#[tokio::test]
async fn an_index_that_is_missing_is_told_whatever_the_table_is_called() {
    dynamodb::make_table("dev", "dev1").await;
    let port = tokio::task::spawn_blocking(|| server::ministack().port).await.unwrap();
    let aws = AwsSettings::new("nobody", server::PASSWORD, None);
    let tables = "dev1:id".parse().unwrap();
    let origin = Origin::new(&server::ministack_url(port, "dev"), tables).unwrap().with_aws(aws);
    let refused = origin.list(&by_dest("dev1", "by-dest", "IAH", true), 2, no_hurry()).await;
    let expected = Misconfigured::NoIndex { table: "dev1".parse().unwrap() };
    assert!(matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == expected), "{refused:?}");
}

#[tokio::test]
async fn an_item_has_the_columns_that_it_has() {
    let place = Place::new(Kind::DynamoDb).await;
    let origin = place.origin();
    let body = r##"{"any thing": 0.5, "size": null, "is": true, "big": 5.0, "#c0": "name"}"##;
    let written = put(&origin, "airports", "JFK", body).await.unwrap();
    assert_eq!(
        parsed(&written.record.unwrap()),
        json!({"faa": "JFK", "any thing": 0.5, "size": null, "is": true, "big": 5, "#c0": "name"})
    );
    let item = dynamodb::client().await.get_item().table_name(format!("{}airports", place.prefix));
    let item = item.key("faa", AttributeValue::S("JFK".into())).send().await.unwrap().item.unwrap();
    assert_eq!(item["any thing"], AttributeValue::N("0.5".into()));
    let patch = Change::Patch(fields(r##"{"size": 7, "#c0": null}"##));
    write(&origin, "airports", "JFK", patch, WriteOptions::default()).await.unwrap();
    assert_eq!(
        read(&origin, "airports", "JFK").await.unwrap(),
        json!({"faa": "JFK", "any thing": 0.5, "size": 7, "is": true, "big": 5, "#c0": null})
    );
    for (body, expected) in [
        (r#"{"faa": "EWR"}"#, OriginError::Rejected(Rejected::Key)),
        (r#"{"": 1}"#, OriginError::UnknownColumn),
    ] {
        let refused = put(&origin, "airports", "JFK", body).await.unwrap_err();
        assert_eq!(refused.to_string(), expected.to_string());
    }
    // A put may hold what was read, and its version is counted, whatever that says.
    let made = put(&origin, "flights", "7", r#"{"version": 7}"#).await.unwrap();
    assert!(made.version.unwrap() > 7, "{made:?}");
    let patch = Change::Patch(fields(r#"{"version": 7}"#));
    let refused = write(&origin, "flights", "7", patch, WriteOptions::default()).await.unwrap_err();
    assert!(matches!(refused, OriginError::Rejected(Rejected::NotSettable)), "{refused:?}");
}

#[tokio::test]
async fn an_item_that_would_be_over_400_kb_is_too_large() {
    let place = Place::new(Kind::DynamoDb).await;
    let origin = place.origin();
    let body = |name: &str, len| json!({ name: "x".repeat(len) }).to_string();
    put(&origin, "texts", "7", &body("a", 350_000)).await.unwrap();
    let name = IdempotencyKey::new("long").unwrap();
    let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
    for (change, options) in [
        (Change::Put(fields(&body("a", 420_000))), WriteOptions::default()),
        (Change::Patch(fields(&body("b", 100_000))), WriteOptions::default()),
        (Change::Patch(fields(&body("b", 100_000))), named),
    ] {
        let refused = write(&origin, "texts", "7", change, options).await;
        assert!(matches!(refused, Err(OriginError::Rejected(Rejected::TooLarge))), "{refused:?}");
    }
    assert_eq!(read(&origin, "texts", "7").await.unwrap()["a"].as_str().unwrap().len(), 350_000);
}

#[tokio::test]
async fn only_configured_columns_are_read_and_written() {
    let place = Place::new(Kind::DynamoDb).await;
    put(&place.origin(), "flights", "7", r#"{"dest": "IAH", "gate": "B2", "distance": 1}"#).await.unwrap();
    let name = |text: &str| text.parse().unwrap();
    let config = TableConfig {
        columns: Some(vec![name("distance"), name("dest")]),
        version: Some(name("version")),
        ..TableConfig::new(name("flights"), name("id"))
    };
    let origin = place.origin_of(Tables::new(vec![config]).unwrap()).writable();
    assert_eq!(read(&origin, "flights", "7").await.unwrap(), json!({"dest": "IAH", "distance": 1}));
    let refused = put(&origin, "flights", "7", r#"{"gate": "B3"}"#).await;
    assert!(matches!(refused, Err(OriginError::UnknownColumn)), "{refused:?}");
    let written = put(&origin, "flights", "7", r#"{"distance": 2}"#).await.unwrap();
    assert!(written.version > written.before.as_ref().unwrap().version());
    assert_eq!(parsed(&written.record.unwrap()), json!({"distance": 2}));
    let whole = read(&place.origin(), "flights", "7").await.unwrap();
    assert_eq!((&whole["gate"], whole.get("dest")), (&json!("B2"), None), "what is not shown is left alone");
}

#[tokio::test]
async fn a_table_is_keyed_by_one_text_or_number() {
    let place = Place::new(Kind::DynamoDb).await;
    let origin = place.origin_of("pairs:id,blobs:id,flights:dest".parse().unwrap());
    let name = |text: &str| text.parse().unwrap();
    for (table, expected) in [
        ("pairs", Misconfigured::KeyNotUnique { table: name("pairs"), key: name("id") }),
        ("blobs", Misconfigured::KeyType { table: name("blobs"), key: name("id") }),
        ("flights", Misconfigured::KeyNotUnique { table: name("flights"), key: name("dest") }),
    ] {
        let refused = origin.load(table, &origin.id(table, "7").unwrap(), no_hurry()).await;
        assert!(
            matches!(&refused, Err(OriginError::Misconfigured(told)) if *told == expected),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_write_has_an_end() {
    let place = Place::new(Kind::DynamoDb).await;
    let name = IdempotencyKey::new("once").unwrap();
    let named = WriteOptions { idempotency_key: Some(&name), ..WriteOptions::default() };
    write(&place.origin(), "airports", "JFK", Change::Put(fields("{}")), named).await.unwrap();
    let item = dynamodb::client().await.get_item().table_name(format!("{}larder_writes", place.prefix));
    let item = item.key("id", AttributeValue::S("once".into())).send().await.unwrap().item.unwrap();
    let number = |name: &str| item[name].as_n().unwrap().parse::<i64>().unwrap();
    let kept_secs = number("expires_at") - number("written_at") / 1000;
    assert!((86_400..=3 * 86_400).contains(&kept_secs), "{kept_secs}");
}

#[tokio::test]
async fn keys_that_an_answer_leaves_out_are_asked_for_again() {
    let place = Place::new(Kind::DynamoDb).await;
    for id in ["1", "2", "3"] {
        put(&place.origin(), "flights", id, "{}").await.unwrap();
    }
    for (left_out, is_answered) in [(2, true), (100, false)] {
        let proxy = Proxy::leaving_out(left_out).await;
        let url = server::ministack_url(proxy.port, &place.prefix);
        let aws = AwsSettings::new("nobody", server::PASSWORD, None);
        let origin = Origin::new(&url, tables()).unwrap().with_aws(aws);
        let ids = ids(&origin, "flights", &["2", "1", "9", "3", "2"]);
        let answer = origin.load_many("flights", &ids, no_hurry()).await;
        if is_answered {
            let found: Vec<_> = answer.unwrap().iter().map(Option::is_some).collect();
            assert_eq!(found, [true, true, false, true, true]);
        } else {
            assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
        }
        assert!(proxy.asked.load(Ordering::SeqCst) <= 5);
    }
}

#[tokio::test]
async fn a_region_that_is_out_of_reach_is_an_outage_and_without_rights_a_misconfiguration() {
    let url = server::ministack_url(server::free_port(), "");
    let origin = Origin::new(&url, tables()).unwrap();
    let id = origin.id("airports", "hunter2").unwrap();
    let refused = origin.load("airports", &id, no_hurry()).await;
    assert!(matches!(refused, Err(OriginError::Misconfigured(Misconfigured::NoCredentials))), "{refused:?}");

    let aws = AwsSettings::new("nobody", server::PASSWORD, Some(server::PASSWORD.into()));
    assert!(!format!("{aws:?}").contains(server::PASSWORD));
    let origin = origin.with_aws(aws).writable();
    let change = Change::Put(fields(r#"{"name": "hunter2"}"#));
    for error in [
        origin.load("airports", &id, no_hurry()).await.unwrap_err(),
        origin.write("airports", &id, &change, WriteOptions::default(), no_hurry()).await.unwrap_err(),
    ] {
        assert!(matches!(error, OriginError::Unavailable(Outage::Database(_))), "{error:?}");
        let message = format!("{error} {error:?} {origin:?}");
        assert!(!message.contains("hunter2") && !message.contains("127.0.0.1"), "{message}");
    }
}

#[tokio::test]
async fn a_write_that_nobody_answers_is_an_unknown_one() {
    let place = Place::new(Kind::DynamoDb).await;
    let proxy = Proxy::swallowing_writes().await;
    let url = server::ministack_url(proxy.port, &place.prefix);
    let aws = AwsSettings::new("nobody", server::PASSWORD, None);
    let origin = Origin::new(&url, tables()).unwrap().with_aws(aws).writable();
    let refused = put(&origin, "airports", "JFK", "{}").await;
    assert!(matches!(refused, Err(OriginError::Unavailable(Outage::Unknown(_)))), "{refused:?}");
    assert!(read(&origin, "airports", "JFK").await.is_some(), "it has happened");
}

#[tokio::test]
async fn a_write_whose_first_try_nobody_answers_is_an_unknown_one() {
    let place = Place::new(Kind::DynamoDb).await;
    for then in [Then::Refuse, Then::Throttle] {
        let proxy = Proxy::swallowing_one_write(then).await;
        let url = server::ministack_url(proxy.port, &place.prefix);
        let aws = AwsSettings::new("nobody", server::PASSWORD, None);
        let origin = Origin::new(&url, tables()).unwrap().with_aws(aws).writable();
        let id = format!("{then:?}");
        let refused = put(&origin, "airports", &id, "{}").await;
        assert!(
            matches!(refused, Err(OriginError::Unavailable(Outage::Unknown(_)))),
            "{then:?}: {refused:?}"
        );
        assert!(read(&place.origin(), "airports", &id).await.is_some(), "it has happened");
    }
}

fn by_dest(table: &str, index: &str, dest: &str, descending: bool) -> ListQuery {
    let partition = Scalar::Text(dest.into());
    ListQuery::Index { table: table.parse().unwrap(), index: index.into(), partition, descending }
}

/// What stands before the emulator, one request a connection.
struct Proxy {
    port: u16,
    /// How often rows were asked for.
    asked: Arc<AtomicUsize>,
}

impl Proxy {
    /// Hands on the first write, and ends the connection instead of answering; the second one ends as `then` says.
    async fn swallowing_one_write(then: Then) -> Self {
        Self::start(0, Some(then)).await
    }

    /// Answers the first `times` requests for rows without a single one.
    async fn leaving_out(times: usize) -> Self {
        Self::start(times, None).await
    }

    /// Hands on what is to be written, and ends the connection instead of answering.
    async fn swallowing_writes() -> Self {
        Self::start(0, Some(Then::Swallow)).await
    }

    async fn start(times: usize, swallows: Option<Then>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let emulator = tokio::task::spawn_blocking(|| server::ministack().port).await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let mut swallowed = 0;
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let request = read_message(&mut client).await;
                let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
                let is_batch = head.contains("batchgetitem");
                if is_batch && count.fetch_add(1, Ordering::SeqCst) < times {
                    let at = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
                    let asked: serde_json::Value = serde_json::from_slice(&request[at..]).unwrap();
                    let body = json!({"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}).to_string();
                    let len = body.len();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len}\r\n\
                         Connection: close\r\n\r\n{body}"
                    );
                    client.write_all(answer.as_bytes()).await.unwrap();
                    continue;
                }
                let is_write = head.contains("transactwriteitems");
                if is_write && swallowed > 0 && swallows == Some(Then::Throttle) {
                    client.write_all(THROTTLED).await.unwrap();
                    continue;
                }
                let mut server = TcpStream::connect(("127.0.0.1", emulator)).await.unwrap();
                server.write_all(&request).await.unwrap();
                let answer = read_message(&mut server).await;
                if !(swallows.is_some() && is_write) {
                    client.write_all(&answer).await.unwrap();
                    continue;
                }
                swallowed += 1;
                if swallows == Some(Then::Refuse) {
                    return;
                }
            }
        });
        Self { port, asked }
    }
}

/// What becomes of a write that is sent again, after its first try was handed on and not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    /// The same.
    Swallow,
    /// No connection is taken any more.
    Refuse,
    /// It is told to come later.
    Throttle,
}

const THROTTLED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 97\r\n\
    Connection: close\r\n\r\n\
    {\"__type\":\"com.amazonaws.dynamodb.v20120810#ThrottlingException\",\"message\":\"Rate of requests...\"}";

/// A request or an answer with its body.
async fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let (mut message, mut chunk) = (Vec::new(), vec![0; 65_536]);
    loop {
        let len = stream.read(&mut chunk).await.unwrap();
        assert!(len > 0, "it ended inside a message");
        message.extend_from_slice(&chunk[..len]);
        let Some(end) = message.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
        let declared = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let declared: usize = declared.map_or(0, |len| len.trim().parse().unwrap());
        if message.len() >= end + 4 + declared {
            return message;
        }
    }
}
