//! What ought to have worked and did not.

use lambda_runtime::Diagnostic;
use larder_control::ControlError;

use crate::ask::InvalidEvent;
use crate::ring::RingError;

/// Why an invocation failed. Unless its own words say otherwise, the cluster and the ring are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody sends such an event to this function on purpose.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// The control plane did not tell, or do, what it was asked.
    #[error("the control plane failed")]
    Control(#[source] ControlError),
    /// The ring cannot be read: when the cluster was last changed, and which nodes are left out, is unknown. Another
    /// try may read it.
    #[error("the ring cannot be read, and with it not when the last change was")]
    RingUnknown(#[source] RingError),
    /// The ring could not be left by the node, and has it back. The node was not taken away.
    #[error("the node could not be left out of the ring")]
    Ring(#[source] RingError),
    /// The node is on its way out of the ring, or left out of it, and stays with the cluster: it could not be taken
    /// back. Another try takes it away, or brings it back.
    #[error("the node was not taken away, and could not be taken back into the ring")]
    NotRestored(#[source] RingError),
    /// The node is left out of the ring; whether it is being taken away is not known. Another try finds out.
    #[error("the node is left out of the ring, and whether it is being taken away is not known")]
    Doubt(#[source] ControlError),
    /// Too little of the invocation's time is left to begin.
    #[error("too little time is left to warm the nodes that stay")]
    NoTime,
}

impl Failure {
    /// The name by which it is told apart in Lambda's own reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidEvent(_) => "InvalidEvent",
            Self::Control(_) => "ControlPlane",
            Self::RingUnknown(_) => "RingUnknown",
            Self::Ring(_) => "Ring",
            Self::NotRestored(_) => "RingNotRestored",
            Self::Doubt(_) => "RemovalInDoubt",
            Self::NoTime => "NoTime",
        }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.name().to_owned(), error_message: larder_lambda::logs::chain(&failure) }
    }
}
