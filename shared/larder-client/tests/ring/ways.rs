//! The ways to read a key, which all go by the ring alike.

use larder_client::{Cluster, Error, Item, Key, ReadOptions};

use crate::support::{MINUTE, text};

/// A way to read a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Get,
    Read,
    GetMany,
    ReadMany,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Get, Self::Read, Self::GetMany, Self::ReadMany];

    /// Reads `keys`: one after the other, where it is a way for one key.
    pub(crate) async fn read(self, cluster: &Cluster, keys: &[Key]) -> Vec<Result<Option<Item>, Error>> {
        let mut got = Vec::new();
        match self {
            Self::Get => {
                for key in keys {
                    got.push(cluster.get(key).await);
                }
            }
            Self::Read => {
                for key in keys {
                    got.push(cluster.read(key, LEASE).await.map(|read| read.item));
                }
            }
            Self::GetMany => got = cluster.get_many(keys).await,
            Self::ReadMany => {
                let reads = cluster.read_many(keys, LEASE).await;
                got = reads.into_iter().map(|read| Ok(read?.item)).collect();
            }
        }
        got
    }

    /// The texts under `keys`.
    pub(crate) async fn texts(self, cluster: &Cluster, keys: &[Key]) -> Vec<Option<String>> {
        self.read(cluster, keys).await.into_iter().map(text).collect()
    }

    /// The text under `key`.
    pub(crate) async fn text(self, cluster: &Cluster, key: &Key) -> Option<String> {
        self.texts(cluster, std::slice::from_ref(key)).await.remove(0)
    }

    /// Whether it takes part in who fills an item, and so keeps the stamp of the ring in its client flags.
    pub(crate) fn fills(self) -> bool {
        matches!(self, Self::Read | Self::ReadMany)
    }
}

/// Wins whatever can be won.
pub(crate) const LEASE: ReadOptions =
    ReadOptions { lease_for: Some(MINUTE), recache_below_secs: None, usage: false };
