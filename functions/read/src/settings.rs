//! What the function is told by its environment.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_CONFIG_ENDPOINT` | the cluster's configuration endpoint, `host:port`. ElastiCache Serverless (`….serverless.…`) is used as one node, and so is a plain memcached, from the second request of an environment on: it has to tell twice that it knows no cluster | this or `LARDER_NODES` | |
//! | `LARDER_NODES` | instead: nodes that never change, `host:port[:weight][@ip]`, joined by commas | | at least 1 |
//! | `LARDER_TLS` | whether the nodes speak TLS | `off` | `on`, `off` |
//! | `LARDER_TLS_CA_FILE` | a PEM file of the authorities to trust instead of the system's | the system's | with `LARDER_TLS=on` |
//! | `LARDER_RING` | which ring says what node owns a key | `libmemcached-ketama-weighted` | a ring's name |
//! | `LARDER_DISCOVERY_INTERVAL_SECS` | how old the list of nodes may grow before a request asks for it again, in seconds | 60 | 1 to 3600 |
//! | `LARDER_RING_CHECK_INTERVAL_MS` | how old the view of the ring may grow before a request looks at the ring document in passing, in milliseconds. The first ring document records it for the cluster: a longer one of another stack is cut to it | 1000 | 100 to 60000 |
//! | `LARDER_HOSTS_FILE` | lines `address name` that are asked before `/etc/hosts` and DNS: for a cluster on the own machine | none | |
//! | `LARDER_CACHE_TIMEOUT_MS` | how long one call to the cache may take before the origin is asked instead, in milliseconds; the same for all functions of a cluster, for a change of the ring waits for calls under way | 500 | 5 to 10000 |
//! | `LARDER_SAMPLE_ONE_IN` | one read in so many is counted, so that new nodes can be warmed with what is read most; 0 for none | 4 | 0 to 10000 |
//! | `LARDER_HOT_KEYS_IN_CLEAR` | whether the line of metrics names the keys that are read most, in its property `HottestKeys`, as they are, and not by their hashes | `off` | `on`, `off` |
//! | `LARDER_TIMEOUT_MS` | how long a request may take in all, in milliseconds; what Lambda leaves may be less | 5000 | 50 to 900000 |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! Which records and lists there are, and how they are cached, is told by the variables of [`larder_records`].
//!
//! An empty value counts as unset. Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::time::Duration;

use larder_cache::Sampling;
use larder_client::Cluster;
use larder_lambda::cluster;
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{InvalidSettings, Reader, Setting, Variables, millis, on_or_off, whole};
use larder_origin::Origin;
use larder_records::{Lists, Records};

use crate::hottest::HottestKeys;

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
    /// Which reads are counted, and how often that is told.
    pub sampling: Sampling,
    /// How the metrics name the keys that are read most.
    pub hottest_keys: HottestKeys,
    /// Loads under way at once.
    pub origin_limit: usize,
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
        let sample_one_in =
            reader.or(SAMPLE_ONE_IN, u64::from(Sampling::default().one_in), whole(0..=10_000));
        let in_clear = reader.or(HOT_KEYS_IN_CLEAR, false, on_or_off);
        let hottest_keys = if in_clear { HottestKeys::InClear } else { HottestKeys::Hashed };
        let origin_limit = larder_records::read_origin_limit(&mut reader);
        let timeout = reader.or(TIMEOUT, Duration::from_secs(5), millis(50..=900_000));

        reader.finish("LARDER_", || {
            let (origin, records) = records?;
            Some(Self {
                cluster: cluster?,
                origin,
                records,
                lists: lists?,
                sampling: Sampling { one_in: sample_one_in as u32, ..Sampling::default() },
                hottest_keys,
                origin_limit,
                time_limit: TimeLimit::new(timeout),
            })
        })
    }
}

const SAMPLE_ONE_IN: Setting = Setting { name: "LARDER_SAMPLE_ONE_IN", example: "4" };
const HOT_KEYS_IN_CLEAR: Setting = Setting { name: "LARDER_HOT_KEYS_IN_CLEAR", example: "off" };
const TIMEOUT: Setting = Setting { name: "LARDER_TIMEOUT_MS", example: "5000" };

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 3] = [
        ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
        ("LARDER_ORIGIN_URL", "sqlite:s3cret.db"),
        ("LARDER_TABLES", "flights:id,airports:faa:86400"),
    ];

    /// The settings of [`LEAST`] with `more` in front of it or in its place.
    fn read(more: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        Settings::read(&LEAST.iter().chain(more).copied().collect())
    }

    #[test]
    fn three_variables_are_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.records.tables().count(), 2);
        assert!(settings.origin.id("airports", "JFK").is_ok());
    }

    #[test]
    fn every_variable_is_taken() {
        let more =
            [("LARDER_ORIGIN_LIMIT", "9"), ("LARDER_TIMEOUT_MS", "1000"), ("LARDER_SAMPLE_ONE_IN", "0")];
        let settings = read(&more).unwrap();
        assert_eq!(settings.origin_limit, 9);
        assert_eq!(settings.hottest_keys, HottestKeys::Hashed);
        let in_clear = read(&[("LARDER_HOT_KEYS_IN_CLEAR", "on")]).unwrap();
        assert_eq!(in_clear.hottest_keys, HottestKeys::InClear);
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(1));
        assert_eq!(settings.sampling.one_in, 0);
    }

    #[test]
    fn every_bound_is_kept() {
        for (name, values) in [
            ("LARDER_SAMPLE_ONE_IN", ["-1", "10001"]),
            ("LARDER_HOT_KEYS_IN_CLEAR", ["yes", "1"]),
            ("LARDER_TIMEOUT_MS", ["49", "900001"]),
        ] {
            for value in values {
                let faults = read(&[(name, value)]).unwrap_err().faults;
                assert!(faults.iter().any(|fault| fault.name == name), "{name}={value} gave {faults:?}");
            }
        }
    }

    #[test]
    fn all_that_is_wrong_is_named_in_one_error_and_no_value_is_repeated() {
        let variables = Variables::from_iter([
            ("LARDER_ORIGIN_URL", "sqlite:s3cret"),
            ("LARDER_RING", "s3cret"),
            ("LARDER_TTL_SECONDS", "s3cret"),
            ("LARDER_TLS", "s3cret"),
        ]);
        let error = Settings::read(&variables).unwrap_err();
        let names: Vec<_> = error.faults.iter().map(|fault| fault.name.as_str()).collect();
        let expected =
            ["LARDER_CONFIG_ENDPOINT", "LARDER_TLS", "LARDER_RING", "LARDER_TABLES", "LARDER_TTL_SECONDS"];
        assert_eq!(names, expected);
        assert!(!error.to_string().contains("s3cret"), "{error}");
        let settings = read(&[]).unwrap();
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    /// The table above is what a deployer reads.
    #[test]
    fn the_documentation_names_every_variable() {
        let cluster = include_str!("../../../shared/larder-lambda/src/cluster.rs");
        let source = include_str!("settings.rs");
        let (documentation, code) = source.split_once("\nuse std").unwrap();
        let names = code
            .lines()
            .chain(cluster.lines())
            .filter_map(|line| line.split_once("name: \"")?.1.split('"').next());
        let names: std::collections::BTreeSet<_> = names.filter(|name| name.starts_with("LARDER_")).collect();
        assert_eq!(names.len(), 12);
        for name in names {
            assert!(documentation.contains(&format!("//! | `{name}` |")), "{name}");
        }
    }
}
