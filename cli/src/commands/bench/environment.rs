//! `larder bench environment`: one environment of a run, as Lambda would have many of them.
//!
//! It reads and writes flights through the cache at a steady rate, on one thread, knows nothing of the others but
//! what the cache tells, and notes what it sees. The process ends when the conductor closes the link.

use super::clock::Stamp;
use super::history::{Answer, Read};
use super::journal::Journal;
use super::link::Outbox;
use super::messages::{Order, Report, Setup};
use super::pace::Pace;
use super::popularity::Popularity;
use super::processes::ProcessArgs;
use super::remote_origin::{Gone, RemoteOrigin};
use crate::commands::cluster::block_on;
use crate::exit::Outcome;
use anyhow::bail;
use bytes::Bytes;
use clap::Args;
use fastrand::Rng;
use larder_cache::{self as cache, Cache, LoadError, OriginGuard, Policy, Sampler, Sampling, Sketch};
use larder_client::{Cluster, Config, Key, Ttl};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

#[derive(Args, Debug)]
pub(crate) struct EnvironmentArgs {
    #[command(flatten)]
    process: ProcessArgs,
}

impl EnvironmentArgs {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        block_on(self.serve())
    }

    /// Obeys the conductor until the link ends.
    async fn serve(self) -> anyhow::Result<Outcome> {
        let (outbox, mut inbox) = self.process.connect().await?;
        let Some(Order::SetUp(setup)) = inbox.next().await? else {
            bail!("the conductor does not begin with the setup");
        };
        let environment = Arc::new(Environment::new(setup, outbox)?);
        while let Some(order) = inbox.next().await? {
            match order {
                Order::Fill => drop(tokio::spawn(Arc::clone(&environment).fill())),
                Order::Load { first } => drop(tokio::spawn(Arc::clone(&environment).load(first))),
                Order::Rest => environment.rest.notify_one(),
                answer => environment.origin.answered(answer),
            }
        }
        Ok(Outcome::Done)
    }
}

struct Environment {
    setup: Setup,
    keys: Vec<Key>,
    cluster: Cluster,
    cache: Cache,
    policy: Policy,
    popularity: Popularity,
    origin: RemoteOrigin,
    journal: Journal,
    outbox: Outbox<Report>,
    random: Mutex<Rng>,
    rest: Notify,
}

impl Environment {
    fn new(setup: Setup, outbox: Outbox<Report>) -> anyhow::Result<Self> {
        let endpoint = setup.config_endpoint.to_string().parse()?;
        let default = Config::new(endpoint);
        let interval = setup.discovery_interval_ms.map(Duration::from_millis);
        let cluster = Cluster::new(Config {
            hosts_file: Some(setup.hosts_file.clone()),
            discovery_interval: interval.unwrap_or(default.discovery_interval),
            ring_check_interval: Duration::from_millis(setup.ring_check_interval_ms),
            ..default
        })?;
        let ids = setup.ids.iter();
        Ok(Self {
            keys: ids.map(|id| Key::compose(["flights", &id.to_string()])).collect::<Result<_, _>>()?,
            cache: Cache::new(cluster.clone(), OriginGuard::new(MOST_LOADS))
                .sampled_by(Sampler::new(SAMPLING, Rng::with_seed(setup.seed ^ setup.number as u64))),
            policy: Policy::fresh_for(Ttl::from_secs(setup.ttl_secs)?),
            popularity: Popularity::new(u32::try_from(setup.ids.len())?, setup.seed),
            origin: RemoteOrigin::new(outbox.clone()),
            journal: Journal::new(outbox.clone()),
            random: Mutex::new(Rng::with_seed(setup.seed ^ (setup.number as u64 + 1) << 32)),
            rest: Notify::new(),
            cluster,
            outbox,
            setup,
        })
    }

    /// Brings the own share of the keys into the state of a long run: of every key the last operation was a write
    /// with the probability that any operation is one, and then it is not in the cache; else it is.
    async fn fill(self: Arc<Self>) {
        let all = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let own = (self.setup.number as u32..all).step_by(self.setup.environments);
        let (written, read): (Vec<u32>, Vec<u32>) = own.partition(|_| self.random().f64() < WRITE_SHARE);
        for key in written {
            // One that stays in the cache does no harm.
            let _ = self.cluster.delete(&self.keys[key as usize]).await;
        }
        for batch in read.chunks(FILLED_AT_ONCE) {
            self.read_many(batch).await;
        }
        self.journal.flush().await;
        self.outbox.send(Report::Done).await;
    }

