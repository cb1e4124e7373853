//! What the function holds from one invocation to the next.

use std::time::Instant;

use larder_cache::{Cache, OriginGuard};
use larder_origin::{Change, Id, Origin, OriginError, WriteOptions, Written};
use larder_queue::InvalidationQueue;
use larder_records::{Lists, Records};

use crate::settings::Settings;

/// Cache, origin and queue, made once and connected when they are first needed.
#[derive(Debug)]
pub struct App<T = Origin> {
    /// The cache, which is told what was written.
    pub cache: Cache,
    /// Which tables are served, and how their records are cached.
    pub records: Records,
    /// Which lists there are, some of which are computed anew where a row changes.
    pub lists: Lists,
    /// Where the records live.
    pub target: T,
    /// Where an invalidation goes that failed.
    pub queue: Option<InvalidationQueue>,
}

impl App {
    /// Makes the clients that `settings` describe. Connects to nothing.
    pub fn new(settings: Settings) -> Self {
        let Settings { cluster, origin, records, lists, queue, .. } = settings;
        // Nothing is loaded here: the guard guards nothing.
        let cache = Cache::new(cluster, OriginGuard::new(1));
        Self { cache, records, lists, target: origin.writable(), queue }
    }

    /// The same function in front of what `wrap` makes of its origin: one that can be held up, say.
    pub fn map_target<T>(self, wrap: impl FnOnce(Origin) -> T) -> App<T> {
        let Self { cache, records, lists, target, queue } = self;
        App { cache, records, lists, target: wrap(target), queue }
    }
}

/// Where records are written: the origin, or what stands in front of it.
pub trait Target: Sync {
    /// As [`Origin::id`].
    fn id(&self, table: &str, text: &str) -> Result<Id, OriginError>;

    /// As [`Origin::write`].
    fn write(
        &self,
        table: &str,
        id: &Id,
        change: &Change,
        options: WriteOptions<'_>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Written, OriginError>> + Send;
}

impl Target for Origin {
    fn id(&self, table: &str, text: &str) -> Result<Id, OriginError> {
        self.id(table, text)
    }

    async fn write(
        &self,
        table: &str,
        id: &Id,
        change: &Change,
        options: WriteOptions<'_>,
        deadline: Instant,
    ) -> Result<Written, OriginError> {
        self.write(table, id, change, options, deadline).await
    }
}
