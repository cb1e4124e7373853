//! Many keys at once: routed in one go, one write per node, all nodes side by side, each failing alone.

use std::sync::Arc;

use futures_util::future::join_all;
use larder_meta::{Key, MetaSet, ProtocolError, Reply, Text};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::cluster::{Cluster, stored, unexpected};
use crate::connection::Connection;
use crate::item::{Item, NewItem, Stored};
use crate::lease::{Lease, Read, ReadOptions};
use crate::moment::Moment;
use crate::node::Node;
use crate::requests::{GetEach, GetPlain, SetEach, ToStore};
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
    /// others are not touched by it; the whole call ends by its deadline.
    pub async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Item>, Error>> {
        let (now, deadline) = self.begin();
        let fleet = match self.shared.fleet(now, deadline).await {
            Ok(fleet) => fleet,
            Err(error) => return vec![Err(error); keys.len()],
        };
        let asked = fleet.route(keys).map(|(node, members)| async move {
            let request = GetPlain { keys, members: &members };
            let asked = node.ask(&self.shared.common, now, deadline, &request).await;
            (node, members, asked)
        });
        let mut results = vec![Ok(None); keys.len()];
        let mut hits = Hits::new(keys, &mut results);
        for (node, members, asked) in join_all(asked).await {
            hits.place(self, node, &members, asked);
        }
        hits.tell_leases_from_empty_values(self).await;
        results
    }

    /// Reads the items under `keys`, in their order, with all that a cache-aside read needs to know; may win the
    /// right to fill some of them.
    ///
    /// One write per node, all nodes at once. The keys of a node that fails are errors, the others are not touched
    /// by it.
    pub async fn read_many(&self, keys: &[Key], options: ReadOptions) -> Vec<Result<Read, Error>> {
        let (now, deadline) = self.begin();
        let fleet = match self.shared.fleet(now, deadline).await {
            Ok(fleet) => fleet,
            Err(error) => return vec![Err(error); keys.len()],
        };
        let get = options.to_get();
        let asked = fleet.route(keys).map(|(node, members)| async move {
            let request = GetEach { keys, members: &members, get };
            let asked = node.ask(&self.shared.common, now, deadline, &request).await;
            (node, members, asked)
        });
        let mut results: Vec<Option<Result<Read, Error>>> = vec![None; keys.len()];
        for (node, members, asked) in join_all(asked).await {
            match asked.and_then(|(answer, connection)| Ok((answer.into_replies()?, connection))) {
                Ok((replies, connection)) => {
                    for (member, reply) in members.iter().zip(replies) {
                        let read = Read::from_reply(reply, node, &connection)
                            .inspect_err(|error| connection.distrust(error));
                        results[*member as usize] = Some(read.map_err(|error| self.failed(node, error)));
                    }
                }
                Err(error) => {
                    let error = self.failed(node, error);
                    members.iter().for_each(|member| results[*member as usize] = Some(Err(error.clone())));
                }
            }
        }
        results.into_iter().map(|read| read.expect("the ring gives every key an owner")).collect()
    }

    /// Stores `items`, whatever was there; answers those that are not known to be stored, none if all went well.
    ///
    /// Written in pieces of [`MOST_PIECE_BYTES`], all nodes at once, each piece confirmed by its node.
    pub async fn set_many(&self, items: &[NewItem<'_>]) -> Vec<Failure> {
        let (now, deadline) = self.begin();
        let fleet = match self.shared.fleet(now, deadline).await {
            Ok(fleet) => fleet,
            Err(error) => {
                return (0..items.len()).map(|index| Failure { index, error: error.clone() }).collect();
            }
        };
        let stored = fleet.route(items).map(|(node, members)| async move {
            (node, self.store_each(items, members, Target::Node(node), deadline).await)
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
            let asked = match target {
                Target::Node(node) => {
                    let now = Moment::now();
                    node.ask(&self.shared.common, now, deadline, &request).await.map(|(answer, _)| answer)
                }
                Target::Lease(lease) => lease.node.ask_on(&lease.connection, deadline, &request).await,
            };
            match asked.and_then(|answer| exceptions_of(answer, &mut exceptions)) {
                Ok(()) => rest = &rest[piece.len()..],
                Err(error) => {
                    exceptions.extend(rest.iter().map(|member| (*member as usize, Err(error.clone()))));
                    break;
                }
            }
        }
        exceptions
    }
}

/// Where a batch of stores goes.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// To a node, on whichever connection it has.
    Node(&'a Node),
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
        MetaSet { compare: Some(self.lease.cas.0), ..self.item.to_set() }
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
            self.place_values(answer.into_texts()?, members).inspect_err(|error| connection.distrust(error))
        });
        if let Err(error) = placed {
            let error = cluster.failed(node, error);
            members.iter().for_each(|member| self.results[*member as usize] = Err(error.clone()));
        }
    }

    /// Values come in the order asked, so each key is looked for from where the last one was.
    fn place_values(&mut self, texts: Vec<Text>, members: &[u32]) -> Result<(), NodeError> {
        let mut asked = members.iter().map(|member| *member as usize);
        for text in texts {
            let (key, item) = match text {
                Text::Value { key, client_flags, value } => (key, Item { value, client_flags }),
                Text::Refused(refusal) => return Err(refusal.into()),
                other => return Err(ProtocolError::UnknownReply(format!("{other:.80?}")).into()),
            };
            let unasked = || ProtocolError::UnknownReply(format!("VALUE {}", key.escape_ascii()));
            let index = asked.find(|index| self.keys[*index].as_bytes() == key).ok_or_else(unasked)?;
            if item.value.is_empty() && item.client_flags == 0 {
                self.doubtful.push(index);
            }
            self.results[index] = Ok(Some(item));
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

/// Adds what was not simply stored; an error where that cannot be told item by item.
fn exceptions_of(
    answer: Answer,
    exceptions: &mut Vec<(usize, Result<Stored, NodeError>)>,
) -> Result<(), NodeError> {
    for reply in answer.into_replies()? {
        match &reply {
            Reply::NotStored(flags) | Reply::Exists(flags) | Reply::NotFound(flags) => {
                let index = flags.opaque.ok_or_else(|| unexpected(reply.clone()))?;
                exceptions.push((index as usize, stored(reply)));
            }
            _ => return Err(unexpected(reply)),
        }
    }
    Ok(())
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
