//! Copies of hot keys: how the fleet comes to them and back, that reads are spread, and that nothing old is read on the
//! way.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use larder_cache::{
    Answer, Cache, Forget, Invalidation, Loaded, OriginGuard, Outcome, Policy, PublishError, Publisher,
    Report, Sampler, Sampling, Tag, Unfinished, Written,
};
use larder_client::{Claim, Cluster, Config, Copies, Key, NewItem, ReadOptions, Stored, Ttl};
use larder_local::{LocalCluster, NodeId};
use larder_ring::{HotKey, HotPhase, Phase};

use crate::support::*;
use crate::witness::Witness;

#[tokio::test]
async fn a_key_comes_to_copies_and_back_in_steps_and_a_second_run_finds_nothing_to_do() {
    let (local, _) = settled(3).await;
    let local = Arc::new(local);
    let publisher = publisher(&local);
    let witness = Witness::of(&local);
    check_run(&set(&publisher, Some(3)).await, 2, Some((3, HotPhase::Reading)));
    check_run(&set(&publisher, Some(3)).await, 0, Some((3, HotPhase::Reading)));
    check_run(&reconcile(&publisher).await, 0, Some((3, HotPhase::Reading)));
    check_run(&set(&publisher, Some(5)).await, 2, Some((5, HotPhase::Reading)));
    check_run(&set(&publisher, Some(2)).await, 2, Some((2, HotPhase::Reading)));
    check_run(&set(&publisher, None).await, 2, None);
    let report = set(&publisher, None).await;
    check_run(&report, 0, None);
    all_hold(&report.document.unwrap(), &held(&local).await);
    witness.tells();
}

#[tokio::test]
async fn before_each_step_everyone_has_had_the_time_to_follow_the_one_before() {
    let (local, _) = settled(2).await;
    let (publisher, client, begun) = (publisher(&local), client(&local), tokio::time::Instant::now());
    let set = set(&publisher, Some(3)).await.published;
    let unset = self::set(&publisher, None).await.published;
    let steps: Vec<_> = [set, unset].concat().iter().map(|published| published.at).collect();
    for (before, step) in [begun].iter().chain(&steps).zip(&steps) {
        assert!(*step - *before >= client.settle_time(), "{:?}", *step - *before);
    }
}

#[tokio::test]
async fn what_cannot_have_copies_is_refused() {
    let (local, _) = settled(2).await;
    let publisher = publisher(&local);
    for (text, copies) in [("k", 1), ("k", 17), ("larder~tag~t", 2), ("larder~ring", 2)] {
        let refused = publisher.copies(&key(text), Some(copies), soon()).await;
        assert!(matches!(refused, Err(PublishError::CannotCopy(_))), "{text} {copies}: {refused:?}");
    }
    let no_text = Key::new(&[0xff]).unwrap();
    assert!(matches!(publisher.copies(&no_text, Some(2), soon()).await, Err(PublishError::CannotCopy(_))));
}

#[tokio::test]
async fn reads_are_spread_over_copies_each_of_which_is_loaded_once() {
    let (local, _) = settled(3).await;
    check_run(&set(&publisher(&local), Some(8)).await, 2, Some((8, HotPhase::Reading)));
    let environments = [environment(&local), environment(&local)];
    let (mut loads, mut nodes) = (0, HashSet::new());
    for nth in 0..300 {
        let (answer, counts) = read(&environments[nth % 2], "v").await;
        loads += counts;
        nodes.extend(answer.node.map(|node| node.to_string()));
    }
    assert_eq!(loads, 8, "each copy has its own lease and its own fill");
    assert!(nodes.len() > 1, "{nodes:?}");
    for number in 0..8 {
        assert!(is_held(&local, &hot_key().copy_at(number)).await, "copy {number}");
    }
}

#[tokio::test]
async fn whoever_waits_for_a_copy_that_somebody_loads_gets_that_one() {
    let (local, _) = settled(2).await;
    check_run(&set(&publisher(&local), Some(16)).await, 2, Some((16, HotPhase::Reading)));
    let (winner, loser) = (environment(&local), environment(&local));
    look(winner.cluster()).await;
    look(loser.cluster()).await;
    let (begun, release) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
    let load = || async {
        begun.notify_one();
        release.notified().await;
        Ok::<_, ()>(Some(Bytes::from("v")))
    };
    // The same number picks the same copy.
    fastrand::seed(3);
    let key = hot_key();
    let won = winner.get_or_load(&key, &POLICY, soon(), load);
    let lost = async {
        begun.notified().await;
        fastrand::seed(3);
        let waits = read(&loser, "loaded twice");
        let released = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            release.notify_one();
        };
        tokio::join!(waits, released).0
    };
    let (_, (answer, loads)) = tokio::join!(won, lost);
    assert_eq!((answer.value.unwrap(), loads), (Bytes::from("v"), 0));
}

