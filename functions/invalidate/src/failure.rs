//! What ought to have worked and did not.

use lambda_runtime::Diagnostic;

use crate::ask::InvalidEvent;

/// Why an invocation failed. Lambda hands over all messages again; forgetting a key twice does no harm.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody sends such an event to this function on purpose.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// Messages that did not come from a queue are not wholly done, which only another try, or a dead letter, keeps.
    #[error("{0} messages are not done")]
    NotDone(usize),
}

impl Failure {
    /// The name by which it is told apart in Lambda's own reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidEvent(_) => "InvalidEvent",
            Self::NotDone(_) => "NotDone",
        }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.name().to_owned(), error_message: larder_lambda::logs::chain(&failure) }
    }
}
