//! Writes that happen once, however often they are sent.
//!
//! A table in the same database, `larder_writes`, holds the name of each such write, a digest of what it asked for and
//! what it did. That row is written in the transaction of the write itself, so that there is either both or neither.
//!
//! What it did is the effect, the versions, and the ids of other rows that the row named: never the row, which may be as
//! long as the database takes one. A repeat reads the row as it is then. In JSON:
//!
//! ```json
//! {"record": {"dest": "JFK"}, "before": {"dest": "ORD"}, "version": 8, "before_version": 7}
//! ```
//!
//! `record` and `before` are `null` where there was no row, and hold the kept columns alone. Before 0.1.0 was released
//! they held all columns; that is read as well, and earlier code reads what is written here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::change::{Change, Effect, Repeat, Written};
use crate::id::{Id, MAX_ID_LEN};
use crate::record::Record;
use crate::scalar::Scalar;

/// The name of a write, as in an `Idempotency-Key` header: 1 to 128 visible characters of ASCII.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Takes `text` as the name of a write.
    ///
    /// # Errors
    /// [`BadIdempotencyKey`] if it is empty, too long, or has anything but visible ASCII in it.
    ///
    /// ```
    /// use larder_origin::IdempotencyKey;
    ///
    /// assert!(IdempotencyKey::new("8e03978e-40d5-43e8-bc93-6894a57f9324").is_ok());
    /// assert!(IdempotencyKey::new("").is_err() && IdempotencyKey::new("a b").is_err());
    /// ```
    pub fn new(text: &str) -> Result<Self, BadIdempotencyKey> {
        let fits =
            (1..=MAX_IDEMPOTENCY_KEY_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into())).ok_or(BadIdempotencyKey)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no name of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an idempotency key has 1 to {MAX_IDEMPOTENCY_KEY_LEN} visible characters of ASCII")]
pub struct BadIdempotencyKey;

/// What a write asks for, in 64 hexadecimal digits: two writes under one name must be the same in all of it.
pub(crate) fn digest(table: &str, id: &Id, change: &Change, if_version: Option<u64>) -> String {
    let mut hasher = Hasher(Sha256::new());
    hasher.part(table);
    hasher.part(id.as_str());
    hasher.part(&format!("{if_version:?}"));
    let (verb, fields) = match change {
        Change::Put(fields) => ("put", Some(fields)),
        Change::Patch(fields) => ("patch", Some(fields)),
        Change::Delete => ("delete", None),
    };
    hasher.part(verb);
    for (name, value) in fields.into_iter().flat_map(|fields| fields.iter()) {
        hasher.part(name);
        match value {
            Scalar::Null => hasher.part("null"),
            Scalar::Bool(value) => hasher.part(&format!("bool {value}")),
            Scalar::Integer(value) => hasher.part(&format!("integer {value}")),
            Scalar::Real(value) => hasher.part(&format!("real {value:?}")),
            Scalar::Number(value) => hasher.part(&format!("number {value}")),
            Scalar::Text(value) => hasher.part(&format!("text {value}")),
        }
    }
    hasher.finish()
}

/// Hashes texts so that no two lists of texts are the same bytes.
struct Hasher(Sha256);

impl Hasher {
    fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn finish(self) -> String {
        let mut hex = String::new();
        for byte in self.0.finalize() {
            write!(hex, "{byte:02x}").expect("a String takes every byte");
        }
        hex
    }
}

/// What a write did, as it is kept.
#[derive(Deserialize, Serialize)]
struct Outcome {
    record: Option<Box<RawValue>>,
    before: Option<Box<RawValue>>,
    version: Option<u64>,
    before_version: Option<u64>,
}

/// Writes down what was `written`, of its rows only those of the columns `kept` that can be ids, or are NULL.
pub(crate) fn to_outcome(written: &Written, kept: &[&str]) -> String {
    let outcome = Outcome {
        record: written.record.as_ref().map(|record| ids_of(record, kept)),
        before: written.before.as_ref().map(|record| ids_of(record, kept)),
        version: written.version,
        before_version: written.before.as_ref().and_then(Record::version),
    };
    serde_json::to_string(&outcome).expect("objects are JSON already, and the rest are numbers")
}

