//! After a freeze: whatever an environment knew may be long over, and nothing is answered, copied or ended by it.

use std::time::Duration;

use futures_util::future::join_all;
use larder_client::{Claim, Cluster, Error, Key, Stored};
use larder_ring::Phase;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use crate::fleet::{Fleet, Held, INTERVAL, MOVED, stamped};
use crate::support::endpoint::Answer;
use crate::support::{PATIENCE, item, pass, text};
use crate::ways::{LEASE, Way};

#[tokio::test]
async fn the_very_first_requests_are_corrected_before_they_are_answered() {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    let (keys, steps) = (fleet.keys(16, &MOVED), fleet.steps(&first, &[0, 1, 2]));
    for key in &keys {
        fleet.put(0, key, "old", 1);
        fleet.put(2, key, "new", stamped(steps.last(), 1));
    }
    let cluster = fleet.client().await;
    fleet.tell_each(&steps);
    pass(AN_HOUR).await;
    let calls = keys.iter().zip(Way::ALL.iter().cycle()).map(|(key, way)| way.text(&cluster, key));
    for got in join_all(calls).await {
        assert_eq!(got.unwrap(), "new");
    }
}

#[tokio::test]
async fn writes_that_are_made_at_once_reach_the_new_owner() {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    let (keys, steps) = (fleet.keys(16, &MOVED), fleet.steps(&first, &[0, 1, 2]));
    let cluster = fleet.client().await;
    for key in &keys {
        fleet.put(2, key, "old", stamped(steps.last(), 1));
    }
    fleet.tell_each(&steps);
    pass(AN_HOUR).await;
    join_all(keys.iter().enumerate().map(async |(at, key)| match at % 3 {
        0 => drop(cluster.delete(key).await.unwrap()),
        1 => cluster.set(item(key, "new")).await.unwrap(),
        _ => assert!(cluster.set_many(&[item(key, "new")]).await.is_empty()),
    }))
    .await;
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(fleet.text(2, key), (at % 3 > 0).then(|| "new".to_owned()), "write {}", at % 3);
    }
}

#[tokio::test]
async fn what_the_present_owner_kept_is_neither_answered_nor_copied_when_the_change_is_over() {
    for way in Way::ALL {
        let (fleet, steps) = Fleet::moving(3, &[0, 1], &[0, 1, 2], Phase::Warming).await;
        let cluster = fleet.client().await;
        let keys = fleet.keys(8, &MOVED);
        for key in &keys {
            fleet.put(0, key, "old", 1);
        }
        // Somebody who went by the last ring removed it from the next owner, and from nobody else.
        fleet.tell_each(&steps);
        pass(AN_HOUR).await;
        for got in way.texts(&cluster, &keys).await {
            assert_eq!(got, None, "{way:?}");
        }
        for key in &keys {
            assert!(matches!(fleet.held(2, key), Held::Nothing | Held::Lease), "{way:?}");
        }
    }
}

#[tokio::test]
async fn a_lease_of_the_next_owner_is_kept_when_the_change_is_over() {
    let (fleet, steps) = Fleet::moving(3, &[0, 1], &[0, 1, 2], Phase::Warming).await;
    let cluster = fleet.client().await;
    let key = fleet.key(&MOVED);
    fleet.put(0, &key, "old", 1);
    fleet.tell_each(&steps);
    pass(AN_HOUR).await;
    let Claim::Won(lease) = cluster.read(&key, LEASE).await.unwrap().claim else {
        panic!("nobody else reads")
    };
    assert_eq!(cluster.fill(item(&key, "new"), &lease).await.unwrap(), Stored::Yes);
    assert_eq!(text(cluster.read(&key, LEASE).await.map(|read| read.item)).unwrap(), "new");
}

