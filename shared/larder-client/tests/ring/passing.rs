//! Looking at the ring document in passing, and what that costs where nothing changes.

use larder_client::{Cluster, Config, Endpoint, Key, ReadOptions};
use larder_ring::Phase;

use crate::fleet::{Fleet, INTERVAL};
use crate::support::memcached::Memcached;
use crate::support::relay::Relay;
use crate::support::{MINUTE, cluster, item, key, pass, text};

#[tokio::test]
async fn one_call_in_an_interval_looks_and_in_the_same_write() {
    let (fleet, _) = Fleet::with(2, &[0, 1]).await;
    let cluster = fleet.client().await;
    let key = fleet.key(&[(&[0, 1], 0)]);
    for call in Call::ALL {
        // The connection is there, and the number for who counts.
        cluster.set(item(&key, "1")).await.unwrap();
        fleet.forget_requests();
        call.make(&cluster, &key).await;
        let [alone] = &fleet.relays[0].writes()[..] else { panic!("{call:?}") };
        assert!(!alone.contains("larder~ring"), "{call:?}: {alone}");

        pass(INTERVAL).await;
        cluster.set(item(&key, "1")).await.unwrap();
        pass(INTERVAL).await;
        fleet.forget_requests();
        call.make(&cluster, &key).await;
        let [looking] = &fleet.relays[0].writes()[..] else { panic!("{call:?}") };
        assert_eq!(*looking, format!("{alone}mg larder~ring f\r\n"), "{call:?}");
        call.make(&cluster, &key).await;
        assert_eq!(fleet.relays[0].writes(), [alone.as_str()], "{call:?}");
    }
}

#[tokio::test]
async fn a_look_takes_64_bytes_at_most_there_and_back() {
    let (fleet, _) = Fleet::with(1, &[0]).await;
    let cluster = fleet.client().await;
    let bytes = async || {
        cluster.get(&key("k")).await.unwrap();
        fleet.relays[0].writes().concat().len() + fleet.relays[0].answered_bytes()
    };
    let without = bytes().await;
    pass(INTERVAL).await;
    let with = bytes().await;
    assert!((1..=64).contains(&(with - without)), "{}", with - without);
}

#[tokio::test]
async fn one_node_of_a_batch_is_looked_at() {
    let (fleet, _) = Fleet::with(4, &[0, 1, 2, 3]).await;
    let cluster = fleet.client().await;
    let keys: Vec<Key> = (0..40).map(|number| key(&format!("key-{number}"))).collect();
    let items: Vec<_> = keys.iter().map(|key| item(key, "v")).collect();
    for batch in 0..3 {
        pass(INTERVAL).await;
        match batch {
            0 => assert!(cluster.set_many(&items).await.is_empty()),
            1 => cluster.get_many(&keys).await.into_iter().for_each(|got| assert!(got.unwrap().is_some())),
            _ => {
                let reads = cluster.read_many(&keys, ReadOptions::default()).await;
                reads.into_iter().for_each(|read| assert!(read.unwrap().item.is_some()));
            }
        }
        let requests = fleet.requests();
        let looks = |requests: &Vec<String>| requests.iter().filter(|request| *request == LOOK).count();
        let looks: Vec<_> = requests.iter().map(looks).collect();
        assert_eq!(looks.iter().sum::<usize>(), 1, "batch {batch}: {looks:?}");
        assert!(requests.iter().all(|requests| !requests.is_empty()), "batch {batch}");
    }
}

#[tokio::test]
async fn a_quiet_ring_costs_no_round_trip() {
    let (fleet, _) = Fleet::with(3, &[0, 1, 2]).await;
    let cluster = fleet.client().await;
    let keys: Vec<Key> = (0..30).map(|number| key(&format!("key-{number}"))).collect();
    for _ in 0..10 {
        pass(INTERVAL).await;
        for key in &keys {
            cluster.get(key).await.unwrap();
        }
    }
    let writes: Vec<String> = fleet.relays.iter().flat_map(Relay::writes).collect();
    assert_eq!(writes.len(), 10 * keys.len(), "each request is written, and nothing else");
    assert_eq!(writes.iter().filter(|write| write.contains("larder~ring")).count(), 10);
}

#[tokio::test]
async fn nobody_looks_where_the_list_is_fixed() {
    let node = Memcached::start();
    let relay = Relay::to(node.address).await;
    let cluster = cluster(&[relay.address]);
    for call in Call::ALL {
        pass(INTERVAL).await;
        cluster.set(item(&key("k"), "1")).await.unwrap();
        call.make(&cluster, &key("k")).await;
    }
    assert!(!relay.writes().concat().contains("larder~ring"));
}

