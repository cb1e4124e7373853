//! What an event asks for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder_cache::{Invalidation, MalformedInvalidation};
use serde::Deserialize;
use serde_json::Value;

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// By a queue: messages, in their order.
    Messages(Vec<Message>),
    /// By hand.
    Keys(Invalidation),
}

/// A message of SQS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its id, by which it is reported. Never empty: Lambda would take that for the whole batch.
    pub id: String,
    /// When it was sent, where SQS tells.
    pub sent: Option<SystemTime>,
    /// What it says.
    pub invalidation: Result<Invalidation, MalformedInvalidation>,
}

/// An event that nobody sends to this function on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event is neither a batch of SQS nor {{\"keys\": [\"…\"]}} with or without \"soft_secs\"")]
pub struct InvalidEvent;

/// What `event` asks for.
///
/// Only what is needed of an envelope is looked at, so that nothing else in it can make it unreadable. A record without
/// an id makes the whole event invalid: it could not be reported by itself, and Lambda hands over all of them again.
pub fn ask(event: &Value) -> Result<Ask, InvalidEvent> {
    match event.get("Records") {
        Some(Value::Array(records)) if (1..=MAX_RECORDS).contains(&records.len()) => {
            records.iter().map(message).collect::<Result<_, _>>().map(Ask::Messages)
        }
        Some(_) => Err(InvalidEvent),
        None => Invalidation::deserialize(event).map(Ask::Keys).map_err(|_| InvalidEvent),
    }
}

fn message(record: &Value) -> Result<Message, InvalidEvent> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let (Some(id), Some(body)) = (text("messageId").filter(|id| !id.is_empty()), text("body")) else {
        return Err(InvalidEvent);
    };
    let time = |name: &str| {
        let millis = record.get("attributes")?.get(name)?.as_str()?.parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    };
    // A message that was taken out of a dead-letter queue may have been sent long before.
    let sent = time("SentTimestamp").or_else(|| time("ApproximateFirstReceiveTimestamp"));
    Ok(Message { id: id.to_owned(), sent, invalidation: Invalidation::decode(body) })
}

/// As many as SQS puts into a batch.
const MAX_RECORDS: usize = 10_000;

#[cfg(test)]
mod tests {
    use larder_cache::Forget;
    use larder_client::{Key, Ttl};
    use serde_json::json;

    use super::*;

    fn invalidation(how: Forget) -> Invalidation {
        Invalidation { keys: vec![Key::new(b"flights:17").unwrap()], how }
    }

    fn record(body: &str) -> Value {
        json!({
            "messageId": "059f36b4",
            "body": body,
            "attributes": { "SentTimestamp": "1769860920500", "ApproximateFirstReceiveTimestamp": "1769860921000" },
            "eventSource": "aws:sqs",
        })
    }

    #[track_caller]
    fn check(event: Value, expected: Result<Ask, InvalidEvent>) {
        assert_eq!(ask(&event), expected, "{event}");
    }

    #[test]
    fn a_message_is_known_by_its_id_and_when_it_was_sent() {
        let invalidation = invalidation(Forget::Hard);
        let sent = UNIX_EPOCH + Duration::from_millis(1_769_860_920_500);
        let message =
            Message { id: "059f36b4".to_owned(), sent: Some(sent), invalidation: Ok(invalidation.clone()) };
        let event = json!({ "Records": [record(&invalidation.encode())] });
        check(event, Ok(Ask::Messages(vec![message.clone()])));

        let mut received = record(&invalidation.encode());
        received["attributes"].as_object_mut().unwrap().remove("SentTimestamp");
        let sent = Some(sent + Duration::from_millis(500));
        check(json!({ "Records": [received] }), Ok(Ask::Messages(vec![Message { sent, ..message.clone() }])));
        for odd in [json!(null), json!({ "SentTimestamp": "soon" }), json!({ "SentTimestamp": 1 })] {
            let mut untold = record(&invalidation.encode());
            untold["attributes"] = odd;
            let untold = json!({ "Records": [untold] });
            check(untold, Ok(Ask::Messages(vec![Message { sent: None, ..message.clone() }])));
        }
    }

    #[test]
    fn a_message_that_is_malformed_leaves_the_others_as_they_are() {
        let body = invalidation(Forget::Hard).encode();
        let Ok(Ask::Messages(messages)) = ask(&json!({ "Records": [record("hello"), record(&body)] })) else {
            panic!("no messages")
        };
        let read: Vec<_> = messages.iter().map(|message| message.invalidation.is_ok()).collect();
        assert_eq!(read, [false, true]);
    }

    #[test]
    fn keys_may_be_named_by_hand() {
        check(json!({ "keys": ["flights:17"] }), Ok(Ask::Keys(invalidation(Forget::Hard))));
        let soft = invalidation(Forget::Soft(Ttl::clamped(30)));
        check(json!({ "keys": ["flights:17"], "soft_secs": 30 }), Ok(Ask::Keys(soft.clone())));
        check(json!({ "keys": [{ "base64": "ZmxpZ2h0czoxNw==" }], "soft_secs": 30 }), Ok(Ask::Keys(soft)));
    }

    #[test]
    fn any_other_event_is_refused() {
        let body = invalidation(Forget::Hard).encode();
        for event in [
            json!({}),
            json!(null),
            json!([1]),
            json!({ "keys": [] }),
            json!({ "keys": "flights:17" }),
            json!({ "keys": ["two words"] }),
            json!({ "keys": ["larder~ring"] }),
            json!({ "keys": ["a"], "soft_secs": 1 }),
            json!({ "keys": ["a"], "soft": 30 }),
            json!({ "keys": ["a"], "Records": [] }),
            json!({ "Records": [] }),
            json!({ "Records": {} }),
            json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": body } }] }),
            json!({ "Records": [record(&body), { "messageId": "", "body": body }] }),
            json!({ "Records": [{ "messageId": "059f36b4" }] }),
            json!({ "Records": vec![json!({ "messageId": "a", "body": "" }); MAX_RECORDS + 1] }),
        ] {
            check(event, Err(InvalidEvent));
        }
    }
}
