//! `larder warm`, against a local cluster whose ring is warming.

use crate::support::cluster::{client, cluster, keys, now_ms, publish_first, publish_up_to, reach, store};
use crate::support::{check_failure, larder, run, run_well};
use larder_cache::{Counted, Record, record_key};
use larder_client::{Cluster, DirectNode, Key, NewItem};
use larder_local::{LocalCluster, NodeId};
use larder_ring::{Phase, Ring, RingDocument, RingKind};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::Stdio;
use tempfile::NamedTempFile;

#[tokio::test]
async fn the_keys_of_a_file_that_move_are_copied_to_their_next_owner() {
    let growing = Growing::start(300).await;
    let mut text: String = growing.keys.iter().map(|key| format!("{key}\n\n")).collect();
    let unknown = growing.moving_keys(&keys(2_000)[300..]).remove(0);
    text += &format!("{unknown}\r\n{}\nlarder~hot~0", RingDocument::RING_KEY);
    let file = file(&text);
    let moving = growing.moving_keys(&growing.keys);
    let count = moving.len();
    assert!((50..150).contains(&count), "{count}");

    let warm = format!("warm {} --keys {}", growing.reach(), file.path().display());
    let bytes = count * VALUE.len();
    let all = count + 1;
    let text =
        format!("{all} keys move: {count} copied, 0 there already, 1 missing, 0 failed; {bytes} bytes\n");
    assert_eq!(run_well(&warm, b""), text);
    for (key, item) in growing.keys.iter().zip(growing.held(&growing.keys).await) {
        assert_eq!(item.as_deref(), moving.contains(key).then_some(VALUE), "{key}");
    }
    // The document is no item that is judged and thrown away.
    assert!(growing.newcomer.document().await.unwrap().is_some());

    let text =
        format!("{all} keys move: 0 copied, {count} there already, 1 missing, 0 failed; {bytes} bytes\n");
    assert_eq!(run_well(&warm, b""), text);
}

#[tokio::test]
async fn keys_come_from_standard_input_in_their_order_as_many_as_wanted() {
    let growing = Growing::start(100).await;
    let input: String = growing.keys.iter().map(|key| format!("{key}\n")).collect();
    let text = run_well(&format!("warm {} --keys - --max-keys 3", growing.reach()), input.as_bytes());
    assert!(text.starts_with("3 keys move: 3 copied, "), "{text}");
    let moving = growing.moving_keys(&growing.keys);
    let held = growing.held(&moving).await;
    assert!(held[..3].iter().all(Option::is_some) && held[3..].iter().all(Option::is_none));
}

#[tokio::test]
async fn without_a_file_the_catalogue_on_the_nodes_says_what_is_read_most() {
    let growing = Growing::start(100).await;
    let moving = growing.moving_keys(&growing.keys);
    let counted = |key: &Key, count| Counted { key: key.clone(), count, error: 0 };
    growing.tell(1, 0, &[counted(&moving[0], 5), counted(&moving[1], 90)]).await;
    growing.tell(2, 3, &[counted(&moving[2], 70), counted(&moving[1], 10)]).await;

    let warm = format!("warm {}", growing.reach());
    let text = run_well(&format!("{warm} --max-keys 2"), b"");
    assert!(text.starts_with("2 keys move: 2 copied, "), "{text}");
    let held = growing.held(&moving[..4]).await;
    assert_eq!(held.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true, false]);
    let text = run_well(&warm, b"");
    assert!(text.starts_with("3 keys move: 1 copied, 2 there already, "), "{text}");
    assert!(growing.held(&moving[..1]).await[0].is_some());
}

#[tokio::test]
async fn a_catalogue_without_keys_that_move_leaves_nothing_to_do() {
    let growing = Growing::start(1).await;
    let text = run_well(&format!("warm {}", growing.reach()), b"");
    assert_eq!(text, "0 keys move: 0 copied, 0 there already, 0 missing, 0 failed; 0 bytes\n");
}

#[tokio::test]
async fn a_limit_in_time_leaves_keys_and_says_so() {
    let growing = Growing::start(300).await;
    let moving = growing.moving_keys(&growing.keys).len();
    let input: String = growing.keys.iter().map(|key| format!("{key}\n")).collect();
    let slow = format!("warm {} --keys - --keys-per-sec 1 --max-secs 2", growing.reach());
    let text = run_well(&slow, input.as_bytes());
    let copied: usize = text
        .strip_prefix(&format!("{moving} keys move: "))
        .unwrap()
        .split_once(" copied, ")
        .unwrap()
        .0
        .parse()
        .unwrap();
    assert!((1..=3).contains(&copied), "{text}");
    let left = moving - copied;
    assert!(text.ends_with(&format!("{left} keys are left: the time was over (--max-secs)\n")), "{text}");
}

