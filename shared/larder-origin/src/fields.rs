//! The columns that a write sets.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::scalar::Scalar;

/// Columns and their new values: what a write's body holds, a JSON object without objects and arrays in it.
///
/// At most [`MAX_FIELDS`] columns, none of them twice. Whether the table has them is told by the write. A column of
/// bytes takes base64, and one of JSON takes its text, as a [`Record`](crate::Record) shows them, but for JSON.
///
/// ```
/// use larder_origin::Fields;
///
/// assert!(Fields::from_json(br#"{"dest": "JFK", "distance": 1400, "air_time": null}"#).is_ok());
/// assert!(Fields::from_json(br#"{"dest": {"faa": "JFK"}}"#).is_err());
/// assert!(Fields::from_json(br#"{"dest": "JFK", "dest": "EWR"}"#).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(BTreeMap<String, Scalar>);

impl Fields {
    /// Reads `json`, a JSON object.
    ///
    /// # Errors
    /// [`BadFields`] if it is anything else, or if a value is an object or an array.
    pub fn from_json(json: &[u8]) -> Result<Self, BadFields> {
        serde_json::from_slice(json).map_err(|wrong| BadFields { line: wrong.line(), column: wrong.column() })
    }

    /// The columns' names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Scalar)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value that `column` gets.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Scalar> {
        self.0.get(column)
    }
}

impl<S: Into<String>> FromIterator<(S, Scalar)> for Fields {
    /// Of two values for a column the last one counts.
    fn from_iter<I: IntoIterator<Item = (S, Scalar)>>(fields: I) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Scalar>()? {
            if fields.len() == MAX_FIELDS {
                return Err(M::Error::custom("too many columns"));
            }
            if fields.insert(name, value).is_some() {
                return Err(M::Error::custom("a column twice"));
            }
        }
        Ok(Fields(fields))
    }
}

/// The place where a body stops being an object of plain values. What stands there is not repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not a JSON object of at most {MAX_FIELDS} columns, each once, with null, true, false, a number or a text; \
     see line {line}, column {column}"
)]
pub struct BadFields {
    /// The line, from 1.
    pub line: usize,
    /// The byte of the line, from 1; 0 at its end.
    pub column: usize,
}

/// Most columns of one write.
pub const MAX_FIELDS: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_read() {
        let fields =
            Fields::from_json(br#"{"a":null,"b":true,"c":-7,"d":5.0,"e":"O'Hare","f":9223372036854775807}"#)
                .unwrap();
        let beyond = Fields::from_json(br#"{"a": 18446744073709551615}"#).unwrap();
        assert_eq!(beyond.get("a").unwrap().as_number().unwrap().as_str(), "18446744073709551615");
        let expected = [
            ("a", Scalar::Null),
            ("b", Scalar::Bool(true)),
            ("c", Scalar::Integer(-7)),
            ("d", Scalar::Real(5.0)),
            ("e", Scalar::Text("O'Hare".to_owned())),
            ("f", Scalar::Integer(i64::MAX)),
        ];
        assert_eq!(fields, expected.into_iter().collect());
    }

    #[test]
    fn what_is_no_object_of_plain_values_is_refused() {
        for json in [
            "",
            "{",
            "[]",
            "null",
            "7",
            r#""a""#,
            r#"{"a":{}}"#,
            r#"{"a":[1]}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1} {"#,
            r#"{"a":1e99999999999999999999}"#,
            r#"{"a":07}"#,
        ] {
            assert!(Fields::from_json(json.as_bytes()).is_err(), "{json}");
        }
        assert!(Fields::from_json(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_refusal_tells_the_place_and_nothing_that_stands_there() {
        let refused = Fields::from_json(b"{\"a\": 1,\n \"hunter2\": [\"hunter2\"]}").unwrap_err();
        assert_eq!(refused.line, 2);
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }

    #[test]
    fn a_write_has_at_most_so_many_columns() {
        let json = |count| {
            format!("{{{}}}", (0..count).map(|at| format!("\"c{at}\":1")).collect::<Vec<_>>().join(","))
        };
        assert!(Fields::from_json(json(MAX_FIELDS).as_bytes()).is_ok());
        assert!(Fields::from_json(json(MAX_FIELDS + 1).as_bytes()).is_err());
    }
}
