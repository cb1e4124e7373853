//! Which queue a function is told to use.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_INVALIDATION_QUEUE` | where an invalidation goes that failed: the URL of a standard queue of SQS, or `file:` and a directory on the own machine | none | |
//! | `LARDER_QUEUE_TIMEOUT_MS` | how long one call of SQS may take, in milliseconds | 2000 | 100 to 60000 |
//! | `AWS_REGION` | the queue's region where its URL does not tell it, set by Lambda | | |
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | the function's rights, set by Lambda | required for SQS, but for the token | |
//! | `AWS_ENDPOINT_URL_SQS`, `AWS_ENDPOINT_URL` | asked instead of the name in the queue's URL | none | |
//!
//! A function reads them along with its own:
//!
//! ```
//! use larder_lambda::settings::{Reader, Variables};
//!
//! let variables = Variables::from_iter([("LARDER_INVALIDATION_QUEUE", "file:queue")]);
//! let mut reader = Reader::new(&variables);
//! let queue = larder_queue::settings::queue(&mut reader, &variables);
//! assert!(reader.finish("LARDER_", || queue).is_ok());
//! ```

use std::time::Duration;

use larder_lambda::aws;
use larder_lambda::settings::{Reader, Setting, Variables, millis};

use crate::{FileQueue, InvalidationQueue, QueueConfig, Sqs, SqsConfig};

/// The queue that the variables name. `None` means that none is named, or that a fault was noted.
///
/// `variables` are those that `reader` reads; what Lambda sets is looked up there. Connects to nothing.
pub fn queue(reader: &mut Reader<'_>, variables: &Variables) -> Option<InvalidationQueue> {
    let config = reader.optional(QUEUE, QueueConfig::from_url);
    let timeout = reader.or(TIMEOUT, Duration::from_secs(2), millis(100..=60_000));
    match config? {
        QueueConfig::File(directory) => Some(InvalidationQueue::File(FileQueue::new(directory))),
        QueueConfig::Sqs { url, endpoint, region } => {
            let region = region.or_else(|| aws::region(reader, variables));
            let credentials = aws::credentials(reader, variables);
            Some(InvalidationQueue::Sqs(Sqs::new(SqsConfig {
                queue_url: url,
                endpoint_url: aws::endpoint(variables, "SQS").unwrap_or(endpoint),
                region: region?,
                credentials: credentials?,
                connect_timeout: Duration::from_secs(1).min(timeout),
                timeout,
            })))
        }
    }
}

const QUEUE: Setting = Setting {
    name: "LARDER_INVALIDATION_QUEUE",
    example: "https://sqs.eu-west-1.amazonaws.com/123456789012/invalidations",
};
const TIMEOUT: Setting = Setting { name: "LARDER_QUEUE_TIMEOUT_MS", example: "2000" };

#[cfg(test)]
mod tests {
    use larder_lambda::settings::InvalidSettings;

    use super::*;

    const OF_LAMBDA: [(&str, &str); 3] = [
        ("AWS_REGION", "us-east-2"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret"),
    ];
    const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/q";
    const EMULATOR: &str = "http://127.0.0.1:4566/000000000000/q";

    fn read(pairs: &[(&str, &str)]) -> Result<Option<InvalidationQueue>, InvalidSettings> {
        let variables = pairs.iter().copied().collect();
        let mut reader = Reader::new(&variables);
        let queue = queue(&mut reader, &variables);
        reader.finish("LARDER_", || Some(queue))
    }

    fn sqs(pairs: &[(&str, &str)]) -> SqsConfig {
        let Some(InvalidationQueue::Sqs(sqs)) = read(&[&OF_LAMBDA, pairs].concat()).unwrap() else {
            panic!("no queue of SQS")
        };
        sqs.config().clone()
    }

    #[test]
    fn a_function_may_do_without_or_use_a_directory() {
        assert!(read(&[]).unwrap().is_none());
        let file = read(&[("LARDER_INVALIDATION_QUEUE", "file:queue")]).unwrap();
        assert!(matches!(file, Some(InvalidationQueue::File(_))));
    }

    #[test]
    fn a_queue_of_sqs_is_signed_for_its_own_region_and_asked_where_it_is_told() {
        let own = sqs(&[("LARDER_INVALIDATION_QUEUE", URL)]);
        assert_eq!((own.region.as_str(), own.queue_url.as_str()), ("eu-west-1", URL));
        assert_eq!(own.endpoint_url, "https://sqs.eu-west-1.amazonaws.com");
        let emulated = sqs(&[("LARDER_INVALIDATION_QUEUE", EMULATOR), ("LARDER_QUEUE_TIMEOUT_MS", "400")]);
        assert_eq!((emulated.region.as_str(), emulated.timeout), ("us-east-2", Duration::from_millis(400)));
        assert_eq!(emulated.connect_timeout, emulated.timeout);
        let (told, more) = (("AWS_ENDPOINT_URL", "http://a:1"), ("AWS_ENDPOINT_URL_SQS", "http://b:2"));
        assert_eq!(sqs(&[("LARDER_INVALIDATION_QUEUE", URL), told]).endpoint_url, "http://a:1");
        assert_eq!(sqs(&[("LARDER_INVALIDATION_QUEUE", URL), told, more]).endpoint_url, "http://b:2");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_repeated() {
        for (pairs, expected) in [
            (&[("LARDER_INVALIDATION_QUEUE", URL)][..], "AWS_ACCESS_KEY_ID is missing; Lambda sets it"),
            (&[("LARDER_INVALIDATION_QUEUE", EMULATOR)], "AWS_REGION is missing; Lambda sets it"),
            (&[("LARDER_INVALIDATION_QUEUE", "s3cret")], "LARDER_INVALIDATION_QUEUE is neither https://sqs."),
            (&[("LARDER_QUEUE_TIMEOUT_MS", "99")], "LARDER_QUEUE_TIMEOUT_MS"),
        ] {
            let error = read(pairs).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
        }
    }
}
