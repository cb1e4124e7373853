//! Which tables may be read, and by which key.

use std::collections::HashSet;
use std::str::FromStr;

use crate::identifier::{Identifier, InvalidIdentifier};

/// A table that may be read by its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableConfig {
    /// The table's name: in the schema, in requests and in cache keys.
    pub table: Identifier,
    /// The column that finds a row. The schema must hold it unique, as integer or text: that is the id's kind.
    pub key: Identifier,
    /// The columns of a record, which come in the table's order; `None` for all of them.
    pub columns: Option<Vec<Identifier>>,
    /// The column that counts a row's writes, an integer of 64 bits; `None` if the table has none.
    ///
    /// A write adds 1 to it. Where the column holds no count (NULL, nothing, a number below 0 or with a fraction, a text),
    /// the row counts as version 0, and its next write gives it the time, as a new row. A new row begins at the time, in milliseconds since 1970 by the clock of whoever writes:
    /// a row that was deleted and comes again is thereby above what it was before, and so is what caches compare, as
    /// long as it was not written more than once in a millisecond throughout its life. Whoever writes the table without
    /// us has to do likewise. It cannot be set by a write, and a row whose version is 2^63-1 or above takes none.
    pub version: Option<Identifier>,
}

impl TableConfig {
    /// A table with all its columns and without versions.
    #[must_use]
    pub fn new(table: Identifier, key: Identifier) -> Self {
        Self { table, key, columns: None, version: None }
    }
}

/// The tables an origin answers for: 1 to [`MAX_TABLES`], no name twice.
///
/// Written compactly, as in an environment variable, a table is `table:key` and a comma stands between two.
///
/// ```
/// use larder_origin::Tables;
///
/// let tables: Tables = "flights:id,airports:faa".parse()?;
/// assert_eq!(tables.as_slice()[1].key.as_str(), "faa");
/// # Ok::<(), larder_origin::InvalidTables>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tables(Vec<TableConfig>);

impl Tables {
    /// Takes `tables` as what an origin answers for.
    ///
    /// # Errors
    /// [`InvalidTables`] if there are none or too many, or one is named twice.
    pub fn new(tables: Vec<TableConfig>) -> Result<Self, InvalidTables> {
        if tables.is_empty() {
            return Err(InvalidTables::Empty);
        }
        if tables.len() > MAX_TABLES {
            return Err(InvalidTables::TooMany(tables.len()));
        }
        let mut names = HashSet::new();
        match tables.iter().find(|config| !names.insert(&config.table)) {
            Some(again) => Err(InvalidTables::Duplicate(again.table.clone())),
            None => Ok(Self(tables)),
        }
    }

    /// The tables, in the order given.
    #[must_use]
    pub fn as_slice(&self) -> &[TableConfig] {
        &self.0
    }

    pub(crate) fn into_vec(self) -> Vec<TableConfig> {
        self.0
    }
}

impl FromStr for Tables {
    type Err = InvalidTables;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err(InvalidTables::Empty);
        }
        let tables = text.split(',').zip(1..).map(|(entry, place)| parse_entry(entry, place));
        Self::new(tables.collect::<Result<_, _>>()?)
    }
}

fn parse_entry(entry: &str, place: usize) -> Result<TableConfig, InvalidTables> {
    let (table, key) = entry.split_once(':').ok_or(InvalidTables::Entry { place })?;
    let name =
        |text: &str| Identifier::new(text.trim()).map_err(|fault| InvalidTables::Name { place, fault });
    Ok(TableConfig::new(name(table)?, name(key)?))
}

/// Why a list of tables was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTables {
    /// No table at all.
    #[error("no table is named; write table:key,table:key")]
    Empty,
    /// More tables than an origin takes.
    #[error("{0} tables are named, more than {MAX_TABLES}")]
    TooMany(usize),
    /// The same table twice: by which key?
    #[error("table {0} is named twice")]
    Duplicate(Identifier),
    /// An entry without its colon.
    #[error("entry {place} is not table:key")]
    Entry {
        /// The entry's place, from 1.
        place: usize,
    },
    /// A name in an entry that cannot be one.
    #[error("entry {place}: {fault}")]
    Name {
        /// The entry's place, from 1.
        place: usize,
        /// What is wrong with the name.
        fault: InvalidIdentifier,
    },
}

/// Most tables taken.
pub const MAX_TABLES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tables_is_read_in_order() {
        check(
            "flights:id,airports:faa,planes:tailnum,airlines:carrier",
            Ok("flights:id airports:faa planes:tailnum airlines:carrier"),
        );
    }

    #[test]
    fn blanks_around_names_are_overlooked() {
        check(" flights : id , airports:faa\n", Ok("flights:id airports:faa"));
    }

    #[test]
    fn an_empty_list_is_refused() {
        check("", Err(InvalidTables::Empty));
        check("  ", Err(InvalidTables::Empty));
        assert_eq!(Tables::new(Vec::new()), Err(InvalidTables::Empty));
    }

    #[test]
    fn a_table_without_a_key_is_refused() {
        check("flights:id,airports", Err(InvalidTables::Entry { place: 2 }));
        check("flights:id,", Err(InvalidTables::Entry { place: 2 }));
        check("flights:", Err(InvalidTables::Name { place: 1, fault: InvalidIdentifier::Length(0) }));
    }

    #[test]
    fn a_name_that_is_no_identifier_is_refused() {
        check(
            "flights:id;drop",
            Err(InvalidTables::Name { place: 1, fault: InvalidIdentifier::Character { at: 2 } }),
        );
        check(
            "flights:id:integer",
            Err(InvalidTables::Name { place: 1, fault: InvalidIdentifier::Character { at: 2 } }),
        );
    }

    #[test]
    fn a_table_named_twice_is_refused() {
        check("a:id,b:id,a:other", Err(InvalidTables::Duplicate(Identifier::new("a").unwrap())));
    }

    #[test]
    fn too_many_tables_are_refused() {
        let list = |count| (0..count).map(|at| format!("t{at}:id")).collect::<Vec<_>>().join(",");
        assert_eq!(list(MAX_TABLES).parse::<Tables>().unwrap().as_slice().len(), MAX_TABLES);
        check(&list(MAX_TABLES + 1), Err(InvalidTables::TooMany(MAX_TABLES + 1)));
    }

    /// Reads `text` and compares the tables written one `table:key` after the other.
    #[track_caller]
    fn check(text: &str, expected: Result<&str, InvalidTables>) {
        let written = |tables: Tables| {
            let entry = |config: &TableConfig| format!("{}:{}", config.table, config.key);
            tables.as_slice().iter().map(entry).collect::<Vec<_>>().join(" ")
        };
        let actual = text.parse().map(written);
        assert_eq!(actual.as_deref(), expected.as_deref(), "{text:?}");
    }
}
