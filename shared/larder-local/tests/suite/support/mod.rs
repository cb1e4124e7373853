//! Plain sockets for the tests: no client of ours.

#![allow(dead_code, reason = "each test binary uses a part")]

use larder_local::{LocalCluster, Options};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) async fn cluster(nodes: usize) -> LocalCluster {
    LocalCluster::start(Options { nodes, ..Options::default() }).await.unwrap()
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection that the node behind `address` has answered on.
pub(crate) fn connect_to_node(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(b"mn\r\n").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    stream
}

/// Sends `wire`, closes for writing, and reads all that comes back.
pub(crate) fn exchange(address: SocketAddr, wire: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    let mut reader = stream.try_clone().unwrap();
    let reply = std::thread::spawn(move || {
        let mut reply = Vec::new();
        reader.read_to_end(&mut reply).map(|_| reply)
    });
    stream.write_all(wire).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    reply.join().unwrap().unwrap()
}

#[track_caller]
pub(crate) fn check(address: SocketAddr, wire: &[u8], expected: &[u8]) {
    let reply = exchange(address, wire);
    assert_eq!(
        reply.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "wire: {}",
        wire.escape_ascii()
    );
}

/// The configuration as the facts say it must look, built apart from the crate.
pub(crate) fn config_reply(cluster: &LocalCluster, version: u64) -> Vec<u8> {
    let payload = payload(cluster, version);
    format!("CONFIG cluster 0 {}\r\n{payload}\r\nEND\r\n", payload.len()).into_bytes()
}

pub(crate) fn payload(cluster: &LocalCluster, version: u64) -> String {
    let nodes: Vec<String> =
        cluster.nodes().iter().map(|node| format!("{}|{}|{}", node.name, node.ip, node.port)).collect();
    format!("{version}\n{}\n", nodes.join(" "))
}

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
