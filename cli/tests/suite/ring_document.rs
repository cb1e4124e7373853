//! `larder ring show`, `reconcile` and `forget`, against a local cluster.

use crate::support::cluster::{client, cluster, listed, publish_first, publish_up_to, reach};
use crate::support::{check_failure, run, run_well};
use larder_client::{Key, NewItem, Ttl};
use larder_local::{ConfigReply, NodeId};
use larder_ring::{Phase, RingDocument};

#[tokio::test]
async fn without_a_document_every_node_is_shown_to_hold_none() {
    let cluster = cluster(2).await;
    let output = run(&format!("ring show {}", reach(&cluster)), b"");
    assert_eq!(output.status.code(), Some(3));
    let mut text = String::from("no ring document: the ring is what discovery lists\nheld by the nodes\n");
    text.extend(cluster.nodes().iter().map(|node| format!("  {}:{}  no document\n", node.name, node.port)));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    check_failure(&format!("ring show {} --json", reach(&cluster)), 3, "");
}

#[tokio::test]
async fn the_document_is_shown_with_both_rings_its_history_and_who_holds_it() {
    let cluster = cluster(2).await;
    let first = publish_first(&cluster).await;
    cluster.add_node().await.unwrap();
    let document = publish_up_to(&cluster, &first, Phase::Warming).await;
    let text = run_well(&format!("ring show {}", reach(&cluster)), b"");
    let epoch = document.epoch.number();
    assert!(text.starts_with(&format!("epoch {epoch}, warming, published 2")), "{text}");
    let places = places(&cluster);
    let [from, to] = [first.epoch.number(), epoch];
    let history = [
        format!("{from} to now         {}", places[..2].join(" ")),
        format!("{to} to now         {}", places.join(" ")),
    ];
    let nodes: Vec<String> = listed(&cluster).iter().map(ToString::to_string).collect();
    let held: Vec<String> = places.iter().map(|place| format!("{place}  epoch {epoch}")).collect();
    for (title, lines) in
        [("nodes", &nodes[..2]), ("next nodes", &nodes), ("history", &history), ("held by the nodes", &held)]
    {
        assert!(
            text.contains(&format!("\n{title}\n  {}\n", lines.join("\n  "))),
            "{title} {lines:?}: {text}"
        );
    }
}

#[tokio::test]
async fn the_json_is_that_which_the_nodes_hold() {
    let cluster = cluster(1).await;
    publish_first(&cluster).await;
    let node = client(&cluster).direct(&listed(&cluster)[0]);
    let stored = node.get_many(&[ring_key()]).await.unwrap().remove(0).unwrap().value;
    let printed = run(&format!("ring show {} --json", reach(&cluster)), b"");
    assert_eq!((printed.status.code(), &printed.stdout[..]), (Some(0), &stored[..]));
}

#[tokio::test]
async fn a_node_that_lags_behind_fails_or_holds_something_else_is_shown_beside_the_others() {
    let cluster = cluster(5).await;
    let first = publish_first(&cluster).await;
    let retired = listed(&cluster).remove(4);
    let document = first.retiring(&retired, first.time_ms).unwrap();
    let client = client(&cluster);
    let nodes: Vec<_> = listed(&cluster).iter().map(|node| client.direct(node)).collect();
    let before = nodes[0].document().await.unwrap().unwrap().version;
    nodes[0].store_document(&document, Some(&before)).await.unwrap();
    let nonsense = NewItem { key: &ring_key(), value: b"{}", client_flags: 7, ttl: Ttl::clamped(60) };
    nodes[2].set(nonsense).await.unwrap();
    assert!(nodes[4].forget_document().await.unwrap());
    cluster.kill_node(NodeId(4)).await.unwrap();
    cluster.add_node().await.unwrap();

    let output = run(&format!("ring show {}", reach(&cluster)), b"");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let held = text.split_once("held by the nodes\n").unwrap().1.lines();
    let expected = [
        format!("epoch {}", document.epoch.number()),
        format!("epoch {}, which is over", first.epoch.number()),
        "no document but something else: ".to_owned(),
        "cannot be asked: ".to_owned(),
        "no document".to_owned(),
        "no document, and in no ring".to_owned(),
    ];
    assert_eq!(held.clone().count(), expected.len(), "{text}");
    for ((line, place), expected) in held.zip(places(&cluster)).zip(expected) {
        assert!(line.starts_with(&format!("  {place}  {expected}")), "{expected}: {text}");
    }
    assert!(text.contains(&format!("retired\n  {retired}\n")), "{text}");
    // What is known is printed, for those who read it by machine.
    let json = run_well(&format!("ring show {} --json", reach(&cluster)), b"");
    assert_eq!(RingDocument::parse(json.as_bytes()).unwrap(), document);
}

