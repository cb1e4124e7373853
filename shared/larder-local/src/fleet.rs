//! The nodes of a running cluster and the changes to them.

use crate::addresses::{Addresses, listen};
use crate::config::{ConfigReply, endpoint_name, node_name, payload};
use crate::front::{Front, Published, Route};
use crate::memcached::Memcached;
use crate::notice::{Event, Notices};
use crate::watchdog::Watchdog;
use crate::work_dir::WorkDir;
use crate::{LocalError, MAX_NODES, NodeId, NodeState, NodeStatus, Options, Status, hosts};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// All that runs for one cluster. Lives on the cluster's own runtime; one change is made at a time.
#[derive(Debug)]
pub(crate) struct Fleet {
    options: Options,
    dir: WorkDir,
    watchdog: Watchdog,
    addresses: Addresses,
    endpoint: Front,
    nodes: BTreeMap<NodeId, Node>,
    /// Processes that were replaced and live on: no list and no name leads to them.
    predecessors: Vec<Node>,
    last_id: NodeId,
    launches: u16,
    config_version: u64,
    reply: ConfigReply,
    notices: Notices,
    published: watch::Sender<Published>,
    status: watch::Sender<Status>,
}

/// What becomes of the process that a replacement takes the place of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Predecessor {
    Ends,
    LivesOn,
}

/// A listed node. One that failed has no door: connections are refused.
#[derive(Debug)]
struct Node {
    address: SocketAddr,
    memcached: Memcached,
    front: Option<Front>,
    paused: bool,
}

impl Fleet {
    /// Opens the endpoint of a cluster that has no node yet.
    pub(crate) fn open(options: Options) -> Result<(Self, watch::Receiver<Status>), LocalError> {
        options.check()?;
        let dir = WorkDir::take(options.dir.as_deref())?;
        let watchdog =
            Watchdog::start().map_err(|source| LocalError::System { what: "start the watchdog", source })?;
        let (published, seen) = watch::channel(Published::default());
        let endpoint = listen((Ipv4Addr::LOCALHOST, options.port).into())?;
        let endpoint = open_front(endpoint, Route::FirstRunning, seen)?;
        let (status, watched) = watch::channel(Status {
            name: options.name.clone(),
            config_endpoint: endpoint.address(),
            config_name: endpoint_name(&options.name),
            config_version: options.config_version,
            hosts_file: dir.join("hosts"),
            pid: process::id(),
            nodes: Vec::new(),
        });
        let fleet = Self {
            addresses: Addresses::new(options.port),
            notices: Notices::start(&options.name, options.notify.clone()),
            config_version: options.config_version,
            nodes: BTreeMap::new(),
            predecessors: Vec::new(),
            last_id: NodeId(0),
            launches: 0,
            reply: ConfigReply::Topology,
            options,
            dir,
            watchdog,
            endpoint,
            published,
            status,
        };
        Ok((fleet, watched))
    }

    /// Starts the first nodes, and lists them when all of them answer.
    pub(crate) async fn start_first(&mut self) -> Result<(), LocalError> {
        for _ in 0..self.options.nodes {
            self.start_new().await?;
        }
        self.publish()
    }

    /// Adds a node, listed when it answers.
    pub(crate) async fn add(&mut self) -> Result<NodeStatus, LocalError> {
        if self.nodes.len() == MAX_NODES {
            return Err(LocalError::NodeCount);
        }
        let id = self.start_new().await?;
        self.config_version += 1;
        self.publish()?;
        self.notices.send(Event::AddCacheNodeComplete);
        self.node_status(id)
    }

    /// Removes a node, the last one if none is named; it is off the list before it ends.
    pub(crate) async fn remove(&mut self, id: Option<NodeId>) -> Result<NodeStatus, LocalError> {
        let id = id.or_else(|| self.nodes.keys().next_back().copied()).ok_or(LocalError::LastNode)?;
        let removed = self.node_status(id)?;
        if self.nodes.len() == 1 {
            return Err(LocalError::LastNode);
        }
        let node = self.nodes.remove(&id).ok_or(LocalError::UnknownNode(id))?;
        self.config_version += 1;
        self.publish()?;
        node.end().await;
        self.notices.send(Event::RemoveCacheNodeComplete);
        Ok(removed)
    }

