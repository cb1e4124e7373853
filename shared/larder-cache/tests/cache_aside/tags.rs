//! Tags: what has one is forgotten with it, at once and everywhere, whatever was being loaded meanwhile.

use std::time::Duration;

use larder_cache::{Cache, Counts, Loaded, Outcome, Policy, Tag, Written};
use larder_client::Key;

use crate::support::{Memcached, Origin, PATIENT, environment, key, late, says, told};

#[tokio::test]
async fn all_that_has_a_tag_is_a_miss_when_it_was_forgotten_and_the_rest_a_hit() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (first, second) = (environment(&[&node]), environment(&[&node]));
    let of = |tags: &[&str]| tagged(tags);
    let items = [("none", of(&[])), ("a", of(&["a"])), ("b", of(&["b"])), ("ab", of(&["a", "b"]))];
    for (name, policy) in &items {
        let (answer, counts) = first.get_or_load(&key(name), policy, late(), || origin.value("old")).await;
        assert_eq!(told(answer), says(Outcome::Miss, "old"));
        let tag_reads = policy.tags.len() as u32;
        assert_eq!(counts, Counts { misses: 1, origin_calls: 1, fills: 1, tag_reads, ..Counts::default() });
    }
    let check = async |cache: &Cache, expected: [Outcome; 4]| {
        for ((name, policy), outcome) in items.iter().zip(expected) {
            let value = if outcome == Outcome::Miss { "new" } else { "old" };
            let (answer, counts) =
                cache.get_or_load(&key(name), policy, late(), || origin.value("new")).await;
            assert_eq!(told(answer), says(outcome, value), "{name}");
            assert_eq!((counts.fills, counts.tag_reads), (counts.misses, policy.tags.len() as u32), "{name}");
        }
    };
    use Outcome::{Hit, Miss};
    check(&second, [Hit, Hit, Hit, Hit]).await;
    first.forget_tag(&Tag::new(["a"]), late()).await.unwrap();
    check(&second, [Hit, Miss, Hit, Miss]).await;
}

#[tokio::test]
async fn a_tag_that_is_marked_stale_is_forgotten() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, policy) = (environment(&[&node]), tagged(&["a"]));
    let _ = cache.get_or_load(&key("k"), &policy, late(), || origin.value("old")).await;
    node.check("md larder~tag~a I T30", "HD\r\n");
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("new")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "new"));
}

#[tokio::test]
async fn a_tag_whose_item_is_no_number_gets_one() {
    let (node, origin) = (Memcached::start(), Origin::new());
    node.check("ms larder~tag~a 3 T0 F255\r\nbad", "HD\r\n");
    let (cache, policy) = (environment(&[&node]), tagged(&["a"]));
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
        assert_eq!(told(answer), says(outcome, "v"));
    }
}

#[tokio::test]
async fn a_refresh_that_was_won_is_left_to_others_where_the_tags_cannot_be_read() {
    let (node, mut other, origin) = (Memcached::start(), Memcached::start(), Origin::new());
    let cache = environment(&[&node, &other]);
    let (key, tag) = (key_on(&cache, &node).await, tag_on(&cache, &other).await);
    other.kill();
    let policy = Policy { tags: vec![tag], early: Duration::from_secs(200), ..PATIENT.clone() };
    node.store(std::str::from_utf8(key.as_bytes()).unwrap(), 1, b"old");
    let (answer, _) = cache.get_or_load(&key, &policy, late(), || origin.value("new")).await;
    assert_eq!(told(answer), says(Outcome::Bypass, "new"));
    let reply = node.ask(&format!("mg {key} R200 t v"));
    assert!(reply.contains('W') && reply.contains("old"), "{reply}");
}

#[tokio::test]
async fn a_tag_gets_its_number_though_the_node_of_another_one_is_gone() {
    let (node, mut other, origin) = (Memcached::start(), Memcached::start(), Origin::new());
    let cache = environment(&[&node, &other]);
    let tags = vec![tag_on(&cache, &node).await, tag_on(&cache, &other).await];
    let number = format!("mg {} N30 t v", tags[0].key());
    other.kill();
    let policy = Policy { tags, ..PATIENT.clone() };
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Bypass, "v"));
    let reply = node.ask_bytes(&number);
    assert!(reply.starts_with(b"VA 8 "), "{}", reply.escape_ascii());
}

#[tokio::test]
async fn that_there_is_no_record_has_tags_too() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, policy) = (environment(&[&node]), tagged(&["a"]));
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.no_record()).await;
        assert_eq!(told(answer), (outcome, None));
    }
    cache.forget_tag(&Tag::new(["a"]), late()).await.unwrap();
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("v")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "v"));
}

