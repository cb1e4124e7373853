//! `W5` and `W5C`: the keys of a node listed, and a node copied into another.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::join;
use larder_client::{Cluster, Config, Dump, DumpedKey, Endpoint, Item, Key, NewItem, Ttl};
use larder_ring::RingNode;

use crate::load::cluster;
use crate::meter::{Meter, Summary};
use crate::protocol::Settings;

/// `W5`: all keys of the first node, as they come.
pub(crate) async fn list(settings: &Settings) -> Result<Summary> {
    let source = cluster(settings, TIMEOUT)?;
    let meter = Meter::start(&settings.window)?;
    let mut dump = dump(&source).await?;
    let mut count = 0;
    loop {
        let keys = dump.next().await?;
        if keys.is_empty() {
            return meter.finish_with(count, count);
        }
        count += keys.len() as u64;
    }
}

/// `W5C`: every item of the first node into the second, with client flags and what is left of its TTL.
///
/// The list comes first, then piece after piece is read and written, the next one read while the last is written.
pub(crate) async fn copy(settings: &Settings) -> Result<Summary> {
    let [source, target] = &settings.nodes[..] else {
        bail!("PEER_NODES has to name two nodes: source and target")
    };
    let (source, target) = (alone(source)?, alone(target)?);
    let mut meter = Meter::start(&settings.window)?;
    let (mut keys, mut ttls) = (Vec::new(), Vec::new());
    let mut dump = dump(&source).await?;
    loop {
        let listed = dump.next().await?;
        if listed.is_empty() {
            break;
        }
        for DumpedKey { key, ttl } in listed {
            keys.push(key);
            ttls.push(ttl);
        }
    }
    let mut pieces = keys.chunks(PIECE).zip(ttls.chunks(PIECE));
    let mut piece = pieces.next();
    let mut read = read_piece(&source, piece).await?;
    let mut copied = 0;
    while let Some((keys, ttls)) = piece {
        let found = keys.iter().zip(ttls).zip(&read).filter_map(|((key, ttl), item)| {
            let item = item.as_ref()?;
            Some(NewItem { key, value: &item.value, client_flags: item.client_flags, ttl: *ttl })
        });
        let items = Vec::from_iter(found);
        piece = pieces.next();
        let (failures, following) = join(target.set_many(&items), read_piece(&source, piece)).await;
        meter.add_errors(failures.len());
        copied += (items.len() - failures.len()) as u64;
        read = following?;
    }
    meter.finish_with(copied, copied)
}

async fn dump(source: &Cluster) -> Result<Dump> {
    source.dump(0).await?.context("there is no first node")
}

async fn read_piece(source: &Cluster, piece: Option<(&[Key], &[Ttl])>) -> Result<Vec<Option<Item>>> {
    let keys = piece.map(|(keys, _)| keys).unwrap_or_default();
    source.get_many(keys).await.into_iter().map(|item| item.context("a read failed")).collect()
}

fn alone(node: &RingNode) -> Result<Cluster> {
    let endpoint = Endpoint::Nodes(vec![node.clone()]);
    Ok(Cluster::new(Config { timeout: TIMEOUT, ..Config::new(endpoint) })?)
}

/// Keys read and written at a time.
const PIECE: usize = 2000;
/// Bulk work may take longer than a request of a function.
const TIMEOUT: Duration = Duration::from_secs(60);
