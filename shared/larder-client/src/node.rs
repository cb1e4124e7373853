//! One node: its connection, its health, and how a request gets an answer from it.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use larder_meta::{Limits, NOOP};
use larder_ring::RingNode;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, Awaited};
use crate::connect::Connector;
use crate::connection::Connection;
use crate::health::{Health, Pauses, Verdict};
use crate::moment::Moment;
use crate::pipeline::Fitness;
use crate::site::{Site, Told};
use crate::{Config, NodeError};

/// A node of the cluster, for as long as its name and port are in the topology, and as it is the same machine: one that
/// was replaced is another node.
#[derive(Debug)]
pub(crate) struct Node {
    /// `host:port`.
    pub(crate) name: Arc<str>,
    /// The same as the rings have it.
    pub(crate) id: RingNode,
    /// The one address at which it is asked; `None` for a node, which is found by its name.
    at: Option<IpAddr>,
    site: Mutex<Site>,
    /// The machine that has taken its place: whatever is asked here yet goes there.
    successor: OnceLock<Arc<Self>>,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Held by the one who connects; the others wait for what comes of it. Holds the last failure.
    connecting: tokio::sync::Mutex<Option<(Moment, NodeError)>>,
    health: Mutex<Health>,
    /// Whether `health` is worth a look: it has failed since its last success.
    has_failed: AtomicBool,
}

/// What is the same for all nodes of a cluster.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) config: Config,
    pub(crate) connector: Connector,
    pub(crate) limits: Limits,
    pub(crate) pauses: Pauses,
}

/// A request to one node.
pub(crate) trait Request {
    /// Whether sending it twice does no harm, so that it may be repeated on a fresh connection.
    const IS_REPEATABLE: bool;
    /// Whether it carries a data block.
    const HAS_DATA: bool;
    /// Whether it is tried although the node is marked down: what makes an item go must reach a node as soon as anybody
    /// does, for somebody else may have found it alive again.
    const INSISTS: bool = false;

    /// Appends its bytes, and tells what they will be answered by.
    fn encode(&self, out: &mut BytesMut) -> Awaited;
}

impl Node {
    pub(crate) fn new(seen: larder_discovery::Node) -> Self {
        Self::of_site(Site::new(seen))
    }

    fn of_site(site: Site) -> Self {
        Self {
            name: site.node.to_string().into(),
            id: RingNode::new(site.node.host.clone(), site.node.port),
            at: None,
            site: Mutex::new(site),
            successor: OnceLock::new(),
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            health: Mutex::default(),
            has_failed: AtomicBool::new(false),
        }
    }

    /// The machine at the address of `node`, whatever its name leads to: one that another has taken the place of.
    pub(crate) fn at_address(node: &RingNode) -> Option<Self> {
        let at = node.ip.as_ref()?.parse().ok()?;
        Some(Self { at: Some(at), ..Self::of_ring(node) })
    }

    /// A node that only a ring has told of.
    pub(crate) fn of_ring(node: &RingNode) -> Self {
        Self::new(larder_discovery::Node { host: node.host.clone(), port: node.port, ip: node.ip.clone() })
    }

    /// Sends `request` and waits for its answer, from `now` until `deadline`; answers the connection, too, for what
    /// is only good on this one.
    ///
    /// A request that got no byte of a reply on a used connection is repeated once on a fresh one, if it may be.
    /// If the future is dropped, nothing is left behind; see [`connection`](crate::connection).
    pub(crate) async fn ask<R: Request>(
        &self,
        common: &Common,
        now: Moment,
        deadline: Instant,
        request: &R,
    ) -> Result<(Answer, Arc<Connection>), NodeError> {
        match self.down_for(common, now) {
            None => self.insist(common, now, deadline, request).await,
            Some(_) if R::INSISTS => Box::pin(self.ask_though_down(common, now, deadline, request)).await,
            Some(retry_in) => Err(NodeError::Down { retry_in }),
        }
    }

    /// For how long the node is to be left alone yet, if it is; of those who come when that is over, one may try.
    fn down_for(&self, common: &Common, now: Moment) -> Option<Duration> {
        if !self.has_failed.load(Relaxed) {
            return None;
        }
        match lock(&self.health).admit(now, &common.pauses) {
            Verdict::Ask => None,
            Verdict::LeaveAlone(retry_in) => Some(retry_in),
        }
    }

    /// The same while the node is marked down. A failure is none then: those who insist would keep the others away.
    async fn ask_though_down<R: Request>(
        &self,
        common: &Common,
        now: Moment,
        deadline: Instant,
        request: &R,
    ) -> Result<(Answer, Arc<Connection>), NodeError> {
        let asked = pin!(self.ask_until(common, now, deadline, request));
        let result = timeout_at(deadline, asked).await.unwrap_or(Err(NodeError::Deadline));
        if result.is_ok() {
            self.note(common, now, None);
        }
        result
    }

