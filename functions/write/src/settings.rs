//! What the function is told by its environment.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_CONFIG_ENDPOINT` and others | the cluster that holds the cache | this or `LARDER_NODES` | as for `read` |
//! | `LARDER_ORIGIN_URL`, `LARDER_TABLES` and others | which records, and how they are cached: the same as `read` is told | required | see [`larder_records`] |
//! | `LARDER_LISTS` or `LARDER_LISTS_FILE` | which lists there are: those that say so are computed anew where a row of their tables changes | none | see [`larder_records`] |
//! | `LARDER_INVALIDATION_QUEUE` and others | where an invalidation goes that failed | none, with a warning at the start | see [`larder_queue::settings`] |
//! | `LARDER_TIMEOUT_MS` | how long a request may take in all, in milliseconds; what Lambda leaves may be less | 5000 | 50 to 900000 |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! The origin has three quarters of a request's time: see [`Shares`](crate::Shares). An empty value counts as unset.
//! Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::time::Duration;

use larder_client::Cluster;
use larder_lambda::cluster;
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{InvalidSettings, Reader, Setting, Variables, millis};
use larder_origin::Origin;
use larder_queue::InvalidationQueue;
use larder_records::{Lists, Records};

/// The settings, all of them checked and none of them acted upon: nothing is connected yet.
#[derive(Debug)]
pub struct Settings {
    /// The nodes.
    pub cluster: Cluster,
    /// Where the records live. It does not show its address, which may hold a password.
    pub origin: Origin,
    /// Which tables are served, and how their records are cached.
    pub records: Records,
    /// Which lists there are.
    pub lists: Lists,
    /// Where an invalidation goes that failed.
    pub queue: Option<InvalidationQueue>,
    /// How long a request may take.
    pub time_limit: TimeLimit,
}

impl Settings {
    /// Reads `variables`; what is missing, wrong or misspelt is named in one error.
    pub fn read(variables: &Variables) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(variables);
        let cluster = cluster::read(&mut reader);
        let records = larder_records::read(&mut reader, variables);
        let lists = larder_records::read_lists(&mut reader, records.as_ref().map(|(_, records)| records));
        let queue = larder_queue::settings::queue(&mut reader, variables);
        let timeout = reader.or(TIMEOUT, Duration::from_secs(5), millis(50..=900_000));
        reader.finish("LARDER_", || {
            let (origin, records) = records?;
            let (cluster, lists, time_limit) = (cluster?, lists?, TimeLimit::new(timeout));
            Some(Self { cluster, origin, records, lists, queue, time_limit })
        })
    }
}

const TIMEOUT: Setting = Setting { name: "LARDER_TIMEOUT_MS", example: "5000" };

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 3] = [
        ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
        ("LARDER_ORIGIN_URL", "sqlite:s3cret.db"),
        ("LARDER_TABLES", "flights:id:version=version,airports:faa:86400"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        Settings::read(&LEAST.iter().chain(more).copied().collect())
    }

    #[test]
    fn three_variables_are_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.records.tables().count(), 2);
        assert!(settings.queue.is_none());
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(5));
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn every_variable_is_taken() {
        let settings =
            read(&[("LARDER_INVALIDATION_QUEUE", "file:queue"), ("LARDER_TIMEOUT_MS", "50")]).unwrap();
        assert!(matches!(settings.queue, Some(InvalidationQueue::File(_))));
        assert_eq!(settings.time_limit.timeout, Duration::from_millis(50));
    }

    #[test]
    fn all_that_is_wrong_is_named_in_one_error_and_no_value_is_repeated() {
        let variables = Variables::from_iter([
            ("LARDER_ORIGIN_URL", "sqlite:s3cret"),
            ("LARDER_INVALIDATION_QUEUE", "s3cret"),
            ("LARDER_TIMEOUT_MS", "49"),
            ("LARDER_TTL_SECONDS", "s3cret"),
        ]);
        let error = Settings::read(&variables).unwrap_err();
        let names: Vec<_> = error.faults.iter().map(|fault| fault.name.as_str()).collect();
        let expected = [
            "LARDER_CONFIG_ENDPOINT",
            "LARDER_TABLES",
            "LARDER_INVALIDATION_QUEUE",
            "LARDER_TIMEOUT_MS",
            "LARDER_TTL_SECONDS",
        ];
        assert_eq!(names, expected);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
