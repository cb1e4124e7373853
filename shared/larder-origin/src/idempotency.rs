//! Writes that happen once, however often they are sent.
//!
//! A table in the same database, `larder_writes`, holds the name of each such write, a digest of what it asked for and
//! what was answered. The row is written in the transaction of the write itself, so that there is either both or
//! neither.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::change::{Change, Written};
use crate::id::Id;
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

/// What was answered, as it is kept.
#[derive(Deserialize, Serialize)]
struct Outcome {
    record: Option<Box<RawValue>>,
    before: Option<Box<RawValue>>,
    version: Option<u64>,
    before_version: Option<u64>,
}

/// Writes down what is answered.
pub(crate) fn to_outcome(written: &Written) -> String {
    let raw = |record: &Option<Record>| {
        let json = str::from_utf8(record.as_ref()?.json()).ok()?;
        RawValue::from_string(json.to_owned()).ok()
    };
    let outcome = Outcome {
        record: raw(&written.record),
        before: raw(&written.before),
        version: written.version,
        before_version: written.before.as_ref().and_then(Record::version),
    };
    serde_json::to_string(&outcome).expect("records are JSON already, and the rest are numbers")
}

/// Reads what was answered; `None` if somebody else wrote it.
pub(crate) fn from_outcome(text: &str) -> Option<Written> {
    let outcome: Outcome = serde_json::from_str(text).ok()?;
    let record = |raw: Box<RawValue>, version| Record::from_json(raw.get().to_owned().into_bytes(), version);
    Some(Written {
        record: outcome.record.map(|raw| record(raw, outcome.version)),
        before: outcome.before.map(|raw| record(raw, outcome.before_version)),
        version: outcome.version,
        is_repeat: true,
    })
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        let record = |json: &str, version| Record::from_json(json.as_bytes().to_vec(), version);
        let written = Written {
            record: Some(record(r#"{"b":1.50,"a":"\u0000é"}"#, Some(8))),
            before: Some(record(r#"{"b":null,"a":""}"#, Some(7))),
            version: Some(8),
            is_repeat: true,
        };
        assert_eq!(from_outcome(&to_outcome(&written)).unwrap(), written);
        let gone = Written { record: None, before: None, version: None, is_repeat: true };
        assert_eq!(from_outcome(&to_outcome(&gone)).unwrap(), gone);
        assert!(from_outcome("{}").is_none() || from_outcome("nonsense").is_none());
    }

    #[test]
    fn a_name_of_a_write_is_visible_ascii() {
        for text in ["", " ", "a\n", "é", &"a".repeat(129)] {
            assert!(IdempotencyKey::new(text).is_err(), "{text:?}");
        }
        assert!(IdempotencyKey::new(&"~".repeat(128)).is_ok());
    }
}
