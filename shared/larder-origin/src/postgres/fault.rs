//! What a PostgreSQL server, or a pooler before it, has told as an error.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::ErrorResponseBody;
use sqlx::error::{DatabaseError, ErrorKind};

use crate::engine::Meaning;
use crate::error::Rejected;

/// An error of the server. Its detail, which may show a row, is left out.
#[derive(Debug)]
pub(crate) struct Fault {
    code: String,
    message: String,
    is_fatal: bool,
}

impl Fault {
    pub(super) fn read(body: &ErrorResponseBody) -> Self {
        let mut fault = Self { code: String::new(), message: String::new(), is_fatal: false };
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => fault.code = text(),
                b'M' => fault.message = text(),
                // In words that no language of the server changes; poolers leave it out and send the other one alone.
                b'V' | b'S' => fault.is_fatal |= matches!(field.value_bytes(), b"FATAL" | b"PANIC"),
                _ => {}
            }
        }
        fault
    }

    /// Whether the connection ends with it.
    pub(crate) fn is_fatal(&self) -> bool {
        self.is_fatal
    }

    /// Whether a pooler refuses the credentials or the names of this environment. PgBouncer has one code for all of its own
    /// errors, so the message tells.
    ///
    /// Source: PgBouncer, `src/client.c`.
    pub(crate) fn is_refused_by_pooler(&self) -> bool {
        let message = self.message.as_str();
        let is_of_name = ["no such user", "no such database"].iter().any(|words| message.starts_with(words))
            || (message.starts_with("database ") && message.ends_with(" does not exist"));
        let is_of_login = message.ends_with("authentication failed") || message == "SSL required";
        self.code == "08P01" && (is_of_name || is_of_login)
    }

    /// Source: PostgreSQL, "Appendix A. PostgreSQL Error Codes".
    pub(super) fn meaning(&self) -> Meaning {
        match self.code.as_str() {
            "40001" | "40P01" => Meaning::Again,
            "23505" | "23P01" => Meaning::Rejected(Rejected::Unique),
            "23503" | "23001" => Meaning::Rejected(Rejected::ForeignKey),
            "23502" => Meaning::Rejected(Rejected::NotNull),
            // The SQL standard's code for what a routine raises by itself.
            "45000" => Meaning::Rejected(Rejected::Check),
            // The policy of a row, and no missing right on its table.
            "42501" if self.message.contains("row-level security policy") => {
                Meaning::Rejected(Rejected::Check)
            }
            "42P01" => Meaning::NoTable,
            // No such column; no operator for what the key has become; no such type; a column that is computed now.
            "42703" | "42883" | "42704" | "428C9" => Meaning::Schema,
            // Of a statement that the server has planned before; of another server or session, behind a pooler.
            "26000" => Meaning::Schema,
            "0A000" if self.message.starts_with("cached plan") => Meaning::Schema,
            // A table or a type was dropped while the statement waited for it.
            "XX000"
                if ["cache lookup failed", "could not open relation", "tuple concurrently"]
                    .iter()
                    .any(|begin| self.message.starts_with(begin)) =>
            {
                Meaning::Schema
            }
            // A value of another type than its column's.
            "42804" | "42846" => Meaning::Rejected(Rejected::Value),
            "54000" | "54001" | "54011" => Meaning::Rejected(Rejected::TooLarge),
            // A standby, or one that has become one; one that comes up or goes down.
            "25006" | "57P01" | "57P02" | "57P03" => Meaning::WrongServer,
            "0A000" if self.message.contains("during recovery") => Meaning::WrongServer,
            "08P01" if !self.is_fatal => Meaning::Statement,
            code if code.starts_with("23") => Meaning::Rejected(Rejected::Check),
            code if OF_ROUTINES.iter().any(|class| code.starts_with(class)) => {
                Meaning::Rejected(Rejected::Check)
            }
            code if code.starts_with("22") => Meaning::Rejected(Rejected::Value),
            code if code.starts_with("42") && code != "42501" => Meaning::Statement,
            _ => Meaning::Outage,
        }
    }
}

/// Classes of what triggers, functions and views with a check refuse: triggered action, cardinality, triggered data
/// change, SQL routine, external routine, its invocation, `WITH CHECK OPTION`, PL/pgSQL.
const OF_ROUTINES: [&str; 8] = ["09", "21", "27", "2F", "38", "39", "44", "P0"];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl Error for Fault {}

impl DatabaseError for Fault {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.as_str().into())
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_where_it_says_too_little_its_message_have_a_meaning() {
        for (code, message, expected) in [
            ("40001", "", Meaning::Again),
            ("42P01", "", Meaning::NoTable),
            ("42703", "", Meaning::Schema),
            ("42883", "", Meaning::Schema),
            ("26000", "", Meaning::Schema),
            ("0A000", "cached plan must not change result type", Meaning::Schema),
            ("XX000", "cache lookup failed for type 17001", Meaning::Schema),
            ("XX000", "index is broken", Meaning::Outage),
            ("0A000", "cannot set transaction read-write mode during recovery", Meaning::WrongServer),
            ("0A000", "unknown", Meaning::Outage),
            ("25006", "cannot execute UPDATE in a read-only transaction", Meaning::WrongServer),
            ("57P03", "the database system is starting up", Meaning::WrongServer),
            ("42601", "", Meaning::Statement),
            ("42501", "", Meaning::Outage),
            ("22P02", "", Meaning::Rejected(Rejected::Value)),
            ("23514", "", Meaning::Rejected(Rejected::Check)),
            ("P0001", "no", Meaning::Rejected(Rejected::Check)),
            ("P0004", "assertion failed", Meaning::Rejected(Rejected::Check)),
            ("44000", "", Meaning::Rejected(Rejected::Check)),
        ] {
            let fault = Fault { code: code.into(), message: message.into(), is_fatal: false };
            assert_eq!(fault.meaning(), expected, "{code} {message}");
        }
    }
}
