//! From one ring document to the next: the rules of the publisher, without a clock or a socket.

use std::time::Duration;

use crate::document::RingDocument;
use crate::epoch::Epoch;
use crate::history::Reign;
use crate::kind::RingKind;
use crate::node::RingNode;
use crate::phase::Phase;
use crate::ring::Ring;

/// What the publisher sees of the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// The nodes that discovery lists, in its order.
    pub listed: &'a [RingNode],
    /// Nodes of the document that are not listed and do not answer any more, and those of the next ring alone that are
    /// dead.
    pub lost: &'a [RingNode],
}

impl RingDocument {
    /// The first document of a fleet: the ring is `nodes`, as everyone has it from discovery.
    ///
    /// `now_ms` is the time in milliseconds since 1970. What was stored before is trusted, as if the nodes had been
    /// the same ever since.
    pub fn first(nodes: Vec<RingNode>, now_ms: u64) -> Self {
        let epoch = Epoch::first(now_ms / 1000);
        Self {
            epoch,
            phase: Phase::Active,
            history: vec![Reign { from: epoch, to: None, nodes: nodes.clone() }],
            nodes,
            next: Vec::new(),
            retired: Vec::new(),
            history_is_cut: false,
            hot: Default::default(),
            check_interval: None,
            time_ms: now_ms,
        }
    }

    /// The same document, in a fleet whose environments look at it once in `interval`: in whole milliseconds, from one
    /// to [`MAX_CHECK_INTERVAL`](Self::MAX_CHECK_INTERVAL). All that follow from it keep that.
    #[must_use]
    pub fn checked_every(self, interval: Duration) -> Self {
        let millis = interval.min(Self::MAX_CHECK_INTERVAL).as_millis().max(1) as u64;
        Self { check_interval: Some(Duration::from_millis(millis)), ..self }
    }

    /// The document that takes the place of this one; `None` if the ring is as it should be.
    ///
    /// It may be published when this one is on all nodes and everyone has had to look at it: see [`Phase`]. From the
    /// phase `warming` on it may come as late as one likes.
    ///
    /// - Nodes that came, and those that left the list and still answer, make a change of four steps.
    /// - Nodes that are lost leave the ring at once, where no key moves but theirs: nobody can write to them any more.
    /// - A next ring that has lost a node is given up, step by step in the other direction.
    /// - A node with another address keeps its place. Its reign begins anew, in a step of its own that may be published
    ///   when everyone has followed the new address: see [`begins_reign_after`](Self::begins_reign_after).
    /// - A document of ten days is published anew, for no item lives longer than thirty; one of ten days to come as well,
    ///   which a wrong clock has published.
    /// - A list without any node changes nothing.
    pub fn following(&self, kind: RingKind, seen: Sighting<'_>, now_ms: u64) -> Option<Self> {
        let is_hopeless = self.next.iter().any(|node| node.is_in(seen.lost));
        match self.phase {
            Phase::Active => self.begun(kind, seen, now_ms),
            Phase::Joining if is_hopeless => Some(self.step(Phase::Active, now_ms)),
            Phase::Joining => Some(self.step(Phase::Warming, now_ms)),
            Phase::Warming if is_hopeless => Some(self.step(Phase::Joining, now_ms)),
            Phase::Warming => Some(self.step(Phase::Leaving, now_ms)),
            Phase::Leaving => Some(self.step(Phase::Active, now_ms)),
        }
    }

    /// The document in which `node` is to leave the ring although it is listed; `None` if that is so already, or if
    /// it is the last node.
    pub fn retiring(&self, node: &RingNode, now_ms: u64) -> Option<Self> {
        let others = self
            .nodes
            .iter()
            .chain(&self.next)
            .filter(|other| other.identity() != node.identity() && !other.is_in(&self.retired));
        if node.is_in(&self.retired) || others.count() == 0 {
            return None;
        }
        let mut retired = self.retired.clone();
        retired.push(node.clone());
        Some(Self { retired, ..self.successor(now_ms) })
    }

