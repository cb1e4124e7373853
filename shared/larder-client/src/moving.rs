//! Reads while the fleet moves from one ring to another: in rounds, and with a word on items of an older ring.
//!
//! | round | asks | about |
//! | --- | --- | --- |
//! | first | whoever is read first | every key |
//! | second | the present owners | keys that move and that their next owners do not have |
//! | third | the next owners | what the second round found, as a copy under the lease of the first |
//!
//! In quiet times there is the first round alone.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use larder_meta::{Key, MetaGet, Ttl};
use larder_ring::Trust;

use crate::answer::Answer;
use crate::batch::Fill;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::item::{Item, NewItem};
use crate::lease::{Claim, Read, ReadOptions};
use crate::moment::Moment;
use crate::node::Node;
use crate::place::Place;
use crate::requests::{Expire, GetEach};
use crate::view::View;
use crate::{Error, NodeError};

type Reads = [Option<Result<Read, Error>>];

/// How the rounds of a read ask.
#[derive(Clone, Copy)]
struct Ask {
    get: MetaGet,
    /// What leases that are won are stamped with. Without one all client flags are their owner's: what is found is not
    /// judged, and copied as it is.
    stamp: Option<u16>,
    /// Whether leases that no copy is stored under are kept, for a caller who fills them.
    is_filling: bool,
}

impl Ask {
    /// As whoever only takes leases to store copies under them.
    fn to_copy(stamp: Option<u16>) -> Self {
        let get = ReadOptions { lease_for: Some(COPY_LEASE), ..ReadOptions::default() }.to_get();
        Self { get, stamp, is_filling: false }
    }
}

impl Cluster {
    /// Reads those of `keys` that `members` names, all without them, into their places in `reads`.
    pub(crate) async fn read_round(
        &self,
        view: &View,
        keys: &[Key],
        members: Option<&[u32]>,
        get: MetaGet,
        reads: &mut Reads,
    ) {
        let ask = Ask { get, stamp: Some(view.fleet.stamp()), is_filling: true };
        self.read_from(view, keys, members, Place::read_first, ask, reads).await;
        self.judge_each(view, keys, members, get, reads).await;
        if view.fleet.is_warming() {
            Box::pin(self.read_present(view, keys, members, ask, reads)).await;
        }
    }

    /// Reads those of `keys` that `members` names, all of which move, as whoever does not take part in filling them.
    pub(crate) async fn get_moving_many(
        &self,
        view: &View,
        keys: &[Key],
        members: &[u32],
    ) -> Vec<Result<Option<Item>, Error>> {
        let ask = Ask::to_copy(None);
        let mut reads = vec![None; keys.len()];
        self.read_from(view, keys, Some(members), Place::read_first, ask, &mut reads).await;
        self.decline_each(view, keys, &mut reads).await;
        self.read_present(view, keys, Some(members), ask, &mut reads).await;
        let item = |read: Option<Result<Read, Error>>| read.map_or(Ok(None), |read| Ok(read?.item));
        members.iter().map(|member| item(reads[*member as usize].take())).collect()
    }

