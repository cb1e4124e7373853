//! The counter of ring documents, and what an item keeps of it.

use std::fmt;

/// The counter of ring documents: every document that is published has a higher one.
///
/// It starts at the time of the first publication, in seconds since 1970. So a fleet that has lost its document, and
/// begins again, goes on above all that any environment remembers, as long as less than one document a second was
/// published. The low 16 bits are its [`stamp`](Self::stamp), and never 0 or 1: these mark items that were stored under
/// no document.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(u64);

impl Epoch {
    /// The stamp of an item whose client flags are all its owner's: stored by a plain `set`, or by another library.
    pub const UNSTAMPED: u16 = 0;
    /// The stamp of an item that was stored under a lease by a client that knew no document. No document trusts it:
    /// another client may have gone by another list of nodes at that time.
    pub const NO_DOCUMENT: u16 = 1;

    /// The first epoch of a fleet whose first document is published at `unix_secs`, seconds since 1970.
    pub const fn first(unix_secs: u64) -> Self {
        Self(with_stamp(unix_secs))
    }

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(with_stamp(self.0 + 1))
    }

    /// The epoch with this number; `None` where there is no such epoch: above 2^53, or with 0 or 1 as its low 16 bits.
    pub const fn new(number: u64) -> Option<Self> {
        if number > MOST || number != with_stamp(number) { None } else { Some(Self(number)) }
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// What an item keeps of the epoch that it was stored under: the low 16 bits.
    pub const fn stamp(self) -> u16 {
        self.0 as u16
    }

    /// The epoch that `stamp` means, seen from this one: the nearest, so one of the 32,767 after this one or of the
    /// 32,768 before it. `None` for 0 and 1, and for an epoch before the first there could be.
    pub fn of_stamp(self, stamp: u16) -> Option<Self> {
        let ahead = i64::from(stamp.wrapping_sub(self.stamp()) as i16);
        self.0.checked_add_signed(ahead).and_then(Self::new)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first number from `number` on whose low 16 bits are a stamp of a document.
const fn with_stamp(number: u64) -> u64 {
    match number as u16 {
        Epoch::UNSTAMPED => number + 2,
        Epoch::NO_DOCUMENT => number + 1,
        _ => number,
    }
}

/// No clock tells a later second, and JSON keeps every number up to this one.
const MOST: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_epoch_has_a_stamp_of_items_that_were_stored_under_no_document() {
        let epoch = Epoch::new(0xffff).unwrap();
        assert_eq!(epoch.next().number(), 0x1_0002);
        assert_eq!(Epoch::first(0x1_0000).number(), 0x1_0002);
        assert_eq!(Epoch::first(0x1_0001).number(), 0x1_0002);
        for stamp in [Epoch::UNSTAMPED, Epoch::NO_DOCUMENT] {
            assert_eq!(Epoch::new(0x1_0000 | u64::from(stamp)), None);
            assert_eq!(epoch.of_stamp(stamp), None);
        }
    }

    #[test]
    fn a_stamp_means_the_nearest_epoch() {
        let now = Epoch::new(0x2_0005).unwrap();
        check(now, 0x0005, Some(0x2_0005));
        check(now, 0x0004, Some(0x2_0004));
        check(now, 0x0006, Some(0x2_0006));
        check(now, 0xffff, Some(0x1_ffff));
        check(now, 0x8004, Some(0x2_8004));
        check(now, 0x8005, Some(0x1_8005));
        check(Epoch::new(5).unwrap(), 0xffff, None);
        check(now, 1, None);
    }

    #[track_caller]
    fn check(now: Epoch, stamp: u16, expected: Option<u64>) {
        assert_eq!(now.of_stamp(stamp).map(Epoch::number), expected, "{stamp:#x}");
    }
}
