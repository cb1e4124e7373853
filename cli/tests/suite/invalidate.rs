//! `larder invalidate`, over a queue of files and a local cluster.

use crate::support::cluster::{client, cluster, keys, reach, store};
use crate::support::{check_failure, run, run_well};
use larder_cache::{Forget, Invalidation};
use larder_client::Key;
use larder_local::NodeId;
use larder_queue::{FileQueue, Queue};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

#[tokio::test]
async fn what_waits_is_done_once_and_told() {
    let cluster = cluster(2).await;
    let keys = keys(40);
    store(&cluster, &keys, b"old").await;
    let directory = tempfile::tempdir().unwrap();
    send(&directory, &keys[..30]).await;
    send(&directory, &keys[30..]).await;

    let invalidate = format!("invalidate {} --queue {}", reach(&cluster), url(&directory));
    let summary = |messages, keys| {
        format!(
            "{messages} messages done, {keys} keys forgotten; 0 messages stay for 0 keys that are left; 0 malformed\n"
        )
    };
    assert_eq!(run_well(&invalidate, b""), summary(2, 40));
    for key in &keys {
        assert!(client(&cluster).get(key).await.unwrap().is_none(), "{key}");
    }
    assert_eq!(run_well(&invalidate, b""), summary(0, 0));
}

#[tokio::test]
async fn what_a_dead_node_did_not_hear_stays_and_what_cannot_be_read_is_set_aside() {
    let cluster = cluster(2).await;
    let keys = keys(40);
    let directory = tempfile::tempdir().unwrap();
    send(&directory, &keys).await;
    fs::write(directory.path().join("0.json"), b"{}").unwrap();
    cluster.kill_node(NodeId(2)).await.unwrap();

    let invalidate = format!("invalidate {} --queue {}", reach(&cluster), url(&directory));
    let output = run(&invalidate, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("0 messages done, "), "{text}");
    assert!(text.contains("; 1 messages stay for "), "{text}");
    assert!(text.contains("; 1 malformed\nset aside as "), "{text}");
    assert!(text.contains("dead-letters/0.json: the message does not say"), "{text}");
    assert!(text.contains("\nnode larder.local.0002.cache.internal:"), "{text}");

    cluster.reboot_node(NodeId(2)).await.unwrap();
    assert!(run_well(&invalidate, b"").starts_with("1 messages done, 40 keys forgotten; 0 messages stay"));
}

#[test]
fn a_queue_that_is_none_on_this_machine_is_told_apart() {
    let invalidate = "invalidate --config-endpoint 127.0.0.1:1 --queue";
    let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/q";
    check_failure(&format!("{invalidate} {url}"), 1, "worked off by the function invalidate");
    check_failure(&format!("{invalidate} queue"), 2, "it is neither https://sqs.");
}

async fn send(directory: &TempDir, keys: &[Key]) {
    let invalidation = Invalidation { keys: keys.to_vec(), how: Forget::Hard };
    let deadline = Instant::now() + Duration::from_secs(60);
    FileQueue::new(directory.path()).send(&invalidation, deadline).await.unwrap();
}

fn url(directory: &TempDir) -> String {
    format!("file:{}", directory.path().display())
}
