//! Every file in `events/ring-refresh/`, over real memcached nodes, does what its table says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::wire::{held, numbers};
use crate::support::{House, handle_now};
use larder_ring_refresh::Work;
use serde_json::{Value, json};

#[tokio::test]
async fn every_event_is_handled_as_its_table_says() {
    let house = House::start(2).await;
    for (file, work) in table() {
        house.forget_document();
        let handled = handle_now(&house.app(&[]), &event(file)).await;
        let answer = handled.answer.unwrap();
        let is_asked = work.published > 0;
        assert_eq!((handled.work, answer.reconciled), (work, is_asked), "{file}");
        if is_asked {
            assert_eq!(numbers(&house.document().nodes), [1, 2], "{file}");
            assert_eq!(answer.ring.unwrap().nodes, [house.name(1), house.name(2)], "{file}");
        } else {
            assert!(house.endpoints().into_iter().all(|node| held(node).is_none()), "{file}");
            assert!(answer.ring.is_none() && answer.published.is_empty(), "{file}");
        }
    }
}

#[test]
fn every_event_stands_in_the_table_and_the_readme_says_the_same_of_it() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, table().map(|(file, _)| file));

    let rows = readme();
    for (file, work) in table() {
        let (counted, does) = rows.get(file).unwrap_or_else(|| panic!("no row about {file}"));
        assert_eq!(*counted, counts(&work), "{file}");
        assert_eq!(does.contains("compares"), work.published > 0, "{file}: {does}");
    }
    assert_eq!(rows.len(), files.len());
}

#[tokio::test]
async fn a_bad_message_among_good_ones_keeps_none_of_them_from_being_heard() {
    let house = House::start(1).await;
    let added = || event("add-node-complete.json")["Records"][0].clone();
    let failed = || event("add-node-failed.json")["Records"][0].clone();
    for (bad, is_known) in bad_records() {
        house.forget_document();
        let handled = handle_now(&house.app(&[]), &json!({ "Records": [failed(), bad, added()] })).await;
        let expected = Work { alarms: 1, malformed: 1, node_notices: 1, published: 1, ..Work::default() };
        assert_eq!(handled.work, Work { failures: u64::from(!is_known), ..expected }, "{bad}");
        match handled.answer {
            Ok(answer) => assert!(is_known && answer.reconciled && answer.failures.is_none(), "{bad}"),
            Err(failure) => assert!(!is_known && failure.name() == "UnknownEvent", "{bad}: {failure}"),
        }
        assert_eq!(numbers(&house.document().nodes), [1], "the good ones are heard first");
    }
}

#[tokio::test]
async fn messages_that_say_nothing_are_counted_and_change_nothing() {
    let house = House::start(1).await;
    let app = house.app(&[]);
    let bad: Vec<_> =
        bad_records().into_iter().filter_map(|(bad, is_known)| is_known.then_some(bad)).collect();
    let malformed = bad.len() as u64;
    let handled = handle_now(&app, &json!({ "Records": bad })).await;
    assert_eq!(handled.work, Work { malformed, ..Work::default() });
    assert!(!handled.answer.unwrap().reconciled);
}

#[tokio::test]
async fn an_unreadable_message_of_a_queue_is_kept_by_the_queue() {
    let house = House::start(1).await;
    let added = "{\"ElastiCache:AddCacheNodeComplete\":\"larder\"}";
    let other = "{\"ElastiCache:AddCacheNodeComplete\":\"pantry\"}";
    let bodies = ["hello", added, other, "{\"Records\":[{\"eventSource\":\"aws:s3\"}]}"];
    let records = bodies
        .iter()
        .zip(["a", "b", "c", "d"])
        .map(|(body, id)| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body }));
    let handled = handle_now(&house.app(&[]), &json!({ "Records": records.collect::<Vec<_>>() })).await;
    let expected = Work { malformed: 2, node_notices: 1, ignored: 1, published: 1, ..Work::default() };
    assert_eq!(handled.work, expected);
    let answer = serde_json::to_value(handled.answer.unwrap()).unwrap();
    assert_eq!(answer["batchItemFailures"], json!([{ "itemIdentifier": "a" }, { "itemIdentifier": "d" }]));
    assert_eq!(answer["reconciled"], true);
}

/// As many as Lambda's six megabytes hold, and more than SNS ever sends.
#[tokio::test]
async fn a_huge_batch_is_one_reason_to_look() {
    let house = House::start(1).await;
    let app = house.app(&[]);
    let record = json!({ "Sns": { "Message": "{\"ElastiCache:AddCacheNodeComplete\":\"larder\"}" } });
    let other = json!({ "Sns": { "Message": "{\"ElastiCache:AddCacheNodeComplete\":\"pantry\"}" } });
    let mut records = vec![record; 40_000];
    records.extend(vec![other; 20_000]);
    let handled = handle_now(&app, &json!({ "Records": records })).await;
    let expected = Work { node_notices: 40_000, ignored: 20_000, published: 1, ..Work::default() };
    assert_eq!(handled.work, expected);
    let answer = serde_json::to_string(&handled.answer.unwrap()).unwrap();
    assert!(answer.len() < 1_000, "{answer}");
}

