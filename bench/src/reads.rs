//! `W1`, `W1L` and `W2`: reads, one after the other.

use std::convert::Infallible;

use anyhow::{Result, ensure};
use bytes::Bytes;
use larder_cache::{Cache, OriginGuard, Outcome, Policy};
use larder_client::{Key, Ttl};
use tokio::time::Instant;

use crate::load::{TIMEOUT, cluster, is_hit, repeat};
use crate::meter::Summary;
use crate::protocol::Settings;

/// `W1`: one get after the other, over the keys in steps that no cache of the processor foresees.
pub(crate) async fn get(settings: &Settings) -> Result<Summary> {
    let cluster = cluster(settings, TIMEOUT)?;
    let keys = settings.keys(settings.keys.get())?;
    let meter = repeat(&settings.window, WARM_UP_GETS, async |turn| {
        let key = &keys[turn * KEY_STEP % keys.len()];
        is_hit(&cluster.get(key).await, settings.value_len)
    });
    meter.await?.finish(1)
}

/// `W1L`: one cache-aside read after the other, each of which finds its value: what leases, times and the checks of an
/// item cost beside a plain get. The values are stored first, under keys of their own.
pub(crate) async fn get_or_load(settings: &Settings) -> Result<Summary> {
    let cache = Cache::new(cluster(settings, TIMEOUT)?, OriginGuard::new(1));
    let policy = Policy::fresh_for(Ttl::clamped(3600));
    let keys = settings.keys(settings.keys.get())?;
    let keys = keys.iter().map(|key| Key::new(&[key.as_bytes(), b":cached"].concat()));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let value = Bytes::from(vec![b'x'; settings.value_len]);
    let read = async |key: &Key| {
        let load = || async { Ok::<_, Infallible>(Some(value.clone())) };
        cache.get_or_load(key, &policy, Instant::now() + TIMEOUT, load).await.0
    };
    for key in &keys {
        ensure!(read(key).await.is_ok(), "a value could not be stored");
    }
    let meter = repeat(&settings.window, WARM_UP_GETS, async |turn| {
        let answer = read(&keys[turn * KEY_STEP % keys.len()]).await;
        answer.is_ok_and(|answer| answer.outcome == Outcome::Hit)
    });
    meter.await?.finish(1)
}

/// `W2`: one multi-get after the other.
pub(crate) async fn get_many(settings: &Settings) -> Result<Summary> {
    let cluster = cluster(settings, TIMEOUT)?;
    let batches = batches(settings)?;
    let meter = repeat(&settings.window, WARM_UP_BATCHES, async |turn| {
        let reads = cluster.get_many(&batches[turn % batches.len()]).await;
        reads.iter().all(|read| is_hit(read, settings.value_len))
    });
    meter.await?.finish(settings.batch.get())
}

/// All keys, shuffled, in batches of distinct ones; the same in every run.
fn batches(settings: &Settings) -> Result<Vec<Vec<Key>>> {
    let mut keys = settings.keys(settings.keys.get().max(settings.batch.get()))?;
    fastrand::Rng::with_seed(SHUFFLE_SEED).shuffle(&mut keys);
    Ok(keys.chunks_exact(settings.batch.get()).map(<[Key]>::to_vec).collect())
}

/// A prime that divides no number of keys that is asked for.
const KEY_STEP: usize = 7919;
const WARM_UP_GETS: usize = 200;
const WARM_UP_BATCHES: usize = 20;
const SHUFFLE_SEED: u64 = 2;
