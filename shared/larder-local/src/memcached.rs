//! One memcached process.

use crate::{LocalError, Options};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, geteuid, kill_process, waitid};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

/// A memcached that listens on a socket in the cluster's directory and ends with the cluster.
///
/// It listens on a Unix socket: the way past the node's own door stays closed, no port can be lost between choosing and
/// listening, and the extra step costs less than one over TCP.
#[derive(Debug)]
pub(crate) struct Memcached {
    child: Child,
    pid: u32,
    socket: PathBuf,
    log: PathBuf,
    version: String,
}

impl Memcached {
    /// Starts the program and returns when it answers.
    ///
    /// `base` is the path of its socket and log without their endings; `group` is the process group that ends with us.
    pub(crate) async fn start(options: &Options, base: &Path, group: i32) -> Result<Self, LocalError> {
        let (socket, log) = (base.with_extension("sock"), base.with_extension("log"));
        let program = || options.memcached.clone();
        let output = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = output.map_err(|source| LocalError::Dir { path: log.clone(), source })?;
        let mut child = Command::new(&options.memcached)
            .args(arguments(options, &socket))
            .process_group(group)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|source| LocalError::Program { program: program(), source })?;
        match first_answer(&mut child, &socket).await {
            Ok(version) => {
                let pid = child.id().unwrap_or_default();
                Ok(Self { child, pid, socket, log, version })
            }
            Err(reason) => Err(LocalError::NotReady { reason, printed: end_of(&log) }),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether the process has ended, by us or by anything else.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the process with `SIGSTOP`, and returns when it stands.
    pub(crate) fn pause(&self) -> io::Result<()> {
        let pid = self.live_pid()?;
        kill_process(pid, Signal::STOP)?;
        // Or has ended meanwhile; that is told by `has_ended`.
        let stopped_or_ended = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), stopped_or_ended)?;
        Ok(())
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) -> io::Result<()> {
        Ok(kill_process(self.live_pid()?, Signal::CONT)?)
    }

    /// The last lines that the process printed.
    pub(crate) fn printed(&self) -> String {
        end_of(&self.log)
    }

    /// Ends the process with `SIGKILL`, which a paused one obeys too, and takes its socket and log away.
    pub(crate) async fn kill(&mut self) {
        if !self.has_ended()
            && let Err(error) = self.child.kill().await
        {
            tracing::warn!(pid = self.pid, %error, "memcached could not be killed");
        }
        // They may be gone already, and what is left behind does no harm.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.log);
    }

    /// The id as long as the process is not awaited, so that a signal cannot reach a stranger.
    fn live_pid(&self) -> io::Result<Pid> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// What is given on the command line: ElastiCache's defaults where they show in behaviour.
fn arguments(options: &Options, socket: &Path) -> Vec<String> {
    let memory = options.memory_mib.to_string();
    let socket = socket.display().to_string();
    let mut arguments = vec!["-s", &socket, "-U", "0", "-m", &memory, "-t", "2", "-o", "no_modern"];
    if geteuid().is_root() {
        arguments.extend(["-u", "root"]);
    }
    arguments.into_iter().map(String::from).chain(options.memcached_args.iter().cloned()).collect()
}

/// Asks for the version until there is an answer; the error says why there is none.
async fn first_answer(child: &mut Child, socket: &Path) -> Result<String, String> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(status.to_string());
        }
        match timeout_at(deadline, ask_version(socket)).await {
            Ok(Ok(version)) => return Ok(version),
            Ok(Err(_)) if Instant::now() < deadline => sleep(START_PAUSE).await,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer in {} s", START_TIMEOUT.as_secs())),
        }
    }
}

async fn ask_version(socket: &Path) -> io::Result<String> {
    let mut node = UnixStream::connect(socket).await?;
    node.write_all(b"version\r\n").await?;
    let mut line = String::new();
    BufReader::new(node.take(MAX_VERSION_LINE)).read_line(&mut line).await?;
    match line.strip_prefix("VERSION ") {
        Some(version) => Ok(version.trim_end().to_owned()),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("it answers {line:?}"))),
    }
}

/// The last lines of a log, on one line.
fn end_of(log: &Path) -> String {
    let printed = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = printed.trim().lines().rev().take(MAX_PRINTED_LINES).collect();
    let lines: Vec<&str> = lines.into_iter().rev().collect();
    if lines.is_empty() { "nothing".into() } else { lines.join("; ") }
}

const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_PAUSE: Duration = Duration::from_millis(5);
const MAX_VERSION_LINE: u64 = 256;
const MAX_PRINTED_LINES: usize = 5;
