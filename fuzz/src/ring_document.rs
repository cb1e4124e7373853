//! A ring document: what is true of every one that is read, and of those that follow it.

use std::collections::HashSet;

use larder_ring::{Phase, RingDocument, RingKind, RingNode, Sighting, Trust};

/// Checks that `json` is refused, or read as a document that says the same when it is written and read, believes its
/// own epoch, and whose change comes to an end over documents of which the same is true.
pub fn check(json: &[u8]) {
    let Ok(mut document) = RingDocument::parse(json) else { return };
    assert!(json.len() <= RingDocument::MAX_LEN);
    assert!((document.phase == Phase::Active) == document.next.is_empty());
    let listed = if document.next.is_empty() { document.nodes.clone() } else { document.next.clone() };
    let lost = &document.nodes[..1];
    let remaining: Vec<_> =
        listed.iter().filter(|node| node.identity() != lost[0].identity()).cloned().collect();
    // As it goes on, and as it goes on when a node is lost.
    for (listed, lost) in [(listed, Vec::new()), (remaining, lost.to_vec())] {
        for _ in 0..MOST_STEPS {
            read_and_written(&document);
            believes_itself(&document);
            let seen = Sighting { listed: &listed, lost: &lost };
            let Some(next) = document.following(KIND, seen, document.time_ms) else { break };
            assert!(next.epoch > document.epoch, "{document:?} is followed by {next:?}");
            document = next;
        }
        assert_eq!(document.phase, Phase::Active, "no end: {document:?}");
    }
}

fn read_and_written(document: &RingDocument) {
    let json = document.encode();
    // Nobody's clock gets to where the epochs end, and a document that fills its limit may outgrow it.
    if document.epoch.number() < LAST_EPOCHS && json.len() <= RingDocument::MAX_LEN {
        assert_eq!(RingDocument::parse(&json).as_ref(), Ok(document));
    }
    let all = document.all_nodes();
    let distinct: HashSet<_> = all.iter().map(RingNode::identity).collect();
    assert_eq!(distinct.len(), all.len(), "a node stands twice in {document:?}");
}

fn believes_itself(document: &RingDocument) {
    let ownership = document.ownership(KIND);
    for node in &document.nodes {
        assert_eq!(ownership.trust(b"k", node, document.epoch.stamp()), Trust::Trusted);
        for stamp in [0, 1, document.epoch.stamp().wrapping_sub(1), document.epoch.stamp().wrapping_add(1)] {
            // Whatever it says: a history that makes no sense is no reason to panic.
            let _ = ownership.trust(b"k", node, stamp);
        }
    }
}

const KIND: RingKind = RingKind::LibmemcachedDefault;
/// A change takes four steps, and one that goes back or begins again no more than that once more.
const MOST_STEPS: usize = 12;
/// The epochs end at 2^53.
const LAST_EPOCHS: u64 = (1 << 53) - 64;
