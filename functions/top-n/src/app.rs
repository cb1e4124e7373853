//! What the function holds from one invocation to the next.

use std::time::Instant;

use larder_cache::{Cache, OriginGuard};
use larder_origin::{ListQuery, Origin, OriginError, Record};
use larder_records::Lists;

use crate::settings::Settings;

/// Cache and origin, made once and connected when they are first needed.
#[derive(Debug)]
pub struct App<S = Origin> {
    /// The cache that holds the lists.
    pub cache: Cache,
    /// Which lists there are.
    pub lists: Lists,
    /// Where their rows come from.
    pub source: S,
}

impl App {
    /// Makes the clients that `settings` describe. Connects to nothing.
    pub fn new(settings: Settings) -> Self {
        let Settings { cluster, origin, lists, .. } = settings;
        // One list after the other.
        Self { cache: Cache::new(cluster, OriginGuard::new(1)), lists, source: origin }
    }

    /// The same function in front of what `wrap` makes of its origin: one whose queries are counted and delayed, say.
    pub fn map_source<S>(self, wrap: impl FnOnce(Origin) -> S) -> App<S> {
        App { cache: self.cache, lists: self.lists, source: wrap(self.source) }
    }
}

/// Where lists come from: the origin, or what stands in front of it.
pub trait Source: Sync {
    /// As [`Origin::list`].
    fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Record>, OriginError>> + Send;
}

impl Source for Origin {
    async fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Record>, OriginError> {
        self.list(query, limit, deadline).await
    }
}
