//! Keeping the list of nodes: asked for in passing when it is due, swapped whole, never replaced by a worse one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use larder_discovery::{Node as Seen, Topology};
use larder_meta::Limits;
use larder_ring::{RingDocument, RingError};
use tokio::time::{Instant, timeout_at};

use crate::connect::Connector;
use crate::discover::{Discovered, discover};
use crate::endpoint::EndpointHealth;
use crate::fleet::Fleet;
use crate::follow::After;
use crate::health::Pauses;
use crate::lost::Search;
use crate::moment::Moment;
use crate::node::Common;
use crate::schedule::Schedule;
use crate::standalone::{Evidence, check};
use crate::view::{Look, View};
use crate::watch::Watch;
use crate::{Config, ConfigError, DiscoveryError, Endpoint, Error, NodeError};

/// What all clones of a cluster share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) common: Common,
    /// The configuration endpoint; `None` for a fixed list.
    endpoint: Option<Seen>,
    endpoint_health: EndpointHealth,
    pub(crate) fleet: RwLock<Option<Arc<Fleet>>>,
    /// Whether there are hot keys in `fleet`. Set before its lock is left, so that whoever has gone by a fleet knows.
    is_hot: AtomicBool,
    /// Milliseconds between two looks at the ring document. Set before the lock of `fleet` is left, as `is_hot`.
    check_interval_ms: AtomicU64,
    times: Mutex<Times>,
    /// Held by the one who asks for the topology.
    asking: tokio::sync::Mutex<()>,
    /// Held by the call that looks for the ring document on all nodes; what the last one found.
    pub(crate) searching: tokio::sync::Mutex<Option<Search>>,
}

