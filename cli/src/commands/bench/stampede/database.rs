//! The truth behind the cache of a stampede: one record in a SQLite file.

use super::strategy::TABLE;
use anyhow::Context;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

/// A SQLite file with the one record, which goes with this.
pub(crate) struct Database(TempDir);

impl Database {
    /// Makes the file and the record `id` in it.
    pub(crate) async fn create(id: u32) -> anyhow::Result<Self> {
        let database = Self(tempfile::tempdir().context("no directory for a database")?);
        database.fill(id).await.context("the database could not be made")?;
        Ok(database)
    }

    /// Where it is, as the functions are told.
    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join(FILE).display())
    }

    async fn fill(&self, id: u32) -> Result<(), sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(self.0.path().join(FILE)).create_if_missing(true);
        let mut connection = options.connect().await?;
        let create = format!(
            "CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, carrier TEXT, origin TEXT, dest TEXT);
             INSERT INTO {TABLE} VALUES ({id}, 'UA', 'EWR', 'IAH')"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await?;
        connection.close().await
    }
}

const FILE: &str = "origin.db";
