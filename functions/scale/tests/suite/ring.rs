//! The handler over the ring as it is published on real nodes, and a fleet that reads through them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::api::{FakeApi, Reply, answer, error};
use crate::support::{House, handle_now};
use crate::told::{Told, asking};
use crate::wire::{held, numbers};
use larder_cache::{
    Cache, Loaded, OriginGuard, Policy, Publisher, Record, Report, Sampler, Sampling, record_key,
};
use larder_client::{Key, Ttl};
use larder_lambda::settings::Variables;
use larder_local::NodeId;
use larder_ring::{Phase, RingDocument};
use larder_scale::settings::Settings;
use larder_scale::{App, Failure, Handled, PublishedRing, Work};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

#[tokio::test]
async fn a_fleet_under_load_does_not_notice_that_a_node_is_taken_away() {
    let house = House::start(3).await;
    publish(&house).await;
    let fleet = Fleet::start(&house);
    fleet.read_all().await;
    assert_eq!(fleet.origin_calls(), KEYS);

    let app = app(&house, WARM);
    let is_over = AtomicBool::new(false);
    let scaled = async {
        let handled = house.handle(&app, json!({ "nodes": -1 })).await;
        is_over.store(true, Relaxed);
        handled
    };
    let read_on = async {
        while !is_over.load(Relaxed) {
            fleet.read_all().await;
        }
    };
    let (handled, (), ()) = tokio::join!(scaled, read_on, sees_the_switch_before_the_removal(&house));
    assert_eq!(in_answer(&handled)["node"], "0003");
    fleet.read_all().await;
    assert!(fleet.origin_calls() <= KEYS + FEW, "{} keys of {KEYS} were lost", fleet.origin_calls() - KEYS);
}

#[tokio::test]
async fn what_the_fleet_reads_most_is_warm_on_the_nodes_that_stay() {
    let house = House::start(3).await;
    publish(&house).await;
    let fleet = Fleet::start(&house);
    let told = async {
        while told_keys(&house) < KEYS as usize {
            fleet.read_all().await;
        }
    };
    timeout(Duration::from_secs(20), told).await.expect("the fleet tells what it reads");
    let leaving = house.cluster.nodes()[2].endpoint;
    let there = (0..KEYS).filter(|id| crate::wire::get(leaving, &format!("flights:{id}")).is_some()).count();
    assert!(there > KEYS as usize / 6, "{there} of {KEYS} keys are to move");

    let handled = house.handle(&app(&house, WARM), json!({ "nodes": -1 })).await;
    let answer = in_answer(&handled);
    assert_eq!(answer["copied_keys"], there);
    assert_eq!(handled.work, Work { nodes_removed: 1, copied_keys: there as u64, ..Work::default() });
    assert_eq!(house.ids(), ["0001", "0002"]);
    let document = document(&house);
    assert_eq!(answer["epoch"], document.epoch.number());
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![1, 2]));
    assert_eq!(numbers(&document.retired), [3], "it may be listed for a while");

    // Whoever comes later, too.
    for fleet in [&fleet, &Fleet { origin: AtomicU32::new(fleet.origin_calls()), ..Fleet::start(&house) }] {
        fleet.read_all().await;
        assert!(fleet.origin_calls() <= KEYS + FEW, "{} keys were lost", fleet.origin_calls() - KEYS);
    }
    // ElastiCache tells that the node is gone.
    assert_eq!(publish(&house).await.unfinished, None);
    assert!(document_on(house.cluster.nodes()[0].endpoint).retired.is_empty());
}

#[tokio::test]
async fn a_node_that_was_asked_for_comes_into_the_ring_by_its_notice() {
    let house = House::start(2).await;
    publish(&house).await;
    let handled = house.handle(&app(&house, QUICK), json!({ "nodes": 1 })).await;
    assert_eq!(answered(&handled), json!({ "done": "out", "from": 2, "to": 3 }));
    assert_eq!(numbers(&document_on(house.cluster.nodes()[0].endpoint).nodes), [1, 2]);

    assert_eq!(publish(&house).await.unfinished, None);
    assert_eq!(numbers(&document(&house).nodes), [1, 2, 3]);

    // That is a change like any other, for every environment.
    for nodes in [1, -1] {
        let answer = answered(&house.handle(&app(&house, PATIENT), json!({ "nodes": nodes })).await);
        assert_eq!((&answer["done"], &answer["why"]), (&json!("nothing"), &json!("cool-down")), "{answer}");
    }
    assert_eq!(house.ids().len(), 3);
}

