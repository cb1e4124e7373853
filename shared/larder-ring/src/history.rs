//! Which ring was in force when: what says whether an old item may still speak.

use std::sync::OnceLock;

use crate::epoch::Epoch;
use crate::kind::RingKind;
use crate::node::RingNode;
use crate::ring::Ring;

/// A ring and the epochs in which its owners heard of every write.
///
/// While the fleet moves from one ring to the next, two reigns overlap: from the phase `warming` on the next owners
/// hold items, until the phase `leaving` the present ones do.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Reign {
    /// The first epoch.
    pub from: Epoch,
    /// The first epoch after it; `None` for a ring that is in force.
    pub to: Option<Epoch>,
    /// The nodes, in the order of the ring.
    pub nodes: Vec<RingNode>,
}

/// Whether an item may be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trust {
    /// Its node has owned its key in every epoch since it was stored.
    Trusted,
    /// Its node has not: another node may have taken a write since.
    Untrusted,
    /// It was stored under no document of this history: under none at all, under a later one, or under one from before a
    /// jump of the epoch. A later document may say more.
    Unknown,
}

/// The reigns of a document, with their rings, each made when it is first needed.
#[derive(Debug)]
pub struct History {
    kind: RingKind,
    now: Epoch,
    is_complete: bool,
    reigns: Vec<(Reign, OnceLock<Option<Ring>>)>,
}

impl History {
    /// The history as it stands in the epoch `now`, the oldest reign first; `is_complete` says that nothing is missing
    /// before the first.
    pub(crate) fn new(kind: RingKind, now: Epoch, is_complete: bool, reigns: &[Reign]) -> Self {
        let reigns = reigns.iter().map(|reign| (reign.clone(), OnceLock::new())).collect();
        Self { kind, now, is_complete, reigns }
    }

    /// Whether the item that `node` holds under `key` may be believed, if `stamp` says the epoch it was stored under.
    ///
    /// An item without a stamp counts as stored in the first reign, provided that the history goes back so far. One that
    /// was stored under no document is of an unknown epoch. For an item of the present epoch this is one comparison.
    ///
    /// A stamp has 16 bits. An item from before a jump of the epoch reads as one of this history where the jump is a
    /// multiple of 65,536 seconds, give or take the few epochs of the history.
    pub fn trust(&self, key: &[u8], node: &RingNode, stamp: u16) -> Trust {
        if stamp == self.now.stamp() {
            return Trust::Trusted;
        }
        match self.epoch_of(stamp) {
            None => Trust::Unknown,
            Some(epoch) if self.owned_since(epoch, key, node) => Trust::Trusted,
            Some(_) => Trust::Untrusted,
        }
    }

    /// The epoch of this history that `stamp` means.
    fn epoch_of(&self, stamp: u16) -> Option<Epoch> {
        let first = self.reigns.first()?.0.from;
        match self.now.of_stamp(stamp) {
            None if stamp == Epoch::UNSTAMPED && self.is_complete => Some(first),
            epoch => epoch.filter(|epoch| (first..=self.now).contains(epoch)),
        }
    }

    /// Whether `node` owned `key` without a gap from `epoch` to now, at one address: its reigns are put end to end, from
    /// the newest. A node at another address is another machine, which has heard of nothing before it came.
    fn owned_since(&self, epoch: Epoch, key: &[u8], node: &RingNode) -> bool {
        let mut owned: Option<(Epoch, &RingNode)> = None;
        for (reign, ring) in self.reigns.iter().rev() {
            let joins = match (reign.to, owned) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(to), Some((owned_from, _))) => to >= owned_from,
            };
            if !joins || owned.is_some_and(|(owned_from, _)| reign.from >= owned_from) {
                continue;
            }
            let owner = self.ring(reign, ring).map(|ring| &ring.nodes()[ring.owner(key)]);
            let owner = owner.filter(|owner| owner.identity() == node.identity());
            if let Some(owner) = owner
                && owned.is_none_or(|(_, later)| owner.may_be_at(later))
            {
                let known = owned.map_or(owner, |(_, later)| if later.ip.is_some() { later } else { owner });
                owned = Some((reign.from, known));
                if reign.from <= epoch {
                    return true;
                }
            }
        }
        false
    }

    /// The ring of a reign; `None` where the library refuses its nodes, which then owned nothing that we know of.
    fn ring<'a>(&self, reign: &Reign, ring: &'a OnceLock<Option<Ring>>) -> Option<&'a Ring> {
        ring.get_or_init(|| Ring::new(self.kind, &reign.nodes).ok()).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::RingDocument;

    /// Of an item that was stored so many seconds before another document was founded.
    #[test]
    fn an_item_from_before_a_jump_of_the_epoch_is_of_an_unknown_one() {
        for (jump, expected) in [
            (1, Trust::Unknown),
            (32_767, Trust::Unknown),
            (32_769, Trust::Unknown),
            (65_535, Trust::Unknown),
            // The limit of 16 bits.
            (65_536, Trust::Trusted),
            (65_537, Trust::Unknown),
            (2_592_000, Trust::Unknown),
        ] {
            let node = RingNode::new("a", 11211);
            let before = Epoch::first(NOW_SECS - jump);
            let founded = RingDocument::first(vec![node.clone()], NOW_SECS * 1000);
            let trust = founded.ownership(RingKind::default()).trust(b"k", &node, before.stamp());
            assert_eq!(trust, expected, "{jump} s");
        }
    }

    #[test]
    fn no_document_trusts_an_item_that_was_stored_under_none() {
        let node = RingNode::new("a", 11211);
        let founded = RingDocument::first(vec![node.clone()], NOW_SECS * 1000);
        let trust = |stamp| founded.ownership(RingKind::default()).trust(b"k", &node, stamp);
        assert_eq!(trust(Epoch::NO_DOCUMENT), Trust::Unknown);
        assert_eq!(trust(Epoch::UNSTAMPED), Trust::Trusted);
    }

    const NOW_SECS: u64 = 1_764_096_001;
}
