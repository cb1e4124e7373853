//! One environment: it does one thing after the other, and holds every answer against the origin.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use larder_cache::{Answer, Cache, Counts, LoadError, OriginGuard, Outcome, Policy, Sampler, Sampling};
use larder_client::{Cluster, Config};
use tokio::time::Instant;

use crate::care::Care;
use crate::deed::Deed;
use crate::kind::{LOCAL_FOR, NO_ROW_FOR};
use crate::ledger::{Allowed, Said};
use crate::origin::Origin;
use crate::row::{OutOfOrder, Row};

pub(crate) struct Environment {
    name: usize,
    pub(crate) care: Care,
    config: Config,
    pub(crate) cache: Cache,
    pub(crate) origin: Arc<Origin>,
    pub(crate) random: Rng,
    /// Of each row the latest version that it has told the cache itself.
    own: Vec<u64>,
    wrong: Vec<String>,
}

pub(crate) type Read = Result<Answer, LoadError<OutOfOrder>>;

impl Environment {
    pub(crate) fn new(name: usize, care: Care, config: Config, origin: Arc<Origin>, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let cache = cold(&config, &mut random);
        let own = vec![0; origin.rows.len()];
        Self { name, care, config, cache, origin, random, own, wrong: Vec::new() }
    }

    /// Does one thing after the other until the run is over; answers what was wrong.
    pub(crate) async fn work(mut self) -> Vec<String> {
        let origin = Arc::clone(&self.origin);
        while !origin.is_over() {
            let known = self.wrong.len();
            let counts = self.act(&origin).await;
            origin.tally.done(counts);
            if self.wrong.len() > known {
                self.note_ring().await;
            }
            if self.wrong.len() >= MOST_FAULTS {
                origin.end();
            }
        }
        self.wrong
    }

    async fn act(&mut self, origin: &Origin) -> Counts {
        let row = &origin.rows[self.any()];
        match Deed::draw(&mut self.random) {
            Deed::Read => return self.read(row).await,
            Deed::ReadMany => return self.read_many(origin).await,
            Deed::ReadAtLeast => return self.read_at_least(row).await,
            Deed::ReadQuiet => return self.read_quiet(origin).await,
            Deed::ReadList => return self.read_list(origin).await,
            Deed::ReadDropped => self.read_dropped(row).await,
            Deed::WriteThrough => self.write_through(row).await,
            Deed::WriteAndForget => self.write_and_forget(row).await,
            Deed::Delete => self.delete(row).await,
            Deed::GiveUp => self.give_up(row).await,
            Deed::DieInBetween => self.die_in_between(row).await,
            Deed::Forget => self.forget(row).await,
            Deed::ForgetTag => self.forget_tag(origin).await,
            Deed::RefreshLists => self.refresh_lists(origin).await,
            Deed::ChangeList => self.list(origin).change(),
            Deed::BeginAnew => self.begin_anew(),
        }
        Counts::default()
    }

    /// The number of a row; of some more often than of others.
    pub(crate) fn any(&mut self) -> usize {
        let is_hot = self.random.u32(..3) > 0;
        let most = if is_hot { self.origin.hot().len() } else { self.origin.rows.len() };
        self.random.usize(..most)
    }

    fn begin_anew(&mut self) {
        self.cache = cold(&self.config, &mut self.random);
        self.own.fill(0);
    }

