//! What an event asks for.

use larder_lambda::envelope::{Content, Delivery, Source};
use serde_json::Value;

/// What an event asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The service that delivers it.
    pub source: Source,
    /// Its messages, in their order.
    pub messages: Vec<Message>,
}

/// One message of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its id, by which a queue knows it.
    pub id: String,
    /// What it asks for: one thing, or several where a whole event failed and was kept as one message. An error where
    /// any of it cannot be read.
    pub asks: Result<Vec<Ask>, InvalidEvent>,
}

/// What a message asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// All lists that are due.
    Due,
    /// These lists.
    Named {
        /// Their names, 1 to [`MAX_NAMES`], each once.
        names: Vec<String>,
        /// However young they are.
        force: bool,
    },
}

/// An event that nobody sends to this function on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the event is neither of a schedule nor {{\"list\": …}} or {{\"lists\": […]}}, nor brings one by SNS or SQS"
)]
pub struct InvalidEvent;

impl Request {
    /// Reads `event`. What cannot be read makes it invalid as a whole, but for a queue, which is told of each message.
    pub fn of(event: &Value) -> Result<Self, InvalidEvent> {
        let Delivery { source, messages } = Delivery::open(event).map_err(|_| InvalidEvent)?;
        let read = |content: &Content| content.json().ok_or(InvalidEvent).and_then(|value| Ask::of(&value));
        let messages: Vec<_> = messages
            .into_iter()
            .map(|message| {
                let contents = message.contents.map_err(|_| InvalidEvent);
                Message {
                    id: message.id,
                    asks: contents.and_then(|contents| contents.iter().map(read).collect()),
                }
            })
            .collect();
        let is_readable = source == Source::Queue || messages.iter().all(|message| message.asks.is_ok());
        let count = messages.iter().flat_map(|message| &message.asks).map(Vec::len).sum::<usize>();
        if is_readable && count <= MAX_ASKS { Ok(Self { source, messages }) } else { Err(InvalidEvent) }
    }
}

impl Ask {
    /// Reads the event that is inside all envelopes.
    ///
    /// A rule of EventBridge sends `source` and `detail-type`, and EventBridge Scheduler the same where nobody gave it
    /// another input; what else stands there (resources, a detail that is a text) is not looked at. Whoever has an
    /// input of its own sends just that.
    pub fn of(event: &Value) -> Result<Self, InvalidEvent> {
        let members = event.as_object().ok_or(InvalidEvent)?;
        let names = match (members.get("list"), members.get("lists")) {
            (Some(list), None) => vec![name(list)?],
            (None, Some(Value::Array(lists))) if (1..=MAX_NAMES).contains(&lists.len()) => {
                lists.iter().map(name).collect::<Result<_, _>>()?
            }
            (None, None) if members.is_empty() || is_scheduled(event) => return Ok(Self::Due),
            _ => return Err(InvalidEvent),
        };
        let force = match members.get("force") {
            None => false,
            Some(force) => force.as_bool().ok_or(InvalidEvent)?,
        };
        Ok(Self::Named { names: distinct(names), force })
    }
}

fn is_scheduled(event: &Value) -> bool {
    event["detail-type"] == "Scheduled Event" && SOURCES.iter().any(|source| event["source"] == *source)
}

fn name(value: &Value) -> Result<String, InvalidEvent> {
    value.as_str().map(str::to_owned).ok_or(InvalidEvent)
}

fn distinct(mut names: Vec<String>) -> Vec<String> {
    let mut known = std::collections::HashSet::new();
    names.retain(|name| known.insert(name.clone()));
    names
}

