//! What an event asks for.

use serde::Deserialize;
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
}

/// An event that nobody sends to this function on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event is neither {{\"nodes\": 1}} or {{\"nodes\": -1}} nor a message of SNS")]
pub struct InvalidEvent;

/// What `event` asks for: one thing, or one for each of its records.
///
/// Only what is needed of an envelope is looked at, so that nothing else in it can make it unreadable.
pub fn asks(event: &Value, alarms: &Alarms) -> Result<Vec<Ask>, InvalidEvent> {
    match (event.get("Records"), event.get("nodes").map(Value::as_i64)) {
        (None, Some(Some(1))) => Ok(vec![Ok(Change::Out)]),
        (None, Some(Some(-1))) => Ok(vec![Ok(Change::In)]),
        (Some(Value::Array(records)), None) if (1..=MAX_RECORDS).contains(&records.len()) => {
            records.iter().map(|record| record_ask(record, alarms)).collect()
        }
        _ => Err(InvalidEvent),
    }
}

fn record_ask(record: &Value, alarms: &Alarms) -> Result<Ask, InvalidEvent> {
    let message = record.pointer("/Sns/Message").and_then(Value::as_str).ok_or(InvalidEvent)?;
    Ok(message_ask(message, alarms))
}

fn message_ask(message: &str, alarms: &Alarms) -> Ask {
    let Message { name, state } = serde_json::from_str(message).map_err(|_| Ignored::NoAlarm)?;
    let change = match Some(&name) {
        alarm if alarm == alarms.out.as_ref() => Change::Out,
        alarm if alarm == alarms.r#in.as_ref() => Change::In,
        _ => return Err(Ignored::OtherAlarm(name)),
    };
    if state == "ALARM" { Ok(change) } else { Err(Ignored::OtherState { name, state }) }
}

/// What is read of the JSON that CloudWatch publishes of an alarm.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "AlarmName")]
    name: String,
    #[serde(rename = "NewStateValue")]
    state: String,
}

/// SNS puts one record into an event; a few more are taken, too.
const MAX_RECORDS: usize = 10;

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

    #[track_caller]
    fn check(event: Value, expected: Result<Vec<Ask>, InvalidEvent>) {
        assert_eq!(asks(&event, &alarms()), expected, "{event}");
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
            json!({ "Records": vec![alarm("full", "ALARM"); MAX_RECORDS + 1] }),
        ] {
            check(event, Err(InvalidEvent));
        }
    }
}
