//! What ElastiCache's API says, held against the ring.

use std::time::Duration;

use larder_control::{ClusterState, ControlPlane};
use larder_ring::RingDocument;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

/// What came of the comparison.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Comparison {
    /// The API told the nodes.
    pub told: u64,
    /// Nodes that only one of them has, ring or API.
    pub differences: u64,
    /// The topic of the notices is not active: ElastiCache says nothing any more.
    pub inactive_topics: u64,
    /// Events of the cluster in the last quarter of an hour.
    pub recent_events: u64,
}

/// Asks `control` about the cluster until `deadline`, and logs where that is not what the ring says.
///
/// Never fails: an API that cannot be reached, or may not be asked, is logged.
pub(crate) async fn compare(
    control: &ControlPlane,
    document: Option<&RingDocument>,
    deadline: Instant,
) -> Comparison {
    let mut comparison = Comparison::default();
    match timeout_at(deadline, control.describe()).await {
        Ok(Ok(state)) => {
            comparison.told = 1;
            comparison.differences = differences(&state, document);
            if let ControlPlane::ElastiCache(_) = control {
                comparison.inactive_topics = inactive_topics(&state);
            }
        }
        Ok(Err(wrong)) => {
            let error = &wrong as &dyn std::error::Error;
            info!(error, "the ring was not compared with ElastiCache's API");
            return comparison;
        }
        Err(_) => {
            info!("no time was left to compare the ring with ElastiCache's API");
            return comparison;
        }
    }
    match timeout_at(deadline, control.events(LOOK_BACK)).await {
        Ok(Ok(events)) => {
            comparison.recent_events = events.len() as u64;
            for event in events {
                info!(at = ?event.at, message = event.message, "an event of the cluster");
            }
        }
        Ok(Err(wrong)) => {
            info!(error = &wrong as &dyn std::error::Error, "the events of the cluster were not told");
        }
        Err(_) => {}
    }
    comparison
}

/// How many available nodes are missing on one side. While the cluster changes that says nothing.
fn differences(state: &ClusterState, document: Option<&RingDocument>) -> u64 {
    let Some(document) = document.filter(|document| document.next.is_empty() && state.takes_changes()) else {
        return 0;
    };
    let listed: Vec<(&str, u16)> = state
        .nodes
        .iter()
        .filter_map(|node| node.endpoint.as_ref().map(|(host, port)| (host.as_str(), *port)))
        .collect();
    let ring: Vec<(&str, u16)> =
        document.nodes.iter().chain(&document.retired).map(larder_ring::RingNode::identity).collect();
    let missing = listed.iter().filter(|node| !ring.contains(node)).count();
    let surplus = ring.iter().filter(|node| !listed.contains(node)).count();
    if missing + surplus > 0 {
        warn!(missing, surplus, "the ring is not what ElastiCache's API lists");
    }
    (missing + surplus) as u64
}

fn inactive_topics(state: &ClusterState) -> u64 {
    match &state.topic {
        Some(topic) if topic.is_active => 0,
        Some(topic) => {
            error!(
                topic = topic.arn,
                "the topic is not active: let aws:SourceOwner publish to it, leave it unencrypted, and set it active again"
            );
            1
        }
        None => {
            warn!("the cluster has no topic: notices come only from the schedule");
            0
        }
    }
}

/// Three runs of the schedule.
const LOOK_BACK: Duration = Duration::from_secs(15 * 60);
