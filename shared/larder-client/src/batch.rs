//! Many keys at once: routed in one go, one write per node, all nodes side by side, each failing alone.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use larder_meta::{Key, MetaSet, ProtocolError, Refusal, Reply, Text};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::cluster::{Cluster, stored, unexpected};
use crate::connection::Connection;
use crate::follow::After;
use crate::item::{Item, NewItem, Stored};
use crate::lease::{Lease, Read, ReadOptions};
use crate::node::{Node, Request};
use crate::place::Place;
use crate::requests::{DeleteEach, GetPlain, SetEach, ToStore};
use crate::view::View;
use crate::write::removed;
use crate::{Error, NodeError};

/// What failed of a batch of stores.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The index of the item in the batch.
    pub index: usize,
    /// Why it is not known to be stored.
    pub error: Error,
}

impl Cluster {
    /// Reads the items under `keys`, in their order; `None` for a miss.
    ///
    /// One request per node (per 16 KiB of keys), all nodes at once. The keys of a node that fails are errors, the
    /// others are not touched by it; the whole call ends by its deadline. Of keys that move to another owner, those
    /// that are not there yet take a second round, and a third one that copies them.
    pub async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Item>, Error>> {
        let mut view = match self.view().await {
            Ok(view) => view,
            Err(error) => return vec![Err(error); keys.len()],
        };
        let mut results = vec![Ok(None); keys.len()];
        let mut members = None;
        loop {
            self.get_round(&view, keys, members.as_deref(), &mut results).await;
            let newer = match self.shared.after(&view).await {
                After::Newer(newer) => newer,
                After::Stands => return results,
                After::Unknown => {
                    results
                        .iter_mut()
                        .filter(|got| got.is_ok())
                        .for_each(|got| *got = Err(Error::UnknownRing));
                    return results;
                }
            };
            let again = read_elsewhere(&view, &newer, keys);
            if again.is_empty() {
                return results;
            }
            again.iter().for_each(|member| results[*member as usize] = Ok(None));
            (view, members) = (newer, Some(again));
        }
    }

    async fn get_round(
        &self,
        view: &View,
        keys: &[Key],
        members: Option<&[u32]>,
        results: &mut [Result<Option<Item>, Error>],
    ) {
        let (settled, moving) = match view.fleet.is_warming() {
            true => {
                let (moving, settled) = view.fleet.split(keys, members, |place| place.read_then().is_some());
                (Some(settled), moving)
            }
            false => (None, Vec::new()),
        };
        let settled = settled.as_deref().or(members);
        let asked = view.fleet.route(keys, settled, Place::read_first).into_iter().map(
            |(node, members)| async move {
                let asked = view.ask(&self.shared, node, &GetPlain { keys, members: &members }).await;
                (node, members, asked)
            },
        );
        let (asked, moved) = join(join_all(asked), async {
            match moving.is_empty() {
                true => Vec::new(),
                false => Box::pin(self.get_moving_many(view, keys, &moving)).await,
            }
        })
        .await;
        let mut hits = Hits::new(keys, results);
        for (node, members, asked) in asked {
            hits.place(self, node, &members, asked);
        }
        hits.tell_leases_from_empty_values(&self.until(view.deadline)).await;
        for (member, got) in moving.iter().zip(moved) {
            results[*member as usize] = got;
        }
    }

    /// Reads the items under `keys`, in their order, with all that a cache-aside read needs to know; may win the
    /// right to fill some of them. See [`read`](Self::read).
    ///
    /// One write per node, all nodes at once. The keys of a node that fails are errors, the others are not touched by
    /// it. Of keys that move to another owner, those that are not there yet take a second round, and a third one that
    /// copies them.
    pub async fn read_many(&self, keys: &[Key], options: ReadOptions) -> Vec<Result<Read, Error>> {
        match self.view().await {
            Ok(view) => self.read_many_under(view, keys, options).await,
            Err(error) => vec![Err(error); keys.len()],
        }
    }

