//! Answers to a write that did not happen, or of which that is not known, and why.

use larder_lambda::http::HttpAnswer;
use larder_origin::{BadFields, BadId, OriginError, Outage, Rejected};

use crate::answer::{json, tag};
use crate::ask::MAX_BODY_LEN;

/// Why nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Another path.
    #[error("the path is /records/{{table}}/{{id}}")]
    UnknownPath,
    /// A method that a write does not answer to.
    #[error("records are written with PUT, PATCH or DELETE")]
    Method,
    /// A table that is not among the settings.
    #[error("this table is not served here")]
    UnknownTable,
    /// An id that no record of the table can have.
    #[error("{0}")]
    BadId(BadId),
    /// An id that is no text.
    #[error("an id is percent-encoded UTF-8")]
    NotUtf8,
    /// A condition on the version that is none.
    #[error("if-match is one version: a whole number, in quotation marks or without")]
    IfMatch,
    /// A condition that is not looked at.
    #[error("of all conditions, if-match alone is known here")]
    UnknownCondition,
    /// A condition on the version of a record of a table that has none.
    #[error("the records of this table have no versions")]
    NoVersions,
    /// A name that no write has.
    #[error("an idempotency-key has 1 to 128 visible characters of ASCII")]
    IdempotencyKey,
    /// A body that does not say that it is JSON.
    #[error("the body is JSON, and content-type says so: application/json")]
    NotJson,
    /// A body over the bound.
    #[error("the body has at most {MAX_BODY_LEN} bytes")]
    TooLong,
    /// A body that is not what the gateway says it is.
    #[error("the body is not the base64 that it should be")]
    NotBase64,
    /// A body that is no object of columns.
    #[error("{0}")]
    BadFields(BadFields),
    /// A column that records of this table do not have.
    #[error("the records of this table have no such column")]
    UnknownColumn,
    /// Another version than the write is for.
    #[error("the record has another version; read it with min-version, then write again")]
    Conflict {
        /// The row's version, if there is such a row.
        present: Option<u64>,
    },
    /// A name that another write has.
    #[error("the idempotency-key is that of another write")]
    IdempotencyMismatch,
    /// What the database, or its schema, does not take.
    #[error("{0}")]
    Rejected(Rejected),
    /// There is no row to patch.
    #[error("there is no such record")]
    NoSuchRecord,
    /// The row of a write that is repeated has been removed since it happened.
    #[error("this write has happened before, and the record has been removed since")]
    RemovedSince,
    /// The settings do not fit the origin's schema.
    #[error("the tables served do not fit the origin; the function's log says how")]
    Misconfigured,
    /// The origin did not answer in time, or not at all.
    #[error("the origin did not answer; nothing was written")]
    OriginUnavailable,
    /// The origin did not say whether it has committed.
    #[error("it is not known whether the record was written; send it again with the same idempotency-key")]
    UnknownOutcome,
}

impl Refusal {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::UnknownTable | Self::BadId(_) | Self::NotUtf8 => 400,
            Self::IfMatch | Self::UnknownCondition | Self::NoVersions | Self::IdempotencyKey => 400,
            Self::NotBase64 | Self::BadFields(_) => 400,
            Self::UnknownPath | Self::NoSuchRecord => 404,
            Self::Method => 405,
            Self::RemovedSince => 410,
            Self::Conflict { .. } => 412,
            Self::TooLong => 413,
            Self::NotJson => 415,
            Self::UnknownColumn | Self::IdempotencyMismatch | Self::Rejected(_) => 422,
            Self::Misconfigured => 500,
            Self::OriginUnavailable | Self::UnknownOutcome => 503,
        }
    }

    /// The reason as one word, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::Method => "method_not_allowed",
            Self::UnknownTable => "unknown_table",
            Self::BadId(_) | Self::NotUtf8 => "bad_id",
            Self::IfMatch => "bad_if_match",
            Self::UnknownCondition => "unknown_condition",
            Self::NoVersions => "no_versions",
            Self::IdempotencyKey => "bad_idempotency_key",
            Self::NotJson => "not_json",
            Self::TooLong => "too_large",
            Self::NotBase64 | Self::BadFields(_) => "bad_body",
            Self::UnknownColumn => "unknown_column",
            Self::Conflict { .. } => "version_conflict",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::Rejected(rejected) => word(rejected),
            Self::NoSuchRecord => "no_such_record",
            Self::RemovedSince => "removed_since",
            Self::Misconfigured => "misconfigured",
            Self::OriginUnavailable => "origin_unavailable",
            Self::UnknownOutcome => "unknown_outcome",
        }
    }

    /// The answer: `{"error":{"code":…,"message":…}}`, and with a conflict `"version"`, the present one, `null` where
    /// there is no row. Nothing of the request is repeated in it.
    pub fn answer(self) -> HttpAnswer {
        let mut error = serde_json::json!({ "code": self.code(), "message": self.to_string() });
        if let Self::Conflict { present } = self {
            error["version"] = present.into();
        }
        let answer = json(self.status(), serde_json::json!({ "error": error }).to_string());
        match self {
            Self::Method => answer.header("allow", "PUT, PATCH, DELETE"),
            Self::OriginUnavailable | Self::UnknownOutcome => {
                answer.header("retry-after", RETRY_AFTER_SECS.to_string())
            }
            Self::Conflict { present: Some(present) } => tag(answer, present),
            _ => answer,
        }
    }
}

