//! Which of the clusters on this machine is meant.

use super::print::Format;
use crate::exit::Outcome;
use clap::Args;
use larder_local::{Request, ask, cluster_dir};
use std::path::PathBuf;

/// The cluster that a command is for.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The name of the cluster: the first part of its host names, the id in its notices.
    #[arg(long, default_value = "larder")]
    pub(crate) name: String,
    /// The directory that holds the directories of clusters.
    /// [default: larder in $XDG_RUNTIME_DIR, or larder-UID in the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    /// The cluster's own directory.
    pub(crate) fn cluster_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(cluster_dir(self.dir.as_deref(), &self.name)?)
    }

    /// Asks the cluster and prints its status after that.
    pub(crate) fn ask(&self, request: &Request, format: &Format) -> anyhow::Result<Outcome> {
        let status = ask(&self.cluster_dir()?, request)?;
        format.print(&status)?;
        Ok(Outcome::Done)
    }
}
