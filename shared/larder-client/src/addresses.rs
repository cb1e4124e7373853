//! In which order the addresses of a name are tried, and what is remembered of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::lookup::Found;
use crate::moment::Moment;

/// What is remembered of names and addresses from one connection to the next.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// The last answer for each name.
    answers: HashMap<String, (Found, Moment)>,
    /// Addresses that have failed or were silent, or are being tried, the latest last.
    doubtful: Vec<SocketAddr>,
}

impl Addresses {
    /// Takes note of what name servers said of `host` at `now`.
    pub(crate) fn remember(&mut self, host: &str, found: &Found, now: Moment) {
        if self.answers.len() >= MOST_NAMES && !self.answers.contains_key(host) {
            self.answers.clear();
        }
        self.answers.insert(host.to_owned(), (found.clone(), now));
    }

    /// What name servers said of `host`, if it is good yet by its own time and no older than `most`: a failover moves
    /// a name.
    pub(crate) fn remembered(&self, host: &str, now: Moment, most: Duration) -> Option<&[IpAddr]> {
        let (found, told) = self.answers.get(host)?;
        (now.since(told) <= found.good_for.min(most)).then_some(&found.addresses)
    }

    /// The order in which `addresses` are tried: those of both families in turn (RFC 8305, section 4), but the doubtful
    /// ones last, and of these first the one that was tried least lately.
    pub(crate) fn in_order(&self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut ordered = interleaved(addresses);
        ordered.sort_by_key(|address| self.doubtful.iter().position(|doubtful| doubtful == address));
        ordered
    }

    /// An address is about to be tried: it is doubtful until it succeeds, for whoever tries may leave.
    pub(crate) fn begun(&mut self, address: SocketAddr) {
        self.doubtful.retain(|doubtful| *doubtful != address);
        if self.doubtful.len() >= MOST_DOUBTFUL {
            self.doubtful.remove(0);
        }
        self.doubtful.push(address);
    }

    /// An address has succeeded, and with it none of `addresses` is doubtful that was tried after it.
    pub(crate) fn succeeded(&mut self, address: SocketAddr, addresses: &[SocketAddr]) {
        let Some(at) = self.doubtful.iter().position(|doubtful| *doubtful == address) else { return };
        let later = self.doubtful.split_off(at);
        self.doubtful.extend(later.into_iter().filter(|doubtful| !addresses.contains(doubtful)));
    }
}

/// Addresses of both families in turn, beginning with that of the first; each once.
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let is_first = |address: &&SocketAddr| address.is_ipv4() == first.is_ipv4();
    let (ours, others): (Vec<_>, Vec<_>) = addresses.iter().partition(is_first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut ordered: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
    for _ in 0..addresses.len() {
        for address in [ours.next(), others.next()].into_iter().flatten() {
            if !ordered.contains(address) {
                ordered.push(*address);
            }
        }
    }
    ordered
}

/// More names than nodes; what is forgotten is asked for again.
const MOST_NAMES: usize = 512;
const MOST_DOUBTFUL: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_no_address_comes_twice() {
        check(&[], &[], &["::1", "::2", "::3", "1.1.1.1"], &["::1", "1.1.1.1", "::2", "::3"]);
        check(&[], &[], &["1.1.1.1", "::1", "::2"], &["1.1.1.1", "::1", "::2"]);
        check(&[], &[], &["1.1.1.1", "1.1.1.2", "1.1.1.1"], &["1.1.1.1", "1.1.1.2"]);
        check(&[], &[], &[], &[]);
    }

    #[test]
    fn an_address_that_failed_or_was_silent_is_tried_last() {
        check(&["::1"], &[], &["::1", "::2"], &["::2", "::1"]);
        check(&["::1", "::2"], &[], &["::1", "::2"], &["::1", "::2"]);
        check(&["::1", "::2", "::1"], &[], &["::1", "::2", "::3"], &["::3", "::2", "::1"]);
        check(&["::1", "::2"], &["::2"], &["::1", "::2"], &["::2", "::1"]);
    }

    #[test]
    fn one_that_was_tried_after_the_winner_is_not_to_blame() {
        check(&["::1", "::2"], &["::1"], &["::2", "::1"], &["::2", "::1"]);
        check(&["::3", "::1", "::2"], &["::1"], &["::3", "::1", "::2"], &["::1", "::2", "::3"]);
    }

    #[test]
    fn an_answer_is_remembered_for_its_own_time_and_no_longer_than_told() {
        let (now, mut addresses) = (Moment::now(), Addresses::default());
        let found = Found { addresses: vec![[10, 0, 0, 1].into()], good_for: Duration::from_secs(20) };
        addresses.remember("a", &found, now);
        let after = |monotonic, wall| now.later(Duration::from_secs(monotonic), Duration::from_secs(wall));
        let is_there = |then, most| addresses.remembered("a", then, Duration::from_secs(most)).is_some();
        assert!(is_there(after(20, 20), 60));
        assert!(!is_there(after(21, 21), 60));
        assert!(!is_there(after(11, 11), 10));
        assert!(!is_there(after(0, 21), 60), "a freeze counts");
        assert_eq!(addresses.remembered("b", now, Duration::MAX), None);
    }

    /// Tries `begun` in turn, has those of `succeeded` succeed, and compares the order of `addresses` then.
    #[track_caller]
    fn check(begun: &[&str], succeeded: &[&str], addresses: &[&str], expected: &[&str]) {
        let at = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), 1);
        let mut known = Addresses::default();
        let all: Vec<_> = addresses.iter().map(at).collect();
        begun.iter().for_each(|ip| known.begun(at(ip)));
        succeeded.iter().for_each(|ip| known.succeeded(at(ip), &all));
        assert_eq!(known.in_order(&all), expected.iter().map(at).collect::<Vec<_>>());
    }
}
