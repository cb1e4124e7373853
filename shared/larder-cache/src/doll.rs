//! Russian dolls: the key of a parent that holds its children's versions.
//!
//! What is made of several records, such as a page or a list with its items, can be kept under a key that names the
//! version of each. When a child changes, the next reader asks for another key, and nobody has to be told of the
//! parent: its old value is not asked for any more, and ends by its own time. Its reader has to know the versions of
//! the children first, which takes one read of many keys; only what is built from them is saved.

use larder_client::{InvalidKey, Key};
use sha2::{Digest, Sha256};

/// The key of a parent that is named by `parts`, as [`Key::compose`] takes them, and made of `children`: the key of
/// each, and its version, `None` for one that does not exist or has none.
///
/// The children are a set: their order does not count, and a child that is named twice with the same version counts
/// once. The last part of the key is their digest, 32 hexadecimal digits: the first 128 bits of a SHA-256.
///
/// ```
/// use larder_cache::doll_key;
/// use larder_client::Key;
///
/// let (one, two) = (Key::compose(["flights", "1"])?, Key::compose(["flights", "2"])?);
/// let key = doll_key(["departures", "JFK"], [(&one, Some(7)), (&two, Some(3))])?;
/// assert!(key.as_bytes().starts_with(b"departures:JFK:"));
/// assert_eq!(key, doll_key(["departures", "JFK"], [(&two, Some(3)), (&one, Some(7))])?);
/// // One of them changes, goes, or another one comes.
/// assert_ne!(key, doll_key(["departures", "JFK"], [(&one, Some(8)), (&two, Some(3))])?);
/// assert_ne!(key, doll_key(["departures", "JFK"], [(&one, Some(7))])?);
/// # Ok::<(), larder_client::InvalidKey>(())
/// ```
///
/// # Errors
/// As [`Key::compose`], but for no parts at all: the digest is one.
pub fn doll_key<'k, P: AsRef<[u8]>>(
    parts: impl IntoIterator<Item = P>,
    children: impl IntoIterator<Item = (&'k Key, Option<u64>)>,
) -> Result<Key, InvalidKey> {
    let mut children: Vec<(&[u8], Option<u64>)> =
        children.into_iter().map(|(key, version)| (key.as_bytes(), version)).collect();
    children.sort_unstable();
    children.dedup();
    let parts: Vec<P> = parts.into_iter().collect();
    let digest = digest(&children);
    Key::compose(parts.iter().map(AsRef::as_ref).chain([digest.as_bytes()]))
}

/// The digest of `children`, of which no two lists are the same bytes: each key stands behind its length, which is one
/// byte, and each version behind whether there is one.
fn digest(children: &[(&[u8], Option<u64>)]) -> String {
    let mut hasher = Sha256::new();
    for (key, version) in children {
        hasher.update([u8::try_from(key.len()).unwrap_or(u8::MAX)]);
        hasher.update(key);
        hasher.update([u8::from(version.is_some())]);
        hasher.update(version.unwrap_or_default().to_be_bytes());
    }
    let digest = hasher.finalize();
    digest[..DIGEST_LEN].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As much of the digest as [`Key::compose`] takes for a long key, in bytes.
const DIGEST_LEN: usize = 16;
// The length of a key is written in one byte.
const _: () = assert!(Key::MAX_LEN <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type Child = (Key, Option<u64>);

    fn key_of(children: &[Child]) -> Key {
        doll_key(["p"], children.iter().map(|(key, version)| (key, *version))).unwrap()
    }

    fn child(key: &str, version: impl Into<Option<u64>>) -> Child {
        (Key::new(key.as_bytes()).unwrap(), version.into())
    }

    /// Environments of two releases have to find each other's values.
    #[test]
    fn a_digest_stays_what_it_is() {
        assert_eq!(key_of(&[]).as_bytes(), b"p:e3b0c44298fc1c149afbf4c8996fb924");
        let key = key_of(&[child("flights:2", None), child("flights:1", 7)]);
        assert_eq!(key.as_bytes(), b"p:5d92b3ccf6167564aab6f6b0e0d313c7");
    }

    #[test]
    fn a_child_without_a_version_is_not_one_of_version_0() {
        assert_ne!(key_of(&[child("a", None)]), key_of(&[child("a", 0)]));
    }

    #[test]
    fn where_a_key_ends_and_the_next_begins_counts() {
        assert_ne!(key_of(&[child("ab", 1), child("c", 1)]), key_of(&[child("a", 1), child("bc", 1)]));
    }

    #[test]
    fn a_parent_of_any_name_gets_a_key() {
        let none: [&str; 0] = [];
        assert_eq!(doll_key(none, []).unwrap().as_bytes().len(), 2 * DIGEST_LEN);
        let long = "x".repeat(300);
        let (one, other) = (child("a", 1), child("a", 2));
        let of = |child: &Child| doll_key([&long], [(&child.0, child.1)]).unwrap();
        assert_eq!(of(&one).as_bytes().len(), Key::MAX_LEN);
        assert_ne!(of(&one), of(&other), "what is shortened has all of it in its digest");
    }

    fn children() -> impl Strategy<Value = Vec<Child>> {
        let child = ("[a-c]{1,3}", prop::option::of(0..3_u64));
        prop::collection::vec(child.prop_map(|(key, version)| child_of(&key, version)), 0..6)
    }

    fn child_of(key: &str, version: Option<u64>) -> Child {
        child(key, version)
    }

    proptest! {
        #[test]
        fn two_keys_are_the_same_where_the_sets_of_children_are(one in children(), other in children()) {
            let set = |children: &[Child]| {
                children.iter().map(|(key, version)| (key.as_bytes().to_vec(), *version)).collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(key_of(&one) == key_of(&other), set(&one) == set(&other));
        }

        #[test]
        fn order_and_doubles_do_not_count((children, shuffled) in children().prop_flat_map(|children| {
            let doubled = [children.clone(), children.clone()].concat();
            (Just(children), Just(doubled).prop_shuffle())
        })) {
            prop_assert_eq!(key_of(&children), key_of(&shuffled));
        }
    }
}