#[tokio::test]
async fn a_batch_reads_one_copy_of_a_key_that_stands_in_it_twice_and_the_others_as_they_are() {
    let (local, _) = settled(3).await;
    check_run(&set(&publisher(&local), Some(16)).await, 2, Some((16, HotPhase::Reading)));
    let cache = environment(&local);
    let keys = [key("flights:9"), hot_key(), key("flights:8"), hot_key()];
    for _ in 0..20 {
        let load = |missing: Vec<usize>| async move {
            assert!(!missing.contains(&3), "the twin is not loaded: {missing:?}");
            Ok::<_, ()>(
                missing.into_iter().map(|index| Some(Bytes::from(format!("v{}", index % 3)))).collect(),
            )
        };
        let answers = cache.get_or_load_many(&keys, &POLICY, soon(), load).await.answers;
        let values: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().value.unwrap()).collect();
        assert_eq!(values[..3], ["v0", "v1", "v2"]);
        assert_eq!(values[3], "v1");
    }
}

#[tokio::test]
async fn what_is_sampled_is_the_key_and_not_its_copies() {
    let (local, _) = settled(2).await;
    check_run(&set(&publisher(&local), Some(16)).await, 2, Some((16, HotPhase::Reading)));
    let sampling = Sampling { one_in: 1, report_interval: Duration::from_millis(20), ..Sampling::default() };
    let cache = environment(&local).sampled_by(Sampler::new(sampling, fastrand::Rng::with_seed(7)));
    let mut hottest = Vec::new();
    while hottest.is_empty() {
        read(&cache, "v").await;
        hottest = cache.take_hottest();
    }
    assert_eq!(hottest.iter().map(|counted| &counted.key).collect::<Vec<_>>(), [&hot_key()]);
}

#[tokio::test]
async fn what_a_copy_said_that_is_not_read_any_more_is_not_kept_near() {
    let (local, _) = settled(2).await;
    let publisher = publisher(&local);
    check_run(&set(&publisher, Some(16)).await, 2, Some((16, HotPhase::Reading)));
    let sampling = Sampling { one_in: 1, ..Sampling::default() };
    let cache = environment(&local).sampled_by(Sampler::new(sampling, fastrand::Rng::with_seed(7)));
    let near_for = Duration::from_secs(1);
    let policy = Policy { near_for: Some(near_for), ..POLICY.clone() };
    let read = async |value: &'static str| {
        let load = || async { Ok::<_, ()>(Some(Bytes::from(value))) };
        let (answer, counts) = cache.get_or_load(&hot_key(), &policy, soon(), load).await;
        (answer.unwrap().value.unwrap(), counts.near_hits)
    };
    let mut near_hits = 0;
    while near_hits == 0 {
        near_hits = read("old").await.1;
    }
    // All copies are there.
    let plain = environment(&local);
    for _ in 0..200 {
        self::read(&plain, "old").await;
    }
    tokio::time::sleep(near_for).await;

    // While it is frozen, the copies come to their end, and somebody who never knew them writes the key.
    check_run(&set(&publisher, None).await, 2, None);
    environment(&local).forget(&hot_key(), &policy, soon()).await.unwrap();
    for nth in 0..3 {
        assert_eq!(read("new").await.0, "new", "read {nth}");
    }
}

