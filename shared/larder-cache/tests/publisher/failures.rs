//! Nodes that fail in the middle of a change: that die, are silent, or take nothing.

use std::time::Duration;

use bytes::Bytes;
use larder_cache::{Cache, OriginGuard, Policy, PublishError, Publisher, Unfinished, WarmUp};
use larder_client::{Cluster, Config, Key, Ttl};
use larder_local::{LocalCluster, NodeId, Options};
use larder_ring::{Phase, RingDocument};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test]
async fn a_present_node_that_dies_in_a_change_leaves_when_it_is_off_the_list() {
    let (local, _) = growing(3, Phase::Leaving).await;
    let publisher = publisher(&local);
    local.kill_node(NodeId(1)).await.unwrap();
    let report = reconcile(&publisher).await;
    assert_eq!((phases(&report), report.unfinished), (vec![], Some(Unfinished::Unreachable)));
    local.remove_node(NodeId(1)).await.unwrap();
    let report = finish(&publisher).await;
    check(&report, &[Phase::Active, Phase::Active], "234");
    all_hold(report.document.as_ref().unwrap(), &held(&local).await);
}

#[tokio::test]
async fn without_a_cluster_to_ask_a_run_says_so() {
    let (local, _) = settled(1).await;
    let publisher = publisher(&local);
    drop(local);
    let run = publisher.reconcile(soon()).await;
    assert!(matches!(run, Err(PublishError::Nodes(_))), "{run:?}");
}