#[tokio::test]
async fn a_node_that_came_is_taken_into_the_ring_in_four_steps() {
    let cluster = cluster(2).await;
    let reconcile = format!("ring reconcile {} {QUICK}", reach(&cluster));
    let text = run_well(&reconcile, b"");
    assert_eq!(steps(&text), ["active"]);
    assert!(text.contains(&places(&cluster).join(" ")), "{text}");

    cluster.add_node().await.unwrap();
    let text = run_well(&reconcile, b"");
    assert_eq!(steps(&text), ["joining", "warming", "leaving", "active"]);
    let shown = run_well(&format!("ring show {} --json", reach(&cluster)), b"");
    let shown = RingDocument::parse(shown.as_bytes()).unwrap();
    assert_eq!((shown.phase, &shown.nodes), (Phase::Active, &listed(&cluster)));
    assert_eq!(client(&cluster).ring_document().await.unwrap(), Some(shown));

    let text = run_well(&reconcile, b"");
    assert!(steps(&text).is_empty() && text.contains(", active, "), "{text}");
}

#[tokio::test]
async fn work_that_is_left_is_told_and_done_by_the_next_run() {
    let cluster = cluster(2).await;
    let reconcile = format!("ring reconcile {}", reach(&cluster));
    run_well(&reconcile, b"");
    cluster.add_node().await.unwrap();
    // Before the first step alone it has to wait for longer.
    let output = run(&format!("{reconcile} --warm-secs 0 --timeout-secs 1"), b"");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("error: the ring is not yet as it should be: the time was over"), "{stderr}");
    let text = run_well(&format!("{reconcile} {QUICK}"), b"");
    assert_eq!(steps(&text).last().map(String::as_str), Some("active"));
}

#[tokio::test]
async fn a_node_of_the_ring_that_is_silent_holds_a_change_up() {
    let cluster = cluster(2).await;
    let reconcile = format!("ring reconcile {} {QUICK}", reach(&cluster));
    run_well(&reconcile, b"");
    cluster.add_node().await.unwrap();
    cluster.pause_node(NodeId(2)).await.unwrap();
    let output = run(&reconcile, b"");
    assert_eq!(output.status.code(), Some(1));
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(stdout.contains(&format!("could not be asked: {}\n", places(&cluster)[1])), "{stdout}");
    assert!(stderr.contains("a node of the ring does not answer"), "{stderr}");
}

#[tokio::test]
async fn environments_that_start_after_the_ring_is_forgotten_go_by_discovery() {
    let cluster = cluster(2).await;
    let document = publish_first(&cluster).await;
    let (before, key) = (client(&cluster), Key::new(b"a").unwrap());
    before.get(&key).await.unwrap();

    let forget = format!("ring forget {}", reach(&cluster));
    check_failure(&forget, 2, "say --yes");
    assert_eq!(run(&format!("ring show {}", reach(&cluster)), b"").status.code(), Some(0));

    let text = run_well(&format!("{forget} --yes"), b"");
    for place in places(&cluster) {
        assert!(text.contains(&format!("{place}  taken off\n")), "{text}");
    }
    assert!(text.contains(&format!("those that run go by epoch {}", document.epoch.number())), "{text}");
    let after = client(&cluster);
    for client in [&before, &after] {
        client.get(&key).await.unwrap();
    }
    assert_eq!(before.ring_document().await.unwrap(), Some(document));
    assert_eq!(after.ring_document().await.unwrap(), None);

    let text = run_well(&format!("{forget} --yes"), b"");
    assert!(text.contains(&format!("{}  had none\n", places(&cluster)[0])), "{text}");
}

#[tokio::test]
async fn forgetting_in_the_middle_of_a_change_and_beside_a_failed_node_says_what_is_left() {
    let cluster = cluster(2).await;
    let first = publish_first(&cluster).await;
    cluster.add_node().await.unwrap();
    publish_up_to(&cluster, &first, Phase::Joining).await;
    cluster.kill_node(NodeId(2)).await.unwrap();
    let output = run(&format!("ring forget {} --yes", reach(&cluster)), b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("The ring was joining") && text.contains("run this again"), "{text}");
    for (place, outcome) in places(&cluster).iter().zip(["taken off", "error: ", "taken off"]) {
        assert!(text.contains(&format!("{place}  {outcome}")), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let cluster = cluster(1).await;
    let reach = reach(&cluster);
    check_failure(&format!("ring reconcile {reach} --ring-check-interval-ms 99"), 2, "100..=60000");
    check_failure(&format!("ring reconcile {reach} --timeout-secs 0"), 2, "1..=86400");
    cluster.answer_config(ConfigReply::NotSupported).await.unwrap();
    for command in ["show", "reconcile", "forget --yes"] {
        check_failure(&format!("ring {command} {reach}"), 1, "name a configuration endpoint");
    }
}

/// The phases that were published, as printed.
fn steps(text: &str) -> Vec<String> {
    let published = text.lines().filter_map(|line| line.strip_prefix("published epoch "));
    published.map(|line| line.split_once(", ").unwrap().1.to_owned()).collect()
}

/// The nodes as `host:port`.
fn places(cluster: &larder_local::LocalCluster) -> Vec<String> {
    cluster.nodes().iter().map(|node| format!("{}:{}", node.name, node.port)).collect()
}

fn ring_key() -> Key {
    Key::new(RingDocument::RING_KEY.as_bytes()).unwrap()
}

/// Waits of 0.7 s between the steps, and no warm-up.
const QUICK: &str = "--ring-check-interval-ms 100 --timeout-ms 500 --warm-secs 0";
