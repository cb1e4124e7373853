//! Whether an endpoint that tells no topology is its own only node: a plain memcached, or ElastiCache Serverless.
//!
//! A node of a cluster may not know its configuration for a moment. A client that took it for a plain memcached would
//! write all keys to that one node, and others would read old values from the nodes that own them.

use larder_meta::Refusal;

use crate::{DiscoveryError, NodeError};

/// What is known of an endpoint that has told no topology.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// The host of the endpoint.
    pub(crate) host: &'a str,
    /// Whether it holds a ring document, which only nodes of a cluster do.
    pub(crate) holds_document: bool,
    /// Whether the endpoint has told no topology at the use before this one either.
    pub(crate) was_asked_before: bool,
}

/// Whether the endpoint is its own only node; an error where it is not, or not yet known to be.
///
/// | name | ring document | | is its own only node |
/// | --- | --- | --- | --- |
/// | any | yes | | no |
/// | with a label `cfg` | no | | no: it is the configuration endpoint of a cluster |
/// | with a label `serverless` | no | | yes |
/// | any other | no | first time | not yet: the caller goes without the cache |
/// | any other | no | second time | yes |
pub(crate) fn check(evidence: Evidence<'_>) -> Result<(), DiscoveryError> {
    let Evidence { host, holds_document, was_asked_before } = evidence;
    if holds_document || has_label(host, "cfg") {
        Err(DiscoveryError::NoTopology)
    } else if is_serverless(host) || was_asked_before {
        Ok(())
    } else {
        Err(DiscoveryError::Unconfirmed)
    }
}

/// Whether `failure` says that the endpoint has no topology to tell, rather than that it failed.
///
/// `END`, `ERROR` and `CLIENT_ERROR` do: the endpoint does not know the command or the key. `SERVER_ERROR` does not, but
/// for ElastiCache Serverless, whose words for an unknown command are not documented.
pub(crate) fn is_refusal(host: &str, failure: &DiscoveryError) -> bool {
    match failure {
        DiscoveryError::Exchange(NodeError::Refused(Refusal::Server(_))) => is_serverless(host),
        DiscoveryError::Exchange(NodeError::Refused(_)) => true,
        _ => false,
    }
}

fn is_serverless(host: &str) -> bool {
    has_label(host, "serverless")
}

fn has_label(host: &str, label: &str) -> bool {
    host.split('.').any(|part| part.eq_ignore_ascii_case(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_topology_is_a_node_of_its_own_only_if_nothing_speaks_against_it() {
        const CLUSTER: &str = "my-cache.abc123.cfg.use1.cache.amazonaws.com";
        const SERVERLESS: &str = "my-cache-abc123.serverless.use1.cache.amazonaws.com";
        for (host, holds_document, [first, second]) in [
            (CLUSTER, false, ["no", "no"]),
            (CLUSTER, true, ["no", "no"]),
            ("my-cache.CFG.example", false, ["no", "no"]),
            (SERVERLESS, false, ["yes", "yes"]),
            (SERVERLESS, true, ["no", "no"]),
            ("127.0.0.1", false, ["not yet", "yes"]),
            ("127.0.0.1", true, ["no", "no"]),
            ("cfg-cache.example", false, ["not yet", "yes"]),
        ] {
            for (was_asked_before, expected) in [(false, first), (true, second)] {
                let told = match check(Evidence { host, holds_document, was_asked_before }) {
                    Ok(()) => "yes",
                    Err(DiscoveryError::Unconfirmed) => "not yet",
                    Err(_) => "no",
                };
                assert_eq!(told, expected, "{host} {holds_document} {was_asked_before}");
            }
        }
    }

    #[test]
    fn a_server_error_is_a_failure_except_from_serverless() {
        let refused = |refusal| DiscoveryError::Exchange(NodeError::Refused(refusal));
        let [unknown, client, server] = [
            refused(Refusal::UnknownCommand),
            refused(Refusal::Client("no".into())),
            refused(Refusal::Server("no".into())),
        ];
        for host in ["a.serverless.b", "a.cfg.b", "a"] {
            let told = [&unknown, &client, &server].map(|failure| is_refusal(host, failure));
            assert_eq!(told, [true, true, host == "a.serverless.b"], "{host}");
        }
        assert!(!is_refusal("a.serverless.b", &NodeError::Deadline.into()));
    }
}
