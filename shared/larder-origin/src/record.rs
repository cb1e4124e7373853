//! A row as it is answered and stored.

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A row as a JSON object, columns in the table's order, and its version where its table has one.
///
/// Types are the database's: integers and reals are numbers (integers beyond 2^53 keep all their digits, which
/// a JavaScript reader does not), text is a string, NULL is `null`, bytes are a string of padded base64.
/// A real that JSON has no number for, such as infinity, is `null`; a byte of text that is not UTF-8 is U+FFFD.
///
/// What only some databases have:
///
/// | type | becomes |
/// | --- | --- |
/// | PostgreSQL `boolean`; MySQL `tinyint(1)` that is 0 or 1 | `true`, `false` |
/// | `numeric`, `decimal` | a string with all digits: `"12.50"` |
/// | PostgreSQL `timestamptz`; MySQL `timestamp` | RFC 3339 in UTC: `"2013-01-01T10:00:00Z"`, with a fraction if there is one |
/// | `timestamp` without time zone; MySQL `datetime` | the same without `Z` |
/// | `date`, `time` | `"2013-01-01"`, `"10:00:00"`; years before 1 and beyond 9999 as ISO 8601 has them: `"-0043-03-15"` is in 44 BC, `"+10000-01-01"` |
/// | `char(n)` | a string without the blanks that fill it |
/// | `uuid` | a string, small letters and hyphens |
/// | `json`, `jsonb` (MariaDB has none: its `json` is text) | that very JSON, embedded |
/// | enumerations and sets | a string |
/// | PostgreSQL's other types | a string, as the server writes it; in a list those of the server itself only if the statement casts them to `text` |
/// | MySQL `bit`, `geometry` | bytes |
/// | DynamoDB numbers | a number with all digits, as a [`Decimal`](crate::Decimal) is written; a whole one has no fraction, whatever was stored |
/// | DynamoDB lists, maps, sets | arrays and objects |
///
/// DynamoDB keeps no order of columns: its records have them by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    json: Bytes,
    version: Option<Version>,
}

/// What a row's version column holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    /// A count.
    Counted(u64),
    /// Anything else: nothing, NULL, a number below 0 or with a fraction, a text.
    Uncounted,
}

impl Record {
    /// The JSON object.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The JSON object, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.json
    }

    /// The row's version, read along with it, if its table is configured with a version column. It grows with every
    /// write, a delete and a new row under the old id included (see [`TableConfig`](crate::TableConfig)). It is 0 where
    /// the column holds no count.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version.map(|version| match version {
            Version::Counted(count) => count,
            Version::Uncounted => 0,
        })
    }

    /// The row's version, if it has one and that is a count.
    pub(crate) fn count(&self) -> Option<u64> {
        match self.version? {
            Version::Counted(count) => Some(count),
            Version::Uncounted => None,
        }
    }

    /// Takes `json`, which is known to be an object.
    pub(crate) fn from_json(json: Vec<u8>, version: Option<u64>) -> Self {
        Self { json: json.into(), version: version.map(Version::Counted) }
    }

    /// The same record, of this version.
    pub(crate) fn with_version(self, version: Option<Version>) -> Self {
        Self { version, ..self }
    }

    /// Writes `columns`, each a name and a value, as one record.
    pub(crate) fn from_columns<'v>(columns: impl IntoIterator<Item = (&'v str, Value<'v>)>) -> Self {
        let mut json = Vec::new();
        serde_json::Serializer::new(&mut json)
            .collect_map(columns)
            .expect("a Vec takes every byte, and no Value refuses to be written");
        Self { json: json.into(), version: None }
    }
}

impl From<Record> for Bytes {
    fn from(record: Record) -> Self {
        record.json
    }
}