#[tokio::test]
async fn a_key_that_was_away_meanwhile_is_not_taken_for_one_that_stayed() {
    for way in [Way::Read, Way::ReadMany] {
        let (fleet, first) = Fleet::with(3, &[0, 1]).await;
        let there = fleet.steps(&first, &[0, 1, 2]);
        let back = fleet.steps(there.last(), &[0, 1]);
        let keys = fleet.keys(8, &MOVED);
        for key in &keys {
            fleet.put(0, key, "old", stamped(&first, 1));
        }
        let cluster = fleet.client().await;
        let seen = way.texts(&cluster, &keys).await;
        assert!(seen.iter().all(|seen| seen.as_deref() == Some("old")), "{way:?}: {seen:?}");
        // It was changed while the third node owned it, and the first one did not hear of it.
        fleet.tell_each(&there);
        fleet.tell_each(&back);
        pass(AN_HOUR).await;
        for got in way.texts(&cluster, &keys).await {
            assert_eq!(got, None, "{way:?}");
        }
        assert!(keys.iter().all(|key| fleet.text(0, key).is_none()), "{way:?}: it is thrown away");
    }
}

#[tokio::test]
async fn a_dead_node_does_not_keep_the_others_from_being_corrected() {
    let (mut fleet, first) = Fleet::with(4, &[0, 1, 2]).await;
    let steps = fleet.steps(&first, &[0, 1, 2, 3]);
    let all = &[0, 1, 2, 3];
    let moved: Vec<Key> = [1, 2].map(|from| fleet.key(&[(&[0, 1, 2], from), (all, 3)])).into();
    let keys = [fleet.keys(1, &[(&[0, 1, 2], 0), (all, 0)]), moved].concat();
    for key in &keys[1..] {
        for at in [1, 2] {
            fleet.put(at, key, "old", 1);
        }
        fleet.put(3, key, "new", stamped(steps.last(), 1));
    }
    for way in [Way::GetMany, Way::ReadMany] {
        (0..3).for_each(|at| fleet.rob_node(at));
        fleet.tell(&first);
        fleet.nodes[0].restart();
        let cluster = fleet.client().await;
        for at in 1..3 {
            fleet.rob_node(at);
        }
        fleet.tell_each(&steps);
        fleet.nodes[0].kill();
        pass(AN_HOUR).await;
        let mut got = way.read(&cluster, &keys).await.into_iter();
        got.next().unwrap().unwrap_err();
        for got in got {
            assert_eq!(text(got).unwrap(), "new", "{way:?}");
        }
        fleet.nodes[0].restart();
    }
}

