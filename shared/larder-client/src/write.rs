//! Writes of one key: to its owner, and while it moves also past the other one.

use std::sync::Arc;

use larder_meta::{
    Arithmetic, Key, MetaArithmetic, MetaDelete, MetaGet, MetaSet, Reply, ReplyFlags, SetMode, Ttl,
};

use crate::cluster::{Cluster, stored, unexpected};
use crate::item::{Cas, NewItem, Stored};
use crate::lease::{Claim, Lease, Read};
use crate::node::{Node, Request};
use crate::place::Place;
use crate::requests::{Count, Delete, Expire, Get, Set};
use crate::view::View;
use crate::{Error, NodeError};

/// While a key moves to another owner a write ends when both have heard of it; where one of them cannot be reached, it
/// is an error, although the other one has done it.
impl Cluster {
    /// Stores `item`, whatever was there.
    pub async fn set(&self, item: NewItem<'_>) -> Result<(), Error> {
        self.ms(item, SetMode::Set, None).await.map(drop)
    }

    /// Stores `item` if there is none under its key; else [`Stored::Refused`].
    pub async fn add(&self, item: NewItem<'_>) -> Result<Stored, Error> {
        self.ms(item, SetMode::Add, None).await
    }

    /// Stores `item` if there is one under its key; else [`Stored::Refused`].
    pub async fn replace(&self, item: NewItem<'_>) -> Result<Stored, Error> {
        self.ms(item, SetMode::Replace, None).await
    }

    /// Stores `item` if the one under its key has still the version `cas`; refused as well if its key has another owner
    /// by now, or if the connection that the version was read by is gone: read it again then.
    pub async fn compare_and_set(&self, item: NewItem<'_>, cas: Cas) -> Result<Stored, Error> {
        self.ms(item, SetMode::Set, Some(cas)).await
    }

    /// Stores `item` under a lease; refused if the lease was voided, ran out, or its connection is gone.
    ///
    /// A refused fill is no error: the value is good for the caller who loaded it, only not for others. Of the client
    /// flags the upper 16 bits are not the caller's: they say under which ring the lease was won, see
    /// [`read`](Self::read).
    pub async fn fill(&self, item: NewItem<'_>, lease: &Lease) -> Result<Stored, Error> {
        let Lease { node, connection, cas, .. } = lease;
        let item = NewItem { client_flags: lease.stamped(item.client_flags), ..item };
        let result = match self.set_request(item, SetMode::Set, Some(*cas)) {
            Ok(request) => node.ask_on(connection, self.deadline(), &request).await,
            Err(error) => Err(error),
        };
        match result {
            Err(NodeError::Lost { .. }) => Ok(Stored::Refused),
            result => result
                .and_then(|answer| {
                    stored(answer.into_reply()?).inspect_err(|error| connection.distrust(error))
                })
                .map_err(|error| self.failed(node, error)),
        }
    }

    /// Stores `item` in place of what a read found, for a writer who knows that it is newer: refused as
    /// [`fill`](Self::fill) is, and where its key has no single owner that has been read. All others know of a refused
    /// write only what [`delete`](Self::delete) tells them.
    pub async fn put_in_place(&self, item: NewItem<'_>, lease: &Lease) -> Result<Stored, Error> {
        let view = self.view().await?;
        let is_read_there = |view: &View| match view.fleet.place(item.key) {
            Place::Settled(node) => Arc::ptr_eq(node, &lease.node),
            Place::Moving { .. } => false,
        };
        if !is_read_there(&view) {
            return Ok(Stored::Refused);
        }
        let stored = self.fill(item, lease).await;
        match self.shared.after_write(&view).await.newer(&stored)? {
            // Whoever owns the key by now has not heard of it.
            Some(newer) if !is_read_there(&newer) => Ok(Stored::Refused),
            _ => stored,
        }
    }

    /// Ends the lease that somebody else holds, if it is still the one that was `read`: the next reader wins it. For
    /// whoever knows that the other is dead; a value that it stores yet is refused.
    ///
    /// An item that was found stays as it is, marked stale or not, for as long as it had left. Answers whether the
    /// lease was ended; of many who try, one does. Not on 1.6.12 for an item that is marked stale, where it is as if
    /// somebody else had been quicker.
    pub async fn take_over(&self, key: &Key, read: &Read) -> Result<bool, Error> {
        match &read.claim {
            Claim::Lost(lease) => self.end_lease(key, read, lease).await,
            _ => Ok(false),
        }
    }

