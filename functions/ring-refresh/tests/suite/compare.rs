//! The ring held against what the control plane tells: that of a local cluster, and ElastiCache's API.

use std::net::TcpListener;
use std::time::Duration;

use crate::api::{FakeApi, Reply, error};
use crate::support::wire::numbers;
use crate::support::{House, handle_now, reconcile};
use crate::told::{Told, asking, events};
use larder_local::ConfigReply;
use larder_ring_refresh::{Comparison, Handled, Work, handle};
use serde_json::json;
use tokio::time::Instant;

#[tokio::test]
async fn a_local_cluster_is_compared_by_its_control_socket() {
    let house = House::start(2).await;
    let app = house.app(&[("LARDER_CONTROL_SOCKET", &house.socket())]);
    let (nodes, call) = (house.cluster.nodes(), json!({ "reconcile": true }));
    let handled = house.during(handle_now(&app, &call)).await;
    assert_eq!(handled.work.comparison, AGREED);

    // An endpoint that does not know yet what the control plane knows.
    let listed: Vec<_> =
        nodes.iter().map(|node| format!("{}|{}|{}", node.name, node.ip, node.port)).collect();
    let payload = format!("1\n{}\n", listed.join(" ")).into_bytes();
    house.cluster.answer_config(ConfigReply::Payload(payload)).await.unwrap();
    house.cluster.add_node().await.unwrap();
    let handled = house.during(handle_now(&app, &call)).await;
    assert_eq!(handled.work.comparison, Comparison { differences: 1, ..AGREED });
    assert_eq!(numbers(&house.app(&[]).publisher.document(soon()).await.unwrap().unwrap().nodes), [1, 2]);
}

#[tokio::test]
async fn without_its_control_socket_nothing_is_compared_and_nothing_fails() {
    let house = House::start(1).await;
    let app = house.app(&[("LARDER_CONTROL_SOCKET", &house.socket())]);
    let handled = handle_now(&app, &json!({ "reconcile": true })).await;
    assert_eq!(handled.work, Work { published: 1, ..Work::default() });
    assert!(handled.answer.is_ok());
}

#[tokio::test]
async fn nodes_that_only_one_side_has_are_counted() {
    let house = House::start(3).await;
    let all = Told::of(&house.cluster.nodes());
    let with = |change: fn(&mut Told)| {
        let mut told = all.clone();
        change(&mut told);
        told
    };
    for (told, differences) in [
        (all.clone(), 0),
        (with(|told| drop(told.nodes.pop())), 1),
        (with(|told| told.nodes.push(Some(("larder.local.0009.cache.internal".to_owned(), 11211)))), 1),
        (with(|told| told.nodes.iter_mut().flatten().for_each(|(_, port)| *port -= 1)), 6),
        // A node that is being made has no name yet.
        (with(|told| told.nodes.push(None)), 0),
        // While the cluster changes the two may well differ.
        (with(|told| (told.status, told.nodes) = ("modifying", Vec::new())), 0),
        (with(|told| (told.pending, told.nodes) = ("<NumCacheNodes>4</NumCacheNodes>", Vec::new())), 0),
    ] {
        let handled = handled_with(&house, &told.api()).await;
        assert_eq!(handled.work.comparison, Comparison { differences, ..AGREED }, "{:?}", told.nodes);
    }
}

#[tokio::test]
async fn a_node_that_was_left_out_of_the_ring_and_is_still_there_is_no_difference() {
    let house = House::start(2).await;
    let app = house.app(&[]);
    reconcile(&app).await;
    let leaving = house.document().nodes[1].clone();
    assert_eq!(app.publisher.retire(&leaving, soon()).await.unwrap().unfinished, None);

    let handled = handled_with(&house, &Told::of(&house.cluster.nodes()).api()).await;
    assert_eq!(handled.work.comparison, AGREED);
    assert_eq!(numbers(&house.document().nodes), [1]);
}

