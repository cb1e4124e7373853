//! What an event carries, taken out of the envelopes that AWS services put around it.
//!
//! | envelope | recognized by | carries |
//! | --- | --- | --- |
//! | an event of SNS or SQS | `Records`, and nothing else | each record's `Sns.Message`, or `body` |
//! | a notification of SNS, as SQS delivers it without raw message delivery | `"Type": "Notification"`, `TopicArn` | `Message` |
//! | a record of a Lambda destination | `requestContext`, `requestPayload` | `requestPayload`, the event that failed; after a success, `responsePayload` |
//! | a custom event of EventBridge, one of a Lambda destination included | `detail-type`, and a `source` outside `aws.` | `detail` |
//!
//! Envelopes may be nested, up to [`MAX_DEPTH`] of them. An EventBridge event of AWS itself is content: its `source`
//! and `detail-type` say what it means. What is in no known envelope is content, too, and the function decides about
//! it.
//!
//! Sources: "Example standard queue message event", "Example Amazon SNS message event" and "Capturing records of Lambda
//! asynchronous invocations" in the Lambda developer guide; "Amazon SNS raw message delivery" in the SNS developer
//! guide; "AWS service event structure" in the EventBridge user guide.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// What one invocation delivers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// The service that delivers, which decides how a failure is reported.
    pub source: Source,
    /// The messages in their order; of a [`Source::Call`] exactly one.
    pub messages: Vec<Message>,
}

/// The service that delivers an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// A caller, synchronous or not, a schedule or an alarm: one event for one invocation.
    Call,
    /// A topic of SNS. Lambda retries the whole invocation where it fails, then sends it to the dead letters.
    Topic,
    /// A queue of SQS. What is named in `batchItemFailures` comes again, all else is deleted.
    Queue,
}

/// One message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its id, by which a queue knows it; never empty there. "unknown" where the sender gives none.
    pub id: String,
    /// When it was sent, where SQS says so.
    pub sent: Option<SystemTime>,
    /// What is inside its envelopes: one content, or several where a whole event failed and was kept as one message.
    pub contents: Result<Vec<Content>, EnvelopeFault>,
}

/// What is inside all envelopes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// A text as it was sent: JSON of no known envelope, or no JSON at all.
    Text(String),
    /// JSON that was an event itself.
    Json(Value),
}

impl Content {
    /// The content as JSON; `None` for a text that is none.
    pub fn json(&self) -> Option<Cow<'_, Value>> {
        match self {
            Self::Text(text) => serde_json::from_str(text).ok().map(Cow::Owned),
            Self::Json(value) => Some(Cow::Borrowed(value)),
        }
    }
}

/// Why the content of a message is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnvelopeFault {
    /// A record is neither of SNS nor of SQS, or has no text.
    #[error("a record is neither a message of SNS nor one of SQS")]
    UnknownRecord,
    /// There are too many envelopes around each other.
    #[error("more than {MAX_DEPTH} envelopes are nested")]
    TooDeep,
}

/// Why an event cannot be taken apart into messages at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidDelivery {
    /// `Records` is empty, or holds more than any service delivers.
    #[error("the event must have 1 to {MAX_RECORDS} records ({0})")]
    Count(usize),
    /// A message of SQS has no id: it could not be reported by itself, and Lambda would delete it.
    #[error("a record of SQS has no messageId")]
    NoId,
}

impl Delivery {
    /// Takes `event` apart. A message that cannot be read leaves the others as they are.
    pub fn open(event: &Value) -> Result<Self, InvalidDelivery> {
        let Some(Envelope::Records(records)) = Envelope::of(event) else {
            let message = Message { id: UNKNOWN.to_owned(), sent: None, contents: contents(event) };
            return Ok(Self { source: Source::Call, messages: vec![message] });
        };
        if !(1..=MAX_RECORDS).contains(&records.len()) {
            return Err(InvalidDelivery::Count(records.len()));
        }
        if records.iter().any(is_of_queue) {
            let messages = records.iter().map(queue_message).collect::<Result<_, _>>()?;
            return Ok(Self { source: Source::Queue, messages });
        }
        Ok(Self { source: Source::Topic, messages: records.iter().map(topic_message).collect() })
    }
}