#[tokio::test]
async fn where_the_api_refuses_the_removal_the_ring_is_as_it_was() {
    tokio::join!(check_refusal("AccessDenied"), check_refusal("InvalidCacheClusterState"));
}

#[tokio::test]
async fn a_removal_that_is_interrupted_is_ended_by_whoever_comes_next() {
    tokio::join!(left_in_doubt(), killed(), contended());
}

#[tokio::test]
async fn a_node_that_falls_silent_in_the_middle_of_a_removal_has_it_taken_back() {
    let house = House::start(3).await;
    publish(&house).await;
    let node = house.cluster.nodes()[1].endpoint;
    let falls_silent = async {
        until("the removal has begun", || document_on(node).phase != Phase::Active).await;
        house.cluster.pause_node(NodeId(1)).await.unwrap();
    };
    let app = app(&house, QUICK);
    let (handled, ()) = tokio::join!(house.handle(&app, json!({ "nodes": -1 })), falls_silent);
    // It is written down that the node stays, and any later run brings it back.
    let Err(Failure::Ring(why)) = &handled.answer else { panic!("{handled:?}") };
    assert_eq!(why.to_string(), "the ring has not been changed: a node of the ring cannot be reached");
    assert_eq!((handled.work.restored, house.ids().len()), (1, 3));

    house.cluster.resume_node(NodeId(1)).await.unwrap();
    assert_eq!(publish(&house).await.unfinished, None);
    let document = document(&house);
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![1, 2, 3]));
    assert!(document.retired.is_empty(), "{document:?}");
}

#[tokio::test]
async fn a_node_that_is_silent_for_a_moment_holds_a_removal_up_and_no_more() {
    let house = House::start(3).await;
    publish(&house).await;
    house.cluster.pause_node(NodeId(2)).await.unwrap();
    let resumed = async {
        sleep(Duration::from_millis(1_000)).await;
        house.cluster.resume_node(NodeId(2)).await.unwrap();
    };
    let app = app(&house, QUICK);
    let (handled, ()) = tokio::join!(house.handle(&app, json!({ "nodes": -1 })), resumed);
    assert_eq!(in_answer(&handled)["node"], "0003");
    assert_eq!(house.ids(), ["0001", "0002"]);
}

/// Where no concurrency is reserved, two environments may be asked at once.
#[tokio::test]
async fn two_runs_at_once_take_one_node_away_and_leave_one_ring() {
    let house = House::start(4).await;
    publish(&house).await;
    let (one, other) = (app(&house, QUICK), app(&house, QUICK));
    let (one, other) = house
        .during(async {
            tokio::join!(handle_now(&one, json!({ "nodes": -1 })), handle_now(&other, json!({ "nodes": -1 })))
        })
        .await;
    // One of them may have to give up, and then has changed nothing.
    let done = [&one, &other].map(|handled| handled.answer.is_ok());
    assert!(done.contains(&true), "{one:?} {other:?}");
    assert_eq!(house.ids(), ["0001", "0002", "0003"], "{one:?} {other:?}");
    let report = publish(&house).await;
    assert_eq!(report.unfinished, None);
    let document = document(&house);
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![1, 2, 3]));
    assert!(document.retired.is_empty(), "{document:?}");
}

/// The API gives no answer to the removal, and the cluster is in the middle of a change: the node stays out.
async fn left_in_doubt() {
    let house = House::start(3).await;
    publish(&house).await;
    let quiet = Told::of(&house.cluster.nodes());
    let modifying = Told { status: "modifying", ..quiet.clone() };
    let api = FakeApi::start();
    api.answer("DescribeCacheClusters", [quiet.answer(), modifying.answer(), quiet.answer()]);
    let modified = answer("ModifyCacheCluster", "");
    api.answer("ModifyCacheCluster", [Reply::Hangup, modified]);
    let handled = handle_now(&app_asking(&house, &api, QUICK), json!({ "nodes": -1 })).await;
    assert!(matches!(handled.answer, Err(Failure::Doubt(_))), "{handled:?}");
    let doubtful = document(&house);
    assert_eq!((numbers(&doubtful.nodes), numbers(&doubtful.retired)), (vec![1, 2], vec![3]));

    // In another environment, and within the cool-down.
    let handled = handle_now(&app_asking(&house, &api, PATIENT), json!({ "nodes": -1 })).await;
    let answer = in_answer(&handled);
    assert_eq!((&answer["node"], &answer["epoch"]), (&json!("0003"), &json!(doubtful.epoch.number())));
    assert_eq!(document(&house), doubtful);
}

