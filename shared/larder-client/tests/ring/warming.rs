//! Keys that move, phase by phase: who is read, what is copied, and under which conditions.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use larder_client::{Claim, Cluster, Copied, Key, Read, Stored};
use larder_ring::Phase;

use crate::fleet::{Fleet, Held, INTERVAL, KEPT, MOVED, Steps, stamped};
use crate::support::{MINUTE, fault, item, pass, text};
use crate::ways::{LEASE, Way};

#[tokio::test]
async fn each_phase_reads_who_it_says() {
    for (phase, present, next, expected) in [
        (Phase::Active, Some("p"), Some("n"), Some("p")),
        (Phase::Active, None, Some("n"), None),
        (Phase::Joining, Some("p"), Some("n"), Some("p")),
        (Phase::Joining, None, Some("n"), None),
        (Phase::Warming, Some("p"), Some("n"), Some("n")),
        (Phase::Warming, Some("p"), None, Some("p")),
        (Phase::Warming, None, Some("n"), Some("n")),
        (Phase::Warming, None, None, None),
        (Phase::Leaving, Some("p"), Some("n"), Some("n")),
        (Phase::Leaving, Some("p"), None, None),
    ] {
        for way in Way::ALL {
            let (fleet, first) = Fleet::with(3, &[0, 1]).await;
            let steps = fleet.steps(&first, &[0, 1, 2]);
            let document = if phase == Phase::Active { &first } else { steps.of(phase) };
            fleet.tell(document);
            let cluster = fleet.client().await;
            let key = fleet.key(&MOVED);
            if let Some(present) = present {
                fleet.put(0, &key, present, stamped(document, 1));
            }
            if let Some(next) = next {
                fleet.put(2, &key, next, stamped(document, 1));
            }
            let got = way.text(&cluster, &key).await;
            assert_eq!(got.as_deref(), expected, "{phase:?} {present:?} {next:?} {way:?}");
            let requests = fleet.requests();
            let reads_present = matches!(phase, Phase::Active | Phase::Joining);
            let may_ask = match phase {
                Phase::Active | Phase::Joining => [true, false, false],
                Phase::Warming => [next.is_none(), false, true],
                Phase::Leaving => [false, false, true],
            };
            let asked: Vec<_> = requests.iter().map(|requests| !requests.is_empty()).collect();
            assert_eq!(asked, may_ask, "{phase:?} {present:?} {next:?} {way:?}: {requests:?}");
            let first = &requests[if reads_present { 0 } else { 2 }];
            assert!(first[0] == format!("mg {key}") || first[0] == format!("get {key}"), "{first:?}");
        }
    }
}

#[tokio::test]
async fn keys_that_stay_are_read_as_ever() {
    for way in Way::ALL {
        let (fleet, steps) = warming().await;
        let key = fleet.key(&KEPT);
        fleet.put(0, &key, "v", stamped(steps.of(Phase::Warming), 1));
        let cluster = fleet.client().await;
        assert_eq!(way.text(&cluster, &key).await.unwrap(), "v", "{way:?}");
        assert_eq!(fleet.requests().concat().len(), 1, "{way:?}");
        fleet.nodes[0].ask(&format!("md {key}"));
        assert_eq!(way.text(&cluster, &key).await, None, "{way:?}");
        let requests = fleet.requests();
        assert!(requests[1].is_empty() && requests[2].is_empty(), "{way:?}: {requests:?}");
    }
}

// Copies.

#[tokio::test]
async fn what_the_next_owner_lacks_is_copied_with_the_time_it_has_left() {
    for way in Way::ALL {
        let (fleet, steps) = warming().await;
        let document = steps.of(Phase::Warming);
        let key = fleet.key(&MOVED);
        // An item of a reading cache, from before the change.
        let client_flags = if way.fills() { 0x0203 } else { 0xabcd_0203 };
        fleet.put(0, &key, "v", client_flags);
        fleet.nodes[0].ask(&format!("touch {key} 40"));
        let cluster = fleet.client().await;
        assert_eq!(way.text(&cluster, &key).await.unwrap(), "v", "{way:?}");
        let copied = Held::Value {
            text: "v".to_owned(),
            client_flags: if way.fills() { stamped(document, 0x0203) } else { client_flags },
        };
        assert_eq!(fleet.held(2, &key), copied, "{way:?}");
        assert!((30..=40).contains(&fleet.ttl_secs(2, &key)), "{way:?}: {}", fleet.ttl_secs(2, &key));
        assert_eq!(fleet.text(0, &key).unwrap(), "v", "{way:?}: it stays where it is");
        assert_eq!(fleet.requests()[2], [format!("mg {key}"), format!("ms {key}")], "{way:?}");

        assert_eq!(way.text(&cluster, &key).await.unwrap(), "v", "{way:?}");
        assert_eq!(fleet.requests().concat(), [format!("mg {key}")], "{way:?}: now it is there");
    }
}

