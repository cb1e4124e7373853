//! The cluster that a function uses, from its settings: the same ones for every function.

use std::time::Duration;

use larder_client::{Cluster, Config, Endpoint, Tls};
use larder_ring::{RingKind, RingNode};

use crate::settings::{Reader, Setting, millis, on_or_off, seconds, text};

/// The cluster as the variables describe it. Connects to nothing. `None` means that a fault was noted.
pub fn read(reader: &mut Reader<'_>) -> Option<Cluster> {
    let made = Cluster::new(config(reader)?);
    // Only a fixed list can be one that no ring is made of; an endpoint's nodes are not known yet.
    made.map_err(|wrong| reader.fault(NODES, format_args!("does not do: {wrong}"))).ok()
}

/// The same for a function that publishes the ring: of a list that never changes there is none to publish.
pub fn read_discovered(reader: &mut Reader<'_>) -> Option<Cluster> {
    if reader.is_set(NODES) {
        reader.fault(NODES, "does not do: nodes that never change have no ring to publish");
    }
    read(reader)
}

fn config(reader: &mut Reader<'_>) -> Option<Config> {
    let endpoint = endpoint(reader);
    let tls = tls(reader);
    let ring = reader.or(RING, RingKind::default(), ring);
    let discovery_interval = reader.or(DISCOVERY_INTERVAL, Duration::from_secs(60), seconds(1..=3_600));
    let ring_check_interval = reader.or(RING_CHECK_INTERVAL, Duration::from_secs(1), millis(100..=60_000));
    let hosts_file = reader.optional(HOSTS_FILE, text);
    let timeout = reader.or(CACHE_TIMEOUT, Duration::from_millis(500), millis(5..=10_000));

    let defaults = Config::new(endpoint?);
    let connect_timeout = defaults.connect_timeout.min(timeout);
    // What is left is for connecting and asking.
    let resolve_timeout = defaults.resolve_timeout.min(timeout / 2);
    let hosts_file = hosts_file.map(Into::into);
    Some(Config {
        tls,
        ring,
        discovery_interval,
        ring_check_interval,
        hosts_file,
        timeout,
        connect_timeout,
        resolve_timeout,
        ..defaults
    })
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

const CONFIG_ENDPOINT: Setting =
    Setting { name: "LARDER_CONFIG_ENDPOINT", example: "my.cfg.euw1.cache.amazonaws.com:11211" };
const NODES: Setting = Setting { name: "LARDER_NODES", example: "10.0.1.7:11211,10.0.2.7:11211" };
const TLS: Setting = Setting { name: "LARDER_TLS", example: "on" };
const TLS_CA_FILE: Setting = Setting { name: "LARDER_TLS_CA_FILE", example: "/opt/ca.pem" };
const RING: Setting = Setting { name: "LARDER_RING", example: "libmemcached-ketama-weighted" };
const DISCOVERY_INTERVAL: Setting = Setting { name: "LARDER_DISCOVERY_INTERVAL_SECS", example: "60" };
const RING_CHECK_INTERVAL: Setting = Setting { name: "LARDER_RING_CHECK_INTERVAL_MS", example: "1000" };
const HOSTS_FILE: Setting = Setting { name: "LARDER_HOSTS_FILE", example: "hosts" };
const CACHE_TIMEOUT: Setting = Setting { name: "LARDER_CACHE_TIMEOUT_MS", example: "500" };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Fault, Variables};

    #[test]
    fn an_endpoint_is_enough() {
        let cluster = read_config(&[]);
        let endpoint = Endpoint::Configuration { host: "cache.local".to_owned(), port: 11_211 };
        assert_eq!((cluster.endpoint, cluster.tls), (endpoint, None));
    }

    #[test]
    fn every_variable_of_the_cluster_is_taken() {
        let cluster = read_config(&[
            ("LARDER_TLS", "on"),
            ("LARDER_TLS_CA_FILE", "/opt/ca.pem"),
            ("LARDER_RING", "dalli-ring"),
            ("LARDER_DISCOVERY_INTERVAL_SECS", "5"),
            ("LARDER_RING_CHECK_INTERVAL_MS", "250"),
            ("LARDER_HOSTS_FILE", "/tmp/hosts"),
            ("LARDER_CACHE_TIMEOUT_MS", "100"),
        ]);
        assert_eq!(cluster.tls, Some(Tls { ca_file: Some("/opt/ca.pem".into()) }));
        assert_eq!(cluster.ring, RingKind::DalliRing);
        assert_eq!(cluster.discovery_interval, Duration::from_secs(5));
        assert_eq!(cluster.ring_check_interval, Duration::from_millis(250));
        assert_eq!(cluster.hosts_file.as_deref(), Some("/tmp/hosts".as_ref()));
        assert_eq!(
            (cluster.timeout, cluster.connect_timeout),
            (Duration::from_millis(100), Duration::from_millis(100))
        );
    }

    #[test]
    fn nodes_stand_in_for_an_endpoint_but_not_beside_it() {
        let nodes = [("LARDER_CONFIG_ENDPOINT", ""), ("LARDER_NODES", "a:1,b:2:3@10.0.0.1")];
        assert!(faults(&nodes).is_empty());
        let Endpoint::Nodes(nodes) = read_config(&nodes).endpoint else { panic!("no list of nodes") };
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
    fn a_list_that_never_changes_has_no_ring_to_publish() {
        let nodes = [("LARDER_CONFIG_ENDPOINT", ""), ("LARDER_NODES", "a:1,b:2")];
        for (variables, is_good) in [(&LEAST[..], true), (&nodes[..], false)] {
            let variables: Variables = variables.iter().copied().collect();
            let mut reader = Reader::new(&variables);
            let cluster = read_discovered(&mut reader);
            let faults =
                reader.finish("LARDER_", || cluster).err().map_or_else(Vec::new, |wrong| wrong.faults);
            let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
            assert_eq!(names.is_empty(), is_good, "{names:?}");
            assert!(is_good || names == ["LARDER_NODES"], "{names:?}");
        }
    }

    #[test]
    fn every_bound_is_kept() {
        for (name, values) in [
            ("LARDER_CONFIG_ENDPOINT", ["cache.local", ":11211"]),
            ("LARDER_TLS", ["true", "ON"]),
            ("LARDER_RING", ["consistent", "Ketama"]),
            ("LARDER_DISCOVERY_INTERVAL_SECS", ["0", "3601"]),
            ("LARDER_RING_CHECK_INTERVAL_MS", ["99", "60001"]),
            ("LARDER_CACHE_TIMEOUT_MS", ["4", "10001"]),
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
        check_fault(&[("LARDER_TLS_CA_FILE", "/opt/ca.pem")], "LARDER_TLS_CA_FILE", "LARDER_TLS=on");
    }

    const LEAST: [(&str, &str); 1] = [("LARDER_CONFIG_ENDPOINT", "cache.local:11211")];

    /// What [`LEAST`] with `more` in front of it or in its place says.
    fn read_config(more: &[(&str, &str)]) -> Config {
        let variables: Variables = LEAST.iter().chain(more).copied().collect();
        config(&mut Reader::new(&variables)).unwrap()
    }

    fn faults(more: &[(&str, &str)]) -> Vec<Fault> {
        let variables: Variables = LEAST.iter().chain(more).copied().collect();
        let mut reader = Reader::new(&variables);
        let cluster = read(&mut reader);
        reader.finish("LARDER_", || cluster).err().map_or_else(Vec::new, |invalid| invalid.faults)
    }

    #[track_caller]
    fn check_fault(more: &[(&str, &str)], name: &str, what: &str) {
        let faults = faults(more);
        let found = faults.iter().any(|fault| fault.name == name && fault.what.contains(what));
        assert!(found, "{more:?} gave {faults:?}");
    }
}
