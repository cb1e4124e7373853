//! SQS.

use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{
    BehaviorVersion, Builder, Credentials as ApiCredentials, Region, StalledStreamProtectionConfig,
};
use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use larder_cache::Invalidation;
use tokio::time::{Instant, timeout_at};

use crate::fault::{fault, fault_of};
use crate::{Queue, QueueError};
use larder_lambda::aws::Credentials;

/// A standard queue of SQS.
///
/// The client is made by the first message, with the trusted authorities of the system. Each call has a connection of
/// its own: messages are rare, and one that rested in a frozen environment is dead without knowing it.
///
/// Needs `sqs:SendMessage` on the queue, and a way out of the subnets, such as an interface endpoint for SQS.
#[derive(Debug)]
pub struct Sqs {
    config: SqsConfig,
    client: OnceLock<Client>,
}

/// How a queue is reached.
#[derive(Clone, Debug)]
pub struct SqsConfig {
    /// The queue's URL.
    pub queue_url: String,
    /// Where it is asked: scheme, name and port.
    pub endpoint_url: String,
    /// The queue's region, such as `eu-west-1`.
    pub region: String,
    /// Who signs.
    pub credentials: Credentials,
    /// How long a connection may take to be made: short, for without an interface endpoint it never is.
    pub connect_timeout: Duration,
    /// How long one call may take, a second try included; the deadline may be earlier.
    pub timeout: Duration,
}

impl Sqs {
    /// The queue that `config` names. Connects to nothing.
    pub fn new(config: SqsConfig) -> Self {
        Self { config, client: OnceLock::new() }
    }

    /// How it is reached.
    pub fn config(&self) -> &SqsConfig {
        &self.config
    }

    /// Sends the messages of one batch, those that SQS failed to keep a second time.
    async fn send_batch(&self, mut messages: Vec<String>) -> Result<(), QueueError> {
        for tries_left in (0..MAX_TRIES).rev() {
            let entries = messages.iter().enumerate().map(|(at, message)| {
                let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(message);
                entry.build().map_err(|wrong| QueueError::Refused(wrong.to_string()))
            });
            let entries = entries.collect::<Result<Vec<_>, _>>()?;
            let request = self.client().send_message_batch().queue_url(&self.config.queue_url);
            let answer = request.set_entries(Some(entries)).send().await.map_err(fault)?;
            let Some(first) = answer.failed.first() else { return Ok(()) };
            if tries_left == 0 || answer.failed.iter().any(|failed| failed.sender_fault) {
                return Err(fault_of(first.code(), first.message().unwrap_or_default()));
            }
            messages = failed(messages, &answer.failed);
        }
        Ok(())
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| client(&self.config))
    }
}

impl Queue for Sqs {
    async fn send(&self, invalidation: &Invalidation, deadline: Instant) -> Result<(), QueueError> {
        let send_all = async {
            let mut sent = Ok(());
            for batch in batches(invalidation) {
                // What SQS refuses of one keeps it from no other.
                sent = sent.and(self.send_batch(batch).await);
            }
            sent
        };
        timeout_at(deadline, send_all).await.unwrap_or(Err(QueueError::Deadline))
    }
}

/// The messages of `invalidation`, as many at once as SQS takes.
fn batches(invalidation: &Invalidation) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for message in invalidation.split().iter().map(Invalidation::encode) {
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH && bytes + message.len() <= Invalidation::MAX_BYTES => {
                bytes += message.len();
                batch.push(message);
            }
            _ => {
                bytes = message.len();
                batches.push(vec![message]);
            }
        }
    }
    batches
}

/// Those of `messages` that are among the `failed`, by the ids that they were given: their places.
fn failed(messages: Vec<String>, failed: &[BatchResultErrorEntry]) -> Vec<String> {
    let is_failed = |at: &usize| failed.iter().any(|failed| failed.id == at.to_string());
    let messages = messages.into_iter().enumerate().filter(|(at, _)| is_failed(at));
    messages.map(|(_, message)| message).collect()
}

fn client(config: &SqsConfig) -> Client {
    let Credentials { access_key_id, secret_access_key, session_token } = config.credentials.clone();
    let credentials = ApiCredentials::new(access_key_id, secret_access_key, session_token, None, "settings");
    let tls = Provider::Rustls(CryptoMode::Ring);
    let http =
        aws_smithy_http_client::Builder::new().pool_max_idle_per_host(0).tls_provider(tls).build_https();
    let retries = RetryConfig::standard().with_max_attempts(MAX_TRIES).with_initial_backoff(RETRY_PAUSE);
    let times = TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout)
        .operation_attempt_timeout(config.timeout / MAX_TRIES)
        .operation_timeout(config.timeout)
        .build();
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .endpoint_url(&config.endpoint_url)
        .credentials_provider(credentials)
        .http_client(http)
        .retry_config(retries)
        .timeout_config(times)
        // Answers are short, and the timeouts above hold for them, too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(builder.build())
}

/// The most messages of one call. All of them together have no more bytes than one may have.
///
/// Source: "SendMessageBatch" in the Amazon SQS API reference.
const MAX_BATCH: usize = 10;

/// How often a call is sent at most. One that is sent twice may leave a message twice, which does no harm.
const MAX_TRIES: u32 = 2;

/// The longest pause before the second try.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use larder_cache::Forget;
    use larder_client::Key;

    use super::*;

    fn invalidation(keys: impl Iterator<Item = Vec<u8>>) -> Invalidation {
        Invalidation { keys: keys.map(|key| Key::new(&key).unwrap()).collect(), how: Forget::Hard }
    }

    #[test]
    fn a_batch_is_never_over_a_bound_of_sqs() {
        let short = invalidation((0..10_500).map(|number| format!("flights:{number}").into_bytes()));
        let counts = batches(&short).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(counts, [10, 10, 1]);
        let long = invalidation((0..3_000).map(|_| vec![0xff; 250]));
        for batch in batches(&long) {
            assert!(batch.len() <= MAX_BATCH);
            assert!(batch.iter().map(String::len).sum::<usize>() <= Invalidation::MAX_BYTES);
        }
        assert!(batches(&invalidation([].into_iter())).is_empty());
    }

    #[test]
    fn what_failed_alone_is_sent_again() {
        let messages = ["a", "b", "c"].map(str::to_owned).to_vec();
        let entry = BatchResultErrorEntry::builder().id("1").code("InternalError").sender_fault(false);
        assert_eq!(failed(messages, &[entry.build().unwrap()]), ["b"]);
    }

    #[test]
    fn no_secret_is_shown() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "s3cret".to_owned(),
            session_token: Some("s3cret".to_owned()),
        };
        let queue = Sqs::new(SqsConfig {
            queue_url: "http://127.0.0.1:1/000000000000/q".to_owned(),
            endpoint_url: "http://127.0.0.1:1".to_owned(),
            region: "eu-west-1".to_owned(),
            credentials,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        });
        queue.client();
        assert!(!format!("{queue:?}").contains("s3cret"), "{queue:?}");
    }
}