    /// Reads and writes at a steady pace from `first` on, whether answers come or not, until it is told to rest.
    async fn load(self: Arc<Self>, first: Stamp) {
        let mut pace = Pace::new(self.setup.rate, first);
        let mut under_way = JoinSet::new();
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = self.rest.notified() => break,
                _ = clock.tick() => {}
            }
            while under_way.try_join_next().is_some() {}
            for _ in 0..pace.due(Stamp::now()) {
                self.begin_one(&mut under_way).await;
            }
        }
        let all_end = async { while under_way.join_next().await.is_some() {} };
        if timeout(MOST_REST, all_end).await.is_err() {
            under_way.shutdown().await;
        }
        self.journal.close().await;
        self.outbox.send(Report::Done).await;
    }

    async fn begin_one(self: &Arc<Self>, under_way: &mut JoinSet<()>) {
        let (key, is_write) = {
            let random = &mut *self.random();
            (self.popularity.choose(random), random.f64() < WRITE_SHARE)
        };
        if under_way.len() >= MOST_UNDER_WAY {
            // Whoever asks for it waits in vain.
            let now = Stamp::now();
            self.journal.has_read([Read { key, begin: now, end: now, answer: Answer::None }]).await;
        } else if is_write {
            under_way.spawn(Arc::clone(self).write(key));
        } else {
            under_way.spawn(Arc::clone(self).read(key));
        }
    }

    async fn read(self: Arc<Self>, key: u32) {
        let begin = Stamp::now();
        let name = &self.keys[key as usize];
        let load = || async {
            let flights = self.origin.load(vec![key]).await?;
            Ok::<_, Gone>(flights.into_iter().next())
        };
        let (answer, _) = self.cache.get_or_load(name, &self.policy, deadline(), load).await;
        let end = Stamp::now();
        self.journal.has_read([Read { key, begin, end, answer: self.judge(key, answer) }]).await;
        self.journal.look_at_ring(&self.cluster).await;
    }

    async fn read_many(&self, keys: &[u32]) {
        let begin = Stamp::now();
        let names: Vec<Key> = keys.iter().map(|key| self.keys[*key as usize].clone()).collect();
        let load = |missing: Vec<usize>| async {
            let flights = self.origin.load(missing.into_iter().map(|index| keys[index]).collect()).await?;
            Ok::<_, Gone>(flights.into_iter().map(Some).collect())
        };
        let batch = self.cache.get_or_load_many(&names, &self.policy, deadline(), load).await;
        let end = Stamp::now();
        let answers = keys.iter().zip(batch.answers);
        let reads =
            answers.map(|(key, answer)| Read { key: *key, begin, end, answer: self.judge(*key, answer) });
        self.journal.has_read(reads).await;
        self.journal.look_at_ring(&self.cluster).await;
    }

    /// Commits a new version of the flight, then invalidates the key until that succeeds or the load ends.
    async fn write(self: Arc<Self>, key: u32) {
        let begin = Stamp::now();
        let Ok(version) = self.origin.commit(key).await else { return };
        let ticket = self.journal.begins_to_write(key, version, begin);
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.cluster.delete(&self.keys[key as usize]).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "not invalidated yet");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.journal.has_written(ticket, Stamp::now()).await;
        self.journal.look_at_ring(&self.cluster).await;
    }

    /// What an answer for `key` is worth.
    fn judge<E>(&self, key: u32, answer: Result<cache::Answer, LoadError<E>>) -> Answer {
        let Ok(cache::Answer { value, outcome, .. }) = answer else { return Answer::None };
        let id = self.setup.ids[key as usize];
        match (value.and_then(|value| version_in(&value, id)), outcome) {
            (None, _) => Answer::Wrong,
            (Some(version), cache::Outcome::Hit) => Answer::Hit(version),
            (Some(version), cache::Outcome::Stale) => Answer::Stale(version),
            (Some(version), cache::Outcome::Miss) => Answer::Miss(version),
            (Some(version), cache::Outcome::Bypass) => Answer::Bypass(version),
        }
    }

    fn random(&self) -> MutexGuard<'_, Rng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deadline() -> Instant {
    Instant::now() + MOST_WAIT
}

/// The value of a flight: its version, a line feed, its row.
pub(crate) fn value_of(version: u32, row: &str) -> Bytes {
    format!("{version}\n{row}").into()
}

/// The version in `value`; `None` if it is not the value of the flight `id`.
fn version_in(value: &[u8], id: u32) -> Option<u32> {
    let (version, row) = std::str::from_utf8(value).ok()?.split_once('\n')?;
    let is_of_flight = row.split_once(',').is_some_and(|(found, _)| found.parse() == Ok(id));
    is_of_flight.then(|| version.parse().ok()).flatten()
}

/// A run is short: what is read most is told sooner than a function would.
const SAMPLING: Sampling = Sampling {
    one_in: 1,
    report_interval: Duration::from_secs(1),
    half_life: Duration::from_secs(300),
    capacity: Sketch::DEFAULT_CAPACITY,
};
/// How many of all operations are writes.
const WRITE_SHARE: f64 = 0.05;
/// How many keys are filled by one call.
const FILLED_AT_ONCE: usize = 100;
/// How often the load looks for what is due.
const TICK: Duration = Duration::from_millis(1);
/// What a read may take.
const MOST_WAIT: Duration = Duration::from_secs(1);
/// Loads of one environment at once, so many that none has to wait for its turn.
const MOST_LOADS: usize = 256;
/// Operations of one environment at once; reads over it get no answer.
const MOST_UNDER_WAY: usize = 1024;
/// How long the operations under way may take when the load ends; writes that have not ended by then never do.
const MOST_REST: Duration = Duration::from_secs(10);
/// The first pause before another try to invalidate; the next are twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_version_to_whom_it_belongs() {
        let value = value_of(7, "17,2013,1,1");
        assert_eq!(version_in(&value, 17), Some(7));
        assert_eq!(version_in(&value, 1), None);
        for foreign in [&b""[..], b"7", b"7\n", b"7\n17", b"x\n17,2013", b"\xff\n17,2013", b"-1\n17,"] {
            assert_eq!(version_in(foreign, 17), None, "{}", foreign.escape_ascii());
        }
    }
}