    /// The document in which `node` is not to leave the ring after all; `None` if it was not to.
    pub fn restoring(&self, node: &RingNode, now_ms: u64) -> Option<Self> {
        if !node.is_in(&self.retired) {
            return None;
        }
        let mut retired = self.retired.clone();
        retired.retain(|other| other.identity() != node.identity());
        Some(Self { retired, ..self.successor(now_ms) })
    }

    /// Whether it says the same nodes as `before`, and that some of them own their keys anew: what they hold from
    /// before is not trusted. It may be published when everyone has had to look at `before`, for until then a write
    /// may have reached the machine that one of them has taken the place of.
    pub fn begins_reign_after(&self, before: &Self) -> bool {
        self.nodes == before.nodes && self.history.last() != before.history.last()
    }

    /// From `active`: the first step of a change, if there is one to make.
    fn begun(&self, kind: RingKind, seen: Sighting<'_>, now_ms: u64) -> Option<Self> {
        let target: Vec<_> = without(seen.listed, &self.retired);
        if target.is_empty() {
            return None;
        }
        let retired: Vec<_> = self.retired.iter().filter(|node| node.is_in(seen.listed)).cloned().collect();
        let successor = Self { retired, ..self.successor(now_ms) };
        // Addresses first: every later step counts on everyone to be at the machines of today.
        let readdressed = at_addresses_of(&self.nodes, seen.listed);
        if self.nodes != readdressed && self.moves_only_lost(kind, &readdressed, &[]) {
            return Some(successor.switched_to(kind, readdressed));
        }
        if self.has_replaced() {
            return Some(successor.with_reign_begun());
        }
        if self.nodes == target {
            // A time to come is that of a wrong clock: by it the document would end on its nodes before it is old.
            let is_old = now_ms.abs_diff(self.time_ms) > MOST_AGE_MS;
            return (successor.retired != self.retired || is_old).then_some(successor);
        }
        let survivors = without(&self.nodes, seen.lost);
        let at_once =
            if survivors.is_empty() || same_nodes(&self.nodes, &target) { target.clone() } else { survivors };
        if self.nodes != at_once && self.moves_only_lost(kind, &at_once, seen.lost) {
            return Some(successor.switched_to(kind, at_once));
        }
        Some(Self { phase: Phase::Joining, next: target, ..successor })
    }

    /// Whether a node stands at another address than in the reign that is in force.
    fn has_replaced(&self) -> bool {
        let reign = self.history.last().map_or(&[][..], |reign| &reign.nodes);
        let is_at_another = |node: &RingNode| {
            reign.iter().any(|other| other.identity() == node.identity() && !other.may_be_at(node))
        };
        self.nodes.iter().any(is_at_another)
    }

    /// Whether going from the present ring to `next` at once moves no key but those of `lost` nodes and of those that
    /// have moved to another address, where nothing is left of what they held.
    fn moves_only_lost(&self, kind: RingKind, next: &[RingNode], lost: &[RingNode]) -> bool {
        let (Ok(present), Ok(next)) = (Ring::new(kind, &self.nodes), Ring::new(kind, next)) else {
            return true;
        };
        let has_moved = |node: &RingNode| {
            next.nodes().iter().any(|other| other.identity() == node.identity() && other.ip != node.ip)
        };
        present.keeps_all_but(&next, |node| node.is_in(lost) || has_moved(node))
    }

    /// The same ring under the next epoch.
    pub(crate) fn successor(&self, now_ms: u64) -> Self {
        Self { epoch: self.epoch.next(), time_ms: now_ms, ..self.clone() }
    }

    fn step(&self, phase: Phase, now_ms: u64) -> Self {
        let mut next = self.successor(now_ms);
        next.phase = phase;
        match (self.phase, phase) {
            (Phase::Joining, Phase::Warming) => next.begin_reign(self.next.clone()),
            (Phase::Warming, Phase::Joining) => drop(next.history.pop()),
            (Phase::Warming, Phase::Leaving) => next.end_reign_before_last(),
            (Phase::Leaving, Phase::Active) => next.nodes = std::mem::take(&mut next.next),
            _ => next.next.clear(),
        }
        next
    }

