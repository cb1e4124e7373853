//! `larder bench`: what a cache under load does while its nodes change, and while a hot key expires; measured and
//! checked.
//!
//! | file | holds |
//! | --- | --- |
//! | `stampede.rs` | the hot key, in files of its own |
//! | `reconfigure.rs` | the change of nodes: conducts the run, prints the line |
//! | `change.rs`, `publisher.rs`, `ring_mark.rs` | the changes of nodes, how the fleet follows, how that is seen |
//! | `processes.rs`, `link.rs`, `calls.rs`, `clock.rs`, `percentile.rs`, `progress.rs` | what runs share: environments as processes, how one speaks to them, times, what a person is told |
//! | `crew.rs`, `freezes.rs`, `messages.rs` | the environments, when they are frozen, what is said to them |
//! | `origin.rs`, `flights.rs` | the truth behind the cache |
//! | `environment.rs`, `remote_origin.rs`, `journal.rs`, `pace.rs`, `popularity.rs` | one environment: its load, and what it notes |
//! | `history.rs`, `checker.rs`, `figures.rs` | what happened, whether it may, and what it cost |

mod calls;
mod change;
mod checker;
mod clock;
mod crew;
mod environment;
mod figures;
mod flights;
mod freezes;
mod history;
mod journal;
mod link;
mod messages;
mod origin;
mod pace;
mod percentile;
mod popularity;
mod processes;
mod progress;
mod publisher;
mod reconfigure;
mod remote_origin;
mod ring_mark;
mod stampede;

use crate::exit::Outcome;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Change the nodes of a local cluster under load; print what that cost, and whether an old value was read.
    Reconfigure(reconfigure::Reconfigure),
    /// Let many environments read one hot key while it expires and winners die; print what that cost the origin and the
    /// readers.
    Stampede(stampede::Stampede),
    /// One environment of a change of nodes, which starts it.
    #[command(hide = true)]
    Environment(environment::EnvironmentArgs),
    /// One environment of a stampede, which starts it.
    #[command(hide = true)]
    Reader(stampede::ReaderArgs),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Reconfigure(reconfigure) => reconfigure.run(),
            Self::Stampede(stampede) => stampede.run(),
            Self::Environment(environment) => environment.run(),
            Self::Reader(reader) => reader.run(),
        }
    }
}
