//! The begin and the end of a function's process.

use std::error::Error;
use std::process::ExitCode;

use crate::chart::service;
use crate::logs;
use crate::settings::{InvalidSettings, Variables};

/// Sets up the logs, reads the settings of this process by `read`, and has `serve` run with them; answers the code of
/// the process.
///
/// Wrong settings are logged, all of them, and end the process, as does a runtime that ended with an error.
pub async fn run<S>(
    read: impl FnOnce(&Variables) -> Result<S, InvalidSettings>,
    serve: impl AsyncFnOnce(S, Variables) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> ExitCode {
    let variables = Variables::of_process();
    if let Err(wrong) = logs::init(service(&variables), &variables) {
        eprintln!("logs are set up already: {wrong}");
    }
    let settings = match read(&variables) {
        Ok(settings) => settings,
        Err(wrong) => {
            tracing::error!(error = &wrong as &dyn Error, "could not start");
            return ExitCode::FAILURE;
        }
    };
    match serve(settings, variables).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            tracing::error!(error = &*wrong as &dyn Error, "the runtime ended");
            ExitCode::FAILURE
        }
    }
}
