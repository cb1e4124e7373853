//! A house with lists in it: real memcached nodes behind a configuration endpoint, a SQLite file, and the function.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use larder_cache::{Cache, ListAnswer, OriginGuard};
use larder_client::{Cluster, Config, Endpoint, Key, Ttl};
use larder_lambda::settings::Variables;
use larder_local::{LocalCluster, Options};
use larder_origin::{ListQuery, Origin, OriginError, Record};
use larder_records::List;
use larder_top_n::answer::Done;
use larder_top_n::settings::Settings;
use larder_top_n::{App, Handled, Source, handle};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Nodes and origin.
pub(crate) struct House {
    pub(crate) nodes: LocalCluster,
    dir: TempDir,
    lists: String,
}

impl House {
    /// A house whose origin has flights to three airports, and lists of them, `periods` long.
    pub(crate) async fn new(periods: &[u64]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut database = origin(&dir).create_if_missing(true).connect().await?;
        sqlx::raw_sql(FLIGHTS).execute(&mut database).await?;
        database.close().await?;
        let lists = periods.iter().zip(NAMES).map(|(period, name)| list(name, *period));
        let lists: Value = lists.collect();
        Self::over(dir, lists.to_string()).await
    }

    /// A house whose origin is the file [`DATABASE`] in `dir`.
    pub(crate) async fn over(dir: TempDir, lists: String) -> Result<Self> {
        let nodes = LocalCluster::start(Options { nodes: 3, ..Options::default() }).await?;
        Ok(Self { nodes, dir, lists })
    }

    /// The variables of a function of this house, and `more`.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = [
            ("LARDER_CONFIG_ENDPOINT", self.nodes.config_endpoint().to_string()),
            ("LARDER_HOSTS_FILE", self.nodes.hosts_file().display().to_string()),
            ("LARDER_ORIGIN_URL", format!("sqlite:{}", self.dir.path().join(DATABASE).display())),
            ("LARDER_TABLES", "flights:id,airports:faa,airlines:carrier,planes:tailnum".to_owned()),
            ("LARDER_LISTS", self.lists.clone()),
            // Where a test is not about time, a busy machine must not end it.
            ("LARDER_CACHE_TIMEOUT_MS", "10000".to_owned()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
    }

    /// A function, as an environment of its own would be.
    pub(crate) fn app(&self) -> Result<App> {
        Ok(App::new(Settings::read(&Variables::from_iter(self.variables(&[])))?))
    }

    /// The same, whose queries are counted.
    pub(crate) fn counted(&self) -> Result<App<Counted>> {
        Ok(self.app()?.map_source(Counted::new))
    }

    /// A client of the same nodes.
    pub(crate) fn client(&self) -> Result<Cluster> {
        let address = self.nodes.config_endpoint();
        let endpoint = Endpoint::Configuration { host: address.ip().to_string(), port: address.port() };
        let patient = Config { timeout: PATIENCE, connect_timeout: PATIENCE, ..Config::new(endpoint) };
        Ok(Cluster::new(Config { hosts_file: Some(self.nodes.hosts_file()), ..patient })?)
    }

    /// Makes the origin.
    pub(crate) async fn create(&self, statement: &'static str) -> Result<()> {
        origin(&self.dir).create_if_missing(true).connect().await?.close().await?;
        self.change(statement).await
    }

    /// Changes rows of the origin.
    pub(crate) async fn change(&self, statement: &'static str) -> Result<()> {
        let mut database: SqliteConnection = origin(&self.dir).connect().await?;
        sqlx::raw_sql(statement).execute(&mut database).await?;
        Ok(database.close().await?)
    }

    /// Lets a list look as if it had been refreshed `secs` ago.
    pub(crate) async fn let_age(&self, app: &App<impl Source>, name: &str, secs: u32) -> Result<()> {
        let timed = app.lists.get(name).expect("a list").timed();
        let left = Ttl::from_secs((timed.ttl().as_secs() - secs).into())?;
        assert!(self.client()?.touch(timed.key(), left).await?, "{name} is there");
        Ok(())
    }

