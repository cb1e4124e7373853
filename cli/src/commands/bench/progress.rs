//! What a person is told while a run goes on.

use std::fmt::Display;
use std::io::{self, Write};

/// Tells a person what goes on, on standard error; that nobody reads it is no fault.
pub(crate) fn progress(what: impl Display) {
    let _ = writeln!(io::stderr(), "{what}");
}
