//! What the errors of the API mean.

use std::error::Error;
use std::iter::successors;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use larder_lambda::logs::chain;

use crate::QueueError;

/// The meaning of a call that failed.
pub(crate) fn fault<E>(error: SdkError<E, HttpResponse>) -> QueueError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(answer) if answer.raw().status().is_client_error() => {
            let code = answer.err().code().unwrap_or_default();
            fault_of(code, answer.err().message().unwrap_or(code))
        }
        SdkError::ConstructionFailure(_) => QueueError::Refused(chain(&error)),
        SdkError::DispatchFailure(_) if is_unconnected(&error) => QueueError::Unreachable(error.into()),
        _ => QueueError::NoAnswer(error.into()),
    }
}

/// The meaning of an error that SQS names by `code`, of a call or of one message in it.
///
/// Source: "SendMessageBatch" and "Common Error Types" in the Amazon SQS API reference, in the names of its JSON
/// protocol and of the query protocol before it.
pub(crate) fn fault_of(code: &str, message: &str) -> QueueError {
    let reason = if message.is_empty() { code } else { message }.to_owned();
    match code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code) {
        "QueueDoesNotExist" | "NonExistentQueue" | "InvalidAddress" => QueueError::NotFound(reason),
        "RequestThrottled"
        | "Throttling"
        | "ThrottlingException"
        | "OverLimit"
        | "InternalError"
        | "ServiceUnavailable" => QueueError::Busy(reason),
        "AccessDenied"
        | "AccessDeniedException"
        | "InvalidSecurity"
        | "NotAuthorized"
        | "OptInRequired"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => QueueError::NotAllowed(reason),
        _ => QueueError::Refused(reason),
    }
}

/// Whether the connection was never made: not resolved, refused, not made in time, no TLS session.
fn is_unconnected(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source()).any(|cause| {
        cause.downcast_ref().is_some_and(|cause: &hyper_util::client::legacy::Error| cause.is_connect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, is_expected: impl Fn(&QueueError) -> bool) {
        let error = fault_of(code, "");
        assert!(is_expected(&error) && error.to_string().ends_with(code), "{code}: {error:?}");
    }

    #[test]
    fn a_code_means_what_the_caller_would_do_next() {
        for code in ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"] {
            check(code, |error| matches!(error, QueueError::NotFound(_)));
        }
        for code in ["RequestThrottled", "ThrottlingException", "InternalError"] {
            check(code, |error| matches!(error, QueueError::Busy(_)));
        }
        for code in ["AccessDenied", "AccessDeniedException", "ExpiredToken", "SignatureDoesNotMatch"] {
            check(code, |error| matches!(error, QueueError::NotAllowed(_)));
        }
        for code in ["InvalidMessageContents", "BatchRequestTooLong", "AWS.SimpleQueueService.Unknown"] {
            check(code, |error| matches!(error, QueueError::Refused(_)));
        }
    }
}
