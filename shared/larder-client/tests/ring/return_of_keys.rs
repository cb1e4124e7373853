//! Keys that leave a node and come back to it: what it kept from before never speaks again.

use std::time::Duration;

use larder_client::{Claim, Cluster, Config, Key, ReadOptions, Stored};
use larder_ring::RingDocument;

use crate::fleet::{Fleet, Held, INTERVAL, MOVED, stamped};
use crate::support::{item, key, pass, text};
use crate::ways::LEASE;

#[tokio::test]
async fn no_key_goes_back_in_version_where_a_node_comes_and_goes() {
    for many in [false, true] {
        replay(5, &[&[0, 1, 2, 3], &[0, 1, 2, 3, 4], &[0, 1, 2, 3]], many).await;
    }
}

#[tokio::test]
async fn no_key_goes_back_in_version_where_a_node_comes_goes_and_comes_again() {
    for many in [false, true] {
        replay(4, &[&[0, 1, 2], &[0, 1, 2, 3], &[0, 1, 2], &[0, 1, 2, 3]], many).await;
    }
}

#[tokio::test]
async fn what_is_thrown_away_is_gone_and_its_lease_is_won_at_once() {
    for many in [false, true] {
        let (fleet, first, last) = there_and_back().await;
        let key = fleet.key(&MOVED);
        let cluster = fleet.client().await;
        for (stamp, client_flags) in [(Some(&first), 0x0101), (None, 0x0101)] {
            let client_flags = stamp.map_or(client_flags, |document| stamped(document, client_flags));
            fleet.put(0, &key, "old", client_flags);
            let read = match many {
                true => cluster.read_many(std::slice::from_ref(&key), LEASE).await.remove(0).unwrap(),
                false => cluster.read(&key, LEASE).await.unwrap(),
            };
            assert_eq!((read.item, fleet.held(0, &key)), (None, Held::Lease), "{many}, {client_flags:#x}");
            let Claim::Won(lease) = read.claim else { panic!("{many}: {:?}", read.claim) };
            let filled = cluster.fill(item(&key, "new"), &lease).await.unwrap();
            let expected = Held::Value { text: "new".to_owned(), client_flags: stamped(&last, 1) };
            assert_eq!((filled, fleet.held(0, &key)), (Stored::Yes, expected));
        }
    }
}

#[tokio::test]
async fn an_item_that_its_node_has_owned_all_the_time_is_kept_for_all_changes_of_others() {
    let (fleet, first, last) = there_and_back().await;
    let kept = fleet.key(&[(&[0, 1], 0), (&[0, 1, 2], 0)]);
    let cluster = fleet.client().await;
    for client_flags in [stamped(&first, 1), stamped(&last, 1), 1] {
        fleet.put(0, &kept, "v", client_flags);
        let read = cluster.read(&kept, ReadOptions::default()).await.unwrap().item.unwrap();
        assert_eq!((&read.value[..], read.client_flags), (&b"v"[..], 1), "{client_flags:#x}");
    }
    assert_eq!(fleet.requests()[0].len(), 3, "one request each");
}

#[tokio::test]
async fn a_newer_value_is_not_thrown_away_with_the_old_one() {
    let (fleet, first, last) = there_and_back().await;
    let key = fleet.key(&MOVED);
    fleet.put(0, &key, "old", stamped(&first, 1));
    let cluster = fleet.client().await;
    // Somebody else throws it away, and fills, between the read and the removal.
    let hold = fleet.relays[0].hold("T-1");
    let reading = tokio::spawn({
        let (cluster, key) = (cluster.clone(), key.clone());
        async move { cluster.read(&key, LEASE).await }
    });
    hold.is_there().await;
    fleet.put(0, &key, "new", stamped(&last, 1));
    hold.release();
    assert_eq!(text(reading.await.unwrap().map(|read| read.item)).unwrap(), "new");
}

/// A fleet whose third node came and went.
async fn there_and_back() -> (Fleet, RingDocument, RingDocument) {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    let there = fleet.steps(&first, &[0, 1, 2]);
    let back = fleet.steps(there.last(), &[0, 1]);
    fleet.tell_each(&there);
    fleet.tell_each(&back);
    (fleet, first, back.last().clone())
}