    /// Ends the lease that was won by what was `read`, and fills nothing: the next reader wins it. Nothing is done
    /// about a [`Claim`] that was not won, and about a lease that is void.
    ///
    /// An item that was found stays as it is, as with [`take_over`](Self::take_over), but for one that has no whole
    /// second left, and on 1.6.12 for one that is marked stale: these go with the lease.
    ///
    /// # Errors
    ///
    /// [`Error`] where that is not known to be done; the lease then ends by its own time.
    pub async fn release(&self, key: &Key, read: &Read) -> Result<(), Error> {
        let Claim::Won(lease) = &read.claim else { return Ok(()) };
        if self.end_lease(key, read, lease).await? {
            return Ok(());
        }
        // Where that was refused because the lease is void, this is, too.
        self.give_back(key, lease).await
    }

    /// Ends `lease`, under which what was `read` is to be filled, and leaves what there is; answers whether it was
    /// ended.
    async fn end_lease(&self, key: &Key, read: &Read, lease: &Lease) -> Result<bool, Error> {
        let item = read.item.as_ref().filter(|_| read.lease.as_ref().is_some_and(|own| own.cas == lease.cas));
        let Some(item) = item else {
            return self.ask_under(lease, &Expire { key, cas: lease.cas }).await;
        };
        // It ends by itself, at once.
        let Some(ttl) = read.ttl_left() else { return Ok(false) };
        let compare = Some(lease.cas.token);
        if read.is_stale {
            let delete = MetaDelete { compare, stale: true, ttl: Some(ttl), ..MetaDelete::default() };
            return self.ask_under(lease, &Delete { key, delete }).await;
        }
        let set = MetaSet { compare, client_flags: read.stamped(item), ..MetaSet::new(ttl) };
        self.ask_under(lease, &Set { key, value: &item.value, set }).await
    }

    /// Whether `request`, which compares, was done on the connection of `lease`.
    pub(crate) async fn ask_under<R: Request>(&self, lease: &Lease, request: &R) -> Result<bool, Error> {
        let Lease { node, connection, .. } = lease;
        let answer = match node.ask_on(connection, self.deadline(), request).await {
            Err(NodeError::Lost { .. }) => return Ok(false),
            answer => answer,
        };
        let stored = answer
            .and_then(|answer| stored(answer.into_reply()?).inspect_err(|error| connection.distrust(error)));
        stored.map(|stored| stored == Stored::Yes).map_err(|error| self.failed(node, error))
    }

