//! What every engine does for us, on every memcached that `MEMCACHED` names.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod support;

use std::time::Duration;

use larder_client::{
    Cas, Claim, Cluster, Config, Fill, Item, Key, Lease, MOST_PIECE_BYTES, NewItem, NodeError, Read,
    ReadOptions, Stored, Ttl,
};
use support::memcached::Memcached;
use support::{MINUTE, config, fault, item, key, keys, pass, text};

#[tokio::test]
async fn a_value_comes_back_with_its_client_flags() {
    on_each(async |cluster| {
        let key = key("k");
        for client_flags in [0, 1, 0xffff_ffff] {
            cluster.set(NewItem { client_flags, ..item(&key, "value") }).await.unwrap();
            let expected = Item { value: "value".into(), client_flags };
            assert_eq!(cluster.get(&key).await.unwrap(), Some(expected.clone()));
            assert_eq!(cluster.get_with_cas(&key).await.unwrap().unwrap().0, expected);
            // The upper half of the client flags belongs to the ring where a read may win a lease.
            let read = read(&cluster, &key, ReadOptions::default()).await;
            assert_eq!(read.item, Some(Item { client_flags: client_flags & 0xffff, ..expected }));
        }
    })
    .await;
}

#[tokio::test]
async fn a_miss_is_an_answer() {
    on_each(async |cluster| {
        let key = key("k");
        assert_eq!(cluster.get(&key).await.unwrap(), None);
        assert_eq!(cluster.get_with_cas(&key).await.unwrap(), None);
        assert!(!cluster.delete(&key).await.unwrap());
        assert!(!cluster.mark_stale(&key, MINUTE).await.unwrap());
        assert!(!cluster.touch(&key, MINUTE).await.unwrap());
        assert_eq!(cluster.increment(&key, 1, None).await.unwrap(), None);
        assert_eq!(cluster.replace(item(&key, "v")).await.unwrap(), Stored::Refused);
        let read = read(&cluster, &key, ReadOptions::default()).await;
        assert!(read.item.is_none() && matches!(read.claim, Claim::None), "{read:?}");
        assert_eq!(cluster.get(&key).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_value_may_hold_any_bytes_even_those_of_the_protocol() {
    let all: Vec<u8> = (0..=255).collect();
    let values: [&[u8]; 10] = [
        b"\r\n",
        b"\n",
        b"END\r\n",
        b"\r\nEND\r\n",
        b"VALUE k 0 1\r\nx\r\nEND\r\n",
        b"VA 1 f0\r\nx\r\n",
        b"EN\r\n",
        b"SERVER_ERROR out of memory\r\n",
        b"mn\r\nquit\r\n",
        &all,
    ];
    on_each(async |cluster| {
        let key = key("k");
        for value in values {
            cluster.set(item(&key, value)).await.unwrap();
            for found in [
                cluster.get(&key).await.unwrap(),
                read(&cluster, &key, ReadOptions::default()).await.item,
                cluster.get_many(&[key.clone(), key.clone()]).await.pop().unwrap().unwrap(),
            ] {
                assert_eq!(&found.unwrap().value[..], value);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn keys_of_250_bytes_work_with_every_request() {
    on_each(async |cluster| {
        for bytes in [vec![b'k'; 250], "ключ".as_bytes().to_vec(), vec![0xff; 250], b"!".to_vec()] {
            let key = Key::new(&bytes).unwrap();
            cluster.set(item(&key, "1")).await.unwrap();
            assert_eq!(text(cluster.get(&key).await).unwrap(), "1");
            assert_eq!(cluster.increment(&key, 1, None).await.unwrap(), Some(2));
            assert!(cluster.touch(&key, MINUTE).await.unwrap());
            assert_eq!(read(&cluster, &key, ReadOptions::default()).await.item.unwrap().value, "2");
            assert!(cluster.delete(&key).await.unwrap());
            let lease = win(&cluster, &key).await;
            assert_eq!(cluster.fill(item(&key, "3"), &lease).await.unwrap(), Stored::Yes);
            assert_eq!(text(cluster.get_many(&[key]).await.pop().unwrap()).unwrap(), "3");
        }
    })
    .await;
}

#[tokio::test]
async fn a_ttl_is_kept_from_2_seconds_to_30_days() {
    on_each(async |cluster| {
        let key = key("k");
        for ttl in [Ttl::MIN, MINUTE, Ttl::MAX] {
            cluster.set(NewItem { ttl, ..item(&key, "v") }).await.unwrap();
            check_ttl(&cluster, &key, ttl).await;
        }
        for ttl in [Ttl::MAX, MINUTE] {
            assert!(cluster.touch(&key, ttl).await.unwrap());
            check_ttl(&cluster, &key, ttl).await;
        }
        assert_eq!(text(cluster.get(&key).await).unwrap(), "v");
    })
    .await;
}

#[tokio::test]
async fn an_empty_value_is_a_hit_and_a_lease_that_nobody_filled_is_none() {
    on_each(async |cluster| {
        let [plain, flagged, leased, missing] = keys(["plain", "flagged", "leased", "missing"]);
        cluster.set(NewItem { client_flags: 0, ..item(&plain, "") }).await.unwrap();
        cluster.set(NewItem { client_flags: 7, ..item(&flagged, "") }).await.unwrap();
        let _lease = win(&cluster, &leased).await;

        let empty = |client_flags| Some(Item { value: "".into(), client_flags });
        let asked = [&leased, &plain, &missing, &flagged, &leased].map(Key::clone);
        let found: Vec<_> = cluster.get_many(&asked).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [None, empty(0), None, empty(7), None]);
        for (key, expected) in asked.iter().zip(found) {
            assert_eq!(cluster.get(key).await.unwrap(), expected, "{key}");
            assert_eq!(read(&cluster, key, ReadOptions::default()).await.item, expected, "{key}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_many_readers_of_a_missing_key_one_wins_the_lease() {
    on_each(async |cluster| {
        let key = key("k");
        let lease = win(&cluster, &key).await;
        let lost = [lose(&cluster, &key).await, lose(&cluster, &key).await];
        assert_eq!(lost[0], lost[1], "the number of one and the same lease should not change");

        assert_eq!(cluster.fill(item(&key, "v"), &lease).await.unwrap(), Stored::Yes);
        let read = read(&cluster, &key, LEASE).await;
        assert!(matches!(read.claim, Claim::None), "{read:?}");
        assert_eq!(read.item.unwrap().value, "v");
        assert_eq!(cluster.fill(item(&key, "twice"), &lease).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "v");
    })
    .await;
}

#[tokio::test]
async fn leases_are_won_key_by_key_in_a_batch() {
    on_each(async |cluster| {
        let batch = keys(["there", "new", "taken", "new"]);
        cluster.set(item(&batch[0], "v")).await.unwrap();
        let _lease = win(&cluster, &batch[2]).await;
        let reads: Vec<Read> =
            cluster.read_many(&batch, LEASE).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(reads[0].item.as_ref().unwrap().value, "v");
        assert!(matches!(reads[0].claim, Claim::None));
        assert!(matches!(reads[1].claim, Claim::Won(_)));
        assert!(matches!(reads[2].claim, Claim::Lost(_)));
        assert!(matches!(reads[3].claim, Claim::Lost(_)), "the same key again is another reader");
        assert!(reads[1..].iter().all(|read| read.item.is_none()));
    })
    .await;
}

#[tokio::test]
async fn a_fill_is_refused_after_the_key_was_invalidated() {
    on_each(async |cluster| {
        let key = key("k");
        let lease = win(&cluster, &key).await;
        assert!(cluster.delete(&key).await.unwrap());
        assert_eq!(cluster.fill(item(&key, "old"), &lease).await.unwrap(), Stored::Missing);
        assert_eq!(cluster.get(&key).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_fill_is_refused_when_another_reader_holds_the_lease_by_now() {
    on_each(async |cluster| {
        let key = key("k");
        let late = win(&cluster, &key).await;
        cluster.delete(&key).await.unwrap();
        let lease = win(&cluster, &key).await;
        assert_eq!(cluster.fill(item(&key, "old"), &late).await.unwrap(), Stored::Refused);
        assert_eq!(cluster.get(&key).await.unwrap(), None);
        assert_eq!(cluster.fill(item(&key, "new"), &lease).await.unwrap(), Stored::Yes);
        assert_eq!(cluster.fill(item(&key, "old"), &late).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "new");
    })
    .await;
}

#[tokio::test]
async fn a_fill_is_refused_after_somebody_stored_a_value() {
    on_each(async |cluster| {
        let key = key("k");
        let lease = win(&cluster, &key).await;
        assert_eq!(cluster.add(item(&key, "added")).await.unwrap(), Stored::Refused, "a lease is an item");
        cluster.set(item(&key, "set")).await.unwrap();
        assert_eq!(cluster.fill(item(&key, "old"), &lease).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "set");
    })
    .await;
}

#[tokio::test]
async fn a_lease_given_back_is_won_by_the_next_reader() {
    on_each(async |cluster| {
        let key = key("k");
        let lease = win(&cluster, &key).await;
        lose(&cluster, &key).await;
        cluster.give_back(&key, &lease).await.unwrap();
        let next = win(&cluster, &key).await;
        cluster.give_back(&key, &lease).await.unwrap();
        lose(&cluster, &key).await;
        assert_eq!(cluster.fill(item(&key, "v"), &next).await.unwrap(), Stored::Yes);
        cluster.give_back(&key, &next).await.unwrap();
        assert_eq!(text(cluster.get(&key).await).unwrap(), "v", "what was filled is not given back");
    })
    .await;
}

#[tokio::test]
async fn an_item_near_its_end_is_refilled_by_one_reader_and_served_to_all() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "old")).await.unwrap();
        let relaxed = ReadOptions { recache_below_secs: Some(30), ..LEASE };
        assert!(matches!(read(&cluster, &key, relaxed).await.claim, Claim::None));

        let eager = ReadOptions { recache_below_secs: Some(70), ..LEASE };
        let first = read(&cluster, &key, eager).await;
        let second = read(&cluster, &key, eager).await;
        for read in [&first, &second] {
            assert_eq!(read.item.as_ref().unwrap().value, "old");
            assert!(!read.is_stale);
        }
        assert!(matches!(second.claim, Claim::Lost(_)), "{second:?}");
        let Claim::Won(lease) = first.claim else { panic!("{first:?}") };
        let fresh = NewItem { ttl: Ttl::from_secs(100).unwrap(), ..item(&key, "new") };
        assert_eq!(cluster.fill(fresh, &lease).await.unwrap(), Stored::Yes);
        let read = read(&cluster, &key, eager).await;
        assert!(matches!(read.claim, Claim::None), "{read:?}");
        assert_eq!(read.item.unwrap().value, "new");
    })
    .await;
}

#[tokio::test]
async fn a_stale_mark_lets_one_reader_refill_and_the_others_see_that_it_is_stale() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "old")).await.unwrap();
        assert!(cluster.mark_stale(&key, Ttl::from_secs(20).unwrap()).await.unwrap());

        let first = read(&cluster, &key, LEASE).await;
        let second = read(&cluster, &key, LEASE).await;
        for read in [&first, &second] {
            assert!(read.is_stale, "{read:?}");
            assert!((18..=20).contains(&read.ttl_secs), "{read:?}");
            assert_eq!(read.item.as_ref().unwrap().value, "old");
        }
        assert!(matches!(second.claim, Claim::Lost(_)), "{second:?}");
        let Claim::Won(lease) = first.claim else { panic!("{first:?}") };
        assert_eq!(cluster.fill(item(&key, "new"), &lease).await.unwrap(), Stored::Yes);
        let read = read(&cluster, &key, LEASE).await;
        assert!(!read.is_stale && matches!(read.claim, Claim::None), "{read:?}");
        assert_eq!(read.item.unwrap().value, "new");
    })
    .await;
}

#[tokio::test]
async fn a_lease_of_somebody_who_is_gone_is_taken_over_by_one() {
    on_each(async |cluster| {
        let key = key("k");
        let dead = win(&cluster, &key).await;
        let reads = [read(&cluster, &key, LEASE).await, read(&cluster, &key, LEASE).await];
        let mut taken = vec![];
        for read in &reads {
            taken.push(cluster.take_over(&key, read).await.unwrap());
        }
        assert_eq!(taken, [true, false]);
        let lease = win(&cluster, &key).await;
        assert_ne!(cluster.fill(item(&key, "late"), &dead).await.unwrap(), Stored::Yes);
        assert_eq!(cluster.fill(item(&key, "v"), &lease).await.unwrap(), Stored::Yes);
        assert!(!cluster.take_over(&key, &reads[0]).await.unwrap(), "what is filled by now stays");
        assert_eq!(text(cluster.get(&key).await).unwrap(), "v");
        let found = read(&cluster, &key, LEASE).await;
        assert!(!cluster.take_over(&key, &found).await.unwrap(), "nobody holds a lease");
    })
    .await;
}

#[tokio::test]
async fn an_item_whose_refresher_is_gone_stays_and_another_one_may_refresh_it() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(NewItem { client_flags: 0xabcd_0007, ..item(&key, "old") }).await.unwrap();
        let eager = ReadOptions { recache_below_secs: Some(70), ..LEASE };
        let Claim::Won(dead) = read(&cluster, &key, eager).await.claim else { panic!("nobody wins") };
        let lost = read(&cluster, &key, eager).await;
        assert!(cluster.take_over(&key, &lost).await.unwrap());
        assert!(!cluster.take_over(&key, &lost).await.unwrap());
        assert_ne!(cluster.fill(item(&key, "late"), &dead).await.unwrap(), Stored::Yes);

        let next = read(&cluster, &key, eager).await;
        assert!(!next.is_stale && matches!(next.claim, Claim::Won(_)), "{next:?}");
        let (kept, _) = cluster.get_with_cas(&key).await.unwrap().unwrap();
        assert_eq!((&kept.value[..], kept.client_flags), (&b"old"[..], 0xabcd_0007));
        check_ttl(&cluster, &key, MINUTE).await;
    })
    .await;
}

#[tokio::test]
async fn a_stale_item_whose_refresher_is_gone_stays_stale() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "old")).await.unwrap();
        cluster.mark_stale(&key, Ttl::from_secs(20).unwrap()).await.unwrap();
        let dead = read(&cluster, &key, LEASE).await;
        let lost = read(&cluster, &key, LEASE).await;
        let is_taken = cluster.take_over(&key, &lost).await.unwrap();
        let next = read(&cluster, &key, LEASE).await;
        assert!(next.is_stale, "{next:?}");
        // 1.6.12 refuses every `md` that compares.
        assert_eq!(is_taken, matches!(next.claim, Claim::Won(_)));
        assert_eq!(next.item.unwrap().value, "old");
        assert!((18..=20).contains(&next.ttl_secs));
        let Claim::Won(dead) = dead.claim else { panic!("{dead:?}") };
        assert_eq!(is_taken, cluster.fill(item(&key, "late"), &dead).await.unwrap() != Stored::Yes);
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_released_is_won_by_the_next_reader_and_what_was_there_stays() {
    on_each(async |cluster| {
        let key = key("k");
        let nothing = read(&cluster, &key, LEASE).await;
        cluster.release(&key, &nothing).await.unwrap();
        win(&cluster, &key).await;

        let eager = ReadOptions { recache_below_secs: Some(70), ..LEASE };
        cluster.set(item(&key, "old")).await.unwrap();
        let fresh = read(&cluster, &key, eager).await;
        cluster.release(&key, &fresh).await.unwrap();
        let next = read(&cluster, &key, eager).await;
        assert!(!next.is_stale && matches!(next.claim, Claim::Won(_)), "{next:?}");
        assert_eq!(next.item.unwrap().value, "old");

        cluster.mark_stale(&key, Ttl::from_secs(20).unwrap()).await.unwrap();
        let stale = read(&cluster, &key, LEASE).await;
        let other = read(&cluster, &key, LEASE).await;
        cluster.release(&key, &other).await.unwrap();
        assert!(matches!(read(&cluster, &key, LEASE).await.claim, Claim::Lost(_)), "it was not his");
        cluster.release(&key, &stale).await.unwrap();
        let next = read(&cluster, &key, LEASE).await;
        assert!(matches!(next.claim, Claim::Won(_)), "{next:?}");
        let stays = takes_stale_over(&cluster).await;
        assert_eq!((next.is_stale, next.item.is_some_and(|item| item.value == "old")), (stays, stays));

        // What somebody has stored meanwhile is not touched.
        let stale = read(&cluster, &key, LEASE).await;
        cluster.set(item(&key, "new")).await.unwrap();
        cluster.release(&key, &stale).await.unwrap();
        assert_eq!(text(cluster.get(&key).await).unwrap(), "new");
    })
    .await;
}

#[tokio::test]
async fn what_stays_when_a_lease_is_ended_lives_no_longer_for_that() {
    on_each(async |cluster| {
        for is_stale in [false, true] {
            let (key, eager) = (key("k"), ReadOptions { recache_below_secs: Some(70), ..LEASE });
            cluster.set(item(&key, "old")).await.unwrap();
            if is_stale {
                cluster.mark_stale(&key, MINUTE).await.unwrap();
            }
            let won = read(&cluster, &key, eager).await;
            pass(Duration::from_secs(20)).await;
            cluster.release(&key, &won).await.unwrap();
            let next = read(&cluster, &key, eager).await;
            if !is_stale || takes_stale_over(&cluster).await {
                assert!(next.item.is_some() && (38..=40).contains(&next.ttl_secs), "{is_stale}: {next:?}");
            }
            let lost = read(&cluster, &key, eager).await;
            pass(Duration::from_secs(70)).await;
            cluster.take_over(&key, &lost).await.unwrap();
            assert!(!matches!(read(&cluster, &key, eager).await.claim, Claim::Won(_)), "it is left to end");
            cluster.delete(&key).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn an_item_is_put_in_place_of_just_what_was_read() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "1")).await.unwrap();
        let found = read(&cluster, &key, ReadOptions::default()).await;
        let lease = found.in_place().unwrap();
        assert_eq!(cluster.put_in_place(item(&key, "2"), lease).await.unwrap(), Stored::Yes);
        assert_eq!(cluster.put_in_place(item(&key, "never"), lease).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "2");
        cluster.delete(&key).await.unwrap();
        assert_eq!(cluster.put_in_place(item(&key, "never"), lease).await.unwrap(), Stored::Missing);
        assert!(read(&cluster, &key, ReadOptions::default()).await.in_place().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_read_that_asks_is_told_whether_the_item_was_read_before() {
    on_each(async |cluster| {
        let keys = [key("k"), key("lease")];
        cluster.set(item(&keys[0], "v")).await.unwrap();
        let asking = ReadOptions { usage: true, ..LEASE };
        let usage = async || {
            let mut reads = cluster.read_many(&keys, asking).await.into_iter().map(Result::unwrap);
            (reads.next().unwrap().usage.unwrap(), reads.next().unwrap().usage)
        };
        let (unread, lease) = usage().await;
        assert!(!unread.hit_before && unread.last_access_secs <= 2, "{unread:?}");
        assert_eq!(lease, None);
        let (read_before, lease) = usage().await;
        assert!(read_before.hit_before && read_before.last_access_secs <= 2, "{read_before:?}");
        assert_eq!(lease, None, "others have seen the lease, but it is no item");
        assert_eq!(read(&cluster, &keys[0], asking).await.usage.map(|usage| usage.hit_before), Some(true));
        assert_eq!(read(&cluster, &keys[0], LEASE).await.usage, None, "nobody asked");
    })
    .await;
}

#[tokio::test]
async fn a_plain_get_leaves_a_stale_item_to_those_who_refill() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "old")).await.unwrap();
        assert!(cluster.mark_stale(&key, MINUTE).await.unwrap());
        for _ in 0..2 {
            assert_eq!(text(cluster.get(&key).await).unwrap(), "old");
            assert_eq!(text(cluster.get_many(std::slice::from_ref(&key)).await.remove(0)).unwrap(), "old");
        }
        let read = read(&cluster, &key, LEASE).await;
        assert!(matches!(read.claim, Claim::Won(_)), "{read:?}");
    })
    .await;
}

