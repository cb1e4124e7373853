//! `larder bench reader`: one environment of a stampede, as Lambda would have many of them.
//!
//! It serves one request at a time: a read of the hot key, by the handler of the function or by one of the
//! alternatives. It knows nothing of the others but what the cache tells. The process ends when the conductor closes
//! the link, or kills it.

use super::super::clock::Stamp;
use super::super::link::Outbox;
use super::super::processes::ProcessArgs;
use super::by_hand::ByHand;
use super::gated_origin::{Gate, GatedOrigin};
use super::messages::{Answer, Answered, Cache, Order, Report, Setup};
use super::strategy::{Strategy, TABLE};
use crate::commands::cluster::block_on;
use crate::exit::Outcome;
use anyhow::bail;
use clap::Args;
use larder_client::{Key, Ttl};
use larder_lambda::http::HttpRequest;
use larder_lambda::settings::Variables;
use larder_read::settings::Settings;
use larder_read::{App, Handled, handle};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Args, Debug)]
pub(crate) struct ReaderArgs {
    #[command(flatten)]
    process: ProcessArgs,
}

impl ReaderArgs {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        block_on(self.serve())
    }

    /// Obeys the conductor until the link ends.
    async fn serve(self) -> anyhow::Result<Outcome> {
        let (outbox, mut inbox) = self.process.connect().await?;
        let Some(Order::SetUp(setup)) = inbox.next().await? else {
            bail!("the conductor does not begin with the setup");
        };
        let gate = Arc::new(Gate::new(outbox.clone()));
        let environment = Arc::new(Environment::new(&setup, Arc::clone(&gate), outbox)?);
        while let Some(order) = inbox.next().await? {
            match order {
                Order::Read => drop(tokio::spawn(Arc::clone(&environment).read())),
                Order::Go { load } => gate.open(load),
                Order::SetUp(_) => bail!("the conductor begins twice"),
            }
        }
        Ok(Outcome::Done)
    }
}

struct Environment {
    reader: Reader,
    /// How long a request may take.
    timeout: Duration,
    outbox: Outbox<Report>,
}

/// Who reads the hot key.
#[allow(clippy::large_enum_variant, reason = "a process holds one")]
enum Reader {
    Naive(ByHand),
    Lock(ByHand),
    Function { app: App<GatedOrigin>, request: HttpRequest },
}

impl Environment {
    fn new(setup: &Setup, gate: Arc<Gate>, outbox: Outbox<Report>) -> anyhow::Result<Self> {
        let settings = Settings::read(&setup.variables.iter().cloned().collect::<Variables>())?;
        let timeout = settings.time_limit.timeout;
        let reader = match setup.strategy {
            Strategy::Naive => Reader::Naive(by_hand(settings, setup, gate)?),
            Strategy::Lock => Reader::Lock(by_hand(settings, setup, gate)?),
            Strategy::Lease | Strategy::Larder => Reader::Function {
                app: App::new(settings).map_source(|origin| GatedOrigin::new(origin, gate)),
                request: request(setup.id)?,
            },
        };
        Ok(Self { reader, timeout, outbox })
    }

    async fn read(self: Arc<Self>) {
        let deadline = Instant::now() + self.timeout;
        let answer = match &self.reader {
            Reader::Naive(by_hand) => by_hand.read_naively(deadline).await,
            Reader::Lock(by_hand) => by_hand.read_with_lock(deadline).await,
            Reader::Function { app, request } => answer(&handle(app, request, deadline).await),
        };
        self.outbox.send(Report::Answered(Answered { end: Stamp::now(), answer })).await;
    }
}

/// What the handler has answered, as its headers tell.
fn answer(handled: &Handled) -> Answer {
    let (http, counts) = (&handled.answer, &handled.work.counts);
    let cache = match http.headers.get("x-cache").map(String::as_str) {
        _ if http.status_code != 200 => None,
        Some("hit") => Some(Cache::Hit),
        Some("stale") => Some(Cache::Stale),
        Some("miss") => Some(Cache::Miss),
        Some("bypass") => Some(Cache::Bypass),
        _ => None,
    };
    let age_secs = http.headers.get("age").and_then(|age| age.parse().ok());
    Answer { cache, age_secs, fills_refused: counts.fills_refused, takeovers: counts.takeovers }
}

fn by_hand(settings: Settings, setup: &Setup, gate: Arc<Gate>) -> anyhow::Result<ByHand> {
    let id = setup.id.to_string();
    Ok(ByHand {
        key: Key::compose([TABLE, &id])?,
        lock: Key::compose(["lock", TABLE, &id])?,
        id: settings.origin.id(TABLE, &id)?,
        ttl: Ttl::from_secs(setup.ttl_secs)?,
        cluster: settings.cluster,
        origin: GatedOrigin::new(settings.origin, gate),
    })
}

/// A request for the record `id`, as a function URL sends it.
fn request(id: u32) -> anyhow::Result<HttpRequest> {
    let path = format!("/records/{TABLE}/{id}");
    let event = json!({
        "rawPath": path,
        "requestContext": { "http": { "method": "GET", "path": path }, "stage": "$default" },
    });
    Ok(serde_json::from_value(event)?)
}
