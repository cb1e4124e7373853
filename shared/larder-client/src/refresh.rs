//! Keeping the list of nodes: asked for in passing when it is due, swapped whole, never replaced by a worse one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use larder_discovery::{Node as Seen, Topology};
use larder_meta::Limits;
use larder_ring::{RingDocument, RingError};
use tokio::time::{Instant, timeout_at};

use crate::connect::Connector;
use crate::direct::readable_document_of;
use crate::discover::{Discovered, discover};
use crate::fleet::Fleet;
use crate::health::Pauses;
use crate::moment::Moment;
use crate::node::{Common, Node};
use crate::requests::GetDocument;
use crate::schedule::Schedule;
use crate::view::{Found, View};
use crate::watch::Watch;
use crate::{Config, ConfigError, DiscoveryError, Endpoint, Error, NodeError};

/// What all clones of a cluster share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) common: Common,
    /// The configuration endpoint; `None` for a fixed list.
    endpoint: Option<Seen>,
    fleet: RwLock<Option<Arc<Fleet>>>,
    times: Mutex<Times>,
    /// Held by the one who asks for the topology.
    asking: tokio::sync::Mutex<()>,
}

/// What is due when.
#[derive(Debug, Default)]
struct Times {
    discovery: Schedule,
    ring: Watch,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        let (endpoint, fleet) = match &config.endpoint {
            Endpoint::Configuration { host, port } => {
                (Some(Seen { host: host.clone(), port: *port, ip: None }), None)
            }
            Endpoint::Nodes(list) if list.is_empty() => return Err(ConfigError::NoNodes),
            Endpoint::Nodes(list) => {
                let fleet = Fleet::fixed(config.ring, list);
                (None, Some(Arc::new(fleet.map_err(|error| ConfigError::Ring(error.to_string()))?)))
            }
        };
        let common = Common {
            connector: Connector::new(&config),
            limits: Limits { value_len: config.max_item_len, ..Limits::default() },
            pauses: Pauses { first: config.mark_down, most: config.max_mark_down, probe: config.timeout },
            config,
        };
        let fleet = RwLock::new(fleet);
        Ok(Self { common, endpoint, fleet, times: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    /// The ring as a call sees it that begins at `now` and has to end by `deadline`. Where it is time to look at the ring
    /// document, the call's first request is to carry the look.
    pub(crate) async fn view(&self, now: Moment, deadline: Instant) -> Result<View, Error> {
        let (fleet, is_to_look) = self.fleet(now, deadline, true).await?;
        Ok(View::new(fleet, now, deadline, is_to_look))
    }

    /// The fleet for a call that begins at `now` and has to end by `deadline`; and, for one that `may_look`, whether it
    /// is to look at the ring document.
    ///
    /// Where the topology is due, one caller asks for it, for half of the time to `deadline` at most; the others go
    /// on with the one at hand. Only while there is none they wait, and only then a failure is an error.
    pub(crate) async fn fleet(
        &self,
        now: Moment,
        deadline: Instant,
        may_look: bool,
    ) -> Result<(Arc<Fleet>, bool), Error> {
        let fleet = match (self.known(), &self.endpoint) {
            (Some(fleet), Some(endpoint)) => {
                let (is_discovery_due, is_to_look) = self.due(&fleet, now, may_look);
                if !is_discovery_due {
                    return Ok((fleet, is_to_look));
                }
                // Boxed, for it is rare and large, and would have to be carried along by every request.
                Box::pin(self.refreshed(endpoint, fleet, deadline)).await
            }
            (Some(fleet), None) => return Ok((fleet, false)),
            (None, Some(endpoint)) => Box::pin(self.discovered(endpoint, deadline)).await?,
            (None, None) => {
                return Err(Error::Discovery { endpoint: "".into(), source: DiscoveryError::Forgotten });
            }
        };
        let (_, is_to_look) = self.due(&fleet, now, may_look);
        Ok((fleet, is_to_look))
    }

    /// The fleet in use, without looking at the ring document.
    pub(crate) async fn peek(&self, now: Moment, deadline: Instant) -> Result<Arc<Fleet>, Error> {
        match self.known() {
            Some(fleet) => Ok(fleet),
            None => Ok(self.fleet(now, deadline, false).await?.0),
        }
    }

    /// The view to repeat a call with, if what it found in passing says that it went by an old one.
    ///
    /// Nothing is asked where the call looked at no document, or found its own: most of the time.
    pub(crate) async fn newer(&self, view: &View) -> Option<View> {
        // Boxed, for it is rare and large, and would have to be carried along by every request.
        match view.found()? {
            Found::Document(_, flags) if Some(*flags) == client_flags(&view.fleet) => {
                self.times().ring.confirm(view.now);
                None
            }
            found => Box::pin(self.follow(view, found)).await,
        }
    }

    /// The same for a write, which has to have reached those who own its key when it ends: one that took so long that
    /// the ring may have changed meanwhile asks for the document, whether it was to look or not.
    pub(crate) async fn newer_after_write(&self, view: &View) -> Option<View> {
        let newer = self.newer(view).await;
        let is_outdated =
            |view: &View| Watch::is_outdated(view.now, Moment::now(), self.common.config.ring_check_interval);
        if newer.is_some() || !self.has_documents(&view.fleet) || !is_outdated(view) {
            return newer;
        }
        Box::pin(self.fetch_newer(view, some_of(&view.fleet, None))).await
    }

    /// Gets the document that `found` tells of, or what others know where the node has lost it or lags behind.
    async fn follow(&self, view: &View, found: &Found) -> Option<View> {
        let ours = client_flags(&view.fleet);
        let is_later = |theirs: u32| ours.is_none_or(|ours| theirs.wrapping_sub(ours) as i32 > 0);
        match found {
            Found::Nothing(_) if ours.is_none() => {
                self.times().ring.confirm(view.now);
                None
            }
            Found::Document(node, theirs) if is_later(*theirs) => {
                self.fetch_newer(view, vec![Arc::clone(node)]).await
            }
            Found::Later(node) => {
                let others = some_of(&view.fleet, Some(node));
                self.fetch_newer(view, [Arc::clone(node)].into_iter().chain(others).collect()).await
            }
            Found::Document(node, _) | Found::Nothing(node) => {
                self.fetch_newer(view, some_of(&view.fleet, Some(node))).await
            }
        }
    }

    /// Asks `nodes` in turn for a later document than that of `view`, takes it, and answers the view that it gives.
    async fn fetch_newer(&self, view: &View, nodes: Vec<Arc<Node>>) -> Option<View> {
        let mut has_failed = false;
        for node in nodes {
            match self.fetch(&node, view.deadline).await {
                Ok(Some(document)) => {
                    let fleet = self.take_document(document)?;
                    if fleet.epoch() > view.fleet.epoch() {
                        self.times().ring.confirm(view.now);
                        return Some(View::new(fleet, Moment::now(), view.deadline, false));
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    has_failed = true;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(node = %node.name, error, "the ring document could not be read");
                }
            }
        }
        if !has_failed {
            self.times().ring.confirm(view.now);
        }
        None
    }

    /// The ring document that `node` holds. One that is malformed, or of a format that is not known here, is none.
    async fn fetch(&self, node: &Node, deadline: Instant) -> Result<Option<RingDocument>, NodeError> {
        let asked = node.ask(&self.common, Moment::now(), deadline, &GetDocument).await;
        let (answer, connection) = asked?;
        readable_document_of(answer.into_reply()?).inspect_err(|error| connection.distrust(error))
    }

    /// Puts `document` to use, unless there is one that is as new; answers the fleet in use.
    pub(crate) fn take_document(&self, document: RingDocument) -> Option<Arc<Fleet>> {
        let mut held = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let before = held.clone()?;
        if before.epoch() >= Some(document.epoch) {
            return Some(before);
        }
        let (epoch, phase) = (document.epoch.number(), document.phase);
        let made =
            Fleet::new(self.common.config.ring, before.topology.clone()?, Some(document), Some(&before));
        match made {
            Ok(fleet) => {
                tracing::info!(epoch, ?phase, nodes = fleet.nodes().len(), "ring document taken");
                *held = Some(Arc::new(fleet));
                held.clone()
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(epoch, error, "no ring can be made of the ring document");
                Some(before)
            }
        }
    }

    /// Whether the topology is due, and whether it is time to look at the ring document.
    fn due(&self, fleet: &Fleet, now: Moment, may_look: bool) -> (bool, bool) {
        let mut times = self.times();
        let is_to_look = may_look
            && self.has_documents(fleet)
            && times.ring.is_due(now, self.common.config.ring_check_interval);
        (times.discovery.is_due(now), is_to_look)
    }

    /// Whether there may be ring documents: not for a fixed list, and not for a server that knows of no cluster.
    fn has_documents(&self, fleet: &Fleet) -> bool {
        fleet.topology.as_ref().is_some_and(|topology| !topology.is_single())
    }

    /// The fleet after asking anew; the one at hand, if somebody else asks already or nothing comes of it.
    async fn refreshed(&self, endpoint: &Seen, fleet: Arc<Fleet>, deadline: Instant) -> Arc<Fleet> {
        let Ok(_asking) = self.asking.try_lock() else { return fleet };
        // Somebody else may have asked since we looked.
        let fleet = self.known().unwrap_or(fleet);
        if !self.times().discovery.is_due(Moment::now()) {
            return fleet;
        }
        match self.ask(endpoint, Some(&fleet), halfway(deadline)).await {
            Ok(fleet) => fleet,
            Err(error) => {
                tracing::warn!(%endpoint, error = &error as &dyn std::error::Error, "no new topology");
                fleet
            }
        }
    }

    /// The first fleet, which somebody else may be asking for already.
    async fn discovered(&self, endpoint: &Seen, deadline: Instant) -> Result<Arc<Fleet>, Error> {
        let first = async {
            let _asking = self.asking.lock().await;
            match self.known() {
                Some(fleet) => Ok(fleet),
                None => self.ask(endpoint, None, deadline).await,
            }
        };
        let first = timeout_at(deadline, first).await.unwrap_or(Err(NodeError::Deadline.into()));
        first.map_err(|source| Error::Discovery { endpoint: endpoint.to_string().into(), source })
    }

    /// Asks for the topology now, whether it is due or not.
    pub(crate) async fn discover_now(&self, deadline: Instant) -> Result<Arc<Fleet>, Error> {
        let Some(endpoint) = &self.endpoint else { return self.peek(Moment::now(), deadline).await };
        let asked = async {
            let _asking = self.asking.lock().await;
            self.ask(endpoint, self.known().as_ref(), deadline).await
        };
        let asked = timeout_at(deadline, asked).await.unwrap_or(Err(NodeError::Deadline.into()));
        asked.map_err(|source| Error::Discovery { endpoint: endpoint.to_string().into(), source })
    }

    /// A node has failed: its replacement may be known by now.
    pub(crate) fn hasten_discovery(&self) {
        self.times().discovery.hasten(&self.common.config);
    }

    /// Asks `endpoint`, and where that fails a node of `before`, for topology and ring document until `deadline`, and
    /// takes them.
    async fn ask(
        &self,
        endpoint: &Seen,
        before: Option<&Arc<Fleet>>,
        deadline: Instant,
    ) -> Result<Arc<Fleet>, DiscoveryError> {
        let begun = Moment::now();
        self.times().discovery.begun(begun, &self.common.config);
        let asked = match before.and_then(|fleet| any_node(fleet)) {
            None => self.ask_one(endpoint, before, deadline).await,
            Some(node) => match self.ask_one(endpoint, before, halfway(deadline)).await {
                Ok(discovered) => Ok(discovered),
                Err(_) => self.ask_one(&node, before, deadline).await,
            },
        };
        let taken = asked.and_then(|discovered| self.take(discovered, begun));
        let (now, config, jitter) = (Moment::now(), &self.common.config, fastrand::f64());
        match &taken {
            Ok((_, brought_news)) => self.times().discovery.answered(now, *brought_news, config, jitter),
            Err(_) => self.times().discovery.failed(now, config, jitter),
        }
        taken.map(|(fleet, _)| fleet)
    }

    /// Asks one endpoint. One that knows of no cluster is its own only node, unless it did know before.
    async fn ask_one(
        &self,
        endpoint: &Seen,
        before: Option<&Arc<Fleet>>,
        deadline: Instant,
    ) -> Result<(Topology, Option<RingDocument>), DiscoveryError> {
        let asked = timeout_at(deadline, discover(&self.common.connector, endpoint)).await;
        let Discovered { topology, document } = asked.unwrap_or(Err(NodeError::Deadline.into()))?;
        match topology {
            Some(topology) => Ok((topology, document)),
            None => {
                let single = Topology::single(endpoint.host.clone(), endpoint.port);
                let known = before.and_then(|fleet| fleet.topology.as_ref());
                if known.is_none_or(|known| *known == single) {
                    Ok((single, None))
                } else {
                    Err(DiscoveryError::Forgotten)
                }
            }
        }
    }

    /// Puts what was discovered to use; answers whether it is another topology than before.
    fn take(
        &self,
        (topology, document): (Topology, Option<RingDocument>),
        begun: Moment,
    ) -> Result<(Arc<Fleet>, bool), DiscoveryError> {
        let mut held = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let before = held.clone();
        let known = before.as_ref().and_then(|fleet| fleet.document.as_ref());
        if document.as_ref().is_some_and(|document| known.is_none_or(|known| known.epoch <= document.epoch)) {
            self.times().ring.confirm(begun);
        }
        let is_news = before.as_ref().is_none_or(|fleet| fleet.topology.as_ref() != Some(&topology));
        let is_later =
            document.as_ref().is_some_and(|document| known.is_none_or(|known| known.epoch < document.epoch));
        if let Some(fleet) = before.as_ref().filter(|_| !is_news && !is_later) {
            return Ok((Arc::clone(fleet), false));
        }
        let (version, count) = (topology.version(), topology.nodes().len());
        let document = if is_later { document } else { known.cloned() };
        let epoch = document.as_ref().map(|document| document.epoch.number());
        let fleet = self.fleet_of(topology, document, before.as_deref());
        let fleet = Arc::new(fleet.map_err(|error| DiscoveryError::Ring(Arc::new(error)))?);
        tracing::info!(version, nodes = count, epoch, "topology taken");
        *held = Some(Arc::clone(&fleet));
        Ok((fleet, is_news))
    }

    fn fleet_of(
        &self,
        topology: Topology,
        document: Option<RingDocument>,
        before: Option<&Fleet>,
    ) -> Result<Fleet, RingError> {
        let kind = self.common.config.ring;
        match Fleet::new(kind, topology.clone(), document.clone(), before) {
            // No ring of this kind can be made of the document's nodes: then the topology is the ring.
            Err(_) if document.is_some() => Fleet::new(kind, topology, None, before),
            made => made,
        }
    }

    pub(crate) fn known(&self) -> Option<Arc<Fleet>> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look at the document of `fleet` would find.
fn client_flags(fleet: &Fleet) -> Option<u32> {
    fleet.epoch().map(larder_ring::Epoch::client_flags)
}

/// A few nodes, but not `node`, to ask for the ring document: any of them, in any order.
fn some_of(fleet: &Fleet, node: Option<&Arc<Node>>) -> Vec<Arc<Node>> {
    let is_other = |other: &&Arc<Node>| node.is_none_or(|node| !Arc::ptr_eq(other, node));
    let mut some: Vec<_> = fleet.nodes().iter().filter(is_other).cloned().collect();
    fastrand::shuffle(&mut some);
    some.truncate(MOST_ASKED);
    some
}

/// Half of the time from now to `deadline`.
fn halfway(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// One of the nodes that discovery told, each as likely: any of them knows the others.
fn any_node(fleet: &Fleet) -> Option<Seen> {
    let nodes = fleet.topology.as_ref()?.nodes();
    nodes.get(fastrand::usize(..nodes.len().max(1))).cloned()
}

/// How many more nodes are asked for the ring document where one has lost it.
const MOST_ASKED: usize = 2;
