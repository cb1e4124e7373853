//! What an event asks for.

use larder_lambda::envelope::{Content, Delivery, EnvelopeFault, Source};
use serde_json::Value;

/// One node more, or one less.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// One more.
    Out,
    /// One less.
    In,
}

/// What is asked for, or why nothing is.
pub type Ask = Result<Change, Ignored>;

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
    /// What it asks for: one thing, or several where a whole event failed and was kept as one message.
    pub asks: Vec<Ask>,
}

/// Which alarms ask for what; an alarm that is not named asks for nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Alarms {
    /// The alarm that asks for one more.
    pub out: Option<String>,
    /// The alarm that asks for one less.
    pub r#in: Option<String>,
}

/// Why a message asks for nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Ignored {
    /// It is not what an alarm publishes.
    #[error("the message is not that of an alarm")]
    NoAlarm,
    /// It is in an envelope that is not known.
    #[error("the message is in an unknown envelope: {0}")]
    Sealed(EnvelopeFault),
    /// It is of an alarm that is not named in the settings.
    #[error("alarm {0:?} is not named in the settings")]
    OtherAlarm(String),
    /// It is of an alarm that went to another state than `ALARM`.
    #[error("alarm {name:?} went to {state:?}, and acts on ALARM alone")]
    OtherState {
        /// The alarm.
        name: String,
        /// The state.
        state: String,
    },
    /// It is of a composite alarm whose actions are suppressed, which EventBridge tells all the same.
    #[error("the actions of alarm {0:?} are suppressed")]
    Suppressed(String),
}

/// An event that nobody sends to this function on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the event is neither {{\"nodes\": 1}} or {{\"nodes\": -1}} nor an alarm of CloudWatch, by itself or by SNS, EventBridge or SQS"
)]
pub struct InvalidEvent;

impl Request {
    /// Reads `event`.
    ///
    /// Only what is needed of an envelope is looked at, so that nothing else in it can make it unreadable. What cannot
    /// be read makes a call invalid; of a topic a text may be any, and of a queue everything is reported by itself.
    pub fn of(event: &Value, alarms: &Alarms) -> Result<Self, InvalidEvent> {
        let Delivery { source, messages } = Delivery::open(event).map_err(|_| InvalidEvent)?;
        let messages: Vec<_> = messages
            .into_iter()
            .map(|message| {
                let asks = match message.contents {
                    Ok(contents) => contents.iter().map(|content| content_ask(content, alarms)).collect(),
                    Err(fault) => vec![Err(Ignored::Sealed(fault))],
                };
                Message { id: message.id, asks }
            })
            .collect();
        let mut asks = messages.iter().flat_map(|message| &message.asks);
        let is_invalid = match source {
            Source::Call => asks.any(|ask| !is_read(ask)),
            Source::Topic => asks.any(|ask| matches!(ask, Err(Ignored::Sealed(_)))),
            Source::Queue => false,
        };
        let count = messages.iter().map(|message| message.asks.len()).sum::<usize>();
        if is_invalid || count > MAX_ASKS { Err(InvalidEvent) } else { Ok(Self { source, messages }) }
    }
}

/// Whether it is known what a message says, be it that nothing is asked for.
pub fn is_read(ask: &Ask) -> bool {
    !matches!(ask, Err(Ignored::NoAlarm | Ignored::Sealed(_)))
}

fn content_ask(content: &Content, alarms: &Alarms) -> Ask {
    let value = content.json().ok_or(Ignored::NoAlarm)?;
    match (value.get("Records"), value.get("nodes").map(Value::as_i64)) {
        (None, Some(Some(1))) => Ok(Change::Out),
        (None, Some(Some(-1))) => Ok(Change::In),
        _ => alarm_ask(Alarm::of(&value).ok_or(Ignored::NoAlarm)?, alarms),
    }
}

fn alarm_ask(Alarm { name, state, is_suppressed }: Alarm<'_>, alarms: &Alarms) -> Ask {
    let named = Some(name.to_owned());
    let change = match () {
        () if named == alarms.out => Change::Out,
        () if named == alarms.r#in => Change::In,
        () => return Err(Ignored::OtherAlarm(name.to_owned())),
    };
    match state {
        "ALARM" if is_suppressed => Err(Ignored::Suppressed(name.to_owned())),
        "ALARM" => Ok(change),
        _ => Err(Ignored::OtherState { name: name.to_owned(), state: state.to_owned() }),
    }
}

