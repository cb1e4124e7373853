//! What is remembered of an origin that fails: its own errors, for their time, and nothing of one environment.

use std::time::Duration;

use larder_cache::{Counts, LoadError, Outcome, Policy};
use larder_client::Ttl;

use crate::support::{Memcached, Origin, PATIENT, Unreachable, environment, key, late, says, told};

fn remembering() -> Policy {
    Policy { error_for: Some(Ttl::MIN), grace: Duration::from_secs(300), ..PATIENT.clone() }
}

#[tokio::test]
async fn what_one_environment_cannot_reach_the_others_load() {
    let (node, origin, policy) = (Memcached::start(), Origin::new(), remembering());
    let environments: Vec<_> = (0..10).map(|_| environment(&[&node])).collect();
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..1000 {
        let (key, at) = (key(&format!("flights:{}", random.u32(..300))), random.usize(..10));
        if at == 0 {
            let sick = || async { Err::<Option<bytes::Bytes>, _>(Unreachable) };
            let (answer, _) = environments[0].get_or_load(&key, &policy, late(), sick).await;
            assert!(matches!(answer, Ok(_) | Err(LoadError::Origin(_))), "{answer:?}");
        } else {
            let (answer, _) = environments[at].get_or_load(&key, &policy, late(), || origin.value("v")).await;
            assert_eq!(told(answer).1.as_deref(), Some("v"));
        }
    }
}

#[tokio::test]
async fn what_the_origin_itself_fails_at_is_left_alone_by_all() {
    let (node, origin, policy) = (Memcached::start(), Origin::new(), remembering());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let (answer, _) = first.get_or_load(&key("k"), &policy, late(), || origin.failure()).await;
    assert!(matches!(answer, Err(LoadError::Origin(_))), "{answer:?}");
    let (answer, counts) = second.get_or_load(&key("k"), &policy, late(), || origin.value("never")).await;
    assert!(matches!(answer, Err(LoadError::Failing)), "{answer:?}");
    assert_eq!(counts, Counts { errors: 1, failing: 1, ..Counts::default() });
}

#[tokio::test]
async fn that_there_is_no_record_is_said_for_its_time_and_not_in_its_grace() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let policy = Policy { negative_for: Ttl::clamped(2), jitter: 0.0, ..remembering() };
    let cache = environment(&[&node]);
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.no_record()).await;
    assert_eq!(told(answer), (Outcome::Miss, None));
    // Its time is over.
    node.comes_to_ttl_below("k", 300).await;
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.failure()).await;
    assert!(matches!(answer, Err(LoadError::Origin(_))), "{answer:?}");
    let (answer, _) =
        environment(&[&node]).get_or_load(&key("k"), &policy, late(), || origin.failure()).await;
    assert!(matches!(answer, Err(LoadError::Failing)), "{answer:?}");
    node.comes_to_ttl_below("k", 300).await;
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
}

#[tokio::test]
async fn while_one_looks_again_for_a_missing_record_the_others_wait() {
    let (node, origin) = (Memcached::start(), Origin::shut());
    let policy = Policy { negative_for: Ttl::clamped(30), ..remembering() };
    node.check("ms k 0 T299 F2\r\n", "HD\r\n");
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let key = key("k");
    let loads = first.get_or_load(&key, &policy, late(), || origin.value("v"));
    let waits = async {
        origin.begun(1).await;
        let read = second.get_or_load(&key, &policy, late(), || origin.value("never"));
        let opens = async {
            node.asked(2).await;
            origin.open();
        };
        tokio::join!(read, opens).0
    };
    let ((loaded, _), (waited, counts)) = tokio::join!(loads, waits);
    assert_eq!(told(loaded), says(Outcome::Miss, "v"));
    assert_eq!(told(waited), says(Outcome::Hit, "v"));
    assert_eq!((counts.waits, origin.calls().len()), (1, 1));
}
