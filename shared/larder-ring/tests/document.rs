//! The ring document as it is written: what is read, what is refused and why, and that both ways fit together.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::collections::BTreeMap;
use std::time::Duration;

use larder_ring::{
    Epoch, HotKey, HotPhase, InvalidNode, MalformedDocument, Phase, Reign, RingDocument, RingNode,
};
use proptest::prelude::*;

// What is read.

#[test]
fn a_document_of_each_phase_is_read() {
    let active = read(
        br#"{"larder_ring":1,"epoch":1764096001,"phase":"active","time_ms":1764096001500,
            "names":["a:11211","b:11212@10.0.0.2"],"nodes":[1,0],
            "history":[{"from":1764096001,"nodes":[1,0]}]}"#,
    );
    let b = RingNode { ip: Some("10.0.0.2".into()), ..RingNode::new("b", 11212) };
    let nodes = vec![b, RingNode::new("a", 11211)];
    let epoch = Epoch::new(1_764_096_001).unwrap();
    let expected = RingDocument {
        epoch,
        phase: Phase::Active,
        nodes: nodes.clone(),
        next: Vec::new(),
        retired: Vec::new(),
        history: vec![Reign { from: epoch, to: None, nodes }],
        history_is_cut: false,
        hot: BTreeMap::new(),
        check_interval: None,
        time_ms: 1_764_096_001_500,
    };
    assert_eq!(active, expected);

    let joining = read(
        br#"{"larder_ring":1,"epoch":8,"phase":"joining","time_ms":0,"names":["a:1","b:1"],
            "nodes":[0],"next":[0,1],"history":[{"from":7,"nodes":[0]}]}"#,
    );
    assert_eq!(
        (joining.phase, hosts(&joining.nodes), hosts(&joining.next)),
        (Phase::Joining, "a".into(), "ab".into())
    );

    let warming = read(
        br#"{"larder_ring":1,"epoch":9,"phase":"warming","time_ms":0,"names":["a:1","b:1"],
            "nodes":[0],"next":[0,1],"history":[{"from":7,"nodes":[0]},{"from":9,"nodes":[0,1]}]}"#,
    );
    assert_eq!((warming.phase, warming.history.len()), (Phase::Warming, 2));

    let leaving = read(
        br#"{"larder_ring":1,"epoch":10,"phase":"leaving","time_ms":0,"names":["a:1","b:1","c:1"],
            "nodes":[0],"next":[0,1],"retired":[2],"hot":{"flights:1":{"copies":3,"phase":"writing"}},"history_is_cut":true,"check_ms":250,
            "history":[{"from":7,"to":10,"nodes":[0]},{"from":9,"nodes":[0,1]}]}"#,
    );
    assert_eq!((leaving.phase, leaving.history[0].to), (Phase::Leaving, Epoch::new(10)));
    let hot = HotKey { copies: 3, phase: HotPhase::Writing };
    assert_eq!((hosts(&leaving.retired), leaving.hot["flights:1"]), ("c".into(), hot));
    assert!(leaving.history_is_cut);
    assert_eq!(leaving.check_interval, Some(Duration::from_millis(250)));
}

#[test]
fn fields_that_are_not_known_are_left_alone() {
    let document = read(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],
            "history":[{"from":9,"nodes":[0],"reason":"first"}],"mood":{"is":["good",null,-1.5e300]}}"#,
    );
    assert_eq!(hosts(&document.nodes), "a");
}

#[test]
fn names_that_nobody_uses_and_names_that_stand_twice_do_no_harm() {
    let document = read(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1","x:1","a:1"],"nodes":[2],
            "history":[{"from":9,"nodes":[0]}]}"#,
    );
    assert_eq!(document.nodes, document.history[0].nodes);
}

#[test]
fn a_document_without_a_history_trusts_nothing_but_its_own_epoch() {
    use larder_ring::{RingKind, Trust};
    let document = read(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[]}"#,
    );
    let trust = |stamp| document.ownership(RingKind::default()).trust(b"k", &document.nodes[0], stamp);
    assert_eq!([trust(9), trust(8), trust(0)], [Trust::Trusted, Trust::Unknown, Trust::Unknown]);
}

// What is refused: bytes that are no document.

