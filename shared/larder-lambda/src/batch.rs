//! The answer to a batch of SQS.

use serde::Serialize;

/// A message of SQS that is not done: it comes again, and ends in the dead-letter queue after as many tries as the
/// queue allows.
///
/// A function answers a batch with a list of these under `batchItemFailures`. The event source must ask for that
/// (`ReportBatchItemFailures`): without it Lambda takes every answer as success of the whole batch.
///
/// Source: "Implementing partial batch responses" in the Lambda developer guide.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ItemFailure {
    /// The message's id. Lambda takes an empty one for the whole batch.
    #[serde(rename = "itemIdentifier")]
    pub id: String,
}
