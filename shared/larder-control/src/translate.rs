//! What the API's answers mean: every member of them may be missing, ours are there or the answer is no answer.

use std::time::SystemTime;

use aws_sdk_elasticache::types::{CacheCluster, CacheNode, Endpoint, Event, PendingModifiedValues};

use crate::{
    ClusterEvent, ClusterState, ClusterStatus, ControlError, Node, NodeId, NodeStatus, Pending, Topic,
};

/// The state that `cluster` tells, which was asked for with its nodes.
///
/// An available cluster tells all of them or it tells nothing: the SDK takes XML that ends in the middle.
pub(crate) fn state(cluster: CacheCluster) -> Result<ClusterState, ControlError> {
    let status = needed(cluster.cache_cluster_status, "status")?;
    let status = ClusterStatus::of(&status.to_ascii_lowercase());
    let node_count = count(needed(cluster.num_cache_nodes, "number of nodes")?)?;
    let nodes = cluster.cache_nodes.unwrap_or_default().into_iter().map(node);
    let mut nodes: Vec<_> = nodes.collect::<Result<_, _>>()?;
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    if status == ClusterStatus::Available && nodes.len() != node_count as usize {
        return Err(ControlError::Malformed(format!("it tells {} of {node_count} nodes", nodes.len())));
    }
    let topic = cluster.notification_configuration.and_then(|told| {
        let is_active = told.topic_status.as_deref() == Some("active");
        Some(Topic { arn: told.topic_arn?, is_active })
    });
    Ok(ClusterState {
        id: needed(cluster.cache_cluster_id, "id")?,
        status,
        engine_version: needed(cluster.engine_version, "engine version")?,
        node_count,
        nodes,
        pending: cluster.pending_modified_values.map(pending).transpose()?.unwrap_or_default(),
        topic,
        has_tls: cluster.transit_encryption_enabled.unwrap_or_default(),
    })
}

/// The event, if it says when and what.
pub(crate) fn event(event: Event) -> Option<ClusterEvent> {
    Some(ClusterEvent { at: SystemTime::try_from(event.date?).ok()?, message: event.message? })
}

fn node(node: CacheNode) -> Result<Node, ControlError> {
    let status = needed(node.cache_node_status, "node's status")?;
    Ok(Node {
        id: NodeId::new(needed(node.cache_node_id, "node's id")?),
        status: NodeStatus::of(&status.to_ascii_lowercase()),
        endpoint: node.endpoint.and_then(endpoint),
    })
}

/// Name and port; a node that is being made may have the member without its content.
fn endpoint(endpoint: Endpoint) -> Option<(String, u16)> {
    let host = endpoint.address.filter(|host| !host.is_empty())?;
    let port = u16::try_from(endpoint.port?).ok().filter(|port| *port > 0)?;
    Some((host, port))
}

fn pending(values: PendingModifiedValues) -> Result<Pending, ControlError> {
    let others = [
        ("engine version", values.engine_version.is_some()),
        ("node type", values.cache_node_type.is_some()),
        ("node type, in steps", values.scale_config.is_some()),
        ("authentication", values.auth_token_status.is_some()),
        ("log delivery", values.log_delivery_configurations.is_some_and(|logs| !logs.is_empty())),
        ("encryption in transit", values.transit_encryption_enabled.is_some()),
        ("mode of encryption in transit", values.transit_encryption_mode.is_some()),
    ];
    let mut ids_to_remove: Vec<_> =
        values.cache_node_ids_to_remove.unwrap_or_default().into_iter().map(NodeId::new).collect();
    ids_to_remove.sort();
    Ok(Pending {
        node_count: values.num_cache_nodes.map(count).transpose()?,
        ids_to_remove,
        others: others.into_iter().filter_map(|(name, is_pending)| is_pending.then_some(name)).collect(),
    })
}

fn count(count: i32) -> Result<u32, ControlError> {
    u32::try_from(count).map_err(|_| ControlError::Malformed("a number of nodes below zero".to_owned()))
}

fn needed<T>(member: Option<T>, name: &str) -> Result<T, ControlError> {
    member.ok_or_else(|| ControlError::Malformed(format!("it has no {name}")))
}
