//! What the function is told by its environment.
//!
//! | variable | what | default | bounds |
//! | --- | --- | --- | --- |
//! | `LARDER_SCALE_MIN_NODES` | the fewest nodes that are left | required | 1 to 300 |
//! | `LARDER_SCALE_MAX_NODES` | the most nodes that are asked for | required | 1 to 300, not less than the fewest |
//! | `LARDER_SCALE_COOL_DOWN_SECS` | how long after a change the next may be made, in seconds | 600 | 0 to 86400 |
//! | `LARDER_SCALE_OUT_ALARM` | the alarm that asks for a node more | none | |
//! | `LARDER_SCALE_IN_ALARM` | the alarm that asks for a node less | none | another one |
//! | `LARDER_CLUSTER_NAME` and others | the cluster whose nodes these are | see [`larder_control::settings`] | |
//! | `LARDER_CONFIG_ENDPOINT` and others | the same cluster, as its clients find it | required | as for `read`, without `LARDER_NODES` |
//! | `LARDER_WARM_SECS`, `LARDER_WARM_MAX_KEYS`, `LARDER_WARM_KEYS_PER_SEC` | how the nodes that stay are warmed | 60, 50000, 5000 | as for `ring-refresh` |
//! | `LARDER_TIMEOUT_MS` | how long an invocation may take in all, in milliseconds; what Lambda leaves may be less | 840000 | 60000 to 900000 |
//! | `POWERTOOLS_SERVICE_NAME` | the service in logs and metrics | `larder` | |
//! | `POWERTOOLS_METRICS_NAMESPACE` | the namespace of the metrics | `Larder` | |
//! | `AWS_LAMBDA_LOG_LEVEL`, `RUST_LOG` | what is logged | `INFO` | see [`larder_lambda::logs`] |
//!
//! An empty value counts as unset. Any other variable that begins with `LARDER_` is refused as a misspelt one.

use std::ops::RangeInclusive;
use std::time::Duration;

use larder_cache::WarmUp;
use larder_client::Cluster;
use larder_control::ControlPlane;
use larder_control::settings::required_control_plane;
use larder_lambda::cluster;
use larder_lambda::deadline::TimeLimit;
use larder_lambda::settings::{InvalidSettings, Reader, Setting, Variables, millis, seconds, text, whole};

use crate::ask::Alarms;
use crate::plan::Bounds;

/// The settings, all of them checked and none of them acted upon: nothing is connected yet.
#[derive(Debug)]
pub struct Settings {
    /// Where nodes are asked for and taken away.
    pub control: ControlPlane,
    /// The nodes.
    pub cluster: Cluster,
    /// How the nodes that stay are warmed.
    pub warm_up: WarmUp,
    /// Which alarms ask for what.
    pub alarms: Alarms,
    /// Within what the cluster is changed.
    pub bounds: Bounds,
    /// How long an invocation may take.
    pub time_limit: TimeLimit,
}

impl Settings {
    /// Reads `variables`; what is missing, wrong or misspelt is named in one error.
    pub fn read(variables: &Variables) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(variables);
        let control = required_control_plane(&mut reader, variables);
        let cluster = cluster::read_discovered(&mut reader);
        let warm_up = warm_up(&mut reader);
        let bounds = bounds(&mut reader);
        let alarms = alarms(&mut reader);
        let timeout = reader.or(TIMEOUT, Duration::from_secs(840), millis(60_000..=900_000));

        reader.finish("LARDER_", || {
            Some(Self {
                control: control?,
                cluster: cluster?,
                warm_up,
                alarms,
                bounds: bounds?,
                time_limit: TimeLimit::new(timeout),
            })
        })
    }
}

fn bounds(reader: &mut Reader<'_>) -> Option<Bounds> {
    let min_nodes = reader.required(MIN_NODES, whole(NODES));
    let max_nodes = reader.required(MAX_NODES, whole(NODES));
    let cool_down = reader.or(COOL_DOWN, Duration::from_secs(600), seconds(0..=86_400));
    let (min_nodes, max_nodes) = (min_nodes? as u32, max_nodes? as u32);
    if min_nodes > max_nodes {
        reader.fault(MAX_NODES, "is less than LARDER_SCALE_MIN_NODES");
    }
    Some(Bounds { min_nodes, max_nodes, cool_down })
}

fn warm_up(reader: &mut Reader<'_>) -> WarmUp {
    let defaults = WarmUp::default();
    let most = reader.or(WARM, defaults.most, seconds(0..=600));
    let keys = reader.or(WARM_MAX_KEYS, defaults.keys as u64, whole(0..=1_000_000));
    let keys_per_sec = reader.or(WARM_KEYS_PER_SEC, u64::from(defaults.keys_per_sec), whole(1..=100_000));
    let (keys, keys_per_sec) = (keys as usize, keys_per_sec as u32);
    WarmUp { least: defaults.least.min(most), most, keys, keys_per_sec, ..defaults }
}

fn alarms(reader: &mut Reader<'_>) -> Alarms {
    let out = reader.optional(OUT_ALARM, text);
    let r#in = reader.optional(IN_ALARM, text);
    if out.is_some() && out == r#in {
        reader.fault(IN_ALARM, "is the same as LARDER_SCALE_OUT_ALARM");
    }
    Alarms { out, r#in }
}

