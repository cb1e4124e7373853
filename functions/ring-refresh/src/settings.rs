//! What the function is told by its environment.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_CLUSTER_NAME` | the cluster's name, its id in ElastiCache's API; notices about others are ignored | required | 1 to 50 letters, digits and hyphens |
//! | `LARDER_CONFIG_ENDPOINT` and others | the cluster | required | as for `read`, without `LARDER_NODES` |
//! | `LARDER_WARM_SECS` | how long a warm-up lasts at most, in seconds; at least it lasts for this long or for 10 s | 60 | 0 to 600 |
//! | `LARDER_WARM_MAX_KEYS` | the most keys that are copied | 50000 | 0 to 1000000 |
//! | `LARDER_WARM_KEYS_PER_SEC` | the most keys that are copied in a second | 5000 | 1 to 100000 |
//! | `LARDER_ELASTICACHE_API` | whether the ring is compared with what ElastiCache's API says; needs a way to it, and rights | `off` | `on`, `off` |
//! | `LARDER_CONTROL_SOCKET` | instead: compared with a cluster on the own machine, by its control socket | none | |
//! | `LARDER_API_TIMEOUT_MS` | how long one call of the API may take, in milliseconds | 5000 | 100 to 60000 |
//! | `LARDER_TIMEOUT_MS` | how long an invocation may take in all, in milliseconds; what Lambda leaves may be less | 840000 | 1000 to 900000 |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! An empty value counts as unset. Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::time::Duration;

use larder_cache::WarmUp;
use larder_client::Cluster;
use larder_control::ControlPlane;
use larder_control::settings::{cluster_name, control_plane};
use larder_lambda::cluster;
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{
    InvalidSettings, Reader, Setting, Variables, millis, on_or_off, seconds, whole,
};

/// The settings, all of them checked and none of them acted upon: nothing is connected yet.
#[derive(Debug)]
pub struct Settings {
    /// The nodes.
    pub cluster: Cluster,
    /// The name of the cluster.
    pub cluster_name: String,
    /// How nodes are warmed.
    pub warm_up: WarmUp,
    /// ElastiCache's API, where it may be asked.
    pub control: Option<ControlPlane>,
    /// How long an invocation may take.
    pub time_limit: TimeLimit,
}

impl Settings {
    /// Reads `variables`; what is missing, wrong or misspelt is named in one error.
    pub fn read(variables: &Variables) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(variables);
        let cluster = cluster::read_discovered(&mut reader);
        let cluster_name = cluster_name(&mut reader);
        let warm_up = warm_up(&mut reader);
        let asks_api = reader.or(ELASTICACHE_API, false, on_or_off);
        let control = control_plane(&mut reader, variables, cluster_name.as_deref().filter(|_| asks_api));
        let timeout = reader.or(TIMEOUT, Duration::from_secs(840), millis(1_000..=900_000));

        reader.finish("LARDER_", || {
            Some(Self {
                cluster: cluster?,
                cluster_name: cluster_name?,
                warm_up,
                control,
                time_limit: TimeLimit::new(timeout),
            })
        })
    }
}

fn warm_up(reader: &mut Reader<'_>) -> WarmUp {
    let defaults = WarmUp::default();
    let most = reader.or(WARM, defaults.most, seconds(0..=600));
    let keys = reader.or(WARM_MAX_KEYS, defaults.keys as u64, whole(0..=1_000_000));
    let keys_per_sec = reader.or(WARM_KEYS_PER_SEC, u64::from(defaults.keys_per_sec), whole(1..=100_000));
    WarmUp {
        least: defaults.least.min(most),
        most,
        keys: keys as usize,
        keys_per_sec: keys_per_sec as u32,
        ..defaults
    }
}

