//! Wires the function: settings from the environment, clients made once, run.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, run, service_fn};
use larder_client::Cluster;
use larder_invalidate::answer::Answer;
use larder_invalidate::metrics::chart;
use larder_invalidate::settings::Settings;
use larder_invalidate::{Failure, handle};
use larder_lambda::environment::Environment;
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    process::run(Settings::read, async |settings, variables| {
        let function = Function::new(settings, &variables);
        run(service_fn(|event| function.serve(event))).await
    })
    .await
}

/// What lives as long as the process.
struct Function {
    cluster: Cluster,
    environment: Environment,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        let Settings { cluster, time_limit } = settings;
        Self { cluster, environment: Environment::new(time_limit, variables) }
    }

    async fn serve(&self, event: LambdaEvent<Value>) -> Result<Answer, Failure> {
        let LambdaEvent { payload, context } = event;
        let invocation = self.environment.begin(&context.request_id, context.deadline, Clocks::now());
        let (now, deadline) = (invocation.started.wall, invocation.answer_by.into());
        let handled = handle(&self.cluster, &payload, now, deadline).await;
        self.environment.end(&invocation, |metrics| chart(&handled, metrics));
        handled.answer
    }
}