    /// Takes a list away.
    pub(crate) async fn remove(&self, key: &Key) -> Result<bool> {
        Ok(self.client()?.delete(key).await?)
    }

    /// What a reader is answered, who cannot ask the origin.
    pub(crate) async fn read(&self, list: &List) -> Result<ListAnswer> {
        let cache = Cache::new(self.client()?, OriginGuard::new(1));
        let nobody = || async { Err(std::io::Error::other("a reader asks the origin")) };
        Ok(cache.read_list(list.timed(), late(), nobody).await.0?)
    }
}

/// An origin whose queries are counted, and that lets some of them wait for ever.
#[derive(Debug)]
pub(crate) struct Counted {
    origin: Origin,
    statements: Mutex<Vec<String>>,
    /// After how many queries the next ones wait for ever.
    pub(crate) most: AtomicUsize,
    begun: Notify,
}

impl Counted {
    fn new(origin: Origin) -> Self {
        let most = AtomicUsize::new(usize::MAX);
        Self { origin, statements: Mutex::default(), most, begun: Notify::new() }
    }

    /// The first letter of the lists that were asked for, in order.
    pub(crate) fn asked(&self) -> String {
        let statements = self.statements.lock().unwrap();
        statements.iter().map(|statement| statement.chars().nth(8).unwrap()).collect()
    }

    /// Waits until a query has begun.
    pub(crate) async fn begun(&self) {
        timeout(PATIENCE, self.begun.notified()).await.expect("a query");
    }
}

impl Source for Counted {
    async fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        deadline: std::time::Instant,
    ) -> Result<Vec<Record>, OriginError> {
        let ListQuery::Sql { statement, .. } = query else { panic!("no statement") };
        let asked = {
            let mut statements = self.statements.lock().unwrap();
            statements.push(statement.clone());
            statements.len()
        };
        self.begun.notify_one();
        if asked > self.most.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.origin.list(query, limit, deadline).await
    }
}

/// Has `event` handled with all the time that it needs.
pub(crate) async fn run(app: &App<impl Source>, event: Value) -> Handled {
    handle(app, &event, late()).await
}

/// What became of the lists, in order: `a refreshed, b left`, say.
#[track_caller]
pub(crate) fn done(handled: &Handled) -> String {
    let answer = handled.answer.as_ref().unwrap();
    assert_eq!(answer.lists, handled.work.lists);
    told(handled)
}

/// The same of a run that may have failed.
pub(crate) fn told(handled: &Handled) -> String {
    let told = handled.work.lists.iter().map(|list| {
        let done = match &list.done {
            Done::Refreshed { .. } => "refreshed",
            Done::Unchanged { .. } => "unchanged",
            Done::NotDue { .. } => "not due",
            Done::UnderWay => "under way",
            Done::Overtaken => "overtaken",
            Done::Failed { .. } => "failed",
            Done::Left => "left",
        };
        format!("{} {done}", list.list)
    });
    told.collect::<Vec<_>>().join(", ")
}

/// As a rule of EventBridge sends it.
pub(crate) fn schedule() -> Value {
    json!({ "version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} })
}

pub(crate) fn late() -> Instant {
    Instant::now() + 2 * PATIENCE
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Flights by destination; the statement names the list.
fn list(name: &str, period_secs: u64) -> Value {
    let statement = format!(
        "SELECT '{name}' AS list, dest, count(*) AS flights FROM flights GROUP BY dest ORDER BY 3 DESC, 2"
    );
    json!({ "name": name, "query": { "sql": { "statement": statement } }, "n": 2, "period_secs": period_secs })
}

fn origin(dir: &TempDir) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(dir.path().join(DATABASE))
}

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The origin's file in a house's directory.
pub(crate) const DATABASE: &str = "origin.db";
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const FLIGHTS: &str = "
    CREATE TABLE flights (id INTEGER PRIMARY KEY, dest TEXT);
    INSERT INTO flights VALUES (1, 'IAH'), (2, 'MIA'), (3, 'IAH'), (4, 'BOS'), (5, 'IAH'), (6, 'MIA');
";
