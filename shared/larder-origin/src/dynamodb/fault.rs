//! What the errors of the API mean. None of them is kept whole: they may name the endpoint, and what was sent.

use std::error::Error;
use std::iter::successors;
use std::sync::Arc;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::Outage;

/// Why DynamoDB gave no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The API's own word for it.
    #[error("DynamoDB says {0}")]
    Told(String),
    #[error("no connection to DynamoDB")]
    Unconnected,
    #[error("no answer from DynamoDB")]
    Unanswered,
    #[error("DynamoDB left out keys or transactions until it was asked no more")]
    LeftOver,
}

impl Fault {
    /// Whether it is that of this environment: no connection, or no right to ask.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            Self::Told(code) => OWN_CODES.contains(&code.as_str()),
            Self::Unconnected => true,
            Self::Unanswered | Self::LeftOver => false,
        }
    }
}

/// The outage that an error is.
pub(super) fn fault<E>(error: SdkError<E, HttpResponse>) -> Outage
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    Outage::Database(Arc::new(what(&error)))
}

/// What an error is of a request that writes: without an answer nobody knows.
pub(super) fn fault_of_write<E>(error: SdkError<E, HttpResponse>) -> Outage
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let server_failed = error.raw_response().is_some_and(|answer| answer.status().is_server_error());
    match what(&error) {
        fault @ Fault::Unanswered => Outage::Unknown(Some(Arc::new(fault))),
        fault if server_failed => Outage::Unknown(Some(Arc::new(fault))),
        fault => Outage::Database(Arc::new(fault)),
    }
}

/// What an error is of a request that an earlier attempt may have done.
pub(super) fn fault_of_unknown<E>(error: SdkError<E, HttpResponse>) -> Outage
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    Outage::Unknown(Some(Arc::new(what(&error))))
}

/// Some of what was asked was never answered.
pub(super) fn left_over() -> Outage {
    Outage::Database(Arc::new(Fault::LeftOver))
}

/// Whether there is no such table.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ResourceNotFoundException")
}

fn what<E>(error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            Fault::Told(answer.err().code().unwrap_or("nothing more").to_owned())
        }
        SdkError::ConstructionFailure(_) => Fault::Unconnected,
        _ if is_unconnected(error) => Fault::Unconnected,
        _ => Fault::Unanswered,
    }
}

/// Whether the connection was never made: not resolved, refused, not made in time, no TLS session.
pub(super) fn is_unconnected(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source()).any(|cause| {
        cause.downcast_ref().is_some_and(|cause: &hyper_util::client::legacy::Error| cause.is_connect())
    })
}

/// Credentials, their signature and their rights.
///
/// Source: "Common Errors" and "Error handling with DynamoDB" in the Amazon DynamoDB developer guide.
const OWN_CODES: [&str; 8] = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "UnrecognizedClientException",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_rights_are_those_of_one_environment() {
        let told = |code: &str| Fault::Told(code.to_owned());
        for fault in [Fault::Unconnected, told("UnrecognizedClientException"), told("AccessDeniedException")]
        {
            assert!(fault.is_own(), "{fault}");
        }
        let throttled = told("ProvisionedThroughputExceededException");
        for fault in [Fault::Unanswered, Fault::LeftOver, throttled, told("InternalServerError")] {
            assert!(!fault.is_own(), "{fault}");
        }
    }
}
