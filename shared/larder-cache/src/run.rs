//! One run of whoever publishes the ring document: step by step from what the nodes hold to what is wished.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use larder_client::{Cluster, Key, Stored};
use larder_ring::{HotPhase, Phase, RingDocument, RingNode, Sighting};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::publisher::{PublishError, Published, Report, Unfinished};
use crate::survey::{Held, Survey, Surveyed};
use crate::warm::{WarmUp, Warmer};

/// What is asked for beside the list of nodes.
pub(crate) enum Wish<'a> {
    None,
    Retire(&'a RingNode),
    Restore(&'a RingNode),
    /// So many copies of a key, which is called `name` in the document.
    Copies {
        key: &'a Key,
        name: &'a str,
        copies: Option<u32>,
    },
}

/// One run.
pub(crate) struct Run<'a> {
    warm_up: &'a WarmUp,
    cluster: Cluster,
    deadline: Instant,
    report: Report,
    /// Whether a document in force has said what is asked for. What others say against it afterwards counts.
    is_granted: bool,
    /// What is to be founded over while no node that answers holds a document, and since when that has been so.
    founding: Option<(Unfounded, Instant)>,
    /// Since when all nodes hold the document with these client flags: two may have one epoch.
    spread: Option<(u32, Instant)>,
    /// Which nodes of the ring are off the list and silent, and since when these.
    vanished: Option<(Vec<RingNode>, Instant)>,
    /// How often the nodes could not be learnt.
    failed_looks: u32,
    /// The client flags of the document under which it has warmed.
    warmed: Option<u32>,
}

/// Nodes of which none that answers holds a document.
#[derive(Clone, Debug)]
struct Unfounded {
    listed: Vec<RingNode>,
    silent: Vec<RingNode>,
}

impl Unfounded {
    /// The same with the time since when environments have had it to go by, if one look `before` saw the other, and this
    /// one is made `now`. A node that answers again changes nothing for them.
    fn since(self, before: Option<(Self, Instant)>, now: Instant) -> (Self, Instant) {
        let is_known = |before: &Self| {
            before.listed == self.listed && self.silent.iter().all(|node| node.is_in(&before.silent))
        };
        let since = before.filter(|(before, _)| is_known(before)).map_or(now, |(_, since)| since);
        (self, since)
    }
}

/// What a look at the nodes leads to.
enum Step {
    /// Another look.
    Look,
    /// The document that grants what is asked for.
    Grant(RingDocument),
    /// The next document.
    Publish(RingDocument),
    /// The end of the run.
    End(Option<Unfinished>),
}

/// Whether all nodes that answer hold the document in force.
enum Spread {
    Whole,
    /// Some have got it only now, from this run or from another one: that is to be looked at.
    Written,
    /// Some do not take it.
    Failed,
}

/// What came of a publication.
enum Publication {
    Done,
    /// Somebody else was first.
    Refused,
    /// The node that decides does not take it, as far as that is known.
    Failed,
}

impl<'a> Run<'a> {
    pub(crate) fn new(cluster: &Cluster, warm_up: &'a WarmUp, deadline: Instant) -> Self {
        Self {
            warm_up,
            cluster: cluster.clone(),
            deadline,
            report: Report::default(),
            is_granted: false,
            founding: None,
            spread: None,
            vanished: None,
            failed_looks: 0,
            warmed: None,
        }
    }

