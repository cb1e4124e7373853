//! Wires the function: settings from the environment, clients made once, run.

use std::convert::Infallible;
use std::io::stdout;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, run_concurrent, service_fn};
use larder_lambda::environment::{Environment, epoch_ms};
use larder_lambda::http::{HttpAnswer, HttpRequest};
use larder_lambda::logs;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_read::metrics::Chart;
use larder_read::settings::{Settings, service};
use larder_read::{App, handle};
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
    let function = Arc::new(Function::new(settings, &variables));
    let serve = move |event: LambdaEvent<HttpRequest>| {
        let function = Arc::clone(&function);
        async move { Ok::<_, Infallible>(function.serve(event).await) }
    };
    match run_concurrent(service_fn(serve)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            error!(error = &*wrong as &dyn std::error::Error, "the runtime ended");
            ExitCode::FAILURE
        }
    }
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
            chart: Chart {
                namespace: settings.metrics_namespace.clone(),
                service: settings.service.clone(),
                function_name: variables.text("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default().to_owned(),
            },
            app: App::new(settings),
        }
    }

    async fn serve(&self, event: LambdaEvent<HttpRequest>) -> HttpAnswer {
        let invocation = self.environment.begin(event.context.deadline, Clocks::now());
        let handled = handle(&self.app, &event.payload, invocation.answer_by.into()).await;

        let ended = Clocks::now();
        let duration = self.environment.end(&invocation, ended);
        let metrics = self.chart.metrics(&event.context.request_id, &invocation, &handled, duration);
        if let Err(wrong) = metrics.write(epoch_ms(ended.wall), stdout().lock()) {
            warn!(error = &wrong as &dyn std::error::Error, "metrics not written");
        }
        handled.answer
    }
}
