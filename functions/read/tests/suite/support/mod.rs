//! A house to read in: real memcached nodes behind a configuration endpoint, and a SQLite file.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::time::Duration;

use anyhow::Result;
use larder_client::{Cluster, Config, Endpoint};
use larder_lambda::http::HttpRequest;
use larder_lambda::settings::Variables;
use larder_local::{LocalCluster, Options};
use larder_read::settings::Settings;
use larder_read::{App, Handled, handle};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::time::Instant;

/// Nodes, origin and the function between them.
pub(crate) struct House {
    pub(crate) nodes: LocalCluster,
    pub(crate) app: App,
    dir: TempDir,
}

impl House {
    /// A house whose origin has airports, whose function is told `more` than its addresses.
    pub(crate) async fn new(more: &[(&str, &str)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut database = origin(&dir).create_if_missing(true).connect().await?;
        sqlx::raw_sql(AIRPORTS).execute(&mut database).await?;
        database.close().await?;
        Self::over(dir, more).await
    }

    /// A house whose origin is the file [`DATABASE`] in `dir`.
    pub(crate) async fn over(dir: TempDir, more: &[(&str, &str)]) -> Result<Self> {
        let nodes = LocalCluster::start(Options { nodes: 3, ..Options::default() }).await?;
        let told = Variables::from_iter(variables(&nodes, &dir, more));
        let app = App::new(Settings::read(&told)?);
        Ok(Self { nodes, app, dir })
    }

    /// The variables of a function of this house, and `more`.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        variables(&self.nodes, &self.dir, more)
    }

    /// Another function over the same nodes and origin, as another environment would be.
    pub(crate) fn another(&self, more: &[(&str, &str)]) -> Result<App> {
        Ok(App::new(Settings::read(&Variables::from_iter(self.variables(more)))?))
    }

    /// A client of the same nodes.
    pub(crate) fn client(&self) -> Result<Cluster> {
        let address = self.nodes.config_endpoint();
        let endpoint = Endpoint::Configuration { host: address.ip().to_string(), port: address.port() };
        Ok(Cluster::new(Config { hosts_file: Some(self.nodes.hosts_file()), ..Config::new(endpoint) })?)
    }

    /// A connection to the origin's file.
    pub(crate) async fn database(&self) -> Result<SqliteConnection> {
        Ok(origin(&self.dir).connect().await?)
    }

    /// Takes the origin away; what is open stays open, so do this before the first read or ask
    /// [`another`](Self::another).
    pub(crate) fn remove_origin(&self) -> Result<()> {
        Ok(std::fs::rename(self.dir.path().join(DATABASE), self.dir.path().join("away.db"))?)
    }

    /// Puts something in place of the origin's file that is no database; what is open stays open.
    pub(crate) fn spoil_origin(&self) -> Result<()> {
        self.remove_origin()?;
        Ok(std::fs::write(self.dir.path().join(DATABASE), "id,name\n".repeat(1000))?)
    }

    /// Gets `path` from the function.
    pub(crate) async fn get(&self, path_and_query: &str) -> Handled {
        get(&self.app, path_and_query).await
    }
}

/// Gets `path_and_query` from `app`, within ten seconds.
pub(crate) async fn get(app: &App, path_and_query: &str) -> Handled {
    handle(app, &request("GET", path_and_query), Instant::now() + Duration::from_secs(10)).await
}

/// A request as a function URL sends it.
pub(crate) fn request(method: &str, path_and_query: &str) -> HttpRequest {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let event = serde_json::json!({
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "requestContext": { "http": { "method": method, "path": path }, "stage": "$default" },
    });
    serde_json::from_value(event).expect("an event of payload format 2.0")
}

/// The origin's file in a house's directory.
pub(crate) const DATABASE: &str = "origin.db";

const AIRPORTS: &str = "
    CREATE TABLE airports (faa TEXT PRIMARY KEY, name TEXT, alt INTEGER);
    INSERT INTO airports VALUES ('JFK', 'John F Kennedy Intl', 13), ('LGA', 'La Guardia', 22),
        ('EWR', 'Newark Liberty Intl', 18), ('ORD', 'Chicago Ohare Intl', 668);
    CREATE TABLE flights (id INTEGER PRIMARY KEY, dest TEXT);
    INSERT INTO flights VALUES (1, 'IAH'), (2, 'MIA');
    CREATE TABLE notes (text TEXT);
";

fn origin(dir: &TempDir) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(dir.path().join(DATABASE))
}

fn variables(nodes: &LocalCluster, dir: &TempDir, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [
        ("LARDER_CONFIG_ENDPOINT", nodes.config_endpoint().to_string()),
        ("LARDER_HOSTS_FILE", nodes.hosts_file().display().to_string()),
        ("LARDER_ORIGIN_URL", format!("sqlite:{}", dir.path().join(DATABASE).display())),
        ("LARDER_TABLES", "airports:faa,airlines:carrier,flights:id,planes:tailnum".to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}