#[test]
fn what_is_no_json_is_refused() {
    refused_as_json(b"", "EOF");
    refused_as_json(b"\x00\xff\xfe", "expected value");
    refused_as_json(b"null", "invalid type: null");
    refused_as_json(b"[]", "invalid length 0");
    refused_as_json(b"{}", "missing field `larder_ring`");
    refused_as_json(br#"{"larder_ring":1"#, "EOF");
    refused_as_json(br#"{"larder_ring":1,}"#, "trailing comma");
    refused_as_json(br#"{"larder_ring":"1"}"#, "invalid type: string");
    refused_as_json(br#"{"larder_ring":1,"larder_ring":1}"#, "duplicate field `larder_ring`");
    refused_as_json(b"{\"larder_ring\":1,\"phase\":\"\xff\"}", "invalid unicode");
}

#[test]
fn a_document_cut_short_anywhere_is_refused() {
    for len in 0..SMALLEST.len() {
        let cut = RingDocument::parse(&SMALLEST[..len]);
        assert!(matches!(cut, Err(MalformedDocument::Json(_))), "{len} bytes: {cut:?}");
    }
    assert!(RingDocument::parse(SMALLEST).is_ok());
    refused_as_json(&[SMALLEST, b"{}"].concat(), "trailing characters");
}

#[test]
fn every_field_is_needed_and_each_once() {
    for field in ["epoch", "phase", "time_ms", "names", "nodes", "history"] {
        let renamed = text(SMALLEST).replace(&format!("\"{field}\":"), "\"other\":");
        refused_as_json(renamed.as_bytes(), &format!("missing field `{field}`"));
    }
    refused_as_json(
        br#"{"larder_ring":1,"epoch":9,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[]}"#,
        "duplicate field `epoch`",
    );
    refused_as_json(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"nodes":[0],"history":[]}"#,
        "duplicate field `nodes`",
    );
    refused_as_json(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":9,"from":9,"nodes":[0]}]}"#,
        "duplicate field `from`",
    );
}

#[test]
fn numbers_and_words_that_are_none_of_ours_are_refused() {
    for (ours, theirs) in [
        ("\"epoch\":9", "\"epoch\":-9"),
        ("\"epoch\":9", "\"epoch\":9.0"),
        ("\"epoch\":9", "\"epoch\":1e3"),
        ("\"epoch\":9", "\"epoch\":18446744073709551616"),
        ("\"epoch\":9", "\"epoch\":\"9\""),
        ("\"epoch\":9", "\"epoch\":null"),
        ("\"time_ms\":0", "\"time_ms\":-1"),
        ("\"active\"", "\"Active\""),
        ("\"active\"", "\"dancing\""),
        ("\"active\"", "0"),
        ("\"nodes\":[0]", "\"nodes\":[-1]"),
        ("\"nodes\":[0]", "\"nodes\":[0.5]"),
        ("\"nodes\":[0]", "\"nodes\":0"),
        ("\"nodes\":[0]", "\"nodes\":[\"a:1\"]"),
        ("\"names\":[\"a:1\"]", "\"names\":[1]"),
        ("\"history\":[]", "\"history\":{}"),
        ("\"history\":[]", "\"history\":[{\"nodes\":[0]}]"),
        ("\"history\":[]", "\"history\":[{\"from\":9}]"),
        ("\"history\":[]", "\"history\":[],\"hot\":{\"k\":2}"),
        ("\"history\":[]", "\"history\":[],\"hot\":{\"k\":{\"copies\":4294967296,\"phase\":\"reading\"}}"),
        ("\"history\":[]", "\"history\":[],\"hot\":{\"k\":{\"copies\":2,\"phase\":\"sleeping\"}}"),
        ("\"history\":[]", "\"history\":[],\"hot\":{\"k\":{\"phase\":\"reading\"}}"),
        ("\"history\":[]", "\"history\":[],\"hot\":[]"),
        ("\"history\":[]", "\"history\":[],\"next\":null"),
        ("\"history\":[]", "\"history\":[],\"history_is_cut\":1"),
    ] {
        let json = text(SMALLEST).replace(ours, theirs);
        assert_ne!(json.as_bytes(), SMALLEST, "{ours} is not in the document");
        assert!(matches!(refusal(json.as_bytes()), MalformedDocument::Json(_)), "{theirs}");
    }
}

#[test]
fn a_format_of_another_version_is_named_whatever_else_there_is() {
    check(br#"{"larder_ring":2}"#, MalformedDocument::Format(2));
    check(br#"{"ring":{"of":"tomorrow"},"larder_ring":0}"#, MalformedDocument::Format(0));
    let largest = br#"{"larder_ring":18446744073709551615,"epoch":"none"}"#;
    check(largest, MalformedDocument::Format(u64::MAX));
    assert_eq!(
        refusal(br#"{"larder_ring":2}"#).to_string(),
        "format 2 of the ring document is not known here: update the functions that read it"
    );
}

#[test]
fn a_document_that_is_too_long_is_not_even_looked_at() {
    let blank = vec![b' '; RingDocument::MAX_LEN + 1];
    check(&blank, MalformedDocument::TooLong(RingDocument::MAX_LEN + 1));
    let mut padded = SMALLEST.to_vec();
    padded.resize(RingDocument::MAX_LEN, b' ');
    assert!(RingDocument::parse(&padded).is_ok(), "the longest is not too long");
}

#[test]
fn brackets_without_end_are_refused_without_harm() {
    // A field that is not known is skipped without a stack; one that is known holds no brackets in brackets.
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let nested = open.repeat(RingDocument::MAX_LEN / open.len() - 50);
        refused_as_json(nested.as_bytes(), "");
        for field in ["mood", "nodes", "hot"] {
            let inside = format!("{{\"larder_ring\":1,\"{field}\":{nested}");
            refused_as_json(inside.as_bytes(), "");
        }
    }
}

// What is refused: documents that cannot be.

#[test]
fn a_name_that_is_no_node_is_refused() {
    for name in ["", "a", "a:", "a:0", "a:65536", ":1", "a b:1", "[::1:1", "a:1@nowhere", "a:1:2:3", "a:1:x"]
    {
        let json = text(SMALLEST).replace("a:1", name);
        assert!(matches!(refusal(json.as_bytes()), MalformedDocument::Node(_)), "{name}");
    }
    let long = format!("{}:1", "a".repeat(256));
    let json = text(SMALLEST).replace("a:1", &long);
    check(json.as_bytes(), MalformedDocument::Node(InvalidNode::Host { text: long }));
    assert_eq!(
        refusal(text(SMALLEST).replace("a:1", "a:0").as_bytes()).to_string(),
        "a node of the ring document: the port of node `a:0` must be a number from 1 to 65535"
    );
}

#[test]
fn a_number_without_a_name_is_refused() {
    for list in ["[1]", "[0,1]", "[18446744073709551615]"] {
        let json = text(SMALLEST).replace("\"nodes\":[0]", &format!("\"nodes\":{list}"));
        contradicts(json.as_bytes(), "a node has no name");
        let json = text(SMALLEST).replace("\"history\":[]", &format!("\"history\":[],\"retired\":{list}"));
        contradicts(json.as_bytes(), "a node has no name");
    }
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":[],"nodes":[0],"history":[]}"#,
        "a node has no name",
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":9,"nodes":[1]}]}"#,
        "a node has no name",
    );
}

#[test]
fn an_epoch_that_no_item_could_be_stamped_with_is_refused() {
    for epoch in ["0", "65536", "131072", "9007199254740993", "18446744073709551615"] {
        let json = text(SMALLEST).replace("\"epoch\":9", &format!("\"epoch\":{epoch}"));
        contradicts(json.as_bytes(), "an epoch is none");
    }
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":0,"nodes":[0]}]}"#,
        "an epoch is none",
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":7,"to":65536,"nodes":[0]}]}"#,
        "an epoch is none",
    );
}

#[test]
fn a_next_ring_that_does_not_go_with_the_phase_is_refused() {
    let reason = "there is a next ring exactly while the phase is not active";
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"next":[0],"history":[]}"#,
        reason,
    );
    for phase in ["joining", "warming", "leaving"] {
        contradicts(text(SMALLEST).replace("active", phase).as_bytes(), reason);
    }
}

#[test]
fn a_check_interval_is_from_a_millisecond_to_an_hour() {
    let with = |millis: u64| text(SMALLEST).replacen('{', &format!("{{\"check_ms\":{millis},"), 1);
    for millis in [1, 3_600_000] {
        let document = read(with(millis).as_bytes());
        assert_eq!(document.check_interval, Some(Duration::from_millis(millis)));
    }
    for millis in [0, 3_600_001, u64::MAX] {
        contradicts(with(millis).as_bytes(), "the check interval is from 1 ms to an hour");
    }
}

#[test]
fn a_ring_without_nodes_is_refused() {
    let reason = "a ring has no nodes";
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[],"history":[]}"#,
        reason,
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":9,"nodes":[]}]}"#,
        reason,
    );
}

