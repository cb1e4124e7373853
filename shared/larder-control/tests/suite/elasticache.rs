//! ElastiCache's side, against an API on the loopback: what is sent, what its answers and its errors mean.

use std::net::TcpListener;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::support::{Cluster, FakeApi, Reply, answer, error};
use larder_control::{
    ApiConfig, ClusterStatus, ControlError, ControlPlane, Credentials, ElastiCache, MAX_EVENTS, Node, NodeId,
    NodeStatus, Pending, Topic,
};

#[tokio::test]
async fn a_cluster_is_told_with_its_nodes_in_order() {
    let api = FakeApi::start();
    api.answer("DescribeCacheClusters", [cluster(&["0003", "0001"]).answer()]);
    let state = control(&api).describe().await.unwrap();

    assert_eq!((state.id.as_str(), state.engine_version.as_str()), ("air", "1.6.22"));
    assert_eq!((state.status, state.node_count, state.has_tls), (ClusterStatus::Available, 2, true));
    let node = |id: &str| Node {
        id: NodeId::new(id),
        status: NodeStatus::Available,
        endpoint: Some((format!("air.x1.{id}.euw1.cache.amazonaws.com"), 11211)),
    };
    assert_eq!(state.nodes, [node("0001"), node("0003")]);
    assert_eq!(state.pending, Pending::default());
    let arn = "arn:aws:sns:eu-west-1:123456789012:air".to_owned();
    assert_eq!(state.topic, Some(Topic { arn, is_active: true }));

    let [request] = &api.requests("DescribeCacheClusters")[..] else { panic!("not one request") };
    assert_eq!((request.field("CacheClusterId"), request.field("ShowCacheNodeInfo")), ("air", "true"));
    assert_eq!(request.field("Version"), "2015-02-02");
    let scope = "/eu-west-1/elasticache/aws4_request, SignedHeaders=";
    let authorization = &request.authorization;
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            && authorization.contains(scope),
        "{authorization}"
    );
}

#[tokio::test]
async fn what_is_about_to_change_is_told() {
    let api = FakeApi::start();
    let pending = "<NumCacheNodes>2</NumCacheNodes>\
        <CacheNodeIdsToRemove><CacheNodeId>0003</CacheNodeId><CacheNodeId>0002</CacheNodeId></CacheNodeIdsToRemove>\
        <EngineVersion>1.6.23</EngineVersion>";
    let modifying = Cluster { status: "modifying", pending, ..cluster(&["0001"]) };
    api.answer("DescribeCacheClusters", [modifying.answer()]);
    let state = control(&api).describe().await.unwrap();

    assert_eq!(state.status, ClusterStatus::Modifying);
    let ids_to_remove = ["0002", "0003"].map(NodeId::new).to_vec();
    assert_eq!(state.pending, Pending { node_count: Some(2), ids_to_remove, others: vec!["engine version"] });
    assert!(!state.takes_changes());
}

#[tokio::test]
async fn a_node_that_is_being_made_has_no_endpoint_and_a_topic_may_be_shut() {
    let api = FakeApi::start();
    let Reply::Http(_, told) = cluster(&["0001"]).answer() else { unreachable!() };
    let made = "<CacheNode><CacheNodeId>0002</CacheNodeId><CacheNodeStatus>creating</CacheNodeStatus>\
        <Endpoint><Port>0</Port><Address></Address></Endpoint></CacheNode></CacheNodes>";
    let told = told.replace("</CacheNodes>", made);
    let told = told.replace("<NumCacheNodes>1", "<NumCacheNodes>2");
    let told = told.replace("available</CacheClusterStatus>", "modifying</CacheClusterStatus>");
    let told = told.replace("<TopicStatus>active", "<TopicStatus>inactive");
    api.answer("DescribeCacheClusters", [Reply::Http(200, told)]);
    let state = control(&api).describe().await.unwrap();

    let being_made = Node { id: NodeId::new("0002"), status: NodeStatus::Creating, endpoint: None };
    assert_eq!(state.nodes[1], being_made);
    assert!(!state.topic.unwrap().is_active);
}

