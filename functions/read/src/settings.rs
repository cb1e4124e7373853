//! What the function is told by its environment.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_CONFIG_ENDPOINT` | the cluster's configuration endpoint, `host:port`; a single memcached or ElastiCache Serverless will do, too | this or `LARDER_NODES` | |
//! | `LARDER_NODES` | instead: nodes that never change, `host:port[:weight][@ip]`, joined by commas | | at least 1 |
//! | `LARDER_TLS` | whether the nodes speak TLS | `off` | `on`, `off` |
//! | `LARDER_TLS_CA_FILE` | a PEM file of the authorities to trust instead of the system's | the system's | with `LARDER_TLS=on` |
//! | `LARDER_RING` | which ring says what node owns a key | `libmemcached-ketama-weighted` | a ring's name |
//! | `LARDER_DISCOVERY_INTERVAL_SECS` | how old the list of nodes may grow before a request asks for it again, in seconds | 60 | 1 to 3600 |
//! | `LARDER_RING_CHECK_INTERVAL_MS` | how old the view of the ring may grow before a request looks at the ring document in passing, in milliseconds; the same for all functions of a cluster | 1000 | 100 to 60000 |
//! | `LARDER_HOSTS_FILE` | lines `address name` that are asked before DNS: for a cluster on the own machine | none | |
//! | `LARDER_ORIGIN_URL` | where the records live, `sqlite:path`; may hold a password and is never logged | required | |
//! | `LARDER_TABLES` | what is served: `table:key[:ttl in seconds]`, joined by commas | required | 1 to 100 tables |
//! | `LARDER_KEY_PREFIX` | the first part of every key, for a cluster shared with others: `prefix:table:id` | none | 1 to 32 letters, digits, `.`, `_`, `-` |
//! | `LARDER_TTL_SECS` | how long a record is fresh where its table says nothing else, in seconds | 300 | 2 to 2592000 |
//! | `LARDER_NEGATIVE_TTL_SECS` | how long "no such record" is remembered, in seconds | 30 | 2 to 86400 |
//! | `LARDER_TTL_JITTER_PERCENT` | the share of a time to live that may be cut off, so that what is stored together does not end together, per cent | 15 | 0 to 50 |
//! | `LARDER_LEASE_SECS` | how long one environment has to load a record that others wait for, in seconds | 10 | 2 to 60 |
//! | `LARDER_WAIT_MS` | how long a request waits for a record that another one loads, in milliseconds | 200 | 0 to 10000, less than the lease |
//! | `LARDER_SAMPLE_ONE_IN` | one read in so many is counted, so that new nodes can be warmed with what is read most; 0 for none | 4 | 0 to 10000 |
//! | `LARDER_ORIGIN_LIMIT` | loads that one environment has under way at once; more wait for `LARDER_WAIT_MS` and are then answered 503 | 4 | 1 to 1000 |
//! | `LARDER_CACHE_TIMEOUT_MS` | how long one call to the cache may take before the origin is asked instead, in milliseconds; the same for all functions of a cluster, for a change of the ring waits for calls under way | 500 | 5 to 10000 |
//! | `LARDER_TIMEOUT_MS` | how long a request may take in all, in milliseconds; what Lambda leaves may be less | 5000 | 50 to 900000 |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! An empty value counts as unset. Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use larder_cache::{Policy, Sampling};
use larder_client::{Cluster, Ttl};
use larder_lambda::cluster;
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{InvalidSettings, Reader, Setting, Variables, millis, text, whole};
use larder_origin::{InvalidTables, Origin, Tables};

/// The settings, all of them checked and none of them acted upon: nothing is connected yet.
#[derive(Debug)]
pub struct Settings {
    /// The nodes.
    pub cluster: Cluster,
    /// Where the records live. It does not show its address, which may hold a password.
    pub origin: Origin,
    /// How the records of each table are cached, by the table's name.
    pub policies: HashMap<String, Policy>,
    /// The first part of every key.
    pub key_prefix: Option<String>,
    /// Which reads are counted, and how often that is told.
    pub sampling: Sampling,
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
        let origin_url = reader.required(ORIGIN_URL, text);
        let policy = policy(&mut reader);
        let tables = reader.required(TABLES, |value| tables(value, &policy));
        let origin = origin(&mut reader, origin_url, tables.as_ref());
        let key_prefix = reader.optional(KEY_PREFIX, key_prefix);
        let sample_one_in =
            reader.or(SAMPLE_ONE_IN, u64::from(Sampling::default().one_in), whole(0..=10_000));
        let origin_limit = reader.or(ORIGIN_LIMIT, 4, whole(1..=1_000));
        let timeout = reader.or(TIMEOUT, Duration::from_secs(5), millis(50..=900_000));