#[tokio::test]
async fn progress_is_a_line_in_a_log_and_a_bar_on_a_terminal() {
    let growing = Growing::start(1_500).await;
    let moving = growing.moving_keys(&growing.keys).len();
    let input: String = growing.keys.iter().map(|key| format!("{key}\n")).collect();
    // At this rate it takes more than a second.
    let warm = format!("warm {} --keys - --keys-per-sec 200", growing.reach());
    let text = String::from_utf8(run(&warm, input.as_bytes()).stderr).unwrap();
    let is_progress = |line: &str| line.contains(&format!(" of {moving} keys, ")) && line.ends_with(" bytes");
    assert!(!text.is_empty() && text.lines().all(is_progress), "{text:?}");

    let keys = file(&input);
    let text = on_a_terminal(&format!("warm {} --keys {}", growing.reach(), keys.path().display()));
    let end = format!("[{}] {moving} of {moving} keys, {} bytes", "=".repeat(40), moving * VALUE.len());
    assert!(text.contains(&end), "{text:?}");
}

#[tokio::test]
async fn a_node_that_fails_fails_its_keys_alone() {
    let growing = Growing::start(100).await;
    let input: String = growing.keys.iter().map(|key| format!("{key}\n")).collect();
    growing.cluster.kill_node(NodeId(3)).await.unwrap();
    let output = run(&format!("warm {} --keys -", growing.reach()), input.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(" 0 copied, ") && text.contains("larder ring show says which"), "{text}");
}

#[tokio::test]
async fn a_bad_key_is_named_by_its_line_and_nothing_is_copied() {
    let growing = Growing::start(50).await;
    let input: String = growing.keys.iter().map(|key| format!("{key}\n")).collect();
    let bad = file(&format!("{input}two words\n"));
    let warm = format!("warm {} --keys", growing.reach());
    check_failure(&format!("{warm} {}", bad.path().display()), 1, "line 51 is no key: ");
    check_failure(&format!("{warm} {}", bad.path().display()), 1, &bad.path().display().to_string());
    assert!(growing.held(&growing.keys).await.iter().all(Option::is_none));
    check_failure(&format!("{warm} no/such/file"), 1, "no/such/file");
}

#[tokio::test]
async fn in_any_other_phase_nothing_moves() {
    let cluster = cluster(1).await;
    let warm = format!("warm {}", reach(&cluster));
    check_failure(&warm, 1, "nothing moves: there is no ring document");
    let first = publish_first(&cluster).await;
    check_failure(&warm, 1, "nothing moves: the ring is active");
    cluster.add_node().await.unwrap();
    for (phase, name) in [(Phase::Joining, "joining"), (Phase::Leaving, "leaving")] {
        publish_up_to(&cluster, &first, phase).await;
        check_failure(&warm, 1, &format!("nothing moves: the ring is {name}"));
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let cluster = cluster(1).await;
    let warm = format!("warm {}", reach(&cluster));
    for limit in ["--max-keys", "--keys-per-sec", "--max-secs", "--max-mib"] {
        check_failure(&format!("{warm} {limit} 0"), 2, limit);
    }
}

/// A cluster of two nodes whose keys are stored, and a third one that is warming.
struct Growing {
    cluster: LocalCluster,
    document: RingDocument,
    keys: Vec<Key>,
    client: Cluster,
    newcomer: DirectNode,
}

impl Growing {
    async fn start(count: usize) -> Self {
        let cluster = cluster(2).await;
        let (first, keys) = (publish_first(&cluster).await, keys(count));
        store(&cluster, &keys, VALUE).await;
        cluster.add_node().await.unwrap();
        let document = publish_up_to(&cluster, &first, Phase::Warming).await;
        let client = client(&cluster);
        let newcomer = client.direct(&document.next[2]);
        Self { cluster, document, keys, client, newcomer }
    }

    fn reach(&self) -> String {
        reach(&self.cluster)
    }

    /// Those of `keys` that the third node is to own.
    fn moving_keys(&self, keys: &[Key]) -> Vec<Key> {
        let next = Ring::new(RingKind::default(), &self.document.next).unwrap();
        keys.iter().filter(|key| next.owner(key.as_bytes()) == 2).cloned().collect()
    }

    /// What the third node holds under `keys`.
    async fn held(&self, keys: &[Key]) -> Vec<Option<Vec<u8>>> {
        let items = self.newcomer.get_many(keys).await.unwrap();
        items.into_iter().map(|item| Some(item?.value.to_vec())).collect()
    }

    /// Leaves a record of the catalogue on a node.
    async fn tell(&self, node: usize, slot: usize, counted: &[Counted]) {
        let record = Record::encode(counted, now_ms() / 1000, Record::MAX_LEN);
        let node = self.client.direct(&self.document.next[node]);
        let item = NewItem { key: &record_key(slot), value: &record, client_flags: 0, ttl: Record::TTL };
        node.set(item).await.unwrap();
    }
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// Runs `larder`, which has to succeed, with standard error on a terminal, and returns what that shows.
fn on_a_terminal(arguments: &str) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let other_end = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = larder()
        .args(arguments.split_whitespace())
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(other_end)
        .spawn()
        .unwrap();
    let (mut shown, mut terminal) = (Vec::new(), File::from(terminal));
    // Linux has an error for the end, and macOS an end.
    let _ = terminal.read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap()
}

const VALUE: &[u8] = b"a flight from here to there";