#[tokio::test]
async fn nobody_looks_at_a_server_that_knows_of_no_cluster() {
    let node = Memcached::start();
    let relay = Relay::to(node.address).await;
    let (host, port) = (relay.address.ip().to_string(), relay.address.port());
    let fleet = Fleet::start(1).await;
    let endpoint = Endpoint::Configuration { host, port };
    let cluster = Cluster::new(Config { endpoint, ..fleet.config() }).unwrap();
    // It is taken for a plain memcached when it has said so twice.
    cluster.topology().await.unwrap_err();
    cluster.topology().await.unwrap();
    relay.writes();
    for call in Call::ALL {
        pass(INTERVAL).await;
        cluster.set(item(&key("k"), "1")).await.unwrap();
        call.make(&cluster, &key("k")).await;
    }
    assert!(!relay.writes().concat().contains("larder~ring"));
}

#[tokio::test]
async fn who_asks_nothing_of_a_node_leaves_the_look_to_the_next_one() {
    let (fleet, _) = Fleet::with(2, &[0, 1]).await;
    let cluster = fleet.client().await;
    pass(INTERVAL).await;
    cluster.owner(&key("k")).await.unwrap();
    cluster.topology().await.unwrap();
    cluster.dump(0).await.unwrap();
    // What is asked of all nodes says nothing of the ring.
    cluster.stats(None).await.unwrap();
    fleet.forget_requests();
    cluster.get(&key("k")).await.unwrap();
    assert_eq!(fleet.requests().concat(), ["mg k", LOOK]);
}

#[tokio::test]
async fn the_look_is_made_although_discovery_is_due_as_well() {
    let (fleet, _) = Fleet::with(2, &[0, 1]).await;
    let cluster = Cluster::new(Config { discovery_interval: INTERVAL, ..fleet.config() }).unwrap();
    cluster.get(&key("k")).await.unwrap();
    fleet.endpoint.answer_document("EN\r\n");
    fleet.forget_requests();
    pass(INTERVAL).await;
    cluster.get(&key("k")).await.unwrap();
    assert_eq!(fleet.endpoint.asked(), 2);
    assert_eq!(fleet.requests().concat(), ["mg k", LOOK]);
}

#[tokio::test]
async fn a_look_that_is_dropped_is_made_by_another_call_within_two_intervals() {
    let (fleet, first) = Fleet::with(2, &[0, 1]).await;
    let cluster = fleet.client().await;
    let (key, steps) = (fleet.key(&[(&[0, 1], 0)]), fleet.steps(&first, &[0]));
    pass(INTERVAL).await;
    let hold = fleet.relays[0].hold(LOOK);
    let looking = tokio::spawn({
        let (cluster, key) = (cluster.clone(), key.clone());
        async move { cluster.get(&key).await }
    });
    hold.is_there().await;
    looking.abort();
    assert!(looking.await.unwrap_err().is_cancelled());
    fleet.tell(steps.of(Phase::Joining));
    assert_eq!(text(cluster.get(&key).await), None);
    assert_eq!(
        fleet.requests()[0],
        ["mg ".to_owned() + key.to_string().as_str(), LOOK.into(), format!("mg {key}")]
    );
    pass(INTERVAL).await;
    cluster.get(&key).await.unwrap();
    assert_eq!(cluster.ring_document().await.unwrap().as_ref(), Some(steps.of(Phase::Joining)));
}

/// A call for one key.
#[derive(Clone, Copy, Debug)]
enum Call {
    Get,
    GetWithCas,
    Read,
    GetMany,
    ReadMany,
    Set,
    SetMany,
    Touch,
    Increment,
    Decrement,
    MarkStale,
    Delete,
}

impl Call {
    const ALL: [Self; 12] = [
        Self::Get,
        Self::GetWithCas,
        Self::Read,
        Self::GetMany,
        Self::ReadMany,
        Self::Set,
        Self::SetMany,
        Self::Touch,
        Self::Increment,
        Self::Decrement,
        Self::MarkStale,
        Self::Delete,
    ];

    async fn make(self, cluster: &Cluster, key: &Key) {
        let (keys, options) = (std::slice::from_ref(key), ReadOptions::default());
        match self {
            Self::Get => drop(cluster.get(key).await.unwrap()),
            Self::GetWithCas => drop(cluster.get_with_cas(key).await.unwrap()),
            Self::Read => drop(cluster.read(key, options).await.unwrap()),
            Self::GetMany => drop(cluster.get_many(keys).await.remove(0).unwrap()),
            Self::ReadMany => drop(cluster.read_many(keys, options).await.remove(0).unwrap()),
            Self::Set => cluster.set(item(key, "1")).await.unwrap(),
            Self::SetMany => assert!(cluster.set_many(&[item(key, "1")]).await.is_empty()),
            Self::Touch => drop(cluster.touch(key, MINUTE).await.unwrap()),
            Self::Increment => drop(cluster.increment(key, 1, None).await.unwrap()),
            Self::Decrement => drop(cluster.decrement(key, 1, None).await.unwrap()),
            Self::MarkStale => drop(cluster.mark_stale(key, MINUTE).await.unwrap()),
            Self::Delete => drop(cluster.delete(key).await.unwrap()),
        }
    }
}

const LOOK: &str = "mg larder~ring";
