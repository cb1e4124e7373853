//! A ring that remembers what it was asked, and a local cluster behind its control socket.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use larder_control::{ControlPlane, Local};
use larder_local::{Control, LocalCluster, NodeId, Options};
use larder_ring::RingNode;
use larder_scale::ask::Alarms;
use larder_scale::plan::Bounds;
use larder_scale::{App, Handled, Retired, Ring, RingError, RingState, handle};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// What a ring was asked, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    /// To leave a node out, and how many nodes the cluster listed then.
    Retire(String, Option<usize>),
    /// To take a node back.
    Restore(String),
}

/// Does as it is told by the test, and remembers what it was asked.
#[derive(Default)]
pub(crate) struct Recorder {
    /// What is known of it.
    pub(crate) state: RingState,
    /// Whether it cannot be read.
    pub(crate) is_unreadable: bool,
    /// Whether a node cannot be left out.
    pub(crate) retire_fails: bool,
    /// Whether a node cannot be taken back.
    pub(crate) restore_fails: bool,
    /// The cluster, to see what it lists.
    pub(crate) cluster: Option<Arc<LocalCluster>>,
    /// A node that somebody else takes away while one is left out of the ring.
    pub(crate) removed_meanwhile: Option<NodeId>,
    /// What it was asked so far, and by when that had to be done.
    pub(crate) log: Mutex<Vec<(Asked, Instant)>>,
}

impl Recorder {
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().iter().map(|(asked, _)| asked.clone()).collect()
    }

    pub(crate) fn deadlines(&self) -> Vec<Instant> {
        self.log.lock().unwrap().iter().map(|(_, deadline)| *deadline).collect()
    }

    fn note(&self, asked: Asked, deadline: Instant) {
        self.log.lock().unwrap().push((asked, deadline));
    }
}

impl Ring for Recorder {
    async fn retire(&self, node: &RingNode, deadline: Instant) -> Result<Retired, RingError> {
        let listed = self.cluster.as_ref().map(|cluster| cluster.nodes().len());
        self.note(Asked::Retire(node.to_string(), listed), deadline);
        if let (Some(cluster), Some(id)) = (&self.cluster, self.removed_meanwhile) {
            cluster.remove_node(id).await?;
        }
        if self.retire_fails { Err("a node did not answer".into()) } else { Ok(RETIRED) }
    }

    fn restore(
        &self,
        node: &RingNode,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), RingError>> + Send {
        self.note(Asked::Restore(node.to_string()), deadline);
        ready(if self.restore_fails { Err("still no answer".into()) } else { Ok(()) })
    }

    fn state(&self, _: Instant) -> impl Future<Output = Result<RingState, RingError>> + Send {
        ready(if self.is_unreadable { Err("no node answers".into()) } else { Ok(self.state.clone()) })
    }
}

/// A change of the ring waits three times for twice the interval and the timeout.
pub(crate) const QUICK: [(&str, &str); 3] =
    [("LARDER_RING_CHECK_INTERVAL_MS", "100"), ("LARDER_CACHE_TIMEOUT_MS", "300"), ("LARDER_WARM_SECS", "0")];

/// What it takes a [`Recorder`] to leave a node out.
pub(crate) const RETIRED: Retired = Retired { epoch: 8, copied_keys: 12 };

/// A local cluster with its control socket.
pub(crate) struct House {
    pub(crate) cluster: Arc<LocalCluster>,
    dir: TempDir,
}

impl House {
    pub(crate) async fn start(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { nodes, dir: Some(dir.path().to_owned()), ..Options::default() };
        Self { cluster: Arc::new(LocalCluster::start(options).await.unwrap()), dir }
    }

    /// A function over this cluster.
    pub(crate) fn app(&self, ring: Recorder) -> App<Recorder> {
        let ring = Recorder { cluster: Some(Arc::clone(&self.cluster)), ..ring };
        app(ControlPlane::Local(Local::new(self.socket())), ring)
    }

    /// The variables of a function that scales this cluster between 2 and 4 nodes, quickly, and `more`.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let (endpoint, hosts) = (self.cluster.config_endpoint().to_string(), self.cluster.hosts_file());
        let (hosts, socket) = (hosts.display().to_string(), self.socket());
        let own = [
            ("LARDER_CONFIG_ENDPOINT", endpoint.as_str()),
            ("LARDER_HOSTS_FILE", &hosts),
            ("LARDER_CONTROL_SOCKET", &socket),
            ("LARDER_SCALE_MIN_NODES", "2"),
            ("LARDER_SCALE_MAX_NODES", "4"),
        ];
        let all = own.iter().chain(&QUICK).chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    pub(crate) fn socket(&self) -> String {
        self.dir.path().join("control.sock").display().to_string()
    }

    /// Serves the control socket until `work` is done.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let socket = Control::open(&self.cluster).unwrap();
        tokio::select! {
            never = socket.serve(&self.cluster) => match never {},
            done = work => done,
        }
    }

    /// Has `event` handled by `app`.
    pub(crate) async fn handle<R: Ring>(&self, app: &App<R>, event: Value) -> Handled {
        self.during(handle_now(app, event)).await
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.cluster.nodes().iter().map(|node| node.id.to_string()).collect()
    }

    /// The name and port of the node at this place of the list.
    pub(crate) fn endpoint(&self, at: usize) -> String {
        let node = &self.cluster.nodes()[at];
        format!("{}:{}", node.name, node.port)
    }
}

/// A function that scales 2 to 4 nodes, by the alarms `full` and `empty`.
pub(crate) fn app(control: ControlPlane, ring: Recorder) -> App<Recorder> {
    let alarms = Alarms { out: Some("full".to_owned()), r#in: Some("empty".to_owned()) };
    let bounds = Bounds { min_nodes: 2, max_nodes: 4, cool_down: Duration::from_secs(600) };
    App::new(control, ring, alarms, bounds)
}

/// Has `event` handled by `app` within two minutes.
pub(crate) async fn handle_now<R: Ring>(app: &App<R>, event: Value) -> Handled {
    handle(app, &event, SystemTime::now(), Instant::now() + Duration::from_secs(120)).await
}

/// What an alarm publishes, as SNS hands it to a function.
pub(crate) fn alarm(name: &str, state: &str) -> Value {
    let message = json!({
        "AlarmName": name,
        "AlarmDescription": "The nodes throw away items that are still alive.",
        "AWSAccountId": "123456789012",
        "NewStateValue": state,
        "NewStateReason": "Threshold Crossed: 3 datapoints were greater than the threshold (1000.0).",
        "StateChangeTime": "2026-01-31T12:00:00.000+0000",
        "Region": "EU (Ireland)",
        "OldStateValue": "OK",
        "Trigger": { "Period": 300, "Threshold": 1000.0 },
    });
    json!({
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:eu-west-1:123456789012:alarms:0f3c",
        "Sns": {
            "Type": "Notification",
            "MessageId": "95df",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms",
            "Subject": format!("{state}: \"{name}\" in EU (Ireland)"),
            "Message": message.to_string(),
            "Timestamp": "2026-01-31T12:00:00.123Z",
            "MessageAttributes": {},
        },
    })
}
