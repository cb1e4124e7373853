//! Nodes that have lost the ring document, hold an older one, or hold something that is none.

use std::time::Duration;

use larder_client::{Claim, Cluster, Key, ReadOptions, Stored};
use larder_ring::{Epoch, Phase, RingDocument};
use tokio::time::Instant;

use crate::fleet::{Fleet, INTERVAL, reply, stamped};
use crate::support::{item, key, pass, text};
use crate::ways::LEASE;

#[tokio::test]
async fn where_a_node_has_lost_it_another_one_is_asked_once_in_an_interval() {
    let (mut fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let key = fleet.key(&[(&[0, 1, 2], 0)]);
    for restarted in [true, false] {
        let cluster = fleet.client().await;
        match restarted {
            true => fleet.nodes[0].restart(),
            false => assert_eq!(fleet.nodes[0].ask("flush_all"), "OK\r\n"),
        }
        for round in 0..3 {
            pass(INTERVAL).await;
            for _ in 0..5 {
                assert_eq!(text(cluster.get(&key).await), None);
            }
            let requests = fleet.requests();
            let fetches: usize = requests[1..].iter().map(|requests| count(requests, LOOK)).sum();
            assert_eq!((count(&requests[0], LOOK), fetches), (1, 1), "round {round}");
        }
        assert_eq!(cluster.ring_document().await.unwrap(), Some(first.clone()));
        fleet.tell(&first);
    }
}

#[tokio::test]
async fn where_a_node_has_lost_it_the_others_may_know_a_later_one() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let (key, steps) = (fleet.key(&MOVED), fleet.steps(&first, &[0, 1]));
    let cluster = fleet.client().await;
    fleet.tell_each(&steps);
    fleet.rob_node(2);
    let last = steps.last().clone();
    fleet.put(1, &key, "here", stamped(&last, 1));
    pass(INTERVAL).await;
    assert_eq!(text(cluster.get(&key).await).unwrap(), "here");
    assert_eq!(cluster.ring_document().await.unwrap(), Some(last));
}

#[tokio::test]
async fn epochs_never_go_back() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let steps = fleet.steps(&first, &[0, 1]);
    let last = steps.last().clone();
    fleet.tell_each(&steps);
    let cluster = fleet.client().await;
    fleet.endpoint.answer_document(&reply(&first));
    for holders in [&[0][..], &[1], &[0, 1]] {
        for at in [0, 1] {
            fleet.tell_node(at, if holders.contains(&at) { &first } else { &last });
        }
        pass(INTERVAL).await;
        for number in 0..20 {
            cluster.get(&key(&format!("key-{number}"))).await.unwrap();
        }
        cluster.discover().await.unwrap();
        assert_eq!(cluster.ring_document().await.unwrap().as_ref(), Some(&last), "{holders:?}");
        let requests = fleet.requests().concat();
        assert!(count(&requests, LOOK) <= 2 * 3, "{holders:?}: {requests:?}");
    }
}

#[tokio::test]
async fn where_everybody_has_lost_it_the_client_goes_on() {
    let (fleet, first) = Fleet::with(4, &[0, 1, 2, 3]).await;
    let cluster = fleet.client().await;
    (0..4).for_each(|at| fleet.rob_node(at));
    fleet.endpoint.answer_document("EN\r\n");
    for round in 0..3 {
        pass(3 * INTERVAL).await;
        for number in 0..40 {
            cluster.set(item(&key(&format!("key-{number}")), "v")).await.unwrap();
        }
        let asked = count(&fleet.requests().concat(), LOOK);
        // The look, three others, and then all, to be sure.
        assert!((2..=1 + 3 + 4).contains(&asked), "round {round}: {asked}");
    }
    assert_eq!(cluster.ring_document().await.unwrap(), Some(first.clone()));
    // And it follows whoever begins again.
    let again = RingDocument::first(fleet.ids(&[3]), first.time_ms + 3_600_000);
    (0..4).for_each(|at| fleet.tell_node(at, &again));
    pass(INTERVAL).await;
    cluster.get(&key("k")).await.unwrap();
    assert_eq!(cluster.ring_document().await.unwrap(), Some(again));
}

