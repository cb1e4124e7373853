//! Invalidations that fail, wait and are repeated, over real nodes.

use std::time::{Duration, SystemTime};

use crate::support::{House, answer, batch, failed, handle_now, hard, key, keys};
use larder_cache::{Cache, Forget, Invalidation, OriginGuard};
use larder_client::{Claim, Key, NewItem, ReadOptions, Stored, Ttl};
use larder_invalidate::{Work, handle};
use larder_queue::{FileQueue, Queue};
use serde_json::json;
use tokio::time::Instant;

#[tokio::test]
async fn what_a_node_did_not_hear_waits_in_the_queue_and_is_done_when_it_can_be_reached() {
    let house = House::start(2).await;
    let keys = keys(40);
    house.store(&keys).await;
    let unheard = house.owned(&keys, &house.nodes.nodes()[1]).await;
    assert!((1..keys.len()).contains(&unheard.len()), "{}", unheard.len());

    // An environment that writes while it cannot reach the node, which lives and keeps what it has.
    let cut_off = house.cut_off_from(&house.nodes.nodes()[1]);
    let cache = Cache::new(cut_off.cluster(), OriginGuard::new(1));
    let invalidated = cache.invalidate(&hard(&keys), in_a_minute()).await;
    assert_eq!(invalidated.done, keys.len() - unheard.len());
    assert_eq!(invalidated.left, Some(hard(&unheard)));
    assert_eq!(invalidated.errors.len(), 1, "{:?}", invalidated.errors);
    let directory = tempfile::tempdir().unwrap();
    let queue = FileQueue::new(directory.path());
    queue.send(&invalidated.left.unwrap(), in_a_minute()).await.unwrap();

    let waiting = || {
        let waiting = queue.take(10).unwrap().into_iter();
        batch(waiting.map(|waiting| waiting.invalidation.unwrap().encode()))
    };
    // Repeated too early, it stays.
    let early = handle(&cut_off.cluster(), &waiting(), SystemTime::now(), in_a_minute()).await;
    assert_eq!((early.work.keys, early.work.keys_left, early.work.unfinished), (0, unheard.len() as u64, 1));
    assert_eq!(answer(early), failed(&["0"]));
    assert_eq!(house.held(&unheard).await, vec![true; unheard.len()], "nobody has told the node yet");

    assert_eq!(answer(handle_now(&house, &waiting()).await), failed(&[]));
    assert_eq!(house.held(&keys).await, vec![false; keys.len()]);
}