#[tokio::test]
async fn an_owner_that_is_gone_for_good_is_replaced_by_the_one_that_the_others_tell_of() {
    let (mut fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let steps = fleet.steps(&first, &[0, 1]);
    let key = fleet.key(&[(&[0, 1, 2], 2), (&[0, 1], 1)]);
    fleet.put(1, &key, "here", stamped(steps.last(), 1));
    let cluster = fleet.client().await;
    fleet.tell_each(&steps);
    fleet.nodes[2].kill();
    pass(AN_HOUR).await;
    assert_eq!(text(cluster.get(&key).await).unwrap(), "here");
}

#[tokio::test]
async fn nothing_is_answered_where_nobody_can_say_whether_the_ring_is_right() {
    for way in [Way::GetMany, Way::ReadMany] {
        let (mut fleet, _) = Fleet::with(2, &[0, 1]).await;
        let cluster = fleet.client().await;
        // The first one is to be asked for the document as well, and the second one has just answered.
        let keys = [fleet.key(&[(&[0, 1], 0)]), fleet.key(&[(&[0, 1], 1)])];
        fleet.put(1, &keys[1], "perhaps", 1);
        fleet.nodes[0].kill();
        pass(AN_HOUR).await;
        let hold = fleet.relays[1].hold("mg larder~ring c f v");
        let reading = tokio::spawn({
            let (cluster, keys) = (cluster.clone(), keys.clone());
            async move { way.read(&cluster, &keys).await }
        });
        hold.is_there().await;
        fleet.nodes[1].kill();
        hold.release();
        assert!(reading.await.unwrap().iter().all(Result::is_err), "{way:?}");
    }
}

#[tokio::test]
async fn a_node_that_has_left_the_ring_does_not_vouch_for_the_document_that_it_was_told_last() {
    // The third node was told that it leaves, and nothing since.
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let away = fleet.steps(&first, &[0, 1]);
    let again = fleet.steps(away.last(), &[0]);
    let key = fleet.key(&[(&[0, 1, 2], 2), (&[0, 1], 1)]);
    fleet.put(1, &key, "old", stamped(away.of(Phase::Leaving), 1));
    fleet.put(0, &key, "new", stamped(again.last(), 1));
    for way in Way::ALL {
        (0..3).for_each(|at| fleet.rob_node(at));
        fleet.tell(&first);
        let cluster = fleet.client().await;
        fleet.tell_each(&away);
        fleet.tell_each(&again);
        pass(AN_HOUR).await;
        let got = way.texts(&cluster, std::slice::from_ref(&key)).await;
        assert_eq!(got, [Some("new".to_owned())], "{way:?}");
        assert_eq!(cluster.ring_document().await.unwrap().as_ref(), Some(again.last()));
    }
}

#[tokio::test]
async fn a_document_that_such_a_node_handed_out_is_not_gone_by_before_another_confirms_it() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let away = fleet.steps(&first, &[0, 1]);
    let again = fleet.steps(away.last(), &[0]);
    let key = fleet.key(&[(&[0, 1, 2], 2), (&[0, 1], 1)]);
    let cluster = fleet.client().await;
    fleet.tell_each(&away);
    fleet.tell_each(&again);
    fleet.put(1, &key, "old", stamped(away.of(Phase::Leaving), 1));
    fleet.put(0, &key, "new", stamped(again.last(), 1));
    // The others have lost it.
    [0, 1].into_iter().for_each(|at| fleet.rob_node(at));
    pass(AN_HOUR).await;
    for way in Way::ALL {
        let got = way.read(&cluster, std::slice::from_ref(&key)).await.remove(0);
        assert!(matches!(got, Err(Error::UnknownRing)), "{way:?}: {got:?}");
    }
    fleet.tell_node(0, again.last());
    fleet.tell_node(1, again.of(Phase::Leaving));
    assert_eq!(text(cluster.get(&key).await).unwrap(), "new");
}

#[tokio::test]
async fn a_key_that_stays_by_such_a_document_is_not_answered_by_it_either() {
    for way in Way::ALL {
        let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
        let away = fleet.steps(&first, &[0, 1]);
        let again = fleet.steps(away.last(), &[0]);
        let key = fleet.key(&[(&[0, 1, 2], 1), (&[0, 1], 1)]);
        let cluster = fleet.client().await;
        fleet.tell_each(&away);
        fleet.tell_each(&again);
        fleet.put(1, &key, "old", stamped(&first, 1));
        fleet.put(0, &key, "new", stamped(again.last(), 1));
        [0, 1].into_iter().for_each(|at| fleet.rob_node(at));
        pass(AN_HOUR).await;
        // The owner has lost the document, and so has the other one until the node that left is asked.
        let hold = fleet.relays[2].hold("mg larder~ring c f v");
        let reading = tokio::spawn({
            let (cluster, key) = (cluster.clone(), key.clone());
            async move { way.text(&cluster, &key).await }
        });
        hold.is_there().await;
        fleet.tell_node(0, again.last());
        fleet.tell_node(1, again.of(Phase::Leaving));
        hold.release();
        assert_eq!(reading.await.unwrap().unwrap(), "new", "{way:?}");
    }
}

#[tokio::test]
async fn a_writer_does_not_take_the_word_of_a_node_that_has_left_either() {
    let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
    let away = fleet.steps(&first, &[0, 1]);
    let again = fleet.steps(away.last(), &[0]);
    let key = fleet.key(&[(&[0, 1, 2], 2), (&[0, 1], 1)]);
    fleet.tell(away.of(Phase::Leaving));
    let cluster = fleet.client().await;
    fleet.tell_each(&away);
    fleet.tell_each(&again);
    fleet.put(0, &key, "old", stamped(again.last(), 1));
    pass(AN_HOUR).await;
    cluster.delete(&key).await.unwrap();
    assert_eq!(fleet.held(0, &key), Held::Nothing);
}