    /// Puts an empty node at another address in a node's place; name, port and the version stay.
    pub(crate) async fn replace(
        &mut self,
        id: NodeId,
        predecessor: Predecessor,
    ) -> Result<NodeStatus, LocalError> {
        let old = self.node(id)?.address;
        let listener = self.addresses.listen_replacement(old)?;
        self.notices.send(Event::CacheNodeReplaceStarted);
        let node = self.start_node(id, listener).await?;
        let old = self.nodes.insert(id, node);
        self.publish()?;
        match (old, predecessor) {
            (Some(old), Predecessor::Ends) => old.end().await,
            (Some(old), Predecessor::LivesOn) => self.predecessors.push(old),
            (None, _) => {}
        }
        self.notices.send(Event::CacheNodeReplaceComplete);
        self.node_status(id)
    }

    /// Ends the processes that were replaced and live on; answers how many there were.
    pub(crate) async fn end_predecessors(&mut self) -> usize {
        let predecessors = std::mem::take(&mut self.predecessors);
        let count = predecessors.len();
        for node in predecessors {
            node.end().await;
        }
        count
    }

    /// Restarts a node, or brings a failed one back, at the same address; it comes back empty.
    pub(crate) async fn reboot(&mut self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.fail(id).await?;
        let address = self.node(id)?.address;
        let node = self.start_node(id, listen_again(address).await?).await?;
        self.nodes.insert(id, node);
        self.publish()?;
        self.notices.send(Event::CacheNodesRebooted);
        self.node_status(id)
    }

    /// Ends a node's process; the node stays listed.
    pub(crate) async fn kill(&mut self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.fail(id).await?;
        self.node_status(id)
    }

    /// Stops a node's process; its connections stay and nothing is answered.
    pub(crate) fn pause(&mut self, id: NodeId) -> Result<NodeStatus, LocalError> {
        let node = self.running(id)?;
        node.memcached.pause().map_err(|source| LocalError::System { what: "stop the process", source })?;
        node.paused = true;
        self.publish()?;
        self.node_status(id)
    }

    /// Lets a paused node go on.
    pub(crate) fn resume(&mut self, id: NodeId) -> Result<NodeStatus, LocalError> {
        let node = self.running(id)?;
        node.memcached
            .resume()
            .map_err(|source| LocalError::System { what: "continue the process", source })?;
        node.paused = false;
        self.publish()?;
        self.node_status(id)
    }

    /// Changes how questions for the configuration are answered.
    pub(crate) fn answer_config(&mut self, reply: ConfigReply) -> Result<(), LocalError> {
        self.reply = reply;
        self.publish()
    }

    /// Looks for nodes whose process has ended by itself and closes their doors.
    pub(crate) async fn notice_ends(&mut self) {
        let mut ended = Vec::new();
        for (id, node) in &mut self.nodes {
            if node.front.is_some() && node.memcached.has_ended() {
                tracing::warn!(node = %id, printed = node.memcached.printed(), "memcached has ended");
                ended.push(*id);
            }
        }
        for id in ended {
            if let Err(error) = self.fail(id).await {
                tracing::warn!(node = %id, %error, "the end of a node could not be published");
            }
        }
    }

    /// Ends every process and waits for each; the names stand nowhere any more.
    pub(crate) async fn end(mut self) {
        // It is not there if the start did not come so far.
        let _ = fs::remove_file(self.dir.join("hosts"));
        self.end_predecessors().await;
        self.endpoint.close().await;
        for node in self.nodes.into_values() {
            node.end().await;
        }
        self.watchdog.stop().await;
    }

    async fn start_new(&mut self) -> Result<NodeId, LocalError> {
        let listener = self.addresses.listen_new()?;
        let id = NodeId(self.last_id.0 + 1);
        let node = self.start_node(id, listener).await?;
        self.nodes.insert(id, node);
        self.last_id = id;
        Ok(id)
    }