const WARM: Setting = Setting { name: "LARDER_WARM_SECS", example: "60" };
const WARM_MAX_KEYS: Setting = Setting { name: "LARDER_WARM_MAX_KEYS", example: "50000" };
const WARM_KEYS_PER_SEC: Setting = Setting { name: "LARDER_WARM_KEYS_PER_SEC", example: "5000" };
const ELASTICACHE_API: Setting = Setting { name: "LARDER_ELASTICACHE_API", example: "on" };
const TIMEOUT: Setting = Setting { name: "LARDER_TIMEOUT_MS", example: "840000" };

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 2] =
        [("LARDER_CLUSTER_NAME", "larder"), ("LARDER_CONFIG_ENDPOINT", "cache.local:11211")];
    const OF_LAMBDA: [(&str, &str); 3] =
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];

    /// The settings of [`LEAST`] with `more` in front of it or in its place.
    fn read(more: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        Settings::read(&LEAST.iter().chain(more).copied().collect())
    }

    #[track_caller]
    fn check_fault(more: &[(&str, &str)], name: &str) {
        let faults = read(more).unwrap_err().faults;
        assert!(faults.iter().any(|fault| fault.name == name), "{more:?} gave {faults:?}");
    }

    #[test]
    fn two_variables_are_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.cluster_name.as_str(), settings.warm_up), ("larder", WarmUp::default()));
        assert!(settings.control.is_none());
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(840));
    }

    #[test]
    fn every_variable_is_taken() {
        let settings = read(&[
            ("LARDER_WARM_SECS", "5"),
            ("LARDER_WARM_MAX_KEYS", "7"),
            ("LARDER_WARM_KEYS_PER_SEC", "9"),
            ("LARDER_TIMEOUT_MS", "60000"),
            ("LARDER_CONTROL_SOCKET", "/run/control.sock"),
        ])
        .unwrap();
        let five = Duration::from_secs(5);
        let expected = WarmUp { least: five, most: five, keys: 7, keys_per_sec: 9, ..WarmUp::default() };
        assert_eq!(settings.warm_up, expected);
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(60));
        assert!(matches!(settings.control, Some(ControlPlane::Local(_))));
    }

    #[test]
    fn the_api_is_asked_where_that_is_said() {
        let on = [&[("LARDER_ELASTICACHE_API", "on")], &OF_LAMBDA[..]].concat();
        assert!(matches!(read(&on).unwrap().control, Some(ControlPlane::ElastiCache(_))));
        assert!(read(&OF_LAMBDA).unwrap().control.is_none());
        check_fault(&[("LARDER_ELASTICACHE_API", "on")], "AWS_REGION");
    }

    #[test]
    fn every_bound_is_kept() {
        for (name, values) in [
            ("LARDER_CLUSTER_NAME", ["", "my cluster"]),
            ("LARDER_CONFIG_ENDPOINT", ["", "cache"]),
            ("LARDER_WARM_SECS", ["601", "-1"]),
            ("LARDER_WARM_MAX_KEYS", ["1000001", "many"]),
            ("LARDER_WARM_KEYS_PER_SEC", ["0", "100001"]),
            ("LARDER_ELASTICACHE_API", ["yes", "true"]),
            ("LARDER_TIMEOUT_MS", ["999", "900001"]),
            ("LARDER_WARM", ["1", "2"]),
        ] {
            for value in values {
                check_fault(&[(name, value)], name);
            }
        }
    }

    #[test]
    fn nodes_that_never_change_have_no_ring_to_publish() {
        check_fault(&[("LARDER_CONFIG_ENDPOINT", ""), ("LARDER_NODES", "a:1,b:2")], "LARDER_NODES");
    }

    /// The table above is what a deployer reads.
    #[test]
    fn the_documentation_names_every_variable() {
        let source = include_str!("settings.rs");
        let (documentation, code) = source.split_once("\nuse std").unwrap();
        let names = code.lines().filter_map(|line| line.split_once("name: \"")?.1.split('"').next());
        let names: std::collections::BTreeSet<_> = names.filter(|name| name.starts_with("LARDER_")).collect();
        assert_eq!(names.len(), 5);
        for name in names {
            assert!(documentation.contains(&format!("//! | `{name}` |")), "{name}");
        }
    }
}
