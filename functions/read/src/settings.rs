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
//! | `LARDER_HOSTS_FILE` | lines `address name` that are asked before DNS: for a cluster on the own machine | none | |
//! | `LARDER_ORIGIN_URL` | where the records live, `sqlite:path`; may hold a password and is never logged | required | |
//! | `LARDER_TABLES` | what is served: `table:key[:ttl in seconds]`, joined by commas | required | 1 to 100 tables |
//! | `LARDER_KEY_PREFIX` | the first part of every key, for a cluster shared with others: `prefix:table:id` | none | 1 to 32 letters, digits, `.`, `_`, `-` |
//! | `LARDER_TTL_SECS` | how long a record is fresh where its table says nothing else, in seconds | 300 | 2 to 2592000 |
//! | `LARDER_NEGATIVE_TTL_SECS` | how long "no such record" is remembered, in seconds | 30 | 2 to 86400 |
//! | `LARDER_TTL_JITTER_PERCENT` | the share of a time to live that may be cut off, so that what is stored together does not end together, per cent | 15 | 0 to 50 |
//! | `LARDER_LEASE_SECS` | how long one environment has to load a record that others wait for, in seconds | 10 | 2 to 60 |
//! | `LARDER_WAIT_MS` | how long a request waits for a record that another one loads, in milliseconds | 200 | 0 to 10000, less than the lease |
//! | `LARDER_ORIGIN_LIMIT` | loads that one environment has under way at once; more wait for `LARDER_WAIT_MS` and are then answered 503 | 4 | 1 to 1000 |
//! | `LARDER_CACHE_TIMEOUT_MS` | how long one call to the cache may take before the origin is asked instead, in milliseconds | 500 | 5 to 10000 |
//! | `LARDER_TIMEOUT_MS` | how long a request may take in all, in milliseconds; what Lambda leaves may be less | 5000 | 50 to 900000 |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! An empty value counts as unset. Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use larder_cache::Policy;
use larder_client::{Cluster, Config, Endpoint, Tls, Ttl};
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{
    InvalidSettings, Reader, Setting, Variables, millis, on_or_off, seconds, text, whole,
};
use larder_origin::{InvalidTables, Origin, Tables};
use larder_ring::{RingKind, RingNode};

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
    /// Loads under way at once.
    pub origin_limit: usize,
    /// How long a request may take.
    pub time_limit: TimeLimit,
    /// The service in logs and metrics.
    pub service: String,
    /// The namespace of the metrics.
    pub metrics_namespace: String,
}

impl Settings {
    /// Reads `variables`; what is missing, wrong or misspelt is named in one error.
    pub fn read(variables: &Variables) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(variables);
        let cluster = cluster(&mut reader);
        let origin_url = reader.required(ORIGIN_URL, text);
        let policy = policy(&mut reader);
        let tables = reader.required(TABLES, |value| tables(value, &policy));
        let origin = origin(&mut reader, origin_url, tables.as_ref());
        let key_prefix = reader.optional(KEY_PREFIX, key_prefix);
        let origin_limit = reader.or(ORIGIN_LIMIT, 4, whole(1..=1_000));
        let timeout = reader.or(TIMEOUT, Duration::from_secs(5), millis(50..=900_000));

        reader.finish("LARDER_", || {
            Some(Self {
                cluster: cluster?,
                origin: origin?,
                policies: tables?.into_iter().map(|table| (table.name, table.policy)).collect(),
                key_prefix,
                origin_limit: origin_limit as usize,
                time_limit: TimeLimit::new(timeout),
                service: service(variables).to_owned(),
                metrics_namespace: variables
                    .text("POWERTOOLS_METRICS_NAMESPACE")
                    .unwrap_or("Larder")
                    .to_owned(),
            })
        })
    }
}

/// The service in logs and metrics; logs need it before the settings are read.
pub fn service(variables: &Variables) -> &str {
    variables.text("POWERTOOLS_SERVICE_NAME").unwrap_or("larder")
}

fn cluster(reader: &mut Reader<'_>) -> Option<Cluster> {
    let made = Cluster::new(cluster_config(reader)?);
    // Only a fixed list can be one that no ring is made of; an endpoint's nodes are not known yet.
    made.map_err(|wrong| reader.fault(NODES, format_args!("does not do: {wrong}"))).ok()
}

fn cluster_config(reader: &mut Reader<'_>) -> Option<Config> {
    let endpoint = endpoint(reader);
    let tls = tls(reader);
    let ring = reader.or(RING, RingKind::default(), ring);
    let discovery_interval = reader.or(DISCOVERY_INTERVAL, Duration::from_secs(60), seconds(1..=3_600));
    let hosts_file = reader.optional(HOSTS_FILE, text);
    let timeout = reader.or(CACHE_TIMEOUT, Duration::from_millis(500), millis(5..=10_000));

    let defaults = Config::new(endpoint?);
    let connect_timeout = defaults.connect_timeout.min(timeout);
    let hosts_file = hosts_file.map(Into::into);
    Some(Config { tls, ring, discovery_interval, hosts_file, timeout, connect_timeout, ..defaults })
}

