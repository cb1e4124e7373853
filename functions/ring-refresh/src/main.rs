//! Wires the function: settings from the environment, clients made once, run.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, run, service_fn};
use larder_cache::Publisher;
use larder_lambda::environment::Environment;
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_ring_refresh::answer::Answer;
use larder_ring_refresh::metrics::chart;
use larder_ring_refresh::settings::Settings;
use larder_ring_refresh::{App, Failure, handle};
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
    app: App,
    environment: Environment,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        let Settings { cluster, cluster_name, warm_up, control, time_limit } = settings;
        Self {
            environment: Environment::new(time_limit, variables),
            app: App { publisher: Publisher::new(cluster, warm_up), cluster_name, control },
        }
    }

    async fn serve(&self, event: LambdaEvent<Value>) -> Result<Answer, Failure> {
        let LambdaEvent { payload, context } = event;
        let invocation = self.environment.begin(&context.request_id, context.deadline, Clocks::now());
        let handled = handle(&self.app, &payload, invocation.answer_by.into()).await;
        self.environment.end(&invocation, |metrics| chart(&handled, metrics));
        handled.answer
    }
}