    /// Copies those of `keys` that move to their next owners, as a read would: for whoever warms them. In any other
    /// phase than `warming` nothing moves, and nothing is copied that the ring has gone past meanwhile.
    ///
    /// For items that [`fill`](Self::fill) stored. Takes the three rounds of a read, one request per node each.
    pub async fn copy_moving(&self, keys: &[Key]) -> Result<Copied, Error> {
        let view = self.view().await?;
        let (members, _) = view.fleet.split(keys, None, |place| place.read_then().is_some());
        let ask = Ask::to_copy(Some(view.fleet.stamp()));
        let mut reads = vec![None; keys.len()];
        self.read_from(&view, keys, Some(&members), Place::read_first, ask, &mut reads).await;
        self.judge_each(&view, keys, Some(&members), ask.get, &mut reads).await;
        self.decline_each(&view, keys, &mut reads).await;
        let newer = self.shared.after(&view).await.newer(&Ok(()));
        if !matches!(newer, Ok(None)) {
            self.copy(&view, keys, &members, ask, &reads, &vec![None; keys.len()]).await;
            return newer.map(|_| Copied::default());
        }
        self.replace_remains_each(&view, keys, ask.get, &mut reads).await;
        let had = |read: &Option<Result<Read, Error>>| matches!(read, Some(Ok(Read { item: Some(_), .. })));
        let mut copied = Copied { there: reads.iter().filter(|read| had(read)).count(), ..Copied::default() };
        let is_lost: Vec<bool> = reads.iter().map(|read| matches!(read, Some(Err(_)))).collect();
        self.read_present(&view, keys, Some(&members), ask, &mut reads).await;
        let read = |member: &u32| Some((reads[*member as usize].as_ref()?, is_lost[*member as usize]));
        for (read, is_lost) in members.iter().filter_map(read) {
            match read {
                // Whatever the present owner has, there is nobody to take it.
                Ok(_) if is_lost => copied.failed += 1,
                Ok(Read { item: Some(item), .. }) => {
                    copied.items += 1;
                    copied.bytes += item.value.len() as u64;
                }
                Ok(_) => copied.missing += 1,
                Err(_) => copied.failed += 1,
            }
        }
        copied.items -= copied.there;
        Ok(copied)
    }

    /// Asks the nodes that `choose` says.
    async fn read_from<'v>(
        &self,
        view: &'v View,
        keys: &[Key],
        members: Option<&[u32]>,
        choose: impl Fn(Place<'v>) -> &'v Arc<Node>,
        Ask { get, stamp, .. }: Ask,
        reads: &mut Reads,
    ) {
        let routed = view.fleet.route(keys, members, choose).into_iter();
        let asked = routed.map(|(node, members)| async move {
            let asked = view.ask(&self.shared, node, &GetEach { keys, members: &members, get }).await;
            (node, members, asked)
        });
        for (node, members, asked) in join_all(asked).await {
            self.place_reads(node, &members, asked, (stamp, view.now), reads);
        }
    }

    fn place_reads(
        &self,
        node: &Arc<Node>,
        members: &[u32],
        asked: Result<(Answer, Arc<Connection>), NodeError>,
        (stamp, asked_at): (Option<u16>, Moment),
        reads: &mut Reads,
    ) {
        match asked.and_then(|(answer, connection)| Ok((answer.into_replies()?, connection))) {
            Ok((replies, connection)) => {
                for (member, reply) in members.iter().zip(replies) {
                    let read = Read::from_reply(reply, node, &connection, stamp, asked_at)
                        .inspect_err(|error| connection.distrust(error));
                    reads[*member as usize] = Some(read.map_err(|error| self.failed(node, error)));
                }
            }
            Err(error) => {
                let error = self.failed(node, error);
                members.iter().for_each(|member| reads[*member as usize] = Some(Err(error.clone())));
            }
        }
    }

    /// The second and the third round: what the next owners do not have is read from the present ones, and copied.
    async fn read_present(
        &self,
        view: &View,
        keys: &[Key],
        members: Option<&[u32]>,
        ask: Ask,
        reads: &mut Reads,
    ) {
        let is_missing = |member: &u32| match &reads[*member as usize] {
            Some(Ok(read)) => read.item.is_none(),
            _ => true,
        };
        let (mut missing, _) = view.fleet.split(keys, members, |place| place.read_then().is_some());
        missing.retain(is_missing);
        if missing.is_empty() {
            return;
        }
        let mut found = vec![None; keys.len()];
        // The next owner has given the lease; the present one is to give none.
        let get = MetaGet { lease_for: None, recache_below_secs: None, ..ask.get };
        let ask_last = Ask { get, stamp: None, ..ask };
        self.read_from(view, keys, Some(&missing), Place::read_last, ask_last, &mut found).await;
        self.decline_each(view, keys, &mut found).await;
        if ask.stamp.is_some() {
            self.forget_untrusted(view, keys, &missing, &mut found);
        }
        self.copy(view, keys, &missing, ask, reads, &found).await;
        for member in missing {
            let (read, found) = (&mut reads[member as usize], found[member as usize].take());
            *read = Some(match (read.take(), found) {
                (Some(Ok(read)), Some(Ok(found))) => either(read, found),
                (Some(Ok(read)), _) => Ok(read),
                // Whoever could not be asked may have what the other lacks.
                (Some(Err(_)), Some(Ok(found))) if found.item.is_some() => {
                    Ok(Read { claim: Claim::None, ..found })
                }
                (Some(Err(error)), _) | (None, Some(Err(error))) => Err(error),
                (None, Some(Ok(found))) => Ok(Read { claim: Claim::None, ..found }),
                (None, None) => continue,
            });
        }
    }

