//! `W1` and `W2`: reads, one after the other.

use anyhow::Result;
use larder_client::Key;

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
