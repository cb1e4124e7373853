//! What ought to have worked and did not.

use lambda_runtime::Diagnostic;

use crate::ask::InvalidEvent;

/// Why an invocation failed. Nothing was done; of a batch Lambda hands over all messages again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody sends such an event to this function on purpose.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
}

impl Failure {
    /// The name by which it is told apart in Lambda's own reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidEvent(_) => "InvalidEvent",
        }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.name().to_owned(), error_message: larder_lambda::logs::chain(&failure) }
    }
}
