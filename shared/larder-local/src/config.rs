//! What the cluster says of itself: the configuration in ElastiCache's bytes.

use crate::NodeId;
use std::net::SocketAddr;

/// How the endpoint and the nodes answer a question for the configuration.
///
/// Everything but [`ConfigReply::Topology`] is a fault for a test to inject; it holds for every door of the cluster
/// until it is changed again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ConfigReply {
    /// The nodes as they are, framed as ElastiCache frames them.
    #[default]
    Topology,
    /// These bytes as the payload, in a right frame.
    Payload(Vec<u8>),
    /// These bytes and nothing else, frame included. No bytes at all is a server that never answers.
    Raw(Vec<u8>),
    /// These bytes, then the end of the stream.
    RawThenClose(Vec<u8>),
    /// The question goes to memcached, which knows no such command: `ERROR`, or `END` to the old form. So answer a
    /// plain memcached and ElastiCache Serverless.
    NotSupported,
}

impl ConfigReply {
    /// A right frame around a version and no node at all.
    pub fn no_nodes(version: u64) -> Self {
        Self::Payload(payload(version, &[]))
    }
}

/// A question for the configuration, as a client may put it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Question {
    /// `config get cluster`, since engine 1.4.14.
    ConfigGetCluster,
    /// `get AmazonElastiCache:cluster`, for older engines.
    GetOldKey,
    /// `config get` of anything else.
    ConfigGetOther,
}

impl Question {
    /// The whole reply that holds `payload`.
    pub(crate) fn frame(self, payload: &[u8]) -> Vec<u8> {
        let header = match self {
            Self::ConfigGetCluster => "CONFIG cluster",
            Self::GetOldKey => "VALUE AmazonElastiCache:cluster",
            Self::ConfigGetOther => return b"END\r\n".to_vec(),
        };
        let mut reply = format!("{header} 0 {}\r\n", payload.len()).into_bytes();
        reply.extend_from_slice(payload);
        reply.extend_from_slice(b"\r\nEND\r\n");
        reply
    }
}

/// The payload: the version and a bare LF, the nodes and a bare LF.
///
/// `nodes` are host name and address, sorted by host name as ElastiCache sorts them. Source: Amazon ElastiCache User
/// Guide, "Adding Auto Discovery To Your Client Library".
pub(crate) fn payload(version: u64, nodes: &[(String, SocketAddr)]) -> Vec<u8> {
    let nodes: Vec<String> =
        nodes.iter().map(|(host, address)| format!("{host}|{}|{}", address.ip(), address.port())).collect();
    format!("{version}\n{}\n", nodes.join(" ")).into_bytes()
}

/// The name of a node of `cluster`, made like ElastiCache's (`name.xxxxxx.0001.use1.cache.amazonaws.com`) under a
/// domain that is reserved for private use.
pub(crate) fn node_name(cluster: &str, id: NodeId) -> String {
    format!("{cluster}.local.{id}.cache.internal")
}

/// The name of the configuration endpoint of `cluster`; AWS's own clients look for the `.cfg.` in it.
pub(crate) fn endpoint_name(cluster: &str) -> String {
    format!("{cluster}.local.cfg.cache.internal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_is_the_example_of_the_elasticache_guide_to_the_byte() {
        let nodes = [
            node("myCluster.pc4ldq.0001.use1.cache.amazonaws.com", "10.82.235.120:11211"),
            node("myCluster.pc4ldq.0002.use1.cache.amazonaws.com", "10.80.249.27:11211"),
        ];
        check(
            Question::ConfigGetCluster,
            &payload(12, &nodes),
            b"CONFIG cluster 0 136\r\n\
              12\n\
              myCluster.pc4ldq.0001.use1.cache.amazonaws.com|10.82.235.120|11211 \
              myCluster.pc4ldq.0002.use1.cache.amazonaws.com|10.80.249.27|11211\n\
              \r\n\
              END\r\n",
        );
    }

    #[test]
    fn the_old_key_carries_the_same_payload_as_a_value() {
        let payload = payload(3, &[node("a.b", "127.0.0.2:11211")]);
        check(
            Question::GetOldKey,
            &payload,
            b"VALUE AmazonElastiCache:cluster 0 22\r\n3\na.b|127.0.0.2|11211\n\r\nEND\r\n",
        );
    }

    #[test]
    fn another_configuration_does_not_exist() {
        check(Question::ConfigGetOther, b"1\n\n", b"END\r\n");
    }

    #[test]
    fn no_nodes_leave_an_empty_node_line() {
        assert_eq!(ConfigReply::no_nodes(7), ConfigReply::Payload(b"7\n\n".to_vec()));
    }

    #[test]
    fn names_sort_as_their_numbers_do() {
        let names: Vec<_> = [1, 2, 10, 40].map(|id| node_name("larder", NodeId(id))).into();
        assert_eq!(names[2], "larder.local.0010.cache.internal");
        assert!(names.is_sorted(), "{names:?}");
    }

    fn node(name: &str, address: &str) -> (String, SocketAddr) {
        (name.to_owned(), address.parse().unwrap())
    }

    #[track_caller]
    fn check(question: Question, payload: &[u8], expected: &[u8]) {
        let reply = question.frame(payload);
        assert_eq!(reply, expected, "reply: {}", reply.escape_ascii());
    }
}
