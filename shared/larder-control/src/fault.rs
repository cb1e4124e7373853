//! What the errors of the API mean.

use std::error::Error;
use std::iter::successors;

use aws_sdk_elasticache::config::http::HttpResponse;
use aws_sdk_elasticache::error::{ProvideErrorMetadata, SdkError};
use larder_lambda::logs::chain;

use crate::ControlError;

/// The meaning of a call that failed.
pub(crate) fn fault<E>(error: SdkError<E, HttpResponse>) -> ControlError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            let reason = answer.err().message().unwrap_or(code).to_owned();
            match meaning(code) {
                Some(meaning) => meaning(reason),
                None if answer.raw().status().is_client_error() => ControlError::Refused(reason),
                None if answer.raw().status().is_success() => ControlError::Malformed(chain(&error)),
                None => ControlError::NoAnswer(error.into()),
            }
        }
        SdkError::ConstructionFailure(_) => ControlError::Refused(chain(&error)),
        SdkError::ResponseError(_) => ControlError::Malformed(chain(&error)),
        SdkError::DispatchFailure(_) if is_unconnected(&error) => ControlError::Unreachable(error.into()),
        _ => ControlError::NoAnswer(error.into()),
    }
}

/// The meaning of an error's code, where it is one that is answered in its own way.
///
/// Source: "ModifyCacheCluster" and "Common Error Types" in the Amazon ElastiCache API reference.
fn meaning(code: &str) -> Option<fn(String) -> ControlError> {
    Some(match code {
        "InvalidCacheClusterState"
        | "APICallRateForCustomerExceeded"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException" => ControlError::Busy,
        "InsufficientCacheClusterCapacity"
        | "NodeQuotaForClusterExceeded"
        | "NodeQuotaForCustomerExceeded" => ControlError::NoRoom,
        "CacheClusterNotFound" => ControlError::NotFound,
        "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "OptInRequired"
        | "UnauthorizedOperation"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => ControlError::NotAllowed,
        _ => return None,
    })
}

/// Whether the connection was never made: not resolved, refused, not made in time, no TLS session.
fn is_unconnected(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source()).any(|cause| {
        cause.downcast_ref().is_some_and(|cause: &hyper_util::client::legacy::Error| cause.is_connect())
    })
}
