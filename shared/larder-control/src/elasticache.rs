//! ElastiCache's API.

use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_elasticache::Client;
use aws_sdk_elasticache::config::retry::RetryConfig;
use aws_sdk_elasticache::config::timeout::TimeoutConfig;
use aws_sdk_elasticache::config::{
    BehaviorVersion, Builder, Credentials as ApiCredentials, Region, StalledStreamProtectionConfig,
};
use aws_sdk_elasticache::operation::modify_cache_cluster::builders::ModifyCacheClusterFluentBuilder;
use aws_sdk_elasticache::types::SourceType;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::fault::fault;
use crate::translate::{event, state};
use crate::{ClusterEvent, ClusterState, ControlError, NodeId};
use larder_lambda::aws::Credentials;

/// One cluster of ElastiCache, seen and changed through the API.
///
/// The client is made by the first call, with the trusted authorities of the system. Each call has a connection of its
/// own: calls are minutes apart, and one that rested in a frozen environment is dead without knowing it.
///
/// What only asks is sent up to twice within its time. A change is sent once, because an answer to its
/// repetition could not be told from one to somebody else's change.
#[derive(Debug)]
pub struct ElastiCache {
    config: ApiConfig,
    client: OnceLock<Client>,
}

/// How a cluster is reached through the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The cluster's id; capitals and small letters are the same.
    pub cluster_id: String,
    /// The cluster's region, such as `eu-west-1`.
    pub region: String,
    /// Who signs.
    pub credentials: Credentials,
    /// Asked instead of the region's own endpoint: `http://127.0.0.1:4566`, say.
    pub endpoint_url: Option<String>,
    /// How long a connection may take to be made: short, for without an interface endpoint it never is.
    pub connect_timeout: Duration,
    /// How long one call may take, everything included.
    pub timeout: Duration,
}

impl ApiConfig {
    /// A second to connect, five for all.
    pub fn new(cluster_id: impl Into<String>, region: impl Into<String>, credentials: Credentials) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            region: region.into(),
            credentials,
            endpoint_url: None,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
        }
    }
}

impl ElastiCache {
    /// The cluster that `config` names. Connects to nothing.
    pub fn new(config: ApiConfig) -> Self {
        Self { config, client: OnceLock::new() }
    }

    pub(crate) async fn describe(&self) -> Result<ClusterState, ControlError> {
        let request = self.client().describe_cache_clusters().cache_cluster_id(&self.config.cluster_id);
        let answer = request.show_cache_node_info(true).send().await.map_err(fault)?;
        let id = &self.config.cluster_id;
        let is_ours = |found: &str| found.eq_ignore_ascii_case(id);
        let mut clusters = answer.cache_clusters.unwrap_or_default().into_iter();
        match clusters.find(|cluster| cluster.cache_cluster_id().is_some_and(is_ours)) {
            Some(cluster) => state(cluster),
            None => Err(ControlError::NotFound(format!("{id} is not among the clusters told"))),
        }
    }

    pub(crate) async fn events(&self, since: Duration) -> Result<Vec<ClusterEvent>, ControlError> {
        let mut events = Vec::new();
        let mut marker = None;
        for _ in 0..MAX_EVENT_PAGES {
            let request = self.client().describe_events();
            let request =
                request.source_type(SourceType::CacheCluster).source_identifier(&self.config.cluster_id);
            let request = request.duration(minutes(since)).max_records(EVENTS_PER_PAGE).set_marker(marker);
            let page = request.send().await.map_err(fault)?;
            events.extend(page.events.unwrap_or_default().into_iter().filter_map(event));
            marker = page.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                break;
            }
        }
        events.sort_by_key(|event: &ClusterEvent| event.at);
        Ok(events)
    }

    pub(crate) async fn grow_to(&self, count: u32) -> Result<(), ControlError> {
        self.modify(count, |request| request).await
    }

    pub(crate) async fn remove_nodes(&self, ids: &[NodeId], left: u32) -> Result<(), ControlError> {
        let ids: Vec<_> = ids.iter().map(NodeId::to_string).collect();
        self.modify(left, |request| request.set_cache_node_ids_to_remove(Some(ids))).await
    }

    async fn modify(
        &self,
        count: u32,
        more: impl FnOnce(ModifyCacheClusterFluentBuilder) -> ModifyCacheClusterFluentBuilder,
    ) -> Result<(), ControlError> {
        let count = i32::try_from(count)
            .map_err(|_| ControlError::Refused(format!("no cluster has {count} nodes")))?;
        let request = self.client().modify_cache_cluster().cache_cluster_id(&self.config.cluster_id);
        let request = more(request.num_cache_nodes(count).apply_immediately(true));
        let once =
            Builder::new().retry_config(RetryConfig::disabled()).timeout_config(times(&self.config, 1));
        request.customize().config_override(once).send().await.map_err(fault)?;
        Ok(())
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| client(&self.config))
    }
}

fn client(config: &ApiConfig) -> Client {
    let Credentials { access_key_id, secret_access_key, session_token } = config.credentials.clone();
    let credentials = ApiCredentials::new(access_key_id, secret_access_key, session_token, None, "settings");
    let tls = Provider::Rustls(CryptoMode::Ring);
    let http =
        aws_smithy_http_client::Builder::new().pool_max_idle_per_host(0).tls_provider(tls).build_https();
    let retries = RetryConfig::standard().with_max_attempts(MAX_TRIES).with_initial_backoff(RETRY_PAUSE);
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .credentials_provider(credentials)
        .http_client(http)
        .retry_config(retries)
        .timeout_config(times(config, MAX_TRIES))
        // Answers are short, and the timeouts above hold for them, too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let builder = match &config.endpoint_url {
        Some(url) => builder.endpoint_url(url),
        None => builder,
    };
    Client::from_conf(builder.build())
}

/// The times of a call that is tried up to `tries` times: a try that hangs leaves time for the next.
fn times(config: &ApiConfig, tries: u32) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout)
        .operation_attempt_timeout(config.timeout / tries)
        .operation_timeout(config.timeout)
        .build()
}

/// Whole minutes that `time` lies within, as far back as ElastiCache remembers.
fn minutes(time: Duration) -> i32 {
    let minutes = time.as_secs().div_ceil(60).clamp(1, REMEMBERED_MINUTES);
    i32::try_from(minutes).unwrap_or(i32::MAX)
}

/// Most events that one call tells.
pub const MAX_EVENTS: usize = MAX_EVENT_PAGES * EVENTS_PER_PAGE as usize;

const MAX_EVENT_PAGES: usize = 10;

/// As many as the API gives at once.
const EVENTS_PER_PAGE: i32 = 100;

/// How often a call that changes nothing is sent at most.
const MAX_TRIES: u32 = 2;

/// The longest pause before the second try.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// 14 days.
const REMEMBERED_MINUTES: u64 = 14 * 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_minute_counts_as_one_and_nobody_asks_beyond_fourteen_days() {
        for (secs, expected) in [(0, 1), (60, 1), (61, 2), (1_209_600, 20_160), (u64::MAX, 20_160)] {
            assert_eq!(minutes(Duration::from_secs(secs)), expected, "{secs} s");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "s3cret".to_owned(),
            session_token: Some("s3cret".to_owned()),
        };
        let cluster = ElastiCache::new(ApiConfig::new("larder", "eu-west-1", credentials));
        cluster.client();
        assert!(!format!("{cluster:?}").contains("s3cret"), "{cluster:?}");
    }
}
