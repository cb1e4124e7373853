//! What ElastiCache's API tells of a local cluster.

#![allow(dead_code, reason = "each test file uses some of it")]

use larder_local::NodeStatus;

use crate::api::{FakeApi, Reply, answer};

/// A cluster as the API is to tell of it.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) status: &'static str,
    /// What waits to be changed, as XML.
    pub(crate) pending: &'static str,
    /// The nodes: their names and ports; no name while they are being made.
    pub(crate) nodes: Vec<Option<(String, u16)>>,
    /// The status of the topic; `None` where there is no topic.
    pub(crate) topic: Option<&'static str>,
}

impl Told {
    /// `nodes`, all of them there, and an active topic.
    pub(crate) fn of(nodes: &[NodeStatus]) -> Self {
        let nodes = nodes.iter().map(|node| Some((node.name.clone(), node.port))).collect();
        Self { status: "available", pending: "", nodes, topic: Some("active") }
    }

    /// The answer to `DescribeCacheClusters`.
    pub(crate) fn answer(&self) -> Reply {
        let nodes: String =
            (1..).zip(&self.nodes).map(|(id, endpoint)| node(id, endpoint.as_ref())).collect();
        let topic = self.topic.map_or_else(String::new, |status| {
            format!(
                "<NotificationConfiguration><TopicArn>{TOPIC}</TopicArn><TopicStatus>{status}</TopicStatus></NotificationConfiguration>"
            )
        });
        let (status, pending, count) = (self.status, self.pending, self.nodes.len());
        answer(
            "DescribeCacheClusters",
            &format!(
                "<CacheClusters><CacheCluster><CacheClusterId>larder</CacheClusterId>\
                 <EngineVersion>1.6.22</EngineVersion>\
                 <CacheClusterStatus>{status}</CacheClusterStatus>\
                 <NumCacheNodes>{count}</NumCacheNodes>\
                 <PendingModifiedValues>{pending}</PendingModifiedValues>\
                 {topic}<CacheNodes>{nodes}</CacheNodes></CacheCluster></CacheClusters>"
            ),
        )
    }

    /// An API that tells this, and of no events.
    pub(crate) fn api(&self) -> FakeApi {
        let api = FakeApi::start();
        api.answer("DescribeCacheClusters", [self.answer()]);
        api.answer("DescribeEvents", [events(&[])]);
        api
    }
}

/// The answer to `DescribeEvents` that tells `messages`.
pub(crate) fn events(messages: &[&str]) -> Reply {
    let events = messages.iter().map(|message| {
        format!(
            "<Event><SourceIdentifier>larder</SourceIdentifier><SourceType>cache-cluster</SourceType>\
             <Message>{message}</Message><Date>2026-01-31T12:00:00.000Z</Date></Event>"
        )
    });
    answer("DescribeEvents", &format!("<Events>{}</Events>", events.collect::<String>()))
}

/// The variables of a function that asks `api`.
pub(crate) fn asking(api: &str) -> [(&str, &str); 5] {
    [
        ("LARDER_ELASTICACHE_API", "on"),
        ("AWS_ENDPOINT_URL", api),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret"),
    ]
}

pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:larder-notices";

fn node(id: u32, endpoint: Option<&(String, u16)>) -> String {
    let (status, endpoint) = match endpoint {
        None => ("creating", String::new()),
        Some((name, port)) => {
            ("available", format!("<Endpoint><Port>{port}</Port><Address>{name}</Address></Endpoint>"))
        }
    };
    format!(
        "<CacheNode><CacheNodeId>{id:04}</CacheNodeId><CacheNodeStatus>{status}</CacheNodeStatus>{endpoint}</CacheNode>"
    )
}
