//! How many connections an environment keeps, and how long.

use std::num::NonZeroU32;
use std::time::Duration;

/// The connections of one origin in one environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolConfig {
    /// Most connections open at once. 1 fits an environment that serves one request at a time; thousands of
    /// environments share one database.
    pub max_connections: NonZeroU32,
    /// A connection older than this is opened anew before use, checked on use. A database file that was
    /// replaced by another is seen this much later at most, because the old file stays readable while it is
    /// open. Schemas are read once for all connections.
    pub max_age: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { max_connections: NonZeroU32::MIN, max_age: Duration::from_secs(60) }
    }
}