/// What the database has against a write, in a word.
fn word(rejected: Rejected) -> &'static str {
    match rejected {
        Rejected::Key => "key_mismatch",
        Rejected::NotSettable => "not_settable",
        Rejected::Nothing => "nothing_to_change",
        Rejected::NoVersions => "no_versions",
        Rejected::Value => "bad_value",
        Rejected::NotNull => "not_null",
        Rejected::Unique => "not_unique",
        Rejected::ForeignKey => "foreign_key",
        Rejected::Check => "check_failed",
        Rejected::Spelling => "other_spelling",
        Rejected::Version => "version_at_end",
        Rejected::TooLarge => "row_too_large",
        _ => "rejected",
    }
}

impl From<&OriginError> for Refusal {
    fn from(wrong: &OriginError) -> Self {
        match wrong {
            OriginError::UnknownTable => Self::UnknownTable,
            OriginError::UnknownColumn => Self::UnknownColumn,
            OriginError::BadId(bad) => Self::BadId(*bad),
            OriginError::VersionConflict { present } => Self::Conflict { present: *present },
            OriginError::IdempotencyMismatch => Self::IdempotencyMismatch,
            OriginError::Rejected(Rejected::NoVersions) => Self::NoVersions,
            OriginError::Rejected(rejected) => Self::Rejected(*rejected),
            OriginError::ReadOnly | OriginError::Misconfigured(_) => Self::Misconfigured,
            OriginError::Unavailable(Outage::Unknown(_)) => Self::UnknownOutcome,
            _ => Self::OriginUnavailable,
        }
    }
}

/// When to try again after the origin was out of reach, in seconds.
const RETRY_AFTER_SECS: u64 = 2;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use larder_origin::{Fields, Misconfigured};

    use super::*;

    fn all() -> Vec<Refusal> {
        vec![
            Refusal::UnknownPath,
            Refusal::Method,
            Refusal::UnknownTable,
            Refusal::BadId(BadId::Empty),
            Refusal::IfMatch,
            Refusal::UnknownCondition,
            Refusal::NoVersions,
            Refusal::IdempotencyKey,
            Refusal::NotJson,
            Refusal::TooLong,
            Refusal::BadFields(Fields::from_json(b"[]").unwrap_err()),
            Refusal::UnknownColumn,
            Refusal::Conflict { present: Some(7) },
            Refusal::IdempotencyMismatch,
            Refusal::Rejected(Rejected::Key),
            Refusal::Rejected(Rejected::NotSettable),
            Refusal::Rejected(Rejected::Nothing),
            Refusal::Rejected(Rejected::Value),
            Refusal::Rejected(Rejected::NotNull),
            Refusal::Rejected(Rejected::Unique),
            Refusal::Rejected(Rejected::ForeignKey),
            Refusal::Rejected(Rejected::Check),
            Refusal::Rejected(Rejected::Spelling),
            Refusal::Rejected(Rejected::Version),
            Refusal::Rejected(Rejected::TooLarge),
            Refusal::NoSuchRecord,
            Refusal::RemovedSince,
            Refusal::Misconfigured,
            Refusal::OriginUnavailable,
            Refusal::UnknownOutcome,
        ]
    }

    #[test]
    fn every_refusal_says_why_in_json_and_in_a_word_of_its_own() {
        let mut words = HashSet::new();
        for refusal in all() {
            let answer = refusal.answer();
            let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body["error"]["code"], refusal.code());
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
            assert_eq!(answer.status_code, refusal.status());
            assert!(words.insert(refusal.code()), "{}", refusal.code());
        }
    }

    #[test]
    fn a_conflict_tells_the_present_version() {
        let answer = Refusal::Conflict { present: Some(7) }.answer();
        assert_eq!(
            (answer.headers["etag"].as_str(), answer.headers["x-record-version"].as_str()),
            ("\"7\"", "7")
        );
        assert!(answer.body.contains(r#""version":7"#), "{}", answer.body);
        let answer = Refusal::Conflict { present: None }.answer();
        assert!(answer.body.contains(r#""version":null"#) && !answer.headers.contains_key("etag"));
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        assert_eq!(Refusal::Method.answer().headers["allow"], "PUT, PATCH, DELETE");
    }

    #[test]
    fn what_the_origin_says_has_a_status() {
        let check = |wrong: OriginError, status, code| {
            let refusal = Refusal::from(&wrong);
            assert_eq!((refusal.status(), refusal.code()), (status, code), "{wrong}");
        };
        check(OriginError::UnknownTable, 400, "unknown_table");
        check(OriginError::UnknownColumn, 422, "unknown_column");
        check(OriginError::BadId(BadId::Empty), 400, "bad_id");
        check(OriginError::VersionConflict { present: None }, 412, "version_conflict");
        check(OriginError::IdempotencyMismatch, 422, "idempotency_mismatch");
        check(Rejected::NoVersions.into(), 400, "no_versions");
        check(Rejected::Unique.into(), 422, "not_unique");
        check(OriginError::ReadOnly, 500, "misconfigured");
        check(Misconfigured::NoIdempotencyTable.into(), 500, "misconfigured");
        check(Outage::Deadline.into(), 503, "origin_unavailable");
        check(Outage::Unknown(None).into(), 503, "unknown_outcome");
    }

    #[test]
    fn an_origin_out_of_reach_says_when_to_try_again() {
        for refusal in [Refusal::OriginUnavailable, Refusal::UnknownOutcome] {
            assert_eq!(refusal.answer().headers["retry-after"], "2");
        }
    }
}
