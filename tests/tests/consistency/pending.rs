//! What the run shows of the present tree, and is switched on when that is mended.

/// A replacement beside its living predecessor: what the old node was told is read as old from the new one.
pub(crate) const PREDECESSORS_LOSE_THEIR_WORD: bool = false;
/// "No such record" in an outage: it is answered for the whole grace.
pub(crate) const NO_ROW_ENDS_IN_AN_OUTAGE: bool = false;
