//! What a call does that finds another epoch in passing.

use larder_client::{Claim, Cluster, ReadOptions, Stored, Ttl};
use larder_ring::{Phase, RingDocument};

use crate::fleet::{Fleet, Held, INTERVAL, KEPT, MOVED, stamped};
use crate::support::{MINUTE, item, pass, text};
use crate::ways::{LEASE, Way};

#[tokio::test]
async fn a_read_is_answered_by_the_new_owner_and_the_document_is_fetched_once() {
    let (fleet, last) = changed(&[0, 1], &[0, 1, 2]).await;
    let (key, other) = (fleet.key(&MOVED), fleet.keys(2, &MOVED).remove(1));
    fleet.put(0, &key, "old", 1);
    fleet.put(2, &key, "new", stamped(&last, 1));
    fleet.put(2, &other, "new", stamped(&last, 1));
    for way in Way::ALL {
        let cluster = fleet.client_of_before().await;
        assert_eq!(way.text(&cluster, &key).await.unwrap(), "new", "{way:?}");
        let requests = fleet.requests();
        let again = requests[0].iter().filter(|request| request.ends_with(" larder~ring")).count();
        assert_eq!((requests[0].len(), again), (3, 2), "{way:?}: one look, one fetch: {:?}", requests[0]);
        assert_eq!(requests[2].len(), 1, "{way:?}: {:?}", requests[2]);

        assert_eq!(cluster.ring_document().await.unwrap(), Some(last.clone()));
        way.text(&cluster, &other).await;
        assert_eq!(fleet.requests().map_len(), [0, 0, 1], "{way:?}: that was all");
    }
}