/// A configuration endpoint or a list of nodes, exactly one of them.
fn endpoint(reader: &mut Reader<'_>) -> Option<Endpoint> {
    let nodes = reader.optional(NODES, nodes);
    if !reader.is_set(NODES) {
        return reader.required(CONFIG_ENDPOINT, configuration);
    }
    if reader.optional(CONFIG_ENDPOINT, configuration).is_some() {
        reader.fault(
            NODES,
            "stands beside LARDER_CONFIG_ENDPOINT, which knows the nodes itself; leave one out",
        );
    }
    nodes.map(Endpoint::Nodes)
}

fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    let is_on = reader.or(TLS, false, on_or_off);
    let ca_file = reader.optional(TLS_CA_FILE, text);
    if ca_file.is_some() && !is_on {
        reader.fault(TLS_CA_FILE, "has no use without LARDER_TLS=on");
    }
    is_on.then(|| Tls { ca_file: ca_file.map(Into::into) })
}

fn configuration(value: &str) -> Result<Endpoint, &'static str> {
    value.parse().map_err(|_| "is not host:port, or [address]:port for IPv6")
}

fn nodes(value: &str) -> Result<Vec<RingNode>, String> {
    let nodes = value.split(',').zip(1..);
    nodes
        .map(|(node, place)| {
            node.trim().parse().map_err(|_| format!("has no host:port[:weight][@ip] at place {place}"))
        })
        .collect()
}

