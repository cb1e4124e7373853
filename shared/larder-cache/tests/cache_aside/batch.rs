//! Many keys at once: one call to the origin for all that is missing, in order, each key once.

use std::time::{Duration, Instant};

use larder_cache::{Counts, LoadError, Outcome};
use larder_client::{Config, Endpoint, Key};

use crate::support::{
    Broken, Memcached, Origin, PATIENT, Turnstile, cache, config, environment, environment_behind, impatient,
    in_millis, key, late, says, told,
};

#[tokio::test]
async fn what_is_missing_of_a_batch_is_loaded_with_one_call_and_the_order_is_kept() {
    let (nodes, origin) = (three(), Origin::new());
    let cache = environment(&refs(&nodes));
    let keys = keys(50);

    let batch =
        cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("old", missing)).await;
    assert_eq!(batch.counts, Counts { misses: 50, origin_calls: 1, fills: 50, ..Counts::default() });
    for id in [7, 17, 27, 37, 47] {
        nodes.iter().for_each(|node| drop(node.ask(&format!("md flights:{id}"))));
    }

    let batch =
        cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("new", missing)).await;
    assert_eq!(origin.calls()[1..], [[7, 17, 27, 37, 47]]);
    assert_eq!(batch.counts, Counts { hits: 45, misses: 5, origin_calls: 1, fills: 5, ..Counts::default() });
    for (index, answer) in batch.answers.into_iter().enumerate() {
        let (outcome, text) = if index % 10 == 7 { (Outcome::Miss, "new") } else { (Outcome::Hit, "old") };
        assert_eq!(told(answer), says(outcome, &format!("{text} {index}")));
    }
}

#[tokio::test]
async fn a_batch_takes_one_round_trip_a_node_one_call_to_the_origin_and_one_fill() {
    let origin = Origin::new();
    let nodes: [Memcached; 4] = std::array::from_fn(|_| Memcached::start());
    let mut turnstiles = Vec::new();
    for node in &nodes {
        turnstiles.push(Turnstile::to(node.address()).await);
    }
    let cache = environment_behind(&turnstiles);
    let turns = || turnstiles.iter().map(Turnstile::turns).collect::<Vec<_>>();
    let keys = keys(50);
    let _ = cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("old", missing)).await;
    let missing = [3, 13, 23, 33, 43];
    for index in missing {
        cache.cluster().delete(&keys[index]).await.unwrap();
    }
    turns();

    let batch =
        cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("new", missing)).await;
    assert_eq!(batch.counts, Counts { hits: 45, misses: 5, origin_calls: 1, fills: 5, ..Counts::default() });
    assert_eq!(origin.calls()[1..], [missing]);
    let mut filled = 0;
    for turns in turns() {
        assert!((1..=2).contains(&turns), "one to read, and one to fill where something was missing");
        filled += turns - 1;
    }
    assert!((1..=4).contains(&filled), "5 keys were filled on {filled} nodes");

    let _ = cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("new", missing)).await;
    assert_eq!(turns(), [1; 4], "all hits: each node once");
}

#[tokio::test]
async fn the_answers_of_a_batch_name_their_nodes_and_all_nodes_are_used() {
    let (nodes, origin) = (three(), Origin::new());
    let cache = environment(&refs(&nodes));
    for _ in 0..2 {
        let batch =
            cache.get_or_load_many(&keys(50), &PATIENT, late(), |missing| origin.values("v", missing)).await;
        for (index, answer) in batch.answers.into_iter().enumerate() {
            let name = answer.unwrap().node.expect("the node answered");
            let node = nodes.iter().find(|node| node.name() == name).expect("it is one of ours");
            assert_eq!(
                node.ask(&format!("mg flights:{index} v")).lines().nth(1),
                Some(&*format!("v {index}"))
            );
        }
    }
    assert!(nodes.iter().all(|node| node.gets() > 20), "each of 3 nodes has a share of 50 keys");
}