        reader.finish("LARDER_", || {
            Some(Self {
                cluster: cluster?,
                origin: origin?,
                policies: tables?.into_iter().map(|table| (table.name, table.policy)).collect(),
                key_prefix,
                sampling: Sampling { one_in: sample_one_in as u32, ..Sampling::default() },
                origin_limit: origin_limit as usize,
                time_limit: TimeLimit::new(timeout),
            })
        })
    }
}

/// How records are cached where their table says nothing else.
fn policy(reader: &mut Reader<'_>) -> Policy {
    let defaults = Policy::fresh_for(Ttl::clamped(300));
    let policy = Policy {
        fresh_for: reader.or(TTL, defaults.fresh_for, ttl(TTL_SECS)),
        negative_for: reader.or(NEGATIVE_TTL, defaults.negative_for, ttl(2..=86_400)),
        lease_for: reader.or(LEASE, defaults.lease_for, ttl(2..=60)),
        wait_for: reader.or(WAIT, defaults.wait_for, millis(0..=10_000)),
        jitter: reader
            .optional(JITTER, whole(0..=50))
            .map_or(defaults.jitter, |percent| percent as f64 / 100.0),
        ..defaults
    };
    if let Err(wrong) = policy.check() {
        reader.fault(WAIT, format_args!("does not do: {wrong}"));
    }
    policy
}