    /// The same, whether the node is marked down or not: for whoever has to know how it is now.
    pub(crate) async fn insist<R: Request>(
        &self,
        common: &Common,
        now: Moment,
        deadline: Instant,
        request: &R,
    ) -> Result<(Answer, Arc<Connection>), NodeError> {
        // Pinned here, not moved into the timer: it is large.
        let asked = pin!(self.ask_until(common, now, deadline, request));
        let result = timeout_at(deadline, asked).await.unwrap_or(Err(NodeError::Deadline));
        self.note(common, now, result.as_ref().err());
        result
    }

    async fn ask_until<R: Request>(
        &self,
        common: &Common,
        now: Moment,
        deadline: Instant,
        request: &R,
    ) -> Result<(Answer, Arc<Connection>), NodeError> {
        let rested = match self.usable(common, now) {
            Some((connection, false)) => match exchange(&connection, request).await {
                Ok(Some(answer)) => return Ok((answer, connection)),
                Ok(None) => None,
                Err(error) if R::IS_REPEATABLE && error.may_try_again() => {
                    self.give_up(&connection, &error);
                    None
                }
                Err(error) => return Err(error),
            },
            rested => rested.map(|(connection, _)| connection),
        };
        // Boxed, for it is rare and large, and would have to be carried along by every request.
        Box::pin(self.ask_anew(common, rested, deadline, request)).await
    }

    /// Asks on a connection that has `rested`, then on a fresh one; at once on a fresh one where there is none.
    async fn ask_anew<R: Request>(
        &self,
        common: &Common,
        rested: Option<Arc<Connection>>,
        deadline: Instant,
        request: &R,
    ) -> Result<(Answer, Arc<Connection>), NodeError> {
        if let Some(connection) = rested {
            // After a rest silence may mean that the way to the node has forgotten us: leave time to try anew.
            let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
            let (patience, silence) = match R::IS_REPEATABLE {
                true => (half, NodeError::unanswered()),
                false => (deadline, NodeError::Deadline),
            };
            let tried = timeout_at(patience, exchange(&connection, request)).await;
            match tried.unwrap_or(Err(silence)) {
                Ok(Some(answer)) => return Ok((answer, connection)),
                Ok(None) => {}
                Err(error) if R::IS_REPEATABLE && error.may_try_again() => self.give_up(&connection, &error),
                Err(error) => return Err(error),
            }
        }
        for _ in 0..MOST_CONNECTIONS {
            let connection = self.connect(common, deadline).await?;
            if let Some(answer) = exchange(&connection, request).await? {
                return Ok((answer, connection));
            }
        }
        Err(NodeError::unanswered())
    }

    /// Ends a connection on which a request was lost, before it is tried once more.
    fn give_up(&self, connection: &Connection, error: &NodeError) {
        tracing::debug!(node = %self.name, %error, "trying once more on a fresh connection");
        connection.close();
    }

    /// Sends `request` on `connection` and no other, until `deadline`: for what is only good there.
    pub(crate) async fn ask_on<R: Request>(
        &self,
        connection: &Connection,
        deadline: Instant,
        request: &R,
    ) -> Result<Answer, NodeError> {
        let asked = timeout_at(deadline, exchange(connection, request)).await;
        asked.unwrap_or(Err(NodeError::Deadline))?.ok_or_else(NodeError::unanswered)
    }

    /// The connection with this number, if it is the one in use and may be used.
    pub(crate) fn connection(&self, common: &Common, now: Moment, number: u64) -> Option<Arc<Connection>> {
        let usable = self.usable(common, now).map(|(connection, _)| connection);
        usable.filter(|connection| connection.number == number)
    }

    /// Where it stands, as far as is known.
    pub(crate) fn site(&self) -> Site {
        lock(&self.site).clone()
    }

    /// Takes what is told of where the node stands, see [`Site::followed`]. Where that is another machine, answers the
    /// node there, which takes over what is under way; what this one has done counts for nothing with those who ask that
    /// one.
    pub(crate) fn follow(&self, before: Told<'_>, now: Told<'_>, history: &[IpAddr]) -> Option<Arc<Self>> {
        let mut held = lock(&self.connection);
        let mut site = lock(&self.site);
        let followed = site.followed(before, now, history);
        let has_moved = followed.address() != site.address();
        let is_another = match held.as_ref().and_then(|connection| connection.peer()) {
            Some(peer) => followed.has_left(peer) || has_moved && followed.address() != Some(peer),
            None => has_moved && site.address().is_some(),
        };
        if !is_another {
            *site = followed;
            return None;
        }
        let successor = self.successor.get_or_init(|| Arc::new(Self::of_site(followed)));
        if let Some(connection) = held.take() {
            connection.close();
        }
        Some(Arc::clone(successor))
    }

