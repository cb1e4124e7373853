//! The environments of a stampede: who is free, who serves a read, who is dead and replaced.

use super::super::clock::Stamp;
use super::super::link::{Inbox, Outbox};
use super::super::processes::Processes;
use super::messages::{Answered, Order, Report, Setup};
use anyhow::{Context, anyhow, bail};
use fastrand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// All environments of a run, each of which serves one read at a time. One that is killed is replaced by a new one,
/// which knows nothing.
pub(crate) struct Fleet {
    processes: Arc<Processes>,
    setup: Setup,
    members: Vec<Member>,
    /// The numbers of those who serve nothing.
    free: Vec<usize>,
    /// Wait for those who start, and listen to the others.
    attendants: JoinSet<()>,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

struct Member {
    child: Child,
    /// How many environments there were before in this place; what is late and meant for them is dropped.
    life: u64,
    /// `None` until it has said hello.
    outbox: Option<Outbox<Order>>,
    /// When the read was due that it serves.
    serves: Option<Stamp>,
    is_killed: bool,
}

/// What somebody tells the conductor.
pub(crate) struct Event(Told);

enum Told {
    Joined(anyhow::Result<(usize, Outbox<Order>, Inbox)>),
    Reported {
        number: usize,
        life: u64,
        report: Report,
    },
    /// The link has ended.
    Ended {
        number: usize,
        life: u64,
    },
    /// The time has come.
    Later {
        number: usize,
        life: u64,
        then: Then,
    },
}

/// What is to be done with an environment that loads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// The origin is asked.
    LetGo {
        load: u64,
    },
    Kill,
}

/// What has happened.
pub(crate) enum Happened {
    /// A load begins.
    Begins { number: usize, load: u64 },
    /// A load has ended.
    Loaded { number: usize },
    /// A read has been answered. The load that it made, if any, is over.
    Answered { number: usize, due: Stamp, answered: Answered },
    /// An environment is dead, and with it the read that it served.
    Died { number: usize },
    /// Nothing that matters.
    Nothing,
}

impl Fleet {
    /// Starts `count` environments, and waits until they are there.
    pub(crate) async fn start(count: usize, setup: Setup) -> anyhow::Result<Self> {
        let processes = Processes::open("reader")?;
        let started = (0..count).map(|number| Ok(Member::new(processes.start(number)?, 0)));
        let members = started.collect::<anyhow::Result<Vec<_>>>()?;
        let (sender, events) = mpsc::channel(MOST_WAITING);
        let (processes, attendants) = (Arc::new(processes), JoinSet::new());
        let mut fleet = Self { processes, setup, members, free: Vec::new(), attendants, sender, events };
        (0..count).for_each(|_| fleet.greet_one());
        while fleet.free.len() < count {
            let event = fleet.next().await;
            fleet.take(event).await?;
        }
        Ok(fleet)
    }

    /// Waits for what comes next. Nothing is lost where the future is dropped.
    pub(crate) async fn next(&mut self) -> Event {
        let event = self.events.recv().await;
        event.expect("the fleet holds a sender")
    }

    /// Notes what an event says, and tells it.
    pub(crate) async fn take(&mut self, Event(told): Event) -> anyhow::Result<Happened> {
        match told {
            Told::Joined(joined) => self.join(joined?).await,
            Told::Reported { number, life, report } if self.is_alive(number, life) => {
                Ok(self.note(number, report))
            }
            Told::Later { number, life, then } if self.is_alive(number, life) => self.act(number, then).await,
            Told::Ended { number, life } if self.members[number].life == life => self.replace(number),
            Told::Reported { .. } | Told::Later { .. } | Told::Ended { .. } => Ok(Happened::Nothing),
        }
    }

    /// Gives a read to a free environment, any of them; `false` if there is none.
    pub(crate) async fn serve(&mut self, due: Stamp, random: &mut Rng) -> bool {
        if self.free.is_empty() {
            return false;
        }
        let number = self.free.swap_remove(random.usize(..self.free.len()));
        let member = &mut self.members[number];
        member.serves = Some(due);
        if let Some(outbox) = &member.outbox {
            outbox.send(Order::Read).await;
        }
        true
    }