#[tokio::test]
async fn what_was_being_loaded_when_its_tag_was_forgotten_is_for_nobody_else() {
    for same_environment in [true, false] {
        let (node, old, new) = (Memcached::start(), Origin::shut(), Origin::new());
        let (cache, policy) = (environment(&[&node]), tagged(&["a"]));
        let other = if same_environment { None } else { Some(environment(&[&node])) };
        let other = other.as_ref().unwrap_or(&cache);
        let key = key("k");
        let loads = cache.get_or_load(&key, &policy, late(), || old.value("old"));
        let reads = async {
            old.begun(1).await;
            cache.forget_tag(&Tag::new(["a"]), late()).await.unwrap();
            let read = other.get_or_load(&key, &policy, late(), || new.value("new"));
            let opens = async {
                // The other has asked for tag and key, and waits.
                node.asked(6).await;
                old.open();
            };
            tokio::join!(read, opens).0
        };
        let ((loaded, _), (read, _)) = tokio::join!(loads, reads);
        assert_eq!(told(loaded).1.as_deref(), Some("old"));
        assert_eq!(told(read).1.as_deref(), Some("new"));
        let (answer, _) = other.get_or_load(&key, &policy, late(), || new.value("never")).await;
        assert_eq!(told(answer), says(Outcome::Hit, "new"));
    }
}

#[tokio::test]
async fn a_tag_that_is_lost_costs_misses_and_nothing_else() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, policy) = (environment(&[&node]), tagged(&["a"]));
    let keys = ["x", "y"].map(key);
    let load = |missing| origin.values("v", missing);
    let _ = cache.get_or_load_many(&keys, &policy, late(), load).await;
    node.check("md larder~tag~a", "HD\r\n");
    let batch = cache.get_or_load_many(&keys, &policy, late(), load).await;
    let counts = Counts { misses: 2, origin_calls: 1, fills: 2, tag_reads: 1, ..Counts::default() };
    assert_eq!(batch.counts, counts);
    assert_eq!(origin.calls(), [[0, 1], [0, 1]]);
}

#[tokio::test]
async fn where_the_tags_cannot_be_read_the_cache_is_left_alone() {
    let (mut nodes, origin) = ([Memcached::start(), Memcached::start()], Origin::new());
    let cache = environment(&[&nodes[0], &nodes[1]]);
    let (tag, policy) = (Tag::new(["a"]), tagged(&["a"]));
    let owner = cache.cluster().owner(tag.key()).await.unwrap();
    let dead = nodes.iter().position(|node| node.name() == owner).unwrap();
    let mut key_elsewhere = None;
    for nth in 0..100 {
        let key = key(&format!("k:{nth}"));
        if cache.cluster().owner(&key).await.unwrap() != owner {
            key_elsewhere = Some(key);
        }
    }
    let key = key_elsewhere.unwrap();
    nodes[dead].kill();
    for _ in 0..2 {
        let (answer, counts) = cache.get_or_load(&key, &policy, late(), || origin.value("v")).await;
        assert_eq!(told(answer), says(Outcome::Bypass, "v"));
        assert_eq!(counts, Counts { bypasses: 1, origin_calls: 1, tag_reads: 1, ..Counts::default() });
        let name = String::from_utf8(key.as_bytes().to_vec()).unwrap();
        nodes[1 - dead].check(&format!("mg {name} v"), "EN\r\n");
    }
}

#[tokio::test]
async fn what_was_written_has_the_tags_of_before() {
    let (node, origin) = (Memcached::start(), Origin::new());
    let (cache, policy) = (environment(&[&node]), tagged(&["a"]));
    let value = Loaded::raw("written").of_version(2);
    let intent = cache.intend(&key("k"), &policy, late()).await;
    let written = cache.written(intent, &value, &policy, late()).await.unwrap();
    assert_eq!(written, Written::Stored);
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("never")).await;
    assert_eq!(told(answer), says(Outcome::Hit, "written"));

    let intent = cache.intend(&key("k"), &policy, late()).await;
    cache.forget_tag(&Tag::new(["a"]), late()).await.unwrap();
    cache.written(intent, &value, &policy, late()).await.unwrap();
    let (answer, _) = cache.get_or_load(&key("k"), &policy, late(), || origin.value("loaded")).await;
    assert_eq!(told(answer), says(Outcome::Miss, "loaded"));
}

fn tagged(tags: &[&str]) -> Policy {
    Policy { tags: tags.iter().map(|tag| Tag::new([*tag])).collect(), ..PATIENT.clone() }
}

/// A key that `node` owns.
async fn key_on(cache: &Cache, node: &Memcached) -> Key {
    owned_by(cache, node, |number| key(&format!("k{number}")), |key| key).await
}

/// A tag whose number is on `node`.
async fn tag_on(cache: &Cache, node: &Memcached) -> Tag {
    owned_by(cache, node, |number| Tag::new([&*format!("t{number}")]), Tag::key).await
}

async fn owned_by<T>(
    cache: &Cache,
    node: &Memcached,
    make: impl Fn(u32) -> T,
    key: impl Fn(&T) -> &Key,
) -> T {
    for number in 0..1000 {
        let made = make(number);
        if cache.cluster().owner(key(&made)).await.unwrap() == node.name() {
            return made;
        }
    }
    panic!("{} owns none", node.name());
}
