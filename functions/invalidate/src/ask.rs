//! What an event asks for.

use std::time::SystemTime;

use larder_cache::{Invalidation, MalformedInvalidation};
use larder_lambda::envelope::{Content, Delivery, EnvelopeFault, Source};
use serde::Deserialize;
use serde_json::Value;

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// By a queue: messages, in their order. What is not done is reported by itself.
    Queue(Vec<Message>),
    /// By a topic, or by an event that failed and is sent again: the same, and all or nothing is done.
    Messages(Vec<Message>),
    /// By hand.
    Keys(Invalidation),
}

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its id, by which it is reported.
    pub id: String,
    /// When it was sent, where SQS tells.
    pub sent: Option<SystemTime>,
    /// What it says: one invalidation, or several where a whole event failed and was kept as one message.
    pub invalidations: Result<Vec<Invalidation>, Unreadable>,
}

/// Why a message cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// It is in an envelope that is not known.
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    /// It is a text that is no invalidation.
    #[error(transparent)]
    Text(#[from] MalformedInvalidation),
    /// It is an event that names no keys.
    #[error("the event names no keys")]
    NoKeys,
}

/// An event that nobody sends to this function on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event is neither of SQS or SNS nor {{\"keys\": [\"…\"]}} with or without \"soft_secs\"")]
pub struct InvalidEvent;

/// What `event` asks for.
///
/// Only what is needed of an envelope is looked at, so that nothing else in it can make it unreadable. A record of SQS
/// without an id makes the whole event invalid: it could not be reported by itself, and Lambda hands over all of them
/// again.
pub fn ask(event: &Value) -> Result<Ask, InvalidEvent> {
    if let Ok(invalidation) = Invalidation::deserialize(event) {
        return Ok(Ask::Keys(invalidation));
    }
    let Delivery { source, messages } = Delivery::open(event).map_err(|_| InvalidEvent)?;
    let messages: Vec<_> = messages
        .into_iter()
        .map(|message| Message {
            id: message.id,
            sent: message.sent,
            invalidations: message
                .contents
                .map_err(Unreadable::from)
                .and_then(|contents| contents.iter().map(invalidation).collect()),
        })
        .collect();
    match source {
        Source::Queue => Ok(Ask::Queue(messages)),
        // A mistake of the caller, who gets an error.
        Source::Call if messages.iter().any(|message| message.invalidations.is_err()) => Err(InvalidEvent),
        Source::Topic | Source::Call => Ok(Ask::Messages(messages)),
    }
}

/// A text is what Larder wrote; an event may also be that of a call.
fn invalidation(content: &Content) -> Result<Invalidation, Unreadable> {
    match content {
        Content::Json(value) => Invalidation::deserialize(value)
            .or_else(|_| Invalidation::decode(&value.to_string()).map_err(|_| Unreadable::NoKeys)),
        Content::Text(text) => Ok(Invalidation::decode(text)?),
    }
}

#[cfg(test)]
mod tests {
    use larder_cache::Forget;
    use larder_client::{Key, Ttl};
    use serde_json::json;
    use std::time::{Duration, UNIX_EPOCH};

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
        let message = Message {
            id: "059f36b4".to_owned(),
            sent: Some(sent),
            invalidations: Ok(vec![invalidation.clone()]),
        };
        let event = json!({ "Records": [record(&invalidation.encode())] });
        check(event, Ok(Ask::Queue(vec![message.clone()])));

        let mut received = record(&invalidation.encode());
        received["attributes"].as_object_mut().unwrap().remove("SentTimestamp");
        let sent = Some(sent + Duration::from_millis(500));
        check(json!({ "Records": [received] }), Ok(Ask::Queue(vec![Message { sent, ..message.clone() }])));
        for odd in [json!(null), json!({ "SentTimestamp": "soon" }), json!({ "SentTimestamp": 1 })] {
            let mut untold = record(&invalidation.encode());
            untold["attributes"] = odd;
            let untold = json!({ "Records": [untold] });
            check(untold, Ok(Ask::Queue(vec![Message { sent: None, ..message.clone() }])));
        }
    }

    #[test]
    fn a_message_that_is_malformed_leaves_the_others_as_they_are() {
        let body = invalidation(Forget::Hard).encode();
        let Ok(Ask::Queue(messages)) = ask(&json!({ "Records": [record("hello"), record(&body)] })) else {
            panic!("no messages")
        };
        let read: Vec<_> = messages.iter().map(|message| message.invalidations.is_ok()).collect();
        assert_eq!(read, [false, true]);
    }

    #[test]
    fn keys_may_be_named_by_hand() {
        check(json!({ "keys": ["flights:17"] }), Ok(Ask::Keys(invalidation(Forget::Hard))));
        let soft = invalidation(Forget::Soft(Ttl::clamped(30)));
        check(json!({ "keys": ["flights:17"], "soft_secs": 30 }), Ok(Ask::Keys(soft.clone())));
        check(json!({ "keys": [{ "base64": "ZmxpZ2h0czoxNw==" }], "soft_secs": 30 }), Ok(Ask::Keys(soft)));
    }

    /// By way of SNS or EventBridge, or out of a destination for what failed.
    #[test]
    fn a_message_is_read_out_of_every_known_envelope() {
        let body = invalidation(Forget::Hard).encode();
        let notification = json!({ "Type": "Notification", "TopicArn": "arn", "Message": body }).to_string();
        let custom =
            json!({ "source": "flights", "detail-type": "Changed", "detail": { "keys": ["flights:17"] } });
        let failed = json!({ "requestContext": {}, "requestPayload": { "keys": ["flights:17"] } });
        for text in [&body, &notification, &custom.to_string(), &failed.to_string()] {
            let Ok(Ask::Queue(messages)) = ask(&json!({ "Records": [record(text)] })) else {
                panic!("{text}")
            };
            assert_eq!(messages[0].invalidations, Ok(vec![invalidation(Forget::Hard)]), "{text}");
        }
        let topic = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": body } }] });
        for event in [topic, custom, failed] {
            let Ok(Ask::Messages(messages)) = ask(&event) else { panic!("{event}") };
            assert_eq!(messages[0].invalidations, Ok(vec![invalidation(Forget::Hard)]), "{event}");
        }
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
            json!({ "Records": [record(&body), { "messageId": "", "body": body }] }),
            json!({ "requestContext": {}, "requestPayload": { "keys": [] } }),
        ] {
            check(event, Err(InvalidEvent));
        }
    }
}
