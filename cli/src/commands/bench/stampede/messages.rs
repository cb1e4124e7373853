//! What the conductor of a stampede and its environments say to each other.

use super::super::clock::Stamp;
use super::strategy::Strategy;
use serde::{Deserialize, Serialize};

/// From the conductor to an environment.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// The first message: what the environment has to know.
    SetUp(Setup),
    /// Read the hot key. The next one comes after the answer to this one.
    Read,
    /// Go on with a load, which now asks the origin.
    Go { load: u64 },
}

/// From an environment to the conductor.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Report {
    /// A load begins, and waits for [`Order::Go`].
    Begins { load: u64 },
    /// A load has ended.
    Ended,
    /// The read has ended.
    Answered(Answered),
}

/// What an environment has to know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Setup {
    pub(crate) strategy: Strategy,
    /// The variables of the function.
    pub(crate) variables: Vec<(String, String)>,
    /// Which record is hot.
    pub(crate) id: u32,
    pub(crate) ttl_secs: u64,
}

/// How a read ended, and when.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Answered {
    pub(crate) end: Stamp,
    #[serde(flatten)]
    pub(crate) answer: Answer,
}

/// What a read was answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Answer {
    /// `None` without an answer, or with one that says that something is wrong.
    pub(crate) cache: Option<Cache>,
    /// Seconds since the value was stored, where known.
    pub(crate) age_secs: Option<u64>,
    /// Values that were loaded and not stored, because the lease was another's by then.
    pub(crate) fills_refused: u32,
    /// Leases of dead winners that were ended.
    pub(crate) takeovers: u32,
}

/// How an answer was come by, as `x-cache` says it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cache {
    Hit,
    Stale,
    Miss,
    Bypass,
}
