//! The phases of a change of ring, and what they mean for a key that moves.

use serde::{Deserialize, Serialize};

/// How far the fleet has moved from one ring to the next.
///
/// What it means for a key that moves from its present owner to its next one:
///
/// | phase | read from | written |
/// | --- | --- | --- |
/// | `active` | present | to present |
/// | `joining` | present | to present, then removed from next |
/// | `warming` | next; on a miss present, and copied to next | to present, then removed from next |
/// | `leaving` | next | removed from present, then to next |
///
/// and then `active` again, with the next ring. Environments that are one phase apart do each other no harm, and no two
/// of them are ever further apart: before each step the publisher waits until everyone has had to look at the document
/// again. No phase can be left out; `tests/tests/ring_model.rs` shows for each what goes wrong without it.
///
/// Source: Rae et al., "Online, Asynchronous Schema Change in F1", VLDB 2013, of which this is the case of one key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// There is one ring.
    Active,
    /// The next owners hear of every write, and hold nothing.
    Joining,
    /// The next owners are read, and take over what they miss.
    Warming,
    /// The present owners are read no more, and still hear of every write.
    Leaving,
}

/// Where a key that moves is read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reads {
    /// From its present owner.
    Present,
    /// From its next owner; on a miss from the present one, to be copied under a lease of the next one.
    NextThenPresent,
    /// From its next owner.
    Next,
}

/// Where a key that moves is written, in this order.
///
/// The owner that copies come from is first: a copy that is begun before the second step is voided by it, one that is
/// begun after finds the first step done. In the other order a copy in between would outlive the write.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Writes {
    /// To its present owner.
    Present,
    /// To its present owner; then what the next one holds is removed, and its leases are void.
    PresentThenVoidNext,
    /// What its present owner holds is removed; then to its next owner.
    VoidPresentThenNext,
}

impl Phase {
    /// Where a key that moves is read.
    pub const fn reads(self) -> Reads {
        match self {
            Self::Active | Self::Joining => Reads::Present,
            Self::Warming => Reads::NextThenPresent,
            Self::Leaving => Reads::Next,
        }
    }

    /// Where a key that moves is written.
    pub const fn writes(self) -> Writes {
        match self {
            Self::Active => Writes::Present,
            Self::Joining | Self::Warming => Writes::PresentThenVoidNext,
            Self::Leaving => Writes::VoidPresentThenNext,
        }
    }
}