// Frozen inside a call.

#[tokio::test]
async fn a_write_that_takes_longer_than_two_intervals_looks_again_before_it_ends() {
    for write in [Write::Set, Write::Delete, Write::SetMany] {
        let (fleet, first) = Fleet::with(3, &[0, 1]).await;
        let (key, steps) = (fleet.key(&MOVED), fleet.steps(&first, &[0, 1, 2]));
        let cluster = fleet.patient_client().await;
        let hold = fleet.relays[0].hold(&format!(" {key}"));
        let writing = write.spawn(&cluster, &key);
        hold.is_there().await;
        fleet.put(2, &key, "old", stamped(steps.last(), 1));
        fleet.tell_each(&steps);
        pass_without_timers(2 * INTERVAL).await;
        hold.release();
        over(writing).await;
        assert_eq!(fleet.text(2, &key), write.leaves(), "{write:?}");
    }
}

#[tokio::test]
async fn the_time_that_the_ring_was_known_before_a_write_began_counts() {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    let (key, steps) = (fleet.key(&MOVED), fleet.steps(&first, &[0, 1, 2]));
    let cluster = fleet.patient_client().await;
    // Somebody looks, and leaves before the answer: so others go on with what was known an interval ago.
    pass(INTERVAL).await;
    let looking = fleet.relays[1].hold("larder~ring");
    let other = fleet.key(&[(&[0, 1], 1)]);
    let leaver = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.get(&other).await }
    });
    looking.is_there().await;
    leaver.abort();
    leaver.await.unwrap_err();
    let hold = fleet.relays[0].hold(&format!(" {key}"));
    let writing = Write::Set.spawn(&cluster, &key);
    hold.is_there().await;
    fleet.put(2, &key, "old", stamped(steps.last(), 1));
    fleet.tell_each(&steps);
    pass_without_timers(INTERVAL).await;
    hold.release();
    over(writing).await;
    assert_eq!(fleet.text(2, &key).unwrap(), "new");
}

#[tokio::test]
async fn a_look_that_found_nothing_does_not_make_the_ring_known_anew() {
    for write in [Write::Set, Write::Delete, Write::SetMany] {
        let (mut fleet, _) = Fleet::with(2, &[0, 1]).await;
        let key = fleet.key(&[(&[0, 1], 0)]);
        let cluster = fleet.patient_client().await;
        // The node has lost the document, the other one cannot be asked, and the topology is not known.
        fleet.rob_node(0);
        fleet.nodes[1].kill();
        fleet.endpoint.answer(Answer::Hangup);
        pass(INTERVAL).await;
        let hold = fleet.relays[0].hold(&format!(" {key}"));
        let writing = tokio::spawn({
            let (cluster, key) = (cluster.clone(), key.clone());
            async move { write.make(&cluster, &key).await }
        });
        hold.is_there().await;
        pass_without_timers(INTERVAL).await;
        hold.release();
        let written = over(writing).await;
        assert!(matches!(written, Err(Error::UnknownRing)), "{write:?}: {written:?}");
    }
}

#[tokio::test]
async fn a_write_that_is_frozen_while_it_tells_the_next_owner_looks_again_as_well() {
    let (fleet, first) = Fleet::with(4, &[0, 1]).await;
    let there = fleet.steps(&first, &[0, 1, 2]);
    let on = fleet.steps(there.last(), &[0, 1, 3]);
    let key = fleet.key(&[(&[0, 1], 0), (&[0, 1, 2], 2), (&[0, 1, 3], 3)]);
    let cluster = fleet.patient_client().await;
    fleet.tell(there.of(Phase::Joining));
    pass(INTERVAL).await;
    let hold = fleet.relays[2].hold(&format!("md {key}"));
    let writing = Write::Set.spawn(&cluster, &key);
    hold.is_there().await;
    fleet.put(3, &key, "old", stamped(on.last(), 1));
    fleet.tell_each(&on);
    pass_without_timers(2 * INTERVAL).await;
    hold.release();
    over(writing).await;
    assert_eq!(fleet.text(3, &key).unwrap(), "new");
}