#[tokio::test]
async fn a_topic_that_is_not_active_is_counted() {
    let house = House::start(1).await;
    for (topic, inactive_topics) in [(Some("active"), 0), (Some("inactive"), 1), (None, 0)] {
        let told = Told { topic, ..Told::of(&house.cluster.nodes()) };
        let handled = handled_with(&house, &told.api()).await;
        assert_eq!(handled.work.comparison, Comparison { inactive_topics, ..AGREED }, "{topic:?}");
        assert!(handled.answer.is_ok());
    }
}

#[tokio::test]
async fn what_happened_in_the_last_quarter_of_an_hour_is_asked_for() {
    let house = House::start(1).await;
    let api = Told::of(&house.cluster.nodes()).api();
    api.answer("DescribeEvents", [events(&["Added cache node 0001", "Cache cluster created"])]);
    let handled = handled_with(&house, &api).await;
    assert_eq!(handled.work.comparison, Comparison { recent_events: 2, ..AGREED });
    let [asked] = &api.requests("DescribeEvents")[..] else { panic!("not asked once") };
    assert_eq!((asked.field("Duration"), asked.field("SourceIdentifier")), ("15", "larder"));

    api.answer("DescribeEvents", [error(403, "AccessDenied")]);
    assert_eq!(handled_with(&house, &api).await.work.comparison, AGREED, "the rest of it stays");
}

#[tokio::test]
async fn an_api_that_does_not_tell_is_no_failure() {
    let house = House::start(1).await;
    for reply in [
        error(403, "AccessDenied"),
        error(400, "ExpiredToken"),
        error(404, "CacheClusterNotFound"),
        error(400, "Throttling"),
        error(500, "InternalFailure"),
        Reply::Http(200, "<html>Welcome</html>".to_owned()),
        Reply::Http(200, String::new()),
        Reply::Hangup,
    ] {
        let api = FakeApi::start();
        api.answer("DescribeCacheClusters", [reply]);
        check_untold(&house, &api.url()).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    check_untold(&house, &nobody).await;
}

#[tokio::test]
async fn an_api_that_is_silent_costs_no_more_than_its_time() {
    let house = House::start(1).await;
    let api = FakeApi::start();
    api.answer("DescribeCacheClusters", [Reply::Silence]);
    let url = api.url();
    let call = json!({ "reconcile": true });
    // Its own time is over first; then that of the invocation.
    for (api_timeout_ms, deadline) in
        [("300", Duration::from_secs(30)), ("60000", Duration::from_millis(1_500))]
    {
        let app = house.app(&[&asking(&url)[..], &[("LARDER_API_TIMEOUT_MS", api_timeout_ms)]].concat());
        let started = Instant::now();
        let handled = handle(&app, &call, started + deadline).await;
        let took = started.elapsed();
        assert!(handled.answer.unwrap().reconciled);
        assert_eq!(handled.work.comparison, Comparison::default());
        assert!(took < deadline + Duration::from_millis(500) && took < Duration::from_secs(10), "{took:?}");
    }
}

#[tokio::test]
async fn a_notice_that_changes_no_node_asks_nobody() {
    let house = House::start(1).await;
    let api = FakeApi::start();
    let app = house.app(&asking(&api.url()));
    let notice =
        json!({ "Records": [{ "Sns": { "Message": "{\"ElastiCache:AddCacheNodeComplete\":\"pantry\"}" } }] });
    assert_eq!(handle_now(&app, &notice).await.work, Work { ignored: 1, ..Work::default() });
    assert_eq!(api.requests("DescribeCacheClusters").len(), 0);
}

/// What became of a call for the ring to be brought up to date, where `api` is asked.
async fn handled_with(house: &House, api: &FakeApi) -> Handled {
    let url = api.url();
    handle_now(&house.app(&asking(&url)), &json!({ "reconcile": true })).await
}

async fn check_untold(house: &House, url: &str) {
    let app = house.app(&asking(url));
    let handled = handle_now(&app, &json!({ "reconcile": true })).await;
    assert_eq!(handled.work.comparison, Comparison::default());
    assert_eq!((handled.answer.unwrap().unfinished, handled.work.failures), (None, 0));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// The control plane told, and there was nothing to say.
const AGREED: Comparison = Comparison { told: 1, differences: 0, inactive_topics: 0, recent_events: 0 };
