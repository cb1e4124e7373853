//! What the tests have in common.

mod memcached;
mod origin;
mod turnstile;

use std::sync::LazyLock;
use std::time::Duration;

use larder_cache::{Answer, Cache, OriginGuard, Outcome, Policy};
use larder_client::{Cluster, Config, Endpoint, Key, Ttl};
use larder_ring::RingNode;
use tokio::time::Instant;

pub(crate) use memcached::Memcached;
pub(crate) use origin::{Broken, Origin, Unreachable};
pub(crate) use turnstile::Turnstile;

/// An environment: its own connections, its own guard, nothing known yet.
pub(crate) fn environment(nodes: &[&Memcached]) -> Cache {
    cache(config(nodes))
}

pub(crate) fn cache(config: Config) -> Cache {
    Cache::new(Cluster::new(config).unwrap(), OriginGuard::new(100))
}

/// One whose nodes are behind `turnstiles`.
pub(crate) fn environment_behind(turnstiles: &[Turnstile]) -> Cache {
    cache(config_of(turnstiles.iter().map(Turnstile::port)))
}

/// Patient: where a test is not about time, a busy machine must not end it.
pub(crate) fn config(nodes: &[&Memcached]) -> Config {
    config_of(nodes.iter().map(|node| node.port()))
}

/// The same for whatever listens at `ports`.
pub(crate) fn config_of(ports: impl IntoIterator<Item = u16>) -> Config {
    let nodes =
        ports.into_iter().map(|port| RingNode { host: "127.0.0.1".to_owned(), port, weight: 1, ip: None });
    Config { timeout: PATIENCE, connect_timeout: PATIENCE, ..Config::new(Endpoint::Nodes(nodes.collect())) }
}

/// Values are fresh for 1000 s and then gone, losers wait for as long as it takes, stale values are answered, and a
/// failure is forgotten.
pub(crate) static PATIENT: LazyLock<Policy> = LazyLock::new(|| Policy {
    grace: Duration::ZERO,
    early: Duration::ZERO,
    error_for: None,
    load_for: Duration::from_secs(55),
    wait_for: Duration::from_secs(50),
    lease_for: Ttl::clamped(60),
    stale_after_invalidate: true,
    compress_from: None,
    ..Policy::fresh_for(Ttl::clamped(1000))
});

/// As [`PATIENT`], but losers give up after `millis`.
pub(crate) fn impatient(millis: u64) -> Policy {
    Policy { wait_for: Duration::from_millis(millis), ..PATIENT.clone() }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text.as_bytes()).unwrap()
}

pub(crate) fn late() -> Instant {
    Instant::now() + 2 * PATIENCE
}

pub(crate) fn in_millis(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

/// Where an answer came from, and its value as text.
#[track_caller]
pub(crate) fn told<E: std::fmt::Debug>(
    answer: Result<Answer, larder_cache::LoadError<E>>,
) -> (Outcome, Option<String>) {
    let answer = answer.unwrap();
    (answer.outcome, answer.value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
}

/// What [`told`] says of `value`.
pub(crate) fn says(outcome: Outcome, value: &str) -> (Outcome, Option<String>) {
    (outcome, Some(value.to_owned()))
}

/// What the client flags of an item have above those of its value where no ring document is known.
pub(crate) const NO_DOCUMENT: u32 = 1 << 16;
/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What a busy machine may add to a time that a test measures.
pub(crate) const SLACK: Duration = Duration::from_millis(800);