/// What a region gives one account, unless it is asked for more.
const NODES: RangeInclusive<u64> = 1..=300;

const MIN_NODES: Setting = Setting { name: "LARDER_SCALE_MIN_NODES", example: "2" };
const MAX_NODES: Setting = Setting { name: "LARDER_SCALE_MAX_NODES", example: "6" };
const COOL_DOWN: Setting = Setting { name: "LARDER_SCALE_COOL_DOWN_SECS", example: "600" };
const WARM: Setting = Setting { name: "LARDER_WARM_SECS", example: "60" };
const WARM_MAX_KEYS: Setting = Setting { name: "LARDER_WARM_MAX_KEYS", example: "50000" };
const WARM_KEYS_PER_SEC: Setting = Setting { name: "LARDER_WARM_KEYS_PER_SEC", example: "5000" };
const OUT_ALARM: Setting = Setting { name: "LARDER_SCALE_OUT_ALARM", example: "cache-evicts" };
const IN_ALARM: Setting = Setting { name: "LARDER_SCALE_IN_ALARM", example: "cache-has-room" };
const TIMEOUT: Setting = Setting { name: "LARDER_TIMEOUT_MS", example: "840000" };

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 4] = [
        ("LARDER_CONTROL_SOCKET", "/run/larder/control.sock"),
        ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
        ("LARDER_SCALE_MIN_NODES", "2"),
        ("LARDER_SCALE_MAX_NODES", "6"),
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
    fn four_variables_are_enough() {
        let settings = read(&[]).unwrap();
        let cool_down = Duration::from_secs(600);
        assert_eq!(settings.bounds, Bounds { min_nodes: 2, max_nodes: 6, cool_down });
        assert_eq!(settings.alarms, Alarms::default());
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(840));
    }

    #[test]
    fn every_variable_is_taken() {
        let settings = read(&[
            ("LARDER_SCALE_MIN_NODES", "3"),
            ("LARDER_SCALE_MAX_NODES", "3"),
            ("LARDER_SCALE_COOL_DOWN_SECS", "0"),
            ("LARDER_SCALE_OUT_ALARM", "full"),
            ("LARDER_SCALE_IN_ALARM", "empty"),
            ("LARDER_TIMEOUT_MS", "60000"),
            ("POWERTOOLS_SERVICE_NAME", "flights"),
            ("POWERTOOLS_METRICS_NAMESPACE", "Air"),
        ])
        .unwrap();
        assert_eq!(settings.bounds, Bounds { min_nodes: 3, max_nodes: 3, cool_down: Duration::ZERO });
        let (out, r#in) = (Some("full".to_owned()), Some("empty".to_owned()));
        assert_eq!(settings.alarms, Alarms { out, r#in });
        assert_eq!(settings.time_limit.timeout, Duration::from_secs(60));
    }

    #[test]
    fn every_bound_is_kept() {
        for (name, values) in [
            ("LARDER_CONFIG_ENDPOINT", ["", "cache"]),
            ("LARDER_SCALE_MIN_NODES", ["0", "301"]),
            ("LARDER_SCALE_MAX_NODES", ["0", "many"]),
            ("LARDER_SCALE_MAX_NODES", ["1", ""]),
            ("LARDER_SCALE_COOL_DOWN_SECS", ["-1", "86401"]),
            ("LARDER_TIMEOUT_MS", ["59999", "900001"]),
        ] {
            for value in values {
                check_fault(&[(name, value)], name, "");
            }
        }
        let fixed = [("LARDER_CONFIG_ENDPOINT", ""), ("LARDER_NODES", "a:1,b:2")];
        check_fault(&fixed, "LARDER_NODES", "no ring to publish");
        let same = [("LARDER_SCALE_OUT_ALARM", "a"), ("LARDER_SCALE_IN_ALARM", "a")];
        check_fault(&same, "LARDER_SCALE_IN_ALARM", "is the same");
    }

    #[test]
    fn all_that_is_wrong_is_named_in_one_error() {
        let variables =
            Variables::from_iter([("LARDER_SCALE_MIN_NODES", "0"), ("LARDER_SCALE_COOLDOWN", "1")]);
        let faults = Settings::read(&variables).unwrap_err().faults;
        let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        let expected = [
            "LARDER_CLUSTER_NAME",
            "LARDER_CONFIG_ENDPOINT",
            "LARDER_SCALE_MIN_NODES",
            "LARDER_SCALE_MAX_NODES",
            "LARDER_SCALE_COOLDOWN",
        ];
        assert_eq!(names, expected);
    }

    /// The table above is what a deployer reads.
    #[test]
    fn the_documentation_names_every_variable() {
        let source = include_str!("settings.rs");
        let (documentation, code) = source.split_once("\nuse std").unwrap();
        let names = code.lines().filter_map(|line| line.split_once("name: \"")?.1.split('"').next());
        let names: std::collections::BTreeSet<_> = names.filter(|name| name.starts_with("LARDER_")).collect();
        assert_eq!(names.len(), 9);
        for name in names {
            assert!(documentation.contains(&format!("`{name}`")), "{name}");
        }
    }
}
