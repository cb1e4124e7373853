//! What was done, as the caller is told.
//!
//! | event | members |
//! | --- | --- |
//! | a batch of SQS | `batchItemFailures`: the messages that are not wholly done, each by its `itemIdentifier`; none where all is done |
//! | messages of SNS | `forgotten`; where any are left the invocation fails |
//! | keys by hand | `forgotten`: how many are, those that nobody held included; where any are left, `left`, which is itself such an event, and `errors`, sentences |
//!
//! Source: "Handling errors for an SQS event source in Lambda" in the Lambda developer guide.

use larder_cache::Invalidation;
use larder_lambda::batch::ItemFailure;
use serde::Serialize;

/// What was done for one event.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// For a batch.
    Batch {
        /// The messages that SQS must keep.
        #[serde(rename = "batchItemFailures")]
        failures: Vec<ItemFailure>,
    },
    /// For keys that were named by hand.
    Keys {
        /// How many are forgotten.
        forgotten: usize,
        /// What is left.
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<Invalidation>,
        /// Why; nothing where the time was over.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        errors: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use larder_cache::Forget;
    use larder_client::{Key, Ttl};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(answer: &Answer, expected: serde_json::Value) {
        assert_eq!(serde_json::to_value(answer).unwrap(), expected);
    }

    #[test]
    fn a_batch_is_answered_as_lambda_wants_it() {
        check(&Answer::Batch { failures: vec![] }, json!({ "batchItemFailures": [] }));
        let failures = ["a", "b"].map(|id| ItemFailure { id: id.to_owned() }).to_vec();
        let expected = json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "itemIdentifier": "b" }] });
        check(&Answer::Batch { failures }, expected);
    }

    #[test]
    fn what_is_left_of_keys_is_the_next_event() {
        check(&Answer::Keys { forgotten: 2, left: None, errors: vec![] }, json!({ "forgotten": 2 }));
        let how = Forget::Soft(Ttl::clamped(30));
        let left = Some(Invalidation { keys: vec![Key::new(b"a").unwrap()], how });
        check(
            &Answer::Keys { forgotten: 1, left, errors: vec!["node n:1".to_owned()] },
            json!({ "forgotten": 1, "left": { "keys": ["a"], "soft_secs": 30 }, "errors": ["node n:1"] }),
        );
    }
}
