//! The parameter group of the template, held against a real memcached: what has ended makes room, in its own slab class
//! and in others.
//!
//! ElastiCache's default, `no_modern` 1, is measured beside it: there what has ended stays and counts as used, and what
//! is alive is evicted. Each parameter is given as the upstream option of the same meaning.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::sam::below;
use tempfile::TempDir;

#[test]
fn what_has_ended_makes_room_for_items_of_any_size() {
    let parameters = parameters();
    for (name, value) in
        [("no_modern", "0"), ("lru_crawler", "1"), ("slab_automove", "1"), ("maxconns_fast", "1")]
    {
        assert_eq!(parameters.get(name), Some(&value), "{name}");
    }
    let mut node = Node::start(&parameters);
    node.fill("short", SHORT);
    assert_eq!(node.stat("curr_items"), SHORT.count);
    node.until("what has ended is reclaimed", |node| node.stat("curr_items") == 0);
    assert_eq!((node.stat("bytes"), node.stat("evictions")), (0, 0));
    node.until("its pages are free for other classes", |node| node.stat("slab_global_page_pool") >= PAGES);

    node.fill("long", LONG);
    assert_eq!((node.stat("evictions"), node.stat("curr_items")), (0, LONG.count));
}

#[test]
fn without_the_parameters_what_has_ended_evicts_what_is_alive() {
    let mut node = Node::start(&BTreeMap::from([("no_modern", "1"), ("maxconns_fast", "1")]));
    node.fill("short", SHORT);
    // The one that is asked for is removed by that.
    node.until("the items have ended", |node| !node.holds("short0"));
    let stays = SHORT.count - 1;
    assert_eq!(node.stat("curr_items"), stays, "nothing but asking reclaims them");

    node.fill("long", LONG);
    let (evicted, held) = (node.stat("evictions"), node.stat("curr_items") - stays);
    assert!(evicted > 0 && held == LONG.count - evicted, "{evicted} evicted, {held} of {} held", LONG.count);
}

/// The parameters of the group in the template.
fn parameters() -> BTreeMap<&'static str, &'static str> {
    let properties = below(&["Resources", "CacheParameters", "Properties", "Properties"]);
    let lines = properties.into_iter().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect()
}

/// The upstream options that mean the same. A switch that is 1 is named, one that is 0 is what upstream does anyway.
fn options(parameters: &BTreeMap<&str, &str>) -> String {
    let option = |(name, value): (&&str, &&str)| match (*name, *value) {
        ("slab_automove", value) => Some(format!("slab_automove={value}")),
        ("no_modern" | "lru_crawler" | "maxconns_fast", "1") => Some((*name).to_owned()),
        ("no_modern", "0") => None,
        other => panic!("what is {other:?} upstream?"),
    };
    // The mover decides by the last so many seconds, 30 unless told: the test need not last that long.
    let quick = (parameters.get("no_modern") == Some(&"0")).then(|| "slab_automove_window=3".to_owned());
    parameters.iter().filter_map(option).chain(quick).collect::<Vec<_>>().join(",")
}

/// Items of one size.
#[derive(Clone, Copy)]
struct Items {
    count: u64,
    bytes: usize,
    ttl_secs: u32,
}

/// Ten of the sixteen megabytes, all at their end in two seconds.
const SHORT: Items = Items { count: 40_000, bytes: 200, ttl_secs: 2 };
/// Seven megabytes of another slab class, which have no end.
const LONG: Items = Items { count: 900, bytes: 8_000, ttl_secs: 0 };
/// Pages of a megabyte that the second fill takes beside those that were never given out.
const PAGES: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// A memcached with 16 MB, behind a socket in a directory of its own.
struct Node {
    process: Child,
    reader: BufReader<UnixStream>,
    _dir: TempDir,
}

impl Node {
    fn start(parameters: &BTreeMap<&str, &str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let mut command = Command::new("memcached");
        // Root needs the flag; other users may give it, too.
        command
            .args(["-u", "root", "-U", "0", "-m", "16", "-s"])
            .arg(&socket)
            .arg("-o")
            .arg(options(parameters));
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "memcached does not answer: {error}"),
            }
            sleep(Duration::from_millis(10));
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { process, reader: BufReader::new(stream), _dir: dir }
    }

    /// Sends `request` and answers the lines up to the one that is `end`.
    fn ask(&mut self, request: &[u8], end: &str) -> Vec<String> {
        self.reader.get_mut().write_all(request).unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the connection has ended");
            if line.trim_end() == end {
                return lines;
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    fn fill(&mut self, name: &str, Items { count, bytes, ttl_secs }: Items) {
        let value = "x".repeat(bytes);
        for first in (0..count).step_by(500) {
            let items = first..count.min(first + 500);
            let sets = items.map(|item| format!("ms {name}{item} {bytes} T{ttl_secs} q\r\n{value}\r\n"));
            let refused = self.ask((sets.collect::<String>() + "mn\r\n").as_bytes(), "MN");
            assert_eq!(refused, [""; 0]);
        }
    }

    fn holds(&mut self, key: &str) -> bool {
        self.ask(format!("mg {key}\r\nmn\r\n").as_bytes(), "MN") == ["HD"]
    }

    fn stat(&mut self, name: &str) -> u64 {
        let wanted = format!("STAT {name} ");
        let stats = self.ask(b"stats\r\n", "END");
        stats.iter().find_map(|line| line.strip_prefix(&wanted)).map_or(0, |value| value.parse().unwrap())
    }

    fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "in vain: {what}");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