#[tokio::test]
async fn a_copy_never_goes_over_a_newer_value() {
    for way in Way::ALL {
        for write in ["md", "set", "md I"] {
            let (fleet, steps) = warming().await;
            let key = fleet.key(&MOVED);
            fleet.put(0, &key, "old", 1);
            let (cluster, writer) = (fleet.client().await, fleet.client().await);
            let hold = fleet.relays[2].hold(&format!("ms {key} "));
            let reading = tokio::spawn({
                let (cluster, key) = (cluster.clone(), key.clone());
                async move { way.text(&cluster, &key).await }
            });
            hold.is_there().await;
            match write {
                "md" => assert!(writer.delete(&key).await.unwrap()),
                "set" => writer.set(item(&key, "new")).await.unwrap(),
                _ => assert!(writer.mark_stale(&key, MINUTE).await.unwrap()),
            }
            hold.release();
            assert_eq!(reading.await.unwrap().unwrap(), "old", "it began before the write ended");
            assert_eq!(fleet.text(2, &key), None, "{way:?} {write}");
            if write == "set" {
                assert_eq!(way.text(&writer, &key).await.unwrap(), "new", "{way:?}");
            }
            drop(steps);
        }
    }
}

#[tokio::test]
async fn a_copy_never_goes_over_what_a_writer_of_the_next_phase_has_stored() {
    let (fleet, steps) = warming().await;
    let key = fleet.key(&MOVED);
    fleet.put(0, &key, "old", 1);
    let cluster = fleet.client().await;
    let hold = fleet.relays[2].hold(&format!("ms {key} "));
    let reading = tokio::spawn({
        let (cluster, key) = (cluster.clone(), key.clone());
        async move { Way::Read.text(&cluster, &key).await }
    });
    hold.is_there().await;
    fleet.tell(steps.of(Phase::Leaving));
    fleet.nodes[0].ask(&format!("md {key}"));
    fleet.put(2, &key, "new", stamped(steps.of(Phase::Leaving), 1));
    hold.release();
    reading.await.unwrap();
    assert_eq!(fleet.text(2, &key).unwrap(), "new");
}

#[tokio::test]
async fn a_stale_item_is_not_copied_but_given_to_one_who_refreshes_it() {
    let (fleet, _) = warming().await;
    let key = fleet.key(&MOVED);
    fleet.put(0, &key, "stale", 1);
    let clients = [fleet.client().await, fleet.client().await];
    fleet.nodes[0].ask(&format!("md {key} I T30"));
    let read = clients[0].read(&key, LEASE).await.unwrap();
    assert!(read.is_stale && read.item.is_some());
    let Claim::Won(lease) = read.claim else { panic!("{:?}", read.claim) };
    let other = clients[1].read(&key, LEASE).await.unwrap();
    assert!(other.is_stale && matches!(other.claim, Claim::Lost(_)), "{other:?}");
    assert_eq!(fleet.held(2, &key), Held::Lease);
    assert_eq!(clients[0].fill(item(&key, "fresh"), &lease).await.unwrap(), Stored::Yes);
    assert_eq!(Way::Read.text(&clients[1], &key).await.unwrap(), "fresh");
}

#[tokio::test]
async fn a_plain_read_of_a_stale_item_leaves_the_refreshing_to_others() {
    for way in [Way::Get, Way::GetMany] {
        let (fleet, _) = warming().await;
        let key = fleet.key(&MOVED);
        fleet.put(0, &key, "stale", 1);
        fleet.nodes[0].ask(&format!("md {key} I T30"));
        let cluster = fleet.client().await;
        assert_eq!(way.text(&cluster, &key).await.unwrap(), "stale", "{way:?}");
        assert!(matches!(cluster.read(&key, LEASE).await.unwrap().claim, Claim::Won(_)), "{way:?}");
    }
}

#[tokio::test]
async fn a_plain_read_leaves_a_stale_item_of_the_next_owner_to_others_as_well() {
    for way in [Way::Get, Way::GetMany] {
        let (fleet, steps) = warming().await;
        let key = fleet.key(&MOVED);
        fleet.put(2, &key, "stale", stamped(steps.of(Phase::Warming), 1));
        fleet.nodes[2].ask(&format!("md {key} I T30"));
        let cluster = fleet.client().await;
        assert_eq!(way.text(&cluster, &key).await.unwrap(), "stale", "{way:?}");
        let read = cluster.read(&key, LEASE).await.unwrap();
        assert!(read.is_stale && matches!(read.claim, Claim::Won(_)), "{way:?}: {read:?}");
    }
}

