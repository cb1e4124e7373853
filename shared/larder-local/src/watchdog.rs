//! The process that ends others when ours is gone.

use std::io;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A process group that ends with this process: all memcached processes of a cluster, or any others that join.
///
/// A small shell holds the reading end of a pipe and leads the group.
///
/// The writing end lives in this process alone. However this process ends (a signal that is handled, a panic,
/// `SIGKILL`), the kernel closes that end; the shell reads the end of the stream and kills its whole group, itself
/// included. No moment is left open: a child that is just being started still holds a copy of the writing end until it
/// has joined the group and become its own program. A stopped process is killed as any other.
///
/// Why not `PR_SET_PDEATHSIG`: it is Linux alone, needs `unsafe`, and fires when the *thread* that started the child
/// ends.
///
/// A group of its own also keeps a terminal's ctrl-C from its processes, so that they end in our order. Dropping this
/// ends the group, too, without waiting for it.
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
    group: i32,
}

impl Watchdog {
    /// Starts the shell. Needs a tokio runtime.
    pub fn start() -> io::Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "larder-watchdog"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let id = shell.id().and_then(|id| i32::try_from(id).ok());
        let group = id.ok_or_else(|| io::Error::other("the watchdog ended at once"))?;
        Ok(Self { shell, group })
    }

    /// The process group that a child must join to end with this process.
    pub fn group(&self) -> i32 {
        self.group
    }

    /// Closes the pipe and waits for the end of the shell and of what is left of its group.
    pub async fn stop(mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait().await {
            tracing::warn!(%error, "the watchdog could not be awaited");
        }
    }
}

/// The traps are for a group with a paused node in it: when the last process that could look after such a group goes,
/// the kernel sends the group `SIGHUP`, which must not end the shell before it has done its work.
const SCRIPT: &str = "trap '' HUP INT TERM; read -r _; kill -s KILL 0";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[tokio::test]
    async fn the_group_is_killed_when_the_pipe_closes() {
        let mut watchdog = Watchdog::start().unwrap();
        let mut child = Command::new("sleep").arg("600").process_group(watchdog.group()).spawn().unwrap();
        drop(watchdog.shell.stdin.take());
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
        assert_eq!(watchdog.shell.wait().await.unwrap().signal(), Some(9));
    }
}