fn ttl(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Ttl, String> {
    let whole = whole(bounds);
    move |value| whole(value).map(Ttl::clamped)
}

/// A table that is served.
#[derive(Clone, Debug)]
struct Table {
    name: String,
    key: String,
    policy: Policy,
}

/// Takes `table:key[:ttl]`, joined by commas; `policy` holds where a table has no time to live of its own.
fn tables(value: &str, policy: &Policy) -> Result<Vec<Table>, String> {
    let tables: Result<Vec<_>, _> =
        value.split(',').zip(1..).map(|(entry, place)| table(entry, place, policy)).collect();
    let tables = tables?;
    match origin_tables(&tables) {
        Ok(_) => Ok(tables),
        Err(wrong) => Err(format!("is not a list of tables: {wrong}")),
    }
}

fn table(entry: &str, place: usize, policy: &Policy) -> Result<Table, String> {
    let mut parts = entry.split(':').map(str::trim);
    let (Some(name), Some(key), own_ttl, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(format!("has no table:key[:ttl] at place {place}"));
    };
    let wrong = |what| format!("has a time to live that {what}, at place {place}");
    let own_ttl = own_ttl.map(ttl(TTL_SECS)).transpose().map_err(wrong)?;
    let policy = Policy { fresh_for: own_ttl.unwrap_or(policy.fresh_for), ..policy.clone() };
    Ok(Table { name: name.to_owned(), key: key.to_owned(), policy })
}

/// The tables as the origin takes them, which knows what a name may be.
fn origin_tables(tables: &[Table]) -> Result<Tables, InvalidTables> {
    let entries: Vec<_> = tables.iter().map(|table| format!("{}:{}", table.name, table.key)).collect();
    entries.join(",").parse()
}

/// The origin at `url`. The URL is looked at even where `tables` were wrong, so that both are told.
fn origin(reader: &mut Reader<'_>, url: Option<String>, tables: Option<&Vec<Table>>) -> Option<Origin> {
    let known = tables.map(Vec::as_slice).and_then(|tables| origin_tables(tables).ok());
    let tables = known.or_else(|| "any:id".parse().ok())?;
    Origin::new(&url?, tables)
        .map_err(|wrong| reader.fault(ORIGIN_URL, format_args!("does not do: {wrong}")))
        .ok()
}

fn key_prefix(value: &str) -> Result<String, String> {
    let is_plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let fits = (1..=MAX_KEY_PREFIX_LEN).contains(&value.len());
    let wrong = || format!("is not 1 to {MAX_KEY_PREFIX_LEN} letters, digits, dots, underscores and hyphens");
    (is_plain && fits).then(|| value.to_owned()).ok_or_else(wrong)
}

/// Leaves most of a key's 250 bytes to table and id.
const MAX_KEY_PREFIX_LEN: usize = 32;
/// What memcached can count: 2 seconds to 30 days.
const TTL_SECS: RangeInclusive<u64> = 2..=2_592_000;

const ORIGIN_URL: Setting = Setting { name: "LARDER_ORIGIN_URL", example: "sqlite:/opt/flights.db" };
const TABLES: Setting = Setting { name: "LARDER_TABLES", example: "flights:id,airports:faa:86400" };
const KEY_PREFIX: Setting = Setting { name: "LARDER_KEY_PREFIX", example: "air" };
const TTL: Setting = Setting { name: "LARDER_TTL_SECS", example: "300" };
const NEGATIVE_TTL: Setting = Setting { name: "LARDER_NEGATIVE_TTL_SECS", example: "30" };
const JITTER: Setting = Setting { name: "LARDER_TTL_JITTER_PERCENT", example: "15" };
const LEASE: Setting = Setting { name: "LARDER_LEASE_SECS", example: "10" };
const WAIT: Setting = Setting { name: "LARDER_WAIT_MS", example: "200" };
const SAMPLE_ONE_IN: Setting = Setting { name: "LARDER_SAMPLE_ONE_IN", example: "4" };
const ORIGIN_LIMIT: Setting = Setting { name: "LARDER_ORIGIN_LIMIT", example: "4" };
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

    #[track_caller]
    fn check_fault(more: &[(&str, &str)], name: &str, what: &str) {
        let faults = read(more).unwrap_err().faults;
        let found = faults.iter().any(|fault| fault.name == name && fault.what.contains(what));
        assert!(found, "{more:?} gave {faults:?}");
    }

    #[test]
    fn three_variables_are_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.policies["flights"], Policy::fresh_for(Ttl::clamped(300)));
        assert_eq!(settings.policies["airports"].fresh_for.as_secs(), 86_400);
        assert!(settings.origin.id("airports", "JFK").is_ok());
    }

    #[test]
    fn every_variable_is_taken() {
        let settings = read(&[
            ("LARDER_KEY_PREFIX", "air-2.x_y"),
            ("LARDER_TTL_SECS", "60"),
            ("LARDER_NEGATIVE_TTL_SECS", "7"),
            ("LARDER_TTL_JITTER_PERCENT", "0"),
            ("LARDER_LEASE_SECS", "3"),
            ("LARDER_WAIT_MS", "0"),
            ("LARDER_ORIGIN_LIMIT", "9"),
            ("LARDER_TIMEOUT_MS", "1000"),
            ("POWERTOOLS_SERVICE_NAME", "flights"),
            ("POWERTOOLS_METRICS_NAMESPACE", "Air"),
        ])
        .unwrap();
        let expected = Policy {
            negative_for: Ttl::clamped(7),
            lease_for: Ttl::clamped(3),
            wait_for: Duration::ZERO,
            jitter: 0.0,
            ..Policy::fresh_for(Ttl::clamped(60))
        };
        assert_eq!(settings.policies["flights"], expected);
        assert_eq!(settings.policies["airports"], Policy { fresh_for: Ttl::clamped(86_400), ..expected });
        assert_eq!(settings.key_prefix.as_deref(), Some("air-2.x_y"));
        assert_eq!(settings.origin_limit, 9);
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(1));
    }

    #[test]
    fn every_bound_is_kept() {
        for (name, values) in [
            ("LARDER_TABLES", ["flights", "flights:id;drop"]),
            ("LARDER_TABLES", ["a:id,a:id", ""]),
            ("LARDER_ORIGIN_URL", ["oracle://u@h/d", ""]),
            ("LARDER_TABLES", ["flights:id:1", "flights:id:60:60"]),
            ("LARDER_KEY_PREFIX", ["a:b", "abcdefghijklmnopqrstuvwxyz1234567"]),
            ("LARDER_TTL_SECS", ["1", "2592001"]),
            ("LARDER_NEGATIVE_TTL_SECS", ["1", "86401"]),
            ("LARDER_TTL_JITTER_PERCENT", ["51", "0.15"]),
            ("LARDER_LEASE_SECS", ["1", "61"]),
            ("LARDER_WAIT_MS", ["-1", "10001"]),
            ("LARDER_SAMPLE_ONE_IN", ["-1", "10001"]),
            ("LARDER_ORIGIN_LIMIT", ["0", "1001"]),
            ("LARDER_TIMEOUT_MS", ["49", "900001"]),
        ] {
            for value in values {
                check_fault(&[(name, value)], name, "");
            }
        }
    }

    #[test]
    fn what_only_makes_sense_together_is_checked_together() {
        check_fault(
            &[("LARDER_LEASE_SECS", "2"), ("LARDER_WAIT_MS", "2000")],
            "LARDER_WAIT_MS",
            "not shorter",
        );
        check_fault(
            &[("LARDER_TABLES", "flights"), ("LARDER_ORIGIN_URL", "oracle:x")],
            "LARDER_ORIGIN_URL",
            "sqlite:",
        );
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
        assert_eq!(names.len(), 20);
        for name in names {
            assert!(documentation.contains(&format!("//! | `{name}` |")), "{name}");
        }
    }
}
