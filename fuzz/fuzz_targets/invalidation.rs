//! A message of the queue of invalidations, which anybody with rights on the queue may have written.
#![no_main]

use larder_cache::Invalidation;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(invalidation) = Invalidation::decode(text) else { return };
    assert!(!invalidation.keys.is_empty());
    assert!(invalidation.keys.iter().all(|key| !key.as_bytes().starts_with(b"larder~")));

    let mut keys = Vec::new();
    for part in invalidation.split() {
        let message = part.encode();
        assert!(message.len() <= Invalidation::MAX_BYTES);
        let again = Invalidation::decode(&message).expect("what is encoded is decoded");
        assert_eq!((&again, again.how), (&part, invalidation.how));
        keys.extend(again.keys);
    }
    assert_eq!(keys, invalidation.keys);
});
