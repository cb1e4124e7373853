//! Where a key is read and written: by one owner, or by two while it moves.

use std::sync::Arc;

use larder_ring::{Phase, Reads, Writes};

use crate::node::Node;

/// The copies of a hot key, each under a key of its own; see [`Key::copy_at`](crate::Key::copy_at).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Copies {
    /// How many there are, the key itself included, which is copy 0: a write has to reach all of them.
    pub count: u32,
    /// Whether any of them may be read; if not, only copy 0.
    pub is_read: bool,
}

/// Where a key is read and written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'f> {
    /// It has one owner.
    Settled(&'f Arc<Node>),
    /// It moves from one owner to another.
    Moving { phase: Phase, present: &'f Arc<Node>, next: &'f Arc<Node> },
}

impl<'f> Place<'f> {
    /// The node that is read first.
    pub(crate) fn read_first(self) -> &'f Arc<Node> {
        match self {
            Self::Settled(node) => node,
            Self::Moving { phase, present, next } => match phase.reads() {
                Reads::Present => present,
                Reads::NextThenPresent | Reads::Next => next,
            },
        }
    }

    /// The node that is read if the first one has nothing.
    pub(crate) fn read_then(self) -> Option<&'f Arc<Node>> {
        match self {
            Self::Moving { phase, present, .. } if phase.reads() == Reads::NextThenPresent => Some(present),
            _ => None,
        }
    }

    /// The node that is read last: the second one, if there is one.
    pub(crate) fn read_last(self) -> &'f Arc<Node> {
        self.read_then().unwrap_or(self.read_first())
    }

    /// The node that is written, and compared with.
    pub(crate) fn written(self) -> &'f Arc<Node> {
        match self {
            Self::Settled(node) => node,
            Self::Moving { phase, present, next } => match phase.writes() {
                Writes::Present | Writes::PresentThenVoidNext => present,
                Writes::VoidPresentThenNext => next,
            },
        }
    }

    /// The node from which a write removes the key before it goes to the one that is written.
    pub(crate) fn voided_before(self) -> Option<&'f Arc<Node>> {
        match self {
            Self::Moving { phase, present, .. } if phase.writes() == Writes::VoidPresentThenNext => {
                Some(present)
            }
            _ => None,
        }
    }

    /// The node from which a write removes the key after it has gone to the one that is written.
    pub(crate) fn voided_after(self) -> Option<&'f Arc<Node>> {
        match self {
            Self::Moving { phase, next, .. } if phase.writes() == Writes::PresentThenVoidNext => Some(next),
            _ => None,
        }
    }

    /// Whether a read that went by this place need not be made again by the `other`.
    pub(crate) fn reads_like(self, other: Self) -> bool {
        Arc::ptr_eq(self.read_first(), other.read_first()) && is_same(self.read_then(), other.read_then())
    }

    /// Whether a read that went by this place has asked whom the `other` asks, in its order; what it found may be of a
    /// node that the other does not ask.
    pub(crate) fn reads_all_of(self, other: Self) -> bool {
        Arc::ptr_eq(self.read_first(), other.read_first())
            && (other.read_then().is_none() || is_same(self.read_then(), other.read_then()))
    }

    /// Whether a write that went by this place need not be made again by the `other`, but for what that one removes
    /// afterwards.
    pub(crate) fn writes_like(self, other: Self) -> bool {
        Arc::ptr_eq(self.written(), other.written())
            && (other.voided_before().is_none() || is_same(self.voided_before(), other.voided_before()))
    }
}

fn is_same(one: Option<&Arc<Node>>, other: Option<&Arc<Node>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}
