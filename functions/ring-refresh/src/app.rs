//! What the function holds from one invocation to the next.

use larder_cache::Publisher;
use larder_control::ControlPlane;

/// The publisher, and whom to compare with; connected when they are first needed.
#[derive(Debug)]
pub struct App {
    /// Publishes the ring document.
    pub publisher: Publisher,
    /// The name of the cluster; notices about others are ignored.
    pub cluster_name: String,
    /// ElastiCache's API, where it may be asked.
    pub control: Option<ControlPlane>,
}