    /// Does something with the environment `number` in a while, if it is still alive then.
    pub(crate) fn later(&mut self, number: usize, pause: Duration, then: Then) {
        while self.attendants.try_join_next().is_some() {}
        let (sender, life) = (self.sender.clone(), self.members[number].life);
        self.attendants.spawn(async move {
            sleep(pause).await;
            let _ = sender.send(Event(Told::Later { number, life, then })).await;
        });
    }

    /// How many reads are being served.
    pub(crate) fn served(&self) -> usize {
        self.members.iter().filter(|member| member.serves.is_some()).count()
    }

    /// Ends all environments, in good order where they can.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.attendants.shutdown().await;
        for (number, Member { mut child, outbox, .. }) in self.members.into_iter().enumerate() {
            // One that has not said hello yet is killed as it is dropped.
            if let Some(outbox) = outbox {
                drop(outbox);
                let ended = timeout(MOST_END, child.wait()).await;
                ended.map_err(|_| anyhow!("environment {number} does not end"))??;
            }
        }
        Ok(())
    }

    /// Waits for one that starts to say hello.
    fn greet_one(&mut self) {
        let (processes, sender) = (Arc::clone(&self.processes), self.sender.clone());
        self.attendants.spawn(async move {
            let _ = sender.send(Event(Told::Joined(processes.greet().await))).await;
        });
    }

    async fn join(&mut self, joined: (usize, Outbox<Order>, Inbox)) -> anyhow::Result<Happened> {
        let (number, outbox, inbox) = joined;
        let member = self.members.get_mut(number).filter(|member| member.outbox.is_none());
        let member = member.context("a stranger said hello")?;
        outbox.send(Order::SetUp(self.setup.clone())).await;
        member.outbox = Some(outbox);
        self.attendants.spawn(listen(number, member.life, inbox, self.sender.clone()));
        self.free.push(number);
        Ok(Happened::Nothing)
    }

    fn is_alive(&self, number: usize, life: u64) -> bool {
        let member = &self.members[number];
        member.life == life && !member.is_killed
    }

    fn note(&mut self, number: usize, report: Report) -> Happened {
        match report {
            Report::Begins { load } => Happened::Begins { number, load },
            Report::Ended => Happened::Loaded { number },
            Report::Answered(answered) => match self.members[number].serves.take() {
                Some(due) => {
                    self.free.push(number);
                    Happened::Answered { number, due, answered }
                }
                None => Happened::Nothing,
            },
        }
    }

    async fn act(&mut self, number: usize, then: Then) -> anyhow::Result<Happened> {
        let member = &mut self.members[number];
        match then {
            Then::LetGo { load } => {
                if let Some(outbox) = &member.outbox {
                    outbox.send(Order::Go { load }).await;
                }
                Ok(Happened::Nothing)
            }
            Then::Kill => {
                member.child.start_kill().context("an environment could not be killed")?;
                member.is_killed = true;
                member.serves = None;
                self.free.retain(|free| *free != number);
                Ok(Happened::Died { number })
            }
        }
    }

    /// Starts a new environment in place of one that has ended.
    fn replace(&mut self, number: usize) -> anyhow::Result<Happened> {
        let member = &mut self.members[number];
        if !member.is_killed {
            bail!("environment {number} has ended");
        }
        // The one before is awaited by the runtime.
        *member = Member::new(self.processes.start(number)?, member.life + 1);
        self.greet_one();
        Ok(Happened::Nothing)
    }
}

impl Member {
    fn new(child: Child, life: u64) -> Self {
        Self { child, life, outbox: None, serves: None, is_killed: false }
    }
}

/// Passes on what an environment says.
async fn listen(number: usize, life: u64, mut inbox: Inbox, sender: mpsc::Sender<Event>) {
    // After an error nothing more can be understood: the environment counts as ended.
    while let Ok(Some(report)) = inbox.next().await {
        let _ = sender.send(Event(Told::Reported { number, life, report })).await;
    }
    let _ = sender.send(Event(Told::Ended { number, life })).await;
}

/// Events that may wait for the conductor.
const MOST_WAITING: usize = 1024;
/// How long a process may take to end.
const MOST_END: Duration = Duration::from_secs(10);