/// Those columns of `kept` in `record` that can be ids, or are NULL, as an object.
fn ids_of(record: &Record, kept: &[&str]) -> Box<RawValue> {
    let columns: BTreeMap<Cow<'_, str>, &RawValue> = match kept {
        [] => BTreeMap::new(),
        _ => serde_json::from_slice(record.json()).unwrap_or_default(),
    };
    let ids = columns.into_iter().filter(|(name, value)| kept.contains(&&**name) && is_kept(value.get()));
    let ids: BTreeMap<_, _> = ids.collect();
    serde_json::value::to_raw_value(&ids).expect("an object with names that are texts")
}

/// Whether the value that `json` is can be the id of a row, or NULL.
fn is_kept(json: &str) -> bool {
    match json.bytes().next() {
        // Bytes first, so that a huge text is not copied: a character of one has two escapes of six at most.
        Some(b'"') if json.len() <= 2 + MAX_ESCAPE_LEN * MAX_ID_LEN => {
            serde_json::from_str::<Cow<'_, str>>(json).is_ok_and(|text| Id::new(&text).is_ok())
        }
        Some(b'-' | b'0'..=b'9') => json.len() <= MAX_ID_LEN,
        first => first == Some(b'n'),
    }
}

/// What a write that happened under its name came to.
pub(crate) struct Happened {
    effect: Effect,
    repeat: Repeat,
}

impl Happened {
    /// Reads what was written down; `None` if it is not ours.
    pub(crate) fn of_outcome(text: &str) -> Option<Self> {
        let outcome: Outcome = serde_json::from_str(text).ok()?;
        let effect = match (&outcome.before, &outcome.record) {
            (None, Some(_)) => Effect::Made,
            (Some(_), Some(_)) => Effect::Changed,
            (Some(_), None) => Effect::Removed,
            (None, None) => Effect::Nothing,
        };
        let rows = [(outcome.before, outcome.before_version), (outcome.record, outcome.version)];
        let kept = rows.into_iter().filter_map(|(row, version)| {
            Some(Record::from_json(row?.get().to_owned().into_bytes(), version))
        });
        let repeat = Repeat { version: outcome.version, kept: kept.collect() };
        Some(Self { effect, repeat })
    }

    /// Whether the write left a row behind, which is to be read for its repeat.
    pub(crate) fn left_a_row(&self) -> bool {
        matches!(self.effect, Effect::Made | Effect::Changed)
    }

