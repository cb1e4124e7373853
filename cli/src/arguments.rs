//! The commands and how they are written.

use crate::commands::{bench, delete, discover, get, hot, invalidate, local, ring, set, stats, warm};
use clap::{Parser, Subcommand};

/// A larder of cached answers on Amazon ElastiCache: its tool for the command line.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an ElastiCache on this machine: real memcached processes behind a configuration endpoint.
    #[command(subcommand)]
    Local(local::Command),
    /// Ask which node owns a key, in the ring of any common client library; see and change the ring that a fleet goes
    /// by.
    #[command(subcommand)]
    Ring(ring::Command),
    /// Measure what a cache under load does while its nodes change, and what a hot key costs while winners die.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Print the nodes behind a configuration endpoint.
    Discover(discover::Discover),
    /// Print the value under a key.
    Get(get::Get),
    /// Store a value under a key.
    Set(set::Set),
    /// Delete the item under a key.
    Delete(delete::Delete),
    /// Print the statistics of every node.
    Stats(stats::Stats),
    /// Copy keys that are about to change their owner, most read first.
    Warm(warm::Warm),
    /// See which keys are read most, and have copies of them kept on several nodes.
    #[command(subcommand)]
    Hot(hot::Command),
    /// Repeat the invalidations that wait in a queue on this machine.
    Invalidate(invalidate::Invalidate),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a failure at run time, told on standard error; wrong reads or errors in a measurement (bench)
  2  wrong usage
  3  no such item (get, delete), no ring document (ring show)

Examples:
  larder local up --nodes 3
  larder discover 127.0.0.1:11211
  larder get --config-endpoint 127.0.0.1:11211 flights:17";