fn ring(value: &str) -> Result<RingKind, String> {
    let names = || RingKind::ALL.map(RingKind::name).join(", ");
    value.parse().map_err(|_| format!("is none of the rings {}", names()))
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

const CONFIG_ENDPOINT: Setting =
    Setting { name: "LARDER_CONFIG_ENDPOINT", example: "my.cfg.euw1.cache.amazonaws.com:11211" };
const NODES: Setting = Setting { name: "LARDER_NODES", example: "10.0.1.7:11211,10.0.2.7:11211" };
const TLS: Setting = Setting { name: "LARDER_TLS", example: "on" };
const TLS_CA_FILE: Setting = Setting { name: "LARDER_TLS_CA_FILE", example: "/opt/ca.pem" };
const RING: Setting = Setting { name: "LARDER_RING", example: "libmemcached-ketama-weighted" };
const DISCOVERY_INTERVAL: Setting = Setting { name: "LARDER_DISCOVERY_INTERVAL_SECS", example: "60" };
const HOSTS_FILE: Setting = Setting { name: "LARDER_HOSTS_FILE", example: "hosts" };
const ORIGIN_URL: Setting = Setting { name: "LARDER_ORIGIN_URL", example: "sqlite:/opt/flights.db" };
const TABLES: Setting = Setting { name: "LARDER_TABLES", example: "flights:id,airports:faa:86400" };
const KEY_PREFIX: Setting = Setting { name: "LARDER_KEY_PREFIX", example: "air" };
const TTL: Setting = Setting { name: "LARDER_TTL_SECS", example: "300" };
const NEGATIVE_TTL: Setting = Setting { name: "LARDER_NEGATIVE_TTL_SECS", example: "30" };
const JITTER: Setting = Setting { name: "LARDER_TTL_JITTER_PERCENT", example: "15" };
const LEASE: Setting = Setting { name: "LARDER_LEASE_SECS", example: "10" };
const WAIT: Setting = Setting { name: "LARDER_WAIT_MS", example: "200" };
const ORIGIN_LIMIT: Setting = Setting { name: "LARDER_ORIGIN_LIMIT", example: "4" };
const CACHE_TIMEOUT: Setting = Setting { name: "LARDER_CACHE_TIMEOUT_MS", example: "500" };
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

    /// What [`LEAST`] with `more` says of the cluster.
    fn read_cluster(more: &[(&str, &str)]) -> Config {
        let variables = LEAST.iter().chain(more).copied().collect();
        cluster_config(&mut Reader::new(&variables)).unwrap()
    }

    #[test]
    fn three_variables_are_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.policies["flights"], Policy::fresh_for(Ttl::clamped(300)));
        assert_eq!(settings.policies["airports"].fresh_for.as_secs(), 86_400);
        assert!(settings.origin.id("airports", "JFK").is_ok());
        assert_eq!((settings.service.as_str(), settings.metrics_namespace.as_str()), ("larder", "Larder"));
        let cluster = read_cluster(&[]);
        let endpoint = Endpoint::Configuration { host: "cache.local".to_owned(), port: 11_211 };
        assert_eq!((cluster.endpoint, cluster.tls), (endpoint, None));
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
        assert_eq!((settings.service.as_str(), settings.metrics_namespace.as_str()), ("flights", "Air"));
    }

    #[test]
    fn every_variable_of_the_cluster_is_taken() {
        let cluster = read_cluster(&[
            ("LARDER_TLS", "on"),
            ("LARDER_TLS_CA_FILE", "/opt/ca.pem"),
            ("LARDER_RING", "dalli-ring"),
            ("LARDER_DISCOVERY_INTERVAL_SECS", "5"),
            ("LARDER_HOSTS_FILE", "/tmp/hosts"),
            ("LARDER_CACHE_TIMEOUT_MS", "100"),
        ]);
        assert_eq!(cluster.tls, Some(Tls { ca_file: Some("/opt/ca.pem".into()) }));
        assert_eq!(cluster.ring, RingKind::DalliRing);
        assert_eq!(cluster.discovery_interval, Duration::from_secs(5));
        assert_eq!(cluster.hosts_file.as_deref(), Some("/tmp/hosts".as_ref()));
        assert_eq!(
            (cluster.timeout, cluster.connect_timeout),
            (Duration::from_millis(100), Duration::from_millis(100))
        );
    }

    #[test]
    fn nodes_stand_in_for_an_endpoint_but_not_beside_it() {
        let nodes = [("LARDER_CONFIG_ENDPOINT", ""), ("LARDER_NODES", "a:1,b:2:3@10.0.0.1")];
        assert!(read(&nodes).is_ok());
        let Endpoint::Nodes(nodes) = read_cluster(&nodes).endpoint else { panic!("no list of nodes") };
        assert_eq!((nodes[0].port, nodes[1].weight, nodes[1].ip.as_deref()), (1, 3, Some("10.0.0.1")));
        check_fault(&[("LARDER_NODES", "a:1")], "LARDER_NODES", "leave one out");
        check_fault(&[("LARDER_CONFIG_ENDPOINT", "")], "LARDER_CONFIG_ENDPOINT", "is missing");
        check_fault(
            &[("LARDER_CONFIG_ENDPOINT", ""), ("LARDER_NODES", "a:1,b")],
            "LARDER_NODES",
            "at place 2",
        );
    }

    #[test]
    fn every_bound_is_kept() {
        for (name, values) in [
            ("LARDER_CONFIG_ENDPOINT", ["cache.local", ":11211"]),
            ("LARDER_TLS", ["true", "ON"]),
            ("LARDER_RING", ["consistent", "Ketama"]),
            ("LARDER_DISCOVERY_INTERVAL_SECS", ["0", "3601"]),
            ("LARDER_TABLES", ["flights", "flights:id;drop"]),
            ("LARDER_TABLES", ["a:id,a:id", ""]),
            ("LARDER_ORIGIN_URL", ["postgres://u@h/d", ""]),
            ("LARDER_TABLES", ["flights:id:1", "flights:id:60:60"]),
            ("LARDER_KEY_PREFIX", ["a:b", "abcdefghijklmnopqrstuvwxyz1234567"]),
            ("LARDER_TTL_SECS", ["1", "2592001"]),
            ("LARDER_NEGATIVE_TTL_SECS", ["1", "86401"]),
            ("LARDER_TTL_JITTER_PERCENT", ["51", "0.15"]),
            ("LARDER_LEASE_SECS", ["1", "61"]),
            ("LARDER_WAIT_MS", ["-1", "10001"]),
            ("LARDER_ORIGIN_LIMIT", ["0", "1001"]),
            ("LARDER_CACHE_TIMEOUT_MS", ["4", "10001"]),
            ("LARDER_TIMEOUT_MS", ["49", "900001"]),
        ] {
            for value in values {
                check_fault(&[(name, value)], name, "");
            }
        }
    }

    #[test]
    fn what_only_makes_sense_together_is_checked_together() {
        let by_ip = ("LARDER_RING", "aws-java-ketama-dynamic-ip-only");
        check_fault(
            &[by_ip, ("LARDER_CONFIG_ENDPOINT", ""), ("LARDER_NODES", "a:1")],
            "LARDER_NODES",
            "ring",
        );
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
        check_fault(&[("LARDER_TLS_CA_FILE", "/opt/ca.pem")], "LARDER_TLS_CA_FILE", "LARDER_TLS=on");
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
        let source = include_str!("settings.rs");
        let (documentation, code) = source.split_once("\nuse std").unwrap();
        let names = code.lines().filter_map(|line| line.split_once("name: \"")?.1.split('"').next());
        let names: std::collections::BTreeSet<_> = names.filter(|name| name.starts_with("LARDER_")).collect();
        assert_eq!(names.len(), 18);
        for name in names {
            assert!(documentation.contains(&format!("//! | `{name}` |")), "{name}");
        }
    }
}
