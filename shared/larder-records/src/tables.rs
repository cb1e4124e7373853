//! The tables that are served, as a setting names them.

use larder_cache::{Policy, Tag};
use larder_lambda::settings::on_or_off;
use larder_origin::{Identifier, InvalidTables, TableConfig, Tables};

use crate::knobs::Knobs;

/// A table that is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// How it is read.
    pub config: TableConfig,
    /// How its records are cached.
    pub policy: Policy,
    /// Whose cached records depend on its own; [`MAX_PARENTS`] at most.
    pub parents: Vec<Parent>,
    /// Whether all its records can be forgotten at once, by [`tag`](Self::tag).
    pub(crate) is_namespace: bool,
}

/// A table whose cached records depend on the records of another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parent {
    /// Its name: one that is served.
    pub table: Identifier,
    /// The column of the child that holds the parent's id.
    pub column: Identifier,
}

impl Table {
    /// Its name: in the schema, in requests and in keys.
    pub fn name(&self) -> &str {
        self.config.table.as_str()
    }

    /// The tag that all its records have, where it is a namespace: forgotten, they are all misses.
    pub fn tag(&self) -> Option<&Tag> {
        self.policy.tags.first().filter(|_| self.is_namespace)
    }
}

/// Takes `table:key`, each followed by options, joined by commas; `knobs` hold where a table has none of its own.
pub(crate) fn parse(value: &str, knobs: &Knobs) -> Result<Vec<Table>, String> {
    let table = |(entry, place)| table(entry, knobs).map_err(|what| format!("{what}, at place {place}"));
    let tables: Vec<Table> = value.split(',').zip(1..).map(table).collect::<Result<_, String>>()?;
    origin_tables(&tables).map_err(|wrong| format!("is not a list of tables: {wrong}"))?;
    for (table, place) in tables.iter().zip(1..) {
        let is_served = |parent: &Parent| tables.iter().any(|table| table.config.table == parent.table);
        if !table.parents.iter().all(is_served) {
            return Err(format!("has a parent that is not one of the tables, at place {place}"));
        }
    }
    Ok(tables)
}

/// The tables as the origin takes them.
pub(crate) fn origin_tables(tables: &[Table]) -> Result<Tables, InvalidTables> {
    Tables::new(tables.iter().map(|table| table.config.clone()).collect())
}

fn table(entry: &str, knobs: &Knobs) -> Result<Table, String> {
    let mut parts = entry.split(':').map(str::trim);
    let (Some(table), Some(key)) = (parts.next(), parts.next()) else {
        return Err("has no table:key".to_owned());
    };
    let name =
        |text: &str| Identifier::new(text).map_err(|fault| format!("is not a list of tables: {fault}"));
    let mut config = TableConfig::new(name(table)?, name(key)?);
    let (mut knobs, mut is_namespace) = (knobs.clone(), false);
    let mut parents = Vec::new();
    for option in parts {
        match option.split_once('=') {
            Some(("version", column)) => config.version = Some(name(column)?),
            Some(("namespace", value)) => is_namespace = on_or_off(value).map_err(namespace_that)?,
            Some(("parent", _)) if parents.len() == MAX_PARENTS => {
                return Err(format!("has a table with more than {MAX_PARENTS} parents"));
            }
            Some(("parent", parent)) => {
                let (table, column) =
                    parent.split_once('.').ok_or("has a parent that is not table.column")?;
                parents.push(Parent { table: name(table.trim())?, column: name(column.trim())? });
            }
            Some((option, value)) => knobs = knobs.with(option.trim(), value.trim())?,
            None => knobs = knobs.with("ttl", option)?,
        }
    }
    let policy = knobs.policy();
    policy.check().map_err(|wrong| format!("has a table that does not do: {wrong}"))?;
    Ok(Table { config, policy, parents, is_namespace })
}

fn namespace_that(what: String) -> String {
    format!("has an option namespace that {what}")
}

/// Most parents of one table: every write forgets two records of each.
pub const MAX_PARENTS: usize = 8;
