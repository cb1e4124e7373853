//! Wires the function: settings from the environment, clients made once, run.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, run, service_fn};
use larder_lambda::chart::Chart;
use larder_lambda::environment::Environment;
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_top_n::answer::Answer;
use larder_top_n::metrics::metrics;
use larder_top_n::settings::Settings;
use larder_top_n::{App, Failure, handle};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (settings, variables) = match process::begin(Settings::read) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let function = Function::new(settings, &variables);
    process::end(run(service_fn(|event| function.serve(event))).await)
}

/// What lives as long as the process.
struct Function {
    app: App,
    environment: Environment,
    chart: Chart,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        Self {
            environment: Environment::new(settings.time_limit),
            chart: Chart::of(variables),
            app: App::new(settings),
        }
    }

    async fn serve(&self, event: LambdaEvent<Value>) -> Result<Answer, Failure> {
        let invocation = self.environment.begin(event.context.deadline, Clocks::now());
        let handled = handle(&self.app, &event.payload, invocation.answer_by.into()).await;

        let ended = Clocks::now();
        let duration = self.environment.end(&invocation, ended);
        metrics(&self.chart, &event.context.request_id, &invocation, &handled, duration).print(ended.wall);
        handled.answer
    }
}
