//! The list of nodes now, read from the configuration payload.

use std::collections::HashMap;

use crate::diff::TopologyDiff;
use crate::malformed::{MalformedNode, MalformedTopology};
use crate::node::Node;

/// The nodes of a cluster at one moment: config version, nodes in the order listed, and the text itself.
///
/// Two topologies are equal when their whole text is. The config version alone does not tell: a node replaced
/// in place changes its ip under the same version, and a cluster created again starts at 1.
///
/// Bounds: 1 to [`MAX_NODES`] nodes, no host and port twice.
#[derive(Clone, Debug)]
pub struct Topology {
    version: u64,
    nodes: Vec<Node>,
    text: Box<str>,
}

impl Topology {
    /// Reads the data block of a `CONFIG cluster 0 N` or `VALUE AmazonElastiCache:cluster 0 N` reply, without
    /// its frame.
    ///
    /// The first line is the version. Each node after it is `host|ip|port`. Carriage returns, blanks at the
    /// ends of lines, several blanks between nodes and a missing last line feed are overlooked; the ip may be
    /// empty or anything else.
    ///
    /// Reads at most [`MAX_PAYLOAD_LEN`] bytes; reserves memory for nodes that are there, not for numbers.
    ///
    /// # Errors
    /// [`MalformedTopology`] names the fault and its place. A list that names a node twice is refused, not
    /// mended: it gives no true count of the nodes, which is all that a ring by index has to go by.
    ///
    /// Source: AWS, *Amazon ElastiCache for Memcached*, "Adding auto discovery to your client library".
    ///
    /// ```
    /// use larder_discovery::{MalformedTopology, Topology};
    ///
    /// let topology = Topology::parse(b"3\n0001.a.cache||11211 0002.a.cache||11211\n")?;
    /// assert_eq!(topology.version(), 3);
    /// assert_eq!(topology.nodes()[1].to_string(), "0002.a.cache:11211");
    ///
    /// assert_eq!(Topology::parse(b"4\n\n"), Err(MalformedTopology::NoNodes));
    /// # Ok::<(), MalformedTopology>(())
    /// ```
    pub fn parse(payload: &[u8]) -> Result<Self, MalformedTopology> {
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(MalformedTopology::TooLong { len: payload.len() });
        }
        let text = str::from_utf8(payload)
            .map_err(|error| MalformedTopology::NotUtf8 { at: error.valid_up_to() })?;
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        Ok(Self { version: parse_version(first)?, nodes: parse_nodes(rest)?, text: text.into() })
    }

    /// The topology of a server that lists no nodes: it is the only one.
    ///
    /// A plain memcached answers `config get cluster` with `ERROR`, or the older form with `END`; so does
    /// ElastiCache Serverless. The version is 0, which ElastiCache never gives.
    ///
    /// ```
    /// use larder_discovery::Topology;
    ///
    /// let topology = Topology::single("localhost", 11211);
    /// assert_eq!(topology.nodes()[0].to_string(), "localhost:11211");
    /// ```
    #[must_use]
    pub fn single(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let text = format!("0\n{host}||{port}\n").into();
        Self { version: 0, nodes: vec![Node { host, port, ip: None }], text }
    }

    /// Whether it is the one node of a server that knows of no cluster.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.version == 0 && matches!(&self.nodes[..], [node] if node.ip.is_none())
    }

    /// The config version: news when it differs, in either direction; no news of its own when it does not.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The nodes in the order of the payload: alphabetical on ElastiCache, so a new node shifts the others.
    /// Never empty.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The payload as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What changes for the nodes when `next` takes the place of `self`.
    #[must_use]
    pub fn diff(&self, next: &Self) -> TopologyDiff {
        TopologyDiff::between(self, next)
    }
}

impl PartialEq for Topology {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Topology {}

fn parse_version(line: &str) -> Result<u64, MalformedTopology> {
    let digits = line.trim_ascii();
    if digits.is_empty() {
        return Err(MalformedTopology::NoVersion);
    }
    // The whole line must be digits: on TLS clusters the names of nodes begin with digits too.
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(MalformedTopology::BadVersion);
    }
    digits.parse().map_err(|_| MalformedTopology::BadVersion)
}

fn parse_nodes(list: &str) -> Result<Vec<Node>, MalformedTopology> {
    let mut nodes = Vec::new();
    for (text, place) in list.split_ascii_whitespace().zip(1..) {
        if place > MAX_NODES {
            return Err(MalformedTopology::TooManyNodes);
        }
        nodes.push(Node::parse(text).map_err(|fault| MalformedTopology::Node { place, fault })?);
    }
    if nodes.is_empty() {
        return Err(MalformedTopology::NoNodes);
    }
    refuse_duplicates(&nodes)?;
    Ok(nodes)
}