#[test]
fn a_node_that_stands_in_a_list_twice_is_refused() {
    let reason = "a node stands in a list twice";
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0,0],"history":[]}"#,
        reason,
    );
    // Host and port make a node, whatever its weight and address.
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1","a:1:2@10.0.0.1"],"nodes":[0,1],"history":[]}"#,
        reason,
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"joining","time_ms":0,"names":["a:1"],"nodes":[0],"next":[0,0],"history":[]}"#,
        reason,
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"retired":[0,0],"history":[]}"#,
        reason,
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":9,"nodes":[0,0]}]}"#,
        reason,
    );
}

#[test]
fn a_history_that_is_out_of_order_is_refused() {
    let reason = "the history is out of order";
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":10,"nodes":[0]}]}"#,
        reason,
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":7,"to":10,"nodes":[0]}]}"#,
        reason,
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":7,"to":7,"nodes":[0]}]}"#,
        reason,
    );
    contradicts(
        br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[{"from":8,"to":9,"nodes":[0]},{"from":7,"nodes":[0]}]}"#,
        reason,
    );
}

#[test]
fn lists_without_end_are_refused() {
    let reigns = |count: u64| {
        let reigns: Vec<_> =
            (2..count + 2).map(|from| format!("{{\"from\":{from},\"nodes\":[0]}}")).collect();
        let history = format!("\"history\":[{}]", reigns.join(","));
        text(SMALLEST).replace("\"epoch\":9", "\"epoch\":99").replace("\"history\":[]", &history)
    };
    let hot = |count: u32| {
        let keys: Vec<_> = (0..count).map(|key| format!("\"{key}\":{HOT}")).collect();
        text(SMALLEST).replace("\"history\":[]", &format!("\"history\":[],\"hot\":{{{}}}", keys.join(",")))
    };
    let nodes = |count: u32| {
        let names: Vec<_> = (0..count).map(|node| format!("\"{node}:1\"")).collect();
        let numbers: Vec<_> = (0..count).map(|node| node.to_string()).collect();
        text(SMALLEST)
            .replace("\"a:1\"", &names.join(","))
            .replace("\"nodes\":[0]", &format!("\"nodes\":[{}]", numbers.join(",")))
    };
    let too_long = "the history or the list of hot keys is too long";
    assert_eq!(read(reigns(32).as_bytes()).history.len(), RingDocument::MAX_HISTORY);
    contradicts(reigns(33).as_bytes(), too_long);
    assert_eq!(read(hot(256).as_bytes()).hot.len(), RingDocument::MAX_HOT);
    contradicts(hot(257).as_bytes(), too_long);
    for copies in ["1", "17"] {
        let json = hot(1).replace("\"copies\":2", &format!("\"copies\":{copies}"));
        contradicts(json.as_bytes(), "a hot key has 2 to 16 copies");
    }
    assert_eq!(read(nodes(1024).as_bytes()).nodes.len(), 1024);
    contradicts(nodes(1025).as_bytes(), "there are more nodes than a ring takes");
}

