//! Which keys an environment reads most, named in the line of metrics.

use larder_cache::{Cache, Counted, key_hash};
use larder_lambda::metrics::Metrics;

/// How the keys that are read most are named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HottestKeys {
    /// By their [hashes](key_hash), 16 hex digits each, which `larder hot show --json` tells, too: keys may say more
    /// than a log should.
    Hashed,
    /// As they are.
    InClear,
}

impl HottestKeys {
    /// Names the keys that the environment of `cache` reads most, most read first, where it has told the fleet of them
    /// since the last line: so once in some minutes.
    pub fn name(self, cache: &Cache, metrics: &mut Metrics) {
        let hottest = cache.take_hottest();
        if !hottest.is_empty() {
            metrics.property(
                "HottestKeys",
                hottest.iter().map(|counted| self.name_of(counted)).collect::<Vec<_>>(),
            );
        }
    }

    fn name_of(self, Counted { key, .. }: &Counted) -> String {
        match self {
            Self::Hashed => format!("{:016x}", key_hash(key)),
            Self::InClear => key.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder_cache::{OriginGuard, Sampler, Sampling};
    use larder_client::{Cluster, Config, Endpoint, Key};
    use larder_local::{LocalCluster, Options};
    use larder_ring::RingNode;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_hottest_keys_are_named_once_for_each_report_and_not_in_clear_unless_that_is_allowed() {
        for (names, expected) in [
            (HottestKeys::InClear, "\"HottestKeys\":[\"flights:1\"]"),
            (HottestKeys::Hashed, "\"HottestKeys\":[\"b67d48249298ab0a\"]"),
        ] {
            let local = LocalCluster::start(Options { nodes: 1, ..Options::default() }).await.unwrap();
            let cache = cache(&local);
            let mut lines = Vec::new();
            for _ in 0..1000 {
                let load = || async { Ok::<_, ()>(Some(bytes::Bytes::from("v"))) };
                let policy = larder_cache::Policy::fresh_for(larder_client::Ttl::MAX);
                let (key, deadline) =
                    (Key::new(b"flights:1").unwrap(), Instant::now() + Duration::from_secs(1));
                drop(cache.get_or_load(&key, &policy, deadline, load).await);
                let mut metrics = Metrics::new("Larder");
                names.name(&cache, &mut metrics);
                lines.push(metrics.line(1));
                if lines.last().is_some_and(|line| line.contains("HottestKeys")) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let (last, before) = lines.split_last().unwrap();
            assert!(last.contains(expected), "{last}");
            assert!(before.iter().all(|line| !line.contains("HottestKeys")));
            let mut metrics = Metrics::new("Larder");
            names.name(&cache, &mut metrics);
            assert!(!metrics.line(1).contains("HottestKeys"), "it was told");
        }
    }

    /// A cache that samples every read.
    fn cache(local: &LocalCluster) -> Cache {
        let endpoint = local.nodes()[0].endpoint;
        let node = RingNode::new(endpoint.ip().to_string(), endpoint.port());
        let cluster = Cluster::new(Config::new(Endpoint::Nodes(vec![node]))).unwrap();
        let report_interval = Duration::from_millis(5);
        let sampling = Sampling { one_in: 1, report_interval, ..Sampling::default() };
        Cache::new(cluster, OriginGuard::new(1))
            .sampled_by(Sampler::new(sampling, fastrand::Rng::with_seed(7)))
    }
}