#[tokio::test]
async fn a_fill_is_refused_after_a_stale_mark() {
    on_each(async |cluster| {
        let key = key("k");
        let lease = win(&cluster, &key).await;
        assert!(cluster.mark_stale(&key, MINUTE).await.unwrap());
        assert_eq!(cluster.fill(item(&key, "old"), &lease).await.unwrap(), Stored::Refused);
        let next = win(&cluster, &key).await;
        assert_eq!(cluster.fill(item(&key, "new"), &next).await.unwrap(), Stored::Yes);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "new");
    })
    .await;
}

#[tokio::test]
async fn add_needs_none_and_replace_needs_one() {
    on_each(async |cluster| {
        let key = key("k");
        assert_eq!(cluster.replace(item(&key, "r")).await.unwrap(), Stored::Refused);
        assert_eq!(cluster.add(item(&key, "a")).await.unwrap(), Stored::Yes);
        assert_eq!(cluster.add(item(&key, "b")).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "a");
        assert_eq!(cluster.replace(item(&key, "r")).await.unwrap(), Stored::Yes);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "r");
    })
    .await;
}

#[tokio::test]
async fn compare_and_set_stores_over_the_version_that_was_read_and_no_other() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "1")).await.unwrap();
        let (_, cas) = cluster.get_with_cas(&key).await.unwrap().unwrap();
        assert_eq!(cluster.compare_and_set(item(&key, "2"), cas).await.unwrap(), Stored::Yes);
        assert_eq!(cluster.compare_and_set(item(&key, "3"), cas).await.unwrap(), Stored::Refused);
        assert_eq!(text(cluster.get(&key).await).unwrap(), "2");
        cluster.delete(&key).await.unwrap();
        assert_eq!(cluster.compare_and_set(item(&key, "4"), cas).await.unwrap(), Stored::Missing);
        assert_eq!(cluster.get(&key).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn delete_tells_whether_there_was_an_item() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "v")).await.unwrap();
        assert!(cluster.delete(&key).await.unwrap());
        assert!(!cluster.delete(&key).await.unwrap());
        assert_eq!(cluster.get(&key).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn counting_up_wraps_and_counting_down_ends_at_zero() {
    on_each(async |cluster| {
        let key = key("k");
        assert_eq!(cluster.increment(&key, 5, None).await.unwrap(), None);
        assert_eq!(cluster.increment(&key, 5, Some((MINUTE, 40))).await.unwrap(), Some(40));
        assert_eq!(cluster.increment(&key, 5, Some((MINUTE, 40))).await.unwrap(), Some(45));
        check_ttl(&cluster, &key, MINUTE).await;
        assert_eq!(cluster.decrement(&key, 3, None).await.unwrap(), Some(42));
        assert_eq!(cluster.decrement(&key, 43, None).await.unwrap(), Some(0));
        assert_eq!(cluster.increment(&key, u64::MAX, None).await.unwrap(), Some(u64::MAX));
        assert_eq!(cluster.increment(&key, 2, None).await.unwrap(), Some(1));
        // One digit less than before: the node may pad it with blanks.
        cluster.set(item(&key, "100")).await.unwrap();
        assert_eq!(cluster.decrement(&key, 1, None).await.unwrap(), Some(99));
        assert_eq!(cluster.decrement(&key, 90, None).await.unwrap(), Some(9));
    })
    .await;
}

#[tokio::test]
async fn a_number_that_became_shorter_is_read_without_its_blanks() {
    on_each(async |cluster| {
        let key = key("k");
        let count = async || cluster.get(&key).await.unwrap().unwrap().count();
        cluster.set(item(&key, "100")).await.unwrap();
        assert_eq!(cluster.decrement(&key, 1, None).await.unwrap(), Some(99));
        assert_eq!(text(cluster.get(&key).await).unwrap(), "99 ", "the node pads it");
        assert_eq!(count().await, Some(99));
        assert_eq!(cluster.decrement(&key, 90, None).await.unwrap(), Some(9));
        assert_eq!(count().await, Some(9));
        let many = cluster.get_many(std::slice::from_ref(&key)).await.pop().unwrap().unwrap();
        assert_eq!(many.unwrap().count(), Some(9));
        assert_eq!(cluster.increment(&key, 991, None).await.unwrap(), Some(1000));
        assert_eq!(text(cluster.get(&key).await).unwrap(), "1000");
        for value in ["", " ", " 7", "+7", "7x", "7 8", "18446744073709551616"] {
            cluster.set(item(&key, value)).await.unwrap();
            assert_eq!(count().await, None, "{value:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_number_is_not_counted_and_the_connection_stays_sound() {
    on_each(async |cluster| {
        let key = key("k");
        for value in ["", "x", "-1", "18446744073709551616"] {
            cluster.set(item(&key, value)).await.unwrap();
            let refused = fault(cluster.increment(&key, 1, None).await);
            assert!(matches!(refused, NodeError::Refused(_)), "{value}: {refused:?}");
            assert_eq!(text(cluster.get(&key).await).unwrap(), value);
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_comes_back_in_the_order_asked_with_its_misses_and_doubles() {
    on_each(async |cluster| {
        let [a, b, c] = keys(["a", "b", "c"]);
        cluster.set(item(&a, "1")).await.unwrap();
        cluster.set(item(&b, "2")).await.unwrap();
        for (asked, expected) in [
            (vec![&c, &b, &a], vec![None, Some("2"), Some("1")]),
            (vec![&a, &a, &b, &a], vec![Some("1"), Some("1"), Some("2"), Some("1")]),
            (vec![&a, &c, &a, &c, &b], vec![Some("1"), None, Some("1"), None, Some("2")]),
            (vec![&c, &c], vec![None, None]),
            (vec![], vec![]),
        ] {
            let asked: Vec<Key> = asked.into_iter().cloned().collect();
            let found: Vec<_> = cluster.get_many(&asked).await.into_iter().map(text).collect();
            assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
            let reads = cluster.read_many(&asked, ReadOptions::default()).await;
            let found: Vec<_> = reads.into_iter().map(|read| text(read.map(|read| read.item))).collect();
            assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_may_have_more_keys_than_one_line_holds() {
    on_each(async |cluster| {
        // 200 keys of 250 bytes are 50 kB; 1.6.12 takes no line over 16 KiB.
        let asked: Vec<Key> = (0..200).map(|number| key(&format!("{number:0>250}"))).collect();
        let stored: Vec<NewItem<'_>> = asked.iter().step_by(2).map(|key| item(key, key)).collect();
        assert!(cluster.set_many(&stored).await.is_empty());
        for (at, found) in cluster.get_many(&asked).await.into_iter().enumerate() {
            let expected = (at % 2 == 0).then(|| asked[at].to_string());
            assert_eq!(text(found), expected, "key {at}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_may_be_longer_than_one_piece() {
    on_each(async |cluster| {
        let names: Vec<Key> = (0..500).map(|number| key(&format!("k{number}"))).collect();
        let values: Vec<String> = (0..500).map(|number| format!("{number:>4000}")).collect();
        assert!(values.iter().map(String::len).sum::<usize>() > 5 * MOST_PIECE_BYTES);
        let items: Vec<_> = names.iter().zip(&values).map(|(key, value)| item(key, value)).collect();
        assert!(cluster.set_many(&items).await.is_empty());
        for (found, value) in cluster.get_many(&names).await.into_iter().zip(&values) {
            assert_eq!(&text(found).unwrap(), value);
        }
    })
    .await;
}

#[tokio::test]
async fn of_a_batch_of_stores_only_the_too_long_one_fails() {
    on_each(async |cluster| {
        let [a, b, c] = keys(["a", "b", "c"]);
        cluster.set(item(&b, "old")).await.unwrap();
        let long = vec![b'x'; 1 << 20];
        let failures = cluster.set_many(&[item(&a, "1"), item(&b, &long), item(&c, "3")]).await;
        let [failure] = &failures[..] else { panic!("{failures:?}") };
        assert_eq!(failure.index, 1);
        assert!(matches!(fault::<()>(Err(failure.error.clone())), NodeError::TooLong { .. }));
        let found: Vec<_> = cluster.get_many(&[a, b, c]).await.into_iter().map(text).collect();
        assert_eq!(found, [Some("1".to_owned()), Some("old".to_owned()), Some("3".to_owned())]);
    })
    .await;
}

#[tokio::test]
async fn of_a_batch_of_fills_each_has_its_own_answer() {
    on_each(async |cluster| {
        let batch = keys(["good", "voided", "taken", "long"]);
        let mut leases = Vec::new();
        for key in &batch {
            leases.push(win(&cluster, key).await);
        }
        cluster.delete(&batch[1]).await.unwrap();
        cluster.set(item(&batch[2], "newer")).await.unwrap();
        let long = vec![b'x'; 1 << 20];
        let values: [&[u8]; 4] = [b"v", b"v", b"v", &long];
        let fills: Vec<Fill<'_>> =
            (0..4).map(|at| Fill { item: item(&batch[at], values[at]), lease: &leases[at] }).collect();
        let mut outcomes = cluster.fill_many(&fills).await;
        assert!(matches!(fault(outcomes.pop().unwrap()), NodeError::TooLong { .. }));
        let outcomes: Vec<Stored> = outcomes.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes, [Stored::Yes, Stored::Missing, Stored::Refused]);
        let found: Vec<_> = cluster.get_many(&batch).await.into_iter().map(text).collect();
        assert_eq!(found, [Some("v".to_owned()), None, Some("newer".to_owned()), None]);
    })
    .await;
}

#[tokio::test]
async fn the_longest_item_is_stored_and_a_longer_one_is_not_sent() {
    on_each(async |cluster| {
        for name in ["k".to_owned(), "k".repeat(250)] {
            let key = key(&name);
            let most = (1 << 20) - OVERHEAD - name.len();
            let (longest, longer) = (vec![b'a'; most], vec![b'b'; most + 1]);
            cluster.set(item(&key, &longest)).await.unwrap();
            assert_eq!(cluster.get(&key).await.unwrap().unwrap().value, longest);

            // Had it been sent, the old value would be gone.
            let refused = fault(cluster.set(item(&key, &longer)).await);
            assert!(
                matches!(refused, NodeError::TooLong { item_len, limit } if item_len == limit + 1),
                "{refused:?}"
            );
            assert_eq!(cluster.get(&key).await.unwrap().unwrap().value, longest);
            assert!(cluster.delete(&key).await.unwrap());

            let lease = win(&cluster, &key).await;
            let refused = fault(cluster.fill(item(&key, &longer), &lease).await);
            assert!(matches!(refused, NodeError::TooLong { .. }), "{refused:?}");
            assert_eq!(cluster.fill(item(&key, &longest), &lease).await.unwrap(), Stored::Yes);
        }
    })
    .await;
}

#[tokio::test]
async fn an_item_over_the_limit_of_the_node_alone_is_its_refusal_and_no_more() {
    for node in Memcached::each() {
        let limits = Config { max_item_len: 2 << 20, ..config(&[node.address]) };
        let cluster = Cluster::new(limits).unwrap();
        let key = key("k");
        let refused = fault(cluster.set(item(&key, &vec![b'x'; 3 << 19])).await);
        assert!(matches!(refused, NodeError::Refused(_)), "{refused:?}");
        cluster.set(item(&key, "v")).await.unwrap();
        assert_eq!(text(cluster.get(&key).await).unwrap(), "v");
    }
}

#[tokio::test]
async fn every_node_tells_its_statistics() {
    for node in Memcached::each() {
        let cluster = node.cluster();
        let told = cluster.stats(None).await.unwrap().remove(0);
        assert_eq!(*told.node, *node.address.to_string());
        let told = told.stats.unwrap();
        let pid = told.iter().find(|(name, _)| name == "pid").unwrap();
        assert_eq!(pid.1, node.pid().to_string());

        let settings = cluster.stats(Some(&key("settings"))).await.unwrap().remove(0).stats.unwrap();
        assert!(settings.contains(&("item_size_max".to_owned(), "1048576".to_owned())), "{settings:?}");
        let items = cluster.stats(Some(&key("items"))).await.unwrap().remove(0).stats.unwrap();
        assert!(items.is_empty(), "{items:?}");
    }
}

#[tokio::test]
async fn the_keys_of_a_node_are_listed_with_their_ttls() {
    on_each(async |cluster| {
        let names: Vec<Key> = (0..3000).map(|number| key(&format!("key-%{number}"))).collect();
        let items: Vec<_> = names.iter().map(|key| item(key, "v")).collect();
        assert!(cluster.set_many(&items).await.is_empty());
        let (mut dump, mut listed) = (cluster.dump(0).await.unwrap().unwrap(), Vec::new());
        loop {
            let keys = dump.next().await.unwrap();
            if keys.is_empty() {
                break;
            }
            listed.extend(keys);
        }
        assert!(listed.iter().all(|listed| (55..=62).contains(&listed.ttl.as_secs())), "{:?}", listed[0]);
        let mut listed: Vec<Key> = listed.into_iter().map(|listed| listed.key).collect();
        let mut names = names;
        listed.sort();
        names.sort();
        assert_eq!(listed, names);
        assert!(cluster.dump(1).await.unwrap().is_none());
    })
    .await;
}

/// Runs `contract` against an empty node of every program.
async fn on_each(contract: impl AsyncFn(Cluster)) {
    for node in Memcached::each() {
        contract(node.cluster()).await;
    }
}

async fn read(cluster: &Cluster, key: &Key, options: ReadOptions) -> Read {
    cluster.read(key, options).await.unwrap()
}

/// Reads `key`, which nobody fills, and wins the lease.
async fn win(cluster: &Cluster, key: &Key) -> Lease {
    let read = read(cluster, key, LEASE).await;
    assert_eq!(read.item, None);
    match read.claim {
        Claim::Won(lease) => lease,
        other => panic!("the lease of {key} should be won: {other:?}"),
    }
}

/// Reads `key`, which somebody else fills.
async fn lose(cluster: &Cluster, key: &Key) -> Cas {
    let read = read(cluster, key, LEASE).await;
    assert_eq!(read.item, None);
    match read.claim {
        Claim::Lost(lease) => lease.cas(),
        other => panic!("the lease of {key} should be lost: {other:?}"),
    }
}

/// Whether the engine lets a lease on a stale item be ended: 1.6.12 refuses every `md` that compares, so that the item
/// goes.
async fn takes_stale_over(cluster: &Cluster) -> bool {
    let key = key("of-this-engine");
    cluster.set(item(&key, "old")).await.unwrap();
    cluster.mark_stale(&key, MINUTE).await.unwrap();
    read(cluster, &key, LEASE).await;
    let lost = read(cluster, &key, LEASE).await;
    cluster.take_over(&key, &lost).await.unwrap()
}

async fn check_ttl(cluster: &Cluster, key: &Key, ttl: Ttl) {
    let left = read(cluster, key, ReadOptions::default()).await.ttl_secs;
    let most = u64::from(ttl.as_secs());
    assert!((most.saturating_sub(2)..=most).contains(&left), "{left} s are left of {most}");
}

const LEASE: ReadOptions = ReadOptions { lease_for: Some(MINUTE), recache_below_secs: None, usage: false };
/// What an item takes beside key and value, by our reckoning.
const OVERHEAD: usize = 196;

#[tokio::test]
async fn a_time_without_an_end_is_no_panic() {
    let node = Memcached::start();
    let long = Duration::MAX;
    let config = config(&[node.address]);
    for config in [
        Config { timeout: long, ..config.clone() },
        Config { connect_timeout: long, resolve_timeout: long, ..config.clone() },
        Config { discovery_interval: long, early_discovery: long, ..config.clone() },
        Config { ring_check_interval: long, ..config.clone() },
        Config { look_after_idle: long, max_idle: long, ..config.clone() },
        Config { mark_down: long, max_mark_down: long, ..config.clone() },
    ] {
        let cluster = Cluster::new(config.clone()).unwrap();
        cluster.set(item(&key("k"), "v")).await.unwrap();
        assert_eq!(text(cluster.get(&key("k")).await).unwrap(), "v");
        cluster.settle_time();
    }
}

#[tokio::test]
async fn a_batch_tells_of_a_value_for_which_memory_ran_out_as_it_was_read() {
    // A node that evicts nothing, full but for small items.
    let node = Memcached::each_with(&["-M", "-m", "8"]).next().unwrap();
    let cluster = Cluster::new(config(&[node.address])).unwrap();
    let [long, short, filler] = keys(["long", "short", "filler"]);
    cluster.set(item(&long, "old")).await.unwrap();
    let value = vec![b'x'; 900 << 10];
    for number in 0..30 {
        let filler = key(&format!("{filler}-{number}"));
        if cluster.set(item(&filler, &value[..400 << 10])).await.is_err() {
            break;
        }
    }
    let failures = cluster.set_many(&[item(&long, &value), item(&short, "new")]).await;
    assert_eq!(text(cluster.get(&long).await).unwrap(), "old");
    assert_eq!(text(cluster.get(&short).await).unwrap(), "new");
    assert_eq!(failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [0]);
    let nothing = key("nothing");
    let lease = win(&cluster, &nothing).await;
    let filled = cluster.fill_many(&[Fill { item: item(&nothing, &value), lease: &lease }]).await;
    assert!(matches!(&filled[..], [Err(_)]), "{filled:?}");
}

#[tokio::test]
async fn whoever_touches_a_stale_item_leaves_its_refresh_to_others() {
    on_each(async |cluster| {
        let key = key("k");
        cluster.set(item(&key, "old")).await.unwrap();
        assert!(cluster.mark_stale(&key, MINUTE).await.unwrap());
        assert!(cluster.touch(&key, Ttl::clamped(120)).await.unwrap());
        let read = read(&cluster, &key, LEASE).await;
        assert!(read.is_stale && read.ttl_secs > 110, "{read:?}");
        assert!(matches!(read.claim, Claim::Won(_)), "{read:?}");
    })
    .await;
}
