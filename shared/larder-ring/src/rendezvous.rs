//! Rendezvous: every node bids for the key, and the highest bid wins.

use std::cmp::Reverse;

use crate::hash::murmur3::Murmur3;

/// The nodes, each with the hash of the beginning of its bids.
///
/// A bid is the MurmurHash3 of `NAME-KEY`. Adding a node moves keys only to it, with no points to keep; but each
/// look-up asks every node.
///
/// Source: pymemcache `client/rendezvous.py`.
#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    bidders: Box<[Bidder]>,
}

#[derive(Clone, Debug)]
struct Bidder {
    /// `NAME-`, hashed so far.
    begun: Murmur3,
    /// How many names are smaller: an equal bid goes to the larger name.
    rank: usize,
}

impl Rendezvous {
    /// The nodes of these names, in list order; at least one.
    pub(crate) fn new(names: &[String]) -> Self {
        let bidders = names.iter().map(|name| {
            let mut begun = Murmur3::default();
            begun.characters(name.as_bytes());
            begun.byte(b'-');
            Bidder { begun, rank: names.iter().filter(|other| *other < name).count() }
        });
        Self { bidders: bidders.collect() }
    }

    /// The node that bids most for `key`; of two nodes of the same name, the first. Allocates nothing.
    pub(crate) fn owner(&self, key: &[u8]) -> usize {
        let bid = |(at, bidder): (usize, &Bidder)| {
            let mut bid = bidder.begun;
            bid.characters(key);
            (bid.finish(), bidder.rank, Reverse(at))
        };
        self.bidders.iter().enumerate().map(bid).max().map_or(0, |(.., Reverse(at))| at)
    }
}
