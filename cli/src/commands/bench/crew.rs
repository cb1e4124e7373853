//! The environments of a run: real processes, which can be frozen, and what they report.

use super::clock::Stamp;
use super::history::{Diary, Span};
use super::link::{Inbox, Outbox};
use super::messages::{Order, Report, Setup};
use super::origin::Origin;
use super::processes::Processes;
use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// All environments of a run.
pub(crate) struct Crew {
    members: Vec<Member>,
    attendants: JoinSet<()>,
    processes: Processes,
}

struct Member {
    child: Child,
    outbox: Outbox<Order>,
    /// Tells that an order has been carried out; ends with the environment.
    done: mpsc::Receiver<()>,
    diary: Arc<Mutex<Diary>>,
    frozen_since: Mutex<Option<Stamp>>,
}

impl Crew {
    /// Starts an environment for each of `setups`, in front of `origin`.
    pub(crate) async fn start(setups: Vec<Setup>, origin: &Arc<Origin>) -> anyhow::Result<Self> {
        let processes = Processes::open("environment")?;
        let started = (0..setups.len()).map(|number| processes.start(number).map(Some));
        let mut children: Vec<_> = started.collect::<anyhow::Result<_>>()?;
        let mut attendants = JoinSet::new();
        let mut members: Vec<Option<Member>> = children.iter().map(|_| None).collect();
        for _ in 0..setups.len() {
            let (number, outbox, inbox) = processes.greet().await?;
            let child = children.get_mut(number).and_then(Option::take).context("a stranger said hello")?;
            outbox.send(Order::SetUp(setups[number].clone())).await;
            let (done, is_done) = mpsc::channel(1);
            let diary = Arc::default();
            attendants.spawn(attend(inbox, outbox.clone(), Arc::clone(origin), Arc::clone(&diary), done));
            let frozen_since = Mutex::default();
            members[number] = Some(Member { child, outbox, done: is_done, diary, frozen_since });
        }
        Ok(Self { members: members.into_iter().flatten().collect(), attendants, processes })
    }

    /// Gives `order` for each environment, by its number, and does not wait for what comes of it.
    pub(crate) async fn tell(&self, order: impl Fn(usize) -> Order) {
        for (number, member) in self.members.iter().enumerate() {
            member.outbox.send(order(number)).await;
        }
    }

    /// Gives `order` to all, and waits until all have carried it out. Nobody may be frozen.
    pub(crate) async fn obey(&mut self, order: impl Fn(usize) -> Order) -> anyhow::Result<()> {
        self.tell(order).await;
        for (number, member) in self.members.iter_mut().enumerate() {
            match timeout(MOST_ORDER, member.done.recv()).await {
                Ok(Some(())) => {}
                Ok(None) => bail!("environment {number} has ended"),
                Err(_) => bail!("environment {number} does not answer"),
            }
        }
        Ok(())
    }

    /// Freezes an environment; it stands when this returns.
    pub(crate) fn freeze(&self, number: usize) -> anyhow::Result<()> {
        let member = &self.members[number];
        let pid = member.pid()?;
        lock(&member.frozen_since).get_or_insert_with(Stamp::now);
        kill_process(pid, Signal::STOP).context("an environment could not be frozen")?;
        // Or has ended meanwhile, which shows when it is told to rest.
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        Ok(())
    }

    /// Lets a frozen environment go on.
    pub(crate) fn thaw(&self, number: usize) -> anyhow::Result<()> {
        let member = &self.members[number];
        kill_process(member.pid()?, Signal::CONT).context("an environment could not be thawed")?;
        if let Some(from) = lock(&member.frozen_since).take() {
            lock(&member.diary).freezes.push(Span { from, until: Stamp::now() });
        }
        Ok(())
    }

    /// Lets all go on.
    pub(crate) fn thaw_all(&self) -> anyhow::Result<()> {
        (0..self.members.len()).try_for_each(|number| self.thaw(number))
    }

    /// Ends all environments, in good order where they can, and answers what each has done.
    pub(crate) async fn end(mut self) -> anyhow::Result<Vec<Diary>> {
        self.attendants.shutdown().await;
        let mut diaries = Vec::new();
        for (number, member) in self.members.into_iter().enumerate() {
            let Member { mut child, outbox, diary, .. } = member;
            drop(outbox);
            let ended = timeout(MOST_END, child.wait()).await;
            let status = ended.map_err(|_| anyhow!("environment {number} does not end"))??;
            if !status.success() {
                bail!("environment {number} ended with {status}");
            }
            diaries.push(mem::take(&mut *lock(&diary)));
        }
        self.processes.stop().await;
        Ok(diaries)
    }
}

impl Member {
    /// The id as long as the process is not awaited, so that a signal cannot reach a stranger.
    fn pid(&self) -> anyhow::Result<Pid> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        pid.context("an environment has ended")
    }
}

/// Serves one environment: answers its calls to the origin, and keeps what it reports.
async fn attend(
    mut inbox: Inbox,
    outbox: Outbox<Order>,
    origin: Arc<Origin>,
    diary: Arc<Mutex<Diary>>,
    done: mpsc::Sender<()>,
) {
    // After an error nothing more can be understood: the environment counts as ended.
    while let Ok(Some(report)) = inbox.next().await {
        let answer = match report {
            Report::Load { call, keys } => origin.load(&keys).map(|flights| Order::Loaded { call, flights }),
            Report::Commit { call, key } => {
                origin.commit(key).map(|version| Order::Committed { call, version })
            }
            Report::Reads(reads) => {
                lock(&diary).reads.extend(reads);
                continue;
            }
            Report::Writes(writes) => {
                lock(&diary).writes.extend(writes);
                continue;
            }
            Report::Sighting(sighting) => {
                lock(&diary).sightings.push(sighting);
                continue;
            }
            Report::Done => {
                let _ = done.send(()).await;
                continue;
            }
        };
        let Some(answer) = answer else { return };
        let (outbox, latency) = (outbox.clone(), origin.latency());
        tokio::spawn(async move {
            sleep(latency).await;
            outbox.send(answer).await;
        });
    }
}

/// Never held while waiting.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long an order may take.
const MOST_ORDER: Duration = Duration::from_secs(60);
/// How long a process may take to end.
const MOST_END: Duration = Duration::from_secs(10);