const HOT: &str = r#"{"copies":2,"phase":"reading"}"#;

// Both ways.

#[test]
fn a_document_is_written_on_one_line_as_a_person_reads_it() {
    let document = read(SMALLEST);
    let line = br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[]}"#;
    assert_eq!(text(&document.encode()), format!("{}\n", text(line)));
}

#[test]
fn the_largest_cluster_with_a_full_history_fits() {
    let node = |number: usize| RingNode {
        ip: Some(format!("10.10.100.{}", 100 + number)),
        ..RingNode::new(format!("{}{number:02}", "n".repeat(58)), 11211)
    };
    let nodes: Vec<RingNode> = (0..40).map(node).collect();
    let epoch = |past: usize| Epoch::new(1_764_096_099 - past as u64).unwrap();
    let reign = |past| Reign { from: epoch(past + 1), to: Some(epoch(past)), nodes: nodes.clone() };
    let document = RingDocument {
        epoch: epoch(0),
        phase: Phase::Leaving,
        next: nodes.clone(),
        retired: nodes.clone(),
        history: (0..RingDocument::MAX_HISTORY).rev().map(reign).collect(),
        nodes: nodes.clone(),
        history_is_cut: true,
        hot: BTreeMap::new(),
        check_interval: Some(RingDocument::MAX_CHECK_INTERVAL),
        time_ms: 1_764_096_099_999,
    };
    let json = document.encode();
    assert!(json.len() < RingDocument::MAX_LEN / 4, "{} bytes leave no room for hot keys", json.len());
    assert_eq!(read(&json), document);
}