    pub(crate) async fn read_many_under(
        &self,
        mut view: View,
        keys: &[Key],
        options: ReadOptions,
    ) -> Vec<Result<Read, Error>> {
        let get = options.to_get();
        let mut reads: Vec<Option<Result<Read, Error>>> = vec![None; keys.len()];
        let mut members = None;
        loop {
            self.read_round(&view, keys, members.as_deref(), get, &mut reads).await;
            let newer = match self.shared.after(&view).await {
                After::Newer(newer) => newer,
                After::Stands => break,
                After::Unknown => {
                    let known = reads.iter_mut().filter(|read| matches!(read, Some(Ok(_))));
                    known.for_each(|read| *read = Some(Err(Error::UnknownRing)));
                    break;
                }
            };
            let is_doubtful = |(key, read): (&Key, &Option<Result<Read, Error>>)| {
                let read = read.as_ref().and_then(|read| read.as_ref().ok());
                !self.is_good_under(&newer, view.fleet.place(key), key, read)
            };
            let doubtful = keys.iter().zip(&reads).map(is_doubtful);
            let again: Vec<u32> =
                (0..).zip(doubtful).filter_map(|(member, doubtful)| doubtful.then_some(member)).collect();
            (view, members) = (newer, Some(again));
            if members.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
        }
        self.replace_remains_each(&view, keys, get, &mut reads).await;
        let answer = |read: Option<Result<Read, Error>>| {
            read.expect("the ring gives every key an owner").map(Read::unstamped)
        };
        reads.into_iter().map(answer).collect()
    }

