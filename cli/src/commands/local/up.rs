//! `larder local up`

use super::place::Place;
use super::print::Format;
use crate::commands::end::End;
use crate::exit::Outcome;
use anyhow::Context;
use clap::Args;
use larder_local::{Control, FunctionUrl, LocalCluster, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    /// How many nodes to start with.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// The port of the endpoint, and of every node where each has an address of its own (Linux). 0 lets the system
    /// choose.
    #[arg(long, default_value_t = 11211)]
    port: u16,
    /// The memcached program. [default: $MEMCACHED, or memcached on the PATH]
    #[arg(long, value_name = "PROGRAM")]
    memcached: Option<PathBuf>,
    /// Memory for the items of each node, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    memory: u32,
    /// Post the SNS event of every change to this function, in Lambda's envelope.
    #[arg(long, value_name = "URL")]
    notify: Option<FunctionUrl>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: Format,
}

impl Up {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        tracing_subscriber::fmt().with_writer(io::stderr).with_target(false).without_time().init();
        raise_file_limit();
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.hold())
    }

    /// Starts the cluster and holds it until a signal. Its processes end as the handle is dropped, whichever way that
    /// happens.
    async fn hold(self) -> anyhow::Result<Outcome> {
        let mut end = End::watch().context("could not watch for signals")?;
        let cluster = tokio::select! {
            cluster = LocalCluster::start(self.options()?) => cluster?,
            () = end.signalled() => return Ok(Outcome::Done),
        };
        let control = Control::open(&cluster)?;
        self.format.print(&cluster.status())?;
        self.format.print_hint("Ctrl-C ends it. Meanwhile, in another terminal: larder local --help")?;
        tokio::select! {
            never = control.serve(&cluster) => match never {},
            () = end.signalled() => Ok(Outcome::Done),
        }
    }

    fn options(&self) -> anyhow::Result<Options> {
        let default = Options::default();
        Ok(Options {
            name: self.place.name.clone(),
            nodes: self.nodes,
            port: self.port,
            dir: Some(self.place.cluster_dir()?),
            memcached: self.memcached.clone().unwrap_or(default.memcached),
            memory_mib: self.memory,
            notify: self.notify.clone(),
            ..Options::default()
        })
    }
}

/// Every connection of a client takes two files here, and macOS gives a process 256.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED_FILES, |maximum| maximum.min(WANTED_FILES));
    if current.is_some_and(|current| current < wanted) {
        // Without it fewer connections are taken, which shows where it matters.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The most that macOS allows without other settings.
const WANTED_FILES: u64 = 10_240;

const EXAMPLES: &str = "\
Examples:
  larder local up
  larder local up --nodes 2 --port 0 --json
  larder local up --name other --port 11311
  larder local up --notify http://127.0.0.1:9000/2015-03-31/functions/ring-refresh/invocations";
