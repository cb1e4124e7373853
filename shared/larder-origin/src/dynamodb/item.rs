//! Items as records, and values as attributes.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::id::Key;
use crate::number::Decimal;
use crate::plan::Plan;
use crate::record::{Record, Value, Version};
use crate::scalar::Scalar;

/// An item as DynamoDB tells it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// An item as a record: its columns by name.
pub(super) fn to_record(plan: &Plan, item: &Item) -> Record {
    let is_shown =
        |name: &str| plan.takes_any_column || plan.columns.iter().any(|column| column.name == name);
    let columns: BTreeMap<&str, &AttributeValue> =
        item.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| is_shown(name)).collect();
    let version = plan.version.as_ref().map(|column| {
        item.get(&column.name).map_or(Version::Uncounted, |value| to_value(value).into_version())
    });
    let columns = columns.into_iter().map(|(name, value)| (name, to_value(value)));
    Record::from_columns(columns).with_version(version)
}

/// An attribute as a value. What JSON writes in the same way is written as it is.
fn to_value(attribute: &AttributeValue) -> Value<'_> {
    match attribute {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(value) => Value::Bool(*value),
        AttributeValue::N(digits) => match Decimal::new(digits) {
            Some(number) => to_integer(&number).unwrap_or_else(|| Value::Json(number.to_string().into())),
            None => Value::Text(digits.into()),
        },
        AttributeValue::S(text) => Value::Text(text.into()),
        AttributeValue::B(bytes) => Value::Blob(bytes.as_ref().into()),
        _ => Value::Json(to_json(attribute).into()),
    }
}

fn to_integer(number: &Decimal) -> Option<Value<'static>> {
    let digits = number.as_str();
    digits.parse().map(Value::Integer).or_else(|_| digits.parse().map(Value::Unsigned)).ok()
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

/// A number in its one form, whatever DynamoDB writes; what is none, as a text.
fn number(digits: &str) -> String {
    match Decimal::new(digits) {
        Some(number) => number.to_string(),
        None => serde_json::Value::from(digits).to_string(),
    }
}

/// A value as an attribute.
pub(super) fn scalar_value(value: &Scalar) -> AttributeValue {
    match value {
        Scalar::Null => AttributeValue::Null(true),
        Scalar::Bool(value) => AttributeValue::Bool(*value),
        Scalar::Text(text) => AttributeValue::S(text.clone()),
        // What is no number is refused by DynamoDB, as one that it does not have.
        number => AttributeValue::N(number.as_number().map_or_else(String::new, |number| number.to_plain())),
    }
}

/// A number as DynamoDB itself writes it.
fn plain(digits: &str) -> String {
    Decimal::new(digits).map_or_else(|| digits.to_owned(), |number| number.to_plain())
}

pub(super) fn key_value(key: Key<'_>) -> AttributeValue {
    match key {
        Key::Integer(number) => AttributeValue::N(number.to_string()),
        Key::Unsigned(number) => AttributeValue::N(number.to_string()),
        Key::Number(text) => AttributeValue::N(plain(text)),
        Key::Text(text) => AttributeValue::S(text.to_owned()),
    }
}

pub(super) fn key_text(key: Key<'_>) -> String {
    match key {
        Key::Integer(number) => number.to_string(),
        Key::Unsigned(number) => number.to_string(),
        Key::Number(text) | Key::Text(text) => text.to_owned(),
    }
}

/// An attribute as the text of a key: a number in its one form.
pub(super) fn text(attribute: &AttributeValue) -> Option<String> {
    match attribute {
        AttributeValue::N(digits) => Decimal::new(digits).map(|number| number.to_string()),
        AttributeValue::S(text) => Some(text.clone()),
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
            (
                "b\"".to_owned(),
                AttributeValue::L(vec![number("1.50"), number("1E+3"), AttributeValue::Null(true)]),
            ),
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
            kind: IdKind::Number,
            columns: Vec::new(),
            version: Some(column("version")),
            takes_any_column: true,
            indexes: Vec::new(),
        };
        let record = to_record(&plan, &item);
        assert_eq!(
            str::from_utf8(record.json()).unwrap(),
            concat!(
                r#"{"bytes":"/w==","m":{"a":["x"],"b\"":[1.5,1000,null]},"n":12345678901234567890123456789012345678,"#,
                r#""ns":[1],"t":true,"version":9,"z":7}"#
            )
        );
        assert_eq!(record.version(), Some(9));
        plan.takes_any_column = false;
        plan.columns = vec![column("t")];
        assert_eq!(to_record(&plan, &item).json(), br#"{"t":true}"#);
        assert_eq!(to_record(&plan, &Item::new()).version(), Some(0));
    }

    #[test]
    fn a_number_is_shown_and_named_in_one_form_however_it_is_told() {
        for (told, form) in [
            ("7", "7"),
            ("7.0", "7"),
            ("1E+3", "1000"),
            ("18446744073709551616", "18446744073709551616"),
            ("-1.50", "-1.5"),
            ("1E+100", "1E100"),
            ("0.00000000000000000000000000000000000012345", "0.00000000000000000000000000000000000012345"),
        ] {
            let attribute = AttributeValue::N(told.to_owned());
            let record = Record::from_columns([("n", to_value(&attribute))]);
            assert_eq!(str::from_utf8(record.json()).unwrap(), format!(r#"{{"n":{form}}}"#));
            assert_eq!((to_json(&attribute).as_str(), text(&attribute).as_deref()), (form, Some(form)));
        }
    }

    #[test]
    fn a_number_that_is_shown_is_written_as_it_is_shown() {
        for digits in ["7", "-0.5", "18446744073709551615", "602000000000000000000000", "1E125", "1.5E-100"] {
            let attribute = scalar_value(&serde_json::from_str(digits).unwrap());
            assert_eq!(text(&attribute).as_deref(), Some(digits));
            assert_eq!(attribute, key_value(Key::Number(digits)));
            assert!(!attribute.as_n().unwrap().contains('E'), "{digits}");
        }
    }

    #[test]
    fn a_version_that_is_no_count_is_none() {
        let number = |digits: &str| AttributeValue::N(digits.to_owned());
        for (attribute, expected) in [
            (number("0"), Version::Counted(0)),
            (number("18446744073709551615"), Version::Counted(u64::MAX)),
            (number("18446744073709551616"), Version::Uncounted),
            (number("-1"), Version::Uncounted),
            (number("1.5"), Version::Uncounted),
            (AttributeValue::Null(true), Version::Uncounted),
            (AttributeValue::Bool(true), Version::Uncounted),
            (AttributeValue::S("7".to_owned()), Version::Uncounted),
            (AttributeValue::L(vec![number("7")]), Version::Uncounted),
        ] {
            assert_eq!(to_value(&attribute).into_version(), expected, "{attribute:?}");
        }
    }
}
