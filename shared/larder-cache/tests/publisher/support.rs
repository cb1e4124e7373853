//! A local cluster, an environment that uses it, and the publisher.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use larder_cache::{Publisher, Report, WarmUp};
use larder_client::{Cluster, Config, Endpoint, Key};
use larder_local::{ConfigReply, LocalCluster, NodeId, NodeState, NodeStatus, Options};
use larder_ring::{Phase, RingDocument, RingKind, RingNode, Sighting};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A cluster of `nodes` nodes on which nobody has published anything.
pub(crate) async fn start(nodes: usize) -> LocalCluster {
    LocalCluster::start(Options { nodes, ..Options::default() }).await.unwrap()
}

/// A cluster of `nodes` nodes, and the document that has been in force there for an hour.
pub(crate) async fn settled(nodes: usize) -> (LocalCluster, RingDocument) {
    let local = start(nodes).await;
    let document = RingDocument::first(ring_nodes(&local), now_ms() - 3_600_000);
    place(&local, &document).await;
    (local, document)
}

/// A cluster that stands in `phase` of a change by which a node comes to `nodes` others, and the document that says so.
pub(crate) async fn growing(nodes: usize, phase: Phase) -> (LocalCluster, RingDocument) {
    let (local, mut document) = settled(nodes).await;
    local.add_node().await.unwrap();
    let listed = ring_nodes(&local);
    while document.phase != phase {
        document = after(&document, &listed);
    }
    place(&local, &document).await;
    (local, document)
}

/// The document that follows `document` if `listed` is listed and all of it answers.
pub(crate) fn after(document: &RingDocument, listed: &[RingNode]) -> RingDocument {
    document.following(RingKind::default(), Sighting { listed, lost: &[] }, now_ms()).unwrap()
}

/// The client of an environment, or of a publisher. Looks at the ring document very often, so that a change takes
/// little more than a call may take; at the topology when a node fails.
pub(crate) fn client(local: &LocalCluster) -> Cluster {
    Cluster::new(config(local)).unwrap()
}

pub(crate) fn config(local: &LocalCluster) -> Config {
    let endpoint = local.config_endpoint();
    let endpoint = Endpoint::Configuration { host: endpoint.ip().to_string(), port: endpoint.port() };
    Config {
        ring_check_interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        hosts_file: Some(local.hosts_file()),
        ..Config::new(endpoint)
    }
}

/// A publisher that has never seen the cluster, and warms for no longer than it must.
pub(crate) fn publisher(local: &LocalCluster) -> Publisher {
    Publisher::new(client(local), warm_up())
}

pub(crate) fn warm_up() -> WarmUp {
    WarmUp { least: Duration::ZERO, most: Duration::from_secs(5), ..WarmUp::default() }
}

pub(crate) async fn reconcile(publisher: &Publisher) -> Report {
    publisher.reconcile(soon()).await.unwrap()
}

/// Has runs made until one of them finds nothing left to do; answers what they have done together. One would do, but
/// where a busy machine makes a node silent for a moment.
pub(crate) async fn finish(publisher: &Publisher) -> Report {
    let (mut done, end) = (Report::default(), soon());
    loop {
        let report = reconcile(publisher).await;
        done.published.extend(&report.published);
        done.warmed += report.warmed;
        if report.unfinished.is_none() {
            return Report { published: done.published, warmed: done.warmed, ..report };
        }
        assert!(Instant::now() < end, "{report:?}");
    }
}

/// Lets `environment` ask for something, so that it learns which ring is in force, if it is time to.
pub(crate) async fn look(environment: &Cluster) {
    until("the environment gets an answer", || async { environment.get(&key("k")).await.is_ok() }).await;
}

/// Removes `key`, for as long as it takes.
pub(crate) async fn delete(environment: &Cluster, key: &Key) {
    until("the key is removed", || async { environment.delete(key).await.is_ok() }).await;
}

