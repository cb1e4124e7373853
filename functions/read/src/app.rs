//! What the function holds from one invocation to the next.

use std::time::Instant;

use larder_cache::{Cache, OriginGuard, Sampler};
use larder_origin::{Id, ListQuery, Origin, OriginError, PoolConfig, Record};
use larder_records::{Lists, Records};

use crate::settings::Settings;

/// Cache and origin, made once and connected when they are first needed.
#[derive(Debug)]
pub struct App<S = Origin> {
    /// The cache, behind which the origin is asked.
    pub cache: Cache,
    /// Which tables are served, and how their records are cached.
    pub records: Records,
    /// Which lists there are.
    pub lists: Lists,
    /// Where the records live.
    pub source: S,
}

impl App {
    /// Makes the clients that `settings` describe. Connects to nothing.
    pub fn new(settings: Settings) -> Self {
        let Settings { cluster, origin, records, lists, sampling, origin_limit, .. } = settings;
        let cache = Cache::new(cluster, OriginGuard::new(origin_limit))
            .sampled_by(Sampler::new(sampling, fastrand::Rng::new()));
        let source = origin.with_pool(pool(&records));
        Self { cache, records, lists, source }
    }

    /// The same function in front of what `wrap` makes of its origin: one whose calls are counted and delayed, say.
    pub fn map_source<S>(self, wrap: impl FnOnce(Origin) -> S) -> App<S> {
        let Self { cache, records, lists, source } = self;
        App { cache, records, lists, source: wrap(source) }
    }
}

/// Connections that are given up before the load that waits for one is cut off: only the origin knows that it was not
/// reached, and that the other environments may reach it.
fn pool(records: &Records) -> PoolConfig {
    let config = PoolConfig::default();
    let shortest = records.tables().map(|table| table.policy.load_for).min();
    let most = shortest.map_or(config.connect_timeout, |load_for| load_for.mul_f64(CONNECT_SHARE));
    PoolConfig { connect_timeout: config.connect_timeout.min(most), ..config }
}

/// The share of a load that a new connection may take.
const CONNECT_SHARE: f64 = 0.75;

/// Where records are loaded from: the origin, or what stands in front of it.
pub trait Source: Sync {
    /// As [`Origin::id`].
    fn id(&self, table: &str, text: &str) -> Result<Id, OriginError>;

    /// As [`Origin::load_many`].
    fn load_many(
        &self,
        table: &str,
        ids: &[Id],
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Option<Record>>, OriginError>> + Send;

    /// As [`Origin::list`].
    fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Record>, OriginError>> + Send;
}

impl Source for Origin {
    fn id(&self, table: &str, text: &str) -> Result<Id, OriginError> {
        self.id(table, text)
    }

    async fn load_many(
        &self,
        table: &str,
        ids: &[Id],
        deadline: Instant,
    ) -> Result<Vec<Option<Record>>, OriginError> {
        self.load_many(table, ids, deadline).await
    }

    async fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Record>, OriginError> {
        self.list(query, limit, deadline).await
    }
}