    /// How this environment reads and writes `row`.
    pub(crate) fn policy<'r>(&self, row: &'r Row) -> Cow<'r, Policy> {
        let policy = &row.policy;
        match self.care {
            Care::ReadsWithoutTags => Cow::Owned(Policy { tags: Vec::new(), ..policy.clone() }),
            Care::KeepsLocalTooLong => {
                Cow::Owned(Policy { near_for: policy.near_for.map(|_| 3 * LOCAL_FOR), ..policy.clone() })
            }
            Care::SharesKeys => Cow::Owned(Policy { schema: 1, ..policy.clone() }),
            _ => Cow::Borrowed(policy),
        }
    }

    /// The cache knows of `version` of `row`, by this environment.
    pub(crate) fn tell(&mut self, row: &Row, version: u64) {
        row.tell(version);
        self.own[row.number] = self.own[row.number].max(version);
    }

    /// Holds the `answer` to a read of `row` that began at `begin` against the origin.
    pub(crate) fn check(&mut self, row: &Row, begin: Instant, answer: &Read, what: &str) {
        self.check_time(begin, what);
        match answer {
            Ok(answer) => {
                let said =
                    answer.version.filter(|_| answer.value.is_some()).map_or(Said::NoRow, Said::Version);
                let allowed = self.allowed(row, begin, answer);
                if let Some(wrong) = row.ledger().wrong(said, allowed) {
                    let begin = self.origin.tally.millis(begin);
                    self.fault(format!("{what} since {begin} ms: {wrong:?}: {answer:?}"));
                }
                let is_true = match said {
                    Said::Version(version) => answer.value == Some(row.value(version).value),
                    Said::NoRow => answer.value.is_none(),
                };
                if !is_true {
                    self.fault(format!("{what} what never was: {answer:?}"));
                }
            }
            Err(LoadError::Origin(_) | LoadError::Failing | LoadError::Deadline | LoadError::Slow(_)) => {}
            Err(error) => self.fault(format!("{what}: {error:?}")),
        }
    }

    pub(crate) fn check_time(&mut self, begin: Instant, what: &str) {
        let took = begin.elapsed();
        if took > LIMIT + MOST_FREEZE + SLACK {
            self.fault(format!("{what} took {took:?}"));
        }
    }

    pub(crate) fn fault(&mut self, what: String) {
        let tally = &self.origin.tally;
        let (step, at) = (tally.steps(), tally.millis(Instant::now()));
        self.wrong.push(format!("step {step}, {at} ms, environment {}: {what}", self.name));
    }

    /// Says beside the last fault by which ring it was answered.
    async fn note_ring(&mut self) {
        let document = self.cache.cluster().ring_document().await.ok().flatten();
        let ring = document.map_or("no document".to_owned(), |document| {
            String::from_utf8_lossy(&document.encode()).into_owned()
        });
        let seen = self.cache.cluster().topology().await.map(|topology| format!("{topology:?}"));
        if let Some(last) = self.wrong.last_mut() {
            last.push_str(&format!("; by {ring}; seen {seen:?}"));
        }
    }

    /// How old the `answer` to a read of `row` may be that began at `begin`.
    fn allowed(&self, row: &Row, begin: Instant, answer: &Answer) -> Allowed {
        let is_local = answer.outcome == Outcome::Hit && answer.node.is_none();
        let begin = if is_local { begin.checked_sub(LOCAL_FOR).unwrap_or(begin) } else { begin };
        let lapse = self.origin.lapses.met(begin, Instant::now(), row.has_replicas());
        let from = lapse.map_or(begin, |since| since.min(begin));
        let floor = match answer.outcome {
            Outcome::Stale if row.policy.stale_after_invalidate => 1,
            // In a lapse it may read what another environment knows, and keep that.
            _ if is_local && lapse.is_none() => row.ledger().floor(from).max(self.own[row.number]),
            _ => row.ledger().floor(from),
        };
        let no_row_until = from.checked_sub(Duration::from(NO_ROW_FOR) + NO_ROW_SLACK);
        Allowed { floor, no_row_until }
    }
}

/// A cache of an environment that has just begun.
fn cold(config: &Config, random: &mut Rng) -> Cache {
    let sampling = Sampling { one_in: 2, ..Sampling::default() };
    let sampler = Sampler::new(sampling, random.fork());
    Cache::new(Cluster::new(config.clone()).unwrap(), OriginGuard::new(100)).sampled_by(sampler)
}

/// When a call has to end that begins now.
pub(crate) fn soon() -> Instant {
    Instant::now() + LIMIT
}

pub(crate) const LIMIT: Duration = Duration::from_secs(3);
/// What freezes may add, a few of them in one read.
const MOST_FREEZE: Duration = Duration::from_secs(3);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(3);
/// What "no such record" may be older than its time: it is loaded and stored in a while, by whole seconds, and
/// answered while one reader refreshes it.
const NO_ROW_SLACK: Duration = Duration::from_secs(8);
const MOST_FAULTS: usize = 9;
