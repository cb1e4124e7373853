//! Wires the function: settings from the environment, clients made once, run.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, run_concurrent, service_fn};
use larder_lambda::chart::Chart;
use larder_lambda::environment::Environment;
use larder_lambda::http::{HttpAnswer, HttpRequest};
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_read::metrics::metrics;
use larder_read::settings::Settings;
use larder_read::{App, HottestKeys, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (settings, variables) = match process::begin(Settings::read) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let function = Arc::new(Function::new(settings, &variables));
    let serve = move |event: LambdaEvent<HttpRequest>| {
        let function = Arc::clone(&function);
        async move { Ok::<_, Infallible>(function.serve(event).await) }
    };
    process::end(run_concurrent(service_fn(serve)).await)
}

/// What lives as long as the process.
struct Function {
    app: App,
    environment: Environment,
    chart: Chart,
    hottest_keys: HottestKeys,
}

impl Function {
    fn new(settings: Settings, variables: &Variables) -> Self {
        Self {
            environment: Environment::new(settings.time_limit),
            chart: Chart::of(variables),
            hottest_keys: settings.hottest_keys,
            app: App::new(settings),
        }
    }

    async fn serve(&self, event: LambdaEvent<HttpRequest>) -> HttpAnswer {
        let invocation = self.environment.begin(event.context.deadline, Clocks::now());
        let handled = handle(&self.app, &event.payload, invocation.answer_by.into()).await;

        let ended = Clocks::now();
        let duration = self.environment.end(&invocation, ended);
        let mut metrics = metrics(&self.chart, &event.context.request_id, &invocation, &handled, duration);
        self.hottest_keys.name(&self.app.cache, &mut metrics);
        metrics.print(ended.wall);
        handled.answer
    }
}