/// What each file takes. Every one finds nodes without a document and a function that remembers none, so that whoever
/// compares publishes the first.
fn table() -> [(&'static str, Work); 26] {
    let compared = Work { published: 1, ..Work::default() };
    let changed = Work { node_notices: 1, ..compared };
    let [alarm, ignored, malformed] = [
        Work { alarms: 1, ..Work::default() },
        Work { ignored: 1, ..Work::default() },
        Work { malformed: 1, ..Work::default() },
    ];
    [
        ("add-node-complete.json", changed),
        ("add-node-failed.json", alarm),
        ("cluster-deleted.json", alarm),
        ("dead-letter.json", changed),
        ("malformed.json", malformed),
        ("member-id.json", changed),
        ("node-replacement-scheduled.json", ignored),
        ("odd-case.json", changed),
        ("old-shape.json", changed),
        ("other-cluster.json", ignored),
        ("parameters-changed.json", ignored),
        ("provisioning-complete.json", changed),
        ("rebooted.json", changed),
        ("reconcile.json", compared),
        ("remove-node-complete.json", changed),
        ("replace-complete.json", changed),
        ("replace-started.json", changed),
        ("scaling-complete.json", changed),
        ("scheduled.json", compared),
        ("scheduler.json", compared),
        ("service-update.json", ignored),
        ("sqs-of-event-bridge.json", compared),
        ("sqs-of-sns.json", changed),
        ("sqs-raw.json", changed),
        ("sqs-unreadable.json", Work { malformed: 1, ..changed }),
        ("two-records.json", Work { malformed: 1, ..changed }),
    ]
}

/// The names of the metrics that count the records of an event.
fn counts(work: &Work) -> Vec<&'static str> {
    let counts = [
        ("Malformed", work.malformed),
        ("NodeNotices", work.node_notices),
        ("Alarms", work.alarms),
        ("Ignored", work.ignored),
    ];
    counts.into_iter().filter_map(|(name, count)| (count > 0).then_some(name)).collect()
}

/// What the table of `ring-refresh` in `events/README.md` says of each file: the metrics that count it, and what is
/// done.
fn readme() -> BTreeMap<String, (Vec<&'static str>, String)> {
    let readme = fs::read_to_string(folder().join("../README.md")).unwrap();
    let metrics = include_str!("../../src/metrics.rs");
    let (_, section) = readme.split_once("## `ring-refresh`\n").unwrap();
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    rows.filter(|line| line.starts_with("| `"))
        .map(|row| {
            let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect();
            let [file, _, counted, does] = cells[..] else { panic!("not four cells: {row}") };
            let counted = counted.split(", ").filter(|name| *name != "–").map(|name| {
                let at = metrics.find(&format!("(\"{}\", ", name.trim_matches('`')));
                let at = at.unwrap_or_else(|| panic!("{name} is no metric"));
                metrics[at + 2..].split('"').next().unwrap()
            });
            (file.trim_matches('`').to_owned(), (counted.collect(), does.to_owned()))
        })
        .collect()
}

/// Records that say nothing, and whether they are such as SNS delivers.
fn bad_records() -> Vec<(Value, bool)> {
    let message = |message: Value| json!({ "Sns": { "MessageId": "95df", "Message": message } });
    let foreign = [
        json!(null),
        json!({}),
        json!([]),
        json!("Sns"),
        json!(17),
        json!({ "Sns": null }),
        json!({ "Sns": [] }),
        json!({ "Sns": { "MessageId": "95df" } }),
        json!({ "eventSource": "aws:s3", "s3": { "object": { "key": "larder" } } }),
        message(json!(null)),
        message(json!({ "ElastiCache:AddCacheNodeComplete": "larder" })),
    ];
    let of_sns = [
        message(json!("")),
        message(json!("{\"ElastiCache:AddCacheNodeComplete\":\"larder\"")),
        message(json!("{\"ElastiCache:AddCacheNodeComplete\":17}")),
        message(json!("{\"AlarmName\":\"larder-cpu-high\",\"NewStateValue\":\"ALARM\"}")),
        message(json!("x".repeat(300_000))),
    ];
    foreign.map(|bad| (bad, false)).into_iter().chain(of_sns.map(|bad| (bad, true))).collect()
}

fn event(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(file)).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/ring-refresh")
}