#[tokio::test]
async fn what_the_present_owner_kept_from_an_older_ring_is_not_copied() {
    for many in [false, true] {
        // The third node came and went; what it kept is older than its going.
        let (fleet, first) = Fleet::with(3, &[0, 1, 2]).await;
        let away = fleet.steps(&first, &[0, 1]);
        let back = fleet.steps(away.last(), &[0, 1, 2]);
        let again = fleet.steps(back.last(), &[0, 1]);
        fleet.tell(again.of(Phase::Warming));
        let key = fleet.key(&[(&[0, 1, 2], 2), (&[0, 1], 1)]);
        fleet.put(2, &key, "old", stamped(&first, 1));
        let cluster = fleet.client().await;
        let read = read(&cluster, &key, many).await;
        assert_eq!(read.item, None, "{many}");
        assert!(matches!(read.claim, Claim::Won(_)), "{many}: {:?}", read.claim);
        assert_eq!(fleet.held(1, &key), Held::Lease, "{many}");
        fleet.put(2, &key, "new", stamped(back.last(), 1));
        let other = fleet.client().await;
        assert_eq!(text(Ok(self::read(&other, &key, many).await.item)).unwrap(), "new", "{many}");
    }
}

#[tokio::test]
async fn what_is_about_to_end_is_answered_and_its_lease_given_back() {
    for way in Way::ALL {
        let (fleet, _) = warming().await;
        let key = fleet.key(&MOVED);
        fleet.put(0, &key, "v", 1);
        fleet.nodes[0].ask(&format!("touch {key} 1"));
        let cluster = fleet.client().await;
        let got = way.text(&cluster, &key).await;
        // On a busy machine it may be over by now.
        if got.is_some() {
            assert_eq!(fleet.held(2, &key), Held::Nothing, "{way:?}");
        }
    }
}

#[tokio::test]
async fn leases_that_plain_reads_win_are_given_back() {
    for way in [Way::Get, Way::GetMany] {
        let (fleet, _) = warming().await;
        let key = fleet.key(&MOVED);
        let cluster = fleet.client().await;
        assert_eq!(way.text(&cluster, &key).await, None);
        assert_eq!(fleet.held(2, &key), Held::Nothing, "{way:?}");
    }
}

#[tokio::test]
async fn a_miss_of_both_is_won_from_the_next_owner() {
    for many in [false, true] {
        let (fleet, steps) = warming().await;
        let key = fleet.key(&MOVED);
        let clients = [fleet.client().await, fleet.client().await];
        let Claim::Won(lease) = read(&clients[0], &key, many).await.claim else { panic!("{many}") };
        assert!(matches!(read(&clients[1], &key, many).await.claim, Claim::Lost(_)), "{many}");
        assert_eq!(clients[0].fill(item(&key, "v"), &lease).await.unwrap(), Stored::Yes);
        let client_flags = stamped(steps.of(Phase::Warming), 1);
        assert_eq!(fleet.held(2, &key), Held::Value { text: "v".to_owned(), client_flags });
        assert_eq!(fleet.held(0, &key), Held::Nothing);
    }
}

#[tokio::test]
async fn a_lease_that_is_won_while_the_next_phase_begins_is_kept() {
    for many in [false, true] {
        for phase in [Phase::Warming, Phase::Leaving] {
            let (fleet, first) = Fleet::with(3, &[0, 1]).await;
            let steps = fleet.steps(&first, &[0, 1, 2]);
            let at = steps.0.iter().position(|step| step.phase == phase).unwrap();
            fleet.tell(&steps.0[at]);
            let client = fleet.client().await;
            fleet.tell(&steps.0[at + 1]);
            pass(INTERVAL).await;
            let key = fleet.key(&MOVED);
            let Claim::Won(lease) = read(&client, &key, many).await.claim else { panic!("{many} {phase:?}") };
            assert_eq!(client.ring_document().await.unwrap().as_ref(), Some(&steps.0[at + 1]));
            assert_eq!(client.fill(item(&key, "v"), &lease).await.unwrap(), Stored::Yes, "{many} {phase:?}");
            assert_eq!(text(Ok(read(&client, &key, many).await.item)).unwrap(), "v", "{many} {phase:?}");
        }
    }
}

