//! A house to write in: real memcached nodes behind a configuration endpoint, a SQLite file, a queue of files, and the
//! functions that read, write and invalidate.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::fs;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use larder_client::{Cluster, Config, Key};
use larder_lambda::http::{HttpAnswer, HttpRequest};
use larder_lambda::settings::Variables;
use larder_local::{LocalCluster, Options};
use larder_queue::FileQueue;
use larder_write::{App, Handled, Target, handle};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection};
use tempfile::{NamedTempFile, TempDir};
use tokio::time::Instant;

/// Nodes, origin, queue, and a function that writes and one that reads.
pub(crate) struct House {
    pub(crate) nodes: LocalCluster,
    pub(crate) writer: App,
    pub(crate) reader: larder_read::App,
    pub(crate) queue: FileQueue,
    dir: TempDir,
}

impl House {
    pub(crate) async fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut database = origin(&dir).create_if_missing(true).connect().await?;
        sqlx::raw_sql(larder_origin::schema::SQLITE).execute(&mut database).await?;
        sqlx::raw_sql(TABLES).execute(&mut database).await?;
        database.close().await?;
        let nodes = LocalCluster::start(Options { nodes: 2, ..Options::default() }).await?;
        let queue = FileQueue::new(dir.path().join("queue"));
        let url = format!("file:{}", dir.path().join("queue").display());
        let queued = [("LARDER_INVALIDATION_QUEUE", url.as_str())];
        let writer = writer(&variables(&nodes, &dir, &queued))?;
        let reader = reader(&variables(&nodes, &dir, &[]))?;
        Ok(Self { nodes, writer, reader, queue, dir })
    }

    /// The variables of the function that writes, and `more`.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut variables = variables(&self.nodes, &self.dir, &[]);
        variables.push(self.queue_variable());
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        variables
    }

    /// Another environment of the function that writes.
    pub(crate) fn another_writer(&self, more: &[(&str, &str)]) -> Result<App> {
        writer(&self.variables(more))
    }

    /// Another environment of the function that writes, without a queue.
    pub(crate) fn writer_without_queue(&self) -> Result<App> {
        writer(&variables(&self.nodes, &self.dir, &[]))
    }

    /// Another environment of the function that reads.
    pub(crate) fn another_reader(&self, more: &[(&str, &str)]) -> Result<larder_read::App> {
        reader(&variables(&self.nodes, &self.dir, more))
    }

    /// An environment of the function that writes, for which nobody listens behind the names of the nodes.
    pub(crate) fn cut_off_writer(&self, more: &[(&str, &str)]) -> Result<(App, NamedTempFile)> {
        let mut hosts = NamedTempFile::new()?;
        for node in self.nodes.nodes() {
            writeln!(hosts, "127.255.255.254 {}", node.name)?;
        }
        let path = hosts.path().to_str().context("a path of Unicode")?.to_owned();
        let more: Vec<_> = [("LARDER_HOSTS_FILE", path.as_str())].iter().chain(more).copied().collect();
        Ok((self.another_writer(&more)?, hosts))
    }

    /// A client of the nodes.
    pub(crate) fn client(&self) -> Result<Cluster> {
        let endpoint = self.nodes.config_endpoint().to_string().parse()?;
        Ok(Cluster::new(Config { hosts_file: Some(self.nodes.hosts_file()), ..Config::new(endpoint) })?)
    }

    /// Whether anything that can be answered is kept under `key`.
    pub(crate) async fn is_kept(&self, key: &str) -> Result<bool> {
        Ok(self.client()?.get(&Key::new(key.as_bytes())?).await?.is_some_and(|item| !item.value.is_empty()))
    }

    /// A connection to the origin's file.
    pub(crate) async fn database(&self) -> Result<SqliteConnection> {
        Ok(origin(&self.dir).connect().await?)
    }

    /// A path that the house does not use.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> HttpAnswer {
        send(&self.writer, "PUT", path, &[], body).await.answer
    }

    pub(crate) async fn get(&self, path_and_query: &str) -> HttpAnswer {
        get(&self.reader, path_and_query).await
    }

    /// The keys that wait in the queue, sorted.
    pub(crate) fn queued(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for waiting in self.queue.take(100)? {
            keys.extend(waiting.invalidation?.keys.iter().map(ToString::to_string));
        }
        keys.sort();
        Ok(keys)
    }

    /// Has all that waits in the queue done by the function that does it, as SQS would hand it over.
    pub(crate) async fn work_off(&self) -> Result<()> {
        for waiting in self.queue.take(100)? {
            let body = waiting.invalidation.as_ref().map_err(Clone::clone)?.encode();
            let event = json!({ "Records": [{ "messageId": "1", "body": body, "eventSource": "aws:sqs" }] });
            let now = std::time::SystemTime::now();
            let handled = larder_invalidate::handle(&self.client()?, &event, now, late()).await;
            let answer = serde_json::to_value(handled.answer?)?;
            anyhow::ensure!(answer == json!({ "batchItemFailures": [] }), "{answer}");
            waiting.done()?;
        }
        Ok(())
    }

    fn queue_variable(&self) -> (String, String) {
        ("LARDER_INVALIDATION_QUEUE".to_owned(), format!("file:{}", self.path("queue")))
    }
}

