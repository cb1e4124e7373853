//! How an environment reads rows.

use std::time::Duration;

use fastrand::Rng;
use larder_cache::{Answer, Counts};
use tokio::time::{Instant, timeout};

use crate::environment::{Environment, LIMIT, soon};
use crate::kind::Kind;
use crate::origin::Origin;
use crate::row::Row;

impl Environment {
    pub(crate) async fn read(&mut self, row: &Row) -> Counts {
        let (begin, seed) = (Instant::now(), self.random.u64(..));
        let load = || row.load(Rng::with_seed(seed));
        let (answer, counts) = self.cache.get_or_load(&row.key, &self.policy(row), begin + LIMIT, load).await;
        self.check(row, begin, &answer, "read");
        counts
    }

    pub(crate) async fn read_quiet(&mut self, origin: &Origin) -> Counts {
        let row = &origin.quiet[self.random.usize(..origin.quiet.len())];
        self.read(row).await
    }

    pub(crate) async fn read_many(&mut self, origin: &Origin) -> Counts {
        let kinds = Kind::ALL.len();
        let kind = self.random.usize(..kinds);
        let rows: Vec<&Row> = (0..BATCH).map(|_| &origin.rows[self.any() / kinds * kinds + kind]).collect();
        let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        let (begin, seed) = (Instant::now(), self.random.u64(..));
        let load = |missing: Vec<usize>| {
            let rows = &rows;
            async move {
                let mut loaded = Vec::new();
                for index in missing {
                    loaded.push(rows[index].load(Rng::with_seed(seed ^ index as u64)).await?);
                }
                Ok(loaded)
            }
        };
        let policy = self.policy(rows[0]);
        let batch = self.cache.get_or_load_many(&keys, &policy, begin + LIMIT, load).await;
        for (row, answer) in rows.into_iter().zip(&batch.answers) {
            self.check(row, begin, answer, "batch");
        }
        batch.counts
    }

    pub(crate) async fn read_at_least(&mut self, row: &Row) -> Counts {
        let (least, begin, seed) = (row.floor(), Instant::now(), self.random.u64(..));
        let load = || row.load(Rng::with_seed(seed));
        let policy = self.policy(row);
        let (answer, counts) = self.cache.get_at_least(&row.key, least, &policy, begin + LIMIT, load).await;
        if let Ok(Answer { version: Some(version), .. }) = answer
            && version < least
        {
            self.fault(format!("asked for {least} at least and got {version}"));
        }
        self.check(row, begin, &answer, "read at least");
        counts
    }

    pub(crate) async fn read_dropped(&mut self, row: &Row) {
        let (seed, most) = (self.random.u64(..), Duration::from_micros(self.random.u64(..2000)));
        let load = || row.load(Rng::with_seed(seed));
        let policy = self.policy(row);
        let read = self.cache.get_or_load(&row.key, &policy, soon(), load);
        let _ = timeout(most, read).await;
    }
}

/// How many rows are read at once, some of them perhaps twice.
const BATCH: usize = 8;
