//! Every file in `events/invalidate/`, over real nodes, does what its table says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{House, answer, failed, handle_now, key};
use serde_json::{Value, json};

#[tokio::test]
async fn every_event_is_handled_as_its_table_says() {
    for (file, forgotten, stale) in TABLE {
        let house = House::start(2).await;
        let keys = KEYS.map(key);
        house.store(&keys).await;
        let event: Value = serde_json::from_str(&fs::read_to_string(folder().join(file)).unwrap()).unwrap();
        let answer = answer(handle_now(&house, &event).await);
        let expected = match file {
            "keys.json" | "keys-soft.json" | "sns.json" | "dead-letter.json" => {
                json!({ "forgotten": forgotten.len() + stale.len() })
            }
            "malformed.json" => failed(&["c80e8021-a70a-42c7-a470-796e1186f753"]),
            _ => failed(&[]),
        };
        assert_eq!(answer, expected, "{file}");
        for (at, is_held) in house.held(&keys).await.into_iter().enumerate() {
            assert_eq!(is_held, !forgotten.contains(&at), "{file}: {}", keys[at]);
        }
        for at in stale {
            // The last key is no text, and cannot be asked for as such.
            if std::str::from_utf8(KEYS[*at]).is_ok() {
                let reply = house.ask(&keys[*at], "v").await;
                assert!(reply.contains(" X W\r\n"), "{file}: {}: {reply}", keys[*at]);
            }
        }
    }
}

#[test]
fn every_event_stands_in_the_table() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, TABLE.map(|(file, ..)| file));
}

/// The keys that the events name.
const KEYS: [&[u8]; 4] = [b"flights:17", b"flights:18", b"top:flights", b"\xff\x80"];

/// Which of them each file has forgotten, and which marked stale.
const TABLE: [(&str, &[usize], &[usize]); 8] = [
    ("dead-letter.json", &[0, 1], &[]),
    ("keys-soft.json", &[], &[0]),
    ("keys.json", &[0, 1], &[]),
    ("malformed.json", &[0, 1], &[]),
    ("sns.json", &[0, 1], &[]),
    ("sqs-of-event-bridge.json", &[0, 1], &[]),
    ("sqs-of-sns.json", &[0, 1], &[]),
    ("sqs.json", &[0, 1], &[2, 3]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/invalidate")
}
