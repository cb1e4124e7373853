//! The handle of a running cluster.

use crate::fleet::{Fleet, Predecessor};
use crate::{ConfigReply, LocalError, NodeId, NodeStatus, Options, Status};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

/// A local ElastiCache.
///
/// It runs on a thread and a runtime of its own: a test may pause its clock, block its thread or freeze its tasks, and
/// the cluster goes on. Its futures may be awaited on any runtime; one that is dropped leaves its change to be made.
/// Changes are made one after the other.
///
/// Dropping the handle ends the cluster and waits, a few milliseconds, until its last process is gone.
#[derive(Debug)]
pub struct LocalCluster {
    engine: Engine,
    status: watch::Receiver<Status>,
}

impl LocalCluster {
    /// Starts a cluster; it answers when this returns.
    ///
    /// If the future is dropped, what has been started is ended, and awaited, at once.
    pub async fn start(options: Options) -> Result<Self, LocalError> {
        let (orders, received) = mpsc::channel(MAX_WAITING_ORDERS);
        let (ready, started) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("larder-local".into())
            .spawn(move || run(options, received, ready))
            .map_err(|source| LocalError::System { what: "start a thread", source })?;
        let engine = Engine { orders: Some(orders), thread: Some(thread) };
        let status = started.await.map_err(|_| LocalError::Ended)??;
        Ok(Self { engine, status })
    }

    /// The cluster at this moment.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Where the configuration endpoint listens.
    pub fn config_endpoint(&self) -> SocketAddr {
        self.status.borrow().config_endpoint
    }

    /// The file in which the names stand, in the format of `/etc/hosts`; written anew at every change.
    pub fn hosts_file(&self) -> PathBuf {
        self.status.borrow().hosts_file.clone()
    }

    /// The listed nodes, sorted by name.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.status.borrow().nodes.clone()
    }

    /// Waits until the status is as `wanted`: for an end that nobody ordered, say.
    ///
    /// Errors: [`LocalError::Ended`] if the cluster ends first. The caller sets the limit of the wait.
    pub async fn wait_for(&self, wanted: impl FnMut(&Status) -> bool) -> Result<Status, LocalError> {
        let mut status = self.status.clone();
        let status = status.wait_for(wanted).await.map_err(|_| LocalError::Ended)?;
        Ok(status.clone())
    }

    /// Adds a node with the next number; listed, with the next version, when it answers.
    pub async fn add_node(&self) -> Result<NodeStatus, LocalError> {
        self.order(Order::Add).await
    }

    /// Removes a node, `None` for the last: off the list, with the next version, before it ends.
    pub async fn remove_node(&self, id: impl Into<Option<NodeId>>) -> Result<NodeStatus, LocalError> {
        let id = id.into();
        self.order(|done| Order::Remove(id, done)).await
    }

    /// Puts an empty node in a node's place: the same name, port and version, another address.
    ///
    /// Errors: [`LocalError::NoSecondAddress`] where 127.0.0.1 is the only loopback address (macOS).
    pub async fn replace_node(&self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.order(|done| Order::Replace(id, Predecessor::Ends, done)).await
    }

    /// As [`replace_node`](Self::replace_node), but the process that is replaced lives on beside its successor: it
    /// answers at its old address until [`end_predecessors`](Self::end_predecessors), or until the cluster ends.
    pub async fn replace_node_beside(&self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.order(|done| Order::Replace(id, Predecessor::LivesOn, done)).await
    }

    /// Ends all processes that [`replace_node_beside`](Self::replace_node_beside) has left; answers how many there were.
    pub async fn end_predecessors(&self) -> Result<usize, LocalError> {
        self.order(Order::EndPredecessors).await
    }

    /// Restarts a node, failed or not, at its address; it comes back empty.
    pub async fn reboot_node(&self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.order(|done| Order::Reboot(id, done)).await
    }

    /// Stops a node's process (`SIGSTOP`): connections are taken, nothing is answered. It has stopped when this
    /// returns.
    pub async fn pause_node(&self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.order(|done| Order::Pause(id, done)).await
    }

    /// Lets a paused node go on (`SIGCONT`).
    pub async fn resume_node(&self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.order(|done| Order::Resume(id, done)).await
    }

    /// Ends a node's process (`SIGKILL`): connections are refused, and the node stays listed as a failed one does on
    /// ElastiCache. Bring it back by a reboot or a replacement.
    pub async fn kill_node(&self, id: NodeId) -> Result<NodeStatus, LocalError> {
        self.order(|done| Order::Kill(id, done)).await
    }

    /// Changes how the endpoint and every node answer questions for the configuration.
    pub async fn answer_config(&self, reply: ConfigReply) -> Result<(), LocalError> {
        self.order(|done| Order::AnswerConfig(reply, done)).await
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, LocalError>>) -> Order,
    ) -> Result<T, LocalError> {
        let (done, result) = oneshot::channel();
        let orders = self.engine.orders.as_ref().ok_or(LocalError::Ended)?;
        orders.send(order(done)).await.map_err(|_| LocalError::Ended)?;
        result.await.map_err(|_| LocalError::Ended)?
    }
}

