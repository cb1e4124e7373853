//! How a table is read: its configuration, checked against its schema.

use crate::error::Misconfigured;
use crate::id::{Id, IdKind, Key};
use crate::identifier::Identifier;
use crate::tables::TableConfig;

/// A column as the schema has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Column {
    /// Its name, which may hold anything a database lets stand in quotes.
    pub(crate) name: String,
    /// What ids it can hold, if any.
    pub(crate) kind: Option<IdKind>,
    /// Whether the schema forbids two rows with the same value here.
    pub(crate) unique: bool,
    /// Whether it counts as far as a version does.
    pub(crate) counts: bool,
    /// Whether the database computes it.
    pub(crate) is_generated: bool,
    /// Whether it holds bytes.
    pub(crate) is_binary: bool,
    /// Its type, as its engine writes it where it needs it.
    pub(crate) declared: String,
    /// The expression of its default, as its engine writes it where it needs it.
    pub(crate) default: Option<String>,
    /// The number of its table, where the database has one and tells it with each result.
    pub(crate) relation: Option<u32>,
}

/// How a table is read and written. Every name in it is in the schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// The table.
    pub(crate) table: String,
    /// The column that finds a row: unique, so n ids give at most n rows.
    pub(crate) key: Column,
    /// What the key holds.
    pub(crate) kind: IdKind,
    /// The columns of a record, in the table's order.
    pub(crate) columns: Vec<Column>,
    /// The column that counts a row's writes.
    pub(crate) version: Option<Column>,
    /// Whether rows have whatever columns they have, and not those above.
    pub(crate) takes_any_column: bool,
    /// The indexes that give lists: their names, and the columns whose values they are asked by.
    pub(crate) indexes: Vec<(String, String)>,
}

impl Plan {
    /// Checks `config` against `columns`: all the table has, in its order, or none if there is no such table.
    pub(crate) fn new(config: &TableConfig, columns: &[Column]) -> Result<Self, Misconfigured> {
        let TableConfig { table, key, columns: wanted, version } = config;
        if columns.is_empty() {
            return Err(Misconfigured::NoTable { table: table.clone() });
        }
        let find = |name: &Identifier| {
            let missing = || Misconfigured::NoColumn { table: table.clone(), column: name.clone() };
            columns.iter().find(|column| column.name == name.as_str()).ok_or_else(missing)
        };
        wanted.iter().flatten().try_for_each(|name| find(name).map(|_| ()))?;
        let column = find(key)?;
        if !column.unique {
            return Err(Misconfigured::KeyNotUnique { table: table.clone(), key: key.clone() });
        }
        let Some(kind) = column.kind else {
            return Err(Misconfigured::KeyType { table: table.clone(), key: key.clone() });
        };
        let version_column = version.as_ref().map(find).transpose()?;
        if let Some((name, _)) = version.as_ref().zip(version_column).filter(|(_, column)| !column.counts) {
            return Err(Misconfigured::VersionType { table: table.clone(), column: name.clone() });
        }
        let is_wanted = |column: &&Column| {
            wanted.as_ref().is_none_or(|names| names.iter().any(|name| name.as_str() == column.name))
        };
        Ok(Self {
            table: table.to_string(),
            key: column.clone(),
            kind,
            columns: columns.iter().filter(is_wanted).cloned().collect(),
            version: version_column.cloned(),
            takes_any_column: false,
            indexes: Vec::new(),
        })
    }

    /// The values to bind for `ids`, but for those that are the id of no row.
    pub(crate) fn keys<'a>(&self, ids: &'a [Id]) -> Vec<Key<'a>> {
        ids.iter().filter_map(|id| id.to_key(self.kind).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_columns_come_in_the_tables_order() {
        check("id", None, Ok((IdKind::Integer, &["id", "code", "name", "we ight"])));
    }

    #[test]
    fn chosen_columns_come_in_the_tables_order_too() {
        check("code", Some(&["name", "id", "name"]), Ok((IdKind::Text, &["id", "name"])));
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        check("ID", None, Err(Misconfigured::NoColumn { table: name("flights"), column: name("ID") }));
        check(
            "id",
            Some(&["name", "nope"]),
            Err(Misconfigured::NoColumn { table: name("flights"), column: name("nope") }),
        );
    }

    #[test]
    fn a_key_that_is_not_unique_is_refused() {
        check("name", None, Err(Misconfigured::KeyNotUnique { table: name("flights"), key: name("name") }));
    }

    #[test]
    fn a_key_that_is_neither_integer_nor_text_is_refused() {
        let columns = [Column { name: "id".to_owned(), unique: true, ..Column::default() }];
        let config = TableConfig::new(name("flights"), name("id"));
        assert_eq!(
            Plan::new(&config, &columns),
            Err(Misconfigured::KeyType { table: name("flights"), key: name("id") })
        );
    }

    #[test]
    fn a_version_is_an_integer_of_64_bits_that_is_there() {
        let column = |name: &str, counts| Column {
            name: name.to_owned(),
            kind: Some(IdKind::Integer),
            unique: true,
            counts,
            ..Column::default()
        };
        let columns = [column("id", true), column("small", false)];
        let plan = |version| {
            let config =
                TableConfig { version: Some(name(version)), ..TableConfig::new(name("flights"), name("id")) };
            Plan::new(&config, &columns)
        };
        assert_eq!(plan("id").unwrap().version.unwrap().name, "id");
        let (table, column) = (name("flights"), name("small"));
        assert_eq!(plan("small"), Err(Misconfigured::VersionType { table, column }));
        let (table, column) = (name("flights"), name("nope"));
        assert_eq!(plan("nope"), Err(Misconfigured::NoColumn { table, column }));
    }

    #[test]
    fn a_table_without_columns_is_no_table() {
        let config = TableConfig::new(name("flights"), name("id"));
        assert_eq!(Plan::new(&config, &[]), Err(Misconfigured::NoTable { table: name("flights") }));
    }

    /// The kind of the key and the columns read, from a table `(id, code, name, "we ight")` where the first two
    /// are unique.
    #[track_caller]
    fn check(key: &str, columns: Option<&[&str]>, expected: Result<(IdKind, &[&str]), Misconfigured>) {
        let column = |name: &str, kind, unique| Column {
            name: name.to_owned(),
            kind: Some(kind),
            unique,
            ..Column::default()
        };
        let schema = [
            column("id", IdKind::Integer, true),
            column("code", IdKind::Text, true),
            column("name", IdKind::Text, false),
            column("we ight", IdKind::Integer, false),
        ];
        let columns = columns.map(|names| names.iter().copied().map(name).collect());
        let config = TableConfig { columns, ..TableConfig::new(name("flights"), name(key)) };
        let expected = expected
            .map(|(kind, columns)| (kind, columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()));
        assert_eq!(Plan::new(&config, &schema).map(names), expected);
    }

    fn names(plan: Plan) -> (IdKind, Vec<String>) {
        (plan.kind, plan.columns.into_iter().map(|column| column.name).collect())
    }

    fn name(text: &str) -> Identifier {
        Identifier::new(text).unwrap()
    }
}
