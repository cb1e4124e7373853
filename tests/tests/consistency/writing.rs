//! How an environment writes and deletes rows, and tells the cache of it.

use std::time::Duration;

use larder_cache::{Forget, Intent, Invalidation};
use tokio::time::{Instant, sleep};

use crate::care::Care;
use crate::environment::{Environment, soon};
use crate::origin::Origin;
use crate::row::Row;

impl Environment {
    pub(crate) async fn write_through(&mut self, row: &Row) {
        let was_there = row.now().1;
        let (intent, version) = if self.care == Care::IntendsLate {
            let version = row.write(true, &mut self.random).await;
            (self.intend(row).await, version)
        } else {
            (self.intend(row).await, row.write(true, &mut self.random).await)
        };
        if self.care == Care::CreatesUntold && !was_there {
            self.cache.abandon(intent).await;
        } else {
            let policy = self.policy(row);
            let written = self.cache.written(intent, &row.value(version), &policy, soon()).await;
            if written.is_err() && !self.forget_until_done(row).await {
                return;
            }
        }
        self.tell(row, version);
    }

    pub(crate) async fn write_and_forget(&mut self, row: &Row) {
        let is_late = self.care != Care::ForgetsFirst;
        let is_forgotten = is_late || self.forget_until_done(row).await;
        let version = row.write(true, &mut self.random).await;
        if is_forgotten && (!is_late || self.forget_until_done(row).await) {
            self.tell(row, version);
        }
    }

    /// What was deleted is removed, whatever the policy says of what is changed.
    pub(crate) async fn delete(&mut self, row: &Row) {
        let version = row.write(false, &mut self.random).await;
        let invalidation = Invalidation { keys: vec![row.key.clone()], how: Forget::Hard };
        while self.cache.invalidate(&invalidation, soon()).await.left.is_some() {
            if self.origin.is_over() {
                return;
            }
            sleep(PAUSE).await;
        }
        self.tell(row, version);
    }

    pub(crate) async fn give_up(&mut self, row: &Row) {
        let intent = self.intend(row).await;
        self.cache.abandon(intent).await;
    }

    /// It never tells the cache, which may hold the old value for as long as it lives; so it counts as untold.
    pub(crate) async fn die_in_between(&mut self, row: &Row) {
        let intent = self.intend(row).await;
        let is_there = self.random.u32(..4) > 0;
        let _ = row.write(is_there, &mut self.random).await;
        drop(intent);
    }

    pub(crate) async fn forget(&mut self, row: &Row) {
        let version = row.now().0;
        if self.try_to_forget(row).await {
            self.tell(row, version);
        }
    }

    pub(crate) async fn forget_tag(&mut self, origin: &Origin) {
        let tagged = origin.rows.iter().filter(|row| !row.policy.tags.is_empty());
        let versions: Vec<(&Row, u64)> = tagged.map(|row| (row, row.now().0)).collect();
        if self.cache.forget_tag(&origin.tag, soon()).await.is_ok() {
            versions.into_iter().for_each(|(row, version)| self.tell(row, version));
        }
    }

    async fn intend(&self, row: &Row) -> Intent {
        self.cache.intend(&row.key, &self.policy(row), soon()).await
    }

    /// As the queue of invalidations does: until it has succeeded it has not ended, unless the run is over.
    async fn forget_until_done(&self, row: &Row) -> bool {
        while !self.try_to_forget(row).await {
            if self.origin.is_over() {
                return false;
            }
            sleep(PAUSE).await;
        }
        true
    }

    async fn try_to_forget(&self, row: &Row) -> bool {
        let deadline: Instant = soon();
        match self.care {
            Care::ForgetsOneReplica => self.cache.cluster().until(deadline).delete(&row.key).await.is_ok(),
            _ => self.cache.forget(&row.key, &self.policy(row), deadline).await.is_ok(),
        }
    }
}

/// Between two tries to tell the cache.
const PAUSE: Duration = Duration::from_millis(10);
