//! From an event to what is asked for.

use larder_discovery::{Effect, MalformedNotice, Notice};
use serde_json::Value;

/// What an event asks for.
#[derive(Debug)]
pub enum Ask {
    /// Notices, of which some may not be readable.
    Notices(Vec<Record>),
    /// To bring the ring to what is listed, whatever has happened.
    Reconcile,
}

/// One record of an SNS event.
#[derive(Debug)]
pub struct Record {
    /// The id of the message, for the log.
    pub message_id: String,
    /// What it says; what it does to our cluster, if it is about that.
    pub notice: Result<(Notice, Option<Effect>), MalformedNotice>,
}

/// An event that nobody sends to this function on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event is neither of SNS nor of a schedule, nor {{\"reconcile\":true}}")]
pub struct UnknownEvent;

impl Ask {
    /// Reads `event`; `cluster` is the name of ours.
    ///
    /// EventBridge rules send `source` and `detail-type`; EventBridge Scheduler sends the same where nobody gave it
    /// another input.
    pub fn of(event: &Value, cluster: &str) -> Result<Self, UnknownEvent> {
        if let Some(records) = event.get("Records").and_then(Value::as_array) {
            return Ok(Self::Notices(records.iter().map(|record| Record::of(record, cluster)).collect()));
        }
        let is_asked = event.get("reconcile").and_then(Value::as_bool) == Some(true);
        let is_scheduled = ["aws.events", "aws.scheduler"].map(Value::from).contains(&event["source"]);
        if is_asked || is_scheduled { Ok(Self::Reconcile) } else { Err(UnknownEvent) }
    }
}

impl Record {
    fn of(record: &Value, cluster: &str) -> Self {
        let sns = &record["Sns"];
        let notice = Notice::parse(sns["Message"].as_str().unwrap_or_default()).map(|notice| {
            let effect = notice.effect_on(cluster);
            (notice, effect)
        });
        Self { message_id: sns["MessageId"].as_str().unwrap_or("unknown").to_owned(), notice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schedule_and_a_call_ask_for_the_same() {
        for event in [
            json!({"reconcile": true}),
            json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
            json!({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}),
        ] {
            assert!(matches!(Ask::of(&event, "larder"), Ok(Ask::Reconcile)), "{event}");
        }
    }

    #[test]
    fn what_nobody_sends_on_purpose_is_refused() {
        for event in [
            json!({}),
            json!(null),
            json!([]),
            json!("reconcile"),
            json!({"reconcile": false}),
            json!({"reconcile": "true"}),
            json!({"source": "aws.s3"}),
            json!({"Records": {}}),
        ] {
            assert_eq!(Ask::of(&event, "larder").unwrap_err(), UnknownEvent, "{event}");
        }
    }

    #[test]
    fn one_bad_record_leaves_the_others_as_they_are() {
        let sns = |message: Value| json!({"Sns": {"MessageId": "m", "Message": message}});
        let event = json!({"Records": [
            sns(json!("{\"ElastiCache:AddCacheNodeComplete\":\"larder\"}")),
            sns(json!("no JSON")),
            sns(json!(7)),
            json!({}),
            sns(json!("{\"ElastiCache:AddCacheNodeComplete\":\"other\"}")),
        ]});
        let Ok(Ask::Notices(records)) = Ask::of(&event, "larder") else { panic!("no notices") };
        let effects: Vec<_> =
            records.iter().map(|record| record.notice.as_ref().map(|(_, effect)| *effect).ok()).collect();
        assert_eq!(effects, [Some(Some(Effect::Nodes)), None, None, None, Some(None)]);
        assert_eq!(records[3].message_id, "unknown");
    }
}