/// What is due when.
#[derive(Debug, Default)]
pub(crate) struct Times {
    discovery: Schedule,
    pub(crate) ring: Watch,
    /// When the endpoint has told no topology last, while none was known.
    refused: Option<Moment>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        let config = config.bounded();
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
        let check_interval_ms = millis(common.config.ring_check_interval).into();
        Ok(Self {
            common,
            endpoint,
            endpoint_health: EndpointHealth::default(),
            fleet: RwLock::new(fleet),
            is_hot: false.into(),
            check_interval_ms,
            times: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            searching: tokio::sync::Mutex::default(),
        })
    }

    /// The ring as a call sees it that begins at `now` and has to end by `deadline`. Where it is time to look at the
    /// ring document, the call's first request is to carry the look.
    ///
    /// While keys are copied in passing, a ring that nobody has confirmed for too long is confirmed before anything is
    /// asked: a copy that should not be cannot be taken back.
    pub(crate) async fn view(&self, now: Moment, deadline: Instant) -> Result<View, Error> {
        let (fleet, look) = self.fleet(now, deadline, true).await?;
        let view = View::new(fleet, now, deadline, look);
        let interval = self.check_interval();
        if !view.fleet.is_warming() || !Watch::is_outdated(look.known_since, now, interval) {
            return Ok(view);
        }
        match Box::pin(self.confirmed(&view)).await {
            After::Stands => Ok(View::new(view.fleet, now, deadline, Look::since(now))),
            After::Newer(newer) => Ok(newer),
            After::Unknown => Err(Error::UnknownRing),
        }
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
    ) -> Result<(Arc<Fleet>, Look), Error> {
        let Some(endpoint) = &self.endpoint else {
            let forgotten = || Error::Discovery { endpoint: "".into(), source: DiscoveryError::Forgotten };
            return Ok((self.known().ok_or_else(forgotten)?, Look::default()));
        };
        // Before the fleet is taken, for it must not be older than what is known of it.
        let (is_discovery_due, look) = self.due(now, may_look);
        let fleet = match self.known() {
            Some(fleet) if !is_discovery_due => fleet,
            // Boxed, for it is rare and large, and would have to be carried along by every request.
            Some(fleet) => Box::pin(self.refreshed(endpoint, fleet, deadline)).await,
            None => Box::pin(self.discovered(endpoint, deadline)).await?,
        };
        let look = if self.has_documents(&fleet) { look } else { Look::default() };
        Ok((fleet, look))
    }

    /// The fleet in use, without looking at the ring document.
    pub(crate) async fn peek(&self, now: Moment, deadline: Instant) -> Result<Arc<Fleet>, Error> {
        match self.known() {
            Some(fleet) => Ok(fleet),
            None => Ok(self.fleet(now, deadline, false).await?.0),
        }
    }

    /// Whether the topology is due, and whether it is time to look at the ring document.
    fn due(&self, now: Moment, may_look: bool) -> (bool, Look) {
        let (mut times, interval) = (self.times(), self.check_interval());
        let known_since = times.ring.confirmed();
        let is_due = may_look && times.ring.is_due(now, interval);
        (times.discovery.is_due(now), Look { is_due, known_since })
    }

    /// Whether there may be ring documents: not for a fixed list, and not for a server that knows of no cluster.
    pub(crate) fn has_documents(&self, fleet: &Fleet) -> bool {
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
        let (start, health) = (Moment::now(), &self.endpoint_health);
        let first = async {
            health.admit(&self.common, start)?;
            let _asking = self.asking.lock().await;
            match self.known() {
                Some(fleet) => Ok(fleet),
                None => {
                    health.admit_after_waiting(start)?;
                    if self.times().refused.is_some_and(|refused| refused.is_after(&start)) {
                        // Calls at once are one use.
                        return Err(DiscoveryError::Unconfirmed);
                    }
                    self.ask(endpoint, None, deadline).await
                }
            }
        };
        let first = timeout_at(deadline, first).await.unwrap_or(Err(NodeError::Deadline.into()));
        health.note(&self.common, start, &first);
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
        self.times().discovery.begun(Moment::now(), &self.common.config);
        let asked = match before.and_then(|fleet| any_node(fleet)) {
            None => self.ask_one(endpoint, before, deadline).await,
            Some(node) => match self.ask_one(endpoint, before, halfway(deadline)).await {
                Ok(discovered) => Ok(discovered),
                Err(_) => self.ask_one(&node, before, deadline).await,
            },
        };
        if asked.is_ok() {
            self.common.connector.resolver.told(Moment::now());
        }
        let taken = asked.and_then(|discovered| self.take(discovered));
        let (now, config, jitter) = (Moment::now(), &self.common.config, fastrand::f64());
        match &taken {
            Ok((_, brought_news)) => self.times().discovery.answered(now, *brought_news, config, jitter),
            Err(_) => self.times().discovery.failed(now, config, jitter),
        }
        taken.map(|(fleet, _)| fleet)
    }

    /// Asks one endpoint. One that tells no topology may be its own only node; see [`standalone`](crate::standalone).
    async fn ask_one(
        &self,
        endpoint: &Seen,
        before: Option<&Arc<Fleet>>,
        deadline: Instant,
    ) -> Result<(Topology, Option<RingDocument>), DiscoveryError> {
        let asked = timeout_at(deadline, discover(&self.common.connector, endpoint, deadline)).await;
        let Discovered { topology, document } = asked.unwrap_or(Err(NodeError::Deadline.into()))?;
        match topology {
            Some(topology) => Ok((topology, document)),
            None => {
                let single = Topology::single(endpoint.host.clone(), endpoint.port);
                match before.and_then(|fleet| fleet.topology.as_ref()) {
                    Some(known) if *known == single => Ok((single, None)),
                    Some(_) => Err(DiscoveryError::Forgotten),
                    None => {
                        let was_asked_before = self.times().refused.replace(Moment::now()).is_some();
                        let holds_document = document.is_some();
                        check(Evidence { host: &endpoint.host, holds_document, was_asked_before })?;
                        Ok((single, None))
                    }
                }
            }
        }
    }

    /// Puts what was discovered to use; answers whether it is another topology than before.
    pub(crate) fn take(
        &self,
        (topology, document): (Topology, Option<RingDocument>),
    ) -> Result<(Arc<Fleet>, bool), DiscoveryError> {
        let mut held = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let before = held.clone();
        let known = before.as_ref().and_then(|fleet| fleet.document.as_ref());
        let is_news = before.as_ref().is_none_or(|fleet| fleet.topology.as_ref() != Some(&topology));
        let is_later =
            document.as_ref().is_some_and(|document| known.is_none_or(|known| document.is_later_than(known)));
        if let Some(fleet) = before.as_ref().filter(|_| !is_news && !is_later) {
            return Ok((Arc::clone(fleet), false));
        }
        let (version, count) = (topology.version(), topology.nodes().len());
        let document = if is_later { document } else { known.cloned() };
        let epoch = document.as_ref().map(|document| document.epoch.number());
        let fleet = self.fleet_of(topology, document, before.as_deref());
        let fleet = Arc::new(fleet.map_err(|error| DiscoveryError::Ring(Arc::new(error)))?);
        tracing::info!(version, nodes = count, epoch, "topology taken");
        self.put_to_use(&mut held, Arc::clone(&fleet));
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

    /// How old the view of the ring may grow before the next request looks at the ring document: the interval of the
    /// configuration, or that of the document where it is shorter. The publisher waits for the document's.
    pub(crate) fn check_interval(&self) -> Duration {
        Duration::from_millis(self.check_interval_ms.load(Relaxed))
    }

    /// Puts `fleet` to use, in what its lock has `held`.
    pub(crate) fn put_to_use(&self, held: &mut Option<Arc<Fleet>>, fleet: Arc<Fleet>) {
        self.is_hot.store(fleet.is_hot(), Relaxed);
        let own = self.common.config.ring_check_interval;
        let of_fleet = fleet.document.as_ref().and_then(|document| document.check_interval);
        if let Some(of_fleet) = of_fleet.filter(|of_fleet| *of_fleet < own) {
            tracing::warn!(
                ?own,
                ?of_fleet,
                "the ring document asks for a shorter check interval, which is used"
            );
        }
        self.check_interval_ms.store(millis(of_fleet.map_or(own, |of_fleet| of_fleet.min(own))), Relaxed);
        *held = Some(fleet);
    }

    /// The fleet in use if there are hot keys.
    pub(crate) fn hot(&self) -> Option<Arc<Fleet>> {
        if self.is_hot.load(Relaxed) { self.known() } else { None }
    }

    pub(crate) fn known(&self) -> Option<Arc<Fleet>> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole milliseconds, at least one.
fn millis(interval: Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Half of the time from now to `deadline`.
pub(crate) fn halfway(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// One of the nodes that discovery told, each as likely: any of them knows the others.
fn any_node(fleet: &Fleet) -> Option<Seen> {
    let nodes = fleet.topology.as_ref()?.nodes();
    nodes.get(fastrand::usize(..nodes.len().max(1))).cloned()
}
