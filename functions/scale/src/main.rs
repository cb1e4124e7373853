//! Wires the function: settings from the environment, clients made once, run.

use std::io::stdout;
use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, run, service_fn};
use larder_cache::Publisher;
use larder_lambda::environment::{Environment, epoch_ms};
use larder_lambda::logs;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_scale::answer::Answers;
use larder_scale::metrics::Chart;
use larder_scale::settings::{Settings, service};
use larder_scale::{App, Failure, PublishedRing, handle};
use serde_json::Value;
use tracing::{error, warn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let variables = Variables::of_process();
    if let Err(wrong) = logs::init(service(&variables), &variables) {
        eprintln!("logs are set up already: {wrong}");
    }
    let settings = match Settings::read(&variables) {
        Ok(settings) => settings,
        Err(wrong) => {
            error!(error = &wrong as &dyn std::error::Error, "could not start");
            return ExitCode::FAILURE;
        }
    };
    let function = Function::new(settings, &variables);
    // One event at a time: two changes at once would each count the nodes without the other.
    match run(service_fn(|event| function.serve(event))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            error!(error = &*wrong as &dyn std::error::Error, "the runtime ended");
            ExitCode::FAILURE
        }
    }
}

/// What lives as long as the process.
struct Function {
    app: App<PublishedRing>,
    environment: Environment,
    chart: Chart,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        let Settings { control, cluster, warm_up, alarms, bounds, time_limit, service, metrics_namespace } =
            settings;
        let ring = PublishedRing::new(Publisher::new(cluster, warm_up));
        Self {
            environment: Environment::new(time_limit),
            chart: Chart {
                namespace: metrics_namespace,
                service,
                function_name: variables.text("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default().to_owned(),
            },
            app: App::new(control, ring, alarms, bounds),
        }
    }

    async fn serve(&self, event: LambdaEvent<Value>) -> Result<Answers, Failure> {
        let invocation = self.environment.begin(event.context.deadline, Clocks::now());
        let (now, deadline) = (invocation.started.wall, invocation.answer_by.into());
        let handled = handle(&self.app, &event.payload, now, deadline).await;

        let ended = Clocks::now();
        let duration = self.environment.end(&invocation, ended);
        let metrics = self.chart.metrics(&event.context.request_id, &invocation, &handled, duration);
        if let Err(wrong) = metrics.write(epoch_ms(ended.wall), stdout().lock()) {
            warn!(error = &wrong as &dyn std::error::Error, "metrics not written");
        }
        handled.answer
    }
}