/// The function is killed while the nodes that stay are warmed.
async fn killed() {
    let house = House::start(3).await;
    publish(&house).await;
    let node = house.cluster.nodes()[0].endpoint;
    let app = app(&house, QUICK);
    let is_warming = until("nodes are warmed", || document_on(node).phase == Phase::Warming);
    tokio::select! {
        handled = house.handle(&app, json!({ "nodes": -1 })) => panic!("it ended: {handled:?}"),
        () = is_warming => {}
    }
    assert_eq!(house.ids().len(), 3);

    // The schedule of ring-refresh ends the change, and the next call the removal.
    assert_eq!(publish(&house).await.unfinished, None);
    let left_out = document(&house);
    assert_eq!((left_out.phase, numbers(&left_out.nodes)), (Phase::Active, vec![1, 2]));
    let handled = house.handle(&app, json!({ "nodes": -1 })).await;
    assert_eq!(in_answer(&handled)["node"], "0003");
    assert_eq!(house.ids(), ["0001", "0002"]);
}

/// ring-refresh runs again and again meanwhile, by its schedule.
async fn contended() {
    let house = House::start(3).await;
    publish(&house).await;
    let app = app(&house, QUICK);
    let meanwhile = async {
        for _ in 0..4 {
            sleep(Duration::from_millis(150)).await;
            publish(&house).await;
        }
    };
    let (handled, ()) = tokio::join!(house.handle(&app, json!({ "nodes": -1 })), meanwhile);
    in_answer(&handled);
    assert_eq!(house.ids(), ["0001", "0002"]);
    assert_eq!(publish(&house).await.unfinished, None);
    let document = document(&house);
    assert_eq!((numbers(&document.nodes), numbers(&document.retired)), (vec![1, 2], vec![]));
}

/// The API refuses a removal with `code`, when the node has left the ring already.
async fn check_refusal(code: &str) {
    let house = House::start(3).await;
    publish(&house).await;
    let fleet = Fleet::start(&house);
    fleet.read_all().await;
    let api = Told::of(&house.cluster.nodes()).api();
    api.answer("ModifyCacheCluster", [error(400, code)]);
    let handled = handle_now(&app_asking(&house, &api, QUICK), json!({ "nodes": -1 })).await;
    match code {
        "AccessDenied" => assert!(matches!(handled.answer, Err(Failure::Control(_))), "{handled:?}"),
        _ => assert_eq!(answered(&handled)["why"], "changing"),
    }
    assert_eq!((handled.work.restored, handled.work.nodes_removed), (1, 0), "{code}");
    let document = document(&house);
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![1, 2, 3]), "{code}");
    assert!(document.retired.is_empty(), "{code}: {document:?}");
    let report = publish(&house).await;
    assert!(report.published.is_empty() && report.unfinished.is_none(), "{code}: {report:?}");
    fleet.read_all().await;
}

/// Environments that read the same keys through the cache, and the origin behind them.
struct Fleet {
    cache: Cache,
    keys: Vec<Key>,
    policy: Policy,
    /// How often the origin was asked for a key.
    origin: AtomicU32,
}

impl Fleet {
    fn start(house: &House) -> Self {
        // All reads are counted, and told with the next one.
        let sampling =
            Sampling { one_in: 1, report_interval: Duration::from_millis(1), ..Sampling::default() };
        let cache = Cache::new(settings(house, QUICK).cluster, OriginGuard::new(8));
        Self {
            cache: cache.sampled_by(Sampler::new(sampling, Default::default())),
            keys: (0..KEYS).map(|id| Key::new(format!("flights:{id}").as_bytes()).unwrap()).collect(),
            policy: Policy::fresh_for(Ttl::clamped(600)),
            origin: AtomicU32::new(0),
        }
    }

    /// Reads every key, one by one, and sees that it is the right value.
    async fn read_all(&self) {
        for (id, key) in self.keys.iter().enumerate() {
            let flight = format!("flight {id}");
            let load = || {
                self.origin.fetch_add(1, Relaxed);
                let flight = flight.clone();
                async move { Ok::<_, Infallible>(Some(Loaded::raw(flight))) }
            };
            let deadline = Instant::now() + Duration::from_secs(10);
            let (read, _) = self.cache.get_or_load(key, &self.policy, deadline, load).await;
            assert_eq!(read.unwrap().value.unwrap(), flight.as_bytes());
        }
    }