#[tokio::test]
async fn events_are_read_page_by_page_and_told_in_the_order_of_time() {
    let api = FakeApi::start();
    api.answer(
        "DescribeEvents",
        [
            events(&[("2026-01-31T12:02:00.500Z", "third"), ("2026-01-31T12:00:00Z", "first")], "m 1"),
            events(&[("2026-01-31T12:01:00Z", "second")], ""),
        ],
    );
    let told = control(&api).events(Duration::from_secs(61)).await.unwrap();

    assert_eq!(
        told.iter().map(|event| event.message.as_str()).collect::<Vec<_>>(),
        ["first", "second", "third"]
    );
    assert_eq!(told[2].at, UNIX_EPOCH + Duration::from_millis(1_769_860_920_500));
    let requests = api.requests("DescribeEvents");
    let markers: Vec<_> = requests.iter().map(|request| request.field("Marker")).collect();
    assert_eq!(markers, ["", "m%201"]);
    for request in requests {
        let asked = ["SourceType", "SourceIdentifier", "Duration"].map(|name| request.field(name).to_owned());
        assert_eq!(asked, ["cache-cluster", "air", "2"]);
    }
}

#[tokio::test]
async fn pages_without_an_end_are_read_up_to_a_bound() {
    let api = FakeApi::start();
    api.answer("DescribeEvents", [events(&[("2026-01-31T12:00:00Z", "again")], "more")]);
    let told = control(&api).events(Duration::from_secs(60)).await.unwrap();
    assert_eq!(told.len(), api.requests("DescribeEvents").len());
    assert_eq!(told.len() * 100, MAX_EVENTS);
}

#[tokio::test]
async fn growing_asks_for_a_number_at_once() {
    let api = FakeApi::start();
    api.answer("ModifyCacheCluster", [answer("ModifyCacheCluster", "<CacheCluster/>")]);
    control(&api).grow_to(4).await.unwrap();
    check_change(&api, &[("NumCacheNodes", "4")]);
}

#[tokio::test]
async fn shrinking_names_the_nodes_that_go_and_the_number_that_stays() {
    let api = FakeApi::start();
    api.answer("ModifyCacheCluster", [answer("ModifyCacheCluster", "<CacheCluster/>")]);
    control(&api).remove_nodes(&["0004", "0002"].map(NodeId::new), 2).await.unwrap();
    check_change(
        &api,
        &[
            ("CacheNodeIdsToRemove.CacheNodeId.1", "0004"),
            ("CacheNodeIdsToRemove.CacheNodeId.2", "0002"),
            ("NumCacheNodes", "2"),
        ],
    );
}

#[tokio::test]
async fn a_removal_of_nothing_or_of_all_is_not_even_sent() {
    let api = FakeApi::start();
    for (ids, left) in [(vec![], 3), (vec![NodeId::new("0001")], 0)] {
        let error = control(&api).remove_nodes(&ids, left).await.unwrap_err();
        assert!(matches!(error, ControlError::Refused(_)), "{error:?}");
    }
    assert!(api.requests("ModifyCacheCluster").is_empty());
}