    /// Stores `items`, whatever was there; answers those that are not known to be stored, none if all went well.
    ///
    /// Written in pieces of [`MOST_PIECE_BYTES`], all nodes at once, each piece confirmed by its node.
    pub async fn set_many(&self, items: &[NewItem<'_>]) -> Vec<Failure> {
        let mut view = match self.view().await {
            Ok(view) => view,
            Err(error) => {
                return (0..items.len()).map(|index| Failure { index, error: error.clone() }).collect();
            }
        };
        loop {
            let mut failures = self.void_many(&view, items, Place::voided_before).await;
            failures.extend(self.set_round(&view, items).await);
            failures.extend(self.void_many(&view, items, Place::voided_after).await);
            let newer = match self.shared.after_write(&view).await {
                After::Newer(newer) => Some(newer),
                After::Stands => None,
                After::Unknown => {
                    failures
                        .extend((0..items.len()).map(|index| Failure { index, error: Error::UnknownRing }));
                    None
                }
            };
            // A store may be repeated: only one that ends late could undo a later one, as it could anyway.
            match newer.filter(|newer| is_written_elsewhere(&view, newer, items)) {
                Some(newer) => view = newer,
                None => {
                    failures.sort_by_key(|failure| failure.index);
                    failures.dedup_by_key(|failure| failure.index);
                    return failures;
                }
            }
        }
    }

    async fn set_round(&self, view: &View, items: &[NewItem<'_>]) -> Vec<Failure> {
        let routed = view.fleet.route(items, None, Place::written).into_iter();
        let stored = routed.map(|(node, members)| async move {
            (node, self.store_each(items, members, Target::Node(view, node), view.deadline).await)
        });
        let mut failures = Vec::new();
        for (node, exceptions) in join_all(stored).await {
            failures.extend(exceptions.into_iter().filter_map(|(index, outcome)| {
                let error = outcome.map_or_else(Some, |_| None)?;
                Some(Failure { index, error: self.failed(node, error) })
            }));
        }
        failures
    }

    /// Removes the keys of `items` that move from the nodes that `choose` says; answers which could not be.
    async fn void_many<'v>(
        &self,
        view: &'v View,
        items: &[NewItem<'_>],
        choose: impl Fn(Place<'v>) -> Option<&'v Arc<Node>>,
    ) -> Vec<Failure> {
        if !view.fleet.is_moving() {
            return Vec::new();
        }
        let keys: Vec<&Key> = items.iter().map(|item| item.key).collect();
        let (voided, _) = view.fleet.split(&keys, None, |place| choose(place).is_some());
        let routed = view.fleet.route(&keys, Some(&voided), |place| choose(place).unwrap_or(place.written()));
        let asked = routed.into_iter().map(|(node, members)| {
            let keys = &keys;
            async move {
                let asked = view.ask(&self.shared, node, &DeleteEach { keys, members: &members }).await;
                (node, members, asked.and_then(|(answer, _)| all_removed(answer)))
            }
        });
        let mut failures = Vec::new();
        for (node, members, asked) in join_all(asked).await {
            if let Err(error) = asked {
                let error = self.failed(node, error);
                let failure = |member: u32| Failure { index: member as usize, error: error.clone() };
                failures.extend(members.into_iter().map(failure));
            }
        }
        failures
    }

    /// Stores items under leases, in their order; see [`fill`](Self::fill).
    pub async fn fill_many(&self, fills: &[Fill<'_>]) -> Vec<Result<Stored, Error>> {
        let deadline = self.deadline();
        let mut by_connection: Vec<(&Lease, Vec<u32>)> = Vec::new();
        for (index, fill) in fills.iter().enumerate() {
            let is_same =
                |(lease, _): &&mut (&Lease, _)| Arc::ptr_eq(&lease.connection, &fill.lease.connection);
            match by_connection.iter_mut().find(is_same) {
                Some((_, members)) => members.push(index as u32),
                None => by_connection.push((fill.lease, vec![index as u32])),
            }
        }
        let filled = by_connection.into_iter().map(|(lease, members)| async move {
            (&lease.node, self.store_each(fills, members, Target::Lease(lease), deadline).await)
        });
        let mut results = vec![Ok(Stored::Yes); fills.len()];
        for (node, exceptions) in join_all(filled).await {
            for (index, outcome) in exceptions {
                results[index] = match outcome {
                    Err(NodeError::Lost { .. }) => Ok(Stored::Refused),
                    outcome => outcome.map_err(|error| self.failed(node, error)),
                };
            }
        }
        results
    }

    /// Stores those of `items` that `members` names, piece by piece; answers those that are not simply stored.
    async fn store_each<T: ToStore>(
        &self,
        items: &[T],
        mut members: Vec<u32>,
        target: Target<'_>,
        deadline: Instant,
    ) -> Vec<(usize, Result<Stored, NodeError>)> {
        let mut exceptions = Vec::new();
        members.retain(|member| {
            let checked = items[*member as usize].item().check_len(self.shared.common.config.max_item_len);
            checked.map_err(|error| exceptions.push((*member as usize, Err(error)))).is_ok()
        });
        let mut rest = &members[..];
        while !rest.is_empty() {
            let piece = &rest[..piece_len(items, rest)];
            let request = SetEach { items, members: piece };
            let known = exceptions.len();
            let asked = self.ask_target(target, deadline, &request).await;
            match asked.and_then(|answer| exceptions_of(answer, &mut exceptions)) {
                Ok(()) => {}
                Err(NodeError::Refused(refusal)) if refusal.leaves_connection_sound() => {
                    let told: Vec<usize> = exceptions[known..].iter().map(|(index, _)| *index).collect();
                    let untold = piece.iter().copied().filter(|member| !told.contains(&(*member as usize)));
                    self.find_refused(items, untold.collect(), target, deadline, refusal, &mut exceptions)
                        .await;
                }
                Err(error) => {
                    exceptions.extend(rest.iter().map(|member| (*member as usize, Err(error.clone()))));
                    break;
                }
            }
            rest = &rest[piece.len()..];
        }
        exceptions
    }

    async fn ask_target<R: Request>(
        &self,
        target: Target<'_>,
        deadline: Instant,
        request: &R,
    ) -> Result<Answer, NodeError> {
        match target {
            Target::Node(view, node) => view.ask(&self.shared, node, request).await.map(|(answer, _)| answer),
            Target::Lease(lease) => lease.node.ask_on(&lease.connection, deadline, request).await,
        }
    }

    /// Finds out which of `members` the node has refused, as too long for it say: its refusal does not name the item.
    /// Each is stored once more, by itself; one that was stored the first time is there in another version by now.
    async fn find_refused<T: ToStore>(
        &self,
        items: &[T],
        members: Vec<u32>,
        target: Target<'_>,
        deadline: Instant,
        refusal: Refusal,
        exceptions: &mut Vec<(usize, Result<Stored, NodeError>)>,
    ) {
        if let [member] = members[..] {
            return exceptions.push((member as usize, Err(refusal.into())));
        }
        for member in members {
            let request = SetEach { items, members: &[member] };
            let asked = self.ask_target(target, deadline, &request).await;
            if let Err(error) = asked.and_then(|answer| exceptions_of(answer, &mut Vec::new())) {
                exceptions.push((member as usize, Err(error)));
            }
        }
    }
}

/// Where a batch of stores goes.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// To a node, on whichever connection it has.
    Node(&'a View, &'a Arc<Node>),
    /// To the connection of a lease, and no other.
    Lease(&'a Lease),
}

/// An item to be stored under a lease.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// What to store.
    pub item: NewItem<'a>,
    /// The right to do so, won by a read of the same key.
    pub lease: &'a Lease,
}

impl ToStore for NewItem<'_> {
    fn item(&self) -> &NewItem<'_> {
        self
    }

    fn set(&self) -> MetaSet {
        self.to_set()
    }
}

impl ToStore for Fill<'_> {
    fn item(&self) -> &NewItem<'_> {
        &self.item
    }

    fn set(&self) -> MetaSet {
        let client_flags = self.lease.stamped(self.item.client_flags);
        MetaSet { compare: Some(self.lease.cas.token), client_flags, ..self.item.to_set() }
    }
}