/// Lets a run go on until the document in force is one of `phase`, in which `ring` is shown, and drops it there: what
/// follows takes its time, and is tested elsewhere.
pub(crate) async fn comes_to(
    local: &LocalCluster,
    publisher: &Publisher,
    phase: Phase,
    ring: &str,
) -> RingDocument {
    let mut found = None;
    let look = async {
        loop {
            let latest =
                held(local).await.into_iter().filter_map(|(_, held)| held).max_by_key(|held| held.epoch);
            found = latest.filter(|latest| latest.phase == phase && shown(latest) == ring);
            if found.is_some() {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = look => {}
        report = finish(publisher) => panic!("it has not come to {phase:?} {ring}, but to {report:?}"),
    }
    found.unwrap()
}

/// When a run should have ended, with much to spare.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(crate) fn in_millis(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text.as_bytes()).unwrap()
}

/// The first of `flights:0`, `flights:1` … that is owned by the node numbered `from` in the present ring of `document`
/// and by the one numbered `to` in its next ring, or in the present one if there is no next.
pub(crate) fn moving_key(document: &RingDocument, from: u16, to: u16) -> Key {
    moving_keys(document, from, to).next().unwrap()
}

pub(crate) fn moving_keys(document: &RingDocument, from: u16, to: u16) -> impl Iterator<Item = Key> {
    let ring = |nodes| larder_ring::Ring::new(RingKind::default(), nodes).unwrap();
    let next = if document.next.is_empty() { &document.nodes } else { &document.next };
    let (present, next) = (ring(&document.nodes), ring(next));
    let owner = |ring: &larder_ring::Ring, key: &Key| number_of(&ring.nodes()[ring.owner(key.as_bytes())]);
    let keys = (0..100_000).map(|number| key(&format!("flights:{number}")));
    keys.filter(move |key| owner(&present, key) == from && owner(&next, key) == to)
}

/// The numbers of the nodes of the present ring and of the next one: `123`, or `123>1234`.
pub(crate) fn shown(document: &RingDocument) -> String {
    let numbers = |list: &[RingNode]| list.iter().map(|node| number_of(node).to_string()).collect::<String>();
    match document.next.is_empty() {
        true => numbers(&document.nodes),
        false => format!("{}>{}", numbers(&document.nodes), numbers(&document.next)),
    }
}

/// The phases that a run has published, in their order.
pub(crate) fn phases(report: &Report) -> Vec<Phase> {
    report.published.iter().map(|published| published.phase).collect()
}

/// What a run has come to: the phases that it has published, and the ring in the end.
#[track_caller]
pub(crate) fn check(report: &Report, published: &[Phase], ring: &str) {
    assert_eq!(report.unfinished, None, "{report:?}");
    assert_eq!(phases(report), published, "{report:?}");
    assert_eq!(shown(report.document.as_ref().unwrap()), ring);
}

/// The steps of a change in which keys move from nodes that live.
pub(crate) const STEPS: [Phase; 4] = [Phase::Joining, Phase::Warming, Phase::Leaving, Phase::Active];

// The nodes.

/// The listed nodes, as the ring has them.
pub(crate) fn ring_nodes(local: &LocalCluster) -> Vec<RingNode> {
    local.nodes().iter().map(ring_node).collect()
}

pub(crate) fn ring_node(node: &NodeStatus) -> RingNode {
    RingNode { ip: Some(node.ip.to_string()), ..RingNode::new(node.name.clone(), node.port) }
}

fn number_of(node: &RingNode) -> u16 {
    node.host.split('.').nth(2).unwrap().parse().unwrap()
}

/// Takes nodes off the list and lets them run.
pub(crate) async fn delist(local: &LocalCluster, ids: &[u16]) {
    let status = local.status();
    let listed = status.nodes.iter().filter(|node| !ids.contains(&node.id.0));
    let listed: Vec<_> = listed.map(|node| format!("{}|{}|{}", node.name, node.ip, node.port)).collect();
    let payload = format!("{}\n{}\n", status.config_version + 1, listed.join(" "));
    local.answer_config(ConfigReply::Payload(payload.into_bytes())).await.unwrap();
}

/// Stores `document` on every node that runs, whatever is there.
pub(crate) async fn place(local: &LocalCluster, document: &RingDocument) {
    let stored = running(local).into_iter().map(|node| place_on(local, node, document));
    join_all(stored).await;
}

pub(crate) async fn place_on(local: &LocalCluster, node: NodeStatus, document: &RingDocument) {
    let flags = document.client_flags();
    place_bytes(local, node.id, &document.encode(), flags).await;
}

/// Stores `bytes` in the document's place on one node.
pub(crate) async fn place_bytes(local: &LocalCluster, id: NodeId, bytes: &[u8], flags: u32) {
    let head = format!("ms larder~ring {} T0 F{flags}\r\n", bytes.len());
    let set = [head.as_bytes(), bytes, b"\r\n"].concat();
    assert_eq!(ask(endpoint(local, id), &set).await, "HD");
}

/// The document that every running node holds, by their numbers; `None` for none, or for what cannot be read.
pub(crate) async fn held(local: &LocalCluster) -> Vec<(u16, Option<RingDocument>)> {
    let client = client(local);
    let held = running(local).into_iter().map(|node| {
        let direct = client.direct(&ring_node(&node));
        async move {
            let document = direct.document().await.ok().flatten().and_then(|held| held.document.ok());
            (node.id.0, document)
        }
    });
    join_all(held).await
}

/// Restarts every node, so that each of them is empty.
pub(crate) async fn reboot_all(local: &LocalCluster) {
    for node in local.nodes() {
        local.reboot_node(node.id).await.unwrap();
    }
}

/// Asserts that every running node holds `document`.
#[track_caller]
pub(crate) fn all_hold(document: &RingDocument, held: &[(u16, Option<RingDocument>)]) {
    for (node, held) in held {
        assert_eq!(held.as_ref(), Some(document), "node {node}");
    }
}

fn running(local: &LocalCluster) -> Vec<NodeStatus> {
    local.nodes().into_iter().filter(|node| node.state == NodeState::Running).collect()
}

pub(crate) fn endpoint(local: &LocalCluster, id: NodeId) -> SocketAddr {
    local.nodes().iter().find(|node| node.id == id).unwrap().endpoint
}

/// The first line that a node replies to `request`.
pub(crate) async fn ask(node: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(node).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

// Waiting.

/// Waits until `condition` holds; panics if it does not come to it.
#[track_caller]
pub(crate) fn until<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let what = what.to_owned();
    async move {
        let wait = async {
            while !condition().await {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(15), wait).await.unwrap_or_else(|_| panic!("in vain: {what}"));
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
