//! Why the text of a notice was refused.

use crate::notice::{MAX_ID_LEN, MAX_NAME_LEN, MAX_NOTICE_LEN};

/// Why a text is no notice, and how it begins, for the one who reads the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{fault}: {excerpt}")]
pub struct MalformedNotice {
    /// What is wrong with the text.
    pub fault: NoticeFault,
    /// The first [`MAX_EXCERPT_LEN`] characters, what cannot be printed escaped, with `…` behind them if there are
    /// more.
    pub excerpt: String,
}

impl MalformedNotice {
    pub(crate) fn new(fault: NoticeFault, text: &str) -> Self {
        let mut chars = text.chars();
        let mut excerpt = String::new();
        for char in chars.by_ref().take(MAX_EXCERPT_LEN) {
            match char {
                // Quotes are what JSON is made of, and print well.
                '"' | '\'' | '\\' => excerpt.push(char),
                _ => excerpt.extend(char.escape_debug()),
            }
        }
        if chars.next().is_some() {
            excerpt.push('…');
        }
        Self { fault, excerpt }
    }
}

/// What is wrong with a text that is no notice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoticeFault {
    /// The text is longer than any message that SNS carries.
    #[error("the notice has {len} bytes, more than {MAX_NOTICE_LEN}")]
    TooLong {
        /// The length, in bytes.
        len: usize,
    },
    /// The text is not JSON.
    #[error("the notice is no JSON at line {line}, column {column}")]
    NotJson {
        /// The line of the fault, from 1.
        line: usize,
        /// The byte of the fault in its line, from 1; 0 if the line is empty.
        column: usize,
    },
    /// The text is JSON, and no object.
    #[error("the notice is no JSON object")]
    NotAnObject,
    /// No key names an event, and none a source.
    #[error("no key of the notice begins with ElastiCache:, and none is SourceIdentifier")]
    NoEvent,
    /// Two events, or two clusters for one: the text does not say which.
    #[error("the notice names several events")]
    SeveralEvents,
    /// The name of the event is missing, too long, or no name.
    #[error("the event's name is not 1 to {MAX_NAME_LEN} visible ASCII characters")]
    BadName,
    /// The id of the cluster is missing, too long, or no id.
    #[error("the cluster's id is not a text of 1 to {MAX_ID_LEN} visible ASCII characters")]
    BadCluster,
}

/// Most characters of a refused text that its error repeats.
pub const MAX_EXCERPT_LEN: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_repeated_whole() {
        check(r#"{"ElastiCache:":"larder"}"#, r#"{"ElastiCache:":"larder"}"#);
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let longest = "ü".repeat(MAX_EXCERPT_LEN);
        check(&longest, &longest);
        check(&format!("{longest}ü"), &format!("{longest}…"));
    }

    #[test]
    fn what_would_move_the_cursor_is_escaped() {
        check("\x1b[2J\n\u{202e}", r"\u{1b}[2J\n\u{202e}");
    }

    #[test]
    fn the_error_says_the_fault_and_repeats_the_text() {
        let error = MalformedNotice::new(NoticeFault::NotAnObject, "[]");
        assert_eq!(error.to_string(), "the notice is no JSON object: []");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(MalformedNotice::new(NoticeFault::NoEvent, text).excerpt, expected);
    }
}