    /// The same ring, whose reign begins anew.
    fn with_reign_begun(mut self) -> Self {
        self.begin_reign(self.nodes.clone());
        self.end_reign_before_last();
        self
    }

    /// Another ring at once. Where only addresses differ and no key moves, the reign goes on for now, at the addresses
    /// at which it began; one that was not known then is known from now on.
    fn switched_to(mut self, kind: RingKind, nodes: Vec<RingNode>) -> Self {
        let moves = match (Ring::new(kind, &self.nodes), Ring::new(kind, &nodes)) {
            (Ok(before), Ok(after)) => before.moved(&after).share > 0.0,
            _ => true,
        };
        if moves {
            self.begin_reign(nodes.clone());
            self.end_reign_before_last();
        } else if let Some(reign) = self.history.last_mut() {
            for node in reign.nodes.iter_mut().filter(|node| node.ip.is_none()) {
                let now = nodes.iter().find(|other| other.identity() == node.identity());
                node.ip = now.and_then(|now| now.ip.clone());
            }
        }
        self.nodes = nodes;
        self
    }

    fn begin_reign(&mut self, nodes: Vec<RingNode>) {
        self.history.push(Reign { from: self.epoch, to: None, nodes });
        let surplus = self.history.len().saturating_sub(Self::MAX_HISTORY);
        self.history_is_cut |= surplus > 0;
        self.history.drain(..surplus);
    }

    fn end_reign_before_last(&mut self) {
        if let [.., before, _] = &mut self.history[..] {
            before.to = Some(self.epoch);
        }
    }
}

/// Ten days.
const MOST_AGE_MS: u64 = 10 * 24 * 3600 * 1000;

fn without(list: &[RingNode], left_out: &[RingNode]) -> Vec<RingNode> {
    list.iter().filter(|node| !node.is_in(left_out)).cloned().collect()
}

/// The nodes of `list` at the addresses that they have in `listed`.
fn at_addresses_of(list: &[RingNode], listed: &[RingNode]) -> Vec<RingNode> {
    let now = |node: &RingNode| {
        let listed = listed.iter().find(|listed| listed.identity() == node.identity());
        RingNode { ip: listed.map_or_else(|| node.ip.clone(), |listed| listed.ip.clone()), ..node.clone() }
    };
    list.iter().map(now).collect()
}

