//! Faults that a test can inject, and those that come by themselves.

use crate::support::{PATIENCE, check, cluster, config_reply, connect, connect_to_node, exchange};
use larder_local::{ConfigReply, LocalCluster, LocalError, NodeId, NodeState, Options};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn a_killed_node_refuses_connections_and_stays_listed() {
    let cluster = cluster(2).await;
    let node = cluster.nodes()[0].clone();
    let mut open = connect_to_node(node.endpoint);
    let killed = cluster.kill_node(node.id).await.unwrap();
    assert_eq!(killed.state, NodeState::Failed);
    assert_eq!(open.read(&mut [0]).unwrap(), 0);
    assert_eq!(TcpStream::connect(node.endpoint).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    check(cluster.config_endpoint(), b"config get cluster\r\n", &config_reply(&cluster, 1));
    assert_eq!(cluster.nodes().len(), 2);
}

#[tokio::test]
async fn a_killed_node_comes_back_by_a_reboot() {
    let cluster = cluster(1).await;
    let node = cluster.kill_node(NodeId(1)).await.unwrap();
    assert!(matches!(cluster.resume_node(node.id).await, Err(LocalError::NotRunning(NodeId(1)))));
    cluster.reboot_node(node.id).await.unwrap();
    check(node.endpoint, b"mn\r\n", b"MN\r\n");
}

#[tokio::test]
async fn a_process_killed_from_outside_is_a_failed_node() {
    let cluster = cluster(2).await;
    let node = cluster.nodes()[1].clone();
    kill_process(pid(node.pid), Signal::KILL).unwrap();
    let failed = cluster.wait_for(|status| status.nodes[1].state == NodeState::Failed);
    timeout(PATIENCE, failed).await.unwrap().unwrap();
    assert_eq!(TcpStream::connect(node.endpoint).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_paused_node_takes_connections_and_answers_when_it_goes_on() {
    let cluster = cluster(2).await;
    let node = cluster.pause_node(NodeId(1)).await.unwrap();
    assert_eq!(node.state, NodeState::Paused);
    for wire in ["mn\r\n", "config get cluster\r\n"] {
        let mut stream = connect(node.endpoint);
        stream.write_all(wire.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "{wire}");
    }
    check(cluster.config_endpoint(), b"mn\r\n", b"MN\r\n");

    let mut waiting = connect(node.endpoint);
    waiting.write_all(b"mn\r\nquit\r\n").unwrap();
    cluster.resume_node(node.id).await.unwrap();
    let mut reply = Vec::new();
    waiting.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, b"MN\r\n");
}

#[tokio::test]
async fn an_endpoint_without_a_running_node_closes() {
    let cluster = cluster(1).await;
    cluster.kill_node(NodeId(1)).await.unwrap();
    assert_eq!(exchange(cluster.config_endpoint(), b""), b"");
}

#[tokio::test]
async fn the_configuration_can_be_scripted() {
    let cluster = cluster(1).await;
    let question = b"config get cluster\r\nmn\r\n";
    for (reply, expected) in [
        (ConfigReply::no_nodes(9), &b"CONFIG cluster 0 3\r\n9\n\n\r\nEND\r\nMN\r\n"[..]),
        (ConfigReply::Payload(b"x".to_vec()), b"CONFIG cluster 0 1\r\nx\r\nEND\r\nMN\r\n"),
        (ConfigReply::Raw(b"CONFIG cluster 0 99\r\n".to_vec()), b"CONFIG cluster 0 99\r\nMN\r\n"),
        (ConfigReply::Raw(Vec::new()), b"MN\r\n"),
        (ConfigReply::RawThenClose(b"CONFIG clu".to_vec()), b"CONFIG clu"),
        (ConfigReply::NotSupported, b"ERROR\r\nMN\r\n"),
    ] {
        cluster.answer_config(reply.clone()).await.unwrap();
        check(cluster.config_endpoint(), question, expected);
        check(cluster.nodes()[0].endpoint, question, expected);
    }
    check(cluster.config_endpoint(), b"get AmazonElastiCache:cluster\r\n", b"END\r\n");
    cluster.answer_config(ConfigReply::Topology).await.unwrap();
    check(cluster.config_endpoint(), b"config get cluster\r\n", &config_reply(&cluster, 1));
}

#[tokio::test]
async fn no_process_outlives_its_cluster() {
    let cluster = cluster(3).await;
    cluster.pause_node(NodeId(2)).await.unwrap();
    cluster.kill_node(NodeId(3)).await.unwrap();
    let pids: Vec<Pid> = cluster.nodes().iter().map(|node| pid(node.pid)).collect();
    test_kill_process(pids[0]).unwrap();
    drop(cluster);
    for pid in pids {
        test_kill_process(pid).unwrap_err();
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let options = Options { memcached: "/no/such/memcached".into(), ..Options::default() };
    let error = LocalCluster::start(options).await.unwrap_err();
    assert!(matches!(error, LocalError::Program { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/memcached"), "{error}");
}

#[tokio::test]
async fn a_memcached_that_does_not_come_up_says_why() {
    let options =
        Options { memcached_args: vec!["-o".into(), "no_such_option".into()], ..Options::default() };
    let error = LocalCluster::start(options).await.unwrap_err();
    assert!(
        matches!(&error, LocalError::NotReady { printed, .. } if printed.contains("no_such_option")),
        "{error}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = cluster(1).await;
    let taken = first.config_endpoint();
    let options = Options { port: taken.port(), ..Options::default() };
    match LocalCluster::start(options).await {
        Err(LocalError::Listen { address, .. }) => assert_eq!(address, taken),
        other => panic!("{other:?}"),
    }
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}
