//! `W3`: many tasks at once on one client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use fastrand::Rng;
use larder_client::{Cluster, Key, NewItem, Ttl};

use crate::load::{TIMEOUT, cluster, is_hit};
use crate::meter::{Meter, Summary};
use crate::protocol::Settings;

/// `W3`: tasks that share one cluster, each asking anew when it has been answered; nine gets to a set.
pub(crate) async fn crowd(settings: &Settings) -> Result<Summary> {
    let cluster = cluster(settings, TIMEOUT)?;
    let keys = settings.keys(settings.keys.get())?;
    // Connections come up before the window.
    for read in cluster.get_many(&keys[..settings.concurrency.get().min(keys.len())]).await {
        read.context("a read failed before the measurement")?;
    }
    let value = vec![b'x'; settings.value_len];
    let load = Arc::new(Load { cluster, keys, value, meter: Mutex::new(Meter::start(&settings.window)?) });
    let tasks: Vec<_> = (0..settings.concurrency.get() as u64)
        .map(|task| tokio::spawn(Arc::clone(&load).work(Rng::with_seed(task))))
        .collect();
    for task in tasks {
        task.await?;
    }
    let load = Arc::into_inner(load).context("a task goes on after its end")?;
    load.meter.into_inner().unwrap_or_else(PoisonError::into_inner).finish(1)
}

/// What the tasks share.
struct Load {
    cluster: Cluster,
    keys: Vec<Key>,
    value: Vec<u8>,
    meter: Mutex<Meter>,
}

impl Load {
    async fn work(self: Arc<Self>, mut random: Rng) {
        let mut now = self.meter().started();
        loop {
            if !self.meter().may_begin(now) {
                return;
            }
            let key = &self.keys[random.usize(..self.keys.len())];
            let is_good = if random.u8(..GETS_TO_A_SET + 1) == 0 {
                let item = NewItem { key, value: &self.value, client_flags: 0, ttl: Ttl::MAX };
                self.cluster.set(item).await.is_ok()
            } else {
                is_hit(&self.cluster.get(key).await, self.value.len())
            };
            now = self.meter().record(now, is_good);
        }
    }

    /// Never held while waiting.
    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const GETS_TO_A_SET: u8 = 9;