/// What is read of what CloudWatch says of an alarm.
struct Alarm<'a> {
    name: &'a str,
    state: &'a str,
    is_suppressed: bool,
}

impl<'a> Alarm<'a> {
    /// Reads the three shapes: the message for SNS, the event of an alarm whose action is a function, and the event of
    /// EventBridge.
    ///
    /// Sources: "Alarm events and EventBridge" and "Lambda alarm actions" in the CloudWatch user guide.
    fn of(value: &'a Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        if let (Some(name), Some(state)) = (text("/AlarmName"), text("/NewStateValue")) {
            return Some(Self { name, state, is_suppressed: false });
        }
        let data = match value.get("alarmData") {
            Some(data) => data,
            None if text("/detail-type") == Some(STATE_CHANGE) => value.get("detail")?,
            None => return None,
        };
        Some(Self {
            name: data.get("alarmName")?.as_str()?,
            state: data.pointer("/state/value")?.as_str()?,
            is_suppressed: data.pointer("/state/actionsSuppressedBy").is_some_and(|by| !by.is_null()),
        })
    }
}

/// Most steps of one event. A queue hands over ten messages at once unless told otherwise.
const MAX_ASKS: usize = 10;
const STATE_CHANGE: &str = "CloudWatch Alarm State Change";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alarms() -> Alarms {
        Alarms { out: Some("full".to_owned()), r#in: Some("empty".to_owned()) }
    }

    fn record(message: &str) -> Value {
        json!({ "EventSource": "aws:sns", "Sns": { "Type": "Notification", "Message": message } })
    }

    fn alarm(name: &str, state: &str) -> Value {
        record(&json!({ "AlarmName": name, "NewStateValue": state, "OldStateValue": "OK" }).to_string())
    }

    fn asks(event: &Value, alarms: &Alarms) -> Result<Vec<Ask>, InvalidEvent> {
        let messages = Request::of(event, alarms)?.messages;
        Ok(messages.into_iter().flat_map(|message| message.asks).collect())
    }

    #[track_caller]
    fn check(event: Value, expected: Result<Vec<Ask>, InvalidEvent>) {
        assert_eq!(asks(&event, &alarms()), expected, "{event}");
    }

    fn data(name: &str, state: &str) -> Value {
        json!({ "alarmName": name, "state": { "value": state, "reason": "r" }, "previousState": { "value": "OK" } })
    }

    fn action(name: &str, state: &str) -> Value {
        json!({ "source": "aws.cloudwatch", "alarmArn": "arn", "alarmData": data(name, state) })
    }

    fn event_bridge(name: &str, state: &str) -> Value {
        json!({ "source": "aws.cloudwatch", "detail-type": STATE_CHANGE, "detail": data(name, state) })
    }

    fn sqs(id: &str, body: &str) -> Value {
        json!({ "eventSource": "aws:sqs", "messageId": id, "body": body })
    }

    #[test]
    fn an_alarm_asks_for_the_same_whichever_way_it_comes() {
        for shape in [action, event_bridge] {
            check(shape("full", "ALARM"), Ok(vec![Ok(Change::Out)]));
            check(shape("empty", "ALARM"), Ok(vec![Ok(Change::In)]));
            let (name, state) = ("full".to_owned(), "OK".to_owned());
            check(shape("full", "OK"), Ok(vec![Err(Ignored::OtherState { name, state })]));
            check(shape("other", "ALARM"), Ok(vec![Err(Ignored::OtherAlarm("other".to_owned()))]));
            let by_queue = json!({ "Records": [sqs("a", &shape("full", "ALARM").to_string())] });
            check(by_queue, Ok(vec![Ok(Change::Out)]));
        }
        let message = alarm("empty", "ALARM")["Sns"]["Message"].clone();
        let notification = json!({ "Type": "Notification", "TopicArn": "arn", "Message": message });
        check(json!({ "Records": [sqs("a", &notification.to_string())] }), Ok(vec![Ok(Change::In)]));
        check(json!({ "Records": [sqs("a", "{\"nodes\":1}")] }), Ok(vec![Ok(Change::Out)]));
    }

    #[test]
    fn an_alarm_whose_actions_are_suppressed_asks_for_nothing() {
        let mut event = event_bridge("full", "ALARM");
        event["detail"]["state"]["actionsSuppressedBy"] = json!("Alarm");
        check(event, Ok(vec![Err(Ignored::Suppressed("full".to_owned()))]));
    }

    #[test]
    fn what_a_queue_brings_and_cannot_be_read_is_known_by_its_id() {
        let records = [sqs("a", "hello"), sqs("b", "{}"), sqs("c", &action("full", "ALARM").to_string())];
        let request = Request::of(&json!({ "Records": records }), &alarms()).unwrap();
        let read = request.messages.iter().map(|message| (&*message.id, message.asks.iter().all(is_read)));
        assert_eq!(read.collect::<Vec<_>>(), [("a", false), ("b", false), ("c", true)]);
    }

    #[test]
    fn a_call_names_the_change_itself() {
        check(json!({ "nodes": 1 }), Ok(vec![Ok(Change::Out)]));
        check(json!({ "nodes": -1 }), Ok(vec![Ok(Change::In)]));
    }

    #[test]
    fn an_alarm_asks_for_what_the_settings_say() {
        check(json!({ "Records": [alarm("full", "ALARM")] }), Ok(vec![Ok(Change::Out)]));
        check(json!({ "Records": [alarm("empty", "ALARM")] }), Ok(vec![Ok(Change::In)]));
    }

    #[test]
    fn only_an_alarm_that_is_named_and_rings_asks_for_anything() {
        let other_state =
            |state: &str| Err(Ignored::OtherState { name: "full".to_owned(), state: state.to_owned() });
        let records = [
            (alarm("full", "OK"), other_state("OK")),
            (alarm("full", "INSUFFICIENT_DATA"), other_state("INSUFFICIENT_DATA")),
            (alarm("Full", "ALARM"), Err(Ignored::OtherAlarm("Full".to_owned()))),
            (record("hello"), Err(Ignored::NoAlarm)),
            (record("{}"), Err(Ignored::NoAlarm)),
            (record(r#"{"ElastiCache:AddCacheNodeComplete":"air"}"#), Err(Ignored::NoAlarm)),
            (record(r#"{"AlarmName":["full"],"NewStateValue":"ALARM"}"#), Err(Ignored::NoAlarm)),
            (alarm("full", "ALARM"), Ok(Change::Out)),
        ];
        let (records, expected): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        check(json!({ "Records": records }), Ok(expected));
    }

    #[test]
    fn without_a_name_in_the_settings_no_alarm_asks_for_anything() {
        let event = json!({ "Records": [alarm("", "ALARM")] });
        let ignored = Err(Ignored::OtherAlarm(String::new()));
        assert_eq!(asks(&event, &Alarms::default()), Ok(vec![ignored]));
    }

    #[test]
    fn any_other_event_is_refused() {
        for event in [
            json!({}),
            json!(null),
            json!([1]),
            json!({ "nodes": 0 }),
            json!({ "nodes": 2 }),
            json!({ "nodes": "1" }),
            json!({ "nodes": 1.0 }),
            json!({ "nodes": 18_446_744_073_709_551_615_u64 }),
            json!({ "nodes": 1, "Records": [alarm("full", "ALARM")] }),
            json!({ "Records": [] }),
            json!({ "Records": {} }),
            json!({ "Records": [{ "Sns": { "Message": { "AlarmName": "full" } } }] }),
            json!({ "Records": [{ "eventSource": "aws:sqs", "body": "{}" }] }),
            json!({ "Records": [{ "eventSource": "aws:s3" }] }),
            json!({ "Records": vec![alarm("full", "ALARM"); MAX_ASKS + 1] }),
            json!({ "alarmData": { "alarmName": "full" } }),
            json!({ "detail-type": "CloudWatch Alarm Configuration Change", "source": "aws.cloudwatch", "detail": {} }),
        ] {
            check(event, Err(InvalidEvent));
        }
    }
}