#[tokio::test]
async fn a_key_that_stands_twice_is_loaded_once_and_waits_for_nobody() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let keys = ["a", "b", "a", "c", "c", "a"].map(key);
    let batch = environment(&[&node])
        .get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("v", missing))
        .await;
    assert_eq!(origin.calls(), [[0, 1, 3]]);
    assert_eq!(batch.counts, Counts { misses: 6, origin_calls: 1, fills: 3, ..Counts::default() });
    let answers: Vec<_> = batch.answers.into_iter().map(told).collect();
    let expected = ["v 0", "v 1", "v 0", "v 3", "v 3", "v 0"].map(|value| says(Outcome::Miss, value));
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_key_that_stands_twice_is_loaded_once_without_a_cache_and_fails_once() {
    let mut node = Memcached::start();
    node.kill();
    let keys = ["a", "a", "b"].map(key);
    let origin = Origin::new();
    let cache = environment(&[&node]);
    let batch = cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("v", missing)).await;
    assert_eq!(batch.counts, Counts { bypasses: 3, origin_calls: 1, ..Counts::default() });
    let batch = cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.failures(missing)).await;
    assert_eq!(batch.counts, Counts { errors: 3, origin_calls: 1, ..Counts::default() });
    assert_eq!(origin.calls(), [[0, 2], [0, 2]]);
}

#[tokio::test]
async fn a_key_that_stands_twice_and_that_somebody_else_loads_is_waited_for_once() {
    let (node, origin) = (Memcached::start(), Origin::new());
    assert!(node.ask("mg a N30 t").contains('W'));
    let keys = ["a", "a"].map(key);
    let batch = environment(&[&node])
        .get_or_load_many(&keys, &impatient(30), late(), |missing| origin.values("v", missing))
        .await;
    assert_eq!(batch.counts, Counts { misses: 2, waits: 1, origin_calls: 1, ..Counts::default() });
    assert_eq!(origin.calls(), [[0]]);
}

#[tokio::test]
async fn what_others_load_is_waited_for_while_the_rest_is_answered_by_one_call() {
    let (node, origin, others) = (Memcached::start(), Origin::new(), Origin::shut());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let keys = ["a", "b", "c"].map(key);
    let loads =
        first.get_or_load_many(&keys[1..2], &PATIENT, late(), |missing| others.values("1st", missing));
    let waits = async {
        others.begun(1).await;
        second.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("2nd", missing)).await
    };
    let conduct = async {
        // One by the first, three by the second, and one more time what it waits for.
        node.asked(1 + 3 + 1).await;
        others.open();
    };
    let (_, batch, ()) = tokio::join!(loads, waits, conduct);
    assert_eq!(origin.calls(), [[0, 2]]);
    let counts = Counts { hits: 1, misses: 2, waits: 1, origin_calls: 1, fills: 2, ..Counts::default() };
    assert_eq!(batch.counts, counts);
    let answers: Vec<_> = batch.answers.into_iter().map(told).collect();
    let expected = [says(Outcome::Miss, "2nd 0"), says(Outcome::Hit, "1st 0"), says(Outcome::Miss, "2nd 2")];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn what_is_won_while_others_are_awaited_is_loaded_at_once() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let keys = ["a", "b"].map(key);
    assert!(node.ask("mg a N60 t").contains('W') && node.ask("mg b N60 t").contains('W'));
    let cache = environment(&[&node]);
    let waits = cache.get_or_load_many(&keys, &PATIENT, late(), |missing| origin.values("v", missing));
    let conduct = async {
        node.asked(2 + 2).await;
        // Who loads the one gives its lease back; who loads the other needs longer.
        node.check("md a", "HD\r\n");
        node.comes_to("mg a v", "VA 3\r\nv 0\r\n").await;
        node.check("ms b 5 T100 F1\r\nother", "HD\r\n");
    };
    let (batch, ()) = tokio::join!(waits, conduct);
    assert_eq!(origin.calls(), [[0]]);
    let counts = Counts { hits: 1, misses: 1, waits: 2, origin_calls: 1, fills: 1, ..Counts::default() };
    assert_eq!(batch.counts, counts);
    let answers: Vec<_> = batch.answers.into_iter().map(told).collect();
    assert_eq!(answers, [says(Outcome::Miss, "v 0"), says(Outcome::Hit, "other")]);
}

