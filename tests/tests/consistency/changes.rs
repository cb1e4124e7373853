//! What happens to the nodes next: all kinds of changes in an order by chance, each as often as it stands in a list.

use fastrand::Rng;

/// One change.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Change {
    /// A node comes.
    Add,
    /// A node is removed, and dead.
    Remove,
    /// A node leaves the ring before it is removed.
    Retire,
    /// A node that is dead is replaced at another address.
    Replace,
    /// A node is replaced at another address, and the old one lives on for a while.
    ReplaceBeside,
    /// A node is silent for a while.
    Pause,
    /// A node is dead for a while, and comes back empty.
    Restart,
    /// A hot key gets replicas.
    AddReplicas,
    /// The replicas of a hot key go.
    RemoveReplicas,
    /// All nodes lose the document, which a publisher remembers.
    LoseDocument,
    /// The same, and no publisher remembers it: one publishes a first document over the items of the lost one.
    Found,
    /// The same while a node comes, or goes.
    FoundElsewhere,
    /// All nodes lose all that they hold, and no publisher remembers the document.
    Flush,
    /// All nodes lose the document while one is silent, with it or without.
    LoseBesideSilent,
    /// The same, and no publisher remembers it.
    FoundBesideSilent,
}

impl Change {
    /// Those of a run, in no order.
    pub(crate) fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }

    const ALL: &[Self] = &[
        Self::Add,
        Self::Add,
        Self::Remove,
        Self::Retire,
        Self::Replace,
        Self::Pause,
        Self::Restart,
        Self::Restart,
        Self::AddReplicas,
        Self::AddReplicas,
        Self::RemoveReplicas,
        Self::LoseDocument,
        Self::Found,
        Self::FoundElsewhere,
        Self::Flush,
        Self::LoseBesideSilent,
        Self::FoundBesideSilent,
        Self::ReplaceBeside,
    ];

    /// Whether a first document is published. A run sees one of these alone: a first epoch is the time, so the next one
    /// would be no later than those of a run, in which more than one document is published in a second.
    fn is_founding(self) -> bool {
        matches!(self, Self::Found | Self::FoundElsewhere | Self::Flush | Self::FoundBesideSilent)
    }

    /// Whether it can be made of so many `nodes`.
    fn is_possible(self, nodes: usize) -> bool {
        match self {
            Self::Add => nodes < MOST_NODES,
            Self::Remove | Self::Retire => nodes > LEAST_NODES,
            _ => true,
        }
    }
}

/// The changes of a run that are left.
pub(crate) struct Deck(Vec<Change>);

impl Deck {
    /// All of `deck`, shuffled, but of those that found the first.
    pub(crate) fn new(mut deck: Vec<Change>, random: &mut Rng) -> Self {
        random.shuffle(&mut deck);
        let mut is_founded = false;
        deck.retain(|change| !change.is_founding() || !std::mem::replace(&mut is_founded, true));
        Self(deck)
    }

    /// Takes the next one that can be made of so many `nodes`; `None` where none is left.
    pub(crate) fn next(&mut self, nodes: usize) -> Option<Change> {
        let at = self.0.iter().position(|change| change.is_possible(nodes))?;
        Some(self.0.remove(at))
    }
}

/// How many nodes there are at least.
pub(crate) const LEAST_NODES: usize = 2;
/// How many nodes there are at most.
pub(crate) const MOST_NODES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_changes_one_founds_and_each_has_its_turn() {
        let decks = (0..99).map(|seed| Deck::new(Change::all(), &mut Rng::with_seed(seed)).0);
        let mut dealt = std::collections::HashSet::new();
        for deck in decks {
            assert_eq!(deck.iter().filter(|change| change.is_founding()).count(), 1, "{deck:?}");
            dealt.extend(deck.into_iter().filter(|change| change.is_founding()));
        }
        assert_eq!(dealt, Change::all().into_iter().filter(|change| change.is_founding()).collect());
    }

    #[test]
    fn every_change_is_dealt_once_and_none_that_cannot_be_made() {
        let mut deck = Deck::new(vec![Change::Add, Change::Remove, Change::Pause], &mut Rng::with_seed(1));
        let mut dealt = vec![deck.next(LEAST_NODES).unwrap(), deck.next(LEAST_NODES).unwrap()];
        assert!(!dealt.contains(&Change::Remove), "{dealt:?}");
        assert_eq!(deck.next(LEAST_NODES), None);
        dealt.extend(deck.next(MOST_NODES));
        assert_eq!(dealt[2], Change::Remove);
        assert_eq!(deck.next(MOST_NODES), None);
    }
}
