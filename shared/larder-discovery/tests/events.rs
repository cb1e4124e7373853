//! Every message in the event files of `ring-refresh` is understood as their table says.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use larder_discovery::{Effect, MalformedNotice, Notice, NoticeFault};
use serde_json::Value;

#[test]
fn every_notice_has_its_event_cluster_and_effect() {
    let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (file, message) in table() {
        expected.entry(file.to_owned()).or_default().push(message);
    }
    let mut seen = BTreeSet::new();
    for file in files() {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let Some(records) = event["Records"].as_array() else { continue };
        // Messages of a queue lie in envelopes, which `larder-lambda` opens.
        let messages = records.iter().filter_map(|record| record["Sns"]["Message"].as_str());
        let read: Vec<_> = messages.map(|message| told(Notice::parse(message))).collect();
        if read.is_empty() {
            continue;
        }
        assert_eq!(Some(&read), expected.get(&name), "{name}");
        seen.insert(name);
    }
    assert_eq!(seen, expected.into_keys().collect(), "files that are gone");
}

#[test]
fn the_keys_around_the_event_are_kept() {
    let details = |file: &str| {
        let event: Value = serde_json::from_str(&fs::read_to_string(folder().join(file)).unwrap()).unwrap();
        Notice::parse(event["Records"][0]["Sns"]["Message"].as_str().unwrap()).unwrap().details
    };
    assert_eq!(details("node-replacement-scheduled.json")["Node ID"], "0002");
    assert_eq!(details("service-update.json")["Service Update Name"], "elasticache-20260608-intel");
    assert_eq!(details("old-shape.json")["Message"], "Finished modifying number of nodes from 2 to 3");
}

/// What a message says: the event, the cluster, and what follows for `larder`.
type Told = Result<(String, String, Option<Effect>), NoticeFault>;

fn told(notice: Result<Notice, MalformedNotice>) -> Told {
    match notice {
        Ok(notice) => {
            let effect = notice.effect_on("larder");
            Ok((notice.event.name().to_owned(), notice.cluster, effect))
        }
        Err(error) => Err(error.fault),
    }
}

/// The messages of the files, in their order.
fn table() -> Vec<(&'static str, Told)> {
    let notice = |event: &str, cluster: &str, effect| Ok((event.to_owned(), cluster.to_owned(), effect));
    let larder = |event, effect| notice(event, "larder", Some(effect));
    vec![
        ("add-node-complete.json", larder("AddCacheNodeComplete", Effect::Nodes)),
        ("add-node-failed.json", larder("AddCacheNodeFailed", Effect::Alarm)),
        ("cluster-deleted.json", larder("DeleteCacheClusterComplete", Effect::Gone)),
        ("malformed.json", Err(NoticeFault::NotJson { line: 1, column: 1 })),
        (
            "member-id.json",
            notice("CacheClusterProvisioningComplete", "larder-0001-005", Some(Effect::Nodes)),
        ),
        ("node-replacement-scheduled.json", larder("NodeReplacementScheduled", Effect::Log)),
        ("odd-case.json", notice("AddCacheNodeComplete", "LARDER", Some(Effect::Nodes))),
        ("old-shape.json", larder("Changed", Effect::Nodes)),
        ("other-cluster.json", notice("AddCacheNodeComplete", "larder-2", None)),
        ("parameters-changed.json", larder("CacheClusterParametersChanged", Effect::Log)),
        ("provisioning-complete.json", larder("CacheClusterProvisioningComplete", Effect::Nodes)),
        ("rebooted.json", larder("CacheNodesRebooted", Effect::Nodes)),
        ("remove-node-complete.json", larder("RemoveCacheNodeComplete", Effect::Nodes)),
        ("replace-complete.json", larder("CacheNodeReplaceComplete", Effect::Nodes)),
        ("replace-started.json", larder("CacheNodeReplaceStarted", Effect::Nodes)),
        ("scaling-complete.json", larder("CacheClusterScalingComplete", Effect::Nodes)),
        ("service-update.json", larder("ServiceUpdateAvailableForNode", Effect::Log)),
        ("two-records.json", Err(NoticeFault::NotJson { line: 1, column: 43 })),
        ("two-records.json", larder("RemoveCacheNodeComplete", Effect::Nodes)),
    ]
}

fn files() -> Vec<PathBuf> {
    fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/ring-refresh")
}
