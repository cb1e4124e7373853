//! What the function holds from one invocation to the next.

use std::collections::HashMap;

use larder_cache::{Cache, OriginGuard, Policy, Sampler};
use larder_client::{InvalidKey, Key};
use larder_origin::{Id, Origin};

use crate::settings::Settings;

/// Cache and origin, made once and connected when they are first needed.
#[derive(Debug)]
pub struct App {
    /// The cache, behind which the origin is asked.
    pub cache: Cache,
    /// Where the records live.
    pub origin: Origin,
    policies: HashMap<String, Policy>,
    key_prefix: Option<String>,
}

impl App {
    /// Makes the clients that `settings` describe. Connects to nothing.
    pub fn new(settings: Settings) -> Self {
        let Settings { cluster, origin, policies, key_prefix, sampling, origin_limit, .. } = settings;
        let cache = Cache::new(cluster, OriginGuard::new(origin_limit))
            .sampled_by(Sampler::new(sampling, fastrand::Rng::new()));
        Self { cache, origin, policies, key_prefix }
    }

    /// A served table's own name and policy; nothing for one that is not served.
    pub fn table(&self, name: &str) -> Option<(&str, &Policy)> {
        self.policies.get_key_value(name).map(|(name, policy)| (name.as_str(), policy))
    }

    /// The key of a record: `table:id`, or `prefix:table:id`.
    pub fn key(&self, table: &str, id: &Id) -> Result<Key, InvalidKey> {
        Key::compose(self.key_prefix.as_deref().into_iter().chain([table, id.as_str()]))
    }
}