#[tokio::test]
async fn what_others_have_loaded_during_a_load_of_ours_is_not_loaded_again() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let keys = ["a", "b"].map(key);
    assert!(node.ask("mg a N60 t").contains('W') && node.ask("mg b N60 t").contains('W'));
    let (cache, policy) = (environment(&[&node]), impatient(300));
    let waits = cache.get_or_load_many(&keys, &policy, late(), |missing| origin.values("v", missing));
    let conduct = async {
        node.asked(2 + 2).await;
        node.check("md a", "HD\r\n");
        origin.begun(1).await;
        node.check("ms b 5 T100 F1\r\nother", "HD\r\n");
        // Patience is at its end, and b has not been looked at since.
        tokio::time::sleep(policy.wait_for).await;
        origin.open();
    };
    let (batch, ()) = tokio::join!(waits, conduct);
    assert_eq!(origin.calls(), [[0]]);
    let answers: Vec<_> = batch.answers.into_iter().map(told).collect();
    assert_eq!(answers, [says(Outcome::Miss, "v 0"), says(Outcome::Hit, "other")]);
}

#[tokio::test]
async fn when_the_deadline_has_passed_nobody_is_asked_any_more() {
    let (node, stuck) = (Memcached::start(), Origin::shut());
    let keys = ["a", "b"].map(key);
    assert!(node.ask("mg b N60 t").contains('W'));
    let (cache, deadline) = (environment(&[&node]), in_millis(300));
    let batch =
        cache.get_or_load_many(&keys, &PATIENT, deadline, |missing| stuck.values("never", missing)).await;
    assert!(batch.answers.iter().all(|answer| matches!(answer, Err(LoadError::Deadline))), "{batch:?}");
    assert_eq!((stuck.calls(), batch.counts.origin_calls), (vec![vec![0]], 1));
    node.comes_to("mg a v", "EN\r\n").await;
}

#[tokio::test]
async fn a_loader_that_fails_fails_what_is_missing_and_no_hit() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.check("ms a 3 T100 F1\r\nhit", "HD\r\n");
    let keys = ["a", "b", "c"].map(key);
    let batch = environment(&[&node])
        .get_or_load_many(&keys, &PATIENT, late(), |missing| origin.failures(missing))
        .await;
    assert_eq!(batch.counts, Counts { hits: 1, errors: 2, origin_calls: 1, ..Counts::default() });
    for (index, answer) in batch.answers.into_iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!((index, told::<()>(Ok(answer))), (0, says(Outcome::Hit, "hit"))),
            Err(error) => assert!(matches!(error, LoadError::Origin(source) if *source == Broken)),
        }
    }
    node.comes_to("mg b v\r\nmg c v", "EN\r\nEN\r\n").await;
}

#[tokio::test]
async fn a_loader_that_answers_another_number_of_values_is_told_so_and_nothing_is_stored() {
    let node = Memcached::start();
    for answered in [0, 1, 3] {
        let cache = environment(&[&node]);
        let batch = cache
            .get_or_load_many(&["a", "b"].map(key), &PATIENT, late(), |_| async move {
                Ok::<_, Broken>(vec![Some(bytes::Bytes::from_static(b"v")); answered])
            })
            .await;
        assert_eq!(batch.counts, Counts { errors: 2, origin_calls: 1, ..Counts::default() });
        for answer in batch.answers {
            let error = answer.unwrap_err();
            assert!(
                matches!(error, LoadError::Miscounted { asked: 2, answered: told } if told == answered),
                "{error:?}"
            );
        }
        node.comes_to("mg a v\r\nmg b v", "EN\r\nEN\r\n").await;
    }
}

#[tokio::test]
async fn a_batch_without_keys_asks_nobody() {
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (host, port) = ("127.0.0.1".to_owned(), silent.local_addr().unwrap().port());
    let cache = cache(Config { endpoint: Endpoint::Configuration { host, port }, ..config(&[]) });
    let (origin, begin) = (Origin::new(), Instant::now());
    let batch = cache.get_or_load_many(&[], &PATIENT, late(), |missing| origin.values("v", missing)).await;
    assert!(batch.answers.is_empty());
    assert_eq!(batch.counts, Counts::default());
    assert!(origin.calls().is_empty());
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_batch_of_one_key_is_a_batch() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let mut batch =
            cache.get_or_load_many(&keys(1), &PATIENT, late(), |missing| origin.values("v", missing)).await;
        assert_eq!(batch.answers.len(), 1);
        assert_eq!(told(batch.answers.remove(0)), says(outcome, "v 0"));
    }
    assert_eq!(origin.calls(), [[0]]);
}

fn three() -> [Memcached; 3] {
    [Memcached::start(), Memcached::start(), Memcached::start()]
}

fn refs(nodes: &[Memcached; 3]) -> [&Memcached; 3] {
    nodes.each_ref()
}

fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|id| key(&format!("flights:{id}"))).collect()
}