#[tokio::test]
async fn a_silent_new_node_may_be_read_by_others_and_so_the_change_waits_for_it() {
    let (local, document) = growing(3, Phase::Warming).await;
    let (reader, writer) = (client(&local), client(&local));
    let moving = moving_key(&document, 1, 4);
    assert_eq!(load(&reader, &moving, "old").await, "old");

    local.pause_node(NodeId(4)).await.unwrap();
    let report = publisher(&local).reconcile(in_millis(4000)).await.unwrap();
    local.resume_node(NodeId(4)).await.unwrap();
    // As the fleet has it now, whatever that is.
    delete(&writer, &moving).await;
    for _ in 0..10 {
        assert_eq!(load(&reader, &moving, "new").await, "new", "{report:?}");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((phases(&report), report.unfinished), (vec![], Some(Unfinished::Unreachable)));
    check(&finish(&publisher(&local)).await, &STEPS[2..], "1234");
}

#[tokio::test]
async fn a_node_off_the_list_that_is_silent_for_a_moment_is_drained_and_not_dropped() {
    let (local, _) = settled(3).await;
    delist(&local, &[3]).await;
    local.pause_node(NodeId(3)).await.unwrap();
    let config = Config { ring_check_interval: Duration::from_secs(1), ..config(&local) };
    let pause = config.timeout + Duration::from_millis(100);
    let publisher = Publisher::new(Cluster::new(config).unwrap(), warm_up());
    let resumed = async {
        // For longer than one look lasts.
        sleep(pause).await;
        local.resume_node(NodeId(3)).await.unwrap();
    };
    tokio::join!(comes_to(&local, &publisher, Phase::Joining, "123>12"), resumed);
}

#[tokio::test]
async fn who_reads_from_a_node_that_was_given_up_learns_of_it_elsewhere() {
    let (local, document) = growing(3, Phase::Warming).await;
    let (reader, writer) = (client(&local), client(&local));
    let moving = moving_key(&document, 1, 4);
    assert_eq!(load(&reader, &moving, "old").await, "old");

    // Off the list and silent for long, it counts as lost; and then it turns out that it was not.
    delist(&local, &[4]).await;
    local.pause_node(NodeId(4)).await.unwrap();
    check(&finish(&publisher(&local)).await, &[Phase::Joining, Phase::Active], "123");
    local.resume_node(NodeId(4)).await.unwrap();
    delete(&writer, &moving).await;
    for _ in 0..10 {
        assert_eq!(load(&reader, &moving, "new").await, "new");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_wakes_up_beside_a_node_that_has_left_learns_of_the_rest_elsewhere() {
    // Frozen while node 3 was leaving; thawed when node 4 has come, of which node 3 was not told any more.
    let (local, active) = settled(3).await;
    let mut document = active.clone();
    let mut steps = Vec::new();
    while document.phase != Phase::Active || document == active {
        document = after(&document, &active.nodes[..2]);
        steps.push(document.clone());
    }
    let [_, _, leaving, left] = &steps[..] else { panic!("{steps:?}") };
    place(&local, leaving).await;
    let (writer, reader) = (client(&local), client(&local));
    look(&writer).await;
    place(&local, left).await;
    local.add_node().await.unwrap();
    let listed: Vec<_> = [0, 1, 3].into_iter().map(|at| ring_nodes(&local)[at].clone()).collect();
    let warming = after(&after(left, &listed), &listed);
    for at in [0, 1, 3] {
        place_on(&local, local.nodes()[at].clone(), &warming).await;
    }
    let moves_on: Vec<Key> = moving_keys(&warming, 1, 4).take(500).collect();
    let moving = moving_keys(leaving, 3, 1).find(|key| moves_on.contains(key)).unwrap();

    assert_eq!(load(&reader, &moving, "old").await, "old");
    assert_eq!(reader.ring_document().await.unwrap().as_ref(), Some(&warming));
    delete(&writer, &moving).await;
    assert_eq!(load(&reader, &moving, "new").await, "new", "{:?}", writer.ring_document().await);
}

#[tokio::test]
async fn a_silent_node_holds_a_change_up_until_it_answers() {
    let (local, _) = growing(3, Phase::Leaving).await;
    let publisher = publisher(&local);
    local.pause_node(NodeId(2)).await.unwrap();
    let report = reconcile(&publisher).await;
    assert_eq!((phases(&report), report.unfinished), (vec![], Some(Unfinished::Unreachable)));

    local.resume_node(NodeId(2)).await.unwrap();
    check(&finish(&publisher).await, &STEPS[3..], "1234");
}

#[tokio::test]
async fn a_new_node_that_dies_takes_the_change_back_step_by_step() {
    let goes_back = |phase, back: &'static [Phase]| async move {
        let (local, document) = growing(3, phase).await;
        local.kill_node(NodeId(4)).await.unwrap();
        let publisher = publisher(&local);
        let report = reconcile(&publisher).await;
        assert_eq!(
            (phases(&report), shown(report.document.as_ref().unwrap())),
            (back.to_vec(), "123".into())
        );
        assert!(report.document.as_ref().unwrap().epoch > document.epoch);
        assert_eq!(report.unfinished, Some(Unfinished::Unreachable), "it is listed, and not in the ring");

        if phase == Phase::Warming {
            local.reboot_node(NodeId(4)).await.unwrap();
            comes_to(&local, &publisher, Phase::Joining, "123>1234").await;
        }
    };
    tokio::join!(
        goes_back(Phase::Joining, &[Phase::Active]),
        goes_back(Phase::Warming, &[Phase::Joining, Phase::Active]),
    );
}

#[tokio::test]
async fn a_new_node_that_dies_while_it_is_warmed_takes_the_change_back() {
    let (local, warming) = growing(2, Phase::Warming).await;
    let warm_up = WarmUp { least: Duration::from_millis(1200), ..warm_up() };
    let publisher = Publisher::new(client(&local), warm_up);
    let failure = async {
        sleep(client(&local).settle_time() + Duration::from_millis(300)).await;
        local.kill_node(NodeId(3)).await.unwrap();
    };
    let (document, ()) = tokio::join!(comes_to(&local, &publisher, Phase::Active, "12"), failure);
    assert_eq!(document.epoch, warming.epoch.next().next());
}

#[tokio::test]
async fn a_node_that_takes_no_document_holds_a_change_up() {
    // Out of memory, and told not to evict anything: it answers every question and stores nothing.
    let options =
        Options { nodes: 3, memory_mib: 2, memcached_args: vec!["-M".into()], ..Options::default() };
    let local = LocalCluster::start(options).await.unwrap();
    let document = RingDocument::first(ring_nodes(&local), now_ms() - 3_600_000);
    place(&local, &document).await;
    assert_eq!(ask(endpoint(&local, NodeId(3)), b"md larder~ring\r\n").await, "HD");
    fill_up(&local, NodeId(3)).await;

    local.add_node().await.unwrap();
    let report = reconcile(&publisher(&local)).await;
    assert_eq!(report.unfinished, Some(Unfinished::Unreachable), "{report:?}");
    assert!(phases(&report).is_empty(), "node 3 would not be told: {report:?}");
}

#[tokio::test]
async fn a_silent_node_does_not_hold_a_run_up_for_longer_than_its_deadline() {
    let (local, _) = growing(3, Phase::Joining).await;
    local.pause_node(NodeId(2)).await.unwrap();
    let (publisher, begun) = (publisher(&local), Instant::now());
    let report = publisher.reconcile(in_millis(150)).await.unwrap();
    assert_eq!(report.unfinished, Some(Unfinished::OutOfTime));
    let document = publisher.document(in_millis(50)).await;
    assert!(matches!(document, Err(PublishError::Deadline)), "{document:?}");
    assert!(begun.elapsed() < Duration::from_millis(450), "{:?}", begun.elapsed());
}

/// Fills a node until it takes no document any more, whatever its length.
async fn fill_up(local: &LocalCluster, id: NodeId) {
    let node = endpoint(local, id);
    for len in (300..3000).step_by(100) {
        let value = "x".repeat(len);
        let mut number = 0;
        until("the node is full", || {
            let quiet = |nth| if nth < 200 { "q" } else { "" };
            let set = |nth| format!("ms full:{len}:{number}:{nth} {len} {}\r\n{value}\r\n", quiet(nth));
            let sets: String = (0..=200).map(set).collect();
            number += 1;
            async move { ask(node, sets.as_bytes()).await.starts_with("SERVER_ERROR") }
        })
        .await;
    }
}

/// The value under `key`, which is `value` if it is not cached.
async fn load(cluster: &larder_client::Cluster, key: &Key, value: &'static str) -> String {
    let cache = Cache::new(cluster.clone(), OriginGuard::new(4));
    let policy = Policy::fresh_for(Ttl::clamped(60));
    let load = || async { Ok::<_, ()>(Some(Bytes::from_static(value.as_bytes()))) };
    let (answer, _) = cache.get_or_load(key, &policy, soon(), load).await;
    String::from_utf8(answer.unwrap().value.unwrap().to_vec()).unwrap()
}
