//! SQS's side, against an emulator of it.

use std::collections::BTreeSet;
use std::net::TcpListener;

use crate::support::{Emulator, REGION, Script, free_port};
use larder_cache::{Forget, Invalidation};
use larder_client::{Key, Ttl};
use larder_queue::{Credentials, Queue, QueueConfig, QueueError, Sqs, SqsConfig};
use tokio::time::{Duration, Instant};

#[tokio::test]
async fn what_is_sent_is_what_the_queue_holds() {
    let emulator = Emulator::start();
    let url = emulator.create_queue("invalidations");
    let keys: [&[u8]; 3] = [b"flights:17", b"\xff\x80", "größe\"\\<&>\u{ffff}".as_bytes()];
    let sent = invalidation(keys.map(<[u8]>::to_vec));
    sqs(&url).send(&sent, late()).await.unwrap();
    let [body] = <[_; 1]>::try_from(emulator.drain(&url)).unwrap();
    assert_eq!(body, sent.encode());
    assert_eq!(Invalidation::decode(&body), Ok(sent));

    sqs(&url).send(&invalidation([]), late()).await.unwrap();
    assert!(emulator.drain(&url).is_empty(), "nothing to forget");
}

#[tokio::test]
async fn more_messages_than_one_call_takes_are_sent_by_several() {
    let emulator = Emulator::start();
    let url = emulator.create_queue("invalidations");
    let short = invalidation((0..12 * 500 + 1).map(|at| format!("flights:{at}").into_bytes()));
    check_all_arrive(&emulator, &url, &short, 13).await;
    // No two of these go into one call.
    let long =
        invalidation((0..2_000_u16).map(|at| [&at.to_be_bytes()[..], &[0xff; 240]].concat()).map(printable));
    check_all_arrive(&emulator, &url, &long, 4).await;
}

async fn check_all_arrive(emulator: &Emulator, url: &str, sent: &Invalidation, messages: usize) {
    sqs(url).send(sent, late()).await.unwrap();
    let bodies = emulator.drain(url);
    assert_eq!(bodies.len(), messages);
    let parts = bodies.iter().map(|body| Invalidation::decode(body).unwrap());
    let keys: BTreeSet<_> = parts.flat_map(|part| part.keys).collect();
    assert_eq!(keys, sent.keys.iter().cloned().collect());
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_told_as_that() {
    let emulator = Emulator::start();
    let sent = sqs(&emulator.url_of("nowhere")).send(&invalidation([b"a".to_vec()]), late()).await;
    assert!(matches!(sent, Err(QueueError::NotFound(_))), "{sent:?}");
}

#[tokio::test]
async fn what_sqs_failed_to_keep_of_a_call_is_sent_once_more_alone() {
    let failed = r#"{"Failed":[{"Id":"1","Code":"InternalError","SenderFault":false}],"Successful":[]}"#;
    let kept = r#"{"Failed":[],"Successful":[]}"#;
    let three = invalidation((0..1_001).map(|at| format!("flights:{at}").into_bytes()));

    let script = Script::start([failed, kept]);
    sqs(&script.queue_url()).send(&three, late()).await.unwrap();
    let sent: Vec<_> =
        script.bodies().iter().map(|body| body["Entries"].as_array().unwrap().clone()).collect();
    assert_eq!((sent[0].len(), sent[1].len()), (3, 1));
    assert_eq!(sent[1][0]["MessageBody"], sent[0][1]["MessageBody"]);

    let script = Script::start([failed, failed.replace("\"1\"", "\"0\"").as_str()]);
    let sent = sqs(&script.queue_url()).send(&three, late()).await;
    assert!(matches!(sent, Err(QueueError::Busy(_))), "{sent:?}");

    // What was wrong with the message itself is not cured by another try.
    let script = Script::start([failed
        .replace("false", "true")
        .replace("InternalError", "InvalidMessageContents")
        .as_str()]);
    let sent = sqs(&script.queue_url()).send(&three, late()).await;
    assert!(matches!(sent, Err(QueueError::Refused(_))), "{sent:?}");
    assert_eq!(script.bodies().len(), 1);
}

#[tokio::test]
async fn where_nobody_listens_the_queue_is_out_of_reach() {
    let url = format!("http://127.0.0.1:{}/000000000000/q", free_port());
    let sent = sqs(&url).send(&invalidation([b"a".to_vec()]), late()).await;
    assert!(matches!(sent, Err(QueueError::Unreachable(_))), "{sent:?}");
}

#[tokio::test]
async fn a_queue_that_does_not_answer_costs_no_more_than_the_deadline() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/000000000000/q", silent.local_addr().unwrap());
    let begun = Instant::now();
    let sent = sqs(&url).send(&invalidation([b"a".to_vec()]), begun + Duration::from_millis(300)).await;
    assert!(matches!(sent, Err(QueueError::Deadline)), "{sent:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

fn sqs(url: &str) -> Sqs {
    let QueueConfig::Sqs { url, endpoint, .. } = QueueConfig::from_url(url).unwrap() else {
        panic!("no SQS")
    };
    Sqs::new(SqsConfig {
        queue_url: url,
        endpoint_url: endpoint,
        region: REGION.to_owned(),
        credentials: Credentials {
            access_key_id: "nobody".to_owned(),
            secret_access_key: "nothing".to_owned(),
            session_token: None,
        },
        connect_timeout: Duration::from_secs(10),
        timeout: Duration::from_secs(60),
    })
}

fn invalidation(keys: impl IntoIterator<Item = Vec<u8>>) -> Invalidation {
    let keys = keys.into_iter().map(|key| Key::new(&key).unwrap()).collect();
    Invalidation { keys, how: Forget::Soft(Ttl::clamped(30)) }
}

/// `bytes` with none that a key may not hold.
fn printable(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().flat_map(|byte| [0x80 | byte >> 4, 0x80 | byte & 0x0f]).take(250).collect()
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(120)
}
