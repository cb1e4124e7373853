//! What depends on a row, and has to be forgotten with it.

use std::borrow::Cow;
use std::collections::HashMap;

use larder_cache::{Forget, Invalidation, Policy};
use larder_client::Key;
use larder_origin::{Fields, Scalar};
use larder_records::{Parent, Table};
use serde_json::value::RawValue;
use tracing::warn;

use crate::app::{App, Target};

/// Keys that have to be forgotten, each once, by how.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ToForget(Vec<Invalidation>);

impl ToForget {
    /// Adds `keys`, but for those that are there already, whatever for.
    pub(crate) fn add(&mut self, keys: impl IntoIterator<Item = Key>, how: Forget) {
        for key in keys {
            if self.0.iter().any(|known| known.keys.contains(&key)) {
                continue;
            }
            match self.0.iter_mut().find(|known| known.how == how) {
                Some(known) => known.keys.push(key),
                None => self.0.push(Invalidation { keys: vec![key], how }),
            }
        }
    }

    /// The keys, by how.
    pub(crate) fn invalidations(&self) -> &[Invalidation] {
        &self.0
    }

    /// How many of the keys are among the `others`, too.
    pub(crate) fn count_of(&self, others: &Self) -> usize {
        let is_other = |key: &&Key| others.0.iter().any(|known| known.keys.contains(key));
        self.0.iter().flat_map(|known| &known.keys).filter(is_other).count()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|known| known.keys.len()).sum()
    }
}

impl Extend<Invalidation> for ToForget {
    fn extend<I: IntoIterator<Item = Invalidation>>(&mut self, invalidations: I) {
        for Invalidation { keys, how } in invalidations {
            self.add(keys, how);
        }
    }
}

/// How what has changed is forgotten, by its policy.
pub(crate) fn how(policy: &Policy) -> Forget {
    policy.stale_ttl().map_or(Forget::Hard, Forget::Soft)
}

/// The keys of the parents of a row of `table`: those that any of `rows` names, which are rows in JSON as they were and
/// as they are, and those that `fields` name, which are to be set.
pub(crate) fn parents<T: Target>(
    app: &App<T>,
    table: &Table,
    rows: &[&[u8]],
    fields: Option<&Fields>,
) -> Vec<(Vec<Key>, Forget)> {
    if table.parents.is_empty() {
        return Vec::new();
    }
    let rows: Vec<Row<'_>> = rows.iter().filter_map(|row| serde_json::from_slice(row).ok()).collect();
    let mut keys = Vec::new();
    for parent in &table.parents {
        for id in ids(parent, &rows, fields) {
            // What cannot be an id names no record, and what no key can be made of is not cached.
            let Ok(id) = app.target.id(parent.table.as_str(), &id) else { continue };
            let Some(table) = app.records.table(parent.table.as_str()) else { continue };
            let of_parent = app.records.keys_to_forget(table, &id).unwrap_or_default();
            keys.push((of_parent, how(&table.policy)));
        }
    }
    keys
}

/// A row, its values as they are written: a number keeps all its digits.
type Row<'r> = HashMap<Cow<'r, str>, &'r RawValue>;

