//! The truth: all rows and lists, and what is known of the times in which the cache may lag behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use larder_cache::Tag;
use larder_client::Key;

use crate::kind::Kind;
use crate::lapse::Lapses;
use crate::list::List;
use crate::row::Row;
use crate::tally::Tally;

/// Rows of all kinds, each cached by a policy of its own, and lists.
pub(crate) struct Origin {
    pub(crate) rows: Vec<Row>,
    /// Rows that are never written, of all kinds but the short one; see `quiet.rs`.
    pub(crate) quiet: Vec<Row>,
    pub(crate) lists: Vec<List>,
    pub(crate) tag: Tag,
    pub(crate) lapses: Lapses,
    pub(crate) tally: Arc<Tally>,
    is_over: AtomicBool,
}

impl Origin {
    pub(crate) fn new(seed: u64, tally: Arc<Tally>) -> Self {
        let seed = seed.to_string();
        let key = |kind: &str, number: usize| Key::compose([kind, &seed, &number.to_string()]).unwrap();
        let (tag, quiet_tag) = (Tag::new(["rows"]), Tag::new(["quiet"]));
        let row = |number| Row::new(number, key("rows", number), Kind::of(number).policy(&tag));
        let quiet = |number: usize| {
            let kind = if number.is_multiple_of(2) { Kind::Hard } else { Kind::Tagged };
            Row::new(number, key("quiet", number), kind.policy(&quiet_tag))
        };
        Self {
            rows: (0..ROWS).map(row).collect(),
            quiet: (0..QUIET_ROWS).map(quiet).collect(),
            lists: (0..LISTS).map(|number| List::new(key("lists", number))).collect(),
            tag,
            lapses: Lapses::default(),
            tally,
            is_over: false.into(),
        }
    }

    /// The nodes have seen all their changes, or so much is wrong that there is no need to go on.
    pub(crate) fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    /// The rows that are read and written most.
    pub(crate) fn hot(&self) -> &[Row] {
        &self.rows[..ROWS / 8]
    }
}

const ROWS: usize = 120;
const QUIET_ROWS: usize = 16;
const LISTS: usize = 3;
