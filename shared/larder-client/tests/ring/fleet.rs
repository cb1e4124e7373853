//! A few real nodes, which ring document each of them holds, and what each of them was asked.

use std::net::SocketAddr;
use std::time::Duration;

use larder_client::{Cluster, Config, Endpoint, Key};
use larder_ring::{Phase, Ring, RingDocument, RingKind, RingNode, Sighting};

use crate::support::endpoint::ConfigEndpoint;
use crate::support::memcached::Memcached;
use crate::support::relay::Relay;
use crate::support::{PATIENCE, key};

/// A few nodes behind a configuration endpoint that lists them all.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Memcached>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) endpoint: ConfigEndpoint,
}

/// What a node holds under a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Held {
    Nothing,
    /// A lease that nobody has filled.
    Lease,
    Value {
        text: String,
        client_flags: u32,
    },
}

impl Fleet {
    pub(crate) async fn start(count: usize) -> Self {
        let nodes: Vec<_> = (0..count).map(|_| Memcached::start()).collect();
        let mut relays = Vec::new();
        for node in &nodes {
            relays.push(Relay::to(node.address).await);
        }
        let listed: Vec<_> = relays.iter().map(|relay| listed(relay.address)).collect();
        let endpoint = ConfigEndpoint::listing(&format!("1\n{}\n", listed.join(" "))).await;
        Self { nodes, relays, endpoint }
    }

    /// A fleet in which everyone has the first document, with the nodes that `list` numbers.
    pub(crate) async fn with(count: usize, list: &[usize]) -> (Self, RingDocument) {
        let fleet = Self::start(count).await;
        let document = RingDocument::first(fleet.ids(list), NOW_MS);
        fleet.tell(&document);
        (fleet, document)
    }

    /// A fleet in the midst of a change.
    pub(crate) async fn moving(count: usize, from: &[usize], to: &[usize], phase: Phase) -> (Self, Steps) {
        let (fleet, first) = Self::with(count, from).await;
        let steps = fleet.steps(&first, to);
        fleet.tell(steps.of(phase));
        (fleet, steps)
    }

    /// Settings for a client that looks at the ring document every [`INTERVAL`] and asks for the topology never again.
    pub(crate) fn config(&self) -> Config {
        let (host, port) = (self.endpoint.address.ip().to_string(), self.endpoint.address.port());
        Config {
            timeout: PATIENCE,
            ring_check_interval: INTERVAL,
            discovery_interval: NEVER,
            early_discovery: NEVER,
            max_idle: NEVER,
            mark_down: Duration::ZERO,
            ..Config::new(Endpoint::Configuration { host, port })
        }
    }

    /// A client that knows the ring and has looked at the document just now.
    pub(crate) async fn client(&self) -> Cluster {
        self.client_with(self.config()).await
    }

    /// The same, whose calls end by themselves, however much time passes for it.
    pub(crate) async fn patient_client(&self) -> Cluster {
        self.client_with(Config { timeout: NEVER, ..self.config() }).await
    }

    async fn client_with(&self, config: Config) -> Cluster {
        let cluster = Cluster::new(config).unwrap();
        for at in 0..self.nodes.len() {
            cluster.get(&key(&format!("any-{at}"))).await.unwrap();
        }
        self.forget_requests();
        cluster
    }

    pub(crate) fn forget_requests(&self) {
        for relay in &self.relays {
            relay.writes();
            relay.answered_bytes();
        }
    }

    pub(crate) fn id(&self, at: usize) -> RingNode {
        let address = self.relays[at].address;
        RingNode::new(address.ip().to_string(), address.port())
    }

    pub(crate) fn ids(&self, list: &[usize]) -> Vec<RingNode> {
        list.iter().map(|at| self.id(*at)).collect()
    }

    /// The documents that lead from `document` to the ring of `list`, that one not included.
    pub(crate) fn steps(&self, document: &RingDocument, list: &[usize]) -> Steps {
        let listed = self.ids(list);
        let seen = Sighting { listed: &listed, lost: &[] };
        let mut steps = vec![document.clone()];
        while let Some(next) = steps[steps.len() - 1].following(RingKind::default(), seen, NOW_MS) {
            steps.push(next);
        }
        Steps(steps.split_off(1))
    }

    /// Writes `document` to all its nodes, as whoever publishes it does, and to the endpoint.
    pub(crate) fn tell(&self, document: &RingDocument) {
        let all = document.all_nodes();
        (0..self.nodes.len())
            .filter(|at| all.contains(&self.id(*at)))
            .for_each(|at| self.tell_node(at, document));
        self.endpoint.answer_document(&reply(document));
    }

    /// Publishes one document after the other.
    pub(crate) fn tell_each(&self, steps: &Steps) {
        steps.0.iter().for_each(|step| self.tell(step));
    }

    /// Writes `document` to one node.
    pub(crate) fn tell_node(&self, at: usize, document: &RingDocument) {
        self.tell_node_bytes(at, document.client_flags(), &String::from_utf8(document.encode()).unwrap());
    }

