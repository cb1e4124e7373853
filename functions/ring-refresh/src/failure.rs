//! What ought to have worked and did not.

use lambda_runtime::Diagnostic;
use larder_cache::PublishError;

use crate::ask::UnknownEvent;

/// Why an invocation failed. The ring is as it was; another try may help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody sends such an event to this function on purpose.
    #[error(transparent)]
    UnknownEvent(#[from] UnknownEvent),
    /// Nothing could be published.
    #[error("the ring could not be published")]
    Publish(#[from] PublishError),
}

impl Failure {
    /// The name by which it is told apart in Lambda's own reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownEvent(_) => "UnknownEvent",
            Self::Publish(_) => "NotPublished",
        }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.name().to_owned(), error_message: larder_lambda::logs::chain(&failure) }
    }
}
