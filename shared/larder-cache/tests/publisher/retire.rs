//! Nodes that leave the ring because we say so, and come back.

use std::cell::Cell;
use std::time::Duration;

use larder_cache::{PublishError, Publisher, Report, Unfinished};
use larder_client::{Cluster, Config, Error, NodeError};
use larder_local::{LocalCluster, NodeId};
use larder_ring::{Phase, RingDocument, RingNode};
use tokio::time::sleep;

use crate::support::*;

#[tokio::test]
async fn a_retired_node_is_drained_stays_out_while_it_is_listed_and_is_then_forgotten() {
    let (local, _) = settled(3).await;
    let (publisher, third) = (publisher(&local), node(&local, 3));
    assert_eq!(
        publisher.retire(&third, in_millis(200)).await.unwrap().unfinished,
        Some(Unfinished::OutOfTime)
    );
    let mut document = comes_to(&local, &publisher, Phase::Joining, "123>12").await;
    while document.phase != Phase::Leaving {
        document = after(&document, &document.next);
    }
    place(&local, &document).await;
    check(&publisher.retire(&third, soon()).await.unwrap(), &[Phase::Active], "12");
    check(&publisher.retire(&third, soon()).await.unwrap(), &[], "12");
    let report = finish(&publisher).await;
    check(&report, &[], "12");
    assert_eq!(report.document.as_ref().unwrap().retired, [third]);
    all_hold(report.document.as_ref().unwrap(), &held(&local).await);

    local.remove_node(NodeId(3)).await.unwrap();
    let report = finish(&publisher).await;
    check(&report, &[Phase::Active], "12");
    assert_eq!(report.document.unwrap().retired, []);
}

#[tokio::test]
async fn a_restored_node_comes_back_step_by_step() {
    let (local, document) = settled(3).await;
    let publisher = publisher(&local);
    check(&publisher.restore(&node(&local, 3), soon()).await.unwrap(), &[], "123");
    let retired = document.retiring(&node(&local, 3), now_ms()).unwrap();
    let mut out = after(&retired, &ring_nodes(&local));
    while out.phase != Phase::Active {
        out = after(&out, &ring_nodes(&local));
    }
    place(&local, &out).await;
    let restored = publisher.restore(&node(&local, 3), in_millis(200)).await.unwrap();
    assert_eq!((phases(&restored), restored.document.unwrap().retired), (vec![Phase::Active], vec![]));
    comes_to(&local, &publisher, Phase::Joining, "12>123").await;
}

#[tokio::test]
async fn a_node_that_has_retired_may_be_removed_and_nobody_misses_it() {
    let (local, active) = settled(2).await;
    let mut document = active.retiring(&node(&local, 2), now_ms()).unwrap();
    while document.phase != Phase::Leaving {
        document = after(&document, &ring_nodes(&local));
    }
    place(&local, &document).await;
    // An environment that looks at the ring three times a second at most, and one that publishes for it.
    let config = || Config { ring_check_interval: Duration::from_millis(300), ..config(&local) };
    let environment = Cluster::new(config()).unwrap();
    let publisher = Publisher::new(Cluster::new(config()).unwrap(), warm_up());
    let moving = moving_key(&document, 2, 1);
    delete(&environment, &moving).await;

    let left = Cell::new(None);
    let writes = async {
        while left.get() != Some(0) {
            let written = environment.delete(&moving).await;
            let is_missed = matches!(written, Err(Error::Node { source: NodeError::Connect(_), .. }));
            assert!(!is_missed, "{written:?}");
            left.set(left.get().map(|left| left - 1));
            sleep(Duration::from_millis(5)).await;
        }
    };
    let retired = async {
        check(&publisher.retire(&node(&local, 2), soon()).await.unwrap(), &[Phase::Active], "1");
        local.remove_node(NodeId(2)).await.unwrap();
        left.set(Some(20));
    };
    tokio::join!(writes, retired);
}

