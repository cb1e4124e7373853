//! The events of every function stand in the table about it, and are what Lambda hands over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[test]
fn every_event_stands_in_the_table_of_its_function() {
    let readme = fs::read_to_string(events().join("README.md")).unwrap();
    for folder in folders() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let names = json_files(&folder).into_iter();
        let files: BTreeSet<_> =
            names.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert!(!files.is_empty(), "{name} has no events");
        assert_eq!(files, listed(&readme, name), "{name}");
    }
}

#[test]
fn every_record_is_one_of_sns_or_sqs_as_lambda_hands_it_over() {
    let (mut of_sns, mut of_sqs) = (0, 0);
    for file in folders().iter().flat_map(|folder| json_files(folder)) {
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for record in event["Records"].as_array().into_iter().flatten() {
            let is_text = |of: &Value, field| assert!(of[field].is_string(), "{}: {field}", file.display());
            if record["eventSource"] == "aws:sqs" {
                IN_SQS.iter().for_each(|field| is_text(record, field));
                IN_SQS_ATTRIBUTES.iter().for_each(|field| is_text(&record["attributes"], field));
                assert!(record["messageAttributes"].is_object(), "{}", file.display());
                of_sqs += 1;
                continue;
            }
            assert_eq!(record["EventSource"], "aws:sns", "{}", file.display());
            IN_RECORD.iter().for_each(|field| is_text(record, field));
            IN_SNS.iter().for_each(|field| is_text(&record["Sns"], field));
            assert!(record["Sns"]["MessageAttributes"].is_object(), "{}", file.display());
            of_sns += 1;
        }
    }
    assert!(of_sns > 20 && of_sqs >= 4, "{of_sns} records of SNS, {of_sqs} of SQS");
}

#[test]
fn every_request_is_one_of_an_http_api_as_lambda_hands_it_over() {
    let events = [json_files(&events()), json_files(&events().join("write"))].concat();
    for file in &events {
        let event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let name = file.display();
        assert_eq!(event["version"], "2.0", "{name}");
        let http = &event["requestContext"]["http"];
        IN_HTTP.iter().for_each(|field| assert!(http[field].is_string(), "{name}: {field}"));
        assert_eq!(event["requestContext"]["routeKey"], event["routeKey"], "{name}");
        assert!(event["isBase64Encoded"].is_boolean(), "{name}");
        for (header, value) in event["headers"].as_object().unwrap() {
            assert!(value.is_string() && *header == header.to_ascii_lowercase(), "{name}: {header}");
        }
    }
    assert!(events.len() >= 31, "{} requests", events.len());
}

#[test]
fn every_alarm_says_what_crossed_which_threshold() {
    let alarms = json_files(&events().join("scale"))
        .into_iter()
        .filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("alarm-"));
    let mut states = BTreeSet::new();
    for file in alarms {
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let message = event["Records"][0]["Sns"]["Message"].as_str().unwrap();
        let alarm: Value = serde_json::from_str(message).unwrap();
        let [is, was] =
            ["NewStateValue", "OldStateValue"].map(|state| alarm[state].as_str().unwrap().to_owned());
        let name = alarm["AlarmName"].as_str().unwrap();
        assert_ne!(is, was, "{name}");
        let subject = event["Records"][0]["Sns"]["Subject"].as_str().unwrap();
        assert_eq!(subject, format!("{is}: \"{name}\" in {}", alarm["Region"].as_str().unwrap()));
        assert!(alarm["AlarmArn"].as_str().unwrap().ends_with(&format!(":alarm:{name}")), "{name}");
        assert_eq!(alarm["Trigger"]["Dimensions"][0]["value"], "larder", "{name}");
        assert!(alarm["Trigger"]["Threshold"].is_f64(), "{name}");
        states.insert((name.to_owned(), is));
    }
    let expected = ["larder-cpu-high", "larder-cpu-low"].into_iter();
    let expected = expected.flat_map(|name| ["ALARM", "OK"].map(|state| (name.to_owned(), state.to_owned())));
    assert_eq!(states, expected.collect());
}