/// A known envelope.
enum Envelope<'a> {
    Records(&'a [Value]),
    Text(&'a str),
    Json(&'a Value),
}

impl<'a> Envelope<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        let members = value.as_object()?;
        if let Some(Value::Array(records)) = members.get("Records")
            && members.len() == 1
        {
            return Some(Self::Records(records));
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if text("Type") == Some("Notification") && members.contains_key("TopicArn") {
            return text("Message").map(Self::Text);
        }
        if let Some(context) = members.get("requestContext")
            && members.contains_key("requestPayload")
        {
            let is_success = context.get("condition").and_then(Value::as_str) == Some("Success");
            return members
                .get(if is_success { "responsePayload" } else { "requestPayload" })
                .map(Self::Json);
        }
        let is_custom =
            text("detail-type").is_some() && text("source").is_some_and(|of| !of.starts_with("aws."));
        is_custom.then(|| members.get("detail").map(Self::Json)).flatten()
    }
}

fn contents(event: &Value) -> Result<Vec<Content>, EnvelopeFault> {
    let mut contents = Vec::new();
    open_json(event, 0, &mut contents)?;
    Ok(contents)
}

fn open_json(value: &Value, depth: usize, contents: &mut Vec<Content>) -> Result<(), EnvelopeFault> {
    let envelope = Envelope::of(value);
    if envelope.is_some() && depth == MAX_DEPTH {
        return Err(EnvelopeFault::TooDeep);
    }
    match envelope {
        None => contents.push(Content::Json(value.clone())),
        Some(Envelope::Json(inside)) => open_json(inside, depth + 1, contents)?,
        Some(Envelope::Text(text)) => open_text(text, depth + 1, contents)?,
        Some(Envelope::Records(records)) => {
            for record in records {
                open_text(record_text(record)?, depth + 1, contents)?;
            }
        }
    }
    Ok(())
}

/// Opens a text, which stays as it is where it is no envelope: what reads it may mind what JSON values do not keep.
fn open_text(text: &str, depth: usize, contents: &mut Vec<Content>) -> Result<(), EnvelopeFault> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if Envelope::of(&value).is_some() => open_json(&value, depth, contents),
        _ => {
            contents.push(Content::Text(text.to_owned()));
            Ok(())
        }
    }
}

fn record_text(record: &Value) -> Result<&str, EnvelopeFault> {
    let text = record.pointer("/Sns/Message").or_else(|| record.get("body"));
    text.and_then(Value::as_str).ok_or(EnvelopeFault::UnknownRecord)
}

fn record_contents(record: &Value) -> Result<Vec<Content>, EnvelopeFault> {
    let mut contents = Vec::new();
    // The event itself is the first envelope.
    open_text(record_text(record)?, 1, &mut contents)?;
    Ok(contents)
}

fn is_of_queue(record: &Value) -> bool {
    record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs") || record.get("body").is_some()
}

fn queue_message(record: &Value) -> Result<Message, InvalidDelivery> {
    let id = record.get("messageId").and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = id.ok_or(InvalidDelivery::NoId)?.to_owned();
    let time = |name: &str| {
        let millis = record.get("attributes")?.get(name)?.as_str()?.parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    };
    // A message that was taken out of a dead-letter queue may have been sent long before.
    let sent = time("SentTimestamp").or_else(|| time("ApproximateFirstReceiveTimestamp"));
    Ok(Message { id, sent, contents: record_contents(record) })
}

fn topic_message(record: &Value) -> Message {
    let id = record.pointer("/Sns/MessageId").and_then(Value::as_str).unwrap_or(UNKNOWN).to_owned();
    Message { id, sent: None, contents: record_contents(record) }
}

