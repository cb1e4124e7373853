//! Reads of one key.

use std::sync::Arc;

use larder_meta::{Key, MetaDelete, MetaGet};
use larder_ring::Trust;

use crate::Error;
use crate::cluster::Cluster;
use crate::item::{Cas, Item};
use crate::lease::{Read, ReadOptions, item};
use crate::node::Node;
use crate::requests::{Delete, Get};
use crate::view::View;
use crate::write::removed;

impl Cluster {
    /// Reads the item under `key`; `None` on a miss, and for a lease that nobody has filled yet.
    ///
    /// Takes no part in who fills an item, which is what [`read`](Self::read) is for: where a node makes us the one
    /// to refresh a stale item, we decline, at the price of another round trip. While the key moves to another owner
    /// it is copied there, at the price of two.
    pub async fn get(&self, key: &Key) -> Result<Option<Item>, Error> {
        let mut view = self.view().await?;
        loop {
            let place = view.fleet.place(key);
            let got = match place.read_then() {
                None => self.get_from(&view, place.read_first(), key).await,
                Some(_) => Box::pin(self.get_moving(&view, key)).await,
            };
            match self.shared.after(&view).await.newer(&got)? {
                Some(newer) if !place.reads_like(newer.fleet.place(key)) => view = newer,
                _ => return got,
            }
        }
    }

    /// Reads the item under `key` with its CAS token, to be changed by [`compare_and_set`](Self::compare_and_set): of a stale
    /// item it may take the right to refresh, for which others then wait.
    pub async fn get_with_cas(&self, key: &Key) -> Result<Option<(Item, Cas)>, Error> {
        let get = MetaGet { cas: true, client_flags: true, value: true, ..MetaGet::default() };
        let mut view = self.view().await?;
        loop {
            let node = view.fleet.place(key).written();
            let read = self.mg(&view, node, key, get).await;
            match self.shared.after(&view).await.newer(&read)? {
                Some(newer) if !Arc::ptr_eq(node, newer.fleet.place(key).written()) => view = newer,
                _ => return read.map(|read| read.item.zip(read.lease.map(|lease| lease.cas))),
            }
        }
    }

    /// Reads the item under `key` with all that a cache-aside read needs to know, and may win the right to fill it.
    ///
    /// For items that [`fill`](Self::fill) stored: one that its node has not owned all the time since is thrown away,
    /// for somebody else may have changed it on another node. So the upper 16 bits of its client flags are not the
    /// caller's.
    pub async fn read(&self, key: &Key, options: ReadOptions) -> Result<Read, Error> {
        let mut view = self.view().await?;
        loop {
            let place = view.fleet.place(key);
            let read = match place.read_then() {
                None => self.mg(&view, place.read_first(), key, options.to_get()).await,
                Some(_) => return Box::pin(self.read_in_rounds(view, key, options)).await,
            };
            let read = match read {
                Ok(read) if self.trust(&view, place.read_first(), key, &read) != Trust::Trusted => {
                    Box::pin(self.judge(&view, place.read_first(), key, options.to_get(), read)).await
                }
                read => read,
            };
            match self.shared.after(&view).await.newer(&read)? {
                Some(newer) if !self.is_good_under(&newer, place, key, read.as_ref().ok()) => view = newer,
                Some(_) => return read.map(Read::unstamped),
                None => {
                    let read = match read {
                        Ok(read) if view.ahead().is_some() => {
                            self.replace_remains(&view, key, options.to_get(), read).await
                        }
                        read => read,
                    };
                    return read.map(Read::unstamped);
                }
            }
        }
    }

    pub(crate) async fn mg(
        &self,
        view: &View,
        node: &Arc<Node>,
        key: &Key,
        get: MetaGet,
    ) -> Result<Read, Error> {
        let stamp = Some(view.fleet.stamp());
        self.ask(view, node, &Get { key, get }, |reply, connection| {
            Read::from_reply(reply, node, connection, stamp, view.now)
        })
        .await
    }

    async fn get_from(&self, view: &View, node: &Arc<Node>, key: &Key) -> Result<Option<Item>, Error> {
        let get = MetaGet { client_flags: true, value: true, ..MetaGet::default() };
        let (item, flags) = self.ask(view, node, &Get { key, get }, |reply, _| item(reply)).await?;
        if flags.won {
            self.decline(view, node, key).await;
        }
        Ok(item)
    }

    /// Leaves a stale item to others that `node` has made us refresh.
    pub(crate) async fn decline(&self, view: &View, node: &Arc<Node>, key: &Key) {
        // If that fails, the item is old until it ends, as it may be.
        let delete = MetaDelete { stale: true, ..MetaDelete::default() };
        let declined = self.ask(view, node, &Delete { key, delete }, |reply, _| removed(reply)).await;
        tracing::debug!(%key, ?declined, "left a stale item to others");
    }

    async fn get_moving(&self, view: &View, key: &Key) -> Result<Option<Item>, Error> {
        let mut got = self.get_moving_many(view, std::slice::from_ref(key), &[0]).await;
        got.pop().unwrap_or(Ok(None))
    }

    async fn read_in_rounds(&self, view: View, key: &Key, options: ReadOptions) -> Result<Read, Error> {
        let mut reads = self.read_many_under(view, std::slice::from_ref(key), options).await;
        reads.pop().expect("one key gives one answer")
    }
}