/// Whether both lists hold the same nodes in the same order, at whatever addresses.
fn same_nodes(one: &[RingNode], other: &[RingNode]) -> bool {
    one.iter().map(RingNode::identity).eq(other.iter().map(RingNode::identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trust;

    #[test]
    fn a_list_that_stays_changes_nothing() {
        let document = RingDocument::first(nodes("abc"), NOW);
        assert_eq!(document.following(KIND, listed(&nodes("abc")), NOW), None);
        assert_eq!(document.following(KIND, listed(&[]), NOW), None, "an empty list is no list");
    }

    #[test]
    fn hot_keys_go_along_through_every_change() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let hot = first.copying("k", Some(3), NOW).unwrap();
        let grown = follow(&hot, listed(&nodes("abcd")));
        let lost = follow(&grown[3], Sighting { listed: &nodes("acd"), lost: &nodes("b") });
        let retiring = lost[0].retiring(&nodes("c")[0], NOW).unwrap();
        let restored = retiring.restoring(&nodes("c")[0], NOW).unwrap();
        for document in grown.iter().chain(&lost).chain([&retiring, &restored]) {
            assert_eq!(document.hot, hot.hot);
        }
    }

    #[test]
    fn a_document_of_ten_days_is_published_anew() {
        let document = RingDocument::first(nodes("abc"), NOW);
        assert_eq!(document.following(KIND, listed(&nodes("abc")), NOW + MOST_AGE_MS), None);
        assert_eq!(document.following(KIND, listed(&nodes("abc")), NOW - MOST_AGE_MS), None);
        let anew = document.following(KIND, listed(&nodes("abc")), NOW + MOST_AGE_MS + 1).unwrap();
        assert_eq!((anew.epoch, anew.nodes), (document.epoch.next(), document.nodes));
    }

    #[test]
    fn a_document_of_a_clock_that_went_far_ahead_is_published_anew() {
        let document = RingDocument::first(nodes("abc"), NOW);
        let now_ms = NOW - MOST_AGE_MS - 1;
        let anew = document.following(KIND, listed(&nodes("abc")), now_ms).unwrap();
        assert_eq!((anew.epoch, anew.time_ms), (document.epoch.next(), now_ms));
        assert_eq!(anew.following(KIND, listed(&nodes("abc")), now_ms), None);
    }

    #[test]
    fn a_node_that_comes_joins_in_four_steps() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let all = nodes("abcd");
        let steps = follow(&first, listed(&all));
        assert_eq!(
            shown(&steps),
            ["joining abc>abcd", "warming abc>abcd", "leaving abc>abcd", "active abcd"]
        );
        let [from, to] = &steps[3].history[..] else { panic!("{:?}", steps[3].history) };
        assert_eq!((from.to, to.from, to.to), (Some(steps[2].epoch), steps[1].epoch, None));
        steps.iter().for_each(sound);
    }

    #[test]
    fn a_node_that_left_the_list_and_still_answers_is_drained() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let steps = follow(&first, listed(&nodes("ac")));
        assert_eq!(shown(&steps), ["joining abc>ac", "warming abc>ac", "leaving abc>ac", "active ac"]);
    }

    #[test]
    fn a_node_that_is_lost_leaves_at_once() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let lost = nodes("b");
        let steps = follow(&first, Sighting { listed: &nodes("ac"), lost: &lost });
        assert_eq!(shown(&steps), ["active ac"]);
        sound(&steps[0]);
    }

    #[test]
    fn a_ring_by_number_cannot_lose_a_node_at_once_for_every_key_would_move() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let seen = Sighting { listed: &nodes("ac"), lost: &nodes("b") };
        let step = first.following(RingKind::LibmemcachedDefault, seen, NOW).unwrap();
        assert_eq!(shown(&[step]), ["joining abc>ac"]);
    }

    #[test]
    fn a_loss_and_an_arrival_are_taken_one_after_the_other() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let steps = follow(&first, Sighting { listed: &nodes("acd"), lost: &nodes("b") });
        assert_eq!(
            shown(&steps),
            ["active ac", "joining ac>acd", "warming ac>acd", "leaving ac>acd", "active acd"]
        );
    }

    #[test]
    fn a_fleet_that_lost_all_its_nodes_takes_the_new_ones() {
        let first = RingDocument::first(nodes("ab"), NOW);
        let steps = follow(&first, Sighting { listed: &nodes("cd"), lost: &nodes("ab") });
        assert_eq!(shown(&steps), ["active cd"]);
    }

    #[test]
    fn a_change_whose_new_node_is_lost_goes_back_the_way_it_came() {
        let (all, lost) = (nodes("abc"), nodes("c"));
        let mut document = RingDocument::first(nodes("ab"), NOW);
        for _ in 0..2 {
            document = document.following(KIND, listed(&all), NOW).unwrap();
        }
        assert_eq!(document.phase, Phase::Warming);
        let back = follow(&document, Sighting { listed: &nodes("ab"), lost: &lost });
        assert_eq!(shown(&back), ["joining ab>abc", "active ab"]);
        assert_eq!(back[1].history.len(), 1, "the next ring never came to reign");
        back.iter().for_each(sound);
    }

    #[test]
    fn a_replaced_node_keeps_its_place_and_begins_its_reign_anew_when_all_have_followed() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let moved = replaced("abc", 1);
        let steps = follow(&first, listed(&moved));
        assert_eq!(shown(&steps), ["active abc", "active abc"]);
        assert_eq!((&steps[0].nodes, &steps[0].history), (&moved, &first.history));
        assert!(steps[1].begins_reign_after(&steps[0]) && !steps[0].begins_reign_after(&first));
        let [before, now] = &steps[1].history[..] else { panic!("{:?}", steps[1].history) };
        assert_eq!((before.to, now.from, now.to), (Some(steps[1].epoch), steps[1].epoch, None));
        steps.iter().for_each(sound);
    }

    #[test]
    fn what_a_replaced_node_holds_from_before_its_reign_is_not_trusted_and_all_else_is() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let steps = follow(&first, listed(&replaced("abc", 1)));
        let (ring, ownership) = (Ring::new(KIND, &nodes("abc")).unwrap(), steps[1].ownership(KIND));
        for number in 0..200 {
            let key = format!("flights:{number}").into_bytes();
            let owner = ring.owner(&key);
            // As a client has it, which knows a node by its name.
            let node = RingNode::new(ring.nodes()[owner].host.clone(), 11211);
            for epoch in [first.epoch, steps[0].epoch] {
                let trust = ownership.trust(&key, &node, epoch.stamp());
                assert_eq!(trust == Trust::Trusted, owner != 1, "{number} under {epoch}");
            }
            assert_eq!(ownership.trust(&key, &node, steps[1].epoch.stamp()), Trust::Trusted);
        }
    }

    #[test]
    fn a_node_that_is_replaced_again_before_its_reign_has_begun_anew_waits_again() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let once = first.following(KIND, listed(&replaced("abc", 1)), NOW).unwrap();
        let mut again = nodes("abc");
        again[1].ip = Some("10.0.9.10".to_owned());
        let steps = follow(&once, listed(&again));
        assert_eq!(shown(&steps), ["active abc", "active abc"]);
        assert!(!steps[0].begins_reign_after(&once) && steps[1].begins_reign_after(&steps[0]));
    }

    #[test]
    fn a_replacement_comes_before_an_arrival_and_before_a_loss() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let steps = follow(&first, listed(&replaced("abcd", 1)));
        assert_eq!(shown(&steps[..3]), ["active abc", "active abc", "joining abc>abcd"]);
        let lost = nodes("c");
        let steps = follow(&first, Sighting { listed: &replaced("ab", 1), lost: &lost });
        assert_eq!(shown(&steps), ["active abc", "active abc", "active ab"]);
        assert!(steps[1].begins_reign_after(&steps[0]));
    }

    #[test]
    fn an_address_that_becomes_known_is_no_replacement_and_another_one_after_it_is() {
        let unknown: Vec<_> = nodes("ab").into_iter().map(|node| RingNode { ip: None, ..node }).collect();
        let first = RingDocument::first(unknown, NOW);
        let known = follow(&first, listed(&nodes("ab")));
        assert_eq!(shown(&known), ["active ab"]);
        let steps = follow(&known[0], listed(&replaced("ab", 0)));
        assert!(steps[1].begins_reign_after(&steps[0]));
    }

    #[test]
    fn a_replaced_node_of_a_ring_by_address_takes_keys_of_others_and_so_four_steps() {
        let first = RingDocument::first(nodes("abc"), NOW);
        let mut moved = nodes("abc");
        moved[1].ip = Some("10.0.9.9".to_owned());
        let step = first.following(RingKind::SpymemcachedKetamaIpOnly, listed(&moved), NOW).unwrap();
        assert_eq!(shown(&[step]), ["joining abc>abc"]);
    }

    #[test]
    fn a_retired_node_leaves_in_four_steps_stays_out_while_it_is_listed_and_is_then_forgotten() {
        let all = nodes("abc");
        let retiring = RingDocument::first(all.clone(), NOW).retiring(&all[2], NOW).unwrap();
        let steps = follow(&retiring, listed(&all));
        assert_eq!(shown(&steps), ["joining abc>ab", "warming abc>ab", "leaving abc>ab", "active ab"]);
        let gone = follow(&steps[3], listed(&nodes("ab")));
        assert_eq!(shown(&gone), ["active ab"]);
        assert!(gone[0].retired.is_empty());
    }

    #[test]
    fn a_node_that_is_restored_comes_back_in_four_steps() {
        let all = nodes("abc");
        let retiring = RingDocument::first(all.clone(), NOW).retiring(&all[2], NOW).unwrap();
        let out = follow(&retiring, listed(&all)).pop().unwrap();
        let back = follow(&out.restoring(&all[2], NOW).unwrap(), listed(&all));
        assert_eq!(shown(&back), ["joining ab>abc", "warming ab>abc", "leaving ab>abc", "active abc"]);
    }

    #[test]
    fn the_last_node_cannot_retire() {
        let all = nodes("ab");
        let one = RingDocument::first(all.clone(), NOW).retiring(&all[0], NOW).unwrap();
        assert_eq!(one.retiring(&all[1], NOW), None);
        assert_eq!(one.retiring(&all[0], NOW), None, "it does already");
    }

    #[test]
    fn epochs_only_grow_and_a_long_history_is_cut() {
        let mut document = RingDocument::first(nodes("ab"), NOW);
        for turn in 0..40 {
            let list = nodes(if turn % 2 == 0 { "abc" } else { "ab" });
            for step in follow(&document, listed(&list)) {
                assert!(step.epoch > document.epoch);
                sound(&step);
                document = step;
            }
        }
        assert_eq!(document.history.len(), RingDocument::MAX_HISTORY);
        assert!(document.history_is_cut);
    }

    #[test]
    fn what_a_node_kept_from_before_it_lost_its_keys_is_not_trusted_when_they_return() {
        // 4 -> 5 -> 4 and 3 -> 4 -> 3 -> 4: the key moves away and comes back.
        for lists in [&["abcd", "abcde", "abcd"][..], &["abc", "abcd", "abc", "abcd"], &["ab", "a", "ab"]] {
            let mut document = RingDocument::first(nodes(lists[0]), NOW);
            let mut stamps = vec![document.epoch];
            let mut owners = vec![nodes(lists[0])];
            for list in &lists[1..] {
                document = follow(&document, listed(&nodes(list))).pop().unwrap();
                stamps.push(document.epoch);
                owners.push(nodes(list));
            }
            let ownership = document.ownership(KIND);
            let rings: Vec<_> = owners.iter().map(|list| Ring::new(KIND, list).unwrap()).collect();
            for number in 0..500 {
                let key = format!("flights:{number}").into_bytes();
                let owner = |at: usize| &rings[at].nodes()[rings[at].owner(&key)];
                let last = rings.len() - 1;
                for (at, stamp) in stamps.iter().enumerate() {
                    let stayed = (at..=last).all(|later| owner(later).host == owner(last).host);
                    let trust = ownership.trust(&key, owner(last), stamp.stamp());
                    assert_eq!(trust == Trust::Trusted, stayed, "{lists:?} {number} stored in ring {at}");
                }
            }
        }
    }

    #[test]
    fn items_from_before_the_first_document_are_as_old_as_it() {
        let document = RingDocument::first(nodes("ab"), NOW);
        let key = b"flights:1";
        let owner = |list: &[RingNode]| Ring::new(KIND, list).unwrap().owner(key);
        let (two, three) = (nodes("ab"), nodes("abc"));
        assert_eq!(document.ownership(KIND).trust(key, &two[owner(&two)], 0), Trust::Trusted);
        let grown = follow(&document, listed(&three)).pop().unwrap();
        let is_same = two[owner(&two)] == three[owner(&three)];
        let trust = grown.ownership(KIND).trust(key, &three[owner(&three)], 0);
        assert_eq!(trust == Trust::Trusted, is_same);
        let cut = RingDocument { history_is_cut: true, ..grown };
        assert_eq!(cut.ownership(KIND).trust(key, &two[owner(&two)], 0), Trust::Unknown);
    }

    #[test]
    fn an_item_of_a_later_document_says_that_there_is_one() {
        let document = RingDocument::first(nodes("ab"), NOW);
        let trust = document.ownership(KIND).trust(b"k", &nodes("a")[0], document.epoch.next().stamp());
        assert_eq!(trust, Trust::Unknown);
    }

    #[test]
    fn an_item_older_than_the_history_is_not_trusted() {
        let document = RingDocument::first(nodes("a"), NOW);
        let before = document.epoch.stamp().wrapping_sub(1);
        assert_eq!(document.ownership(KIND).trust(b"k", &nodes("a")[0], before), Trust::Unknown);
    }

    #[test]
    fn while_warming_both_owners_are_trusted_with_what_they_heard_of() {
        let mut document = RingDocument::first(nodes("ab"), NOW);
        let first = document.epoch;
        for _ in 0..2 {
            document = document.following(KIND, listed(&nodes("abc")), NOW).unwrap();
        }
        let (two, three) = (Ring::new(KIND, &nodes("ab")).unwrap(), Ring::new(KIND, &nodes("abc")).unwrap());
        let key = (0..).map(|n| format!("k{n}").into_bytes()).find(|key| three.owner(key) == 2).unwrap();
        let (present, next) = (&two.nodes()[two.owner(&key)], &nodes("c")[0]);
        let ownership = document.ownership(KIND);
        assert_eq!(ownership.trust(&key, present, first.stamp()), Trust::Trusted);
        assert_eq!(ownership.trust(&key, next, first.stamp()), Trust::Untrusted);
        let joining = Epoch::new(document.epoch.number() - 1).unwrap();
        assert_eq!(ownership.trust(&key, next, joining.stamp()), Trust::Untrusted);
        assert_eq!(ownership.trust(&key, next, document.epoch.stamp()), Trust::Trusted);
    }

    /// All documents until the ring is as it should be.
    fn follow(document: &RingDocument, seen: Sighting<'_>) -> Vec<RingDocument> {
        let mut steps: Vec<RingDocument> = Vec::new();
        while let Some(next) = steps.last().unwrap_or(document).following(KIND, seen, NOW) {
            steps.push(next);
            assert!(steps.len() < 12, "no end: {:?}", shown(&steps));
        }
        steps
    }

    #[track_caller]
    fn sound(document: &RingDocument) {
        assert_eq!(RingDocument::parse(&document.encode()).as_ref(), Ok(document));
    }

    fn shown(steps: &[RingDocument]) -> Vec<String> {
        let letters = |list: &[RingNode]| list.iter().map(|node| node.host.as_str()).collect::<String>();
        let phase = |document: &RingDocument| format!("{:?}", document.phase).to_lowercase();
        steps
            .iter()
            .map(|step| match step.next.is_empty() {
                true => format!("{} {}", phase(step), letters(&step.nodes)),
                false => format!("{} {}>{}", phase(step), letters(&step.nodes), letters(&step.next)),
            })
            .collect()
    }

    fn listed(list: &[RingNode]) -> Sighting<'_> {
        Sighting { listed: list, lost: &[] }
    }

    /// The nodes of `letters`, one of them at another address.
    fn replaced(letters: &str, at: usize) -> Vec<RingNode> {
        let mut nodes = nodes(letters);
        nodes[at].ip = Some("10.0.9.9".to_owned());
        nodes
    }

    fn nodes(letters: &str) -> Vec<RingNode> {
        letters.chars().map(|c| format!("{c}:11211@10.0.0.{}", c as u32).parse().unwrap()).collect()
    }

    const KIND: RingKind = RingKind::LibmemcachedKetamaWeighted;
    const NOW: u64 = 1_764_096_001_000;
}
