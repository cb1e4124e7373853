//! One memcached process, and bytes on a plain socket to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, geteuid, kill_process, waitid};
use tempfile::TempDir;

use super::PATIENCE;

/// A memcached: the first program that `MEMCACHED` names, else the one on the path. Ends with this value.
pub(crate) struct Memcached {
    child: Child,
    port: u16,
}

impl Memcached {
    /// Starts one on a port that the system chooses.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more `arguments`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("port");
        let mut child = command("-1").args(arguments).env("MEMCACHED_PORT_FILENAME", &file).spawn().unwrap();
        let port = until("memcached tells its port", || {
            assert_eq!(child.try_wait().unwrap(), None, "memcached has ended");
            let text = fs::read_to_string(&file).ok()?;
            text.lines().find_map(|line| line.strip_prefix("TCP INET: ")?.parse().ok())
        });
        Self { child, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As answers name it.
    pub(crate) fn name(&self) -> Arc<str> {
        format!("127.0.0.1:{}", self.port).into()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the process and starts another one on the same port: empty, and counting CAS tokens from 1.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let port = self.port.to_string();
        until("memcached is back", || {
            // For a moment somebody else may have the port.
            if self.child.try_wait().unwrap().is_some() {
                self.child = command(&port).spawn().unwrap();
            }
            TcpStream::connect(self.address()).ok()
        });
    }

    /// Stops the process: its sockets stay open, but nothing answers. Returns when it stands.
    pub(crate) fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        waitid(WaitId::Pid(self.pid()), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).unwrap();
    }

    /// Lets a paused process go on.
    pub(crate) fn go_on(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// Sends `wire`, and answers all that comes back, which is text.
    pub(crate) fn ask(&self, wire: &str) -> String {
        // 1.6.12 and 1.6.17 end some lines with a blank.
        String::from_utf8(self.ask_bytes(wire)).unwrap().replace(" \r\n", "\r\n")
    }

    /// Sends `wire`, and answers all that comes back.
    pub(crate) fn ask_bytes(&self, wire: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{wire}\r\nmn\r\n").as_bytes()).unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"MN\r\n") {
            let mut piece = [0; 4096];
            let len = stream.read(&mut piece).unwrap();
            assert!(len > 0, "memcached hung up on {wire:?}");
            reply.extend_from_slice(&piece[..len]);
        }
        reply.truncate(reply.len() - b"MN\r\n".len());
        reply
    }

    /// Stores `value`, which may be any bytes.
    pub(crate) fn store(&self, key: &str, client_flags: u32, value: &[u8]) {
        let line = format!("ms {key} {} T100 F{client_flags}\r\n", value.len());
        assert_eq!(self.stored(&line, value), *b"HD");
    }

    /// Whether it has room for `value` under `key`.
    pub(crate) fn takes(&self, key: &str, value: &[u8]) -> bool {
        self.stored(&format!("ms {key} {} T0\r\n", value.len()), value) == *b"HD"
    }

    /// The first two bytes of the reply to `line` and `value`.
    fn stored(&self, line: &str, value: &[u8]) -> [u8; 2] {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[line.as_bytes(), value, b"\r\n"].concat()).unwrap();
        let mut code = [0; 2];
        stream.read_exact(&mut code).unwrap();
        code
    }

    #[track_caller]
    pub(crate) fn check(&self, wire: &str, expected: &str) {
        assert_eq!(self.ask(wire), expected, "wire: {wire:?}");
    }

    /// Waits until `wire` is answered by `expected`: a lease is given back without waiting for long.
    pub(crate) async fn comes_to(&self, wire: &str, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(wire) != expected {
            assert!(Instant::now() < deadline, "{wire:?} is answered by {:?}", self.ask(wire));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the item under `key` has less than `secs` left.
    pub(crate) async fn comes_to_ttl_below(&self, key: &str, secs: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.ask(&format!("mg {key} t"));
            let left = reply.trim_end().strip_prefix("HD t").and_then(|ttl| ttl.parse::<u64>().ok());
            if left.is_some_and(|left| left < secs) {
                return;
            }
            assert!(Instant::now() < deadline, "{reply}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// How many keys it has been asked for.
    pub(crate) fn gets(&self) -> u64 {
        let stats = self.ask("stats");
        let line = stats.lines().find_map(|line| line.strip_prefix("STAT cmd_get "));
        line.unwrap().parse().unwrap()
    }

    /// Waits until it has been asked for `count` keys.
    pub(crate) async fn asked(&self, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.gets() < count {
            assert!(Instant::now() < deadline, "only {} keys were asked for, not {count}", self.gets());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // It may have been killed by its test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(port: &str) -> Command {
    let named = std::env::var("MEMCACHED").unwrap_or_default();
    let program = named.split([':', ',']).find(|program| !program.is_empty()).unwrap_or("memcached");
    let mut command = Command::new(program);
    command.args(["-p", port, "-l", "127.0.0.1", "-U", "0", "-m", "64"]);
    if geteuid().is_root() {
        command.args(["-u", "root"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Looks again and again until there is something to see.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Some(seen) => return seen,
            None => assert!(Instant::now() < deadline, "waited in vain: {what}"),
        }
        thread::sleep(LOOK_AGAIN);
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(2);