impl AsRef<[u8]> for NewItem<'_> {
    /// The key, by which it is routed.
    fn as_ref(&self) -> &[u8] {
        self.key.as_bytes()
    }
}

/// The answers of classic `get`s, put where their keys are.
struct Hits<'a> {
    keys: &'a [Key],
    results: &'a mut [Result<Option<Item>, Error>],
    /// Empty values without client flags, which may be leases that nobody has filled.
    doubtful: Vec<usize>,
}

impl<'a> Hits<'a> {
    /// Room for the answers to `keys`, in `results`, which hold misses.
    fn new(keys: &'a [Key], results: &'a mut [Result<Option<Item>, Error>]) -> Self {
        Self { keys, results, doubtful: Vec::new() }
    }

    /// Takes what `node` answered for the keys that `members` names.
    fn place(
        &mut self,
        cluster: &Cluster,
        node: &Node,
        members: &[u32],
        asked: Result<(Answer, Arc<Connection>), NodeError>,
    ) {
        let placed = asked.and_then(|(answer, connection)| {
            self.place_values(cluster, node, answer.into_texts()?, members)
                .inspect_err(|error| connection.distrust(error))
        });
        if let Err(error) = placed {
            let error = cluster.failed(node, error);
            members.iter().for_each(|member| self.results[*member as usize] = Err(error.clone()));
        }
    }

