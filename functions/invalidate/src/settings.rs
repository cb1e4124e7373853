//! What the function is told by its environment.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_CONFIG_ENDPOINT` and others | the cluster that has to forget | this or `LARDER_NODES` | as for `read` |
//! | `LARDER_TIMEOUT_MS` | how long an invocation may take in all, in milliseconds; what Lambda leaves may be less | 20000 | 50 to 900000 |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! An empty value counts as unset. Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::time::Duration;

use larder_client::Cluster;
use larder_lambda::cluster;
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{InvalidSettings, Reader, Setting, Variables, millis};

/// The settings, all of them checked and none of them acted upon: nothing is connected yet.
#[derive(Debug)]
pub struct Settings {
    /// The nodes.
    pub cluster: Cluster,
    /// How long an invocation may take.
    pub time_limit: TimeLimit,
}

impl Settings {
    /// Reads `variables`; what is missing, wrong or misspelt is named in one error.
    pub fn read(variables: &Variables) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(variables);
        let cluster = cluster::read(&mut reader);
        let timeout = reader.or(TIMEOUT, Duration::from_secs(20), millis(50..=900_000));
        reader.finish("LARDER_", || Some(Self { cluster: cluster?, time_limit: TimeLimit::new(timeout) }))
    }
}

const TIMEOUT: Setting = Setting { name: "LARDER_TIMEOUT_MS", example: "20000" };

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        Settings::read(&pairs.iter().copied().collect())
    }

    #[test]
    fn a_cluster_is_enough() {
        let endpoint = ("LARDER_CONFIG_ENDPOINT", "cache.local:11211");
        assert_eq!(read(&[endpoint]).unwrap().time_limit.timeout, Duration::from_secs(20));
        assert!(read(&[("LARDER_NODES", "a:1,b:2")]).is_ok());
        let told = read(&[endpoint, ("LARDER_TIMEOUT_MS", "50")]).unwrap();
        assert_eq!(told.time_limit.timeout, Duration::from_millis(50));
    }

    #[test]
    fn all_that_is_wrong_is_named_in_one_error() {
        let wrong = [("LARDER_TIMEOUT_MS", "49"), ("LARDER_INVALIDATION_QUEUE", "file:queue")];
        let faults = read(&wrong).unwrap_err().faults;
        let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(names, ["LARDER_CONFIG_ENDPOINT", "LARDER_TIMEOUT_MS", "LARDER_INVALIDATION_QUEUE"]);
    }
}
