//! `larder hot`, against a local cluster.

use crate::support::cluster::{client, cluster, keys, listed, now_ms, publish, publish_first, reach};
use crate::support::{check_failure, run, run_well};
use larder_cache::{Counted, Record, record_key};
use larder_client::{Copies, NewItem};
use larder_local::LocalCluster;
use larder_ring::{HotKey, HotPhase, RingDocument};
use serde_json::json;

#[tokio::test]
async fn keys_are_shown_with_what_they_weigh_their_owner_and_copies_as_set_and_as_advised() {
    let cluster = cluster(2).await;
    let text = run_well(&format!("hot show {}", reach(&cluster)), b"");
    assert!(text.starts_with("nothing is known"), "{text}");

    let mut document = publish_first(&cluster).await;
    document.epoch = document.epoch.next();
    document.hot.insert("flights:1".to_owned(), HotKey { copies: 3, phase: HotPhase::Reading });
    document.hot.insert("flights:9".to_owned(), HotKey { copies: 2, phase: HotPhase::Writing });
    publish(&cluster, document).await;
    tell(&cluster, &[60, 20, 12, 8]).await;
    let shown = run_well(&format!("hot show {} --json --most 3", reach(&cluster)), b"");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&shown).unwrap();
    assert_eq!(rows.len(), 4, "{shown}");
    let client = client(&cluster);
    let row = |id: usize, reads: u64, share: f64, copies, phase, advised| {
        let key = format!("flights:{id}");
        (key, reads, share, copies, phase, advised)
    };
    let expected = [
        row(0, 60, 1.2, json!(null), json!(null), json!(3)),
        row(1, 20, 0.4, json!(3), json!("reading"), json!(null)),
        row(2, 12, 0.24, json!(null), json!(null), json!(null)),
        row(9, 0, 0.0, json!(2), json!("writing"), json!(null)),
    ];
    for (found, (key, reads, share, copies, phase, advised)) in rows.iter().zip(expected) {
        let owner = client.owner(&larder_client::Key::new(key.as_bytes()).unwrap()).await.unwrap();
        // What was counted halves in five minutes.
        let counted = found["reads"].as_u64().unwrap();
        assert!(counted <= reads && counted + 3 >= reads, "{found}");
        assert!((found["share"].as_f64().unwrap() - share).abs() < 0.01, "{found}");
        let expected = (json!(key), json!(&*owner), copies, phase, advised);
        let of = |name: &str| found[name].clone();
        assert_eq!((of("key"), of("owner"), of("copies"), of("phase"), of("advised")), expected);
    }

    let text = run_well(&format!("hot show {}", reach(&cluster)), b"");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["key", "reads", "of", "a", "node", "owner", "copies", "advised"]);
    assert_eq!((lines[1][0], lines[1][2], &lines[1][4..]), ("flights:0", "120.0%", &["-", "3"][..]));
    assert_eq!((lines[2][0], &lines[2][4..]), ("flights:1", &["3", "-"][..]));
    assert_eq!((lines[5][0], &lines[5][4..]), ("flights:9", &["2", "writing", "-"][..]));
}

#[tokio::test]
async fn a_key_is_given_copies_and_taken_back_in_two_steps_each() {
    let cluster = cluster(2).await;
    publish_first(&cluster).await;
    let text = run_well(&format!("hot set flights:1 --copies 3 {} {QUICK}", reach(&cluster)), b"");
    assert_eq!(text.lines().filter(|line| line.starts_with("published epoch ")).count(), 2, "{text}");
    assert_eq!(hot(&cluster), Some(HotKey { copies: 3, phase: HotPhase::Reading }));
    let client = client(&cluster);
    client.discover().await.unwrap();
    assert_eq!(client.copies_of(&keys(2)[1]), Some(Copies { count: 3, is_read: true }));

    let text = run_well(&format!("hot set flights:1 --copies 3 {} {QUICK}", reach(&cluster)), b"");
    assert!(!text.contains("published"), "{text}");
    // What is deleted by hand is deleted everywhere.
    for node in listed(&cluster) {
        for number in 0..3 {
            let key = keys(2)[1].copy_at(number);
            let item =
                NewItem { key: &key, value: b"old", client_flags: 1, ttl: larder_client::Ttl::clamped(600) };
            client.direct(&node).set(item).await.unwrap();
        }
    }
    run_well(&format!("delete flights:1 {}", reach(&cluster)), b"");
    for number in 0..3 {
        assert_eq!(client.get(&keys(2)[1].copy_at(number)).await.unwrap(), None);
    }

    run_well(&format!("hot unset flights:1 {} {QUICK}", reach(&cluster)), b"");
    assert_eq!(hot(&cluster), None);
}

#[tokio::test]
async fn what_is_left_to_do_is_told_and_what_cannot_be_is_refused() {
    let cluster = cluster(2).await;
    publish_first(&cluster).await;
    let output = run(&format!("hot set k --copies 2 {} --timeout-secs 1", reach(&cluster)), b"");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("error: the copies are not yet as they should be: the time was over"),
        "{stderr}"
    );
    let reach = reach(&cluster);
    for copies in [1, 17] {
        check_failure(&format!("hot set k --copies {copies} {reach}"), 2, "2..=16");
    }
    check_failure(&format!("hot set larder~ring --copies 2 {reach}"), 1, "one of Larder's own");
}

/// What the document in force says of `flights:1`.
fn hot(cluster: &LocalCluster) -> Option<HotKey> {
    let shown = run_well(&format!("ring show {} --json", reach(cluster)), b"");
    RingDocument::parse(shown.as_bytes()).unwrap().hot.get("flights:1").copied()
}

/// Tells the first node that the keys were read so often.
async fn tell(cluster: &LocalCluster, counts: &[u64]) {
    let counted = keys(counts.len()).into_iter().zip(counts);
    let counted: Vec<Counted> =
        counted.map(|(key, count)| Counted { key, count: *count, error: 0 }).collect();
    let record = Record::encode(&counted, now_ms() / 1000, Record::MAX_LEN);
    let item = NewItem { key: &record_key(0), value: &record, client_flags: 0, ttl: Record::TTL };
    client(cluster).direct(&listed(cluster)[0]).set(item).await.unwrap();
}

/// Waits of 0.7 s before each step.
const QUICK: &str = "--ring-check-interval-ms 100 --timeout-ms 500";
