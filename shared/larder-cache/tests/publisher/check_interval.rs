//! Stacks with different settings on one cluster: how often environments look at the ring document, and how long the
//! publisher waits for them, stands in the document.

use std::time::Duration;

use larder_cache::Publisher;
use larder_client::{Cluster, Config};
use larder_local::LocalCluster;
use larder_ring::Phase;

use crate::support::*;

#[tokio::test]
async fn an_environment_that_looks_seldom_follows_as_fast_as_the_fleet() {
    let local = start(3).await;
    check(&finish(&publisher(&local)).await, &[Phase::Active], "123");
    let slow = cluster_with(&local, Duration::from_secs(600));
    look(&slow).await;

    local.add_node().await.unwrap();
    let report = finish(&publisher(&local)).await;
    check(&report, &STEPS, "1234");
    until("the environment follows", || async {
        look(&slow).await;
        slow.ring_document().await.unwrap() == report.document
    })
    .await;
}

#[tokio::test]
async fn a_publisher_in_a_hurry_waits_for_the_interval_of_the_fleet() {
    let local = start(2).await;
    let interval = Duration::from_millis(300);
    let slow = Publisher::new(cluster_with(&local, interval), warm_up());
    let founded = finish(&slow).await.document.unwrap();
    assert_eq!(founded.check_interval, Some(interval));

    local.add_node().await.unwrap();
    let hurried = cluster_with(&local, Duration::from_millis(20));
    let report = finish(&Publisher::new(hurried.clone(), warm_up())).await;
    check(&report, &STEPS, "123");
    assert_eq!(report.document.unwrap().check_interval, Some(interval));
    assert_eq!(hurried.settle_time(), 2 * interval + config(&local).timeout);
    for steps in report.published.windows(2) {
        let waited = steps[1].at - steps[0].at;
        assert!(waited >= hurried.settle_time(), "{waited:?}");
    }
}

fn cluster_with(local: &LocalCluster, ring_check_interval: Duration) -> Cluster {
    Cluster::new(Config { ring_check_interval, ..config(local) }).unwrap()
}
