//! Items as records, and values as attributes.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::id::Key;
use crate::plan::Plan;
use crate::record::{Record, Value};
use crate::scalar::Scalar;

/// An item as DynamoDB tells it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// An item as a record: its columns by name.
pub(super) fn to_record(plan: &Plan, item: &Item) -> Record {
    let is_shown =
        |name: &str| plan.takes_any_column || plan.columns.iter().any(|column| column.name == name);
    let columns: BTreeMap<&str, &AttributeValue> =
        item.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| is_shown(name)).collect();
    let version = plan
        .version
        .as_ref()
        .map(|column| item.get(&column.name).map_or(0, |value| to_value(value).into_version()));
    let columns = columns.into_iter().map(|(name, value)| (name, to_value(value)));
    Record::from_columns(columns).with_version(version)
}

/// An attribute as a value. What JSON writes in the same way is written as it is.
fn to_value(attribute: &AttributeValue) -> Value<'_> {
    match attribute {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(value) => Value::Bool(*value),
        AttributeValue::N(digits) => match digits.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Json(digits.into()),
        },
        AttributeValue::S(text) => Value::Text(text.into()),
        AttributeValue::B(bytes) => Value::Blob(bytes.as_ref().into()),
        _ => Value::Json(to_json(attribute).into()),
    }
}

/// An attribute of any depth as JSON.
fn to_json(attribute: &AttributeValue) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let array = |values: Vec<String>| format!("[{}]", values.join(","));
    match attribute {
        AttributeValue::Bool(value) => value.to_string(),
        AttributeValue::N(digits) => number(digits),
        AttributeValue::S(value) => text(value),
        AttributeValue::B(bytes) => text(&STANDARD.encode(bytes)),
        AttributeValue::Ss(values) => array(values.iter().map(|value| text(value)).collect()),
        AttributeValue::Ns(values) => array(values.iter().map(|digits| number(digits)).collect()),
        AttributeValue::Bs(values) => {
            array(values.iter().map(|bytes| text(&STANDARD.encode(bytes))).collect())
        }
        AttributeValue::L(values) => array(values.iter().map(to_json).collect()),
        AttributeValue::M(values) => {
            let sorted: BTreeMap<_, _> = values.iter().collect();
            let members: Vec<String> = sorted
                .into_iter()
                .map(|(name, value)| format!("{}:{}", text(name), to_json(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        _ => "null".to_owned(),
    }
}

/// A number as DynamoDB writes it, if JSON writes it likewise; else a text.
fn number(digits: &str) -> String {
    match serde_json::from_str::<&serde_json::value::RawValue>(digits) {
        Ok(_) => digits.to_owned(),
        Err(_) => serde_json::Value::from(digits).to_string(),
    }
}

/// A value as an attribute. A whole real is written as DynamoDB will tell it.
pub(super) fn scalar_value(value: &Scalar) -> AttributeValue {
    match value {
        Scalar::Null => AttributeValue::Null(true),
        Scalar::Bool(value) => AttributeValue::Bool(*value),
        Scalar::Integer(number) => AttributeValue::N(number.to_string()),
        Scalar::Real(number) => AttributeValue::N(number.to_string()),
        Scalar::Text(text) => AttributeValue::S(text.clone()),
    }
}

pub(super) fn key_value(key: Key<'_>) -> AttributeValue {
    match key {
        Key::Integer(number) => AttributeValue::N(number.to_string()),
        Key::Text(text) => AttributeValue::S(text.to_owned()),
    }
}

pub(super) fn key_text(key: Key<'_>) -> String {
    match key {
        Key::Integer(number) => number.to_string(),
        Key::Text(text) => text.to_owned(),
    }
}

/// An attribute as the text of a key.
pub(super) fn text(attribute: &AttributeValue) -> Option<String> {
    match attribute {
        AttributeValue::N(text) | AttributeValue::S(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;
    use crate::id::IdKind;
    use crate::plan::Column;

    #[test]
    fn an_item_is_a_record_with_its_columns_by_name() {
        let number = |digits: &str| AttributeValue::N(digits.to_owned());
        let map = AttributeValue::M(HashMap::from([
            ("b\"".to_owned(), AttributeValue::L(vec![number("1.50"), AttributeValue::Null(true)])),
            ("a".to_owned(), AttributeValue::Ss(vec!["x".to_owned()])),
        ]));
        let item = Item::from([
            ("z".to_owned(), number("7")),
            ("version".to_owned(), number("9")),
            ("n".to_owned(), number("12345678901234567890123456789012345678")),
            ("m".to_owned(), map),
            ("bytes".to_owned(), AttributeValue::B(Blob::new([0xff]))),
            ("ns".to_owned(), AttributeValue::Ns(vec!["1".to_owned()])),
            ("t".to_owned(), AttributeValue::Bool(true)),
        ]);
        let column = |name: &str| Column { name: name.to_owned(), ..Column::default() };
        let mut plan = Plan {
            table: "t".to_owned(),
            key: column("z"),
            kind: IdKind::Integer,
            columns: Vec::new(),
            version: Some(column("version")),
            takes_any_column: true,
            indexes: Vec::new(),
        };
        let record = to_record(&plan, &item);
        assert_eq!(
            str::from_utf8(record.json()).unwrap(),
            concat!(
                r#"{"bytes":"/w==","m":{"a":["x"],"b\"":[1.50,null]},"n":12345678901234567890123456789012345678,"#,
                r#""ns":[1],"t":true,"version":9,"z":7}"#
            )
        );
        assert_eq!(record.version(), Some(9));
        plan.takes_any_column = false;
        plan.columns = vec![column("t")];
        assert_eq!(to_record(&plan, &item).json(), br#"{"t":true}"#);
        assert_eq!(to_record(&plan, &Item::new()).version(), Some(0));
    }
}
