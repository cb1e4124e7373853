//! A cluster in print.

use clap::Args;
use larder_local::{NodeStatus, Status};
use std::fmt;
use std::io::{self, Write};

/// How a cluster is printed.
#[derive(Args, Debug)]
pub(crate) struct Format {
    /// Print one line of JSON: config_endpoint, config_version, hosts_file, nodes and more.
    #[arg(long)]
    json: bool,
}

impl Format {
    pub(crate) fn print(&self, status: &Status) -> io::Result<()> {
        let text = if self.json { serde_json::to_string(status)? + "\n" } else { Table(status).to_string() };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints `text` where people read.
    pub(crate) fn print_hint(&self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(io::stdout(), "{text}") }
    }
}

struct Table<'a>(&'a Status);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { name, config_endpoint, config_name, config_version, hosts_file, nodes, .. } = self.0;
        writeln!(f, "{name}: {} nodes, config version {config_version}", nodes.len())?;
        writeln!(f, "  {:<9} {:<21} {config_name}", "endpoint", config_endpoint.to_string())?;
        for NodeStatus { id, name, endpoint, state, version, pid, .. } in nodes {
            let (endpoint, state) = (endpoint.to_string(), state.as_str());
            writeln!(f, "  node {id} {endpoint:<21} {name}  {state}, memcached {version}, pid {pid}")?;
        }
        writeln!(f, "  names are in {}", hosts_file.display())
    }
}
