//! What the run shows of the present tree, and is switched on when that is mended.

/// Reads of quiet keys after an epoch whose stamp reads as newer: such an item is a miss that nobody may fill.
pub(crate) const EPOCHS_MAY_WRAP: bool = true;
/// Reads of the other nodes' keys while the document is lost and a node is silent: they bypass the cache for good.
pub(crate) const LOSS_BESIDE_A_SILENT_NODE_HEALS: bool = true;
/// A replacement beside its living predecessor: what the old node was told is read as old from the new one.
pub(crate) const PREDECESSORS_LOSE_THEIR_WORD: bool = true;
/// "No such record" in an outage: it is answered for the whole grace.
pub(crate) const NO_ROW_ENDS_IN_AN_OUTAGE: bool = true;
