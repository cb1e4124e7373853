//! One strategy under load: reads arrive, loads are delayed, winners die.

use super::super::clock::Stamp;
use super::super::history::Span;
use super::arrivals::Arrivals;
use super::figures::{Figures, Tally};
use super::fleet::{Event, Fleet, Happened, Then};
use super::loads::{Fate, Loads};
use super::messages::Setup;
use anyhow::bail;
use fastrand::Rng;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::timeout;

/// What a run is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) environments: usize,
    /// Reads a second, of all environments together.
    pub(crate) rate: u32,
    /// What a load takes.
    pub(crate) origin: Duration,
    /// The share of loads whose environments die.
    pub(crate) die_percent: u8,
    /// How long reads are measured.
    pub(crate) measured: Duration,
    pub(crate) seed: u64,
}

/// Conducts a run.
///
/// A read that arrives goes to any environment that is free; where none is, it waits for one, first come first served,
/// as if there could be no more environments.
pub(crate) struct Conductor {
    plan: Plan,
    ttl_secs: u64,
    fleet: Fleet,
    arrivals: Arrivals,
    /// When the first read was due, and when the last one that has arrived.
    begin: Stamp,
    arrived: Stamp,
    /// Reads for which nobody is free, by when they were due.
    queue: VecDeque<Stamp>,
    /// `None` until the key has been filled.
    window: Option<Span>,
    /// Whether there has been a value.
    is_filled: bool,
    loads: Loads,
    tally: Tally,
    random: Rng,
}

impl Conductor {
    /// Starts the environments that `plan` asks for, and reads to them.
    pub(crate) async fn start(plan: Plan, setup: Setup) -> anyhow::Result<Self> {
        let ttl_secs = setup.ttl_secs;
        let fleet = Fleet::start(plan.environments, setup).await?;
        let mut random = Rng::with_seed(plan.seed);
        let begin = Stamp::now();
        Ok(Self {
            plan,
            ttl_secs,
            fleet,
            arrivals: Arrivals::start(plan.rate, begin),
            begin,
            arrived: begin,
            queue: VecDeque::new(),
            window: None,
            is_filled: false,
            loads: Loads::new(plan.die_percent, random.fork()),
            tally: Tally::default(),
            random,
        })
    }

    /// Waits until the key has been filled for the first time and nobody waits for it or loads it any more; answers how
    /// long the first value took. What is measured begins when this returns.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<Duration> {
        let is_filled = async {
            while !(self.is_filled && self.queue.is_empty() && self.loads.none_is_under_way()) {
                self.step().await?;
            }
            anyhow::Ok(())
        };
        match timeout(MOST_COLD, is_filled).await {
            Ok(filled) => filled?,
            Err(_) => {
                bail!("the key could not be filled, or the reads are more than the environments can serve")
            }
        }
        let from = Stamp::now();
        let window = Span { from, until: from + self.plan.measured };
        self.window = Some(window);
        self.loads.measure(window);
        Ok(self.tally.cold)
    }

    /// Measures, serves what has arrived by then, and ends the environments.
    pub(crate) async fn measure(mut self) -> anyhow::Result<Figures> {
        // Not until the time has come, for where the conductor is late there are reads that it has not seen yet.
        while self.window.is_some_and(|window| self.arrived < window.until) {
            self.step().await?;
        }
        let window = self.window;
        self.queue.retain(|due| window.is_some_and(|window| window.holds(*due)));
        match timeout(MOST_REST, self.serve_rest()).await {
            Ok(served) => served?,
            Err(_) => self.tally.errors += self.queue.len() + self.fleet.served(),
        }
        self.fleet.end().await?;
        Ok(self.tally.figures(&self.loads, self.ttl_secs))
    }

    /// Serves what waits, while nothing more arrives.
    async fn serve_rest(&mut self) -> anyhow::Result<()> {
        self.serve().await;
        while !self.queue.is_empty() || self.fleet.served() > 0 {
            let event = self.fleet.next().await;
            self.note(event).await?;
            self.serve().await;
        }
        Ok(())
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            arrival = self.arrivals.next() => {
                if let Some(due) = arrival {
                    self.arrived = due;
                    self.queue.push_back(due);
                }
            }
            event = self.fleet.next() => self.note(event).await?,
        }
        self.serve().await;
        Ok(())
    }

    async fn serve(&mut self) {
        while let Some(due) = self.queue.front() {
            if !self.fleet.serve(*due, &mut self.random).await {
                return;
            }
            self.queue.pop_front();
        }
    }

    async fn note(&mut self, event: Event) -> anyhow::Result<()> {
        let happened = self.fleet.take(event).await?;
        let now = Stamp::now();
        match happened {
            Happened::Begins { number, load } => match self.loads.begin(number, now) {
                Fate::Lives => self.fleet.later(number, self.plan.origin, Then::LetGo { load }),
                Fate::Dies => self.fleet.later(number, self.plan.origin / 2, Then::Kill),
            },
            Happened::Loaded { number } => self.loads.end(number, now),
            Happened::Answered { number, due, answered } => {
                self.loads.end(number, now);
                if self.is_measured(due) {
                    self.tally.add(due, answered, self.loads.measured);
                } else if !self.is_filled && answered.answer.cache.is_some() {
                    self.is_filled = true;
                    self.tally.cold = answered.end.since(self.begin);
                }
            }
            Happened::Died { number } => {
                self.loads.end(number, now);
                self.tally.deaths += 1;
            }
            Happened::Nothing => {}
        }
        Ok(())
    }

    fn is_measured(&self, due: Stamp) -> bool {
        self.window.is_some_and(|window| window.holds(due))
    }
}

/// How long it may take until the key is filled and whoever waited for that is answered.
const MOST_COLD: Duration = Duration::from_secs(60);
/// How long what has arrived in the window may still take; what has no answer by then never gets one.
const MOST_REST: Duration = Duration::from_secs(30);
