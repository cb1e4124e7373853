//! Quiet keys, which are never written: whatever happens to the nodes, they are cached again soon afterwards.
//!
//! A prober reads them as an environment that is warm, and as one that is cold: each is a hit within a bounded time,
//! and then all are hits after a rest in which the view of the ring has aged.

use std::sync::Arc;
use std::time::Duration;

use larder_cache::{Cache, OriginGuard, Outcome};
use larder_client::{Cluster, Config};
use larder_local::NodeStatus;
use tokio::time::{Instant, sleep};

use crate::origin::Origin;
use crate::row::Row;
use crate::world::World;

/// Reads the quiet keys of an origin.
pub(crate) struct Prober {
    config: Config,
    warm: Cache,
    origin: Arc<Origin>,
}

impl Prober {
    pub(crate) fn new(config: Config, origin: Arc<Origin>) -> Self {
        Self { warm: cache(&config), config, origin }
    }

    /// Which quiet keys are not cached within a bounded time, but for those of a `silent` node; `None` where all are.
    async fn uncached(&self, silent: Option<&NodeStatus>) -> Option<String> {
        let cold = cache(&self.config);
        for (name, cache) in [("warm", &self.warm), ("cold", &cold)] {
            let rows = self.rows(cache, silent).await;
            let end = Instant::now() + MOST_UNCACHED;
            let mut left = rows.clone();
            while !left.is_empty() {
                left = not_hit(cache, &left).await;
                if Instant::now() > end {
                    return Some(format!("a {name} environment never hits {} of the quiet keys", left.len()));
                }
            }
        }
        let rows = self.rows(&self.warm, silent).await;
        let is_hit = is_hit_after_rest(&self.config, &self.warm, &rows).await;
        (!is_hit).then(|| "a warm environment misses quiet keys after every rest".to_owned())
    }

    /// The rows whose keys can be cached: all, but those of a `silent` node, and those whose tag it may have.
    async fn rows(&self, cache: &Cache, silent: Option<&NodeStatus>) -> Vec<&Row> {
        let mut rows = Vec::new();
        for row in &self.origin.quiet {
            let owner = cache.cluster().owner(&row.key).await.ok();
            let is_free = |silent: &NodeStatus| {
                let is_owner = owner.is_none_or(|owner| owner.starts_with(&*silent.name));
                !is_owner && row.policy.tags.is_empty()
            };
            if silent.is_none_or(is_free) {
                rows.push(row);
            }
        }
        rows
    }
}

impl World {
    /// Notes it where quiet keys are not cached.
    pub(crate) async fn check_quiet(&mut self, when: &str, silent: Option<&NodeStatus>) {
        if let Some(uncached) = self.prober.uncached(silent).await {
            self.wrong.push(format!("{when}: {uncached}"));
            self.origin.end();
        }
    }
}

/// Those of `rows` that are no hits.
async fn not_hit<'r>(cache: &Cache, rows: &[&'r Row]) -> Vec<&'r Row> {
    let mut left = Vec::new();
    for row in rows {
        let load = || async { Ok::<_, std::convert::Infallible>(Some(row.value(1))) };
        let deadline = Instant::now() + MOST_READ;
        let (answer, _) = cache.get_or_load(&row.key, &row.policy, deadline, load).await;
        if !answer.is_ok_and(|answer| answer.outcome == Outcome::Hit) {
            left.push(*row);
        }
    }
    left
}

/// Whether all of `rows` are hits once the view of the ring has to be confirmed again: within a bounded time, for
/// whoever refreshes one may be frozen.
async fn is_hit_after_rest(config: &Config, cache: &Cache, rows: &[&Row]) -> bool {
    let end = Instant::now() + MOST_UNCACHED;
    while Instant::now() < end {
        sleep(3 * config.ring_check_interval).await;
        if not_hit(cache, rows).await.is_empty() {
            return true;
        }
    }
    false
}

fn cache(config: &Config) -> Cache {
    Cache::new(Cluster::new(config.clone()).unwrap(), OriginGuard::new(100))
}

/// How long a key may be no hit after a change: a convergence time, a lease whose winner was dropped or frozen, and what
/// a busy machine adds.
const MOST_UNCACHED: Duration = Duration::from_secs(8);
/// How long one read of a key may take.
const MOST_READ: Duration = Duration::from_secs(1);