/// The cluster's thread, and the way to it. Dropped, ready or not, it ends what has been started.
#[derive(Debug)]
struct Engine {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.orders.take());
        // A panic there has been printed by its own thread; its processes end as their handles are dropped.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

type Done<T> = oneshot::Sender<Result<T, LocalError>>;
type Ready = Done<watch::Receiver<Status>>;

#[derive(Debug)]
enum Order {
    Add(Done<NodeStatus>),
    Remove(Option<NodeId>, Done<NodeStatus>),
    Replace(NodeId, Predecessor, Done<NodeStatus>),
    EndPredecessors(Done<usize>),
    Reboot(NodeId, Done<NodeStatus>),
    Pause(NodeId, Done<NodeStatus>),
    Resume(NodeId, Done<NodeStatus>),
    Kill(NodeId, Done<NodeStatus>),
    AnswerConfig(ConfigReply, Done<()>),
}

/// The cluster's thread: a runtime, the fleet, and orders until the last handle is dropped.
fn run(options: Options, orders: mpsc::Receiver<Order>, ready: Ready) {
    match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(options, orders, ready)),
        Err(source) => drop(ready.send(Err(LocalError::System { what: "start a runtime", source }))),
    }
}

async fn serve(options: Options, mut orders: mpsc::Receiver<Order>, mut ready: Ready) {
    let (mut fleet, status) = match Fleet::open(options) {
        Ok(opened) => opened,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let started = tokio::select! {
        started = fleet.start_first() => started,
        () = ready.closed() => Err(LocalError::Ended),
    };
    let is_up = started.is_ok();
    // Whoever does not wait for this any more has closed the orders too.
    let _ = ready.send(started.map(|()| status));
    if is_up {
        obey(&mut fleet, &mut orders).await;
    }
    fleet.end().await;
}

/// Makes changes as they are ordered and sees processes end, until the last handle is dropped.
async fn obey(fleet: &mut Fleet, orders: &mut mpsc::Receiver<Order>) {
    let mut ends = match signal(SignalKind::child()) {
        Ok(ends) => ends,
        Err(error) => return tracing::error!(%error, "ends of processes cannot be seen"),
    };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => make(fleet, order).await,
                None => return,
            },
            _ = ends.recv() => fleet.notice_ends().await,
        }
    }
}

/// Makes one change. That nobody waits for its result is no fault.
async fn make(fleet: &mut Fleet, order: Order) {
    match order {
        Order::Add(done) => drop(done.send(fleet.add().await)),
        Order::Remove(id, done) => drop(done.send(fleet.remove(id).await)),
        Order::Replace(id, predecessor, done) => drop(done.send(fleet.replace(id, predecessor).await)),
        Order::EndPredecessors(done) => drop(done.send(Ok(fleet.end_predecessors().await))),
        Order::Reboot(id, done) => drop(done.send(fleet.reboot(id).await)),
        Order::Pause(id, done) => drop(done.send(fleet.pause(id))),
        Order::Resume(id, done) => drop(done.send(fleet.resume(id))),
        Order::Kill(id, done) => drop(done.send(fleet.kill(id).await)),
        Order::AnswerConfig(reply, done) => drop(done.send(fleet.answer_config(reply))),
    }
}

const MAX_WAITING_ORDERS: usize = 16;
