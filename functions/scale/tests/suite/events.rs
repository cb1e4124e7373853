//! Every file in `events/scale/`, over a real local cluster, does what its table says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Asked, House, Recorder};
use larder_scale::ask::Alarms;
use serde_json::{Value, json};

#[tokio::test]
async fn every_event_is_handled_as_its_table_says() {
    for (file, done) in TABLE {
        let house = House::start(3).await;
        let newest = house.endpoint(2);
        let mut app = house.app(Recorder::default());
        let (high, low) = ("larder-cpu-high".to_owned(), "larder-cpu-low".to_owned());
        app.alarms = Alarms { out: Some(high), r#in: Some(low) };
        let event: Value = serde_json::from_str(&fs::read_to_string(folder().join(file)).unwrap()).unwrap();
        let handled = house.handle(&app, event).await;
        let mut answer = serde_json::to_value(handled.answer.unwrap()).unwrap();
        if file.starts_with("sqs-") {
            let unread = match file {
                "sqs-unreadable.json" => {
                    json!([{ "itemIdentifier": "7b1f9f52-0c3a-4f0e-8d3f-0d5f6a1c0003" }])
                }
                _ => json!([]),
            };
            assert_eq!(answer["batchItemFailures"], unread, "{file}");
            answer = answer["answers"][0].take();
        }
        assert_eq!(answer["done"], done, "{file}: {answer}");
        let (nodes, asked) = match done {
            "out" => (4, vec![]),
            "in" => (2, vec![Asked::Retire(newest, Some(3))]),
            _ => (3, vec![]),
        };
        assert_eq!((house.ids().len(), app.ring.asked()), (nodes, asked), "{file}");
        assert_eq!(answer.get("why"), (done == "nothing").then_some(&json!("ignored")), "{file}");
    }
}

#[test]
fn every_event_stands_in_the_table() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, TABLE.map(|(file, _)| file));
}

/// What comes of each file where there may be a node more, or one less.
const TABLE: [(&str, &str); 13] = [
    ("action-high.json", "out"),
    ("action-low-ok.json", "nothing"),
    ("alarm-high-ok.json", "nothing"),
    ("alarm-high.json", "out"),
    ("alarm-low-ok.json", "nothing"),
    ("alarm-low.json", "in"),
    ("dead-letter.json", "out"),
    ("event-bridge-low.json", "in"),
    ("in.json", "in"),
    ("out.json", "out"),
    ("sqs-of-event-bridge.json", "in"),
    ("sqs-of-sns.json", "out"),
    ("sqs-unreadable.json", "nothing"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/scale")
}
