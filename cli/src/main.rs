//! The larder command: local cluster, rings, discovery, a quick look at a cluster, its ring and its warm-up by hand, a
//! measured change of its nodes.

mod arguments;
mod commands;
mod exit;

use arguments::Arguments;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::report(commands::run(Arguments::parse()))
}