#[tokio::test]
async fn who_loses_the_lease_is_answered_by_the_present_owner() {
    let (fleet, _) = warming().await;
    let key = fleet.key(&MOVED);
    let clients = [fleet.client().await, fleet.client().await];
    let Claim::Won(_lease) = read(&clients[0], &key, false).await.claim else { panic!() };
    fleet.put(0, &key, "v", 1);
    let second = read(&clients[1], &key, false).await;
    assert_eq!(text(Ok(second.item)).unwrap(), "v");
    assert!(matches!(second.claim, Claim::None), "{:?}", second.claim);
}

// Nodes that fail.

#[tokio::test]
async fn where_the_next_owner_is_down_the_present_one_answers() {
    for way in Way::ALL {
        let (mut fleet, _) = warming().await;
        let (key, missing) = (fleet.key(&MOVED), fleet.keys(2, &MOVED).remove(1));
        fleet.put(0, &key, "v", 1);
        let cluster = fleet.client().await;
        fleet.nodes[2].kill();
        assert_eq!(way.text(&cluster, &key).await.unwrap(), "v", "{way:?}");
        // It may have what the present owner lacks: that is no miss.
        fault(way.read(&cluster, std::slice::from_ref(&missing)).await.remove(0));
    }
}

#[tokio::test]
async fn where_the_present_owner_is_down_it_is_a_miss_with_a_lease_of_the_next_one() {
    for many in [false, true] {
        let (mut fleet, _) = warming().await;
        let key = fleet.key(&MOVED);
        let cluster = fleet.client().await;
        fleet.nodes[0].kill();
        let Claim::Won(lease) = read(&cluster, &key, many).await.claim else { panic!("{many}") };
        assert_eq!(cluster.fill(item(&key, "v"), &lease).await.unwrap(), Stored::Yes);
        assert_eq!(Way::GetMany.text(&cluster, &key).await.unwrap(), "v");
    }
}

#[tokio::test]
async fn where_both_are_down_it_is_an_error() {
    for way in Way::ALL {
        let (mut fleet, _) = warming().await;
        let key = fleet.key(&MOVED);
        let cluster = fleet.client().await;
        fleet.nodes[0].kill();
        fleet.nodes[2].kill();
        fault(way.read(&cluster, &[key]).await.remove(0));
    }
}

// Batches.

#[tokio::test]
async fn a_batch_takes_one_write_for_each_node_and_two_more_for_what_moves() {
    for way in [Way::GetMany, Way::ReadMany] {
        let (fleet, steps) = warming().await;
        let (moving, there) = (fleet.keys(30, &MOVED), stamped(steps.of(Phase::Warming), 1));
        let kept = [fleet.keys(10, &KEPT), fleet.keys(10, &[(&[0, 1], 1), (&[0, 1, 2], 1)])].concat();
        for (at, key) in moving.iter().enumerate() {
            match at % 3 {
                0 => fleet.put(0, key, "v", 1),
                1 => fleet.put(2, key, "v", there),
                _ => {}
            }
        }
        kept[..10].iter().for_each(|key| fleet.put(0, key, "v", 1));
        kept[10..].iter().for_each(|key| fleet.put(1, key, "v", 1));
        let cluster = fleet.client().await;
        // Open and greeted.
        for key in fleet.keys(2, &MOVED).iter().chain(&kept[..1]).chain(&kept[10..11]) {
            cluster.touch(key, MINUTE).await.unwrap();
        }
        moving.iter().step_by(3).for_each(|key| fleet.put(0, key, "v", 1));
        moving[1..].iter().step_by(3).for_each(|key| fleet.put(2, key, "v", there));
        fleet.forget_requests();

        let keys = [kept, moving.clone()].concat();
        for (at, got) in way.read(&cluster, &keys).await.into_iter().enumerate() {
            let expected = at < 20 || (at - 20) % 3 < 2;
            assert_eq!(text(got).is_some(), expected, "{way:?} {at}");
        }
        let writes: Vec<_> = fleet.relays.iter().map(|relay| relay.writes().len()).collect();
        // The present owner: those that stay, and then those that the next one lacks. The next one: all that it is to
        // own, and then the copies.
        assert_eq!(writes, [2, 1, 2], "{way:?}");
    }
}

