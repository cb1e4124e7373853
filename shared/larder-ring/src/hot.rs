//! Hot keys: those of which several nodes have copies, and the steps to that and back.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::document::RingDocument;

/// Of how many copies a hot key is, and what is done with them.
///
/// Copy 0 is the key itself; the ring places the others by keys of their own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct HotKey {
    /// How many copies there are, copy 0 included; see [`HotKey::COPIES`].
    pub copies: u32,
    /// What is done with them.
    pub phase: HotPhase,
}

/// How far a key has come to have copies.
///
/// | phase | read | written |
/// | --- | --- | --- |
/// | not hot | copy 0 | copy 0 |
/// | `writing` | copy 0 | all copies |
/// | `reading` | any copy | all copies |
///
/// From one to the next and back; as with a [`Phase`](crate::Phase), environments that are one document apart do each
/// other no harm, and none are further apart. So whoever reads a copy does so while everybody writes it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HotPhase {
    /// All copies hear of every write, and only copy 0 is read.
    Writing,
    /// All copies are read.
    Reading,
}

impl HotKey {
    /// How many copies a key may have.
    pub const COPIES: RangeInclusive<u32> = 2..=16;
}

impl RingDocument {
    /// The next document on the way to so many `copies` of `key`, or to none; `None` if that is so already.
    ///
    /// It may be published when this one is on all nodes and everyone has had to look at it. Before the phase `reading`
    /// begins, what an earlier time has left under the keys of the copies has to be removed from all nodes: nobody has
    /// told them of writes meanwhile. Whoever wants another number goes through `writing` with the larger one.
    pub fn copying(&self, key: &str, copies: Option<u32>, now_ms: u64) -> Option<Self> {
        use HotPhase::{Reading, Writing};
        let hot = self.hot.get(key).copied();
        let next = match (hot, copies) {
            (None, None) => return None,
            (None, Some(copies)) => Some(HotKey { copies, phase: Writing }),
            (Some(HotKey { copies: now, phase: Reading }), Some(copies)) if now == copies => return None,
            (Some(HotKey { copies: now, phase: Reading }), copies) => {
                Some(HotKey { copies: copies.map_or(now, |copies| copies.max(now)), phase: Writing })
            }
            (Some(HotKey { copies: now, phase: Writing }), Some(copies)) if now < copies => {
                Some(HotKey { copies, phase: Writing })
            }
            (Some(_), Some(copies)) => Some(HotKey { copies, phase: Reading }),
            (Some(_), None) => None,
        };
        let mut document = self.successor(now_ms);
        match next {
            Some(next) => document.hot.insert(key.to_owned(), next),
            None => document.hot.remove(key),
        };
        Some(document)
    }

    /// The document in which nobody reads copies, and all of them are written yet; `None` if that is so already. For a
    /// document that was lost on all nodes: whoever began without it has told no copies of its writes.
    pub fn without_reading(&self, now_ms: u64) -> Option<Self> {
        let is_read = |hot: &HotKey| hot.phase == HotPhase::Reading;
        self.hot.values().any(is_read).then(|| {
            let mut document = self.successor(now_ms);
            document.hot.values_mut().for_each(|hot| hot.phase = HotPhase::Writing);
            document
        })
    }

    /// Whether there is room for `key` among the hot ones.
    pub fn has_room_for(&self, key: &str) -> bool {
        let len = self.hot.keys().map(String::len).sum::<usize>();
        self.hot.contains_key(key) || self.hot.len() < Self::MAX_HOT && len + key.len() <= Self::MAX_HOT_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RingNode;

    #[test]
    fn a_key_comes_to_its_copies_and_back_in_two_steps_and_through_the_larger_number() {
        check(None, Some(3), "3w 3r");
        check(Some("3r"), None, "3w -");
        check(Some("3r"), Some(5), "5w 5r");
        check(Some("5r"), Some(3), "5w 3r");
        check(Some("3r"), Some(3), "");
        check(None, None, "");
        // Where another run was cut off.
        check(Some("3w"), Some(3), "3r");
        check(Some("3w"), Some(5), "5w 5r");
        check(Some("5w"), Some(3), "3r");
        check(Some("5w"), None, "-");
    }

    #[test]
    fn neighbours_read_no_copy_that_the_other_does_not_write() {
        let states = [None].into_iter().chain((2..=4).flat_map(|copies| {
            [HotPhase::Writing, HotPhase::Reading].map(|phase| Some(HotKey { copies, phase }))
        }));
        for from in states {
            for wish in [None, Some(2), Some(3), Some(4)] {
                let mut document = document(from);
                while let Some(next) = document.copying("k", wish, 1) {
                    for (reader, writer) in [(&document, &next), (&next, &document)] {
                        assert!(read(reader) <= written(writer), "{:?} {:?}", reader.hot, writer.hot);
                    }
                    document = next;
                }
            }
        }
    }

    #[test]
    fn a_document_that_was_lost_comes_back_without_copies_that_are_read() {
        let read = document(Some(HotKey { copies: 3, phase: HotPhase::Reading }));
        let back = read.without_reading(5).unwrap();
        assert_eq!((back.epoch, back.time_ms), (read.epoch.next(), 5));
        assert_eq!(back.hot["k"], HotKey { copies: 3, phase: HotPhase::Writing });
        assert_eq!(back.without_reading(6), None);
    }

    #[test]
    fn there_is_room_for_so_many_keys_and_bytes() {
        let mut document = document(None);
        let hot = HotKey { copies: 2, phase: HotPhase::Writing };
        document.hot.insert("k".repeat(RingDocument::MAX_HOT_LEN - 1), hot);
        assert!(document.has_room_for("a") && !document.has_room_for("ab"));
        document.hot = (0..RingDocument::MAX_HOT).map(|id| (id.to_string(), hot)).collect();
        assert!(document.has_room_for("7") && !document.has_room_for("a"));
    }

    /// How many copies are read under `document`.
    fn read(document: &RingDocument) -> u32 {
        document.hot.get("k").filter(|hot| hot.phase == HotPhase::Reading).map_or(1, |hot| hot.copies)
    }

    fn written(document: &RingDocument) -> u32 {
        document.hot.get("k").map_or(1, |hot| hot.copies)
    }

    #[track_caller]
    fn check(from: Option<&str>, copies: Option<u32>, steps: &str) {
        let from = from.map(|text| HotKey {
            copies: text[..1].parse().unwrap(),
            phase: if text.ends_with('r') { HotPhase::Reading } else { HotPhase::Writing },
        });
        let (mut document, mut found) = (document(from), Vec::new());
        while let Some(next) = document.copying("k", copies, 1) {
            assert!(next.epoch > document.epoch);
            document = next;
            found.push(document.hot.get("k").map_or("-".to_owned(), |hot| {
                format!("{}{}", hot.copies, if hot.phase == HotPhase::Reading { 'r' } else { 'w' })
            }));
        }
        assert_eq!(found.join(" "), steps, "{from:?} {copies:?}");
    }

    fn document(hot: Option<HotKey>) -> RingDocument {
        let mut document = RingDocument::first(vec![RingNode::new("a", 1)], 1_760_000_000_000);
        document.hot.extend(hot.map(|hot| ("k".to_owned(), hot)));
        document
    }
}
