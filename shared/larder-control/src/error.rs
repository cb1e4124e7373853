//! What can go wrong, told by what the caller would do next.

use std::error::Error;

/// Why the control plane did not tell, or do, what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The cluster is being changed, or too much is asked of the API. Nothing was done; later the same may be asked
    /// again.
    #[error("not now: {0}")]
    Busy(String),
    /// A quota, or the zone, has no room for another node. Asking again does not help soon.
    #[error("no room for more nodes: {0}")]
    NoRoom(String),
    /// There is no such cluster.
    #[error("no such cluster: {0}")]
    NotFound(String),
    /// The caller's rights do not allow it, or its credentials are not, or no longer, valid.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// It cannot be done to the cluster as it is now. Nothing was done; look again before another try.
    #[error("refused: {0}")]
    Refused(String),
    /// No connection was made, so nothing was done: no interface endpoint in the subnets, no such name, nobody listens.
    #[error("the control plane is out of reach")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Asked, and not answered: the time was over, the connection lost, or it failed over there. Whether a change was
    /// made is not known; what [`describe`](crate::ControlPlane::describe) tells next is.
    #[error("the control plane gave no answer")]
    NoAnswer(#[source] Box<dyn Error + Send + Sync>),
    /// The answer makes no sense, or lacks what every answer has.
    #[error("the answer of the control plane makes no sense: {0}")]
    Malformed(String),
}

impl ControlError {
    /// Whether a change that failed so may have been made all the same.
    pub fn leaves_doubt(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Malformed(_))
    }
}
