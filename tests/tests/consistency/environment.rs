//! One environment: it reads, writes and invalidates by chance, and holds every answer against the origin.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use larder_cache::{Answer, Cache, Counts, Intent, LoadError, OriginGuard, Outcome, Policy};
use larder_client::{Cluster, Config};
use tokio::time::{Instant, sleep};

use crate::origin::{Origin, OutOfOrder, Row, tag};

pub(crate) struct Environment {
    name: usize,
    care: Care,
    cache: Cache,
    origin: Arc<Origin>,
    random: Rng,
    wrong: Vec<String>,
}

/// What an environment does as it should, or does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Care {
    /// Everything.
    Whole,
    /// It forgets what it is going to write, and not what it has written.
    ForgetsFirst,
    /// It reads the cache after it has changed the origin, and takes what it finds for older than that.
    IntendsLate,
    /// It reads without the tags of its rows.
    ReadsWithoutTags,
}

impl Care {
    /// Each of those that are not whole.
    pub(crate) const LESS: [Self; 3] = [Self::ForgetsFirst, Self::IntendsLate, Self::ReadsWithoutTags];
}

type Read = Result<Answer, LoadError<OutOfOrder>>;

impl Environment {
    pub(crate) fn new(name: usize, care: Care, config: Config, origin: Arc<Origin>, seed: u64) -> Self {
        let cache = Cache::new(Cluster::new(config).unwrap(), OriginGuard::new(100));
        Self { name, care, cache, origin, random: Rng::with_seed(seed), wrong: Vec::new() }
    }

    /// Does one thing after the other until all have done `steps` together; answers what was wrong.
    pub(crate) async fn work(mut self, steps: u64) -> Vec<String> {
        let origin = Arc::clone(&self.origin);
        while origin.steps() < steps && !origin.is_given_up() {
            let row = &origin.rows[self.any()];
            let counts = match self.random.u32(..100) {
                0..50 => self.read(row).await,
                50..60 => self.read_many(&origin).await,
                60..66 => self.read_at_least(row).await,
                66..80 => self.write_through(row).await,
                80..88 => self.write_and_forget(row).await,
                88..91 => self.give_up(row).await,
                91..93 => self.die_before_it_is_written(row).await,
                93..95 => self.forget(row).await,
                95..96 => self.forget_tag().await,
                _ => self.be_dropped(row).await,
            };
            origin.done(counts);
            if self.wrong.len() >= MOST_FAULTS {
                origin.give_up();
            }
        }
        self.wrong
    }

    /// A row; some more often than others.
    fn any(&mut self) -> usize {
        let rows = self.origin.rows.len();
        let most = if self.random.u32(..3) == 0 { rows } else { rows / 8 };
        self.random.usize(..most)
    }

    async fn read(&mut self, row: &Row) -> Counts {
        let (least, begin, seed) = (row.least(), Instant::now(), self.random.u64(..));
        let load = || row.load(Rng::with_seed(seed));
        let (answer, counts) = self.cache.get_or_load(&row.key, &self.policy(row), begin + LIMIT, load).await;
        self.check(row, least, begin, &answer, "read");
        counts
    }

    async fn read_many(&mut self, origin: &Origin) -> Counts {
        let kind = self.random.usize(..4);
        let rows: Vec<&Row> = (0..8).map(|_| &origin.rows[self.any() / 4 * 4 + kind]).collect();
        let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        let least: Vec<u64> = rows.iter().map(|row| row.least()).collect();
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
        for ((row, least), answer) in rows.into_iter().zip(least).zip(&batch.answers) {
            self.check(row, least, begin, answer, "batch");
        }
        batch.counts
    }

    async fn read_at_least(&mut self, row: &Row) -> Counts {
        let (least, begin, seed) = (row.least(), Instant::now(), self.random.u64(..));
        let load = || row.load(Rng::with_seed(seed));
        let read = self.cache.get_at_least(&row.key, least, &row.policy, begin + LIMIT, load);
        let (answer, counts) = read.await;
        if let Ok(Answer { version: Some(version), .. }) = answer
            && version < least
        {
            self.wrong.push(format!("{}: asked for {least} at least and got {version}", self.name));
        }
        self.check(row, least, begin, &answer, "read at least");
        counts
    }

