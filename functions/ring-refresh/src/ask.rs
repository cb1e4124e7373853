//! From an event to what is asked for.

use larder_discovery::{Effect, MalformedNotice, Notice};
use larder_lambda::envelope::{Content, Delivery, EnvelopeFault, Message, Source};
use serde_json::Value;

/// What an event asks for.
#[derive(Debug)]
pub struct Ask {
    /// The service that delivers it.
    pub source: Source,
    /// Its messages, of which some may not be readable.
    pub records: Vec<Record>,
}

/// One message of an event.
#[derive(Debug)]
pub struct Record {
    /// The id of the message, for the log and for a queue.
    pub message_id: String,
    /// What it says.
    pub says: Vec<Said>,
}

/// What a message says.
#[derive(Debug)]
pub enum Said {
    /// To bring the ring to what is listed, whatever has happened.
    Reconcile,
    /// A notice, and what it does to our cluster, if it is about that.
    Notice(Notice, Option<Effect>),
    /// A text that is no notice.
    Malformed(MalformedNotice),
    /// What is in an envelope that is not known here.
    Sealed(EnvelopeFault),
}

/// An event that nobody sends to this function on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event is neither of SNS, SQS nor a schedule, nor {{\"reconcile\":true}}")]
pub struct UnknownEvent;

impl Ask {
    /// Reads `event`; `cluster` is the name of ours.
    ///
    /// EventBridge rules send `source` and `detail-type`; EventBridge Scheduler sends the same where nobody gave it
    /// another input. Either may come through a queue or a topic, as a notice may.
    pub fn of(event: &Value, cluster: &str) -> Result<Self, UnknownEvent> {
        let Delivery { source, messages } = Delivery::open(event).map_err(|_| UnknownEvent)?;
        let records: Vec<_> = messages.into_iter().map(|message| Record::of(message, cluster)).collect();
        let ask = Self { source, records };
        if source == Source::Call && ask.records.iter().any(Record::is_unread) {
            return Err(UnknownEvent);
        }
        Ok(ask)
    }
}

impl Record {
    fn of(message: Message, cluster: &str) -> Self {
        let says = match message.contents {
            Ok(contents) => contents.iter().map(|content| Said::by(content, cluster)).collect(),
            Err(fault) => vec![Said::Sealed(fault)],
        };
        Self { message_id: message.id, says }
    }

    /// Whether any of it could not be read.
    pub fn is_unread(&self) -> bool {
        self.says.iter().any(|said| matches!(said, Said::Malformed(_) | Said::Sealed(_)))
    }

    /// Whether it came in an envelope that is not known here.
    pub fn is_sealed(&self) -> bool {
        self.says.iter().any(|said| matches!(said, Said::Sealed(_)))
    }
}

impl Said {
    fn by(content: &Content, cluster: &str) -> Self {
        if content.json().is_some_and(|value| asks_to_reconcile(&value)) {
            return Self::Reconcile;
        }
        let notice = match content {
            Content::Text(text) => Notice::parse(text),
            Content::Json(value) => Notice::parse(&value.to_string()),
        };
        match notice {
            Ok(notice) => {
                let effect = notice.effect_on(cluster);
                Self::Notice(notice, effect)
            }
            Err(malformed) => Self::Malformed(malformed),
        }
    }
}

fn asks_to_reconcile(value: &Value) -> bool {
    let is_asked = value.get("reconcile").and_then(Value::as_bool) == Some(true);
    let is_scheduled = SCHEDULES.iter().any(|source| value["source"] == *source);
    is_asked || is_scheduled
}

const SCHEDULES: [&str; 2] = ["aws.events", "aws.scheduler"];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sns(message: &Value) -> Value {
        json!({ "Sns": { "MessageId": "m", "Message": message } })
    }

    fn sqs(id: &str, body: &str) -> Value {
        json!({ "eventSource": "aws:sqs", "messageId": id, "body": body })
    }

    fn schedules() -> [Value; 3] {
        [
            json!({"reconcile": true}),
            json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
            json!({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}),
        ]
    }

    #[test]
    fn a_schedule_and_a_call_ask_for_the_same() {
        for event in schedules() {
            let by_queue = json!({ "Records": [sqs("q", &event.to_string())] });
            let failed =
                json!({ "requestContext": { "condition": "RetriesExhausted" }, "requestPayload": event });
            for event in [event, by_queue, failed] {
                let ask = Ask::of(&event, "larder").unwrap();
                assert!(matches!(ask.records[0].says[..], [Said::Reconcile]), "{event}");
            }
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
            json!({"Records": []}),
            json!({"Records": [sqs("", "{}")]}),
            json!({"requestContext": {}, "requestPayload": {"Records": [{"eventSource": "aws:s3"}]}}),
        ] {
            assert_eq!(Ask::of(&event, "larder").unwrap_err(), UnknownEvent, "{event}");
        }
    }

    #[test]
    fn one_bad_record_leaves_the_others_as_they_are() {
        let event = json!({"Records": [
            sns(&json!("{\"ElastiCache:AddCacheNodeComplete\":\"larder\"}")),
            sns(&json!("no JSON")),
            sns(&json!(7)),
            json!({}),
            sns(&json!("{\"ElastiCache:AddCacheNodeComplete\":\"other\"}")),
        ]});
        let records = Ask::of(&event, "larder").unwrap().records;
        assert!(matches!(records[0].says[..], [Said::Notice(_, Some(Effect::Nodes))]));
        let unread: Vec<_> = records.iter().map(Record::is_unread).collect();
        assert_eq!(unread, [false, true, true, true, false]);
        let sealed: Vec<_> = records.iter().map(Record::is_sealed).collect();
        assert_eq!(sealed, [false, false, true, true, false]);
        assert_eq!(records[3].message_id, "unknown");
    }

    /// By way of SNS, raw or not, and out of a queue of dead letters.
    #[test]
    fn a_notice_is_read_out_of_a_queue() {
        let notice = "{\"ElastiCache:AddCacheNodeComplete\":\"larder\"}";
        let notification = json!({ "Type": "Notification", "TopicArn": "arn", "Message": notice });
        let failed = json!({
            "requestContext": { "condition": "RetriesExhausted" },
            "requestPayload": { "Records": [sns(&json!(notice)), sns(&json!("no JSON"))] },
        });
        let records = [notice.to_owned(), notification.to_string(), failed.to_string()];
        let records: Vec<_> = records.iter().zip(["a", "b", "c"]).map(|(body, id)| sqs(id, body)).collect();
        let ask = Ask::of(&json!({ "Records": records }), "larder").unwrap();
        assert_eq!(ask.source, Source::Queue);
        for (record, id) in ask.records.iter().zip(["a", "b", "c"]) {
            assert!(matches!(record.says[0], Said::Notice(_, Some(Effect::Nodes))), "{record:?}");
            assert_eq!((record.message_id.as_str(), record.is_unread()), (id, id == "c"));
        }
    }
}