/// Sends `body` as JSON to `app`, with `headers`, within ten seconds.
pub(crate) async fn send<T: Target>(
    app: &App<T>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Handled {
    handle(app, &request(method, path, headers, body), late()).await
}

/// A request as a function URL sends it, with a body of JSON.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpRequest {
    serde_json::from_value(event(method, path, headers, body)).expect("an event of payload format 2.0")
}

pub(crate) fn event(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut of_request = json!({ "content-type": "application/json" });
    for (name, value) in headers {
        of_request[*name] = (*value).into();
    }
    json!({
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": of_request,
        "body": body,
        "isBase64Encoded": false,
        "requestContext": { "http": { "method": method, "path": path }, "stage": "$default" },
    })
}

/// Gets `path_and_query` from `app`, within ten seconds.
pub(crate) async fn get(app: &larder_read::App, path_and_query: &str) -> HttpAnswer {
    larder_read::handle(app, &request("GET", path_and_query, &[], ""), late()).await.answer
}

pub(crate) fn late() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// An answer's status, and what it says of the cache.
#[track_caller]
pub(crate) fn check(answer: &HttpAnswer, status: u16, x_cache: &str) {
    let told = answer.headers.get("x-cache").map_or("", String::as_str);
    assert_eq!((answer.status_code, told), (status, x_cache), "{answer:?}");
}

#[track_caller]
pub(crate) fn check_code(answer: &HttpAnswer, status: u16, code: &str) {
    let body: Value = serde_json::from_str(&answer.body).expect("an answer in JSON");
    assert_eq!((answer.status_code, &body["error"]["code"]), (status, &code.into()), "{answer:?}");
}

/// The version that an answer tells.
#[track_caller]
pub(crate) fn version(answer: &HttpAnswer) -> u64 {
    let version = answer.headers.get("x-record-version").unwrap_or_else(|| panic!("no version: {answer:?}"));
    version.parse().expect("a number")
}

pub(crate) fn writer(variables: &[(String, String)]) -> Result<App> {
    Ok(App::new(larder_write::settings::Settings::read(&told(variables))?))
}

fn reader(variables: &[(String, String)]) -> Result<larder_read::App> {
    Ok(larder_read::App::new(larder_read::settings::Settings::read(&told(variables))?))
}

fn told(variables: &[(String, String)]) -> Variables {
    variables.iter().cloned().collect()
}

const DATABASE: &str = "origin.db";

const TABLES: &str = "
    CREATE TABLE airports (faa TEXT PRIMARY KEY, name TEXT NOT NULL, alt INTEGER DEFAULT 7);
    INSERT INTO airports VALUES ('JFK', 'John F Kennedy Intl', 13), ('LGA', 'La Guardia', 22),
        ('EWR', 'Newark Liberty Intl', 18), ('ORD', 'Chicago Ohare Intl', 668);
    CREATE TABLE flights (id INTEGER PRIMARY KEY, origin TEXT, dest TEXT, gate TEXT DEFAULT 'A1', v BIGINT);
    INSERT INTO flights VALUES (1, 'EWR', 'ORD', 'B2', 5), (2, 'LGA', 'ORD', 'C3', 9);
    CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER, name TEXT UNIQUE);
    INSERT INTO staff VALUES (1, 1, 'Ada'), (2, 1, 'Bob');
";

fn origin(dir: &TempDir) -> SqliteConnectOptions {
    // Readers beside a writer, as a server has them.
    SqliteConnectOptions::new().filename(dir.path().join(DATABASE)).journal_mode(SqliteJournalMode::Wal)
}

fn variables(nodes: &LocalCluster, dir: &TempDir, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [
        ("LARDER_CONFIG_ENDPOINT", nodes.config_endpoint().to_string()),
        ("LARDER_HOSTS_FILE", nodes.hosts_file().display().to_string()),
        ("LARDER_CACHE_TIMEOUT_MS", "5000".to_owned()),
        ("LARDER_ORIGIN_URL", format!("sqlite:{}", dir.path().join(DATABASE).display())),
        (
            "LARDER_TABLES",
            "airports:faa,flights:id:version=v:parent=airports.origin:parent=airports.dest,staff:id:parent=staff.boss"
                .to_owned(),
        ),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

/// All of a file.
pub(crate) fn text(path: &std::path::Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
