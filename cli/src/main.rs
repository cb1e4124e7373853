//! The larder command: local cluster, rings, discovery, a quick look at a cluster; its ring, warm-up, hot keys and
//! waiting invalidations by hand; a measured change of nodes and a measured stampede.

mod arguments;
mod commands;
mod exit;

use arguments::Arguments;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::report(commands::run(Arguments::parse()))
}