#[test]
fn every_schedule_is_one_of_eventbridge() {
    let mut sources = BTreeSet::new();
    for file in folders().iter().flat_map(|folder| json_files(folder)) {
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let name = file.display();
        if !event["detail-type"].is_null() {
            IN_EVENT.iter().for_each(|field| assert!(event[field].is_string(), "{name}: {field}"));
        }
        if event["detail-type"] != "Scheduled Event" {
            continue;
        }
        let (source, arn) = (event["source"].as_str().unwrap(), event["resources"][0].as_str().unwrap());
        // Scheduler's own detail is a text.
        let (service, is_as_sent) = match source {
            "aws.events" => ("events", event["detail"].is_object()),
            _ => ("scheduler", event["detail"] == "{}"),
        };
        assert!(is_as_sent && arn.starts_with(&format!("arn:aws:{service}:eu-west-1:")), "{name}");
        let function = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        sources.insert(format!("{function} {source}"));
    }
    let expected = ["ring-refresh", "top-n"].into_iter();
    let expected =
        expected.flat_map(|name| ["aws.events", "aws.scheduler"].map(|source| format!("{name} {source}")));
    assert_eq!(sources, expected.collect());
}

#[test]
fn every_envelope_in_a_message_is_one_that_its_service_writes() {
    let mut seen = BTreeSet::new();
    for file in folders().iter().flat_map(|folder| json_files(folder)) {
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let bodies =
            event["Records"].as_array().into_iter().flatten().filter_map(|record| record["body"].as_str());
        let inside = bodies.filter_map(|body| serde_json::from_str(body).ok());
        for value in inside.chain([event.clone()]) {
            let has = |fields: &[&str]| {
                fields
                    .iter()
                    .for_each(|field| assert!(!value[field].is_null(), "{}: {field}", file.display()));
            };
            if value["Type"] == "Notification" {
                has(&IN_NOTIFICATION);
                seen.insert("a notification");
            } else if !value["requestPayload"].is_null() {
                has(&IN_DESTINATION);
                seen.insert("a destination's record");
            } else if !value["detail-type"].is_null() {
                has(&IN_EVENT);
                seen.insert("an event of EventBridge");
            } else if !value["alarmData"].is_null() {
                has(&IN_ACTION);
                seen.insert("an alarm action");
            }
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

/// The files that the table under the heading of `function` names.
fn listed(readme: &str, function: &str) -> BTreeSet<String> {
    let (_, section) = readme
        .split_once(&format!("## `{function}`\n"))
        .unwrap_or_else(|| panic!("no section about {function}"));
    let section = section.lines().take_while(|line| !line.starts_with("## "));
    let rows: Vec<_> = section.filter_map(|line| line.strip_prefix("| `")?.split_once('`')).collect();
    let files: BTreeSet<_> = rows.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(files.len(), rows.len(), "a file of {function} stands twice");
    files
}

/// The folders of the functions that have one; the events of `read` stand beside them.
fn folders() -> Vec<PathBuf> {
    let folders: Vec<_> = entries(&events()).into_iter().filter(|path| path.is_dir()).collect();
    assert!(folders.len() >= 2, "{folders:?}");
    folders
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

/// What `aws_lambda_events` and the SDKs of other languages demand of a record; the subject may be null.
const IN_RECORD: [&str; 3] = ["EventSource", "EventVersion", "EventSubscriptionArn"];

/// What an event of EventBridge has. Source: "AWS service event structure" in the EventBridge user guide.
const IN_EVENT: [&str; 7] = ["version", "id", "detail-type", "source", "account", "time", "region"];

/// What SNS sends to a queue without raw message delivery; it spells the addresses otherwise than to a function.
const IN_NOTIFICATION: [&str; 8] = [
    "MessageId",
    "TopicArn",
    "Message",
    "Timestamp",
    "SignatureVersion",
    "Signature",
    "SigningCertURL",
    "UnsubscribeURL",
];

/// What Lambda sends to a destination. Source: "Capturing records of Lambda asynchronous invocations" in the Lambda
/// developer guide.
const IN_DESTINATION: [&str; 6] =
    ["version", "timestamp", "requestContext", "requestPayload", "responseContext", "responsePayload"];

/// What an alarm sends whose action is a function. Source: "Lambda alarm actions" in the CloudWatch user guide.
const IN_ACTION: [&str; 5] = ["source", "alarmArn", "accountId", "time", "region"];

const IN_SNS: [&str; 9] = [
    "Type",
    "MessageId",
    "TopicArn",
    "Message",
    "Timestamp",
    "SignatureVersion",
    "Signature",
    "SigningCertUrl",
    "UnsubscribeUrl",
];

/// What a request of payload format 2.0 says of itself.
const IN_HTTP: [&str; 5] = ["method", "path", "protocol", "sourceIp", "userAgent"];

/// What a record of SQS has. Source: "Example standard queue message event" in the Lambda developer guide.
const IN_SQS: [&str; 7] =
    ["messageId", "receiptHandle", "body", "md5OfBody", "eventSource", "eventSourceARN", "awsRegion"];

const IN_SQS_ATTRIBUTES: [&str; 4] =
    ["ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"];
