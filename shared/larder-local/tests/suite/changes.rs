//! Nodes that come, go, move and restart.

use crate::support::{check, cluster, config_reply, connect_to_node};
use larder_local::{LocalCluster, LocalError, NodeId, NodeState};
use std::fs;
use std::io::Read;
use std::net::TcpStream;

#[tokio::test]
async fn an_added_node_is_listed_with_the_next_version() {
    let cluster = cluster(1).await;
    let added = cluster.add_node().await.unwrap();
    assert_eq!(added.id, NodeId(2));
    check(added.endpoint, b"mn\r\n", b"MN\r\n");
    check(cluster.config_endpoint(), b"config get cluster\r\n", &config_reply(&cluster, 2));
    assert_eq!(names(&cluster), ["larder.local.0001.cache.internal", "larder.local.0002.cache.internal"]);
    check_hosts(&cluster);
}

#[tokio::test]
async fn a_removed_node_leaves_the_list_and_its_number_is_not_given_again() {
    let cluster = cluster(3).await;
    let removed = cluster.remove_node(NodeId(2)).await.unwrap();
    TcpStream::connect(removed.endpoint).unwrap_err();
    check(cluster.config_endpoint(), b"config get cluster\r\n", &config_reply(&cluster, 2));
    assert_eq!(cluster.remove_node(None).await.unwrap().id, NodeId(3));
    assert_eq!(cluster.add_node().await.unwrap().id, NodeId(4));
    check_hosts(&cluster);
}

#[tokio::test]
async fn the_last_node_stays() {
    let cluster = cluster(1).await;
    assert!(matches!(cluster.remove_node(None).await, Err(LocalError::LastNode)));
    assert!(matches!(cluster.remove_node(NodeId(7)).await, Err(LocalError::UnknownNode(NodeId(7)))));
    assert_eq!(cluster.status().config_version, 1);
}

/// On a machine whose only loopback address is 127.0.0.1 the replacement is refused, and nothing has changed.
#[tokio::test]
async fn a_replaced_node_keeps_its_name_port_and_version_at_another_address() {
    let cluster = cluster(2).await;
    let old = cluster.nodes()[1].clone();
    check(old.endpoint, b"ms a 1\r\nx\r\n", b"HD\r\n");
    let replaced = cluster.replace_node(old.id).await;
    if !cfg!(target_os = "linux") && matches!(replaced, Err(LocalError::NoSecondAddress)) {
        check(old.endpoint, b"mg a v\r\n", b"VA 1\r\nx\r\n");
        return;
    }
    let new = replaced.unwrap();
    assert_eq!((&new.name, new.port), (&old.name, old.port));
    assert_ne!(new.ip, old.ip);
    assert_eq!(cluster.nodes()[1], new);
    TcpStream::connect(old.endpoint).unwrap_err();
    check(
        new.endpoint,
        b"mg a v\r\nconfig get cluster\r\n",
        &[b"EN\r\n", &config_reply(&cluster, 1)[..]].concat(),
    );
    check_hosts(&cluster);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_node_replaced_beside_answers_at_its_old_address_until_its_end() {
    let cluster = cluster(2).await;
    let old = cluster.nodes()[1].clone();
    check(old.endpoint, b"ms a 1\r\nx\r\n", b"HD\r\n");
    let mut warm = connect_to_node(old.endpoint);
    let new = cluster.replace_node_beside(old.id).await.unwrap();
    assert_eq!((&new.name, new.port, &cluster.nodes()[1]), (&old.name, old.port, &new));
    check(new.endpoint, b"mg a v\r\n", b"EN\r\n");
    check(old.endpoint, b"mg a v\r\n", b"VA 1\r\nx\r\n");
    check_hosts(&cluster);
    assert_eq!(cluster.end_predecessors().await.unwrap(), 1);
    assert_eq!(warm.read(&mut [0]).unwrap(), 0);
    TcpStream::connect(old.endpoint).unwrap_err();
    check(new.endpoint, b"mn\r\n", b"MN\r\n");
    assert_eq!(cluster.end_predecessors().await.unwrap(), 0);
}

#[tokio::test]
async fn a_rebooted_node_is_empty_at_the_same_address_and_its_connections_have_ended() {
    let cluster = cluster(1).await;
    let node = cluster.nodes()[0].clone();
    check(node.endpoint, b"ms a 1\r\nx\r\n", b"HD\r\n");
    let mut open = connect_to_node(node.endpoint);
    let rebooted = cluster.reboot_node(node.id).await.unwrap();
    assert_eq!(rebooted.endpoint, node.endpoint);
    assert_ne!(rebooted.pid, node.pid);
    assert_eq!(rebooted.state, NodeState::Running);
    assert_eq!(open.read(&mut [0]).unwrap(), 0);
    check(node.endpoint, b"mg a v\r\n", b"EN\r\n");
    assert_eq!(cluster.status().config_version, 1);
}

fn names(cluster: &LocalCluster) -> Vec<String> {
    cluster.nodes().into_iter().map(|node| node.name).collect()
}

/// Every listed name, and that of the endpoint, stands in the hosts file with its present address, and no other does.
#[track_caller]
fn check_hosts(cluster: &LocalCluster) {
    let endpoint = format!("{} larder.local.cfg.cache.internal\n", cluster.config_endpoint().ip());
    let nodes = cluster.nodes().into_iter().map(|node| format!("{} {}\n", node.ip, node.name));
    let expected: String = [endpoint].into_iter().chain(nodes).collect();
    assert_eq!(fs::read_to_string(cluster.hosts_file()).unwrap(), expected);
}
