//! Wires the function: settings from the environment, clients made once, run.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, run, service_fn};
use larder_client::Cluster;
use larder_invalidate::answer::Answer;
use larder_invalidate::metrics::metrics;
use larder_invalidate::settings::Settings;
use larder_invalidate::{Failure, handle};
use larder_lambda::chart::Chart;
use larder_lambda::environment::Environment;
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
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
    cluster: Cluster,
    environment: Environment,
    chart: Chart,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        let Settings { cluster, time_limit } = settings;
        Self { cluster, environment: Environment::new(time_limit), chart: Chart::of(variables) }
    }

    async fn serve(&self, event: LambdaEvent<Value>) -> Result<Answer, Failure> {
        let invocation = self.environment.begin(event.context.deadline, Clocks::now());
        let (now, deadline) = (invocation.started.wall, invocation.answer_by.into());
        let handled = handle(&self.cluster, &event.payload, now, deadline).await;

        let ended = Clocks::now();
        let duration = self.environment.end(&invocation, ended);
        metrics(&self.chart, &event.context.request_id, &invocation, &handled, duration).print(ended.wall);
        handled.answer
    }
}
