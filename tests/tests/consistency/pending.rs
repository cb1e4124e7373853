//! What the run shows of the present tree, and is switched on when that is mended.

/// A document is lost while the list of nodes changes: a cold environment goes by the new list at once, a warm one for a
/// moment by the lost document, and the founded one trusts what either has stored.
pub(crate) const ONE_RING_WITHOUT_A_DOCUMENT: bool = true;
/// "No such record" in an outage ends after its time.
pub(crate) const NO_ROW_ENDS_IN_AN_OUTAGE: bool = true;