    async fn write_through(&mut self, row: &Row) -> Counts {
        let (intent, version) = if self.care == Care::IntendsLate {
            let version = row.write(&mut self.random).await;
            (self.intend(row).await, version)
        } else {
            (self.intend(row).await, row.write(&mut self.random).await)
        };
        let written = self.cache.written(intent, &row.value(version), &row.policy, soon()).await;
        if written.is_err() {
            self.forget_until_done(row).await;
        }
        row.tell(version);
        Counts::default()
    }

    async fn write_and_forget(&mut self, row: &Row) -> Counts {
        if self.care == Care::ForgetsFirst {
            self.forget_until_done(row).await;
        }
        let version = row.write(&mut self.random).await;
        if self.care != Care::ForgetsFirst {
            self.forget_until_done(row).await;
        }
        row.tell(version);
        Counts::default()
    }

    async fn give_up(&mut self, row: &Row) -> Counts {
        let intent = self.intend(row).await;
        self.cache.abandon(intent).await;
        Counts::default()
    }

    /// It never tells the cache, which may hold the old value for as long as it lives; so nobody says that it was told.
    async fn die_before_it_is_written(&mut self, row: &Row) -> Counts {
        let intent = self.intend(row).await;
        let _ = row.write(&mut self.random).await;
        drop(intent);
        Counts::default()
    }

    async fn forget(&mut self, row: &Row) -> Counts {
        let version = row.version();
        if self.cache.forget(&row.key, &row.policy, soon()).await.is_ok() {
            row.tell(version);
        }
        Counts::default()
    }

    async fn forget_tag(&mut self) -> Counts {
        let origin = Arc::clone(&self.origin);
        let tagged = origin.rows.iter().filter(|row| !row.policy.tags.is_empty());
        let versions: Vec<(&Row, u64)> = tagged.map(|row| (row, row.version())).collect();
        if self.cache.forget_tag(&tag(), soon()).await.is_ok() {
            versions.into_iter().for_each(|(row, version)| row.tell(version));
        }
        Counts::default()
    }

    /// A read that its caller gives up in the middle.
    async fn be_dropped(&mut self, row: &Row) -> Counts {
        let (seed, most) = (self.random.u64(..), Duration::from_micros(self.random.u64(..2000)));
        let load = || row.load(Rng::with_seed(seed));
        let read = self.cache.get_or_load(&row.key, &row.policy, soon(), load);
        let _ = tokio::time::timeout(most, read).await;
        Counts::default()
    }

    fn policy<'r>(&self, row: &'r Row) -> Cow<'r, Policy> {
        match self.care {
            Care::ReadsWithoutTags => Cow::Owned(Policy { tags: Vec::new(), ..row.policy.clone() }),
            _ => Cow::Borrowed(&row.policy),
        }
    }

    async fn intend(&self, row: &Row) -> Intent {
        self.cache.intend(&row.key, &row.policy, soon()).await
    }

    /// As the queue of invalidations does: until it has succeeded it has not ended.
    async fn forget_until_done(&self, row: &Row) {
        while self.cache.forget(&row.key, &row.policy, soon()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn check(&mut self, row: &Row, least: u64, begin: Instant, answer: &Read, what: &str) {
        let name = self.name;
        match answer {
            Ok(answer) => {
                let version = answer.version.unwrap_or_default();
                let may_be_old = answer.outcome == Outcome::Stale && row.policy.stale_after_invalidate;
                if version < least && !may_be_old {
                    self.wrong
                        .push(format!("{name}: {what} {least} or later, and got {version}: {answer:?}"));
                }
                let is_true = version <= row.version() && answer.value == Some(row.value(version).value);
                if !is_true {
                    self.wrong.push(format!("{name}: {what} what never was: {answer:?}"));
                }
            }
            Err(LoadError::Origin(_) | LoadError::Failing | LoadError::Deadline | LoadError::Slow(_)) => {}
            Err(error) => self.wrong.push(format!("{name}: {what}: {error:?}")),
        }
        let took = begin.elapsed();
        if took > LIMIT + MOST_FREEZE + SLACK {
            self.wrong.push(format!("{name}: {what} took {took:?}"));
        }
    }
}

fn soon() -> Instant {
    Instant::now() + LIMIT
}

const LIMIT: Duration = Duration::from_secs(3);
/// What freezes may add, a few of them in one read.
const MOST_FREEZE: Duration = Duration::from_secs(3);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(3);
const MOST_FAULTS: usize = 9;
