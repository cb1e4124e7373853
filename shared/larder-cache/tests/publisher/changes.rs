//! Nodes come and go, and the ring follows.

use std::time::Duration;

use larder_cache::Publisher;
use larder_client::{Cluster, Config};
use larder_local::{ConfigReply, NodeId};
use larder_ring::Phase;

use crate::support::*;

#[tokio::test]
async fn the_first_run_publishes_what_everyone_has_by_discovery_and_the_next_one_changes_nothing() {
    let local = start(3).await;
    let publisher = publisher(&local);
    check(&finish(&publisher).await, &[Phase::Active], "123");
    check(&finish(&publisher).await, &[], "123");
}

#[tokio::test]
async fn two_nodes_that_come_are_one_change_and_every_environment_follows_in_passing() {
    let (local, first) = settled(3).await;
    let environment = client(&local);
    look(&environment).await;
    assert_eq!(environment.ring_document().await.unwrap().as_ref(), Some(&first));

    local.add_node().await.unwrap();
    local.add_node().await.unwrap();
    let report = finish(&publisher(&local)).await;
    check(&report, &STEPS, "12345");
    let document = report.document.unwrap();
    all_hold(&document, &held(&local).await);
    until("the environment follows", || async {
        look(&environment).await;
        environment.ring_document().await.unwrap().as_ref() == Some(&document)
    })
    .await;
}

#[tokio::test]
async fn nodes_that_are_gone_leave_at_once() {
    let (local, _) = settled(4).await;
    local.remove_node(NodeId(2)).await.unwrap();
    local.remove_node(NodeId(4)).await.unwrap();
    // Whoever had to wait for others with this one would be out of time.
    let slow = Config { ring_check_interval: Duration::from_secs(600), ..config(&local) };
    let publisher = Publisher::new(Cluster::new(slow).unwrap(), warm_up());
    let report = finish(&publisher).await;
    check(&report, &[Phase::Active], "13");
    all_hold(report.document.as_ref().unwrap(), &held(&local).await);
}

#[tokio::test]
async fn a_node_that_goes_and_one_that_comes_are_taken_one_after_the_other() {
    let (local, first) = settled(3).await;
    local.remove_node(NodeId(1)).await.unwrap();
    local.add_node().await.unwrap();
    let document = comes_to(&local, &publisher(&local), Phase::Joining, "23>234").await;
    assert_eq!(document.epoch, first.epoch.next().next());
}

#[tokio::test]
async fn a_node_that_goes_while_another_one_joins_puts_the_change_off() {
    let (local, document) = growing(3, Phase::Joining).await;
    local.remove_node(NodeId(2)).await.unwrap();
    let after = comes_to(&local, &publisher(&local), Phase::Joining, "13>134").await;
    assert_eq!(after.epoch, document.epoch.next().next().next(), "back, without the one, and then on");
}

#[tokio::test]
async fn a_node_that_came_and_went_again_before_anyone_looked_changes_nothing() {
    let (local, document) = settled(3).await;
    local.add_node().await.unwrap();
    local.remove_node(None).await.unwrap();
    let report = finish(&publisher(&local)).await;
    check(&report, &[], "123");
    assert_eq!(report.document, Some(document));
}

#[tokio::test]
async fn a_list_without_nodes_or_that_is_none_changes_nothing() {
    let (local, document) = settled(2).await;
    let nonsense = ConfigReply::Payload(b"7\nnonsense".to_vec());
    for reply in [ConfigReply::no_nodes(7), nonsense, ConfigReply::NotSupported] {
        local.answer_config(reply).await.unwrap();
        let run = publisher(&local).reconcile(soon()).await;
        assert!(run.is_err(), "{run:?}");
        all_hold(&document, &held(&local).await);
    }
}

#[tokio::test]
async fn a_plain_memcached_is_no_cluster() {
    let local = start(1).await;
    local.answer_config(ConfigReply::NotSupported).await.unwrap();
    let run = publisher(&local).reconcile(soon()).await;
    assert!(matches!(run, Err(larder_cache::PublishError::NoCluster)), "{run:?}");
}

#[tokio::test]
async fn a_node_that_is_off_the_list_and_still_answers_is_drained_and_told() {
    let (local, first) = settled(3).await;
    delist(&local, &[3]).await;
    let publisher = publisher(&local);
    let mut document = comes_to(&local, &publisher, Phase::Joining, "123>12").await;
    assert_eq!(document.epoch, first.epoch.next());
    while document.phase != Phase::Leaving {
        document = after(&document, &document.next);
    }
    place(&local, &document).await;
    let report = finish(&publisher).await;
    check(&report, &[Phase::Active], "12");
    // Who looks there, for it writes past the node, is to learn that the node has left the ring.
    all_hold(report.document.as_ref().unwrap(), &held(&local).await);
}

#[tokio::test]
async fn an_environment_that_only_writes_past_a_node_that_has_left_learns_of_it() {
    // The node stays alive, and a write that passes it on its way to the next owner looks at the document there.
    let (local, active) = settled(3).await;
    let all = ring_nodes(&local);
    let mut document = active.retiring(&all[2], 0).unwrap();
    while document.phase != Phase::Leaving {
        document = after(&document, &all);
    }
    place(&local, &document).await;
    // A write that takes long looks elsewhere, too; this one is not to seem long.
    let config = Config { ring_check_interval: Duration::from_millis(250), ..config(&local) };
    let (environment, moving) = (Cluster::new(config).unwrap(), moving_key(&document, 3, 1));
    delete(&environment, &moving).await;
    assert_eq!(environment.ring_document().await.unwrap().as_ref(), Some(&document));

    let report = finish(&publisher(&local)).await;
    assert_eq!(
        (phases(&report), shown(report.document.as_ref().unwrap())),
        (vec![Phase::Active], "12".into())
    );
    until("the environment learns that the node has left", || async {
        delete(&environment, &moving).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        environment.ring_document().await.unwrap() == report.document
    })
    .await;
}
