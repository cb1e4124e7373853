//! Runs that come twice, late, at once, and that end early.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use larder_cache::{Publisher, Report};
use larder_client::{Cluster, Config};
use larder_local::{LocalCluster, NodeId};
use larder_ring::{Epoch, Phase, RingDocument};
use tokio::time::{Instant, sleep};

use crate::support::*;
use crate::witness::Witness;

#[tokio::test]
async fn any_number_of_runs_comes_to_the_same_as_one() {
    let (local, _) = growing(2, Phase::Warming).await;
    let publisher = publisher(&local);
    let report = finish(&publisher).await;
    check(&report, &STEPS[2..], "123");
    for _ in 0..5 {
        check(&finish(&publisher).await, &[], "123");
        check(&finish(&self::publisher(&local)).await, &[], "123");
    }
    all_hold(&report.document.unwrap(), &held(&local).await);
}

#[tokio::test]
async fn two_runs_at_once_publish_every_document_once() {
    let (local, _) = settled(3).await;
    let local = Arc::new(local);
    let witness = Witness::of(&local);
    local.add_node().await.unwrap();
    let (one, two) = (publisher(&local), publisher(&local));
    let (one, two) = tokio::join!(finish(&one), finish(&two));
    assert_eq!((one.unfinished, two.unfinished), (None, None), "{one:?} {two:?}");
    assert_eq!(one.document, two.document);
    assert_eq!(shown(one.document.as_ref().unwrap()), "1234");
    let mut published = [one.published, two.published].concat();
    published.sort_by_key(|published| published.epoch);
    assert_eq!(published.iter().map(|published| published.phase).collect::<Vec<_>>(), STEPS);
    assert!(witness.tells().ends_with(&STEPS));
}

#[tokio::test]
async fn two_runs_that_find_an_unfinished_publication_both_come_to_an_end() {
    // Each of them writes the same document to the same nodes, and each is refused by some.
    for _ in 0..5 {
        let (local, old) = settled(4).await;
        let new = RingDocument { epoch: old.epoch.next(), time_ms: now_ms() - 3_600_000, ..old.clone() };
        place_on(&local, local.nodes()[0].clone(), &new).await;
        let (one, two) = (publisher(&local), publisher(&local));
        let (one, two) = tokio::join!(finish(&one), finish(&two));
        check(&one, &[], "1234");
        check(&two, &[], "1234");
        all_hold(&new, &held(&local).await);
    }
}

#[tokio::test]
async fn a_publication_that_reached_one_node_alone_is_finished_in_every_phase() {
    let finished = |phase, node: usize, rest: &'static [Phase]| async move {
        let (local, document) = growing(2, phase).await;
        let next = after(&document, &ring_nodes(&local));
        place_on(&local, local.nodes()[node].clone(), &next).await;
        let report = finish(&publisher(&local)).await;
        check(&report, rest, "123");
        all_hold(report.document.as_ref().unwrap(), &held(&local).await);
        assert!(report.document.unwrap().epoch.number() - next.epoch.number() == rest.len() as u64);
    };
    tokio::join!(
        finished(Phase::Joining, 0, &STEPS[2..]),
        finished(Phase::Warming, 1, &STEPS[3..]),
        finished(Phase::Leaving, 2, &[]),
    );
}

#[tokio::test]
async fn many_publishers_while_nodes_come_and_go_agree_in_the_end() {
    let local = Arc::new(start(3).await);
    let witness = Witness::of(&local);
    let publishers = (0..3).map(|nth| {
        let publisher = publisher(&local);
        tokio::spawn(async move {
            for _ in 0..3 {
                sleep(Duration::from_millis(70 * nth)).await;
                let _ = publisher.reconcile(in_millis(600 + 300 * nth)).await;
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    local.add_node().await.unwrap();
    sleep(Duration::from_millis(400)).await;
    local.remove_node(NodeId(2)).await.unwrap();
    sleep(Duration::from_millis(400)).await;
    local.add_node().await.unwrap();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let report = finish(&publisher(&local)).await;
    assert_eq!((report.unfinished, shown(report.document.as_ref().unwrap())), (None, "1345".to_owned()));
    check(&finish(&publisher(&local)).await, &[], "1345");
    witness.tells();
}

#[tokio::test]
async fn a_run_that_is_dropped_at_any_point_is_taken_up_by_the_next_one() {
    let polls = |run, polls| dropped_after(run, polls);
    every_change(|publisher, step| {
        let publisher = publisher.clone();
        async move { polls(Box::pin(async move { publisher.reconcile(soon()).await.ok() }), step).await.flatten() }
    })
    .await;
}

#[tokio::test]
async fn a_run_whose_time_is_over_says_so_and_the_next_one_goes_on() {
    every_change(|publisher, step| {
        let publisher = publisher.clone();
        async move {
            let (begun, deadline) = (Instant::now(), Duration::from_millis(10 * step as u64));
            let report = publisher.reconcile(begun + deadline).await;
            assert!(begun.elapsed() < deadline + Duration::from_millis(900), "{:?}", begun.elapsed());
            report.ok()
        }
    })
    .await;
}

/// Has nodes come and go, and lets `run` bring about each change in steps: 0, 1, 2 … until it has published something,
/// and then from 0 again.
async fn every_change<F: Future<Output = Option<Report>>>(run: impl Fn(&Publisher, usize) -> F) {
    let local = Arc::new(start(2).await);
    let witness = Witness::of(&local);
    let quick = || Publisher::new(Cluster::new(quick(&local)).unwrap(), warm_up());
    let changes: [(&str, &[Phase]); 4] =
        [("", &[Phase::Active]), ("add", &STEPS), ("remove", &[Phase::Active]), ("reboot", &[])];
    let mut expected = 0;
    for (change, phases) in changes {
        match change {
            "add" => drop(local.add_node().await.unwrap()),
            "remove" => drop(local.remove_node(NodeId(1)).await.unwrap()),
            "reboot" => drop(local.reboot_node(NodeId(3)).await.unwrap()),
            _ => {}
        }
        expected += phases.len() as u64;
        let (mut step, mut runs, mut epoch, mut same) = (0, 0, None, quick());
        let report = loop {
            runs += 1;
            assert!(runs < 2000, "{change} does not come to an end");
            // Some environments are used again, some are new.
            let publisher = if runs % 2 == 0 { &same } else { &quick() };
            if let Some(report) = run(publisher, step).await.filter(|report| report.unfinished.is_none()) {
                break report;
            }
            let now = latest(&local).await;
            step = if now == epoch { step + 1 } else { 0 };
            if now != epoch {
                same = quick();
            }
            epoch = now;
        };
        all_hold(report.document.as_ref().unwrap(), &held(&local).await);
        until("the witness has seen it", || async { witness.epochs() == expected }).await;
    }
    witness.tells();
}

/// What a run comes to if it is dropped after so many polls; `None` if it had to be dropped.
async fn dropped_after<T>(run: impl Future<Output = T>, polls: usize) -> Option<T> {
    let (mut run, mut left) = (pin!(run), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        run.as_mut().poll(context).map(Some)
    })
    .await
}

/// The latest epoch on any node.
async fn latest(local: &LocalCluster) -> Option<Epoch> {
    held(local).await.into_iter().filter_map(|(_, document)| Some(document?.epoch)).max()
}

/// Settles quickly; where a busy machine makes that too quick, a run fails, and is made again.
fn quick(local: &LocalCluster) -> Config {
    Config {
        ring_check_interval: Duration::from_millis(5),
        timeout: Duration::from_millis(100),
        ..config(local)
    }
}
