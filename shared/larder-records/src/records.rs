//! The tables that are served, and the keys of their records.

use std::collections::HashMap;

use larder_cache::Tag;
use larder_client::{InvalidKey, Key};
use larder_origin::Id;

use crate::tables::Table;

/// The tables that are served, and the keys of their records.
#[derive(Debug)]
pub struct Records {
    tables: HashMap<String, Table>,
    key_prefix: Option<String>,
}

impl Records {
    /// The `tables`, whose keys begin with `key_prefix`.
    pub(crate) fn new(tables: Vec<Table>, key_prefix: Option<String>) -> Self {
        let tagged = |mut table: Table| {
            if table.is_namespace {
                table.policy.tags = vec![Tag::new(key_prefix.as_deref().into_iter().chain([table.name()]))];
            }
            (table.name().to_owned(), table)
        };
        let tables = tables.into_iter().map(tagged).collect();
        Self { tables, key_prefix }
    }

    /// The first part of every key, where there is one.
    pub(crate) fn key_prefix(&self) -> Option<&str> {
        self.key_prefix.as_deref()
    }

    /// A table that is served; `None` for one that is not.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// All of them, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// The key of a record: `table:id` or `prefix:table:id`; records of another shape than the first stand beside
    /// these, under `table.shape:id`.
    ///
    /// # Errors
    /// [`InvalidKey`] for a table with a name that ElastiCache keeps to itself.
    pub fn key(&self, table: &Table, id: &Id) -> Result<Key, InvalidKey> {
        self.key_of_schema(table, id, table.policy.schema)
    }

    /// The keys to forget where a record changes: its own, and those of the shapes before and after it, which the other
    /// version of a function reads while one is deployed.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn keys_to_forget(&self, table: &Table, id: &Id) -> Result<Vec<Key>, InvalidKey> {
        let schema = table.policy.schema;
        let beside = [schema.checked_sub(1), schema.checked_add(1)].into_iter().flatten();
        let schemas = [schema].into_iter().chain(beside);
        schemas.map(|schema| self.key_of_schema(table, id, schema)).collect()
    }

    fn key_of_schema(&self, table: &Table, id: &Id, schema: u8) -> Result<Key, InvalidKey> {
        let name = match schema {
            0 => table.name().to_owned(),
            schema => format!("{}.{schema}", table.name()),
        };
        Key::compose(self.key_prefix.as_deref().into_iter().chain([name.as_str(), id.as_str()]))
    }
}