#[tokio::test]
async fn one_write_reaches_all_copies_however_it_is_made() {
    let (local, _) = settled(3).await;
    check_run(&set(&publisher(&local), Some(6)).await, 2, Some((6, HotPhase::Reading)));
    let (cache, other) = (environment(&local), environment(&local));
    let fill = async || {
        until("all copies are held", || async {
            read(&other, "old").await;
            let mut held = 0;
            for number in 0..6 {
                held += u32::from(is_held(&local, &hot_key().copy_at(number)).await);
            }
            held == 6
        })
        .await;
    };
    let all_read = async |value: &'static str| {
        for _ in 0..60 {
            assert_eq!(read(&other, value).await.0.value.unwrap(), value);
        }
    };
    fill().await;
    cache.forget(&hot_key(), &POLICY, soon()).await.unwrap();
    all_read("forgotten").await;

    let invalidation = Invalidation { keys: vec![hot_key()], how: Forget::Hard };
    // Whoever repeats it knows of no copies before he asks.
    assert_eq!(invalidation.run(&client(&local), soon()).await.done, 1);
    all_read("invalidated").await;

    let intent = cache.intend(&hot_key(), &POLICY, soon()).await;
    let written = cache.written(intent, &Loaded::raw("written").of_version(1), &POLICY, soon()).await;
    assert_eq!(written.unwrap(), Written::Stored);
    for _ in 0..60 {
        let (answer, loads) = read(&other, "not loaded").await;
        assert_eq!((answer.value.unwrap(), loads), (Bytes::from("written"), 0));
    }

    let cold = environment(&local);
    let intent = cold.intend(&hot_key(), &POLICY, soon()).await;
    // What was intended before the copies were known.
    cold.written(intent, &Loaded::raw("again").of_version(2), &POLICY, soon()).await.unwrap();
    all_read("again").await;

    let load = || async { Ok::<_, ()>(Some(Loaded::raw("later").of_version(9))) };
    let (answer, _) = cache.get_at_least(&hot_key(), 9, &POLICY, soon(), load).await;
    assert_eq!(answer.unwrap().version, Some(9));
    all_read("later").await;
}

#[tokio::test]
async fn an_abandoned_intent_gives_the_leases_of_all_copies_back() {
    let (local, _) = settled(3).await;
    check_run(&set(&publisher(&local), Some(4)).await, 2, Some((4, HotPhase::Reading)));
    let cache = environment(&local);
    look(cache.cluster()).await;
    let intent = cache.intend(&hot_key(), &POLICY, soon()).await;
    cache.abandon(intent).await;
    let mut loads = 0;
    for _ in 0..100 {
        loads += read(&cache, "v").await.1;
    }
    assert_eq!(loads, 4, "nobody waits for a lease that was given back");
}

#[tokio::test]
async fn a_tag_is_forgotten_for_all_copies_of_what_has_it() {
    let (local, _) = settled(3).await;
    check_run(&set(&publisher(&local), Some(6)).await, 2, Some((6, HotPhase::Reading)));
    let (cache, tag) = (environment(&local), Tag::new(["t"]));
    let policy = Policy { tags: vec![tag.clone()], ..POLICY.clone() };
    for value in ["old", "new"] {
        for _ in 0..60 {
            let load = || async { Ok::<_, ()>(Some(Bytes::from(value))) };
            let (answer, _) = cache.get_or_load(&hot_key(), &policy, soon(), load).await;
            assert_eq!(answer.unwrap().value.unwrap(), value);
        }
        cache.forget_tag(&tag, soon()).await.unwrap();
    }
}

