//! What the command leaves behind for a shell: its exit code, and errors on standard error.

use anyhow::Error;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1, for faults that have been told already.
    Faults,
    /// Exit code 3: there is no such item, or no ring document. An answer, and no error.
    Miss,
}

/// Tells an error with its causes on one line, and chooses the exit code. Code 2 is for wrong usage, and given by the
/// parser of arguments.
///
/// That nobody reads our output to its end, as in `larder ring owners … | head`, is no error.
pub(crate) fn report(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Faults) => ExitCode::FAILURE,
        Ok(Outcome::Miss) => ExitCode::from(MISS),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // `eprintln!` would panic where standard error is closed.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Whether writing to standard output failed because its reader has gone; commands mark no other broken pipe this way.
fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

const MISS: u8 = 3;
