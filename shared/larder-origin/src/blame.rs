//! Whose fault an error is: the origin's, the caller's, or that of the environment that did not come to ask.

use std::error::Error;
use std::fmt;

use crate::error::{OriginError, Outage};
use crate::postgres::Fault;

impl OriginError {
    /// Whether the database was reached and is out of order: it failed, or ran out of time. Other environments find it
    /// so, too.
    ///
    /// | not an outage | because |
    /// | --- | --- |
    /// | a name without an address, no connection, no TLS session, no file | another environment may reach it |
    /// | credentials, missing rights, an unknown database | they are those of this environment |
    /// | a configuration or a schema that does not fit, a fault of the caller | the database is well |
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable(Outage::Database(fault)) => !is_own(&**fault),
            Self::Unavailable(Outage::Deadline | Outage::Unknown(_)) => true,
            _ => false,
        }
    }
}

impl Outage {
    /// Why no connection could be had: what a server says while one is made is its own word.
    pub(crate) fn connecting(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(_) => Self::database(error),
            error => Self::Database(std::sync::Arc::new(Unreached(error))),
        }
    }
}

/// A database that was not reached.
#[derive(Debug)]
struct Unreached(sqlx::Error);

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Unreached {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Whether a fault is that of this environment.
fn is_own(fault: &(dyn Error + Send + Sync + 'static)) -> bool {
    #[cfg(feature = "dynamodb")]
    if let Some(fault) = fault.downcast_ref::<crate::dynamodb::Fault>() {
        return fault.is_own();
    }
    match fault.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(told)) => {
            let of_postgres = told.try_downcast_ref::<Fault>();
            told.code().is_some_and(|code| is_own_code(&code))
                || is_own_number(&**told)
                || of_postgres.is_some_and(Fault::is_refused_by_pooler)
        }
        Some(sqlx::Error::Configuration(_) | sqlx::Error::Tls(_)) => true,
        Some(_) => false,
        None => fault.is::<Unreached>(),
    }
}

/// Whether a code of a server, or of SQLite, says that this environment may not ask, or asks at the wrong place.
fn is_own_code(code: &str) -> bool {
    match code.parse::<u32>() {
        // The upper bits of SQLite's numbers only say more.
        Ok(number) if code.len() < STATE_LEN => OWN_CODES_OF_SQLITE.contains(&(number & 0xff)),
        _ => OWN_STATES.iter().any(|state| code.starts_with(state)),
    }
}

/// The same of MySQL, whose numbers say more than its states.
fn is_own_number(told: &dyn sqlx::error::DatabaseError) -> bool {
    let told = told.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    told.is_some_and(|told| OWN_NUMBERS_OF_MYSQL.contains(&told.number()))
}

/// "Invalid authorization", "invalid catalog name" and "insufficient privilege".
/// Source: PostgreSQL, "Appendix A. PostgreSQL Error Codes"; of MySQL, `28000` alone.
const OWN_STATES: [&str; 3] = ["28", "3D000", "42501"];
/// Rights on a database, an address that is blocked or not allowed, an unknown database, rights on a table or column.
/// Source: MySQL and MariaDB, "Server Error Message Reference": `ER_DBACCESS_DENIED_ERROR`, `ER_ACCESS_DENIED_ERROR`,
/// `ER_BAD_DB_ERROR`, `ER_HOST_IS_BLOCKED`, `ER_HOST_NOT_PRIVILEGED`, `ER_TABLEACCESS_DENIED_ERROR`,
/// `ER_COLUMNACCESS_DENIED_ERROR`.
const OWN_NUMBERS_OF_MYSQL: [u16; 7] = [1044, 1045, 1049, 1129, 1130, 1142, 1143];
/// `SQLITE_PERM`, `SQLITE_READONLY`, `SQLITE_CANTOPEN`, `SQLITE_AUTH`.
const OWN_CODES_OF_SQLITE: [u32; 4] = [3, 8, 14, 23];
/// What an SQLSTATE has of characters.
const STATE_LEN: usize = 5;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::Misconfigured;
    use crate::id::BadId;

    #[track_caller]
    fn check(error: impl Into<OriginError>, is_outage: bool) {
        let error = error.into();
        assert_eq!(error.is_outage(), is_outage, "{error:?}");
    }

    fn io(kind: std::io::ErrorKind) -> sqlx::Error {
        sqlx::Error::Io(kind.into())
    }

    #[test]
    fn a_database_that_was_not_reached_may_be_well() {
        use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
        for error in [io(ConnectionRefused), io(TimedOut), sqlx::Error::Tls("no authority".into())] {
            check(Outage::connecting(error), false);
        }
        check(Outage::database(io(ConnectionReset)), true);
        check(Outage::Deadline, true);
        check(Outage::Unknown(None), true);
    }

    #[test]
    fn the_configuration_and_the_caller_are_no_outage() {
        check(Misconfigured::NoCredentials, false);
        check(BadId::Empty, false);
        check(OriginError::UnknownTable, false);
        check(Outage::Database(Arc::new(Unreached(io(std::io::ErrorKind::NotFound)))), false);
    }

    #[test]
    fn codes_of_rights_and_names_are_those_of_one_environment() {
        for code in ["28P01", "28000", "3D000", "42501", "14", "526", "8"] {
            assert!(is_own_code(code), "{code}");
        }
        for code in ["53300", "57P03", "40001", "XX000", "5", "11", "08004"] {
            assert!(!is_own_code(code), "{code}");
        }
    }
}