    /// Goes from step to step until the ring is as it should be, or this run can do no more.
    pub(crate) async fn go_on(mut self, wish: &Wish<'_>) -> Result<Report, PublishError> {
        for _ in 0..MOST_STEPS {
            if self.is_over() {
                return Ok(self.ended(Some(Unfinished::OutOfTime)));
            }
            let Ok(survey) = timeout_at(self.deadline, Survey::take(&self.cluster)).await else {
                return Ok(self.ended(Some(Unfinished::OutOfTime)));
            };
            let survey = match survey {
                Err(PublishError::Nodes(error)) if self.failed_looks < MOST_FAILED_LOOKS => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the nodes are not known, to be asked for again");
                    self.failed_looks += 1;
                    continue;
                }
                survey => survey?,
            };
            self.report.document.clone_from(&survey.current);
            self.report.unreachable = survey.unreachable().map(|node| node.node.name().to_owned()).collect();
            let published = match self.step(&survey, wish).await? {
                Step::Look => continue,
                Step::End(unfinished) => return Ok(self.ended(unfinished)),
                Step::Grant(document) => {
                    let published = self.publish(&survey, document).await;
                    self.is_granted = matches!(published, Publication::Done);
                    published
                }
                Step::Publish(document) => self.publish(&survey, document).await,
            };
            if let Publication::Failed = published {
                return Ok(self.ended(Some(Unfinished::Unreachable)));
            }
        }
        Ok(self.ended(Some(Unfinished::Contended)))
    }

    /// What is to be done about what `survey` shows; does it, but for the publication.
    async fn step(&mut self, survey: &Survey, wish: &Wish<'_>) -> Result<Step, PublishError> {
        let Some(current) = &survey.current else { return Ok(self.found(survey).await) };
        self.founding = None;
        if survey.is_held_by_nobody()
            && let Some(document) = current.without_reading(now_ms())
        {
            // Who began without it has told no copies of what he wrote.
            return Ok(Step::Publish(document));
        }
        self.cluster.adopt(current);
        match self.spread(survey, current).await {
            Spread::Whole => {}
            Spread::Written => return Ok(Step::Look),
            Spread::Failed => return Ok(Step::End(Some(Unfinished::Unreachable))),
        }
        if let Some(step) = self.grant(survey, current, wish)? {
            return Ok(step);
        }
        if let Some(since) = self.vanished_since(survey, current)
            && let Some(step) = self.wait_until_settled(since).await
        {
            return Ok(step);
        }
        if let Some(step) = self.copy(survey, current, wish).await? {
            return Ok(step);
        }
        self.follow(survey, current, wish).await
    }

    /// The step to the first document, or to the first one after all nodes that answer have lost theirs.
    ///
    /// A silent node may hold a document yet. It is given up after it has been silent for as long as environments take
    /// to follow: the epoch of a first document is the time, so it is later than all before, and the silent node gets
    /// it when it answers. Until then an environment that reaches no other node keeps the ring of before, for one
    /// interval of discovery at most.
    async fn found(&mut self, survey: &Survey) -> Step {
        let silent = survey.silent();
        if silent.len() == survey.nodes.len() {
            return Step::End(Some(Unfinished::Unreachable));
        }
        let unfounded = Unfounded { listed: survey.listed.clone(), silent: silent.clone() };
        let (unfounded, since) = unfounded.since(self.founding.take(), Instant::now());
        self.founding = Some((unfounded, since));
        if let Some(step) = self.wait_until_settled(since).await {
            return step;
        }
        self.log_founding(survey, &silent).await;
        let first = RingDocument::first(survey.listed.clone(), now_ms());
        Step::Publish(first.checked_every(self.cluster.ring_check_interval()))
    }

    /// Says what the first document is founded over: items of before are loaded once more when they are read.
    async fn log_founding(&self, survey: &Survey, silent: &[RingNode]) {
        let counted = timeout_at(self.deadline, survey.count_items(&self.cluster)).await;
        let (items, silent) = (counted.unwrap_or_default(), silent.len());
        if items > 0 || silent > 0 {
            tracing::warn!(
                items,
                silent,
                "no node holds a ring document: founding one over items of an earlier one, which are loaded anew"
            );
        }
    }

    /// The step that grants what is wished, where it takes one and no more; `None` where it is granted.
    fn grant(
        &mut self,
        survey: &Survey,
        current: &RingDocument,
        wish: &Wish<'_>,
    ) -> Result<Option<Step>, PublishError> {
        if self.is_granted || wish.takes_steps() {
            return Ok(None);
        }
        // Nobody reads the wish but who publishes: there is nothing to wait for.
        let document = wish.document(survey, current)?;
        self.is_granted = document.is_none();
        Ok(document.map(Step::Grant))
    }

    /// The next step to the ring that `survey` shows, or the end.
    async fn follow(
        &mut self,
        survey: &Survey,
        current: &RingDocument,
        wish: &Wish<'_>,
    ) -> Result<Step, PublishError> {
        let seen = Sighting { listed: &survey.answering_or_known(current), lost: &survey.lost(current) };
        let next = current.following(self.cluster.ring_kind(), seen, now_ms());
        let is_at_once = |next: &RingDocument| {
            current.phase == Phase::Active && next.phase == Phase::Active && !next.begins_reign_after(current)
        };
        // Who retires a node wants to know that everyone has followed.
        if next.as_ref().map_or(wish.is_to_retire(), |next| !is_at_once(next))
            && let Some(step) = self.wait_for_everyone(survey, current).await
        {
            return Ok(step);
        }
        let Some(next) = next else {
            wish.check(current)?;
            return Ok(Step::End(survey.leaves_out(current).then_some(Unfinished::Unreachable)));
        };
        let is_warm = self.warmed == Some(current.client_flags());
        if current.phase == Phase::Warming && next.phase == Phase::Leaving && !is_warm {
            let warmer = Warmer { cluster: &self.cluster, warm_up: self.warm_up };
            self.report.warmed += warmer.warm(current, self.deadline).await;
            self.warmed = Some(current.client_flags());
            return Ok(Step::Look);
        }
        Ok(Step::Publish(next))
    }

    /// The next step to what is wished of copies, each of which waits for everyone to have followed the one before;
    /// `None` if there is none.
    async fn copy(
        &mut self,
        survey: &Survey,
        current: &RingDocument,
        wish: &Wish<'_>,
    ) -> Result<Option<Step>, PublishError> {
        let &Wish::Copies { key, name, copies } = wish else { return Ok(None) };
        // While a key moves, whoever reads it copies it, and what is removed below could come back.
        let is_at_rest = current.phase == Phase::Active && survey.vanished(current).is_empty();
        if self.is_granted || !is_at_rest {
            return Ok(None);
        }
        let Some(next) = current.copying(name, copies, now_ms()) else {
            self.is_granted = true;
            return Ok(None);
        };
        if !current.has_room_for(name) {
            return Err(PublishError::CannotCopy("there are too many hot keys"));
        }
        if let Some(step) = self.wait_for_everyone(survey, current).await {
            return Ok(Some(step));
        }
        let read = next.hot.get(name).filter(|hot| hot.phase == HotPhase::Reading);
        if let Some(hot) = read
            && !self.clear(survey, key, hot.copies).await
        {
            return Ok(Some(Step::End(Some(Unfinished::Unreachable))));
        }
        Ok(Some(Step::Publish(next)))
    }

    /// Removes from all nodes what an earlier time has left under the keys of copies, with the leases that somebody may
    /// hold yet; answers whether all that live have done so. From the document on that is in force every write reaches
    /// them.
    async fn clear(&mut self, survey: &Survey, key: &Key, copies: u32) -> bool {
        let mut is_clear = true;
        for number in 1..copies {
            let key = key.copy_at(number);
            let nodes = survey.nodes.iter().filter(|node| node.held.is_known());
            let cleared = join_all(nodes.map(|node| {
                let key = &key;
                async move { (node, node.node.delete(key).await) }
            }))
            .await;
            for (node, cleared) in cleared {
                if let Err(error) = cleared {
                    let (node, error) = (node.node.name(), &error as &dyn std::error::Error);
                    tracing::warn!(node, error, "copy not removed");
                    self.report.unreachable.push(node.to_owned());
                    is_clear = false;
                }
            }
        }
        is_clear
    }

    /// Waits until everyone has had the time to follow `current`, as [`wait_until_settled`](Self::wait_until_settled).
    async fn wait_for_everyone(&self, survey: &Survey, current: &RingDocument) -> Option<Step> {
        if survey.is_held_up(current) {
            return Some(Step::End(Some(Unfinished::Unreachable)));
        }
        self.wait_until_settled(self.spread.map_or_else(Instant::now, |(_, since)| since)).await
    }

    /// Waits until everyone has had the time to notice what has been so `since` then, and has another look decide, for
    /// nodes may come and go meanwhile; `None` if there is nothing to wait for any more.
    async fn wait_until_settled(&self, since: Instant) -> Option<Step> {
        let ready = since + self.cluster.settle_time();
        if ready > self.deadline {
            return Some(Step::End(Some(Unfinished::OutOfTime)));
        }
        if ready <= Instant::now() {
            return None;
        }
        sleep_until(ready).await;
        Some(Step::Look)
    }

    /// Since when the same nodes of `current` have been off the list and silent; `None` if there are none. A node may
    /// miss one look, and others may reach it yet: it is given up only after it has been silent for the time in which
    /// they learn of anything.
    fn vanished_since(&mut self, survey: &Survey, current: &RingDocument) -> Option<Instant> {
        let vanished = survey.vanished(current);
        if self.vanished.as_ref().is_none_or(|(nodes, _)| *nodes != vanished) {
            self.vanished = Some((vanished, Instant::now()));
        }
        self.vanished.as_ref().filter(|(nodes, _)| !nodes.is_empty()).map(|(_, since)| *since)
    }

    /// Writes `current` to all nodes that hold another document or none.
    ///
    /// To all, not only to those of its rings: whoever goes by an earlier document may look at a node that has left the
    /// ring since, and is to learn of it there.
    async fn spread(&mut self, survey: &Survey, current: &RingDocument) -> Spread {
        let is_behind = |node: &&Surveyed| match &node.held {
            Held::Document(document, _) => **document != *current,
            Held::Malformed(..) | Held::Nothing => true,
            Held::Dead | Held::Silent => false,
        };
        if Box::pin(self.tell_predecessors(survey, current)).await {
            return Spread::Written;
        }
        let behind: Vec<_> = survey.nodes.iter().filter(is_behind).collect();
        if behind.is_empty() {
            // Those who go by a later document, which a run has left on a node that is gone, have to notice, too.
            if self.spread.is_none_or(|(flags, _)| flags != current.client_flags()) {
                self.spread = Some((current.client_flags(), Instant::now()));
            }
            return Spread::Whole;
        }
        // The one that decides comes first, as in a publication.
        let mut written = vec![behind[0].store(current).await];
        written.extend(join_all(behind[1..].iter().map(|node| node.store(current))).await);
        self.spread = Some((current.client_flags(), Instant::now()));
        let mut spread = Spread::Written;
        for (node, written) in behind.iter().zip(&written) {
            let (node, epoch) = (node.node.name(), current.epoch.number());
            tracing::info!(node, epoch, ?written, "ring document written");
            if written.is_err() {
                self.report.unreachable.push(node.to_owned());
                spread = Spread::Failed;
            }
        }
        spread
    }

    /// Writes `current` to machines that live on although they were replaced, and hold another document: who is
    /// connected to one would have an earlier document confirmed there for as long as it lives. Answers whether any of
    /// them took it.
    async fn tell_predecessors(&mut self, survey: &Survey, current: &RingDocument) -> bool {
        let is_behind =
            |node: &&Surveyed| matches!(&node.held, Held::Document(held, _) if current.is_later_than(held));
        let behind = survey.predecessors.iter().filter(is_behind);
        let written = join_all(behind.map(|node| async move { (node, node.store(current).await) })).await;
        let mut is_told = false;
        for (node, written) in written {
            let (node, epoch) = (node.id.to_string(), current.epoch.number());
            tracing::info!(node, epoch, ?written, "ring document written to a machine that was replaced");
            is_told |= matches!(written, Ok(Stored::Yes));
        }
        if is_told {
            self.spread = Some((current.client_flags(), Instant::now()));
        }
        is_told
    }

    /// Writes `document` to all nodes that answer. The first one of the ring so far decides: who comes second is
    /// refused there.
    async fn publish(&mut self, survey: &Survey, document: RingDocument) -> Publication {
        let ring = survey.current.as_ref().map(RingDocument::all_nodes).unwrap_or_default();
        let nodes = survey.nodes.iter().filter(|node| node.held.is_known());
        let mut nodes: Vec<&Surveyed> = nodes.collect();
        nodes.sort_by_key(|node| !node.id.is_in(&ring));
        let Some((first, rest)) = nodes.split_first() else { return Publication::Failed };
        let (epoch, phase) = (document.epoch, document.phase);
        let written = first.store(&document).await;
        let at = Instant::now();
        if !matches!(written, Ok(Stored::Yes)) {
            let node = first.node.name();
            tracing::warn!(node, epoch = epoch.number(), ?phase, ?written, "ring document not published");
            if written.is_ok() {
                return Publication::Refused;
            }
            self.report.unreachable.push(node.to_owned());
            return Publication::Failed;
        }
        let written = join_all(rest.iter().map(|node| node.store(&document))).await;
        let missed = written.iter().filter(|written| !matches!(written, Ok(Stored::Yes))).count();
        tracing::info!(
            epoch = epoch.number(),
            ?phase,
            nodes = document.nodes.len(),
            next = document.next.len(),
            missed,
            "ring document published"
        );
        self.report.published.push(Published { epoch, phase, at });
        if missed == 0 {
            self.spread = Some((document.client_flags(), Instant::now()));
        }
        self.report.document = Some(document);
        Publication::Done
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn ended(mut self, unfinished: Option<Unfinished>) -> Report {
        self.report.unfinished = unfinished;
        self.report
    }
}