    /// Stores what was `found` under the leases that the next owners gave, for as long as it has left: what is about to
    /// end is no longer worth it, and nothing is after a freeze. Other leases are given back, but for those of a caller
    /// who fills misses and stale items.
    async fn copy(&self, view: &View, keys: &[Key], members: &[u32], ask: Ask, reads: &Reads, found: &Reads) {
        let may_copy = !self.shared.has_aged(view);
        let (mut fills, mut unused) = (Vec::new(), Vec::new());
        for member in members {
            let (key, at) = (&keys[*member as usize], *member as usize);
            let Some(Ok(Read { claim: Claim::Won(lease), .. })) = &reads[at] else { continue };
            let found = found[at].as_ref().and_then(|found| found.as_ref().ok());
            let fresh =
                found.filter(|found| !found.is_stale).and_then(|found| found.item.as_ref().zip(Some(found)));
            let copy = fresh.map(|(item, found)| {
                let ttl = found.ttl_left().filter(|_| may_copy)?;
                Some(NewItem { key, value: &item.value, client_flags: item.client_flags, ttl })
            });
            match copy {
                Some(Some(item)) => fills.push(Fill { item, lease }),
                None if ask.is_filling => {}
                Some(None) | None => unused.push((key, lease)),
            }
        }
        if fills.is_empty() && unused.is_empty() {
            return;
        }
        let cluster = self.until(view.deadline);
        let given_back = join_all(unused.into_iter().map(|(key, lease)| cluster.give_back(key, lease)));
        let (copied, _) = join(cluster.fill_many(&fills), given_back).await;
        let failed = copied.iter().filter(|copied| copied.is_err()).count();
        tracing::debug!(copies = copied.len(), failed, "copied to the next owners");
    }

    /// Leaves the stale items that we were made to refresh to others.
    async fn decline_each(&self, view: &View, keys: &[Key], reads: &mut Reads) {
        let mut declined = Vec::new();
        for (key, read) in keys.iter().zip(reads) {
            if let Some(Ok(Read { claim: claim @ Claim::Won(_), item: Some(_), .. })) = read
                && let Claim::Won(lease) = std::mem::replace(claim, Claim::None)
            {
                declined.push((key, lease.node));
            }
        }
        join_all(declined.iter().map(|(key, node)| self.decline(view, node, key))).await;
    }

    // Items of an older ring.

    /// Whether what was read by `place` may be answered under the `newer` view: it would be read from there, too, and
    /// its item would be trusted.
    pub(crate) fn is_good_under(
        &self,
        newer: &View,
        place: Place<'_>,
        key: &Key,
        read: Option<&Read>,
    ) -> bool {
        let now = newer.fleet.place(key);
        let is_trusted = |read: &Read| {
            let node = [Some(now.read_first()), now.read_then()].into_iter().flatten();
            let mut node = node.filter(|node| node.name == read.node);
            read.item.is_none() || node.any(|node| self.trust(newer, node, key, read) == Trust::Trusted)
        };
        place.reads_all_of(now) && read.is_none_or(is_trusted)
    }

    /// Whether what was read is a miss, or was stored under the present ring document.
    fn is_current(&self, view: &View, read: &Read) -> bool {
        read.stamp().is_none_or(|stamp| stamp == view.fleet.stamp())
    }

    /// Throws away what `node` has kept from before it lost `key` to another node, and reads once more.
    pub(crate) async fn judge(
        &self,
        view: &View,
        node: &Arc<Node>,
        key: &Key,
        get: MetaGet,
        read: Read,
    ) -> Result<Read, Error> {
        match self.trust(view, node, key, &read) {
            Trust::Trusted => Ok(read),
            Trust::Unknown => {
                view.note_ahead(node);
                Ok(read)
            }
            Trust::Untrusted => self.read_anew(view, node, key, get, read).await,
        }
    }

