//! The handler over ElastiCache's API, which is in the middle of a change, refuses, or does not answer.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

#[path = "../../../shared/larder-control/tests/support/mod.rs"]
mod api;
mod support;

use std::time::Duration;

use api::{Cluster, FakeApi, Reply, error};
use larder_control::{ApiConfig, ControlPlane, Credentials, ElastiCache};
use larder_scale::{App, Failure, Handled, Work};
use serde_json::{Value, json};
use support::{Asked, Recorder, app, handle_now};

#[tokio::test]
async fn a_cluster_in_the_middle_of_a_change_is_left_alone() {
    let modifying = Cluster { status: "modifying", ..THREE };
    let pending = Cluster { pending: "<EngineVersion>1.6.23</EngineVersion>", ..THREE };
    for (cluster, detail) in [
        (modifying, "the cluster is modifying"),
        (pending, "the cluster is available, and these wait: engine version"),
    ] {
        let api = FakeApi::start();
        api.answer("DescribeCacheClusters", [cluster.answer()]);
        let app = app_over(&api);
        for nodes in [1, -1] {
            let handled = handle_now(&app, json!({ "nodes": nodes })).await;
            let answer = answer(&handled);
            assert_eq!((&answer["why"], &answer["detail"]), (&json!("changing"), &json!(detail)), "{answer}");
        }
        assert_eq!((app.ring.asked(), api.requests("ModifyCacheCluster").len()), (vec![], 0));
    }
}

#[tokio::test]
async fn a_removal_names_exactly_the_node_that_was_left_out_of_the_ring() {
    let api = api([Reply::Http(200, MODIFIED.to_owned())], [THREE.answer()]);
    let app = app_over(&api);
    let answer = answer(&handle_now(&app, json!({ "nodes": -1 })).await);
    assert_eq!((&answer["node"], &answer["endpoint"]), (&json!("0003"), &json!(NEWEST)), "{answer}");
    let [change] = &api.requests("ModifyCacheCluster")[..] else { panic!("not one change") };
    assert_eq!(change.field("CacheNodeIdsToRemove.CacheNodeId.1"), "0003");
    assert_eq!((change.field("NumCacheNodes"), change.field("ApplyImmediately")), ("2", "true"));
    assert_eq!(app.ring.asked(), [Asked::Retire(NEWEST.to_owned(), None)]);
}

#[tokio::test]
async fn a_refusal_that_time_cures_is_an_answer() {
    let busy = || error(400, "InvalidCacheClusterState");
    let app = app_over(&api([busy()], [THREE.answer()]));
    let handled = handle_now(&app, json!({ "nodes": -1 })).await;
    assert_eq!(answer(&handled)["why"], "changing");
    assert_eq!(app.ring.asked(), [Asked::Retire(NEWEST.to_owned(), None), Asked::Restore(NEWEST.to_owned())]);
    assert_eq!(handled.work, Work { refusals: 1, restored: 1, copied_keys: 12, ..Work::default() });

    for (refusal, why) in [(busy(), "changing"), (error(400, "NodeQuotaForClusterExceeded"), "no-room")] {
        let app = app_over(&api([refusal], [THREE.answer()]));
        let handled = handle_now(&app, json!({ "nodes": 1 })).await;
        assert_eq!(answer(&handled)["why"], why);
        let again = handle_now(&app, json!({ "nodes": 1 })).await;
        assert_eq!(answer(&again)["why"], why, "what was refused starts no cool-down");
    }
}

#[tokio::test]
async fn a_removal_without_an_answer_is_looked_after() {
    let going = Cluster {
        status: "modifying",
        pending: "<CacheNodeIdsToRemove><CacheNodeId>0003</CacheNodeId></CacheNodeIdsToRemove>",
        ..THREE
    };
    let gone = Cluster { nodes: &["0001", "0002"], ..THREE };
    for seen in [going, gone] {
        let app = app_over(&api([Reply::Hangup], [THREE.answer(), seen.answer()]));
        let handled = handle_now(&app, json!({ "nodes": -1 })).await;
        assert_eq!(answer(&handled)["done"], "in");
        assert_eq!(app.ring.asked(), [Asked::Retire(NEWEST.to_owned(), None)]);
    }
}

#[tokio::test]
async fn a_removal_that_was_not_begun_gives_the_ring_its_node_back() {
    let app = app_over(&api([Reply::Hangup], [THREE.answer()]));
    let handled = handle_now(&app, json!({ "nodes": -1 })).await;
    assert!(matches!(handled.answer, Err(Failure::Control(_))), "{handled:?}");
    assert_eq!(app.ring.asked().last(), Some(&Asked::Restore(NEWEST.to_owned())));
}

#[tokio::test]
async fn a_removal_in_doubt_leaves_the_node_out_of_the_ring() {
    let modifying = Cluster { status: "modifying", ..THREE };
    for seen in [Reply::Hangup, error(403, "ExpiredToken"), modifying.answer()] {
        let app = app_over(&api([error(500, "InternalFailure")], [THREE.answer(), seen]));
        let handled = handle_now(&app, json!({ "nodes": -1 })).await;
        assert!(matches!(handled.answer, Err(Failure::Doubt(_))), "{handled:?}");
        assert_eq!(app.ring.asked(), [Asked::Retire(NEWEST.to_owned(), None)]);
    }
}

/// An API that answers changes with `changes` and questions with `states`.
fn api<const N: usize, const M: usize>(changes: [Reply; N], states: [Reply; M]) -> FakeApi {
    let api = FakeApi::start();
    api.answer("ModifyCacheCluster", changes);
    api.answer("DescribeCacheClusters", states);
    api
}

fn app_over(api: &FakeApi) -> App<Recorder> {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "secret".to_owned(),
        session_token: None,
    };
    let config = ApiConfig {
        endpoint_url: Some(api.url()),
        timeout: Duration::from_secs(10),
        ..ApiConfig::new("air", "eu-west-1", credentials)
    };
    app(ControlPlane::ElastiCache(ElastiCache::new(config)), Recorder::default())
}

fn answer(handled: &Handled) -> Value {
    serde_json::to_value(handled.answer.as_ref().unwrap()).unwrap()
}

const THREE: Cluster = Cluster { status: "available", nodes: &["0001", "0002", "0003"], pending: "" };
const NEWEST: &str = "air.x1.0003.euw1.cache.amazonaws.com:11211";
const MODIFIED: &str = "<ModifyCacheClusterResponse><ModifyCacheClusterResult/></ModifyCacheClusterResponse>";
