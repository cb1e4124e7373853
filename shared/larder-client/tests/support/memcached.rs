//! Real memcached processes.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use larder_client::Cluster;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, geteuid, kill_process, waitid};
use tempfile::TempDir;

use super::{PATIENCE, cluster};

/// A memcached on a port that the system chose. It ends with its owner.
pub(crate) struct Memcached {
    pub(crate) address: SocketAddr,
    program: PathBuf,
    more: Vec<String>,
    child: Child,
}

impl Memcached {
    /// Starts the first of [`programs`].
    pub(crate) fn start() -> Self {
        Self::of(programs().remove(0))
    }

    /// Starts one of every of [`programs`].
    pub(crate) fn each() -> impl Iterator<Item = Self> {
        programs().into_iter().map(Self::of)
    }

    /// Starts another one with the same port on another address, as a node that was replaced.
    pub(crate) fn replacing(&self) -> Self {
        let (program, more, ip) = (self.program.clone(), self.more.clone(), ANOTHER_ADDRESS);
        let (child, address) = spawn(&program, &more, ip, &self.address.port().to_string());
        Self { address, program, more, child }
    }

    fn of(program: PathBuf) -> Self {
        Self::with(program, &[])
    }

    /// Starts one of every of [`programs`] with `more` arguments.
    pub(crate) fn each_with(more: &[&str]) -> impl Iterator<Item = Self> {
        programs().into_iter().map(move |program| Self::with(program, more))
    }

    fn with(program: PathBuf, more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        let (child, address) = spawn(&program, &more, Ipv4Addr::LOCALHOST, ANY_PORT);
        Self { address, program, more, child }
    }

    pub(crate) fn cluster(&self) -> Cluster {
        cluster(&[self.address])
    }

    /// Sends `request` past all clients, and answers what comes back.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The node closes the connection when it has answered everything.
        stream.write_all(format!("{request}\r\nquit\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process; its port refuses connections from now on.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the process and starts another one, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        (self.child, self.address) =
            spawn(&self.program, &self.more, Ipv4Addr::LOCALHOST, &self.address.port().to_string());
    }

    /// Stops the process as it stands: the system still takes connections for it, but nobody answers.
    pub(crate) fn stop(&self) {
        kill_process(self.process(), Signal::STOP).unwrap();
        waitid(WaitId::Pid(self.process()), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).unwrap();
    }

    /// Lets a stopped process go on.
    pub(crate) fn resume(&self) {
        kill_process(self.process(), Signal::CONT).unwrap();
    }

    fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `MEMCACHED` names, separated by `:` or `,`; the `memcached` on the path where it names nothing.
fn programs() -> Vec<PathBuf> {
    let named = std::env::var("MEMCACHED").unwrap_or_default();
    let programs: Vec<PathBuf> =
        named.split([':', ',']).filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    if programs.is_empty() { vec!["memcached".into()] } else { programs }
}

/// Starts `program` and returns when it listens.
fn spawn(program: &PathBuf, more: &[String], ip: Ipv4Addr, port: &str) -> (Child, SocketAddr) {
    let dir = TempDir::new().unwrap();
    let port_file = dir.path().join("port");
    let mut command = Command::new(program);
    command.args(["-l", &ip.to_string(), "-p", port, "-U", "0", "-t", "2", "-m", "64"]).args(more);
    if geteuid().is_root() {
        command.args(["-u", "root"]);
    }
    let mut child = command
        .env("MEMCACHED_PORT_FILENAME", &port_file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The file takes this name when it is whole.
        if let Ok(ports) = fs::read_to_string(&port_file) {
            let port = ports.lines().find_map(|line| line.strip_prefix("TCP INET: ")).unwrap();
            return (child, SocketAddr::from((ip, port.parse().unwrap())));
        }
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "{} ended with {}", program.display(), ended.unwrap());
        assert!(Instant::now() < deadline, "{} does not listen", program.display());
        sleep(START_PAUSE);
    }
}

/// What memcached takes for "any": 0 means none.
const ANY_PORT: &str = "-1";
const ANOTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const START_PAUSE: Duration = Duration::from_millis(1);