#[tokio::test]
async fn a_write_that_was_frozen_while_it_learnt_of_a_ring_does_not_take_that_one_for_new() {
    let (fleet, first) = Fleet::with(4, &[0, 1]).await;
    let there = fleet.steps(&first, &[0, 1, 2]);
    let on = fleet.steps(there.last(), &[0, 1, 3]);
    let key = fleet.key(&[(&[0, 1], 0), (&[0, 1, 2], 2), (&[0, 1, 3], 3)]);
    let cluster = fleet.patient_client().await;
    fleet.tell_each(&there);
    pass(INTERVAL).await;
    let hold = fleet.relays[0].hold("mg larder~ring c f v");
    let writing = Write::Set.spawn(&cluster, &key);
    hold.is_there().await;
    // The node has answered, and its answer is on its way.
    fleet.put(3, &key, "old", stamped(on.last(), 1));
    pass_without_timers(2 * INTERVAL).await;
    hold.release();
    let answered = fleet.relays[2].hold(&format!("ms {key}"));
    answered.is_there().await;
    fleet.tell_each(&on);
    answered.release();
    over(writing).await;
    assert_eq!(fleet.text(3, &key).unwrap(), "new");
}

#[tokio::test]
async fn a_copy_is_not_made_after_a_freeze() {
    for way in Way::ALL {
        let (fleet, steps) = Fleet::moving(3, &[0, 1], &[0, 1, 2], Phase::Warming).await;
        let key = fleet.key(&MOVED);
        fleet.put(0, &key, "old", 1);
        let cluster = fleet.patient_client().await;
        let hold = fleet.relays[2].hold(&format!("mg {key}"));
        let reading = tokio::spawn({
            let (cluster, key) = (cluster.clone(), key.clone());
            async move { way.texts(&cluster, &[key]).await }
        });
        hold.is_there().await;
        // Somebody who goes by the last ring removes it where it is now.
        fleet.tell_each(&steps);
        pass_without_timers(2 * INTERVAL).await;
        hold.release();
        over(reading).await;
        assert_eq!(fleet.text(2, &key), None, "{way:?}");
    }
}

/// Lets time pass for who asks the clock, with calls under way that may wait for so long.
async fn pass_without_timers(time: Duration) {
    for _ in 0..100 {
        yield_now().await;
    }
    pass(time).await;
}

/// Waits for a call whose own patience has no end.
async fn over<T>(call: JoinHandle<T>) -> T {
    timeout(PATIENCE, call).await.expect("it should have ended").unwrap()
}

/// A way to write a key.
#[derive(Clone, Copy, Debug)]
enum Write {
    Set,
    Delete,
    SetMany,
}

impl Write {
    fn spawn(self, cluster: &Cluster, key: &Key) -> JoinHandle<()> {
        let (cluster, key) = (cluster.clone(), key.clone());
        tokio::spawn(async move { self.make(&cluster, &key).await.unwrap() })
    }

    async fn make(self, cluster: &Cluster, key: &Key) -> Result<(), Error> {
        match self {
            Self::Set => cluster.set(item(key, "new")).await,
            Self::Delete => cluster.delete(key).await.map(drop),
            Self::SetMany => match cluster.set_many(&[item(key, "new")]).await.pop() {
                Some(failure) => Err(failure.error),
                None => Ok(()),
            },
        }
    }

    fn leaves(self) -> Option<String> {
        (!matches!(self, Self::Delete)).then(|| "new".to_owned())
    }
}

const AN_HOUR: Duration = Duration::from_secs(3600);
