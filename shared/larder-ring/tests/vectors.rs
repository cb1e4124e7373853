//! Every ring against the recorded answers of the real libraries; see `vectors/README.md`.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use larder_ring::{Ring, RingKind, RingNode};
use serde::Deserialize;

#[test]
fn rings_answer_as_the_libraries_did() {
    let keys: Vec<String> = read(&vectors().join("keys.json"));
    let mut seen = BTreeSet::new();
    for path in files(&vectors()) {
        let recorded: Recorded = read(&path);
        let nodes = recorded.nodes.iter().map(|text| host_port_weight_ip(text)).collect::<Vec<_>>();
        let kind = kind(&recorded.library, &recorded.variant);
        check(&path.display().to_string(), kind, &nodes, &keys, &recorded.owners);
        seen.insert((kind, recorded.list));
    }
    // node-memcached was recorded with the other lists only.
    assert_eq!(seen.len(), 3 * (RingKind::ALL.len() - 1), "{seen:?}");
}

#[test]
fn rings_answer_as_the_libraries_did_for_other_sizes_weights_ports_and_common_points() {
    let more = vectors().join("more");
    let keys: Vec<String> = read(&more.join("keys.json"));
    let mut seen = BTreeSet::new();
    for path in files(&more) {
        let recorded: RecordedLists = read(&path);
        let kind = kind(&recorded.library, &recorded.variant);
        for list in recorded.lists {
            let nodes: Vec<RingNode> = list.nodes.iter().map(|text| text.parse().unwrap()).collect();
            check(&format!("{kind}, {}", list.list), kind, &nodes, &keys, &list.owners);
        }
        seen.insert(kind);
    }
    // The AWS Java client was recorded with the first lists only.
    assert_eq!(seen.len(), RingKind::ALL.len() - 1, "{seen:?}");
}

#[test]
fn the_aws_java_client_differs_from_spymemcached_in_the_digest_alone() {
    // Two addresses with a SHA-384 point in common: the node listed last owns it.
    let [a, b]: [RingNode; 2] = ["a:11211@10.0.2.157", "b:11211@10.0.3.64"].map(|text| text.parse().unwrap());
    let keys: Vec<String> = read(&vectors().join("more/keys.json"));
    let kind = RingKind::AwsJavaKetamaDynamicIpOnly;
    let (forth, back) =
        (Ring::new(kind, &[a.clone(), b.clone()]).unwrap(), Ring::new(kind, &[b, a]).unwrap());
    let contested: Vec<_> =
        keys.iter().filter(|key| forth.owner(key.as_bytes()) == back.owner(key.as_bytes())).collect();
    assert_eq!(contested.len(), 8, "keys whose owner goes by the order: {contested:?}");
    assert!(contested.iter().all(|key| forth.owner(key.as_bytes()) == 1));
}

#[track_caller]
fn check(what: &str, kind: RingKind, nodes: &[RingNode], keys: &[String], owners: &[usize]) {
    assert_eq!(keys.len(), owners.len(), "{what}");
    let ring = Ring::new(kind, nodes).unwrap();
    for (key, owner) in keys.iter().zip(owners) {
        assert_eq!(ring.owner(key.as_bytes()), *owner, "{what}: key {key:?}");
    }
    let mut batch = vec![usize::MAX; keys.len()];
    ring.owners(keys, |key, owner| batch[key] = owner);
    assert_eq!(batch, owners, "{what}: in one batch");
}

/// One list of one library.
#[derive(Deserialize)]
struct Recorded {
    library: String,
    variant: String,
    list: String,
    nodes: Vec<String>,
    owners: Vec<usize>,
}

/// Several lists of one library.
#[derive(Deserialize)]
struct RecordedLists {
    library: String,
    variant: String,
    lists: Vec<RecordedList>,
}

#[derive(Deserialize)]
struct RecordedList {
    list: String,
    nodes: Vec<String>,
    owners: Vec<usize>,
}

/// The ring of a file: the library and the variant, joined by hyphens.
fn kind(library: &str, variant: &str) -> RingKind {
    format!("{library}-{}", variant.replace('_', "-")).parse().unwrap()
}

fn host_port_weight_ip(text: &str) -> RingNode {
    let parts: Vec<&str> = text.split(':').collect();
    let [host, port, weight, ip] = parts[..] else { panic!("{text} is not HOST:PORT:WEIGHT:IP") };
    RingNode {
        host: host.into(),
        port: port.parse().unwrap(),
        weight: weight.parse().unwrap(),
        ip: Some(ip.into()),
    }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The recordings in `folder`, which bear the library and the variant in their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("__")).collect()
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