/// Most names in one event: as many as there may be lists.
pub const MAX_NAMES: usize = 100;
/// Most asks of one event; each looks at the age of its lists. A queue hands over ten messages at once unless told
/// otherwise.
const MAX_ASKS: usize = 100;
const SOURCES: [&str; 2] = ["aws.events", "aws.scheduler"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(event: Value, expected: Result<Ask, InvalidEvent>) {
        assert_eq!(Ask::of(&event), expected, "{event}");
    }

    fn named(names: &[&str], force: bool) -> Result<Ask, InvalidEvent> {
        Ok(Ask::Named { names: names.iter().map(|name| (*name).to_owned()).collect(), force })
    }

    #[test]
    fn a_schedule_asks_for_what_is_due() {
        let rule = json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} });
        check(rule.clone(), Ok(Ask::Due));
        let mut with_resources = rule;
        with_resources["resources"] = json!(["arn:aws:events:eu-west-1:123456789012:rule/top-n"]);
        check(with_resources, Ok(Ask::Due));
        let scheduler =
            json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}" });
        check(scheduler, Ok(Ask::Due));
        check(json!({}), Ok(Ask::Due));
    }

    #[test]
    fn lists_may_be_named() {
        check(json!({ "list": "a" }), named(&["a"], false));
        check(json!({ "list": "a", "force": true }), named(&["a"], true));
        check(json!({ "lists": ["b", "a", "b"], "force": false }), named(&["b", "a"], false));
        check(json!({ "lists": vec!["a"; MAX_NAMES] }), named(&["a"], false));
    }

    #[test]
    fn an_ask_is_read_out_of_every_known_envelope() {
        let list = json!({ "list": "a" });
        let custom = json!({ "source": "loader", "detail-type": "Loaded", "detail": list });
        let notification = json!({ "Type": "Notification", "TopicArn": "arn", "Message": list.to_string() });
        let failed = json!({ "requestContext": {}, "requestPayload": list });
        for (event, source) in [
            (list.clone(), Source::Call),
            (custom.clone(), Source::Call),
            (failed, Source::Call),
            (json!({ "Records": [{ "Sns": { "Message": list.to_string() } }] }), Source::Topic),
            (json!({ "Records": [{ "messageId": "q", "body": list.to_string() }] }), Source::Queue),
            (json!({ "Records": [{ "messageId": "q", "body": notification.to_string() }] }), Source::Queue),
            (json!({ "Records": [{ "messageId": "q", "body": custom.to_string() }] }), Source::Queue),
        ] {
            let request = Request::of(&event).unwrap();
            assert_eq!(request.source, source, "{event}");
            assert_eq!(request.messages[0].asks, Ok(vec![named(&["a"], false).unwrap()]), "{event}");
        }
    }

    #[test]
    fn only_a_queue_is_told_of_each_message_that_cannot_be_read() {
        let sns = |message: &str| json!({ "Sns": { "Message": message } });
        let sqs = |body: &str| json!({ "messageId": "q", "body": body });
        let asks = |records: [Value; 2]| Request::of(&json!({ "Records": records }));
        assert_eq!(asks([sns("{}"), sns("hello")]), Err(InvalidEvent));
        let read = asks([sqs("hello"), sqs("{}")]).unwrap().messages.into_iter().map(|message| message.asks);
        assert_eq!(read.collect::<Vec<_>>(), [Err(InvalidEvent), Ok(vec![Ask::Due])]);
        let too_many = json!({ "Records": vec![sqs("{}"); MAX_ASKS + 1] });
        assert_eq!(Request::of(&too_many), Err(InvalidEvent));
    }

    #[test]
    fn any_other_event_is_refused() {
        for event in [
            json!(null),
            json!([]),
            json!("a"),
            json!({ "list": 1 }),
            json!({ "list": null }),
            json!({ "list": ["a"] }),
            json!({ "lists": "a" }),
            json!({ "lists": [] }),
            json!({ "lists": ["a", 1] }),
            json!({ "lists": vec!["a"; MAX_NAMES + 1] }),
            json!({ "list": "a", "lists": ["b"] }),
            json!({ "list": "a", "force": "true" }),
            json!({ "force": true }),
            json!({ "Records": [] }),
            json!({ "source": "aws.s3", "detail-type": "Object Created" }),
            json!({ "source": "aws.events", "detail-type": "EC2 Instance State-change Notification" }),
        ] {
            check(event, Err(InvalidEvent));
        }
    }
}