#[tokio::test]
async fn whoever_warms_copies_as_a_reader_does_unless_the_ring_is_another_one_by_now() {
    let (fleet, steps) = warming().await;
    let keys = [fleet.keys(4, &MOVED), fleet.keys(1, &KEPT)].concat();
    keys.iter().for_each(|key| fleet.put(0, key, "v", 1));
    fleet.put(2, &keys[1], "there", stamped(steps.of(Phase::Warming), 1));
    fleet.nodes[0].ask(&format!("md {}", keys[2]));
    let [warmer, late] = [fleet.client().await, fleet.client().await];
    let copied = warmer.copy_moving(&keys).await.unwrap();
    assert_eq!((copied.items, copied.there, copied.missing, copied.failed), (2, 1, 1, 0));
    assert_eq!(
        (fleet.text(2, &keys[0]).unwrap(), fleet.text(2, &keys[1]).unwrap()),
        ("v".into(), "there".into())
    );
    assert_eq!((fleet.held(2, &keys[2]), fleet.held(2, &keys[4])), (Held::Nothing, Held::Nothing));

    fleet.nodes[2].ask(&format!("md {}", keys[0]));
    fleet.tell_each(&steps);
    pass(INTERVAL).await;
    assert_eq!(late.copy_moving(&keys).await.unwrap(), Copied::default());
    assert_eq!(fleet.held(2, &keys[0]), Held::Nothing);
}

#[tokio::test]
async fn a_batch_copies_all_that_moves() {
    for way in [Way::GetMany, Way::ReadMany] {
        let (fleet, _) = warming().await;
        let keys = fleet.keys(100, &MOVED);
        keys.iter().for_each(|key| fleet.put(0, key, "v", 1));
        let cluster = fleet.client().await;
        assert!(way.read(&cluster, &keys).await.into_iter().all(|got| text(got).is_some()));
        assert!(keys.iter().all(|key| fleet.text(2, key).is_some()), "{way:?}");
    }
}

// Calls that are dropped.

#[tokio::test]
async fn a_read_that_is_dropped_anywhere_leaves_nothing_behind() {
    for way in Way::ALL {
        let (fleet, _) = warming().await;
        let (all, mut polls) = (fleet.keys(3 * MOST_POLLS, &MOVED), 0);
        let cluster = fleet.client().await;
        loop {
            let keys = &all[3 * polls..][..3];
            polls += 1;
            fleet.put(0, &keys[0], "v", 1);
            // One that is thrown away before, by those who judge.
            fleet.put(2, &keys[1], "old", 1);
            fleet.put(0, &keys[1], "v", 1);
            let is_over = is_over_within(way.read(&cluster, keys), polls).await;
            // Nobody gets what was for another, and nothing wrong was stored.
            for (at, key) in keys.iter().enumerate() {
                let expected = if at < 2 { &["v", "old"][..at + 1] } else { &[] };
                for node in [0, 2] {
                    let held = fleet.text(node, key);
                    let held = held.as_deref();
                    assert!(held.is_none_or(|held| expected.contains(&held)), "{way:?} {polls}: {held:?}");
                }
                let got = way.text(&cluster, key).await;
                assert!(got.as_deref().is_none_or(|got| expected.contains(&got)), "{way:?} {polls}: {got:?}");
                cluster.set(item(key, "mine")).await.unwrap();
                assert_eq!(way.text(&cluster, key).await.unwrap(), "mine", "{way:?} {polls}");
            }
            if is_over {
                break;
            }
            assert!(polls < MOST_POLLS, "{way:?} does not end");
        }
        assert!(polls > 3, "{way:?}: it was never dropped in between");
    }
}

#[tokio::test]
async fn the_lease_of_a_plain_read_that_is_dropped_ends_by_itself() {
    let (fleet, _) = warming().await;
    let key = fleet.key(&MOVED);
    let cluster = fleet.client().await;
    let hold = fleet.relays[0].hold(&format!("mg {key}"));
    let reading = tokio::spawn({
        let (cluster, key) = (cluster.clone(), key.clone());
        async move { cluster.get(&key).await }
    });
    hold.is_there().await;
    reading.abort();
    reading.await.unwrap_err();
    assert_eq!(fleet.held(2, &key), Held::Lease);
    assert!(fleet.ttl_secs(2, &key) <= 2);
}

/// Polls `call` so many times at most; says whether it was over by then.
async fn is_over_within<T>(call: impl Future<Output = T>, mut polls: usize) -> bool {
    let mut call = pin!(call);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if polls == 1 => Poll::Ready(false),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    })
    .await
}

async fn warming() -> (Fleet, Steps) {
    Fleet::moving(3, &[0, 1], &[0, 1, 2], Phase::Warming).await
}

async fn read(cluster: &Cluster, key: &Key, many: bool) -> Read {
    match many {
        true => cluster.read_many(std::slice::from_ref(key), LEASE).await.remove(0).unwrap(),
        false => cluster.read(key, LEASE).await.unwrap(),
    }
}

/// More than any of these reads takes.
const MOST_POLLS: usize = 100;
