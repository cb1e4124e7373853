//! A queue of files: whole messages, kept until they are done, from many processes at once.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::UNIX_EPOCH;

use larder_cache::{Forget, Invalidation, MalformedInvalidation};
use larder_client::{Key, Ttl};
use larder_queue::{FileQueue, Queue, QueueError};
use tokio::time::{Duration, Instant};

#[tokio::test]
async fn a_message_stays_until_it_is_done() {
    let (directory, queue) = queue();
    assert!(queue.take(10).unwrap().is_empty(), "nobody has sent anything");
    let sent = invalidation(["a", "b"]);
    queue.send(&sent, late()).await.unwrap();

    for _ in 0..2 {
        let [waiting] = <[_; 1]>::try_from(queue.take(10).unwrap()).unwrap();
        assert_eq!(waiting.invalidation, Ok(sent.clone()));
    }
    for waiting in [queue.take(10).unwrap(), queue.take(10).unwrap()].into_iter().flatten() {
        waiting.done().unwrap();
    }
    assert!(queue.take(10).unwrap().is_empty());
    assert_eq!(fs::read_dir(directory.path().join("queue")).unwrap().count(), 0);
}

#[tokio::test]
async fn messages_are_taken_in_the_order_of_time_as_many_as_wanted() {
    let (_directory, queue) = queue();
    for name in ["a", "b", "c"] {
        queue.send(&invalidation([name]), late()).await.unwrap();
        wait_for_the_next_millisecond();
    }
    let taken = queue.take(2).unwrap().into_iter().map(|waiting| waiting.invalidation.unwrap());
    assert_eq!(taken.collect::<Vec<_>>(), [invalidation(["a"]), invalidation(["b"])]);
}

#[tokio::test]
async fn two_processes_that_send_at_once_lose_nothing_and_leave_nothing_half() {
    let (directory, queue) = queue();
    let mut senders = ["left", "right"].map(|name| Sender::start(&directory.path().join("queue"), name));
    // Meanwhile whoever takes sees whole messages alone.
    let mut seen = BTreeSet::new();
    while !senders.iter_mut().all(Sender::has_ended) {
        for waiting in queue.take(usize::MAX).unwrap() {
            seen.extend(waiting.invalidation.as_ref().unwrap().keys.iter().map(Key::to_string));
            waiting.done().unwrap();
        }
    }
    for waiting in queue.take(usize::MAX).unwrap() {
        seen.extend(waiting.invalidation.unwrap().keys.iter().map(Key::to_string));
    }
    let expected = ["left", "right"].iter().flat_map(|name| (0..SENT).map(move |at| format!("{name}:{at}")));
    assert_eq!(seen, expected.collect());
}

/// The other process of the test above; by itself it has nothing to do.
#[tokio::test]
async fn a_process_sends() {
    let (Some(directory), Some(name)) = (env::var_os(DIRECTORY), env::var_os(NAME)) else { return };
    let queue = FileQueue::new(directory);
    for at in 0..SENT {
        let key = format!("{}:{at}", name.to_str().unwrap());
        queue.send(&invalidation([key.as_str()]), late()).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_is_gone_before_it_is_read_was_done_by_somebody_else() {
    let (directory, queue) = queue();
    queue.send(&invalidation(["a"]), late()).await.unwrap();
    // Listed like any other, and gone when it is opened.
    let gone = directory.path().join("queue/0.json");
    std::os::unix::fs::symlink(directory.path().join("nowhere"), gone).unwrap();
    let taken = queue.take(10).unwrap();
    assert_eq!(
        taken.into_iter().map(|waiting| waiting.invalidation).collect::<Vec<_>>(),
        [Ok(invalidation(["a"]))]
    );
}

#[tokio::test]
async fn what_is_too_long_for_one_message_is_sent_in_several() {
    let (_directory, queue) = queue();
    let keys: Vec<_> = (0..1_200).map(|at| format!("flights:{at}")).collect();
    let sent = invalidation(keys.iter().map(String::as_str));
    queue.send(&sent, late()).await.unwrap();
    let taken: Vec<_> =
        queue.take(10).unwrap().into_iter().map(|taken| taken.invalidation.unwrap()).collect();
    assert_eq!(taken.len(), 3);
    let keys: BTreeSet<_> = taken.into_iter().flat_map(|taken| taken.keys).collect();
    assert_eq!(keys, sent.keys.into_iter().collect());
}

#[tokio::test]
async fn a_malformed_message_is_told_and_can_be_set_aside() {
    let (directory, queue) = queue();
    let directory = directory.path().join("queue");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("1.json"), b"{\"larder\":\"invalidation\",\"ver").unwrap();
    fs::write(directory.join("2.json"), b"\xff").unwrap();
    fs::write(directory.join("3.json"), vec![b' '; Invalidation::MAX_BYTES + 1]).unwrap();
    // Half written when its process ended, and nothing of ours.
    fs::write(directory.join(".4"), b"{").unwrap();
    fs::write(directory.join("notes.txt"), b"{").unwrap();

    let taken = queue.take(10).unwrap();
    let wrong: Vec<_> = taken.iter().map(|waiting| waiting.invalidation.clone().unwrap_err()).collect();
    assert_eq!(
        wrong,
        [
            MalformedInvalidation::Json { line: 1, column: 29 },
            MalformedInvalidation::Json { line: 0, column: 0 },
            MalformedInvalidation::Long(Invalidation::MAX_BYTES + 1),
        ]
    );
    for waiting in taken {
        assert!(waiting.set_aside().unwrap().starts_with(directory.join("dead-letters")));
    }
    assert!(queue.take(10).unwrap().is_empty());
    assert_eq!(fs::read_dir(directory.join("dead-letters")).unwrap().count(), 3);
}

#[tokio::test]
async fn what_cannot_be_written_and_what_is_late_is_an_error() {
    let (directory, queue) = queue();
    let late_one = queue.send(&invalidation(["a"]), Instant::now()).await;
    assert!(matches!(late_one, Err(QueueError::Deadline)), "{late_one:?}");
    assert!(queue.take(10).unwrap().is_empty());

    fs::write(directory.path().join("queue"), b"a file where a directory should be").unwrap();
    let refused = queue.send(&invalidation(["a"]), late()).await;
    assert!(matches!(refused, Err(QueueError::Directory(_))), "{refused:?}");
    assert!(matches!(queue.take(10), Err(QueueError::Directory(_))));
}

/// This very program once more, as another process.
struct Sender(Child);

impl Sender {
    fn start(directory: &Path, name: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "file::a_process_sends"]).env(DIRECTORY, directory).env(NAME, name);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        let ended = self.0.try_wait().unwrap();
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        ended.is_some()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A queue in a directory that is yet to be made.
fn queue() -> (tempfile::TempDir, FileQueue) {
    let directory = tempfile::tempdir().unwrap();
    let queue = FileQueue::new(directory.path().join("queue"));
    (directory, queue)
}

fn invalidation<'a>(keys: impl IntoIterator<Item = &'a str>) -> Invalidation {
    let keys = keys.into_iter().map(|key| Key::new(key.as_bytes()).unwrap()).collect();
    Invalidation { keys, how: Forget::Soft(Ttl::clamped(30)) }
}

/// Two messages of the same millisecond have no order.
fn wait_for_the_next_millisecond() {
    let now = || UNIX_EPOCH.elapsed().unwrap().as_millis();
    let begun = now();
    while now() == begun {
        std::thread::yield_now();
    }
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Messages of one process.
const SENT: usize = 200;
const DIRECTORY: &str = "SENDS_INTO";
const NAME: &str = "SENDS_AS";
