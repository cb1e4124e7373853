//! Where a local cluster posts its notices, to be handled when the test says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use larder_local::FunctionUrl;
use serde_json::Value;

/// An address that takes notices.
pub(crate) struct Postbox {
    address: SocketAddr,
    notices: Receiver<Value>,
}

impl Postbox {
    /// Opens one on a port of its own. It ends with the test.
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (taken, notices) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if taken.send(take(stream)).is_err() {
                    return;
                }
            }
        });
        Self { address, notices }
    }

    /// What the cluster is told.
    pub(crate) fn url(&self) -> FunctionUrl {
        format!("http://{}/2015-03-31/functions/ring-refresh/invocations", self.address).parse().unwrap()
    }

    /// The next notice, which has to be about the event `name`.
    #[track_caller]
    pub(crate) fn next(&self, name: &str) -> Value {
        let event = self.notices.recv_timeout(Duration::from_secs(20)).unwrap();
        let message = format!(r#"{{"ElastiCache:{name}":"larder"}}"#);
        assert_eq!(event["Records"][0]["Sns"]["Message"], message);
        event
    }
}

fn take(stream: TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let head: Vec<String> =
        reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let len = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; len.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    reader.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
    serde_json::from_slice(&body).unwrap()
}