fn refuse_duplicates(nodes: &[Node]) -> Result<(), MalformedTopology> {
    let mut places = HashMap::with_capacity(nodes.len());
    for (node, place) in nodes.iter().zip(1..) {
        if let Some(first) = places.insert(node.id(), place) {
            return Err(MalformedTopology::Node { place, fault: MalformedNode::Duplicate { first } });
        }
    }
    Ok(())
}

/// Longest payload read, in bytes: `config_size_max` of ElastiCache, which cannot be changed there.
pub const MAX_PAYLOAD_LEN: usize = 65_536;

/// Most nodes taken: well above the few hundred that a raised ElastiCache quota allows.
pub const MAX_NODES: usize = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of AWS's page, 136 bytes.
    const AWS_EXAMPLE: &[u8] = b"12\n\
        myCluster.pc4ldq.0001.use1.cache.amazonaws.com|10.82.235.120|11211 \
        myCluster.pc4ldq.0002.use1.cache.amazonaws.com|10.80.249.27|11211\n";

    #[test]
    fn the_example_of_aws_is_read() {
        assert_eq!(AWS_EXAMPLE.len(), 136);
        check(
            AWS_EXAMPLE,
            Ok((
                12,
                &[
                    ("myCluster.pc4ldq.0001.use1.cache.amazonaws.com", Some("10.82.235.120"), 11211),
                    ("myCluster.pc4ldq.0002.use1.cache.amazonaws.com", Some("10.80.249.27"), 11211),
                ],
            )),
        );
    }

    #[test]
    fn the_whole_text_is_kept() {
        assert_eq!(Topology::parse(AWS_EXAMPLE).unwrap().text().as_bytes(), AWS_EXAMPLE);
    }

    #[test]
    fn a_carriage_return_after_the_version_is_overlooked() {
        check(b"12\r\na|10.0.0.1|11211\n", Ok((12, &[("a", Some("10.0.0.1"), 11211)])));
    }

    #[test]
    fn a_carriage_return_after_the_nodes_is_overlooked() {
        check(b"12\na|10.0.0.1|11211\r\n", Ok((12, &[("a", Some("10.0.0.1"), 11211)])));
    }

    #[test]
    fn blanks_at_the_ends_of_lines_are_overlooked() {
        check(b"12 \t\na||1 b||2  \n \n", Ok((12, &[("a", None, 1), ("b", None, 2)])));
    }

    #[test]
    fn several_blanks_between_nodes_are_one() {
        check(b"12\na||1   b||2\n", Ok((12, &[("a", None, 1), ("b", None, 2)])));
    }

    #[test]
    fn a_missing_last_line_feed_is_overlooked() {
        check(b"12\na||1 b||2", Ok((12, &[("a", None, 1), ("b", None, 2)])));
    }

    #[test]
    fn nodes_on_lines_of_their_own_are_read() {
        check(b"12\na||1\nb||2\n", Ok((12, &[("a", None, 1), ("b", None, 2)])));
    }

    #[test]
    fn a_missing_ip_keeps_its_pipes() {
        check(b"1\na.0001.cache||11211\n", Ok((1, &[("a.0001.cache", None, 11211)])));
    }

    #[test]
    fn a_missing_ip_does_not_spoil_the_other_nodes() {
        check(b"1\na||1 b|10.0.0.2|2\n", Ok((1, &[("a", None, 1), ("b", Some("10.0.0.2"), 2)])));
    }

    #[test]
    fn an_ip_that_repeats_the_name_is_kept_as_it_is() {
        check(b"1\na.cache|a.cache|11211\n", Ok((1, &[("a.cache", Some("a.cache"), 11211)])));
    }

    #[test]
    fn an_ip_longer_than_fifty_bytes_is_read() {
        let ip = "x".repeat(51);
        check(format!("1\na|{ip}|1\n").as_bytes(), Ok((1, &[("a", Some(&ip), 1)])));
    }

    #[test]
    fn an_ipv6_ip_stands_bare() {
        check(b"1\na|2600:1f18::5|11211\n", Ok((1, &[("a", Some("2600:1f18::5"), 11211)])));
    }

    #[test]
    fn brackets_around_an_ipv6_address_are_taken_off() {
        check(b"1\n[::1]|[::1]|11211\n", Ok((1, &[("::1", Some("::1"), 11211)])));
    }

    #[test]
    fn a_host_may_be_an_address_as_on_memorystore() {
        check(b"1\n10.0.0.3|10.0.0.3|11211\n", Ok((1, &[("10.0.0.3", Some("10.0.0.3"), 11211)])));
    }

    #[test]
    fn a_name_that_starts_with_digits_is_no_version() {
        check(
            b"7\n0001.c.cache||11211 0002.c.cache||11211\n",
            Ok((7, &[("0001.c.cache", None, 11211), ("0002.c.cache", None, 11211)])),
        );
        check(b"0001.c.cache||11211\n", Err(MalformedTopology::BadVersion));
    }

    #[test]
    fn nodes_stay_in_the_order_listed() {
        check(b"1\nc||1 a||1 b||1\n", Ok((1, &[("c", None, 1), ("a", None, 1), ("b", None, 1)])));
    }

    #[test]
    fn one_host_with_two_ports_is_two_nodes() {
        check(b"1\nlocalhost||1 localhost||2\n", Ok((1, &[("localhost", None, 1), ("localhost", None, 2)])));
    }

    #[test]
    fn a_cluster_created_again_may_start_its_version_anywhere() {
        check(b"0\na||1\n", Ok((0, &[("a", None, 1)])));
        check(b"18446744073709551615\na||1\n", Ok((u64::MAX, &[("a", None, 1)])));
    }

    #[test]
    fn an_empty_payload_has_no_version() {
        check(b"", Err(MalformedTopology::NoVersion));
        check(b"\r\n", Err(MalformedTopology::NoVersion));
        check(b"\na||1\n", Err(MalformedTopology::NoVersion));
    }

    #[test]
    fn a_version_that_is_no_number_is_refused() {
        for payload in ["twelve\na||1\n", "-1\na||1\n", "+1\na||1\n", "1.5\na||1\n", "1 a||1\n"] {
            check(payload.as_bytes(), Err(MalformedTopology::BadVersion));
        }
    }

    #[test]
    fn a_version_over_64_bits_is_refused() {
        check(b"18446744073709551616\na||1\n", Err(MalformedTopology::BadVersion));
    }

    #[test]
    fn an_empty_node_list_is_refused() {
        for payload in ["12", "12\n", "12\n\n", "12\r\n \r\n"] {
            check(payload.as_bytes(), Err(MalformedTopology::NoNodes));
        }
    }

    #[test]
    fn a_port_out_of_range_is_refused() {
        for port in ["", "0", "00", "65536", "99999999999", "-1", "+80", "8o", "11211;"] {
            check_node(&format!("a|10.0.0.1|{port}"), MalformedNode::BadPort);
        }
    }

    #[test]
    fn the_ends_of_the_port_range_are_taken() {
        check(b"1\na||1 b||65535\n", Ok((1, &[("a", None, 1), ("b", None, 65535)])));
    }

    #[test]
    fn a_node_without_its_pipes_is_refused() {
        check_node("a", MalformedNode::Fields(1));
        check_node("a|11211", MalformedNode::Fields(2));
        check_node("a|10.0.0.1|11211|x", MalformedNode::Fields(4));
    }

    #[test]
    fn an_empty_host_is_refused() {
        check_node("|10.0.0.1|11211", MalformedNode::NoHost);
        check_node("[]|10.0.0.1|11211", MalformedNode::NoHost);
    }

    #[test]
    fn a_host_is_at_most_as_long_as_a_dns_name() {
        let longest = "h".repeat(255);
        check(format!("1\n{longest}||1\n").as_bytes(), Ok((1, &[(&longest, None, 1)])));
        check_node(&format!("h{longest}||1"), MalformedNode::HostTooLong { len: 256 });
        check_node(&format!("a|h{longest}|1"), MalformedNode::IpTooLong { len: 256 });
    }

    #[test]
    fn a_control_byte_in_a_name_is_refused() {
        check_node("a\0b||1", MalformedNode::HostControl { at: 1 });
        check_node("ab\x7f||1", MalformedNode::HostControl { at: 2 });
        check_node("a|\x1b[2J|1", MalformedNode::IpControl { at: 0 });
    }

    #[test]
    fn a_node_named_twice_is_refused() {
        check(
            b"1\na|10.0.0.1|1 b||1 a|10.0.0.2|1\n",
            Err(MalformedTopology::Node { place: 3, fault: MalformedNode::Duplicate { first: 1 } }),
        );
    }

    #[test]
    fn a_payload_that_is_not_utf8_is_refused() {
        check(b"1\na\xff||1\n", Err(MalformedTopology::NotUtf8 { at: 3 }));
    }

    #[test]
    fn a_payload_over_the_servers_limit_is_refused() {
        let mut payload = b"1\na||1\n".to_vec();
        payload.resize(MAX_PAYLOAD_LEN, b' ');
        check(&payload, Ok((1, &[("a", None, 1)])));
        payload.push(b' ');
        check(&payload, Err(MalformedTopology::TooLong { len: 65_537 }));
    }

    #[test]
    fn more_nodes_than_any_cluster_has_are_refused() {
        let list =
            |count| format!("1\n{}", (1..=count).map(|port| format!("a||{port} ")).collect::<String>());
        assert_eq!(Topology::parse(list(MAX_NODES).as_bytes()).unwrap().nodes().len(), MAX_NODES);
        check(list(MAX_NODES + 1).as_bytes(), Err(MalformedTopology::TooManyNodes));
    }

    #[test]
    fn an_error_names_the_fault_and_its_place() {
        let error = Topology::parse(b"1\na||1 b||0\n").unwrap_err();
        assert_eq!(error.to_string(), "node 2 of the list: the port is not a number from 1 to 65535");
    }

    #[test]
    fn the_same_version_with_another_ip_is_another_topology() {
        let before = Topology::parse(b"12\na|10.0.0.1|1\n").unwrap();
        let after = Topology::parse(b"12\na|10.0.0.2|1\n").unwrap();
        assert_ne!(before, after);
    }

    #[test]
    fn the_same_nodes_under_a_lower_version_are_another_topology() {
        let before = Topology::parse(b"12\na||1\n").unwrap();
        let after = Topology::parse(b"1\na||1\n").unwrap();
        assert_ne!(before, after);
    }

    #[test]
    fn a_server_without_discovery_is_the_only_node() {
        let topology = Topology::single("cache.serverless.use1.cache.amazonaws.com", 11211);
        assert_eq!(
            topology.nodes(),
            [Node { host: "cache.serverless.use1.cache.amazonaws.com".to_owned(), port: 11211, ip: None }]
        );
        assert_eq!(topology, Topology::parse(topology.text().as_bytes()).unwrap());
    }

    #[test]
    fn a_payload_cut_anywhere_never_gives_a_name_that_was_not_there() {
        // The port cut last may differ: the frame's length guards it, not this parser.
        let names = |topology: &Topology| -> Vec<String> {
            topology.nodes().iter().map(|node| node.host.clone()).collect()
        };
        let whole = names(&Topology::parse(AWS_EXAMPLE).unwrap());
        for cut in 0..AWS_EXAMPLE.len() {
            if let Ok(part) = Topology::parse(&AWS_EXAMPLE[..cut]) {
                assert!(whole.starts_with(&names(&part)), "cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(payload in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Topology::parse(&payload);
        }

        #[test]
        fn what_is_taken_keeps_its_promises(payload in r"[0-9]{0,3}\r?\n?([a-c\[\].:|\x00 0-9]{0,12}\|[0-9.:]{0,5}\|[0-9]{0,5}[ \r\n]{0,2}){0,6}") {
            if let Ok(topology) = Topology::parse(payload.as_bytes()) {
                prop_assert!((1..=MAX_NODES).contains(&topology.nodes().len()));
                prop_assert_eq!(topology.text(), &payload);
                for (at, node) in topology.nodes().iter().enumerate() {
                    prop_assert!(node.port > 0);
                    prop_assert!((1..=255).contains(&node.host.len()));
                    prop_assert!(!node.host.contains(|c: char| c.is_control() || c == ' ' || c == '|'));
                    prop_assert!(topology.nodes()[..at].iter().all(|other| other.id() != node.id()));
                }
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            version: u64,
            nodes in proptest::collection::btree_map(
                ("[a-z0-9.-]{1,40}", 1u16..), proptest::option::of("[0-9a-f.:]{1,39}"), 1..50)
        ) {
            let expected: Vec<Node> = nodes
                .into_iter()
                .map(|((host, port), ip)| Node { host, port, ip })
                .collect();
            let list: Vec<String> = expected
                .iter()
                .map(|node| format!("{}|{}|{}", node.host, node.ip.as_deref().unwrap_or(""), node.port))
                .collect();
            let topology = Topology::parse(format!("{version}\n{}\n", list.join(" ")).as_bytes()).unwrap();
            prop_assert_eq!(topology.version(), version);
            prop_assert_eq!(topology.nodes(), expected);
        }
    }

    /// A version and its nodes: host, ip, port.
    type Expected<'a> = Result<(u64, &'a [(&'a str, Option<&'a str>, u16)]), MalformedTopology>;

    #[track_caller]
    fn check(payload: &[u8], expected: Expected<'_>) {
        let expected = expected.map(|(version, nodes)| {
            let node = |&(host, ip, port): &(&str, Option<&str>, u16)| Node {
                host: host.to_owned(),
                port,
                ip: ip.map(str::to_owned),
            };
            (version, nodes.iter().map(node).collect())
        });
        let actual = Topology::parse(payload).map(|read| (read.version, read.nodes));
        assert_eq!(actual, expected, "payload: {}", payload.escape_ascii());
    }

    #[track_caller]
    fn check_node(node: &str, fault: MalformedNode) {
        check(format!("1\nfirst||1 {node}\n").as_bytes(), Err(MalformedTopology::Node { place: 2, fault }));
    }
}