impl Wish<'_> {
    /// The document that grants it; `None` where there is nothing to grant.
    fn document(
        &self,
        survey: &Survey,
        current: &RingDocument,
    ) -> Result<Option<RingDocument>, PublishError> {
        match self {
            Self::None => Ok(None),
            Self::Retire(node) if node.is_in(&current.retired) => Ok(None),
            // It leaves without being asked.
            Self::Retire(node) if !survey.is_listed(node) && node.is_in(&current.all_nodes()) => Ok(None),
            Self::Retire(node) => {
                let stays = |id: &RingNode| id.identity() != node.identity() && !id.is_in(&current.retired);
                let may_leave = survey.is_listed(node) && survey.listed.iter().any(stays);
                let document = may_leave.then(|| current.retiring(node, now_ms())).flatten();
                document.map(Some).ok_or_else(|| PublishError::CannotRetire(node.to_string()))
            }
            Self::Restore(node) => Ok(current.restoring(node, now_ms())),
            Self::Copies { .. } => Ok(None),
        }
    }

    /// Whether it is come to in steps that others have to follow.
    fn takes_steps(&self) -> bool {
        matches!(self, Self::Copies { .. })
    }

    fn is_to_retire(&self) -> bool {
        matches!(self, Self::Retire(_))
    }

    /// Whether the ring of `current`, with which a run has finished, is as it was to be: others may have left since.
    fn check(&self, current: &RingDocument) -> Result<(), PublishError> {
        match self {
            Self::Retire(node) if node.is_in(&current.nodes) => {
                Err(PublishError::CannotRetire(node.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

/// A change takes five documents, and three looks for each; a run that has to begin anew for others, or takes several
/// changes, a few times that.
const MOST_STEPS: usize = 128;
/// How often the nodes may not be learnt in one run: it may have waited for long, and most of its work be done.
const MOST_FAILED_LOOKS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_founds_waits_anew_when_environments_have_something_else_to_go_by() {
        let seen = |listed: &[&str], silent: &[&str]| {
            let nodes = |names: &[&str]| names.iter().map(|name| RingNode::new(*name, 11211)).collect();
            Unfounded { listed: nodes(listed), silent: nodes(silent) }
        };
        let before = seen(&["a", "b", "c"], &["c"]);
        for (now, waits_anew) in [
            (seen(&["a", "b", "c"], &["c"]), false),
            (seen(&["a", "b", "c"], &[]), false),
            (seen(&["a", "b", "c"], &["b", "c"]), true),
            (seen(&["a", "b", "c"], &["b"]), true),
            (seen(&["a", "b", "c", "d"], &["c"]), true),
            (seen(&["a", "b"], &[]), true),
            // The ring of a list depends on its order where a client counts its nodes.
            (seen(&["b", "a", "c"], &["c"]), true),
        ] {
            let first = Instant::now();
            let second = first + Duration::from_secs(1);
            let (_, since) = now.clone().since(Some((before.clone(), first)), second);
            assert_eq!(since == second, waits_anew, "{now:?}");
        }
    }
}
