//! A function as Lambda runs it: its own process, its variables, the runtime interface, its standard output.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::runtime_api::RuntimeApi;

/// The process; it ends with the test.
pub(crate) struct Function(Child);

impl Function {
    /// Starts `program` under `api`, with `variables` and those that Lambda itself gives the function `name`.
    pub(crate) fn start(
        program: &str,
        name: &str,
        api: &RuntimeApi,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let address = api.address();
        let of_lambda = [
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ];
        let mut command = Command::new(program);
        command.env_clear().envs(variables).envs(of_lambda);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    /// Ends the process as a kill does; the lines of its standard output.
    pub(crate) fn end(mut self) -> Result<Vec<Value>> {
        self.0.kill()?;
        self.lines()
    }

    /// Waits until the process ends by itself; its exit code, and the lines of its standard output.
    pub(crate) fn ended(mut self) -> Result<(Option<i32>, Vec<Value>)> {
        let lines = self.lines()?;
        Ok((self.0.wait()?.code(), lines))
    }

    fn lines(&mut self) -> Result<Vec<Value>> {
        let mut text = String::new();
        self.0.stdout.take().context("read already")?.read_to_string(&mut text)?;
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