/// The ids of one `parent`, as `rows` and `fields` name them.
fn ids(parent: &Parent, rows: &[Row<'_>], fields: Option<&Fields>) -> Vec<String> {
    let column = parent.column.as_str();
    let values: Vec<&RawValue> = rows.iter().filter_map(|row| row.get(column)).copied().collect();
    if values.is_empty() && !rows.is_empty() {
        warn!(
            column,
            parent = parent.table.as_str(),
            "a record does not have the column that names its parent"
        );
    }
    let of_fields = fields.and_then(|fields| fields.get(column)).and_then(of_scalar);
    values.into_iter().filter_map(of_value).chain(of_fields).collect()
}

/// An id as a row has it; `None` for NULL and for what is none.
fn of_value(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok().as_ref().and_then(of_scalar)
}

fn of_scalar(value: &Scalar) -> Option<String> {
    match value {
        Scalar::Text(text) => Some(text.clone()),
        number => number.as_number().map(|number| number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use larder_client::Ttl;
    use larder_lambda::settings::Variables;

    use super::*;
    use crate::settings::Settings;

    fn app(tables: &str) -> App {
        let variables = [
            ("LARDER_CONFIG_ENDPOINT", "cache.local:11211"),
            ("LARDER_ORIGIN_URL", "sqlite:air.db"),
            ("LARDER_TABLES", tables),
        ];
        App::new(Settings::read(&Variables::from_iter(variables)).unwrap())
    }

    const TABLES: &str = "airports:faa,planes:tailnum:grace=40:stale-after-invalidate=on,\
        flights:id:parent=airports.origin:parent=airports.dest:parent=planes.tailnum";

    #[track_caller]
    fn check(rows: &[&str], fields: &str, expected: &[(&str, Forget)]) {
        let app = app(TABLES);
        let rows: Vec<&[u8]> = rows.iter().map(|row| row.as_bytes()).collect();
        let fields = Fields::from_json(fields.as_bytes()).unwrap();
        let mut to_forget = ToForget::default();
        for (keys, how) in parents(&app, app.records.table("flights").unwrap(), &rows, Some(&fields)) {
            to_forget.add(keys, how);
        }
        let told = to_forget.invalidations().iter().flat_map(|Invalidation { keys, how }| {
            keys.iter().map(|key| (String::from_utf8_lossy(key.as_bytes()).into_owned(), *how))
        });
        let told: Vec<_> = told.filter(|(key, _)| !key.contains(".1:")).collect();
        let expected: Vec<_> = expected.iter().map(|(key, how)| ((*key).to_owned(), *how)).collect();
        assert_eq!(told, expected);
    }

    const SOFT: Forget = Forget::Soft(Ttl::clamped(40));

    #[test]
    fn parents_are_those_of_before_and_after_each_once_and_by_its_own_policy() {
        check(
            &[
                r#"{"id":1,"origin":"EWR","dest":"IAH","tailnum":"N1"}"#,
                r#"{"id":1,"origin":"EWR","dest":"ORD","tailnum":null}"#,
            ],
            "{}",
            &[
                ("airports:EWR", Forget::Hard),
                ("airports:IAH", Forget::Hard),
                ("airports:ORD", Forget::Hard),
                ("planes:N1", SOFT),
            ],
        );
    }

    #[test]
    fn an_id_may_be_a_number_and_what_is_to_be_set_counts() {
        check(
            &[r#"{"origin":9223372036854775807,"dest":true}"#],
            r#"{"dest":"SFO","tailnum":7}"#,
            &[
                ("airports:9223372036854775807", Forget::Hard),
                ("airports:SFO", Forget::Hard),
                ("planes:7", SOFT),
            ],
        );
    }

    #[test]
    fn an_id_keeps_all_its_digits() {
        check(
            &[
                r#"{"origin":18446744073709551616,"dest":0.12345678901234567890123456789012345678,"tailnum":5.0}"#,
            ],
            r#"{"dest":18446744073709551615,"tailnum":1.5}"#,
            &[
                ("airports:18446744073709551616", Forget::Hard),
                ("airports:0.12345678901234567890123456789012345678", Forget::Hard),
                ("airports:18446744073709551615", Forget::Hard),
                ("planes:5", SOFT),
                ("planes:1.5", SOFT),
            ],
        );
    }

    #[test]
    fn what_is_no_id_and_no_row_names_no_parent() {
        check(&[r#"{"origin":"","dest":"a\nb","tailnum":[]}"#, "", "[]"], r#"{"dest":null}"#, &[]);
        assert!(parents(&app("a:id"), app("a:id").records.table("a").unwrap(), &[b"{}"], None).is_empty());
    }
}