/// Most envelopes that are opened around each other; EventBridge, a destination, SNS and SQS behind each other make
/// six.
pub const MAX_DEPTH: usize = 8;
/// Most records of one event: more than fit into the six megabytes that Lambda takes.
pub const MAX_RECORDS: usize = 100_000;
const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOTICE: &str = r#"{"ElastiCache:AddCacheNodeComplete":"larder"}"#;

    fn sns_event(message: &str) -> Value {
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "MessageId": "s", "Message": message } }] })
    }

    fn sqs_event(body: &str) -> Value {
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "q", "body": body }] })
    }

    fn notification(message: &str) -> Value {
        json!({ "Type": "Notification", "MessageId": "s", "TopicArn": "arn:aws:sns:x", "Message": message })
    }

    fn destination(condition: &str, payload: Value) -> Value {
        json!({
            "version": "1.0",
            "requestContext": { "requestId": "r", "condition": condition, "approximateInvokeCount": 3 },
            "requestPayload": payload,
            "responsePayload": { "answer": 42 },
        })
    }

    fn event_bridge(source: &str, detail: Value) -> Value {
        json!({ "version": "0", "detail-type": "Something", "source": source, "detail": detail })
    }

    #[track_caller]
    fn check(event: &Value, source: Source, expected: Result<&[Content], EnvelopeFault>) {
        let delivery = Delivery::open(event).unwrap();
        assert_eq!(delivery.source, source, "{event}");
        let [message] = &delivery.messages[..] else { panic!("one message: {delivery:?}") };
        assert_eq!(message.contents, expected.map(<[Content]>::to_vec), "{event}");
    }

    #[test]
    fn a_message_is_found_in_every_known_envelope() {
        let text = [Content::Text(NOTICE.to_owned())];
        let notified = notification(NOTICE).to_string();
        let failed = destination("RetriesExhausted", sns_event(NOTICE));
        let to_event_bridge = event_bridge("lambda", failed.clone());
        for (event, source) in [
            (sns_event(NOTICE), Source::Topic),
            (sns_event(&notified), Source::Topic),
            (sqs_event(NOTICE), Source::Queue),
            (sqs_event(&notified), Source::Queue),
            (sqs_event(&sns_event(NOTICE).to_string()), Source::Queue),
            (sqs_event(&failed.to_string()), Source::Queue),
            (sqs_event(&notification(&to_event_bridge.to_string()).to_string()), Source::Queue),
            (failed, Source::Call),
            (to_event_bridge, Source::Call),
            (notification(NOTICE), Source::Call),
        ] {
            check(&event, source, Ok(&text));
        }
    }

    #[test]
    fn what_is_in_no_envelope_is_content() {
        let alarm = event_bridge("aws.cloudwatch", json!({ "alarmName": "full" }));
        for value in [json!(null), json!([1]), json!({ "nodes": 1 }), json!({ "Records": {} }), alarm.clone()]
        {
            check(&value, Source::Call, Ok(&[Content::Json(value.clone())]));
        }
        let two = json!({ "Records": [], "nodes": 1 });
        check(&two, Source::Call, Ok(&[Content::Json(two.clone())]));
        check(&sqs_event(&alarm.to_string()), Source::Queue, Ok(&[Content::Text(alarm.to_string())]));
        check(&sqs_event("hello"), Source::Queue, Ok(&[Content::Text("hello".to_owned())]));
        let unconfirmed =
            json!({ "Type": "SubscriptionConfirmation", "TopicArn": "a", "Message": "b" }).to_string();
        check(&sqs_event(&unconfirmed), Source::Queue, Ok(&[Content::Text(unconfirmed.clone())]));
    }

    #[test]
    fn the_payload_of_a_destination_is_what_failed_or_what_was_answered() {
        let sent = json!({ "reconcile": true });
        for condition in ["RetriesExhausted", "EventAgeExceeded"] {
            check(&destination(condition, sent.clone()), Source::Call, Ok(&[Content::Json(sent.clone())]));
        }
        check(&destination("Success", sent), Source::Call, Ok(&[Content::Json(json!({ "answer": 42 }))]));
    }

    #[test]
    fn an_event_that_was_kept_as_one_message_has_all_its_contents() {
        let two = json!({ "Records": [sns_event("a")["Records"][0], sns_event("b")["Records"][0]] });
        let expected = ["a", "b"].map(|text| Content::Text(text.to_owned()));
        check(&sqs_event(&two.to_string()), Source::Queue, Ok(&expected));
    }

    #[test]
    fn a_record_of_another_service_is_reported_and_leaves_the_others() {
        let s3 = json!({ "eventSource": "aws:s3", "s3": { "object": { "key": "a" } } });
        let event =
            json!({ "Records": [s3, sns_event("a")["Records"][0], { "Sns": { "Message": { "a": 1 } } }] });
        let delivery = Delivery::open(&event).unwrap();
        let read: Vec<_> = delivery.messages.iter().map(|message| message.contents.is_ok()).collect();
        assert_eq!((delivery.source, &read[..]), (Source::Topic, &[false, true, false][..]));
        check(
            &sqs_event(&json!({ "Records": [s3] }).to_string()),
            Source::Queue,
            Err(EnvelopeFault::UnknownRecord),
        );
        let no_text = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "q", "body": 7 }] });
        check(&no_text, Source::Queue, Err(EnvelopeFault::UnknownRecord));
    }

    #[test]
    fn envelopes_are_opened_up_to_a_depth() {
        let nested = |depth: usize| {
            (1..depth).fold(sns_event(NOTICE), |event, _| destination("RetriesExhausted", event))
        };
        check(&nested(MAX_DEPTH), Source::Call, Ok(&[Content::Text(NOTICE.to_owned())]));
        check(&nested(MAX_DEPTH + 1), Source::Call, Err(EnvelopeFault::TooDeep));
        let body = nested(MAX_DEPTH - 1).to_string();
        check(&sqs_event(&body), Source::Queue, Ok(&[Content::Text(NOTICE.to_owned())]));
        check(&sqs_event(&nested(MAX_DEPTH).to_string()), Source::Queue, Err(EnvelopeFault::TooDeep));
    }

    #[test]
    fn a_message_of_a_queue_is_known_by_its_id_and_when_it_was_sent() {
        let sent = UNIX_EPOCH + Duration::from_millis(1_769_860_920_500);
        for (attributes, expected) in [
            (
                json!({ "SentTimestamp": "1769860920500", "ApproximateFirstReceiveTimestamp": "1" }),
                Some(sent),
            ),
            (json!({ "ApproximateFirstReceiveTimestamp": "1769860920500" }), Some(sent)),
            (json!({ "SentTimestamp": "soon" }), None),
            (json!({ "SentTimestamp": 1 }), None),
            (json!(null), None),
        ] {
            let mut event = sqs_event("a");
            event["Records"][0]["attributes"] = attributes;
            let delivery = Delivery::open(&event).unwrap();
            let Message { id, sent, .. } = &delivery.messages[0];
            assert_eq!((id.as_str(), *sent), ("q", expected), "{event}");
        }
    }

    #[test]
    fn an_event_without_messages_or_ids_is_refused() {
        let record = sqs_event("a")["Records"][0].clone();
        let empty = json!({ "messageId": "", "body": "a" });
        for (records, expected) in [
            (vec![], InvalidDelivery::Count(0)),
            (vec![record, empty], InvalidDelivery::NoId),
            (vec![json!({ "eventSource": "aws:sqs", "body": "a" })], InvalidDelivery::NoId),
            (vec![json!({}); MAX_RECORDS + 1], InvalidDelivery::Count(MAX_RECORDS + 1)),
        ] {
            assert_eq!(Delivery::open(&json!({ "Records": records })), Err(expected));
        }
    }
}
