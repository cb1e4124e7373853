//! Wires the function: settings from the environment, clients made once, run.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, run_concurrent, service_fn};
use larder_lambda::environment::Environment;
use larder_lambda::http::{HttpAnswer, HttpRequest};
use larder_lambda::process;
use larder_lambda::settings::Variables;
use larder_lambda::thaw::Clocks;
use larder_write::metrics::chart;
use larder_write::settings::Settings;
use larder_write::{App, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    process::run(Settings::read, async |settings, variables| {
        if settings.queue.is_none() {
            tracing::warn!(
                "no LARDER_INVALIDATION_QUEUE: where the cache cannot be told of a write, it keeps what is older"
            );
        }
        let function = Arc::new(Function::new(settings, &variables));
        let serve = move |event: LambdaEvent<HttpRequest>| {
            let function = Arc::clone(&function);
            async move { Ok::<_, Infallible>(function.serve(event).await) }
        };
        run_concurrent(service_fn(serve)).await
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
        Self { environment: Environment::new(settings.time_limit, variables), app: App::new(settings) }
    }

    async fn serve(&self, event: LambdaEvent<HttpRequest>) -> HttpAnswer {
        let LambdaEvent { payload, context } = event;
        let invocation = self.environment.begin(&context.request_id, context.deadline, Clocks::now());
        let handled = handle(&self.app, &payload, invocation.answer_by.into()).await;
        self.environment.end(&invocation, |metrics| chart(&handled, metrics));
        handled.answer
    }
}
