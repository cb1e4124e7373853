//! Answers without a record, and why.

use larder_lambda::http::HttpAnswer;
use larder_origin::BadId;

use crate::answer::json;
use crate::ask::MAX_IDS;

/// Why a request gets no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// None of the paths; that of a list is one only where there are lists.
    #[error(
        "the paths are /records/{{table}}/{{id}}, /records/{{table}}?ids=1,2,3 and, where there are lists, /lists/{{name}}"
    )]
    UnknownPath,
    /// A method that a read does not answer to.
    #[error("records and lists are read with GET or HEAD")]
    Method,
    /// A table that is not among the settings.
    #[error("this table is not served here")]
    UnknownTable,
    /// A list that is not among the settings.
    #[error("there is no such list")]
    UnknownList,
    /// An id that no record of the table can have.
    #[error("{0}")]
    BadId(BadId),
    /// An id that is no text.
    #[error("an id is percent-encoded UTF-8")]
    NotUtf8,
    /// A batch without ids.
    #[error("a batch names its records: ?ids=1,2,3")]
    NoIds,
    /// A batch over the bound.
    #[error("a batch has at most {MAX_IDS} ids")]
    TooManyIds,
    /// A version that cannot be one.
    #[error("min-version is a whole number: that of a record's version")]
    MinVersion,
    /// A version of many records, each of which has its own.
    #[error("min-version is for one record: ask for /records/{{table}}/{{id}}")]
    MinVersionOfMany,
    /// A version of a record of a table that has none.
    #[error("the records of this table have no versions")]
    NoVersions,
    /// The origin has an older record than was asked for.
    #[error("the origin does not have this version yet")]
    NotYet,
    /// The origin says that there is no such record.
    #[error("there is no such record")]
    NoSuchRecord,
    /// The records are larger than an answer may be.
    #[error(
        "the records are larger than an answer of Lambda may be, 6 MB as it is sent; ask for fewer at once"
    )]
    TooLarge,
    /// The record is larger than an answer may be.
    #[error(
        "the record is larger than an answer of Lambda may be, 6 MB as it is sent; keep what is long elsewhere, such \
         as in S3, and its address in the record"
    )]
    RecordTooLarge,
    /// The list is larger than an answer may be.
    #[error(
        "the list is larger than an answer of Lambda may be, 6 MB as it is sent; its query needs fewer rows or columns"
    )]
    ListTooLarge,
    /// The settings do not fit the origin's schema.
    #[error("the tables and lists served do not fit the origin; the function's log says how")]
    Misconfigured,
    /// The origin did not answer, and no cached record could.
    #[error("the origin did not answer and what was asked for is not cached")]
    OriginUnavailable,
}

impl Refusal {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::UnknownTable | Self::BadId(_) | Self::NotUtf8 | Self::NoIds | Self::TooManyIds => 400,
            Self::MinVersion | Self::MinVersionOfMany | Self::NoVersions => 400,
            Self::UnknownPath | Self::UnknownList | Self::NoSuchRecord => 404,
            Self::Method => 405,
            Self::TooLarge | Self::RecordTooLarge | Self::ListTooLarge => 413,
            Self::Misconfigured => 500,
            Self::OriginUnavailable | Self::NotYet => 503,
        }
    }

    /// The reason as one word, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::Method => "method_not_allowed",
            Self::UnknownTable => "unknown_table",
            Self::UnknownList => "unknown_list",
            Self::BadId(_) | Self::NotUtf8 => "bad_id",
            Self::NoIds => "no_ids",
            Self::TooManyIds => "too_many_ids",
            Self::MinVersion => "bad_min_version",
            Self::MinVersionOfMany => "min_version_of_many",
            Self::NoVersions => "no_versions",
            Self::NotYet => "not_yet",
            Self::NoSuchRecord => "no_such_record",
            Self::TooLarge | Self::RecordTooLarge | Self::ListTooLarge => "too_large",
            Self::Misconfigured => "misconfigured",
            Self::OriginUnavailable => "origin_unavailable",
        }
    }

    /// The answer: `{"error":{"code":…,"message":…}}`. Nothing of the request is repeated in it.
    pub fn answer(self) -> HttpAnswer {
        let body = serde_json::json!({ "error": { "code": self.code(), "message": self.to_string() } });
        let answer = json(self.status(), body.to_string());
        match self {
            Self::Method => answer.header("allow", "GET, HEAD"),
            Self::OriginUnavailable | Self::NotYet => {
                answer.header("retry-after", RETRY_AFTER_SECS.to_string())
            }
            _ => answer,
        }
    }
}

/// When to ask again after the origin was out of reach, in seconds.
const RETRY_AFTER_SECS: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 18] = [
        Refusal::UnknownPath,
        Refusal::Method,
        Refusal::UnknownTable,
        Refusal::UnknownList,
        Refusal::BadId(BadId::Empty),
        Refusal::NotUtf8,
        Refusal::NoIds,
        Refusal::TooManyIds,
        Refusal::MinVersion,
        Refusal::MinVersionOfMany,
        Refusal::NoVersions,
        Refusal::NotYet,
        Refusal::NoSuchRecord,
        Refusal::TooLarge,
        Refusal::RecordTooLarge,
        Refusal::ListTooLarge,
        Refusal::Misconfigured,
        Refusal::OriginUnavailable,
    ];

    #[test]
    fn every_refusal_says_why_in_json() {
        for refusal in ALL {
            let answer = refusal.answer();
            let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body["error"]["code"], refusal.code());
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
            assert_eq!(answer.status_code, refusal.status());
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        assert_eq!(Refusal::Method.answer().headers["allow"], "GET, HEAD");
    }

    #[test]
    fn an_origin_out_of_reach_says_when_to_ask_again() {
        assert_eq!(Refusal::OriginUnavailable.answer().headers["retry-after"], "2");
    }
}