/// Goes through the rings of `lists` step by step. Of three environments the first one follows at once, the second one
/// lags a step behind, and the third one sleeps until all is over. Whatever they read is what was written last.
async fn replay(nodes: usize, lists: &[&[usize]], many: bool) {
    let (fleet, mut document) = Fleet::with(nodes, lists[0]).await;
    let interval = |intervals: u32| Config { ring_check_interval: intervals * INTERVAL, ..fleet.config() };
    let [quick, slow, asleep] = [1, LAG, 1]
        .map(|intervals| Environment { cluster: Cluster::new(interval(intervals)).unwrap(), many });
    let mut origin = Origin::new();
    for environment in [&quick, &slow, &asleep] {
        environment.read_all(&origin).await;
    }
    for (change, list) in lists[1..].iter().enumerate() {
        for step in fleet.steps(&document, list).0 {
            document = step;
            fleet.tell(&document);
            pass(INTERVAL).await;
            origin.write(&quick, |number| number % 8 == 0).await;
            origin.write(&slow, |number| number % 8 == 1).await;
            quick.read_all_but(&origin, |number| number % 8 >= 4).await;
            slow.read_all_but(&origin, |number| number % 8 >= 4).await;
            origin.write(&slow, |number| number % 8 == 2).await;
            quick.read_all_but(&origin, |number| number % 8 >= 4).await;
            pass((LAG - 1) * INTERVAL).await;
            slow.read_all_but(&origin, |number| number % 8 >= 4).await;
            quick.read_all_but(&origin, |number| number % 8 >= 4).await;
        }
        // Half of the keys are left alone while nodes come and go, and change once in every ring but the last one.
        if change + 2 < lists.len() {
            quick.read_all_but(&origin, |number| number % 8 < 6).await;
            origin.write(&quick, |number| number % 8 >= 4).await;
            quick.read_all(&origin).await;
        }
    }
    let left_over = origin.left_over(&fleet, lists[lists.len() - 1]);
    assert!(left_over >= 20, "only {left_over} keys were left behind where they are read now");
    pass(AN_HOUR).await;
    for environment in [&asleep, &slow, &quick] {
        environment.read_all(&origin).await;
    }
}

/// What is true: the version of every key.
struct Origin {
    keys: Vec<Key>,
    versions: Vec<u32>,
}

impl Origin {
    fn new() -> Self {
        let keys: Vec<_> = (0..KEYS).map(|number| key(&format!("flight-{number}"))).collect();
        Self { versions: vec![1; keys.len()], keys }
    }

    /// Writes the keys that `which` chooses, and removes them from the cache.
    async fn write(&mut self, environment: &Environment, which: impl Fn(usize) -> bool) {
        for number in (0..KEYS).filter(|number| which(*number)) {
            self.versions[number] += 1;
            environment.cluster.delete(&self.keys[number]).await.unwrap();
        }
    }

    /// How many keys have an old version where they are read in the ring of `list`.
    fn left_over(&self, fleet: &Fleet, list: &[usize]) -> usize {
        let is_old = |(key, version): &(&Key, &u32)| {
            let owner = *list.iter().find(|at| fleet.is_owner(**at, list, key)).unwrap();
            fleet.text(owner, key).is_some_and(|text| text != version.to_string())
        };
        self.keys.iter().zip(&self.versions).filter(is_old).count()
    }
}

/// Reads through the cache, and fills what is missing.
struct Environment {
    cluster: Cluster,
    many: bool,
}

impl Environment {
    async fn read_all(&self, origin: &Origin) {
        self.read_all_but(origin, |_| false).await;
    }

    async fn read_all_but(&self, origin: &Origin, not: impl Fn(usize) -> bool) {
        let numbers: Vec<_> = (0..KEYS).filter(|number| !not(*number)).collect();
        let keys: Vec<_> = numbers.iter().map(|number| origin.keys[*number].clone()).collect();
        let reads = match self.many {
            true => self.cluster.read_many(&keys, LEASE).await,
            false => {
                let mut reads = Vec::new();
                for key in &keys {
                    reads.push(self.cluster.read(key, LEASE).await);
                }
                reads
            }
        };
        for (number, read) in numbers.into_iter().zip(reads) {
            let (key, read, truth) =
                (&origin.keys[number], read.unwrap(), origin.versions[number].to_string());
            match text(Ok(read.item)) {
                Some(seen) => assert_eq!(seen, truth, "{key}"),
                None => {
                    if let Claim::Won(lease) = read.claim {
                        self.cluster.fill(item(key, &truth), &lease).await.unwrap();
                    }
                }
            }
        }
    }
}

const KEYS: usize = 400;
/// In how many intervals the one that lags behind looks once.
const LAG: u32 = 3;
const AN_HOUR: Duration = Duration::from_secs(100 * 3600);
