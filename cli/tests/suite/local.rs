//! `larder local`

use crate::support::{check_failure, larder, run_well};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn up_prints_one_line_of_json_when_the_cluster_answers() {
    let up = Up::start(3);
    assert_eq!(up.status["nodes"].as_array().unwrap().len(), 3);
    for field in ["name", "ip", "port", "endpoint"] {
        assert!(!up.status["nodes"][0][field].is_null(), "{field}: {}", up.status);
    }
    let mut client = TcpStream::connect(up.status["config_endpoint"].as_str().unwrap()).unwrap();
    client.write_all(b"config get cluster\r\nquit\r\n").unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("CONFIG cluster 0 ") && reply.ends_with("\n\r\nEND\r\n"), "{reply:?}");

    let (status, more) = up.end(Signal::TERM);
    assert_eq!((status.code(), more.as_str()), (Some(0), ""));
}

#[test]
fn int_term_and_hup_end_every_process_in_good_order() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let dir = tempfile::tempdir().unwrap();
        let up = Up::start_in(dir.path(), 2);
        let nodes = up.connect_to_nodes();
        assert_eq!(up.end(signal).0.code(), Some(0), "{signal:?}");
        check_ended(nodes);
        let left: Vec<_> =
            fs::read_dir(dir.path().join("test")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }
}

#[test]
fn a_killed_command_takes_its_processes_along_even_a_paused_one() {
    let up = Up::start(3);
    let nodes = up.connect_to_nodes();
    let paused = up.status["nodes"][1]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(paused.try_into().unwrap()).unwrap(), Signal::STOP).unwrap();
    assert_eq!(up.end(Signal::KILL).0.code(), None);
    check_ended(nodes);
}

#[test]
fn a_killed_cluster_is_followed_by_another_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    Up::start_in(dir.path(), 1).end(Signal::KILL);
    let second = Up::start_in(dir.path(), 1);
    assert_eq!(second.status["hosts_file"], dir.path().join("test/hosts").to_str().unwrap());
    second.end(Signal::TERM);
}

#[test]
fn the_other_commands_change_the_cluster() {
    let up = Up::start(1);
    assert_eq!(up.ask("status"), up.status);
    let grown = up.ask("add-node");
    assert_eq!((&grown["config_version"], &grown["nodes"][1]["id"]), (&2.into(), &"0002".into()));
    let rebooted = up.ask("reboot-node 2");
    assert_eq!(rebooted["nodes"][1]["endpoint"], grown["nodes"][1]["endpoint"]);
    assert_ne!(rebooted["nodes"][1]["pid"], grown["nodes"][1]["pid"]);
    if cfg!(target_os = "linux") {
        let replaced = up.ask("replace-node larder.local.0002.cache.internal");
        assert_ne!(replaced["nodes"][1]["ip"], grown["nodes"][1]["ip"]);
        assert_eq!(replaced["nodes"][1]["name"], grown["nodes"][1]["name"]);
        assert_eq!(replaced["config_version"], 2);
    }
    let shrunk = up.ask("remove-node 0001");
    assert_eq!((&shrunk["config_version"], shrunk["nodes"].as_array().unwrap().len()), (&3.into(), 1));
    assert_eq!(shrunk["nodes"][0]["id"], "0002");
    check_failure(&up.arguments("remove-node"), 1, "at least one node");
    check_failure(&up.arguments("reboot-node 9"), 1, "there is no node 0009");
    up.end(Signal::TERM);
}

#[test]
fn a_status_for_people_names_every_node() {
    let up = Up::start(2);
    let text = run_well(&up.arguments("status"), b"");
    for node in up.status["nodes"].as_array().unwrap() {
        let (name, endpoint) = (node["name"].as_str().unwrap(), node["endpoint"].as_str().unwrap());
        assert!(text.contains(name) && text.contains(endpoint), "{text}");
    }
    up.end(Signal::TERM);
}

#[test]
fn a_second_cluster_needs_another_name() {
    let up = Up::start(1);
    let again = format!("local up --port 0 --name test --dir {}", up.dir.display());
    check_failure(&again, 1, "give this one another name");
    up.end(Signal::TERM);
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().display();
    check_failure(&format!("local status --dir {dir}"), 1, "larder local up");
    check_failure(&format!("local up --dir {dir} --port 0 --nodes 0"), 1, "1 to 40 nodes");
    check_failure(&format!("local up --dir {dir} --port 0 --name ../x"), 1, "letters, digits and hyphens");
    check_failure(&format!("local up --dir {dir} --port 0 --memcached /no/such"), 1, "install memcached");
    check_failure(&format!("local up --dir {dir} --notify https://example.com"), 2, "http://127.0.0.1:9000");
    check_failure("local remove-node nonsense", 2, "0002");
}

/// A `larder local up`, ended by the test or killed with it.
struct Up {
    child: Child,
    out: BufReader<ChildStdout>,
    dir: PathBuf,
    status: Value,
    temporary: Option<TempDir>,
}

impl Drop for Up {
    fn drop(&mut self) {
        // Both fail where the test has ended it, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    fn start(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut up = Self::start_in(dir.path(), nodes);
        up.temporary = Some(dir);
        up
    }

    fn start_in(dir: &Path, nodes: usize) -> Self {
        let mut child = larder()
            .args(["local", "up", "--json", "--port", "0", "--name", "test", "--nodes", &nodes.to_string()])
            .arg("--dir")
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let status = serde_json::from_str(&line).unwrap();
        Self { child, out, dir: dir.to_owned(), status, temporary: None }
    }

    fn arguments(&self, command: &str) -> String {
        format!("local {command} --name test --dir {}", self.dir.display())
    }

    fn ask(&self, command: &str) -> Value {
        serde_json::from_str(&run_well(&self.arguments(&format!("{command} --json")), b"")).unwrap()
    }

    /// Connections to the memcached processes themselves, which end with them.
    fn connect_to_nodes(&self) -> Vec<UnixStream> {
        let entries = fs::read_dir(self.dir.join("test")).unwrap().map(|entry| entry.unwrap().path());
        let sockets = entries.filter(|path| {
            path.extension().is_some_and(|end| end == "sock") && !path.ends_with("control.sock")
        });
        let nodes: Vec<UnixStream> = sockets.map(|path| UnixStream::connect(path).unwrap()).collect();
        assert_eq!(nodes.len(), self.status["nodes"].as_array().unwrap().len());
        nodes
    }

    /// Sends `signal` and waits; what was printed after the first line comes too.
    fn end(mut self, signal: Signal) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        let mut more = String::new();
        self.out.read_to_string(&mut more).unwrap();
        (status, more)
    }
}

/// Waits for the end of the processes behind `nodes`.
fn check_ended(nodes: Vec<UnixStream>) {
    for mut node in nodes {
        node.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        match node.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => panic!("memcached lives on: {other:?}"),
        }
    }
}
