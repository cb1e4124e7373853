//! Wires the function: settings from the environment, clients made once, run.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, run, service_fn};
use larder_cache::Publisher;
use larder_lambda::environment::Environment;
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_scale::answer::Answers;
use larder_scale::metrics::chart;
use larder_scale::settings::Settings;
use larder_scale::{App, Failure, PublishedRing, handle};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    process::run(Settings::read, async |settings, variables| {
        let function = Function::new(settings, &variables);
        // One event at a time: two changes at once would each count the nodes without the other.
        run(service_fn(|event| function.serve(event))).await
    })
    .await
}

/// What lives as long as the process.
struct Function {
    app: App<PublishedRing>,
    environment: Environment,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        let Settings { control, cluster, warm_up, alarms, bounds, time_limit } = settings;
        let ring = PublishedRing::new(Publisher::new(cluster, warm_up));
        Self {
            environment: Environment::new(time_limit, variables),
            app: App::new(control, ring, alarms, bounds),
        }
    }

    async fn serve(&self, event: LambdaEvent<Value>) -> Result<Answers, Failure> {
        let LambdaEvent { payload, context } = event;
        let invocation = self.environment.begin(&context.request_id, context.deadline, Clocks::now());
        let (now, deadline) = (invocation.started.wall, invocation.answer_by.into());
        let handled = handle(&self.app, &payload, now, deadline).await;
        self.environment.end(&invocation, |metrics| chart(&handled, metrics));
        handled.answer
    }
}
