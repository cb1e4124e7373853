//! What is stored: versions, compression, times of their own, and shapes that change.

use std::sync::LazyLock;
use std::time::Duration;

use larder_cache::{Counts, Loaded, Outcome, Policy};
use larder_client::Ttl;

use crate::support::{Memcached, NO_DOCUMENT, Origin, PATIENT, environment, key, late, says, told};

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy { compress_from: Some(100), ..PATIENT.clone() });

#[tokio::test]
async fn a_version_comes_back_with_its_value() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let cache = environment(&[&node]);
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let load = || origin.loaded(Loaded::json("{}").of_version(0x0102));
        let (answer, _) = cache.get_or_load(&key("k"), &POLICY, late(), load).await;
        assert_eq!(answer.as_ref().unwrap().version, Some(0x0102));
        assert_eq!(told(answer), says(outcome, "{}"));
    }
    let value = "\0\0\0\0\0\0\u{1}\u{2}{}";
    node.check("mg k f s v", &format!("VA 10 f{} s10\r\n{value}\r\n", 20 + NO_DOCUMENT));
}

#[tokio::test]
async fn a_value_is_compressed_where_that_makes_it_smaller() {
    let mut random = fastrand::Rng::with_seed(7);
    let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(120).collect();
    for (text, flags, is_smaller) in
        [("x".repeat(99), 1, false), ("x".repeat(100), 1 + 8, true), (noise, 1, false)]
    {
        let (node, origin) = (Memcached::start(), Origin::new());
        let cache = environment(&[&node]);
        for outcome in [Outcome::Miss, Outcome::Hit] {
            let (answer, _) = cache.get_or_load(&key("k"), &POLICY, late(), || origin.value(&text)).await;
            assert_eq!(told(answer), says(outcome, &text));
        }
        let reply = node.ask("mg k f s");
        assert!(reply.starts_with(&format!("HD f{} s", flags + NO_DOCUMENT)), "{reply} for {text}");
        assert_eq!(!reply.contains(&format!("s{}\r", text.len())), is_smaller, "{reply} for {text}");
    }
}

#[tokio::test]
async fn a_compressed_value_that_is_broken_or_too_long_is_a_miss() {
    // A frame that claims 2^32 bytes.
    let bomb = b"\x28\xb5\x2f\xfd\xc0\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00";
    for value in [&b"no frame"[..], b"", &b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hel"[..], bomb] {
        let (node, origin) = (Memcached::start(), Origin::new());
        node.store("k", 1 + 8, value);
        let cache = environment(&[&node]);
        let (answer, counts) = cache.get_or_load(&key("k"), &POLICY, late(), || origin.value("v")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "v"), "{}", value.escape_ascii());
        assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, foreign: 1, ..Counts::default() });
    }
}

#[tokio::test]
async fn a_version_that_is_cut_short_is_a_miss() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.store("k", 1 + 16, b"\0\0\0\0\0\0\x01");
    let (answer, _) =
        environment(&[&node]).get_or_load(&key("k"), &POLICY, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
}

#[tokio::test]
async fn a_value_may_say_how_long_it_is_fresh() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let policy = Policy { grace: Duration::from_secs(100), ..POLICY.clone() };
    let cache = environment(&[&node]);
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let load = || origin.loaded(Loaded::raw("v").fresh_for(Ttl::clamped(20)));
        let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), load).await;
        assert_eq!(answer.as_ref().unwrap().age, None, "how old it is its TTL does not say");
        assert_eq!(told(answer), says(outcome, "v"));
    }
    let reply = node.ask("mg k f t");
    let may_be = [120, 119, 118].map(|ttl| format!("HD f{} t{ttl}\r\n", 33 + NO_DOCUMENT));
    assert!(may_be.contains(&reply), "{reply}");
}

#[tokio::test]
async fn two_shapes_of_a_value_share_a_key_without_taking_it_from_each_other() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (old, new) = (Policy { schema: 1, ..POLICY.clone() }, Policy { schema: 2, ..POLICY.clone() });
    let cache = environment(&[&node]);
    let _ = cache.get_or_load(&key("k"), &old, late(), || origin.value("old")).await;
    for _ in 0..3 {
        let (answer, counts) = cache.get_or_load(&key("k"), &new, late(), || origin.value("new")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "new"));
        assert_eq!(counts, Counts { misses: 1, origin_calls: 1, ..Counts::default() });
        let (answer, _) = cache.get_or_load(&key("k"), &old, late(), || origin.value("never")).await;
        assert_eq!(told(answer), says(Outcome::Hit, "old"));
    }
}