#[tokio::test]
async fn a_key_that_keeps_its_owner_is_not_read_again_and_its_lease_is_good() {
    let (fleet, last) = changed(&[0, 1], &[0, 1, 2]).await;
    let key = fleet.key(&KEPT);
    for read_many in [false, true] {
        let cluster = fleet.client_of_before().await;
        let read = match read_many {
            true => cluster.read_many(std::slice::from_ref(&key), LEASE).await.remove(0).unwrap(),
            false => cluster.read(&key, LEASE).await.unwrap(),
        };
        assert_eq!(cluster.ring_document().await.unwrap(), Some(last.clone()));
        let Claim::Won(lease) = read.claim else { panic!("{:?}", read.claim) };
        assert_eq!(fleet.requests()[0], [format!("mg {key}"), LOOK.into(), LOOK.into()]);
        assert_eq!(cluster.fill(item(&key, "v"), &lease).await.unwrap(), Stored::Yes);
        cluster.delete(&key).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_batch_those_keys_alone_are_read_again_that_moved() {
    let (fleet, last) = changed(&[0, 1], &[0, 1, 2]).await;
    let keys = [fleet.keys(20, &KEPT), fleet.keys(20, &MOVED)].concat();
    for key in &keys[..20] {
        fleet.put(0, key, "kept", stamped(&last, 1));
    }
    for key in &keys[20..] {
        fleet.put(0, key, "old", 1);
        fleet.put(2, key, "new", stamped(&last, 1));
    }
    let expected: Vec<_> =
        keys.iter().enumerate().map(|(at, _)| if at < 20 { "kept" } else { "new" }).collect();

    let cluster = fleet.client_of_before().await;
    let got = cluster.get_many(&keys).await;
    assert_eq!(got.into_iter().map(|got| text(got).unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!(fleet.requests().map_len(), [3, 0, 1]);

    let cluster = fleet.client_of_before().await;
    let reads = cluster.read_many(&keys, ReadOptions::default()).await;
    let reads = reads.into_iter().map(|read| text(read.map(|read| read.item)).unwrap());
    assert_eq!(reads.collect::<Vec<_>>(), expected);
    assert_eq!(fleet.requests().map_len(), [40 + 2, 0, 20]);
}

#[tokio::test]
async fn leases_of_a_batch_are_kept_where_the_owner_stays() {
    let (fleet, _) = changed(&[0, 1], &[0, 1, 2]).await;
    let keys = [fleet.keys(5, &KEPT), fleet.keys(5, &MOVED)].concat();
    let cluster = fleet.client_of_before().await;
    for (key, read) in keys.iter().zip(cluster.read_many(&keys, LEASE).await) {
        let Claim::Won(lease) = read.unwrap().claim else { panic!("{key} was not won") };
        assert_eq!(cluster.fill(item(key, "v"), &lease).await.unwrap(), Stored::Yes, "{key}");
        assert_eq!(text(cluster.get(key).await).unwrap(), "v");
    }
}

#[tokio::test]
async fn a_write_is_made_again_at_the_new_owner() {
    let (fleet, _) = changed(&[0, 1], &[0, 1, 2]).await;
    let key = fleet.key(&MOVED);
    fleet.put(2, &key, "old", 1);
    fleet.client_of_before().await.set(item(&key, "new")).await.unwrap();
    assert_eq!(fleet.text(2, &key).unwrap(), "new");

    assert!(fleet.client_of_before().await.delete(&key).await.unwrap());
    assert_eq!(fleet.held(2, &key), Held::Nothing);

    assert!(fleet.client_of_before().await.set_many(&[item(&key, "newer")]).await.is_empty());
    assert_eq!(fleet.text(2, &key).unwrap(), "newer");

    assert!(fleet.client_of_before().await.touch(&key, Ttl::clamped(600)).await.unwrap());
    assert!(fleet.ttl_secs(2, &key) > 500);

    assert_eq!(fleet.client_of_before().await.add(item(&key, "x")).await.unwrap(), Stored::Refused);
    assert_eq!(fleet.client_of_before().await.replace(item(&key, "newest")).await.unwrap(), Stored::Yes);
    assert_eq!(fleet.text(2, &key).unwrap(), "newest");

    assert!(fleet.client_of_before().await.mark_stale(&key, MINUTE).await.unwrap());
    let reply = fleet.nodes[2].ask(&format!("mg {key}"));
    assert!(reply.contains('X'), "it is stale: {reply}");
}

#[tokio::test]
async fn nothing_is_counted_twice_where_the_owner_stays() {
    let (fleet, _) = changed(&[0, 1], &[0, 1, 2]).await;
    let (kept, moved) = (fleet.key(&KEPT), fleet.key(&MOVED));
    for (key, owner) in [(&kept, 0), (&moved, 2)] {
        fleet.put(owner, key, "10", 1);
        let cluster = fleet.client_of_before().await;
        assert_eq!(cluster.increment(key, 1, None).await.unwrap(), Some(11));
        assert_eq!(fleet.text(owner, key).unwrap(), "11");
    }
}

#[tokio::test]
async fn a_write_that_finds_the_next_owner_joining_is_not_made_again_but_the_next_owner_hears_of_it() {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    let (key, steps) = (fleet.key(&MOVED), fleet.steps(&first, &[0, 1, 2]));
    fleet.put(0, &key, "10", 1);
    fleet.put(2, &key, "left over", 1);
    let cluster = fleet.client().await;
    fleet.tell(steps.of(Phase::Joining));
    pass(INTERVAL).await;
    assert_eq!(cluster.increment(&key, 1, None).await.unwrap(), Some(11));
    let requests = fleet.requests();
    assert_eq!(requests[0], [format!("ma {key}"), LOOK.into(), LOOK.into()]);
    assert_eq!(requests[2], [format!("md {key}")]);
    assert_eq!((fleet.text(0, &key).unwrap(), fleet.held(2, &key)), ("11".to_owned(), Held::Nothing));
}

/// A fleet in which everything has moved on since `before`.
struct Changed {
    fleet: Fleet,
    before: RingDocument,
    last: RingDocument,
}

async fn changed(from: &[usize], to: &[usize]) -> (Changed, RingDocument) {
    let (fleet, before) = Fleet::with(3, from).await;
    let last = fleet.steps(&before, to).last().clone();
    (Changed { fleet, before, last: last.clone() }, last)
}

impl std::ops::Deref for Changed {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl Changed {
    /// A client that knows the ring of before, and has to look with its next call.
    async fn client_of_before(&self) -> Cluster {
        (0..3).for_each(|at| self.rob_node(at));
        self.tell(&self.before);
        let cluster = self.client().await;
        (0..3).for_each(|at| self.rob_node(at));
        self.tell(&self.last);
        pass(INTERVAL).await;
        cluster
    }
}

trait MapLen {
    fn map_len(&self) -> Vec<usize>;
}

impl MapLen for Vec<Vec<String>> {
    fn map_len(&self) -> Vec<usize> {
        self.iter().map(Vec::len).collect()
    }
}

const LOOK: &str = "mg larder~ring";
