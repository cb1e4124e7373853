//! A small SQLite file of a test's own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use larder_origin::{Origin, Record, Tables};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// A directory with one database file, gone when dropped.
pub(crate) struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// Makes a file by running `sql`.
    pub(crate) async fn new(sql: &str) -> Self {
        let scratch = Self::without_file();
        scratch.run(sql).await;
        scratch
    }

    /// Makes only the directory.
    pub(crate) fn without_file() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("scratch.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    /// Runs `sql` on a connection of its own, making the file if there is none.
    pub(crate) async fn run(&self, sql: &str) {
        let mut writer = self.writer().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut writer).await.unwrap();
        writer.close().await.unwrap();
    }

    /// A connection that may write.
    pub(crate) async fn writer(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.file()).create_if_missing(true).connect().await.unwrap()
    }

    /// The origin of `tables` in this file.
    pub(crate) fn origin(&self, tables: &str) -> Origin {
        Origin::new(&self.url(), tables.parse::<Tables>().unwrap()).unwrap()
    }
}

/// Far enough that only a hanging test meets it.
pub(crate) fn no_hurry() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A record as text.
pub(crate) fn json(record: &Record) -> &str {
    str::from_utf8(record.json()).unwrap()
}