#[tokio::test]
async fn a_retirement_that_was_cut_short_is_finished_by_any_run() {
    let (local, _) = settled(2).await;
    let publisher = publisher(&local);
    let report = publisher.retire(&node(&local, 1), in_millis(300)).await.unwrap();
    assert_eq!(report.unfinished, Some(Unfinished::OutOfTime));
    comes_to(&local, &publisher, Phase::Warming, "12>2").await;
}

#[tokio::test]
async fn a_wish_is_granted_though_the_first_node_has_lost_its_document() {
    let (local, _) = settled(3).await;
    local.reboot_node(NodeId(1)).await.unwrap();
    let publisher = publisher(&local);
    let report = publisher.retire(&node(&local, 3), in_millis(200)).await.unwrap();
    assert_eq!(phases(&report)[..1], [Phase::Active]);
    assert_eq!(report.document.unwrap().retired, [node(&local, 3)]);
}

#[tokio::test]
async fn a_retired_node_that_is_silent_holds_the_next_change_up() {
    // Whoever has not followed yet may look there, and only there.
    let (local, document) = settled(3).await;
    let retired = document.retiring(&node(&local, 3), now_ms() - 3_600_000).unwrap();
    let nodes = ring_nodes(&local)[..2].to_vec();
    place(&local, &RingDocument { nodes, ..retired }).await;
    local.add_node().await.unwrap();
    local.pause_node(NodeId(3)).await.unwrap();
    let report = reconcile(&publisher(&local)).await;
    assert_eq!((phases(&report), report.unfinished), (vec![], Some(Unfinished::Unreachable)));
    local.resume_node(NodeId(3)).await.unwrap();
    comes_to(&local, &publisher(&local), Phase::Joining, "12>124").await;
}

#[tokio::test]
async fn a_new_node_that_is_retired_before_it_has_joined_does_not_join() {
    let (local, _) = settled(2).await;
    local.add_node().await.unwrap();
    let publisher = publisher(&local);
    check(&publisher.retire(&node(&local, 3), soon()).await.unwrap(), &[Phase::Active], "12");
    check(&finish(&publisher).await, &[], "12");
}

#[tokio::test]
async fn who_is_off_the_list_leaves_without_being_retired() {
    let (local, _) = settled(2).await;
    let second = node(&local, 2);
    local.remove_node(NodeId(2)).await.unwrap();
    let report = publisher(&local).retire(&second, soon()).await.unwrap();
    check(&report, &[Phase::Active], "1");
    refused(publisher(&local).retire(&second, soon()).await);
}

#[tokio::test]
async fn nobody_retires_a_stranger_or_the_last_node() {
    let (local, document) = settled(2).await;
    let publisher = publisher(&local);
    refused(publisher.retire(&RingNode::new("larder.local.0009.cache.internal", 11211), soon()).await);
    let other_port = RingNode { port: 1, ..node(&local, 1) };
    refused(publisher.retire(&other_port, soon()).await);

    delist(&local, &[2]).await;
    refused(publisher.retire(&node(&local, 1), soon()).await);
    all_hold(&document, &held(&local).await);

    // It was to leave already, and now it is the only one that is listed.
    place(&local, &document.retiring(&node(&local, 1), now_ms()).unwrap()).await;
    refused(publisher.retire(&node(&local, 1), soon()).await);
}

#[tokio::test]
async fn of_two_nodes_that_are_retired_at_once_one_stays() {
    let (local, _) = settled(2).await;
    let (one, two) = (publisher(&local), publisher(&local));
    let nodes = (node(&local, 1), node(&local, 2));
    // Whoever ends first has been denied, for the other one has a change to make.
    tokio::select! {
        one = one.retire(&nodes.0, soon()) => refused(one),
        two = two.retire(&nodes.1, soon()) => refused(two),
    }
    let document = publisher(&local).document(soon()).await.unwrap().unwrap();
    assert_eq!((document.nodes.len(), document.retired.len()), (2, 1));
}

#[track_caller]
fn refused(run: Result<Report, PublishError>) {
    assert!(matches!(run, Err(PublishError::CannotRetire(_))), "{run:?}");
}

fn node(local: &LocalCluster, id: u16) -> RingNode {
    ring_node(local.nodes().iter().find(|node| node.id == NodeId(id)).unwrap())
}
