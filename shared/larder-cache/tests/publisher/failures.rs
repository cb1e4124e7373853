//! Nodes that fail in the middle of a change: that die, are silent, or take nothing.

use larder_cache::Unfinished;
use larder_local::NodeId;
use larder_ring::Phase;

use crate::support::*;

#[tokio::test]
async fn a_present_node_that_dies_in_a_change_leaves_when_it_is_off_the_list() {
    let (local, _) = growing(3, Phase::Leaving).await;
    let publisher = publisher(&local);
    local.kill_node(NodeId(1)).await.unwrap();
    let report = reconcile(&publisher).await;
    assert_eq!((phases(&report), report.unfinished), (vec![], Some(Unfinished::Unreachable)));
    local.remove_node(NodeId(1)).await.unwrap();
    let report = reconcile(&publisher).await;
    check(&report, &[Phase::Active, Phase::Active], "234");
    all_hold(report.document.as_ref().unwrap(), &held(&local).await);
}

#[tokio::test]
async fn without_a_cluster_to_ask_a_run_says_so() {
    let (local, _) = settled(1).await;
    let publisher = publisher(&local);
    drop(local);
    let run = publisher.reconcile(soon()).await;
    assert!(matches!(run, Err(larder_cache::PublishError::Nodes(_))), "{run:?}");
}