    /// Values come in the order asked, so each key is looked for from where the last one was.
    fn place_values(
        &mut self,
        cluster: &Cluster,
        node: &Node,
        texts: Vec<Text>,
        members: &[u32],
    ) -> Result<(), NodeError> {
        let mut asked = members.iter().map(|member| *member as usize);
        for text in texts {
            let (key, found) = match text {
                Text::Value { key, client_flags, value } => (key, Ok(Item { value, client_flags })),
                Text::TooLong { key, too_long } => (key, Err(NodeError::from(too_long))),
                Text::Refused(refusal) => return Err(refusal.into()),
                other => return Err(ProtocolError::UnknownReply(format!("{other:.80?}")).into()),
            };
            let unasked = || ProtocolError::UnknownReply(format!("VALUE {}", key.escape_ascii()));
            let index = asked.find(|index| self.keys[*index].as_bytes() == key).ok_or_else(unasked)?;
            if found.as_ref().is_ok_and(|item| item.value.is_empty() && item.client_flags == 0) {
                self.doubtful.push(index);
            }
            self.results[index] = found.map(Some).map_err(|error| cluster.failed(node, error));
        }
        Ok(())
    }

    /// Asks once more for the few values that may be leases, by `mg`, which tells.
    async fn tell_leases_from_empty_values(self, cluster: &Cluster) {
        if self.doubtful.is_empty() {
            return;
        }
        let asked = self.doubtful.iter().map(|index| cluster.get(&self.keys[*index]));
        for (index, item) in self.doubtful.iter().zip(join_all(asked).await) {
            self.results[*index] = item;
        }
    }
}

/// Those of `keys` that are read by `newer` where they were not read by `view`.
fn read_elsewhere(view: &View, newer: &View, keys: &[Key]) -> Vec<u32> {
    let is_elsewhere = |key: &Key| !view.fleet.place(key).reads_like(newer.fleet.place(key));
    (0..).zip(keys).filter_map(|(member, key)| is_elsewhere(key).then_some(member)).collect()
}

/// Whether one of `items` is written by `newer` where it was not written, or forgotten, by `view`.
fn is_written_elsewhere(view: &View, newer: &View, items: &[NewItem<'_>]) -> bool {
    items.iter().any(|item| {
        let now = newer.fleet.place(item.key);
        !view.fleet.place(item.key).writes_like(now) || now.voided_after().is_some()
    })
}

fn all_removed(answer: Answer) -> Result<(), NodeError> {
    answer.into_replies()?.into_iter().try_for_each(|reply| removed(reply).map(drop))
}

/// Adds what was not simply stored; an error where that cannot be told item by item.
fn exceptions_of(
    answer: Answer,
    exceptions: &mut Vec<(usize, Result<Stored, NodeError>)>,
) -> Result<(), NodeError> {
    let mut refused = Ok(());
    for reply in answer.into_replies()? {
        match &reply {
            Reply::Done(_) => {}
            Reply::NotStored(flags) | Reply::Exists(flags) | Reply::NotFound(flags) => {
                let index = flags.opaque.ok_or_else(|| unexpected(reply.clone()))?;
                exceptions.push((index as usize, stored(reply)));
            }
            // What was told of others counts all the same.
            Reply::Refused(_) => refused = Err(unexpected(reply)),
            _ => return Err(unexpected(reply)),
        }
    }
    refused
}

/// How many of `members` go in one piece, at least one.
fn piece_len<T: ToStore>(items: &[T], members: &[u32]) -> usize {
    let mut bytes = 0;
    let fitting = members.iter().take_while(|member| {
        let item = items[**member as usize].item();
        bytes += item.key.as_bytes().len() + item.value.len() + FLAG_BYTES;
        bytes <= MOST_PIECE_BYTES
    });
    fitting.count().max(1)
}

/// Most bytes written to a node before it has to confirm them: enough to hide the round trip, little enough for
/// the memory of a small function.
pub const MOST_PIECE_BYTES: usize = 256 << 10;
/// What the flags of an `ms` take, about.
const FLAG_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_for_many_keys_may_move_between_threads() {
        fn check<F: Future + Send>(_: impl FnOnce(&'static Cluster) -> F) {}
        check(|cluster| cluster.get_many(&[]));
        check(|cluster| cluster.read_many(&[], ReadOptions::default()));
        check(|cluster| cluster.set_many(&[]));
        check(|cluster| cluster.fill_many(&[]));
    }
}
