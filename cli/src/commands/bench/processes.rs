//! The processes of environments: how they start, say which one they are, and end with this one.

use super::link::{self, Inbox, Outbox};
use anyhow::{Context, anyhow};
use clap::Args;
use larder_local::Watchdog;
use serde::Serialize;
use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Where environments are started, and where they say hello.
///
/// None outlives this process, whatever ends it, not even a frozen one; see [`Watchdog`].
pub(crate) struct Processes {
    /// The subcommand of `larder bench` that an environment is.
    command: &'static str,
    listener: UnixListener,
    watchdog: Watchdog,
    /// Holds the socket.
    dir: TempDir,
}

/// What an environment is started with.
#[derive(Args, Debug)]
pub(crate) struct ProcessArgs {
    /// The socket of the conductor.
    #[arg(long)]
    pub(crate) socket: PathBuf,
    /// Which environment this is.
    #[arg(long)]
    pub(crate) number: usize,
}

impl Processes {
    /// Opens the socket for environments that are `larder bench` with the subcommand `command`.
    pub(crate) fn open(command: &'static str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("no directory for a socket")?;
        let listener =
            UnixListener::bind(dir.path().join(SOCKET)).context("no socket for the environments")?;
        let watchdog = Watchdog::start().context("could not start the watchdog")?;
        Ok(Self { command, listener, watchdog, dir })
    }

    /// Starts the environment `number`, which is killed when the answer is dropped. It says hello by and by.
    pub(crate) fn start(&self, number: usize) -> anyhow::Result<Child> {
        let program = env::current_exe().context("the own program cannot be found")?;
        let mut command = Command::new(program);
        command.args(["bench", self.command, "--number", &number.to_string(), "--socket"]);
        command.arg(self.dir.path().join(SOCKET)).process_group(self.watchdog.group());
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().context("an environment could not be started")
    }

    /// Waits for an environment that says which one it is.
    pub(crate) async fn greet<M>(&self) -> anyhow::Result<(usize, Outbox<M>, Inbox)>
    where
        M: Serialize + Send + Sync + 'static,
    {
        let said = timeout(MOST_START, link::accept(&self.listener)).await;
        said.map_err(|_| anyhow!("an environment did not start"))?.context("an environment did not say hello")
    }

    /// Ends what is left of the environments.
    pub(crate) async fn stop(self) {
        self.watchdog.stop().await;
    }
}

impl ProcessArgs {
    /// Reaches the conductor and says hello.
    pub(crate) async fn connect<M>(&self) -> anyhow::Result<(Outbox<M>, Inbox)>
    where
        M: Serialize + Send + Sync + 'static,
    {
        link::connect(&self.socket, self.number).await.context("the conductor cannot be reached")
    }
}

/// How long a process may take to say hello, on a busy machine.
const MOST_START: Duration = Duration::from_secs(30);
const SOCKET: &str = "conductor.sock";
