//! What ought to have worked and did not.

use lambda_runtime::Diagnostic;

use crate::ask::InvalidEvent;

/// Why an invocation failed. All lists are as they were.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody sends such an event to this function on purpose.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// A list failed, or more, and nothing else was done.
    #[error("no list could be refreshed, {failed} failed; the first: {first}")]
    NothingDone {
        /// How many failed.
        failed: usize,
        /// What happened to the first of them.
        first: String,
    },
}

impl Failure {
    /// The name by which it is told apart in Lambda's own reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidEvent(_) => "InvalidEvent",
            Self::NothingDone { .. } => "NothingDone",
        }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.name().to_owned(), error_message: failure.to_string() }
    }
}
