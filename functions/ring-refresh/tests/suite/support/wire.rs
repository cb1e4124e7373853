//! What a node holds, asked for over a socket without anything of our client.

#![allow(dead_code, reason = "each test file uses some of it")]
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use larder_local::NodeId;
use larder_ring::{RingDocument, RingNode};

/// The numbers of `nodes`: `[1, 2]`.
pub(crate) fn numbers(nodes: &[RingNode]) -> Vec<u16> {
    nodes.iter().map(|node| node.host.parse::<NodeId>().unwrap().0).collect()
}

/// The ring document that the node at `address` holds, if it holds one; its client flags have to be those of its epoch.
pub(crate) fn held(address: SocketAddr) -> Option<RingDocument> {
    let (flags, json) = get(address, RingDocument::RING_KEY)?;
    let document = RingDocument::parse(&json).unwrap();
    assert_eq!(flags, document.client_flags());
    Some(document)
}

/// Client flags and value of an item on the node at `address`, asked for without anything of ours.
pub(crate) fn get(address: SocketAddr, key: &str) -> Option<(u32, Vec<u8>)> {
    let (line, value) = exchange(address, format!("mg {key} f v\r\n").as_bytes());
    if line == "EN" {
        return None;
    }
    let flags = line.split(' ').find_map(|word| word.strip_prefix('f')).unwrap();
    Some((flags.parse().unwrap(), value))
}

/// Stores a value on the node at `address`.
pub(crate) fn set(address: SocketAddr, key: &str, flags: u32, value: &[u8]) {
    let head = format!("ms {key} {} T60 F{flags}\r\n", value.len());
    assert_eq!(exchange(address, &[head.as_bytes(), value, b"\r\n"].concat()).0, "HD");
}

/// Deletes what the node at `address` holds under `key`, if anything.
pub(crate) fn delete(address: SocketAddr, key: &str) {
    exchange(address, format!("md {key}\r\n").as_bytes());
}

/// The first line of the reply to `request`, and the value behind it.
fn exchange(address: SocketAddr, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let len = line.strip_prefix("VA ").and_then(|rest| rest.split([' ', '\r']).next());
    let mut value = vec![0; len.map_or(0, |len| len.parse().unwrap())];
    reader.read_exact(&mut value).unwrap();
    (line.trim_end().to_owned(), value)
}
