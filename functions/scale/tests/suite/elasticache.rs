//! The handler over ElastiCache's API, which is in the middle of a change, refuses, or does not answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::{Cluster, FakeApi, Reply, error};
use crate::support::{Asked, Recorder, app, handle_now};
use larder_control::{ApiConfig, ControlPlane, Credentials, ElastiCache};
use larder_ring::RingNode;
use larder_scale::{App, Failure, Handled, RingState, Work};
use serde_json::{Value, json};

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

#[tokio::test]
async fn a_change_that_the_ring_does_not_tell_of_begins_the_cool_down() {
    // ring-refresh has not run since the third node came, and no node has the ring any more.
    for ring in [old_ring(&["0001", "0002"]), RingState::default()] {
        for (mins, done) in [(5, "nothing"), (11, "out")] {
            let api = api([Reply::Http(200, MODIFIED.to_owned())], [THREE.answer()]);
            let changed = SystemTime::now() - Duration::from_secs(60 * mins);
            api.answer("DescribeEvents", [events(&[changed - Duration::from_secs(60), changed])]);
            let app = app_with(&api, Recorder { state: ring.clone(), ..Recorder::default() });
            let answer = answer(&handle_now(&app, json!({ "nodes": 1 })).await);
            assert_eq!(answer["done"], done, "{mins} min ago: {answer}");
            assert_eq!(answer.get("why"), (done == "nothing").then_some(&json!("cool-down")));
            assert_eq!(api.requests("DescribeEvents")[0].field("Duration"), "10");
        }
    }
}

#[tokio::test]
async fn events_are_not_asked_for_where_the_ring_has_followed() {
    let api = api([Reply::Http(200, MODIFIED.to_owned())], [THREE.answer()]);
    let state = old_ring(&["0001", "0002", "0003"]);
    let app = app_with(&api, Recorder { state, ..Recorder::default() });
    assert_eq!(answer(&handle_now(&app, json!({ "nodes": 1 })).await)["done"], "out");
    assert!(api.requests("DescribeEvents").is_empty());
}

#[tokio::test]
async fn a_cool_down_that_cannot_be_found_out_keeps_the_cluster_as_it_is() {
    let api = api([Reply::Http(200, MODIFIED.to_owned())], [THREE.answer()]);
    api.answer("DescribeEvents", [error(403, "AccessDenied")]);
    let app = app_with(&api, Recorder { state: old_ring(&["0001", "0002"]), ..Recorder::default() });
    let handled = handle_now(&app, json!({ "nodes": 1 })).await;
    assert!(matches!(handled.answer, Err(Failure::Control(_))), "{handled:?}");
    assert!(api.requests("ModifyCacheCluster").is_empty());
}

/// Another run at the same time has asked for the same.
#[tokio::test]
async fn a_refused_removal_of_a_node_that_goes_leaves_it_out_of_the_ring() {
    let going = Cluster {
        status: "modifying",
        pending: "<CacheNodeIdsToRemove><CacheNodeId>0003</CacheNodeId></CacheNodeIdsToRemove>",
        ..THREE
    };
    let app = app_over(&api([error(400, "InvalidCacheClusterState")], [THREE.answer(), going.answer()]));
    let handled = handle_now(&app, json!({ "nodes": -1 })).await;
    assert_eq!(answer(&handled)["done"], "in");
    assert_eq!(app.ring.asked(), [Asked::Retire(NEWEST.to_owned(), None)]);
}

/// An API that answers changes with `changes` and questions with `states`.
fn api<const N: usize, const M: usize>(changes: [Reply; N], states: [Reply; M]) -> FakeApi {
    let api = FakeApi::start();
    api.answer("ModifyCacheCluster", changes);
    api.answer("DescribeCacheClusters", states);
    api.answer("DescribeEvents", [events(&[])]);
    api
}

/// The answer to `DescribeEvents` that tells of something at each of `times`.
fn events(times: &[SystemTime]) -> Reply {
    let event = |at: &SystemTime| {
        format!("<Event><Message>Added cache node 0003</Message><Date>{}</Date></Event>", iso(*at))
    };
    crate::api::answer(
        "DescribeEvents",
        &format!("<Events>{}</Events>", times.iter().map(event).collect::<String>()),
    )
}

/// A ring that was changed an hour ago and has these nodes.
fn old_ring(nodes: &[&str]) -> RingState {
    let places = nodes.iter().map(|id| RingNode::new(format!("air.x1.{id}.euw1.cache.amazonaws.com"), 11211));
    RingState {
        last_change: Some(SystemTime::now() - Duration::from_secs(3600)),
        nodes: places.collect(),
        retired: Vec::new(),
    }
}

/// As AWS writes a time.
fn iso(at: SystemTime) -> String {
    let secs = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Days since 0000-03-01, in eras of 400 years.
    let (days, second) = (secs / 86_400 + 719_468, secs % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn app_over(api: &FakeApi) -> App<Recorder> {
    app_with(api, Recorder::default())
}

fn app_with(api: &FakeApi, ring: Recorder) -> App<Recorder> {
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
    app(ControlPlane::ElastiCache(ElastiCache::new(config)), ring)
}

fn answer(handled: &Handled) -> Value {
    serde_json::to_value(handled.answer.as_ref().unwrap()).unwrap()
}

const THREE: Cluster = Cluster { status: "available", nodes: &["0001", "0002", "0003"], pending: "" };
const NEWEST: &str = "air.x1.0003.euw1.cache.amazonaws.com:11211";
const MODIFIED: &str = "<ModifyCacheClusterResponse><ModifyCacheClusterResult/></ModifyCacheClusterResponse>";
