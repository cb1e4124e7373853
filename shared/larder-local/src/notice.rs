//! The notices that ElastiCache publishes through SNS, as Lambda hands them to a function.

use crate::post::{self, FunctionUrl};
use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use tokio::sync::mpsc;

/// An event of a cluster, by the name in its message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    AddCacheNodeComplete,
    RemoveCacheNodeComplete,
    CacheNodeReplaceStarted,
    CacheNodeReplaceComplete,
    CacheNodesRebooted,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::AddCacheNodeComplete => "ElastiCache:AddCacheNodeComplete",
            Self::RemoveCacheNodeComplete => "ElastiCache:RemoveCacheNodeComplete",
            Self::CacheNodeReplaceStarted => "ElastiCache:CacheNodeReplaceStarted",
            Self::CacheNodeReplaceComplete => "ElastiCache:CacheNodeReplaceComplete",
            Self::CacheNodesRebooted => "ElastiCache:CacheNodesRebooted",
        }
    }
}

/// Posts the notices of a cluster one after the other, apart from the changes themselves: a function that is slow, or
/// not there, holds no change up.
///
/// As with SNS, delivery is an attempt and not a promise: a notice that fails is logged, one too many is dropped and
/// logged, and those still waiting when the cluster ends are lost.
#[derive(Debug)]
pub(crate) struct Notices {
    cluster: String,
    queue: Option<mpsc::Sender<Notice>>,
}

struct Notice {
    event: Event,
    body: Vec<u8>,
}

impl Notices {
    /// Notices about `cluster` to `function`; to nobody if that is `None`. Needs the runtime that posts them.
    pub(crate) fn start(cluster: &str, function: Option<FunctionUrl>) -> Self {
        let queue = function.map(|function| {
            let (queue, notices) = mpsc::channel(MAX_WAITING);
            tokio::spawn(deliver(notices, function));
            queue
        });
        Self { cluster: cluster.into(), queue }
    }

    pub(crate) fn send(&self, event: Event) {
        let Some(queue) = &self.queue else { return };
        let body = envelope(&self.cluster, event, &now()).to_string().into_bytes();
        if queue.try_send(Notice { event, body }).is_err() {
            tracing::warn!(event = event.name(), "notice dropped: too many wait for the function");
        }
    }
}

async fn deliver(mut notices: mpsc::Receiver<Notice>, function: FunctionUrl) {
    while let Some(notice) = notices.recv().await {
        let event = notice.event.name();
        match post::post(&function, &notice.body).await {
            Ok(status @ 200..=299) => tracing::info!(event, status, "notice delivered"),
            Ok(status) => tracing::warn!(event, status, "the function refused the notice"),
            Err(error) => tracing::warn!(event, %error, "the notice could not be delivered"),
        }
    }
}

/// One record, with every field that Lambda gives; the message is JSON in a string, with the cluster's id under the
/// event's name.
fn envelope(cluster: &str, event: Event, timestamp: &str) -> Value {
    let topic = format!("arn:aws:sns:local:000000000000:{cluster}");
    let message = json!({ event.name(): cluster }).to_string();
    json!({ "Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": format!("{topic}:{}", random_uuid()),
        "Sns": {
            "Type": "Notification",
            "MessageId": random_uuid(),
            "TopicArn": topic,
            "Subject": null,
            "Message": message,
            "Timestamp": timestamp,
            "SignatureVersion": "1",
            "Signature": "unsigned",
            "SigningCertUrl": "https://sns.local.invalid/certificate.pem",
            "UnsubscribeUrl": "https://sns.local.invalid/unsubscribe",
            "MessageAttributes": {},
        },
    }]})
}

/// The time as SNS writes it: `2026-01-31T12:00:00.000Z`.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An id in the form of a UUID. Each hasher of the standard library starts from other random bits, which is enough for
/// an id that guards nothing.
fn random_uuid() -> String {
    let [a, b] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xffff,
        b >> 48,
        b & 0xffff_ffff_ffff
    )
}

const MAX_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_a_string_that_names_the_event_and_the_cluster() {
        let event = envelope("larder", Event::AddCacheNodeComplete, "2026-01-31T12:00:00.000Z");
        let sns = &event["Records"][0]["Sns"];
        assert_eq!(sns["Message"], r#"{"ElastiCache:AddCacheNodeComplete":"larder"}"#);
        assert_eq!(sns["Timestamp"], "2026-01-31T12:00:00.000Z");
        assert_eq!(sns["Subject"], Value::Null);
    }

    #[test]
    fn no_two_ids_are_alike() {
        let (a, b) = (random_uuid(), random_uuid());
        assert_ne!(a, b);
        assert_eq!(a.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{a}");
    }
}