    /// Throws away the item of a `read` from `node`, if it is still there, and reads once more: a miss with a lease,
    /// or a newer item.
    pub(crate) async fn read_anew(
        &self,
        view: &View,
        node: &Arc<Node>,
        key: &Key,
        get: MetaGet,
        read: Read,
    ) -> Result<Read, Error> {
        let Some(lease) = &read.lease else { return Ok(read.without_item()) };
        // The second read tells which item is there afterwards.
        let cluster = self.until(view.deadline);
        let expired = cluster.ask_under(lease, &Expire { key, cas: lease.cas }).await;
        tracing::debug!(%key, node = %node.name, ?expired, "threw away an item of an older ring");
        let read = self.mg(view, node, key, get).await?;
        match self.trust(view, node, key, &read) {
            Trust::Trusted => Ok(read),
            Trust::Unknown => {
                view.note_ahead(node);
                Ok(read)
            }
            Trust::Untrusted => Ok(read.without_item()),
        }
    }

    async fn judge_each(
        &self,
        view: &View,
        keys: &[Key],
        members: Option<&[u32]>,
        get: MetaGet,
        reads: &mut Reads,
    ) {
        let is_doubtful = |member: &u32| match &reads[*member as usize] {
            Some(Ok(read)) => !self.is_current(view, read),
            _ => false,
        };
        let doubtful: Vec<u32> = match members {
            None => (0..keys.len() as u32).filter(is_doubtful).collect(),
            Some(members) => members.iter().copied().filter(is_doubtful).collect(),
        };
        let judged = doubtful.into_iter().filter_map(|member| {
            let (at, key) = (member as usize, &keys[member as usize]);
            let Some(Ok(read)) = reads[at].take() else { return None };
            let node = view.fleet.place(key).read_first();
            Some(async move { (at, self.judge(view, node, key, get, read).await) })
        });
        let judged: Vec<_> = judged.collect();
        for (at, read) in join_all(judged).await {
            reads[at] = Some(read);
        }
    }

    /// Makes a miss of what a present owner has kept from an older ring; it will not be asked again.
    fn forget_untrusted(&self, view: &View, keys: &[Key], members: &[u32], found: &mut Reads) {
        for member in members {
            let (at, key) = (*member as usize, &keys[*member as usize]);
            let Some(node) = view.fleet.place(key).read_then() else { continue };
            if let Some(Ok(read)) = found[at].take_if(
                |read| matches!(read, Ok(read) if self.trust(view, node, key, read) != Trust::Trusted),
            ) {
                found[at] = Some(Ok(read.without_item()));
            }
        }
    }

    /// Whether the item of a `read` from `node` may be believed; a miss always is.
    pub(crate) fn trust(&self, view: &View, node: &Node, key: &Key, read: &Read) -> Trust {
        read.stamp().map_or(Trust::Trusted, |stamp| view.fleet.trust(key, node, stamp))
    }
}

/// What came of copying keys to their next owners.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Copied {
    /// Keys whose items were found at their present owners, and offered to the next ones.
    pub items: usize,
    /// Keys that the next owners had already.
    pub there: usize,
    /// Keys that the next owners had not, nor the present ones as far as these could be asked.
    pub missing: usize,
    /// Keys whose next owners could not be asked.
    pub failed: usize,
    /// Bytes of the values of `items` and `there`.
    pub bytes: u64,
}

/// What the next owner missed, and the present one may have: its item, without a claim where it needs none.
fn either(read: Read, found: Read) -> Result<Read, Error> {
    match (found.item.is_some(), found.is_stale) {
        (true, true) => Ok(Read { claim: read.claim, ..found }),
        (true, false) => Ok(Read { claim: Claim::None, ..found }),
        (false, _) => Ok(read),
    }
}

/// How long a plain read may take to copy what it found.
const COPY_LEASE: Ttl = Ttl::MIN;
