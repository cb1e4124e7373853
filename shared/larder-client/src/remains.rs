//! Items of an epoch that the known ring document has not in its history ([`Trust::Unknown`]).
//!
//! Such an item is of a later document, or of one from before the epoch jumped: when all nodes lose the ring document
//! and a publisher founds another one, its epoch is the present time in seconds, and 16 bits of it do not tell earlier
//! from later. A client that meets such an item looks for a later document first. Where no node tells of one, the item
//! is what an earlier document left behind: it is thrown away, by its CAS token, and read once more, so that one reader
//! wins the lease and loads the key.
//!
//! A document that was published during that look may be missed. Then an item of the new epoch is thrown away, which
//! costs one load and is never wrong.

use std::sync::Arc;

use futures_util::future::join_all;
use larder_meta::{Key, MetaGet};
use larder_ring::Trust;

use crate::Error;
use crate::cluster::Cluster;
use crate::lease::Read;
use crate::node::Node;
use crate::view::View;

impl Cluster {
    /// What a `read` of `key` is under `view`, which is the ring in force as far as any node tells: an item of an
    /// unknown epoch is replaced by what a second read finds.
    pub(crate) async fn replace_remains(
        &self,
        view: &View,
        key: &Key,
        get: MetaGet,
        read: Read,
    ) -> Result<Read, Error> {
        let Some(node) = self.remains_at(view, key, &read) else { return Ok(read) };
        tracing::info!(%key, node = %node.name, "an item of an epoch that no ring document has, to be loaded anew");
        let read = Box::pin(self.read_anew(view, node, key, get, read)).await?;
        Ok(if self.remains_at(view, key, &read).is_some() { read.without_item() } else { read })
    }

    /// The same for each of `reads`, side by side.
    pub(crate) async fn replace_remains_each(
        &self,
        view: &View,
        keys: &[Key],
        get: MetaGet,
        reads: &mut [Option<Result<Read, Error>>],
    ) {
        if view.ahead().is_none() {
            return;
        }
        let remains = reads.iter_mut().enumerate().filter_map(|(at, read)| {
            let is_remains =
                matches!(read, Some(Ok(read)) if self.remains_at(view, &keys[at], read).is_some());
            Some((at, read.take_if(|_| is_remains)?.ok()?))
        });
        let replaced: Vec<_> = remains
            .map(|(at, read)| async move { (at, self.replace_remains(view, &keys[at], get, read).await) })
            .collect();
        for (at, read) in join_all(replaced).await {
            reads[at] = Some(read);
        }
    }

    /// The node on which a `read` of `key` has found an item of an epoch that `view` does not know; `None` for any other
    /// item, and at no cost where the call has met none.
    fn remains_at<'v>(&self, view: &'v View, key: &Key, read: &Read) -> Option<&'v Arc<Node>> {
        view.ahead()?;
        let node = view.fleet.place(key).read_first();
        let is_unknown = node.name == read.node && self.trust(view, node, key, read) == Trust::Unknown;
        is_unknown.then_some(node)
    }
}