#[tokio::test]
async fn a_dead_node_among_those_who_are_asked_does_not_make_every_request_ask() {
    let (mut fleet, _) = Fleet::with(3, &[0, 1, 2]).await;
    let cluster = fleet.client().await;
    let key = fleet.key(&[(&[0, 1, 2], 0)]);
    fleet.rob_node(0);
    fleet.nodes[1].kill();
    for round in 0..4 {
        pass(INTERVAL).await;
        for _ in 0..5 {
            cluster.get(&key).await.unwrap();
        }
        let requests = fleet.requests();
        assert_eq!((count(&requests[0], LOOK), count(&requests[2], LOOK)), (1, 1), "round {round}");
    }
}

#[tokio::test]
async fn a_silent_node_among_those_who_are_asked_leaves_time_for_the_others() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let (key, next) = (fleet.key(&[(&[0, 1, 2], 0)]), fleet.steps(&first, &[0, 2]).0.remove(0));
    let cluster = fleet.client().await;
    fleet.tell(&next);
    fleet.rob_node(0);
    pass(INTERVAL).await;
    // Whoever is asked first is silent, on a connection that has not rested.
    for at in [1, 2] {
        cluster.direct(&fleet.id(at)).ping().await.unwrap();
    }
    let [one, other] = [1, 2].map(|at| fleet.relays[at].hold("mg larder~ring c f v"));
    let reading = tokio::spawn({
        let cluster = cluster.until(Instant::now() + Duration::from_secs(2));
        async move { text(cluster.get(&key).await) }
    });
    tokio::select! {
        () = one.is_there() => other.release(),
        () = other.is_there() => one.release(),
    }
    assert_eq!(reading.await.unwrap(), None);
    assert_eq!(cluster.ring_document().await.unwrap(), Some(next));
}

#[tokio::test]
async fn a_node_that_loses_it_between_the_look_and_the_question_is_not_the_last_to_be_asked() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let (key, steps) = (fleet.key(&MOVED), fleet.steps(&first, &[0, 1]));
    let cluster = fleet.client().await;
    fleet.tell_each(&steps);
    fleet.put(1, &key, "here", stamped(steps.last(), 1));
    pass(INTERVAL).await;
    let hold = fleet.relays[2].hold("mg larder~ring c f v");
    let reading = tokio::spawn({
        let (cluster, key) = (cluster.clone(), key.clone());
        async move { text(cluster.get(&key).await) }
    });
    hold.is_there().await;
    fleet.rob_node(2);
    hold.release();
    assert_eq!(reading.await.unwrap().unwrap(), "here");
}

#[tokio::test]
async fn what_is_no_document_is_ignored_and_asked_for_once_in_an_interval() {
    let (fleet, first) = Fleet::with(2, &[0, 1]).await;
    let good = String::from_utf8(fleet.steps(&first, &[0]).last().encode()).unwrap();
    let later = first.client_flags() + 9;
    for bad in ["", "{}", &good[..good.len() - 9], &good.replace("\"larder_ring\":1", "\"larder_ring\":2")] {
        fleet.tell(&first);
        let cluster = fleet.client().await;
        for client_flags in [later, first.client_flags() - 1, 0] {
            (0..2).for_each(|at| fleet.tell_node_bytes(at, client_flags, bad));
            pass(INTERVAL).await;
            for number in 0..10 {
                cluster.get(&key(&format!("key-{number}"))).await.unwrap();
            }
            let asked = count(&fleet.requests().concat(), LOOK);
            // The look, both, and then both again, to be sure.
            assert!((2..=1 + 2 + 2).contains(&asked), "{bad}: {asked}");
            assert_eq!(cluster.ring_document().await.unwrap().as_ref(), Some(&first), "{bad}");
        }
    }
}

// Items that tell of a later document.

#[tokio::test]
async fn an_item_of_a_later_document_makes_the_client_fetch_it_and_is_answered() {
    for many in [false, true] {
        let (fleet, first) = Fleet::with(3, &[0, 1]).await;
        let (kept, steps) = (fleet.key(&[(&[0, 1], 0), (&[0, 1, 2], 0)]), fleet.steps(&first, &[0, 1, 2]));
        let cluster = fleet.client().await;
        fleet.tell(steps.of(Phase::Joining));
        fleet.put(0, &kept, "v", stamped(steps.of(Phase::Joining), 1));
        assert_eq!(read(&cluster, &kept, many).await.unwrap(), "v", "{many}");
        assert_eq!(cluster.ring_document().await.unwrap().as_ref(), Some(steps.of(Phase::Joining)));
        assert_eq!(count(&fleet.requests().concat(), LOOK), 1, "{many}: one question, and no look");
    }
}