proptest! {
    #[test]
    fn what_is_written_is_read(document in documents()) {
        prop_assert_eq!(RingDocument::parse(&document.encode()), Ok(document));
    }

    #[test]
    fn no_bytes_do_harm(mut json in documents().prop_map(|document| document.encode()), changes in changes()) {
        for (at, byte) in changes {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Ok(document) = RingDocument::parse(&json) {
            prop_assert_eq!(RingDocument::parse(&document.encode()), Ok(document));
        }
    }
}

/// Documents that do not contradict themselves, whatever else they say.
fn documents() -> impl Strategy<Value = RingDocument> {
    let epochs = (100..1_u64 << 40).prop_filter("no epoch", |number| Epoch::new(*number).is_some());
    let rings = (lists(1..8), lists(1..8), lists(0..4), any::<bool>());
    let phase = prop_oneof![Just(HotPhase::Writing), Just(HotPhase::Reading)];
    let hot = (HotKey::COPIES, phase).prop_map(|(copies, phase)| HotKey { copies, phase });
    let hot = prop::collection::btree_map("\\PC{1,20}", hot, 0..5);
    let history = prop::collection::vec((lists(1..6), prop::option::of(0..30_u64)), 0..6);
    let check_interval = prop::option::of((1..=3_600_000_u64).prop_map(Duration::from_millis));
    (epochs, phases(), rings, history, hot, check_interval, any::<u64>()).prop_map(
        |(number, phase, (nodes, next, retired, history_is_cut), history, hot, check_interval, time_ms)| {
            let epoch = Epoch::new(number).unwrap();
            let reigns = history.into_iter().enumerate().filter_map(|(at, (nodes, len))| {
                let from = number - 60 + 10 * at as u64;
                let to = match len {
                    Some(len) => Some(Epoch::new((from + 1 + len).min(number))?),
                    None => None,
                };
                Some(Reign { from: Epoch::new(from)?, to, nodes })
            });
            RingDocument {
                epoch,
                phase,
                next: if phase == Phase::Active { Vec::new() } else { next },
                history: reigns.collect(),
                nodes,
                retired,
                history_is_cut,
                hot,
                check_interval,
                time_ms,
            }
        },
    )
}

fn phases() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![Phase::Active, Phase::Joining, Phase::Warming, Phase::Leaving])
}

/// Lists of different nodes out of a few, so that lists share some: names, quotes, IPv6, weights and addresses.
fn lists(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<RingNode>> {
    let hosts = ["cache-1", "cache-2.example", "quoted\"\\", "2001:db8::7", "käse", "n", "o", "p"];
    let node = (any::<prop::sample::Index>(), 1..4_u16, 0..3_u32, prop::option::of(0..3_u8));
    let nodes = node.prop_map(move |(host, port, weight, ip)| RingNode {
        host: host.get(&hosts).to_string(),
        port,
        weight,
        ip: ip.map(|ip| format!("10.0.0.{ip}")),
    });
    prop::collection::vec(nodes, len.start.max(1) * 2..len.end * 2).prop_map(move |mut nodes| {
        let mut seen = std::collections::HashSet::new();
        nodes.retain(|node| seen.insert((node.host.clone(), node.port)));
        nodes.truncate(len.end - 1);
        nodes
    })
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
}

#[track_caller]
fn read(json: &[u8]) -> RingDocument {
    RingDocument::parse(json).unwrap_or_else(|error| panic!("{error}: {}", json.escape_ascii()))
}

#[track_caller]
fn refusal(json: &[u8]) -> MalformedDocument {
    match RingDocument::parse(json) {
        Err(error) => error,
        Ok(document) => panic!("read as {document:?}: {}", json.escape_ascii()),
    }
}

#[track_caller]
fn check(json: &[u8], expected: MalformedDocument) {
    assert_eq!(refusal(json), expected, "{}", json.escape_ascii());
}

#[track_caller]
fn contradicts(json: &[u8], reason: &'static str) {
    check(json, MalformedDocument::Contradiction(reason));
}

#[track_caller]
fn refused_as_json(json: &[u8], reason: &str) {
    let shown = &json[..json.len().min(200)];
    match refusal(json) {
        MalformedDocument::Json(error) => {
            assert!(error.contains(reason), "{error}: {}", shown.escape_ascii());
        }
        other => panic!("{other}: {}", shown.escape_ascii()),
    }
}

fn text(json: &[u8]) -> &str {
    std::str::from_utf8(json).unwrap()
}

fn hosts(nodes: &[RingNode]) -> String {
    nodes.iter().map(|node| node.host.as_str()).collect()
}

/// A document of one node that says no more than it must.
const SMALLEST: &[u8] =
    br#"{"larder_ring":1,"epoch":9,"phase":"active","time_ms":0,"names":["a:1"],"nodes":[0],"history":[]}"#;