#[tokio::test]
async fn what_a_dead_node_did_not_hear_is_done_when_it_is_back() {
    let house = House::start(2).await;
    let keys = keys(40);
    let dead = house.nodes.nodes()[1].clone();
    let unheard = house.owned(&keys, &dead).await;
    house.nodes.kill_node(dead.id).await.unwrap();
    let cache = Cache::new(house.patient(), OriginGuard::new(1));
    let left = cache.invalidate(&hard(&keys), in_a_minute()).await.left;
    assert_eq!(left, Some(hard(&unheard)));

    house.nodes.reboot_node(dead.id).await.unwrap();
    // It came back empty; somebody has filled it since, from a replica that lags.
    house.store(&unheard).await;
    let message = batch([left.unwrap().encode()]);
    assert_eq!(answer(handle_now(&house, &message).await), failed(&[]));
    assert_eq!(house.held(&unheard).await, vec![false; unheard.len()]);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_reported_alone() {
    let house = House::start(2).await;
    let keys = keys(2);
    house.store(&keys).await;
    let bodies = [hard(&keys[..1]).encode(), "{}".to_owned(), hard(&keys[1..]).encode()];
    let handled = handle_now(&house, &batch(bodies)).await;
    let Work { invalidations, keys: forgotten, malformed, unfinished, .. } = handled.work;
    assert_eq!((invalidations, forgotten, malformed, unfinished), (2, 2, 1, 0));
    assert_eq!(answer(handled), failed(&["1"]));
    assert_eq!(house.held(&keys).await, [false, false]);
}

#[tokio::test]
async fn where_no_time_is_left_nothing_is_begun_and_all_is_reported() {
    let house = House::start(1).await;
    let keys = keys(2);
    house.store(&keys).await;
    let bodies = [hard(&keys[..1]).encode(), hard(&keys[1..]).encode()];
    let cluster = house.patient();
    let late = handle(&cluster, &batch(bodies), SystemTime::now(), Instant::now()).await;
    assert_eq!((late.work.unfinished, late.work.keys_left), (2, 2));
    assert_eq!(answer(late), failed(&["0", "1"]));
    assert_eq!(house.held(&keys).await, [true, true]);
    // And no node is blamed for it.
    let handled = handle(&cluster, &batch([hard(&keys).encode()]), SystemTime::now(), in_a_minute()).await;
    assert_eq!(answer(handled), failed(&[]));
}

#[tokio::test]
async fn a_node_that_hangs_costs_no_more_than_the_deadline() {
    let house = House::start(1).await;
    let keys = keys(300);
    house.store(&keys).await;
    let cluster = house.patient();
    cluster.get(&keys[0]).await.unwrap();
    house.nodes.pause_node(house.nodes.nodes()[0].id).await.unwrap();
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(300);
    let handled = handle(&cluster, &batch([hard(&keys).encode()]), SystemTime::now(), deadline).await;
    assert_eq!(answer(handled), failed(&["0"]));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_key_need_not_be_text() {
    let house = House::start(2).await;
    let keys = [key(b"\xff\x80\xfe"), key("größe".as_bytes()), key(b"\"quoted\\")];
    house.store(&keys).await;
    assert_eq!(answer(handle_now(&house, &batch([hard(&keys).encode()])).await), failed(&[]));
    assert_eq!(house.held(&keys).await, [false; 3]);
}

#[tokio::test]
async fn softly_forgotten_a_value_lives_on_as_stale_for_its_time() {
    let house = House::start(2).await;
    let keys = keys(2);
    house.store(&keys[..1]).await;
    let soft = Invalidation { keys: keys.to_vec(), how: Forget::Soft(Ttl::clamped(30)) };
    // A key that nobody holds is done, and is not made.
    assert_eq!(answer(handle_now(&house, &batch([soft.encode()])).await), failed(&[]));
    assert_eq!(house.held(&keys[1..]).await, [false]);
    let reply = house.ask(&keys[0], "t v").await;
    let (head, value) = reply.split_once("\r\n").unwrap();
    assert!(value.starts_with("old\r\n"), "{reply}");
    let flags: Vec<_> = head.split(' ').skip(2).collect();
    let [ttl, "X", "W"] = flags[..] else { panic!("not stale and to be refreshed: {reply}") };
    assert!((1..=30).contains(&ttl.trim_start_matches('t').parse::<u64>().unwrap()), "{reply}");
}

#[tokio::test]
async fn a_lease_from_before_is_void_after_a_late_repetition() {
    let house = House::start(1).await;
    let key = key(b"flights:17");
    let client = house.patient();
    let options = ReadOptions { lease_for: Some(Ttl::clamped(60)), ..ReadOptions::default() };
    let read = client.read(&key, options).await.unwrap();
    let Claim::Won(lease) = read.claim else { panic!("no lease") };
    assert_eq!(
        answer(handle_now(&house, &batch([hard(std::slice::from_ref(&key)).encode()])).await),
        failed(&[])
    );
    let old = NewItem { key: &key, value: b"old", client_flags: 1, ttl: Ttl::clamped(600) };
    assert_eq!(client.fill(old, &lease).await.unwrap(), Stored::Missing);
}

#[tokio::test]
async fn keys_by_hand_are_answered_with_what_was_done() {
    let house = House::start(2).await;
    let keys = keys(40);
    house.store(&keys).await;
    let names: Vec<_> = keys.iter().map(Key::to_string).collect();
    assert_eq!(answer(handle_now(&house, &json!({ "keys": names })).await), json!({ "forgotten": 40 }));
    assert_eq!(house.held(&keys).await, vec![false; 40]);

    // Nobody listens behind one of the two.
    house.nodes.kill_node(house.nodes.nodes()[1].id).await.unwrap();
    let answer = answer(handle_now(&house, &json!({ "keys": names, "soft_secs": 30 })).await);
    let left = answer["left"]["keys"].as_array().unwrap();
    assert_eq!(left.len() as u64 + answer["forgotten"].as_u64().unwrap(), 40);
    assert!((1..40).contains(&left.len()), "{answer}");
    assert_eq!(answer["left"]["soft_secs"], 30);
    let [error] = &answer["errors"].as_array().unwrap()[..] else { panic!("not one reason: {answer}") };
    assert!(error.as_str().unwrap().starts_with("node larder.local.0002."), "{answer}");
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
