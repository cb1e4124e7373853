//! Keys composed of parts. Input: two lists, divided by a zero byte, of parts divided by a line end.
#![no_main]

use larder_meta::{InvalidKey, Key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut lists = input.splitn(2, |byte| *byte == 0);
    let left: Vec<_> = parts(lists.next().unwrap_or_default());
    let right: Vec<_> = parts(lists.next().unwrap_or_default());
    if let (Some(left_key), Some(right_key)) = (key(&left), key(&right)) {
        assert_eq!(left_key == right_key, left == right);
    }
});

fn parts(list: &[u8]) -> Vec<&[u8]> {
    list.split(|byte| *byte == b'\n').collect()
}

/// The key of `parts`, which is one that a node takes. Only an empty one and one of ElastiCache's own are refused.
fn key(parts: &[&[u8]]) -> Option<Key> {
    match Key::compose(parts) {
        Ok(key) => {
            assert_eq!(Key::new(key.as_bytes()).as_ref(), Ok(&key));
            Some(key)
        }
        Err(InvalidKey::Length(0)) => None,
        Err(InvalidKey::Reserved) if parts[0] == b"AmazonElastiCache" => None,
        Err(error) => panic!("{parts:?}: {error}"),
    }
}