    /// The connection, if there is one that may be used, and whether it has rested.
    fn usable(&self, common: &Common, now: Moment) -> Option<(Arc<Connection>, bool)> {
        let mut held = lock(&self.connection);
        let fitness = held.as_ref()?.fitness(now, common.config.look_after_idle, common.config.max_idle);
        match fitness {
            Fitness::Good => held.clone().map(|connection| (connection, false)),
            Fitness::Rested => held.clone().map(|connection| (connection, true)),
            Fitness::Gone => {
                *held = None;
                None
            }
        }
    }

    /// The connection that may be used, or a fresh one.
    async fn connection_now(&self, common: &Common, deadline: Instant) -> Result<Arc<Connection>, NodeError> {
        match self.usable(common, Moment::now()) {
            Some((connection, false)) => Ok(connection),
            _ => self.connect(common, deadline).await,
        }
    }

    /// Connects, or waits for somebody else who does.
    async fn connect(&self, common: &Common, deadline: Instant) -> Result<Arc<Connection>, NodeError> {
        let asked = Moment::now();
        let mut last_failure = self.connecting.lock().await;
        if let Some((connection, _)) = self.usable(common, Moment::now()) {
            return Ok(connection);
        }
        if let Some((failed, error)) = &*last_failure
            && failed.is_after(&asked)
        {
            return Err(error.clone());
        }
        loop {
            if let Some(successor) = self.successor.get() {
                return Box::pin(successor.connection_now(common, deadline)).await;
            }
            let site = self.site();
            let connector = &common.connector;
            let connected = match self.at {
                None => connector.connect(&site, common.limits, deadline).await,
                Some(ip) => connector.connect_at(&site.node, ip, common.limits, deadline).await,
            };
            // Held while that is looked at, for whoever tells of another machine ends what is held.
            let mut held = lock(&self.connection);
            if self.successor.get().is_some() || *lock(&self.site) != site {
                // Something was told meanwhile; the deadline of the caller bounds how often.
                continue;
            }
            *last_failure = connected.as_ref().err().map(|error| (Moment::now(), error.clone()));
            let connection = Arc::new(connected?);
            *held = Some(connection.clone());
            return Ok(connection);
        }
    }

    /// Draws conclusions from how a call that began at `start` ended.
    fn note(&self, common: &Common, start: Moment, error: Option<&NodeError>) {
        // A node that refuses a request is alive.
        let Some(error) = error.filter(|error| !matches!(error, NodeError::Refused(_))) else {
            if self.has_failed.load(Relaxed) {
                self.has_failed.store(false, Relaxed);
                lock(&self.health).succeeded();
            }
            return;
        };
        if !error.blames_node() {
            return;
        }
        let now = Moment::now();
        let mut health = lock(&self.health);
        self.has_failed.store(true, Relaxed);
        let is_silent = matches!(error, NodeError::Deadline);
        if is_silent && !health.is_to_blame(start, now, common.config.timeout) {
            return;
        }
        health.failed(start, now, &common.pauses, fastrand::f64());
        drop(health);
        tracing::warn!(node = %self.name, error = error as &dyn std::error::Error, "node marked down");
        if is_silent && let Some(connection) = lock(&self.connection).take() {
            // Whoever tries the node next finds out whether it was the node or the way to it.
            connection.close();
        }
    }
}

/// The answer to `request`; `None` if `connection` had ended before, so that any request may go to another one.
async fn exchange<R: Request>(connection: &Connection, request: &R) -> Result<Option<Answer>, NodeError> {
    if R::HAS_DATA && !connection.is_greeted() {
        // The version comes before the answer to this; an engine that is too old never gets the data.
        let noop = |out: &mut BytesMut| {
            out.extend_from_slice(NOOP);
            Awaited::Reply
        };
        let Some(greeting) = connection.exchange(false, noop) else { return Ok(None) };
        greeting.await?;
    }
    match connection.exchange(R::HAS_DATA, |out| request.encode(out)) {
        Some(exchange) => exchange.await.map(Some),
        None => Ok(None),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many fresh connections a request is offered to that others end, by leaving, before it is sent.
const MOST_CONNECTIONS: usize = 3;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::Endpoint;
    use crate::refresh::Shared;

    #[tokio::test]
    async fn a_failure_of_before_the_clock_was_set_back_keeps_nobody_from_connecting() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let id = RingNode::new("127.0.0.1", listener.local_addr().unwrap().port());
        let shared = Shared::new(Config::new(Endpoint::Nodes(vec![id.clone()]))).unwrap();
        let (node, hour) = (Node::of_ring(&id), Duration::from_secs(3600));
        let ahead = Moment::now().later(Duration::ZERO, hour);
        *node.connecting.lock().await = Some((ahead, NodeError::unanswered()));
        let deadline = Instant::now() + Duration::from_secs(5);
        assert!(node.connect(&shared.common, deadline).await.is_ok());
    }
}
