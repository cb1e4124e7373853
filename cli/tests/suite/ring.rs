//! `larder ring`

use crate::support::{check_failure, larder, run_well};
use larder_ring::{Ring, RingKind, RingNode};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

const NODES: [&str; 4] =
    ["a.internal:11211@10.0.0.1", "b.internal:11212@10.0.0.2", "c.internal:11211:3@10.0.0.3", "d:9@10.0.0.4"];

#[test]
fn every_ring_of_the_list_prints_its_owners_in_order() {
    let keys: Vec<String> = (0..2_000).map(|i| format!("flights:{i}")).collect();
    for name in run_well("ring list", b"").lines().map(|line| line.split("  ").next().unwrap()) {
        let kind: RingKind = name.parse().unwrap();
        let ring = ring(kind, &NODES[..3]);
        let expected: String = keys.iter().map(|key| format!("{}\n", ring.owner(key.as_bytes()))).collect();
        let arguments = format!("ring owners --ring {name} --node {}", NODES[..3].join(" --node "));
        assert_eq!(run_well(&arguments, (keys.join("\n") + "\n").as_bytes()), expected, "{name}");
    }
}

#[test]
fn the_default_ring_is_that_of_libmemcached() {
    let nodes = "--node cache-1:11211 cache-2:11211 cache-3:11211:2";
    let default = run_well(&format!("ring owners {nodes}"), b"flights/42\nflights/43\n");
    let named = format!("ring owners --ring libmemcached-ketama-weighted {nodes}");
    assert_eq!(default, run_well(&named, b"flights/42\nflights/43\n"));
    assert_eq!(default.lines().next(), Some("0"));
}

#[test]
fn an_owner_is_printed_before_the_next_key_is_given() {
    let mut child = larder()
        .args(["ring", "owners", "--node", "a:1", "b:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut owners) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for key in ["x\n", "y\n", "z\n"] {
        keys.write_all(key.as_bytes()).unwrap();
        let mut owner = String::new();
        owners.read_line(&mut owner).unwrap();
        assert!(["0\n", "1\n"].contains(&owner.as_str()), "{owner:?}");
    }
    drop(keys);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_early_is_no_error() {
    let mut child = larder()
        .args(["ring", "owners", "--node", "a:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // The command may be gone before it has read everything.
    let _ = child.stdin.take().unwrap().write_all("key\n".repeat(100_000).as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_diff_names_the_share_and_the_keys_that_move() {
    let keys: Vec<String> = (0..1_000).map(|i| format!("k{i}")).collect();
    let (before, after) = (ring(RingKind::default(), &NODES[..3]), ring(RingKind::default(), &NODES));
    let mut moved = Vec::new();
    before.moved_keys(&after, &keys, |key, from, to| {
        moved.push(format!("{}\t{}\t{}", keys[key], place(&before, from), place(&after, to)));
    });
    let arguments = format!("ring diff --from {} --to {}", NODES[..3].join(" "), NODES.join(" "));
    let text = run_well(&arguments, keys.join("\n").as_bytes());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("{:.2} % of all keys move (exact)", before.moved(&after).share * 100.0));
    assert_eq!(lines[1..lines.len() - 1], moved);
    assert_eq!(lines[lines.len() - 1], format!("{} of 1000 keys given move", moved.len()));

    let json: Value =
        serde_json::from_str(&run_well(&format!("{arguments} --json"), keys.join("\n").as_bytes())).unwrap();
    assert_eq!(json["share"].as_f64(), Some(before.moved(&after).share));
    assert_eq!((json["measure"].as_str(), json["keys"].as_u64()), (Some("exact"), Some(1000)));
    let told: Vec<String> = json["moved"].as_array().unwrap().iter().map(line_of).collect();
    assert_eq!(told, moved);
}

#[test]
fn a_diff_without_keys_is_the_share_alone() {
    let text = run_well("ring diff --from a:1 --to a:1", b"");
    assert_eq!(text, "0.00 % of all keys move (exact)\n");
    let json = run_well("ring diff --json --from a:1 --to b:1", b"");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["share"].as_f64(), json["moved"].as_array().map(Vec::len)), (Some(1.0), Some(0)));
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    check_failure("ring owners", 2, "--node");
    check_failure("ring owners --node a", 2, "HOST:PORT[:WEIGHT][@IP]");
    check_failure("ring owners --ring nonsense --node a:1", 2, "libmemcached-ketama-weighted");
    check_failure("ring owners --ring aws-java-ketama-dynamic-ip-only --node a:1", 1, "HOST:PORT@IP");
}

#[test]
fn the_list_in_json_says_which_rings_need_addresses() {
    let list: Value = serde_json::from_str(&run_well("ring list --json", b"")).unwrap();
    let needs_ip =
        |name| list.as_array().unwrap().iter().find(|ring| ring["name"] == name).unwrap()["needs_ip"].clone();
    assert_eq!(needs_ip("aws-java-ketama-dynamic-ip-only"), true);
    assert_eq!(needs_ip("libmemcached-ketama-weighted"), false);
}

fn ring(kind: RingKind, nodes: &[&str]) -> Ring {
    let nodes: Vec<RingNode> = nodes.iter().map(|node| node.parse().unwrap()).collect();
    Ring::new(kind, &nodes).unwrap()
}

fn place(ring: &Ring, index: usize) -> String {
    let node = &ring.nodes()[index];
    format!("{}:{}", node.host, node.port)
}

fn line_of(moved: &Value) -> String {
    [&moved["key"], &moved["from"], &moved["to"]].map(|field| field.as_str().unwrap()).join("\t")
}