    async fn start_node(&mut self, id: NodeId, listener: TcpListener) -> Result<Node, LocalError> {
        self.launches = self.launches.wrapping_add(1);
        let base = self.dir.join(&format!("{id}-{}", self.launches));
        let memcached = Memcached::start(&self.options, &base, self.watchdog.group()).await?;
        let route = Route::Node(memcached.socket().to_owned());
        let front = open_front(listener, route, self.published.subscribe())?;
        Ok(Node { address: front.address(), memcached, front: Some(front), paused: false })
    }

    /// Ends a node's process and its door, if it has not failed already.
    async fn fail(&mut self, id: NodeId) -> Result<(), LocalError> {
        let node = self.node(id)?;
        node.memcached.kill().await;
        node.paused = false;
        if let Some(front) = node.front.take() {
            front.close().await;
        }
        self.publish()
    }

    fn node(&mut self, id: NodeId) -> Result<&mut Node, LocalError> {
        self.nodes.get_mut(&id).ok_or(LocalError::UnknownNode(id))
    }

    fn running(&mut self, id: NodeId) -> Result<&mut Node, LocalError> {
        let node = self.node(id)?;
        if node.front.is_some() { Ok(node) } else { Err(LocalError::NotRunning(id)) }
    }

    fn node_status(&self, id: NodeId) -> Result<NodeStatus, LocalError> {
        let node = self.nodes.get(&id).ok_or(LocalError::UnknownNode(id))?;
        Ok(node.status(id, &self.options.name))
    }

    /// Makes the nodes known: names first, so that a name that is read from the configuration resolves.
    fn publish(&self) -> Result<(), LocalError> {
        let nodes: Vec<NodeStatus> =
            self.nodes.iter().map(|(id, node)| node.status(*id, &self.options.name)).collect();
        let endpoint = (endpoint_name(&self.options.name), self.endpoint.address().ip());
        let names: Vec<_> =
            [endpoint].into_iter().chain(nodes.iter().map(|node| (node.name.clone(), node.ip))).collect();
        let path = self.dir.join("hosts");
        hosts::write(&path, &names).map_err(|source| LocalError::Dir { path, source })?;

        let listed: Vec<_> = nodes.iter().map(|node| (node.name.clone(), node.endpoint)).collect();
        let running = self.nodes.values().filter(|node| node.state() == NodeState::Running);
        self.published.send_replace(Published {
            reply: self.reply.clone(),
            payload: payload(self.config_version, &listed).into(),
            running: running.map(|node| node.memcached.socket().to_owned()).collect(),
        });
        self.status.send_modify(|status| {
            status.config_version = self.config_version;
            status.nodes = nodes;
        });
        Ok(())
    }
}

impl Node {
    async fn end(mut self) {
        if let Some(front) = self.front.take() {
            front.close().await;
        }
        self.memcached.kill().await;
    }

    fn state(&self) -> NodeState {
        match (&self.front, self.paused) {
            (None, _) => NodeState::Failed,
            (Some(_), true) => NodeState::Paused,
            (Some(_), false) => NodeState::Running,
        }
    }

    fn status(&self, id: NodeId, cluster: &str) -> NodeStatus {
        NodeStatus {
            id,
            name: node_name(cluster, id),
            ip: self.address.ip(),
            port: self.address.port(),
            endpoint: self.address,
            state: self.state(),
            pid: self.memcached.pid(),
            version: self.memcached.version().to_owned(),
        }
    }
}

/// Listens where a door has just been closed, with some patience where its socket may live on for a moment (see
/// [`Front::close`]).
async fn listen_again(address: SocketAddr) -> Result<TcpListener, LocalError> {
    for _ in 0..LISTEN_TRIES {
        match listen(address) {
            Err(LocalError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
                sleep(LISTEN_PAUSE).await
            }
            other => return other,
        }
    }
    listen(address)
}

fn open_front(
    listener: TcpListener,
    route: Route,
    published: watch::Receiver<Published>,
) -> Result<Front, LocalError> {
    Front::open(listener, route, published)
        .map_err(|source| LocalError::System { what: "serve a listening socket", source })
}

const LISTEN_TRIES: usize = 50;
const LISTEN_PAUSE: Duration = Duration::from_millis(10);
