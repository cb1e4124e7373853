//! The endpoint and the nodes as a client on the wire sees them.

use crate::support::{check, cluster, config_reply, connect, exchange, payload};
use std::io::{Read, Write};

#[tokio::test]
async fn the_endpoint_and_every_node_answer_for_the_configuration() {
    let cluster = cluster(3).await;
    let nodes = cluster.nodes();
    assert_eq!(nodes[2].name, "larder.local.0003.cache.internal");
    for address in nodes.iter().map(|node| node.endpoint).chain([cluster.config_endpoint()]) {
        check(address, b"config get cluster\r\n", &config_reply(&cluster, 1));
    }
}

#[tokio::test]
async fn the_old_key_holds_the_same_payload() {
    let cluster = cluster(2).await;
    let payload = payload(&cluster, 1);
    let expected = format!("VALUE AmazonElastiCache:cluster 0 {}\r\n{payload}\r\nEND\r\n", payload.len());
    check(cluster.config_endpoint(), b"get AmazonElastiCache:cluster\r\n", expected.as_bytes());
}

#[tokio::test]
async fn a_pipeline_that_mixes_questions_and_commands_is_answered_in_order() {
    let cluster = cluster(1).await;
    let config = config_reply(&cluster, 1);
    let wire = b"ms a 1\r\nx\r\nconfig get cluster\r\nmg a v\r\nconfig get nothing\r\nmg b v\r\nconfig get cluster\r\nmn\r\n";
    let expected = [b"HD\r\n", &config[..], b"VA 1\r\nx\r\nEND\r\nEN\r\n", &config, b"MN\r\n"].concat();
    check(cluster.config_endpoint(), wire, &expected);
    check(cluster.nodes()[0].endpoint, wire, &expected);
}

#[tokio::test]
async fn a_value_that_holds_a_question_is_stored_and_read_back() {
    let cluster = cluster(1).await;
    let value = "config get cluster\r\n";
    for set in [format!("set k 0 0 20\r\n{value}\r\n"), format!("ms k 20\r\n{value}\r\n")] {
        let stored = if set.starts_with("ms") { "HD" } else { "STORED" };
        let wire = format!("{set}mg k v\r\n");
        check(
            cluster.config_endpoint(),
            wire.as_bytes(),
            format!("{stored}\r\nVA 20\r\n{value}\r\n").as_bytes(),
        );
    }
}

#[tokio::test]
async fn a_question_that_arrives_byte_by_byte_is_answered() {
    let cluster = cluster(1).await;
    let mut stream = connect(cluster.config_endpoint());
    stream.set_nodelay(true).unwrap();
    for byte in b"mg none v\r\nconfig get cluster\r\nquit\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, [b"EN\r\n", &config_reply(&cluster, 1)[..]].concat());
}

#[tokio::test]
async fn many_commands_and_large_values_around_a_question_come_through_whole() {
    let cluster = cluster(1).await;
    let value = "v".repeat(900_000);
    let wire = format!(
        "ms big 900000\r\n{value}\r\n{gets}config get cluster\r\n{gets}",
        gets = "mg big v\r\n".repeat(5) + &"mg none v\r\n".repeat(2_000),
    );
    let gets = format!("VA 900000\r\n{value}\r\n").repeat(5) + &"EN\r\n".repeat(2_000);
    let config = config_reply(&cluster, 1);
    let reply = exchange(cluster.config_endpoint(), wire.as_bytes());
    assert!(
        reply == [b"HD\r\n", gets.as_bytes(), &config, gets.as_bytes()].concat(),
        "{} bytes",
        reply.len()
    );
}

#[tokio::test]
async fn what_is_no_question_is_answered_by_memcached() {
    let cluster = cluster(1).await;
    let endpoint = cluster.config_endpoint();
    check(endpoint, b"config set cluster 1\r\nnonsense\r\n", b"ERROR\r\nERROR\r\n");
    check(endpoint, b"config get other\r\n", b"END\r\n");
    check(endpoint, b"get a AmazonElastiCache:cluster\r\n", b"END\r\n");
    let version = format!("VERSION {}\r\n", cluster.nodes()[0].version);
    check(endpoint, b"version\r\n", version.as_bytes());
}

#[tokio::test]
async fn the_binary_protocol_passes_through() {
    let cluster = cluster(1).await;
    let mut version_request = [0; 24];
    version_request[..2].copy_from_slice(b"\x80\x0b");
    let reply = exchange(cluster.config_endpoint(), &version_request);
    assert_eq!(reply[..2], *b"\x81\x0b", "{}", reply.escape_ascii());
}

#[tokio::test]
async fn the_endpoint_is_another_name_of_a_node() {
    let cluster = cluster(2).await;
    check(cluster.config_endpoint(), b"ms a 1\r\nx\r\n", b"HD\r\n");
    check(cluster.nodes()[0].endpoint, b"mg a v\r\n", b"VA 1\r\nx\r\n");
    check(cluster.nodes()[1].endpoint, b"mg a v\r\n", b"EN\r\n");
}

#[tokio::test]
async fn key_enumeration_is_off_as_on_elasticache() {
    let cluster = cluster(1).await;
    let reply = exchange(cluster.config_endpoint(), b"stats settings\r\n");
    let settings = String::from_utf8(reply).unwrap();
    assert!(settings.contains("STAT lru_crawler no\r\n"), "{settings}");
}
