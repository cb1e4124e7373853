//! Writes of keys that move: both owners hear of each, in the order of the phase.

use larder_client::{Claim, Cluster, Error, Key, Stored, Ttl};
use larder_ring::Phase;

use crate::fleet::{Fleet, Held, INTERVAL, MOVED};
use crate::support::{MINUTE, cluster as alone, fault, item, pass};
use crate::ways::LEASE;

#[tokio::test]
async fn each_phase_writes_whom_it_says() {
    for write in Write::ALL {
        for phase in [Phase::Active, Phase::Joining, Phase::Warming, Phase::Leaving] {
            let fleet = in_phase(phase).await;
            let (cluster, key) = (fleet.client().await, fleet.key(&MOVED));
            fleet.put(0, &key, "1", 1);
            fleet.put(2, &key, "1", 1);
            fleet.forget_requests();
            write.make(&cluster, &key).await.unwrap();
            let (request, removal) = (format!("{} {key}", write.command()), format!("md {key}"));
            let mut requests = fleet.requests();
            if let Write::CompareAndSet = write {
                // The version has to be read first.
                requests
                    .iter_mut()
                    .for_each(|requests| requests.retain(|request| !request.starts_with("mg")));
            }
            let expected = match phase {
                Phase::Active => [vec![request], vec![], vec![]],
                Phase::Joining | Phase::Warming => [vec![request], vec![], vec![removal]],
                Phase::Leaving => [vec![removal], vec![], vec![request]],
            };
            assert_eq!(requests, expected, "{write:?} {phase:?}");
            let removed = match phase {
                Phase::Active => None,
                Phase::Joining | Phase::Warming => Some(2),
                Phase::Leaving => Some(0),
            };
            if let Some(removed) = removed {
                assert_eq!(fleet.held(removed, &key), Held::Nothing, "{write:?} {phase:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_second_owner_hears_of_a_write_when_the_first_one_has_done_it() {
    for write in Write::BLIND {
        for (phase, first, second) in [(Phase::Joining, 0, 2), (Phase::Warming, 0, 2), (Phase::Leaving, 0, 2)]
        {
            let fleet = in_phase(phase).await;
            let (cluster, key) = (fleet.client().await, fleet.key(&MOVED));
            fleet.put(0, &key, "1", 1);
            let hold = fleet.relays[first].hold(&format!(" {key}"));
            let writing = tokio::spawn({
                let (cluster, key) = (cluster.clone(), key.clone());
                async move { write.make(&cluster, &key).await }
            });
            hold.is_there().await;
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            assert!(fleet.relays[second].requests().is_empty(), "{write:?} {phase:?}");
            hold.release();
            writing.await.unwrap().unwrap();
            assert_eq!(fleet.relays[second].requests().len(), 1, "{write:?} {phase:?}");
        }
    }
}

#[tokio::test]
async fn keys_that_stay_are_written_as_ever() {
    for write in Write::BLIND {
        for phase in [Phase::Joining, Phase::Warming, Phase::Leaving] {
            let fleet = in_phase(phase).await;
            let (cluster, key) = (fleet.client().await, fleet.key(&[(&[0, 1], 0), (&[0, 1, 2], 0)]));
            fleet.put(0, &key, "1", 1);
            write.make(&cluster, &key).await.unwrap();
            assert_eq!(
                fleet.requests(),
                [vec![format!("{} {key}", write.command())], vec![], vec![]],
                "{write:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_write_that_one_owner_does_not_hear_of_is_an_error() {
    for write in Write::BLIND {
        for phase in [Phase::Joining, Phase::Warming, Phase::Leaving] {
            for dead in [0, 2] {
                let mut fleet = in_phase(phase).await;
                let (cluster, key) = (fleet.client().await, fleet.key(&MOVED));
                let living = 2 - dead;
                fleet.put(living, &key, "1", 1);
                fleet.nodes[dead].kill();
                fault(write.make(&cluster, &key).await);
                let heard = fleet.relays[living].requests();
                assert_eq!(
                    heard.len(),
                    1,
                    "{write:?} {phase:?}: the other one hears of it all the same: {heard:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_of_a_batch_is_named_and_the_rest_is_written() {
    for phase in [Phase::Joining, Phase::Warming, Phase::Leaving] {
        for dead in [0, 2] {
            let mut fleet = in_phase(phase).await;
            let cluster = fleet.client().await;
            let kept = fleet.keys(3, &[(&[0, 1], 1), (&[0, 1, 2], 1)]);
            let moving = fleet.keys(3, &MOVED);
            let keys = [&kept[..2], &moving[..], &kept[2..]].concat();
            let items: Vec<_> = keys.iter().map(|key| item(key, "v")).collect();
            fleet.nodes[dead].kill();
            let failed = cluster.set_many(&items).await;
            let failed: Vec<_> = failed.into_iter().map(|failure| failure.index).collect();
            assert_eq!(failed, [2, 3, 4], "{phase:?} {dead}");
            assert!(kept.iter().all(|key| fleet.text(1, key).is_some()), "{phase:?} {dead}");
        }
    }
}

#[tokio::test]
async fn a_batch_writes_both_owners_with_one_write_each() {
    for (phase, holder, other) in [(Phase::Joining, 0, 2), (Phase::Warming, 0, 2), (Phase::Leaving, 2, 0)] {
        let fleet = in_phase(phase).await;
        let (cluster, keys) = (fleet.client().await, fleet.keys(50, &MOVED));
        let items: Vec<_> = keys.iter().map(|key| item(key, "new")).collect();
        assert!(cluster.set_many(&items).await.is_empty());
        keys.iter().for_each(|key| fleet.put(other, key, "old", 1));
        fleet.forget_requests();
        assert!(cluster.set_many(&items).await.is_empty());
        let writes: Vec<_> = fleet.relays.iter().map(|relay| relay.writes().len()).collect();
        assert_eq!(writes, [1, 0, 1], "{phase:?}");
        for key in &keys {
            assert_eq!(
                (fleet.text(holder, key).unwrap(), fleet.held(other, key)),
                ("new".to_owned(), Held::Nothing)
            );
        }
    }
}

#[tokio::test]
async fn leases_of_either_owner_are_void_after_a_write() {
    for write in [Write::Set, Write::Delete, Write::MarkStale, Write::SetMany] {
        for phase in [Phase::Joining, Phase::Warming, Phase::Leaving] {
            let fleet = in_phase(phase).await;
            let (cluster, key) = (fleet.client().await, fleet.key(&MOVED));
            let mut leases = Vec::new();
            // Whoever is a phase behind or ahead may read either.
            for at in [0, 2] {
                let alone = alone(&[fleet.relays[at].address]);
                let Claim::Won(lease) = alone.read(&key, LEASE).await.unwrap().claim else { panic!("{at}") };
                leases.push((alone, lease));
            }
            write.make(&cluster, &key).await.unwrap();
            for (alone, lease) in leases {
                let filled = alone.fill(item(&key, "old"), &lease).await.unwrap();
                assert_ne!(filled, Stored::Yes, "{write:?} {phase:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_version_of_another_node_is_none() {
    let fleet = in_phase(Phase::Warming).await;
    let (cluster, key) = (fleet.client().await, fleet.key(&MOVED));
    let versions = |fleet: &Fleet, key: &Key| {
        let cas = |at: usize| fleet.nodes[at].ask(&format!("mg {key} c"));
        (cas(0), cas(2))
    };
    // The nodes count alike, so that the same number means other items.
    fleet.put(0, &key, "present", 1);
    while versions(&fleet, &key).1 != versions(&fleet, &key).0 {
        let (present, next) = versions(&fleet, &key);
        let number =
            |reply: &str| reply.trim().strip_prefix("HD c").map_or(0, |cas| cas.parse::<u64>().unwrap());
        let behind = if number(&next) < number(&present) { 2 } else { 0 };
        fleet.put(behind, &key, "v", 1);
    }
    let (_, cas) = cluster.get_with_cas(&key).await.unwrap().unwrap();
    let steps = fleet.steps(&cluster.ring_document().await.unwrap().unwrap(), &[0, 1, 2]);
    fleet.tell_each(&steps);
    pass(INTERVAL).await;
    let stored = cluster.compare_and_set(item(&key, "mine"), cas).await.unwrap();
    assert_eq!(stored, Stored::Refused);
    assert_ne!(fleet.text(2, &key).as_deref(), Some("mine"));
}

#[tokio::test]
async fn a_version_is_good_at_the_owner_that_is_written() {
    for phase in [Phase::Active, Phase::Joining, Phase::Warming, Phase::Leaving] {
        let fleet = in_phase(phase).await;
        let (cluster, key) = (fleet.client().await, fleet.key(&MOVED));
        cluster.set(item(&key, "1")).await.unwrap();
        let (read, cas) = cluster.get_with_cas(&key).await.unwrap().unwrap();
        assert_eq!(&read.value[..], b"1", "{phase:?}");
        assert_eq!(cluster.compare_and_set(item(&key, "2"), cas).await.unwrap(), Stored::Yes, "{phase:?}");
        assert_eq!(
            cluster.compare_and_set(item(&key, "3"), cas).await.unwrap(),
            Stored::Refused,
            "{phase:?}"
        );
        let owner = if phase == Phase::Leaving { 2 } else { 0 };
        assert_eq!(fleet.text(owner, &key).unwrap(), "2", "{phase:?}");
    }
}

#[tokio::test]
async fn two_environments_one_phase_apart_read_what_either_has_written() {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    let (keys, steps) = (fleet.keys(8, &MOVED), fleet.steps(&first, &[0, 1, 2]));
    let (mut truth, phases) = (0, steps.0.len());
    for at in 0..phases {
        // One that has seen the step, and one that has not.
        let before = if at == 0 { &first } else { &steps.0[at - 1] };
        fleet.tell(before);
        let slow = fleet.client().await;
        fleet.tell(&steps.0[at]);
        let quick = fleet.client().await;
        assert_ne!(slow.ring_document().await.unwrap(), quick.ring_document().await.unwrap());
        for (number, key) in keys.iter().enumerate() {
            let (one, other) = if number % 2 == 0 { (&slow, &quick) } else { (&quick, &slow) };
            for writer in [one, other, one] {
                truth += 1;
                let value = truth.to_string();
                if number % 4 < 2 {
                    writer.set(item(key, &value)).await.unwrap();
                } else {
                    // As a cache does: removed here, and filled by whoever misses it.
                    writer.delete(key).await.unwrap();
                }
                for reader in [one, other, other, one] {
                    let read = reader.read(key, LEASE).await.unwrap();
                    match (read.item, read.claim) {
                        (Some(item), _) => {
                            assert_eq!(&item.value[..], value.as_bytes(), "step {at}, key {number}")
                        }
                        (None, Claim::Won(lease)) => {
                            reader.fill(item(key, &value), &lease).await.unwrap();
                        }
                        (None, _) => {}
                    }
                }
            }
        }
    }
}

async fn in_phase(phase: Phase) -> Fleet {
    let (fleet, first) = Fleet::with(3, &[0, 1]).await;
    if phase != Phase::Active {
        fleet.tell(fleet.steps(&first, &[0, 1, 2]).of(phase));
    }
    fleet
}

/// A way to write one key.
#[derive(Clone, Copy, Debug)]
enum Write {
    Set,
    Add,
    Replace,
    CompareAndSet,
    Delete,
    MarkStale,
    Touch,
    Increment,
    Decrement,
    SetMany,
}

impl Write {
    const ALL: [Self; 10] = [
        Self::Set,
        Self::Add,
        Self::Replace,
        Self::CompareAndSet,
        Self::Delete,
        Self::MarkStale,
        Self::Touch,
        Self::Increment,
        Self::Decrement,
        Self::SetMany,
    ];
    /// Those that read nothing first.
    const BLIND: [Self; 9] = [
        Self::Set,
        Self::Add,
        Self::Replace,
        Self::Delete,
        Self::MarkStale,
        Self::Touch,
        Self::Increment,
        Self::Decrement,
        Self::SetMany,
    ];

    async fn make(self, cluster: &Cluster, key: &Key) -> Result<(), Error> {
        let new = item(key, "2");
        match self {
            Self::Set => cluster.set(new).await,
            Self::Add => cluster.add(new).await.map(drop),
            Self::Replace => cluster.replace(new).await.map(drop),
            Self::CompareAndSet => {
                let held = cluster.get_with_cas(key).await?;
                let Some((_, cas)) = held else { return cluster.add(new).await.map(drop) };
                cluster.compare_and_set(new, cas).await.map(drop)
            }
            Self::Delete => cluster.delete(key).await.map(drop),
            Self::MarkStale => cluster.mark_stale(key, MINUTE).await.map(drop),
            Self::Touch => cluster.touch(key, Ttl::clamped(600)).await.map(drop),
            Self::Increment => cluster.increment(key, 1, None).await.map(drop),
            Self::Decrement => cluster.decrement(key, 1, None).await.map(drop),
            Self::SetMany => match cluster.set_many(&[new]).await.pop() {
                Some(failure) => Err(failure.error),
                None => Ok(()),
            },
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Set | Self::Add | Self::Replace | Self::CompareAndSet | Self::SetMany => "ms",
            Self::Delete | Self::MarkStale => "md",
            Self::Touch => "mg",
            Self::Increment | Self::Decrement => "ma",
        }
    }
}
