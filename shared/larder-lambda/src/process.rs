//! The begin and the end of a function's process.

use std::error::Error;
use std::process::ExitCode;

use crate::chart::service;
use crate::logs;
use crate::settings::{InvalidSettings, Variables};

/// Sets up the logs and reads the settings of this process, by `read`.
///
/// Wrong settings are logged, all of them, and end the process: the code is to be answered by `main`.
pub fn begin<S>(
    read: impl FnOnce(&Variables) -> Result<S, InvalidSettings>,
) -> Result<(S, Variables), ExitCode> {
    let variables = Variables::of_process();
    if let Err(wrong) = logs::init(service(&variables), &variables) {
        eprintln!("logs are set up already: {wrong}");
    }
    match read(&variables) {
        Ok(settings) => Ok((settings, variables)),
        Err(wrong) => {
            tracing::error!(error = &wrong as &dyn Error, "could not start");
            Err(ExitCode::FAILURE)
        }
    }
}

/// The code of a process whose runtime has ended, with an error that is logged or without.
pub fn end(ended: Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            tracing::error!(error = &*wrong as &dyn Error, "the runtime ended");
            ExitCode::FAILURE
        }
    }
}
