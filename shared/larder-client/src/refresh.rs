//! Keeping the list of nodes: asked for in passing when it is due, swapped whole, never replaced by a worse one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use larder_discovery::{Node as Seen, Topology};
use larder_meta::Limits;
use tokio::time::{Instant, timeout_at};

use crate::connect::Connector;
use crate::discover::discover;
use crate::fleet::Fleet;
use crate::health::Pauses;
use crate::moment::Moment;
use crate::node::Common;
use crate::schedule::Schedule;
use crate::{Config, ConfigError, DiscoveryError, Endpoint, Error, NodeError};

/// What all clones of a cluster share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) common: Common,
    /// The configuration endpoint; `None` for a fixed list.
    endpoint: Option<Seen>,
    fleet: RwLock<Option<Arc<Fleet>>>,
    schedule: Mutex<Schedule>,
    /// Held by the one who asks for the topology.
    asking: tokio::sync::Mutex<()>,
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
        Ok(Self {
            common,
            endpoint,
            fleet,
            schedule: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// The fleet to use at the moment `now`.
    ///
    /// Where the topology is due, one caller asks for it, for half of the time to `deadline` at most; the others go
    /// on with the one at hand. Only while there is none they wait, and only then a failure is an error.
    pub(crate) async fn fleet(&self, now: Moment, deadline: Instant) -> Result<Arc<Fleet>, Error> {
        match (self.known(), &self.endpoint) {
            (Some(fleet), Some(_)) if !self.schedule().is_due(now) => Ok(fleet),
            (Some(fleet), None) => Ok(fleet),
            // Boxed, for it is rare and large, and would have to be carried along by every request.
            (Some(fleet), Some(endpoint)) => Ok(Box::pin(self.refreshed(endpoint, fleet, deadline)).await),
            (None, Some(endpoint)) => Box::pin(self.discovered(endpoint, deadline)).await,
            (None, None) => Err(Error::Discovery { endpoint: "".into(), source: DiscoveryError::Forgotten }),
        }
    }

    /// The fleet after asking anew; the one at hand, if somebody else asks already or nothing comes of it.
    async fn refreshed(&self, endpoint: &Seen, fleet: Arc<Fleet>, deadline: Instant) -> Arc<Fleet> {
        let Ok(_asking) = self.asking.try_lock() else { return fleet };
        // Somebody else may have asked since we looked.
        let fleet = self.known().unwrap_or(fleet);
        if !self.schedule().is_due(Moment::now()) {
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

    /// A node has failed: its replacement may be known by now.
    pub(crate) fn hasten_discovery(&self) {
        self.schedule().hasten(&self.common.config);
    }

    /// Asks `endpoint`, and where that fails a node of `before`, for the topology until `deadline`, and takes it.
    async fn ask(
        &self,
        endpoint: &Seen,
        before: Option<&Arc<Fleet>>,
        deadline: Instant,
    ) -> Result<Arc<Fleet>, DiscoveryError> {
        self.schedule().begun(Moment::now(), &self.common.config);
        let asked = match before.and_then(|fleet| any_node(fleet)) {
            None => self.ask_one(endpoint, before, deadline).await,
            Some(node) => match self.ask_one(endpoint, before, halfway(deadline)).await {
                Ok(topology) => Ok(topology),
                Err(_) => self.ask_one(&node, before, deadline).await,
            },
        };
        let taken = asked.and_then(|topology| self.take(topology, before));
        let (now, config, jitter) = (Moment::now(), &self.common.config, fastrand::f64());
        match &taken {
            Ok((_, brought_news)) => self.schedule().answered(now, *brought_news, config, jitter),
            Err(_) => self.schedule().failed(now, config, jitter),
        }
        taken.map(|(fleet, _)| fleet)
    }

    /// Asks one endpoint. One that knows of no cluster is its own only node, unless it did know before.
    async fn ask_one(
        &self,
        endpoint: &Seen,
        before: Option<&Arc<Fleet>>,
        deadline: Instant,
    ) -> Result<Topology, DiscoveryError> {
        let asked = timeout_at(deadline, discover(&self.common.connector, endpoint)).await;
        match asked.unwrap_or(Err(NodeError::Deadline.into()))? {
            Some(topology) => Ok(topology),
            None => {
                let single = Topology::single(endpoint.host.clone(), endpoint.port);
                let known = before.and_then(|fleet| fleet.topology.as_ref());
                if known.is_none_or(|known| *known == single) {
                    Ok(single)
                } else {
                    Err(DiscoveryError::Forgotten)
                }
            }
        }
    }

    /// Puts `topology` to use; answers whether it is another one than before.
    fn take(
        &self,
        topology: Topology,
        before: Option<&Arc<Fleet>>,
    ) -> Result<(Arc<Fleet>, bool), DiscoveryError> {
        if let Some(fleet) = before.filter(|fleet| fleet.topology.as_ref() == Some(&topology)) {
            return Ok((Arc::clone(fleet), false));
        }
        let (version, count) = (topology.version(), topology.nodes().len());
        let fleet = Fleet::discovered(self.common.config.ring, topology, before.map(|fleet| &**fleet));
        let fleet = Arc::new(fleet.map_err(|error| DiscoveryError::Ring(Arc::new(error)))?);
        tracing::info!(version, nodes = count, "topology taken");
        *self.fleet.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fleet));
        Ok((fleet, true))
    }

    fn known(&self) -> Option<Arc<Fleet>> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