#[tokio::test]
async fn errors_are_told_apart_by_what_the_caller_would_do() {
    check_error(400, "InvalidCacheClusterState", "Busy").await;
    check_error(400, "Throttling", "Busy").await;
    check_error(400, "APICallRateForCustomerExceeded", "Busy").await;
    check_error(400, "InsufficientCacheClusterCapacity", "NoRoom").await;
    check_error(400, "NodeQuotaForClusterExceeded", "NoRoom").await;
    check_error(400, "NodeQuotaForCustomerExceeded", "NoRoom").await;
    check_error(404, "CacheClusterNotFound", "NotFound").await;
    check_error(403, "AccessDenied", "NotAllowed").await;
    check_error(403, "ExpiredToken", "NotAllowed").await;
    check_error(400, "InvalidParameterCombination", "Refused").await;
    check_error(400, "SomethingNew", "Refused").await;
    check_error(500, "InternalFailure", "NoAnswer").await;
    check_error(503, "ServiceUnavailable", "NoAnswer").await;
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_state() {
    for (body, lacks) in [
        ("<html>welcome</html>".to_owned(), ""),
        (String::new(), ""),
        (told(|xml| xml.replace("<CacheClusterStatus>available</CacheClusterStatus>", "")), "status"),
        (told(|xml| xml.replace("<NumCacheNodes>1", "<NumCacheNodes>-1")), "below zero"),
        (told(|xml| xml.replace("<NumCacheNodes>1", "<NumCacheNodes>many")), ""),
        (told(|xml| xml.replace("<CacheNodeId>0001</CacheNodeId>", "")), "node's id"),
        (told(|xml| xml[..xml.len() / 2].to_owned()), "0 of 1 nodes"),
    ] {
        let api = FakeApi::start();
        api.answer("DescribeCacheClusters", [Reply::Http(200, body.clone())]);
        let error = control(&api).describe().await.unwrap_err();
        let is_expected = matches!(&error, ControlError::Malformed(what) if what.contains(lacks));
        assert!(is_expected, "{error:?} for {body}");
    }
}

#[tokio::test]
async fn another_cluster_is_not_taken_for_ours() {
    let api = FakeApi::start();
    let body = told(|xml| xml.replace("<CacheClusterId>air<", "<CacheClusterId>airport<"));
    api.answer("DescribeCacheClusters", [Reply::Http(200, body)]);
    let error = control(&api).describe().await.unwrap_err();
    assert!(matches!(error, ControlError::NotFound(_)), "{error:?}");
}

#[tokio::test]
async fn a_question_is_asked_once_more_after_a_fault() {
    for fault in [error(503, "ServiceUnavailable"), error(400, "Throttling"), Reply::Hangup] {
        let api = FakeApi::start();
        api.answer("DescribeCacheClusters", [fault, cluster(&["0001"]).answer()]);
        assert!(control(&api).describe().await.is_ok());
        assert_eq!(api.requests("DescribeCacheClusters").len(), 2);
    }
}

#[tokio::test]
async fn a_question_is_not_asked_for_ever() {
    let api = FakeApi::start();
    api.answer("DescribeCacheClusters", [Reply::Hangup]);
    let error = control(&api).describe().await.unwrap_err();
    assert!(matches!(error, ControlError::NoAnswer(_)), "{error:?}");
    assert_eq!(api.requests("DescribeCacheClusters").len(), 2);
}

#[tokio::test]
async fn a_change_is_sent_once_and_without_an_answer_leaves_doubt() {
    for fault in [error(503, "ServiceUnavailable"), Reply::Hangup, Reply::Http(200, "<".to_owned())] {
        let api = FakeApi::start();
        api.answer("ModifyCacheCluster", [fault, answer("ModifyCacheCluster", "<CacheCluster/>")]);
        let error = control(&api).grow_to(2).await.unwrap_err();
        assert!(error.leaves_doubt(), "{error:?}");
        assert_eq!(api.requests("ModifyCacheCluster").len(), 1);
    }
}

#[tokio::test]
async fn silence_ends_with_the_time_of_the_call() {
    let api = FakeApi::start();
    api.answer("DescribeCacheClusters", [Reply::Silence]);
    api.answer("ModifyCacheCluster", [Reply::Silence]);
    let timeout = Duration::from_secs(1);
    let control = control_at(&api.url(), timeout);
    let started = Instant::now();
    for error in [control.describe().await.unwrap_err(), control.grow_to(3).await.unwrap_err()] {
        assert!(matches!(error, ControlError::NoAnswer(_)), "{error:?}");
    }
    assert!(started.elapsed() >= timeout * 2 && started.elapsed() < timeout * 10, "{:?}", started.elapsed());
    assert_eq!(api.requests("DescribeCacheClusters").len(), 2);
    assert_eq!(api.requests("ModifyCacheCluster").len(), 1);
}

#[tokio::test]
async fn without_a_connection_nothing_was_done_and_the_error_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let control = control_at(&format!("http://{nobody}"), Duration::from_secs(10));
    for error in [control.describe().await.map(drop), control.grow_to(2).await].map(Result::unwrap_err) {
        assert!(matches!(error, ControlError::Unreachable(_)) && !error.leaves_doubt(), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_request_that_was_meant_for_one_with_it() {
    let api = FakeApi::start();
    let control = control_at(&api.url().replace("http:", "https:"), Duration::from_secs(10));
    let error = control.describe().await.unwrap_err();
    assert!(matches!(error, ControlError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn no_connection_outlives_its_call() {
    let api = FakeApi::start();
    api.answer("DescribeCacheClusters", [cluster(&["0001"]).answer()]);
    let control = control(&api);
    assert_eq!(api.open_connections(), 0);
    for _ in 0..2 {
        control.describe().await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), async {
            while api.open_connections() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the connection is closed");
    }
}

/// Sends a change that is answered by `code`, which has to mean the variant `meaning` and carry the API's own words.
async fn check_error(status: u16, code: &str, meaning: &str) {
    let api = FakeApi::start();
    api.answer("ModifyCacheCluster", [error(status, code)]);
    api.answer("DescribeCacheClusters", [error(status, code)]);
    let control = control(&api);
    for error in [control.grow_to(9).await.unwrap_err(), control.describe().await.unwrap_err()] {
        let shown = format!("{error:?}");
        assert!(shown.starts_with(meaning), "{code}: {shown}");
        assert!(shown.contains(code), "{shown}");
    }
}

/// The change that was asked for, besides what every change has.
#[track_caller]
fn check_change(api: &FakeApi, expected: &[(&str, &str)]) {
    let [request] = &api.requests("ModifyCacheCluster")[..] else { panic!("not one request") };
    let mut fields = request.fields.clone();
    for (name, value) in [
        ("Action", "ModifyCacheCluster"),
        ("Version", "2015-02-02"),
        ("CacheClusterId", "air"),
        ("ApplyImmediately", "true"),
    ] {
        assert_eq!(fields.remove(name).as_deref(), Some(value), "{name}");
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(fields, expected);
}

fn control(api: &FakeApi) -> ControlPlane {
    control_at(&api.url(), Duration::from_secs(10))
}

fn control_at(url: &str, timeout: Duration) -> ControlPlane {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "secret".to_owned(),
        session_token: None,
    };
    ControlPlane::ElastiCache(ElastiCache::new(ApiConfig {
        endpoint_url: Some(url.to_owned()),
        timeout,
        ..ApiConfig::new("air", "eu-west-1", credentials)
    }))
}

fn cluster(nodes: &'static [&'static str]) -> Cluster {
    Cluster { status: "available", nodes, pending: "" }
}

/// What is told of a cluster of one node, as `change` leaves it.
fn told(change: impl FnOnce(&str) -> String) -> String {
    match cluster(&["0001"]).answer() {
        Reply::Http(_, body) => change(&body),
        _ => unreachable!("a cluster is told"),
    }
}

fn events(events: &[(&str, &str)], marker: &str) -> Reply {
    let events: String = events
        .iter()
        .map(|(date, message)| {
            format!(
                "<Event><SourceIdentifier>air</SourceIdentifier><SourceType>cache-cluster</SourceType>\
                 <Message>{message}</Message><Date>{date}</Date></Event>"
            )
        })
        .collect();
    answer("DescribeEvents", &format!("<Marker>{marker}</Marker><Events>{events}</Events>"))
}
