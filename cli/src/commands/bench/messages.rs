//! What the conductor of a change of nodes and its environments say to each other.

use super::clock::Stamp;
use super::history::{Read, Sighting, Write};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// From the conductor to an environment.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// The first message: what the environment has to know.
    SetUp(Setup),
    /// Bring your share of the keys into the state of a long run; tell when it is done.
    Fill,
    /// Begin with the load.
    Load { first: Stamp },
    /// End the load, send what you have seen, and tell when it is done.
    Rest,
    /// The answer to [`Report::Load`]: version and row of each flight.
    Loaded { call: u64, flights: Vec<(u32, String)> },
    /// The answer to [`Report::Commit`].
    Committed { call: u64, version: u32 },
}

/// From an environment to the conductor.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Report {
    /// A call to the origin: read these flights, told by their places in the list.
    Load { call: u64, keys: Vec<u32> },
    /// A call to the origin: make a new version of a flight.
    Commit { call: u64, key: u32 },
    /// What has been read.
    Reads(Vec<Read>),
    /// What has been written.
    Writes(Vec<Write>),
    /// Another ring is routed by.
    Sighting(Sighting),
    /// The order has been carried out.
    Done,
}

/// What an environment has to know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Setup {
    pub(crate) number: usize,
    /// How many environments there are.
    pub(crate) environments: usize,
    pub(crate) config_endpoint: SocketAddr,
    pub(crate) hosts_file: PathBuf,
    /// How old the list of nodes may grow, in milliseconds; `None` for the client's default.
    pub(crate) discovery_interval_ms: Option<u64>,
    /// How often it looks at the ring document, in milliseconds.
    pub(crate) ring_check_interval_ms: u64,
    /// Operations per second.
    pub(crate) rate: f64,
    /// The TTL of what is cached, in seconds.
    pub(crate) ttl_secs: u64,
    pub(crate) seed: u64,
    /// The ids of all flights.
    pub(crate) ids: Vec<u32>,
}