    pub(crate) fn tell_node_bytes(&self, at: usize, client_flags: u32, bytes: &str) {
        let set = format!("set {} {client_flags} 0 {}\r\n{bytes}", RingDocument::RING_KEY, bytes.len());
        assert_eq!(self.nodes[at].ask(&set), "STORED\r\n");
    }

    /// Removes the ring document from one node.
    pub(crate) fn rob_node(&self, at: usize) {
        self.nodes[at].ask(&format!("md {}", RingDocument::RING_KEY));
    }

    /// Stores `text` under `key` on one node, past all clients, for a minute.
    pub(crate) fn put(&self, at: usize, key: &Key, text: &str, client_flags: u32) {
        let set = format!("set {key} {client_flags} 60 {}\r\n{text}", text.len());
        assert_eq!(self.nodes[at].ask(&set), "STORED\r\n");
    }

    /// What one node holds under `key`; asked so that it changes nothing.
    pub(crate) fn held(&self, at: usize, key: &Key) -> Held {
        let reply = self.nodes[at].ask(&format!("get {key}"));
        let Some(reply) = reply.strip_prefix("VALUE ") else { return Held::Nothing };
        let mut lines = reply.split("\r\n");
        let client_flags = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let text = lines.next().unwrap().to_owned();
        if text.is_empty() && client_flags == 0 { Held::Lease } else { Held::Value { text, client_flags } }
    }

    /// The text that one node holds under `key`.
    pub(crate) fn text(&self, at: usize, key: &Key) -> Option<String> {
        match self.held(at, key) {
            Held::Value { text, .. } => Some(text),
            _ => None,
        }
    }

    /// How many seconds the item under `key` on one node has left.
    pub(crate) fn ttl_secs(&self, at: usize, key: &Key) -> u64 {
        let reply = self.nodes[at].ask(&format!("mg {key} t"));
        let left = reply.split([' ', '\r']).find_map(|word| word.strip_prefix('t'));
        left.unwrap_or_else(|| panic!("{reply}")).parse().unwrap()
    }

    /// What each node was asked since this was asked last.
    pub(crate) fn requests(&self) -> Vec<Vec<String>> {
        self.relays.iter().map(Relay::requests).collect()
    }

    /// The first `count` keys whose owner in the ring of each of these lists is the node beside it.
    pub(crate) fn keys(&self, count: usize, owners: &[(&[usize], usize)]) -> Vec<Key> {
        let rings: Vec<_> = owners.iter().map(|(list, owner)| (self.ring(list), self.id(*owner))).collect();
        let is_owned =
            |key: &Key| rings.iter().all(|(ring, owner)| ring.nodes()[ring.owner(key.as_bytes())] == *owner);
        let keys = (0..MOST_TRIED_KEYS).map(|number| key(&format!("key-{number}"))).filter(is_owned);
        let keys: Vec<_> = keys.take(count).collect();
        assert_eq!(keys.len(), count, "too few keys have these owners: {owners:?}");
        keys
    }

    /// The first of them.
    pub(crate) fn key(&self, owners: &[(&[usize], usize)]) -> Key {
        self.keys(1, owners).remove(0)
    }

    /// Whether the node owns `key` in the ring of `list`.
    pub(crate) fn is_owner(&self, at: usize, list: &[usize], key: &Key) -> bool {
        let ring = self.ring(list);
        ring.nodes()[ring.owner(key.as_bytes())] == self.id(at)
    }

    fn ring(&self, list: &[usize]) -> Ring {
        Ring::new(RingKind::default(), &self.ids(list)).unwrap()
    }
}

/// The documents of a change of ring.
pub(crate) struct Steps(pub(crate) Vec<RingDocument>);

impl Steps {
    pub(crate) fn of(&self, phase: Phase) -> &RingDocument {
        self.0.iter().find(|step| step.phase == phase).unwrap()
    }

    pub(crate) fn last(&self) -> &RingDocument {
        self.0.last().unwrap()
    }
}

/// Client flags with the stamp of `document`.
pub(crate) fn stamped(document: &RingDocument, client_flags: u32) -> u32 {
    client_flags | u32::from(document.epoch.stamp()) << 16
}

/// How a node replies to who asks for the ring document and finds this one.
pub(crate) fn reply(document: &RingDocument) -> String {
    let json = String::from_utf8(document.encode()).unwrap();
    format!("VA {} c1 f{}\r\n{json}\r\n", json.len(), document.client_flags())
}

pub(crate) fn listed(address: SocketAddr) -> String {
    format!("{}||{}", address.ip(), address.port())
}

/// Owned by the first node in the ring of two, and by the third one in the ring of three.
pub(crate) const MOVED: [(&[usize], usize); 2] = [(&[0, 1], 0), (&[0, 1, 2], 2)];
/// Owned by the first node in both.
pub(crate) const KEPT: [(&[usize], usize); 2] = [(&[0, 1], 0), (&[0, 1, 2], 0)];
pub(crate) const NOW_MS: u64 = 1_764_096_001_000;
/// Long enough that no time of a busy machine counts.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1000);
pub(crate) const NEVER: Duration = Duration::from_secs(1_000_000);
const MOST_TRIED_KEYS: usize = 20_000;