/// A value of a row, whatever database it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'v> {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Real(f64),
    Text(Cow<'v, str>),
    Blob(Cow<'v, [u8]>),
    /// Text that is JSON.
    Json(Cow<'v, str>),
}

impl<'v> Value<'v> {
    /// Text, whatever its bytes.
    pub(crate) fn text(bytes: &'v [u8]) -> Self {
        Self::Text(String::from_utf8_lossy(bytes))
    }

    /// The value as the text of a key.
    pub(crate) fn into_key(self) -> Option<String> {
        match self {
            Self::Integer(number) => Some(number.to_string()),
            Self::Unsigned(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }

    /// The value as a row's version: a row that was never written by us may have anything there.
    pub(crate) fn into_version(self) -> Version {
        match self {
            Self::Integer(number) => u64::try_from(number).map_or(Version::Uncounted, Version::Counted),
            Self::Unsigned(number) => Version::Counted(number),
            _ => Version::Uncounted,
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Real(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Blob(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
            // What no JSON parser takes is a text like any other.
            Self::Json(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(raw) => raw.serialize(serializer),
                Err(_) => serializer.serialize_str(text),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_null() {
        check(Value::Null, "null");
    }

    #[test]
    fn an_integer_keeps_all_its_digits() {
        check(Value::Integer(i64::MAX), "9223372036854775807");
        check(Value::Integer(i64::MIN), "-9223372036854775808");
    }

    #[test]
    fn a_real_is_never_written_as_an_integer() {
        check(Value::Real(5.0), "5.0");
        check(Value::Real(0.1), "0.1");
        check(Value::Real(-1e300), "-1e+300");
    }

    #[test]
    fn a_real_that_json_cannot_write_is_null() {
        check(Value::Real(f64::INFINITY), "null");
        check(Value::Real(f64::NAN), "null");
    }

    #[test]
    fn text_is_escaped() {
        check(Value::Text("O'Hare \"ORD\"\n\0é".into()), r#""O'Hare \"ORD\"\n\u0000é""#);
    }

    #[test]
    fn bytes_are_padded_base64() {
        check(Value::Blob(b"".into()), r#""""#);
        check(Value::Blob([0xff, 0xfe, 0x00, 0x01].as_slice().into()), r#""//4AAQ==""#);
    }

    #[test]
    fn json_is_embedded_as_it_is_and_what_is_none_is_text() {
        check(Value::Json(r#"{"b": 1.50, "a": [1e400]}"#.into()), r#"{"b": 1.50, "a": [1e400]}"#);
        check(Value::Json(r#"{"b": "#.into()), r#""{\"b\": ""#);
        check(Value::Json("".into()), r#""""#);
    }

    #[test]
    fn columns_stay_in_order_and_their_names_are_escaped() {
        let columns = [("z", Value::Integer(1)), ("a", Value::Null), ("q\"", Value::Null)];
        assert_eq!(Record::from_columns(columns).json(), br#"{"z":1,"a":null,"q\"":null}"#);
    }

    #[test]
    fn a_version_is_a_count_or_0_where_there_is_none() {
        for (value, count, version) in [
            (Value::Integer(0), Some(0), 0),
            (Value::Integer(i64::MAX), Some(i64::MAX as u64), i64::MAX as u64),
            (Value::Unsigned(u64::MAX), Some(u64::MAX), u64::MAX),
            (Value::Null, None, 0),
            (Value::Integer(-1), None, 0),
            (Value::Real(1.5), None, 0),
            (Value::Text("7".into()), None, 0),
        ] {
            let record = Record::from_columns([]).with_version(Some(value.clone().into_version()));
            assert_eq!((record.count(), record.version()), (count, Some(version)), "{value:?}");
        }
        let record = Record::from_columns([]);
        assert_eq!((record.count(), record.version()), (None, None));
    }

    #[track_caller]
    fn check(value: Value<'_>, expected: &str) {
        let record = Record::from_columns([("x", value)]);
        assert_eq!(str::from_utf8(record.json()).unwrap(), format!(r#"{{"x":{expected}}}"#));
    }
}