#[tokio::test]
async fn an_item_of_a_document_that_only_others_have_is_answered_as_well() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let (key, next) = (fleet.key(&[(&[0, 1, 2], 0)]), fleet.steps(&first, &[0, 1]).0.remove(0));
    let cluster = fleet.client().await;
    fleet.tell_node(1, &next);
    fleet.tell_node(2, &next);
    fleet.put(0, &key, "v", stamped(&next, 1));
    assert_eq!(read(&cluster, &key, false).await.unwrap(), "v");
}

#[tokio::test]
async fn a_lease_of_the_same_batch_is_kept_when_an_item_tells_of_a_later_document() {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    let kept = fleet.keys(2, &[(&[0, 1], 0), (&[0, 1, 2], 0)]);
    let joining = fleet.steps(&first, &[0, 1, 2]).0.remove(0);
    let cluster = fleet.client().await;
    fleet.tell(&joining);
    fleet.put(0, &kept[0], "v", stamped(&joining, 1));
    let mut reads = cluster.read_many(&kept, LEASE).await.into_iter().map(Result::unwrap);
    assert_eq!(text(Ok(reads.next().unwrap().item)).unwrap(), "v");
    assert!(matches!(reads.next().unwrap().claim, larder_client::Claim::Won(_)));
}

/// A later epoch by its tag: one that nobody has published, or one from before a jump of the epoch.
#[tokio::test]
async fn an_item_of_an_epoch_that_no_node_knows_is_replaced_under_a_lease() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let (key, next) = (fleet.key(&[(&[0, 1, 2], 0)]), fleet.steps(&first, &[0, 1]).0.remove(0));
    let earlier = RingDocument { epoch: Epoch::new(first.epoch.number() - 43_200).unwrap(), ..first.clone() };
    for (remains, many) in [(&next, false), (&next, true), (&earlier, false), (&earlier, true)] {
        let cluster = fleet.client().await;
        fleet.put(0, &key, "v", stamped(remains, 1));
        let mut read = match many {
            true => cluster.read_many(std::slice::from_ref(&key), LEASE).await.remove(0),
            false => cluster.read(&key, LEASE).await,
        }
        .unwrap();
        assert_eq!(read.item.take(), None, "{many}");
        let Claim::Won(lease) = read.claim else { panic!("{many}: {:?}", read.claim) };
        assert_eq!(cluster.fill(item(&key, "new"), &lease).await.unwrap(), Stored::Yes);
        let asked = count(&fleet.requests().concat(), LOOK);
        assert!(asked <= 1 + 3, "{asked}");
        assert_eq!(self::read(&cluster, &key, many).await.unwrap(), "new");
        pass(INTERVAL).await;
    }
}

#[tokio::test]
async fn items_of_unknown_epochs_make_a_client_look_once_in_an_interval() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let (keys, next) = (fleet.keys(5, &[(&[0, 1, 2], 0)]), fleet.steps(&first, &[0, 1]).0.remove(0));
    let cluster = fleet.client().await;
    keys.iter().for_each(|key| fleet.put(0, key, "v", stamped(&next, 1)));
    for key in &keys {
        assert_eq!(read(&cluster, key, false).await, None);
    }
    let asked = count(&fleet.requests().concat(), LOOK);
    assert!(asked <= 1 + 3, "{asked}");
}

async fn read(cluster: &Cluster, key: &Key, many: bool) -> Option<String> {
    let read = match many {
        true => cluster.read_many(std::slice::from_ref(key), ReadOptions::default()).await.remove(0),
        false => cluster.read(key, ReadOptions::default()).await,
    };
    text(read.map(|read| read.item))
}

fn count(requests: &[String], request: &str) -> usize {
    requests.iter().filter(|other| *other == request).count()
}

/// Owned by the third node before, and by the second one after.
const MOVED: [(&[usize], usize); 2] = [(&[0, 1, 2], 2), (&[0, 1], 1)];
const LOOK: &str = "mg larder~ring";
