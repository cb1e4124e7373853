//! Endpoints and nodes as settings name them.
#![no_main]

use larder_client::Endpoint;
use larder_ring::RingNode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(endpoint @ Endpoint::Configuration { .. }) = text.parse() {
        assert_eq!(written(&endpoint).parse(), Ok(endpoint));
    }
    if let Ok(node) = text.parse::<RingNode>() {
        assert_eq!(node.to_string().parse(), Ok(node));
    }
});

fn written(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Configuration { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        Endpoint::Configuration { host, port } => format!("{host}:{port}"),
        Endpoint::Nodes(_) => unreachable!("a text names one endpoint"),
    }
}