    /// Removes the item under `key`; answers whether there was one.
    ///
    /// Where the first try got no answer and was repeated, that may be `false` for an item that the first one removed.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        self.write(key, &Delete { key, delete: MetaDelete::default() }, None, removed).await
    }

    /// Marks the item under `key` stale and lets it live for `ttl` yet; answers whether there was one. The next
    /// reader wins the right to fill it, whether it asks for a lease or not. Plain reads give it as any other item.
    pub async fn mark_stale(&self, key: &Key, ttl: Ttl) -> Result<bool, Error> {
        let delete = MetaDelete { stale: true, ttl: Some(ttl), ..MetaDelete::default() };
        self.write(key, &Delete { key, delete }, None, removed).await
    }

    /// Gives a lease back unfilled, so that the next reader wins it at once.
    pub async fn give_back(&self, key: &Key, lease: &Lease) -> Result<(), Error> {
        self.ask_under(lease, &Expire { key, cas: lease.cas }).await.map(drop)
    }

    /// Gives the item under `key` a new TTL without reading it; answers whether there was one. As
    /// [`get`](Self::get) it declines to refresh a stale item, at the price of another round trip.
    pub async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool, Error> {
        let get = MetaGet { touch: Some(ttl), ..MetaGet::default() };
        let request = Get { key, get };
        let touched = self.write(key, &request, None, |reply| match reply {
            Reply::Done(flags) => Ok(Some(flags)),
            Reply::Miss(_) => Ok(None),
            other => Err(unexpected(other)),
        });
        let touched = touched.await?;
        if touched.is_some_and(|flags| flags.won) {
            // If that fails, it is old until it ends, as it may be.
            let request = Delete { key, delete: MetaDelete { stale: true, ..MetaDelete::default() } };
            let declined = Box::pin(self.write(key, &request, None, removed)).await;
            tracing::debug!(%key, ?declined, "left a stale item to others");
        }
        Ok(touched.is_some())
    }

    /// Adds `delta` to the number under `key`, wrapping at 2^64, and answers the new one. `None` where there is none
    /// and `initial` does not make one.
    ///
    /// A number may begin anew where its key changes its owner, as where its item is lost. A read gives it in digits, with
    /// blanks behind them where it once had more: [`Item::count`](crate::Item::count) is the number.
    pub async fn increment(
        &self,
        key: &Key,
        delta: u64,
        initial: Option<(Ttl, u64)>,
    ) -> Result<Option<u64>, Error> {
        self.ma(key, Arithmetic::Increment, delta, initial).await
    }

    /// Takes `delta` from the number under `key`, down to 0, and answers the new one. `None` where there is none and
    /// `initial` does not make one.
    ///
    /// See [`increment`](Self::increment).
    pub async fn decrement(
        &self,
        key: &Key,
        delta: u64,
        initial: Option<(Ttl, u64)>,
    ) -> Result<Option<u64>, Error> {
        self.ma(key, Arithmetic::Decrement, delta, initial).await
    }

    async fn ms(&self, item: NewItem<'_>, mode: SetMode, compare: Option<Cas>) -> Result<Stored, Error> {
        match self.set_request(item, mode, compare) {
            Ok(request) => self.write(item.key, &request, compare, stored).await,
            Err(error) => Err(Error::Node { node: self.owner(item.key).await?, source: error }),
        }
    }

    async fn ma(
        &self,
        key: &Key,
        mode: Arithmetic,
        delta: u64,
        initial: Option<(Ttl, u64)>,
    ) -> Result<Option<u64>, Error> {
        let count = MetaArithmetic { mode, delta, initial, touch: None, opaque: None };
        self.write(key, &Count { key, count }, None, |reply| match &reply {
            Reply::Value(digits, _) => {
                let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.trim().parse().ok());
                number.map(Some).ok_or_else(|| unexpected(reply))
            }
            Reply::NotFound(_) => Ok(None),
            _ => Err(unexpected(reply)),
        })
        .await
    }

    /// Sends `request` to whoever is to be written, and has the other owner of a moving key forget it; again, if the
    /// ring turns out to be another one. A request that compares is for the connection of the version `compare` alone:
    /// elsewhere it is as if the node had replied that it has another version.
    async fn write<R: Request, T>(
        &self,
        key: &Key,
        request: &R,
        compare: Option<Cas>,
        understand: impl Fn(Reply) -> Result<T, NodeError>,
    ) -> Result<T, Error> {
        let mut view = self.view().await?;
        loop {
            let fleet = Arc::clone(&view.fleet);
            let place = fleet.place(key);
            let voided_before = self.void(&view, place.voided_before(), key).await;
            let node = place.written();
            let written = match compare {
                None => self.ask(&view, node, request, |reply, _| understand(reply)).await,
                Some(cas) => self.compared(&view, node, cas, request, &understand).await,
            };
            let voided_after = self.void(&view, place.voided_after(), key).await;
            let result = voided_before.and(voided_after).and(written);
            loop {
                let Some(newer) = self.shared.after_write(&view).await.newer(&result)? else { return result };
                view = newer;
                let now = view.fleet.place(key);
                if !place.writes_like(now) {
                    break;
                }
                // That takes its time, too.
                self.void(&view, now.voided_after(), key).await?;
            }
        }
    }

    /// Sends `request`, which compares with the version `cas`, on the connection that it was read by. Where that is
    /// gone, the node may use the same tokens for other items: it is as if it had another version.
    async fn compared<R: Request, T>(
        &self,
        view: &View,
        node: &Arc<Node>,
        cas: Cas,
        request: &R,
        understand: impl Fn(Reply) -> Result<T, NodeError>,
    ) -> Result<T, Error> {
        let answered = match node.connection(&self.shared.common, view.now, cas.connection) {
            None => understand(Reply::Exists(ReplyFlags::default())),
            Some(connection) => view.ask_on(node, &connection, request).await.and_then(|answer| {
                understand(answer.into_reply()?).inspect_err(|error| connection.distrust(error))
            }),
        };
        answered.map_err(|error| self.failed(node, error))
    }

    /// Removes `key` from a `node` that is not written, if there is one, so that its leases are void, too.
    async fn void(&self, view: &View, node: Option<&Arc<Node>>, key: &Key) -> Result<(), Error> {
        let Some(node) = node else { return Ok(()) };
        let delete = MetaDelete::default();
        self.ask(view, node, &Delete { key, delete }, |reply, _| removed(reply)).await.map(drop)
    }

    fn set_request<'a>(
        &self,
        item: NewItem<'a>,
        mode: SetMode,
        compare: Option<Cas>,
    ) -> Result<Set<'a>, NodeError> {
        item.check_len(self.shared.common.config.max_item_len)?;
        let set = MetaSet { mode, compare: compare.map(|cas| cas.token), ..item.to_set() };
        Ok(Set { key: item.key, value: item.value, set })
    }
}

/// Whether there was something to remove.
pub(crate) fn removed(reply: Reply) -> Result<bool, NodeError> {
    match reply {
        Reply::Done(_) => Ok(true),
        Reply::NotFound(_) => Ok(false),
        other => Err(unexpected(other)),
    }
}