    /// What is answered to the repeat, where the row is now this `record`.
    pub(crate) fn repeated(self, record: Option<Record>) -> Written {
        let version = record.as_ref().and_then(Record::version);
        Written { record, before: None, version, effect: self.effect, repeat: Some(self.repeat) }
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Most bytes of a character in a text of JSON.
const MAX_ESCAPE_LEN: usize = 12;

/// Longest name of a write, in bytes.
pub const MAX_IDEMPOTENCY_KEY_LEN: usize = 128;

/// The table of writes that have happened; in DynamoDB it stands behind the prefix of the origin's tables.
pub(crate) const TABLE: &str = "larder_writes";

/// How long a write is remembered at least, in milliseconds: a day.
pub(crate) const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// Most old rows that one write removes.
pub(crate) const MAX_REMOVED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;
    use crate::number::Decimal;

    #[test]
    fn every_part_of_a_write_is_in_its_digest() {
        let fields = |name: &str, value| Fields::from_iter([(name, value)]);
        let one = || fields("a", Scalar::Integer(1));
        let writes = [
            ("t", "1", Change::Put(one()), None),
            ("u", "1", Change::Put(one()), None),
            ("t", "2", Change::Put(one()), None),
            ("t", "1", Change::Patch(one()), None),
            ("t", "1", Change::Delete, None),
            ("t", "1", Change::Put(one()), Some(1)),
            ("t", "1", Change::Put(fields("b", Scalar::Integer(1))), None),
            ("t", "1", Change::Put(fields("a", Scalar::Integer(2))), None),
            ("t", "1", Change::Put(fields("a", Scalar::Real(1.0))), None),
            ("t", "1", Change::Put(fields("a", Scalar::Number(Decimal::new("1").unwrap()))), None),
            ("t", "1", Change::Put(fields("a", Scalar::Text("1".into()))), None),
            ("t", "1", Change::Put(fields("a", Scalar::Bool(true))), None),
            ("t", "1", Change::Put(fields("a", Scalar::Null)), None),
        ];
        let digests: std::collections::HashSet<_> = writes
            .iter()
            .map(|(table, id, change, version)| digest(table, &Id::new(id).unwrap(), change, *version))
            .collect();
        assert_eq!(digests.len(), writes.len());
        assert!(digests.iter().all(|digest| digest.len() == 64));
    }

    fn record(json: &str, version: Option<u64>) -> Record {
        Record::from_json(json.as_bytes().to_vec(), version)
    }

    fn written(before: Option<Record>, record: Option<Record>, effect: Effect) -> Written {
        let version = record.as_ref().and_then(Record::version);
        Written { record, before, version, effect, repeat: None }
    }

    #[test]
    fn an_outcome_keeps_effect_versions_and_ids_and_no_row() {
        let long = "x".repeat(1 << 20);
        let before = record(&format!(r#"{{"id":7,"dest":"ORD","note":"{long}"}}"#), Some(7));
        let after = record(&format!(r#"{{"id":7,"dest":"J\"FK","note":"{long}"}}"#), Some(8));
        let (made, kept) = (Some(before.clone()), ["dest", "note", "tailnum"]);
        for (written, expected) in [
            (
                written(made.clone(), Some(after.clone()), Effect::Changed),
                r#"{"record":{"dest":"J\"FK"},"before":{"dest":"ORD"},"version":8,"before_version":7}"#,
            ),
            (
                written(None, made.clone(), Effect::Made),
                r#"{"record":{"dest":"ORD"},"before":null,"version":7,"before_version":null}"#,
            ),
            (
                written(made, None, Effect::Removed),
                r#"{"record":null,"before":{"dest":"ORD"},"version":null,"before_version":7}"#,
            ),
            (
                written(None, None, Effect::Nothing),
                r#"{"record":null,"before":null,"version":null,"before_version":null}"#,
            ),
        ] {
            let outcome = to_outcome(&written, &kept);
            assert_eq!(outcome, expected);
            let happened = Happened::of_outcome(&outcome).unwrap();
            assert_eq!(happened.left_a_row(), written.record.is_some());
            let now = record(r#"{"id":7}"#, Some(9));
            let repeated = happened.repeated(Some(now.clone()));
            assert_eq!(
                (repeated.effect, &repeated.before, repeated.version),
                (written.effect, &None, Some(9))
            );
            assert_eq!(repeated.record, Some(now));
            let repeat = repeated.repeat.unwrap();
            assert_eq!(repeat.version, written.version);
            let versions: Vec<_> = repeat.kept.iter().map(Record::version).collect();
            let rows = [&written.before, &written.record].into_iter().flatten();
            assert_eq!(versions, rows.map(Record::version).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_outcome_that_holds_the_rows_is_read_as_well() {
        let old = r#"{"record":{"b":1.50,"a":"\u0000é"},"before":{"b":null,"a":""},"version":8,"before_version":7}"#;
        let repeated = Happened::of_outcome(old).unwrap().repeated(None);
        assert_eq!((repeated.effect, repeated.version), (Effect::Changed, None));
        let kept = [record(r#"{"b":null,"a":""}"#, Some(7)), record(r#"{"b":1.50,"a":"\u0000é"}"#, Some(8))]
            .to_vec();
        assert_eq!(repeated.repeat, Some(Repeat { version: Some(8), kept }));
        assert!(Happened::of_outcome("nonsense").is_none() && Happened::of_outcome("[1]").is_none());
    }

    #[test]
    fn only_what_can_be_an_id_is_kept() {
        let longest = "é".repeat(MAX_ID_LEN);
        let escaped = "\\ud83d\\udeeb".repeat(MAX_ID_LEN);
        for id in ["7", "-1", "18446744073709551615", "1.5", r#""JFK""#, r#"" ""#, "null"] {
            assert!(is_kept(id), "{id}");
        }
        assert!(is_kept(&format!("\"{longest}\"")) && is_kept(&format!("\"{escaped}\"")));
        for other in ["true", "[]", "{}", r#""""#, r#""a\n""#] {
            assert!(!is_kept(other), "{other}");
        }
        for long in [format!("\"{longest}x\""), "7".repeat(MAX_ID_LEN + 1), format!("\"{escaped}x\"")] {
            assert!(!is_kept(&long), "{long}");
        }
    }

    #[test]
    fn a_name_of_a_write_is_visible_ascii() {
        for text in ["", " ", "a\n", "é", &"a".repeat(129)] {
            assert!(IdempotencyKey::new(text).is_err(), "{text:?}");
        }
        assert!(IdempotencyKey::new(&"~".repeat(128)).is_ok());
    }
}