#[tokio::test]
async fn what_an_earlier_time_has_left_does_not_speak_again() {
    let (local, _) = settled(3).await;
    let publisher = publisher(&local);
    check_run(&set(&publisher, Some(4)).await, 2, Some((4, HotPhase::Reading)));
    let (cache, late) = (environment(&local), client(&local));
    for _ in 0..100 {
        read(&cache, "old").await;
    }
    let copy = hot_key().copy_at(2);
    check_run(&set(&publisher, None).await, 2, None);
    assert!(is_held(&local, &copy).await, "it is left to end by itself");
    cache.forget(&hot_key(), &POLICY, soon()).await.unwrap();
    // Somebody has won the right to fill a copy, and is frozen.
    let alone = hot_key().copy_at(3);
    late.delete(&alone).await.unwrap();
    let options = ReadOptions { lease_for: Some(Ttl::clamped(60)), ..ReadOptions::default() };
    let Claim::Won(lease) = late.read(&alone, options).await.unwrap().claim else { panic!("no lease") };

    check_run(&set(&publisher, Some(4)).await, 2, Some((4, HotPhase::Reading)));
    let old = NewItem { key: &alone, value: b"old", client_flags: 1, ttl: Ttl::clamped(600) };
    assert_ne!(late.fill(old, &lease).await.unwrap(), Stored::Yes);
    for _ in 0..100 {
        assert_eq!(read(&cache, "new").await.0.value.unwrap(), "new");
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_at_any_point_is_taken_up_by_the_next_one_of_the_same_wish() {
    let (local, _) = settled(2).await;
    let local = Arc::new(local);
    let witness = Witness::of(&local);
    for copies in [Some(3), Some(2), Some(4), None] {
        // What is left of an earlier time, to be removed on the way however often that is cut off.
        for number in 2..4 {
            plant(&local, &hot_key().copy_at(number)).await;
        }
        let (mut polls, mut epoch, mut runs) = (0, None, 0);
        let report = loop {
            runs += 1;
            assert!(runs < 2000, "{copies:?} does not come to an end");
            let publisher = Publisher::new(Cluster::new(quick(&local)).unwrap(), warm_up());
            let run = Box::pin(async move { publisher.copies(&hot_key(), copies, soon()).await.unwrap() });
            let report = dropped_after(run, polls).await;
            if let Some(report) = report.filter(|report| report.unfinished.is_none()) {
                break report;
            }
            let now = held(&local).await.into_iter().filter_map(|(_, document)| Some(document?.epoch)).max();
            polls = if now == epoch { polls + 1 } else { 0 };
            epoch = now;
        };
        let document = report.document.unwrap();
        let hot = copies.map(|copies| HotKey { copies, phase: HotPhase::Reading });
        assert_eq!(document.hot.get("flights:1").copied(), hot);
        all_hold(&document, &held(&local).await);
        for number in 1..copies.unwrap_or(1) {
            assert!(!is_held(&local, &hot_key().copy_at(number)).await, "{copies:?}: copy {number} is left");
        }
    }
    witness.tells();
}

#[tokio::test]
async fn runs_of_contrary_wishes_do_no_harm_and_the_last_one_has_its_way() {
    let (local, _) = settled(3).await;
    let local = Arc::new(local);
    let witness = Witness::of(&local);
    let (one, two, three) = (publisher(&local), publisher(&local), publisher(&local));
    let key = hot_key();
    let _ = tokio::join!(
        one.copies(&key, Some(4), in_millis(2500)),
        two.copies(&key, None, in_millis(2500)),
        three.reconcile(in_millis(2500)),
    );
    let report = set(&one, Some(4)).await;
    assert_eq!(report.document.unwrap().hot["flights:1"].phase, HotPhase::Reading);
    witness.tells();
}

#[tokio::test]
async fn a_node_that_comes_meanwhile_takes_its_copies_and_the_hot_keys_stay() {
    let (local, _) = settled(2).await;
    let local = Arc::new(local);
    let witness = Witness::of(&local);
    let publisher = publisher(&local);
    let cache = environment(&local);
    let key = hot_key();
    // The change of copies comes first, the ring goes on after it: in one run, or in that of another one.
    local.add_node().await.unwrap();
    let report = set(&publisher, Some(16)).await;
    let phases = phases(&report);
    assert_eq!(phases, [&[Phase::Active; 2][..], &STEPS].concat());
    let document = report.document.unwrap();
    assert_eq!((shown(&document), document.hot["flights:1"].copies), ("123".to_owned(), 16));
    for _ in 0..150 {
        read(&cache, "old").await;
    }
    let (mut written, mut wrong) = (false, 0);
    local.add_node().await.unwrap();
    let change = async { finish(&publisher).await };
    let load = async {
        for nth in 0.. {
            let (answer, _) = read(&cache, if written { "new" } else { "old" }).await;
            wrong += u32::from(written && answer.value.unwrap() != "new");
            if nth == 100 {
                while cache.forget(&key, &POLICY, soon()).await.is_err() {}
                written = true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let report = tokio::select! { report = change => report, () = load => unreachable!() };
    check(&report, &STEPS, "1234");
    assert_eq!(report.document.unwrap().hot["flights:1"].copies, 16);
    assert_eq!(wrong, 0);
    witness.tells();
}

#[tokio::test]
async fn a_change_of_the_ring_that_is_under_way_comes_first() {
    let (local, _) = growing(2, Phase::Warming).await;
    let report = set(&publisher(&local), Some(3)).await;
    assert_eq!(phases(&report), [Phase::Leaving, Phase::Active, Phase::Active, Phase::Active]);
    let document = report.document.unwrap();
    assert_eq!((shown(&document), document.hot["flights:1"].phase), ("123".to_owned(), HotPhase::Reading));
}

#[tokio::test]
async fn copies_that_move_are_copied_to_a_node_that_comes() {
    let (local, _) = settled(2).await;
    let publisher = publisher(&local);
    check_run(&set(&publisher, Some(16)).await, 2, Some((16, HotPhase::Reading)));
    let cache = environment(&local);
    let loads = async || {
        let mut loads = 0;
        for _ in 0..300 {
            loads += read(&cache, "v").await.1;
        }
        loads
    };
    assert_eq!(loads().await, 16);
    local.add_node().await.unwrap();
    let report = finish(&publisher).await;
    check(&report, &STEPS, "123");
    assert!(report.warmed.copied > 0, "{report:?}");
    assert_eq!(report.warmed.copied, report.warmed.moving, "{report:?}");
    assert_eq!(loads().await, 0);
}

#[tokio::test]
async fn a_node_that_is_silent_holds_the_change_up() {
    let (local, _) = settled(3).await;
    let publisher = publisher(&local);
    check_run(&set(&publisher, Some(2)).await, 2, Some((2, HotPhase::Reading)));
    local.pause_node(NodeId(2)).await.unwrap();
    let report = publisher.copies(&hot_key(), Some(3), soon()).await.unwrap();
    assert_eq!((report.published.len(), report.unfinished), (0, Some(Unfinished::Unreachable)), "{report:?}");
    local.resume_node(NodeId(2)).await.unwrap();
    check_run(&set(&publisher, Some(3)).await, 2, Some((3, HotPhase::Reading)));
}

#[tokio::test]
async fn copies_of_a_document_that_was_lost_are_written_and_not_read() {
    let (local, _) = settled(2).await;
    let publisher = publisher(&local);
    let document = set(&publisher, Some(3)).await.document.unwrap();
    let environment = client(&local);
    look(&environment).await;
    assert_eq!(environment.copies_of(&hot_key()), Some(Copies { count: 3, is_read: true }));
    reboot_all(&local).await;
    until("the environment knows", || async {
        let _ = environment.get(&key("k")).await;
        environment.copies_of(&hot_key()) == Some(Copies { count: 3, is_read: false })
    })
    .await;
    // Who remembers it brings it back, but not to be read: others may have written without it.
    let report = finish(&publisher).await;
    let back = report.document.unwrap();
    assert_eq!((back.epoch, back.hot["flights:1"].phase), (document.epoch.next(), HotPhase::Writing));
    until("the environment follows", || async {
        look(&environment).await;
        environment.epoch() == Some(back.epoch)
    })
    .await;
    assert_eq!(environment.copies_of(&hot_key()), Some(Copies { count: 3, is_read: false }));
    assert_eq!(environment.copies_of(&key("k")), None);
}

// Helpers.

async fn set(publisher: &Publisher, copies: Option<u32>) -> Report {
    let (mut done, end) = (Vec::new(), soon());
    loop {
        let report = publisher.copies(&hot_key(), copies, soon()).await.unwrap();
        done.extend(&report.published);
        if report.unfinished.is_none() {
            return Report { published: done, ..report };
        }
        assert!(tokio::time::Instant::now() < end, "{report:?}");
    }
}

#[track_caller]
fn check_run(report: &Report, published: usize, hot: Option<(u32, HotPhase)>) {
    assert_eq!((report.published.len(), report.unfinished), (published, None), "{report:?}");
    let found = report.document.as_ref().unwrap().hot.get("flights:1");
    assert_eq!(found.map(|hot| (hot.copies, hot.phase)), hot);
}

fn environment(local: &LocalCluster) -> Cache {
    Cache::new(client(local), OriginGuard::new(4))
}

/// Reads the hot key; answers how often the origin was asked, which has `value`.
async fn read(cache: &Cache, value: &'static str) -> (Answer, u32) {
    let load = || async { Ok::<_, ()>(Some(Bytes::from_static(value.as_bytes()))) };
    let (answer, counts) = cache.get_or_load(&hot_key(), &POLICY, soon(), load).await;
    let answer = answer.unwrap();
    assert_ne!(answer.outcome, Outcome::Stale);
    (answer, counts.origin_calls)
}

/// Whether any node holds `key`.
async fn is_held(local: &LocalCluster, key: &Key) -> bool {
    let client = client(local);
    for node in local.nodes() {
        let direct = client.direct(&ring_node(&node));
        if direct.get_many(std::slice::from_ref(key)).await.unwrap()[0].is_some() {
            return true;
        }
    }
    false
}

/// Stores an old value under `key` on all nodes.
async fn plant(local: &LocalCluster, key: &Key) {
    for node in local.nodes() {
        let request = format!("ms {key} 3 F1 T600\r\nold\r\n");
        assert_eq!(ask(node.endpoint, request.as_bytes()).await, "HD");
    }
}

async fn dropped_after<T>(run: impl Future<Output = T>, polls: usize) -> Option<T> {
    let (mut run, mut left) = (pin!(run), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        run.as_mut().poll(context).map(Some)
    })
    .await
}

fn hot_key() -> Key {
    key("flights:1")
}

/// Settles quickly; where a busy machine makes that too quick, a run fails, and is made again.
fn quick(local: &LocalCluster) -> Config {
    Config {
        ring_check_interval: Duration::from_millis(5),
        timeout: Duration::from_millis(100),
        ..config(local)
    }
}

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    lease_for: Ttl::clamped(60),
    jitter: 0.0,
    ..Policy::fresh_for(Ttl::clamped(600))
});
