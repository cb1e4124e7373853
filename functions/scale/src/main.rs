//! Wires the function: settings from the environment, clients made once, run.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, run, service_fn};
use larder_cache::Publisher;
use larder_lambda::chart::Chart;
use larder_lambda::environment::Environment;
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_scale::answer::Answers;
use larder_scale::metrics::metrics;
use larder_scale::settings::Settings;
use larder_scale::{App, Failure, PublishedRing, handle};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (settings, variables) = match process::begin(Settings::read) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let function = Function::new(settings, &variables);
    // One event at a time: two changes at once would each count the nodes without the other.
    process::end(run(service_fn(|event| function.serve(event))).await)
}

/// What lives as long as the process.
struct Function {
    app: App<PublishedRing>,
    environment: Environment,
    chart: Chart,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        let Settings { control, cluster, warm_up, alarms, bounds, time_limit } = settings;
        let ring = PublishedRing::new(Publisher::new(cluster, warm_up));
        Self {
            environment: Environment::new(time_limit),
            chart: Chart::of(variables),
            app: App::new(control, ring, alarms, bounds),
        }
    }

    async fn serve(&self, event: LambdaEvent<Value>) -> Result<Answers, Failure> {
        let invocation = self.environment.begin(event.context.deadline, Clocks::now());
        let (now, deadline) = (invocation.started.wall, invocation.answer_by.into());
        let handled = handle(&self.app, &event.payload, now, deadline).await;

        let ended = Clocks::now();
        let duration = self.environment.end(&invocation, ended);
        metrics(&self.chart, &event.context.request_id, &invocation, &handled, duration).print(ended.wall);
        handled.answer
    }
}