    fn origin_calls(&self) -> u32 {
        self.origin.load(Relaxed)
    }
}

/// Watches until the cluster has lost a node: by then no ring may have it any more.
async fn sees_the_switch_before_the_removal(house: &House) {
    let node = house.cluster.nodes()[0].endpoint;
    let mut phases = vec![];
    until("a node is removed", || {
        phases.push(document_on(node).phase);
        phases.dedup();
        house.ids().len() < 3
    })
    .await;
    let document = document_on(node);
    assert_eq!((document.phase, numbers(&document.nodes)), (Phase::Active, vec![1, 2]));
    assert_eq!(phases, [Phase::Active, Phase::Joining, Phase::Warming, Phase::Leaving, Phase::Active]);
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// What ring-refresh does by a notice or a schedule; again where the machine is too busy.
async fn publish(house: &House) -> Report {
    let Settings { cluster, warm_up, .. } = settings(house, &[]);
    let publisher = Publisher::new(cluster, warm_up);
    let mut tries = 0;
    loop {
        tries += 1;
        let ended = publisher.reconcile(Instant::now() + Duration::from_secs(60)).await;
        if tries == 5 || ended.as_ref().is_ok_and(|report| report.unfinished.is_none()) {
            return ended.unwrap();
        }
    }
}

/// The function as its process makes it, over the control socket of the cluster.
fn app(house: &House, more: &[(&str, &str)]) -> App<PublishedRing> {
    app_of(settings(house, more))
}

/// The same, over an API.
fn app_asking(house: &House, api: &FakeApi, more: &[(&str, &str)]) -> App<PublishedRing> {
    let url = api.url();
    // It asks the API in any case.
    let of_api = asking(&url).into_iter().filter(|(name, _)| *name != "LARDER_ELASTICACHE_API");
    let of_house = [("LARDER_CONTROL_SOCKET", ""), ("LARDER_CLUSTER_NAME", "larder")];
    let more: Vec<_> = of_api.chain(of_house).chain(more.iter().copied()).collect();
    app_of(settings(house, &more))
}

fn app_of(settings: Settings) -> App<PublishedRing> {
    let Settings { control, cluster, warm_up, alarms, bounds, .. } = settings;
    App::new(control, PublishedRing::new(Publisher::new(cluster, warm_up)), alarms, bounds)
}

fn settings(house: &House, more: &[(&str, &str)]) -> Settings {
    Settings::read(&Variables::from_iter(house.variables(more))).unwrap()
}

/// The one document that all listed nodes hold.
#[track_caller]
fn document(house: &House) -> RingDocument {
    let held: Vec<_> = house.cluster.nodes().iter().map(|node| held(node.endpoint)).collect();
    assert!(held[0].is_some() && held.iter().all(|other| *other == held[0]), "{held:#?}");
    held[0].clone().unwrap()
}

/// How many keys the records on the nodes tell of.
fn told_keys(house: &House) -> usize {
    let slots = (0..Record::SLOTS).map(|slot| record_key(slot).to_string());
    let slots: Vec<_> = slots.collect();
    let nodes = house.cluster.nodes();
    let records =
        nodes.iter().flat_map(|node| slots.iter().filter_map(|slot| crate::wire::get(node.endpoint, slot)));
    let records = records.map(|(_, record)| Record::decode(&record).unwrap());
    let keys =
        records.flat_map(|record| record.keys().iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    keys.collect::<BTreeSet<_>>().len()
}

fn document_on(node: SocketAddr) -> RingDocument {
    held(node).unwrap()
}

fn answered(handled: &Handled) -> Value {
    serde_json::to_value(handled.answer.as_ref().unwrap()).unwrap()
}

/// The answer, which has to say that a node is being taken away.
#[track_caller]
fn in_answer(handled: &Handled) -> Value {
    let answer = answered(handled);
    assert_eq!(answer["done"], "in", "{answer}");
    answer
}

/// No wait after the ring was first published.
const QUICK: &[(&str, &str)] = &[("LARDER_SCALE_COOL_DOWN_SECS", "0")];
/// The same, and a second of warming.
const WARM: &[(&str, &str)] = &[QUICK[0], ("LARDER_WARM_SECS", "1")];
/// The cool-down of a deployer who says nothing.
const PATIENT: &[(&str, &str)] = &[];
const KEYS: u32 = 200;
/// Reads that may meet a node in the moment in which it goes, or a copy that was overtaken.
const FEW: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);
