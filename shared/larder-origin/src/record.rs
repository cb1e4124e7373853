//! A row as it is answered and stored.

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Serialize, Serializer};

/// A row as a JSON object, columns in the table's order.
///
/// Types are the database's: integers and reals are numbers (integers beyond 2^53 keep all their digits, which
/// a JavaScript reader does not), text is a string, NULL is `null`, bytes are a string of padded base64.
/// A real that JSON has no number for, such as infinity, is `null`; a byte of text that is not UTF-8 is U+FFFD.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record(Bytes);

impl Record {
    /// The JSON object.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.0
    }

    /// The JSON object, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Writes `columns`, each a name and a value, as one record.
    pub(crate) fn from_columns<'v>(columns: impl IntoIterator<Item = (&'v str, Value<'v>)>) -> Self {
        let mut json = Vec::new();
        serde_json::Serializer::new(&mut json)
            .collect_map(columns)
            .expect("a Vec takes every byte, and no Value refuses to be written");
        Self(json.into())
    }
}

impl From<Record> for Bytes {
    fn from(record: Record) -> Self {
        record.0
    }
}

/// A value of a row, whatever database it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'v> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'v, str>),
    Blob(&'v [u8]),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Blob(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
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
        check(Value::Blob(b""), r#""""#);
        check(Value::Blob(&[0xff, 0xfe, 0x00, 0x01]), r#""//4AAQ==""#);
    }

    #[test]
    fn columns_stay_in_order_and_their_names_are_escaped() {
        let columns = [("z", Value::Integer(1)), ("a", Value::Null), ("q\"", Value::Null)];
        assert_eq!(Record::from_columns(columns).json(), br#"{"z":1,"a":null,"q\"":null}"#);
    }

    #[track_caller]
    fn check(value: Value<'_>, expected: &str) {
        let record = Record::from_columns([("x", value)]);
        assert_eq!(str::from_utf8(record.json()).unwrap(), format!(r#"{{"x":{expected}}}"#));
    }
}
