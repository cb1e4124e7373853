//! What an environment notes for the conductor.

use super::clock::Stamp;
use super::history::{Read, Sighting, Write};
use super::link::Outbox;
use super::messages::Report;
use super::ring_mark::RingMark;
use larder_client::Cluster;
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Notes, sent piece by piece.
pub(crate) struct Journal {
    outbox: Outbox<Report>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    reads: Vec<Read>,
    writes: Vec<Write>,
    /// Writes that have not ended, by their tickets.
    open: HashMap<u64, Write>,
    tickets: u64,
    /// The ring that was seen last.
    ring: Option<RingMark>,
}

impl Journal {
    pub(crate) fn new(outbox: Outbox<Report>) -> Self {
        Self { outbox, notes: Mutex::default() }
    }

    pub(crate) async fn has_read(&self, reads: impl IntoIterator<Item = Read>) {
        let full = {
            let mut notes = self.notes();
            notes.reads.extend(reads);
            (notes.reads.len() >= PIECE).then(|| mem::take(&mut notes.reads))
        };
        if let Some(reads) = full {
            self.outbox.send(Report::Reads(reads)).await;
        }
    }

    /// Notes a write that has been committed; answers a ticket for its end.
    pub(crate) fn begins_to_write(&self, key: u32, version: u32, begin: Stamp) -> u64 {
        let mut notes = self.notes();
        notes.tickets += 1;
        let ticket = notes.tickets;
        notes.open.insert(ticket, Write { key, version, begin, end: None });
        ticket
    }

    pub(crate) async fn has_written(&self, ticket: u64, end: Stamp) {
        let full = {
            let mut notes = self.notes();
            let write = notes.open.remove(&ticket).map(|write| Write { end: Some(end), ..write });
            notes.writes.extend(write);
            (notes.writes.len() >= PIECE).then(|| mem::take(&mut notes.writes))
        };
        if let Some(writes) = full {
            self.outbox.send(Report::Writes(writes)).await;
        }
    }

    /// Notes which ring is routed by, if it is another one than before.
    pub(crate) async fn look_at_ring(&self, cluster: &Cluster) {
        let Some(ring) = RingMark::routed_by(cluster).await else { return };
        let at = Stamp::now();
        if self.notes().ring.replace(ring.clone()).as_ref() != Some(&ring) {
            self.outbox.send(Report::Sighting(Sighting { at, ring })).await;
        }
    }

    /// Sends what has been noted.
    pub(crate) async fn flush(&self) {
        let (reads, writes) = {
            let mut notes = self.notes();
            (mem::take(&mut notes.reads), mem::take(&mut notes.writes))
        };
        self.outbox.send(Report::Reads(reads)).await;
        self.outbox.send(Report::Writes(writes)).await;
    }

    /// Sends what has been noted, with the writes that have not ended and never will.
    pub(crate) async fn close(&self) {
        {
            let notes = &mut *self.notes();
            notes.writes.extend(notes.open.drain().map(|(_, write)| write));
        }
        self.flush().await;
    }

    /// Never held while waiting.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many notes are sent at once.
const PIECE: usize = 256;
