//! A name that leads to another server by now, under a connection to the one before.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::sync::Arc;
use std::time::Duration;

use larder_origin::{Change, ListQuery, Origin, OriginError, PoolConfig, WriteOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use forward::Forward;
use place::{Kind, Place, fields, no_hurry, parsed, read, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/forward.rs"]
mod forward;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn a_write_that_a_standby_refuses_goes_to_the_server_of_the_name() {
    let place = Place::new(Kind::Postgres).await;
    put(&place.origin(), "old").await;
    let standby = tokio::task::spawn_blocking(server::standby).await.unwrap();
    let forward = Forward::to(standby.port).await;
    let origin = place.origin_of_url(&forward.url(&place.url));
    assert_eq!(read(&origin, "airports", "JFK").await.unwrap()["name"], "old");
    // While the name leads there still, nothing is written and the connection is not kept.
    let refused = patch(&origin, "x").await;
    assert!(matches!(refused, Err(OriginError::Unavailable(_))), "{refused:?}");
    assert_eq!(read(&origin, "airports", "JFK").await.unwrap()["name"], "old");
    forward.lead_to(server::postgres().port);
    patch(&origin, "new").await.unwrap();
    assert_eq!(read(&place.origin(), "airports", "JFK").await.unwrap()["name"], "new");
    assert_eq!(read(&origin, "airports", "JFK").await.unwrap()["name"], "new", "by the new connection");
}

#[tokio::test]
async fn a_list_that_a_standby_cancels_is_asked_again() {
    let place = Place::new(Kind::Postgres).await;
    let standby = tokio::task::spawn_blocking(server::standby).await.unwrap();
    let admin = Place::of_url(Kind::Postgres, server::postgres_url(standby.port, "postgres"));
    let port = server::postgres().port;
    let primary = format!("host=127.0.0.1 port={port} user=larder password={}", server::PASSWORD);
    admin.run("ALTER SYSTEM SET max_standby_streaming_delay = 0").await;
    admin.run(&format!("ALTER SYSTEM SET primary_conninfo = '{primary}'")).await;
    admin.run("SELECT pg_reload_conf()").await;
    put(&place.origin(), "new").await;
    let url = server::postgres_url(standby.port, place.url.rsplit('/').next().unwrap());
    let origin = Arc::new(place.origin_of_url(&url));
    while read(&origin, "airports", "JFK").await.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = Arc::clone(&origin);
    let list = tokio::spawn(async move {
        let statement = "SELECT faa, pg_sleep(1)::text FROM airports".to_owned();
        asked.list(&ListQuery::Sql { statement, parameters: Vec::new() }, 1, no_hurry()).await
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    place.run("VACUUM FULL airports").await;
    assert_eq!(parsed(&list.await.unwrap().unwrap()[0])["faa"], "JFK");
}

#[tokio::test]
async fn a_write_that_a_read_only_server_refuses_goes_to_the_server_of_the_name() {
    let (old, new) =
        tokio::task::spawn_blocking(|| (server::another_mariadb(), server::another_mariadb())).await.unwrap();
    for port in [old.port, new.port] {
        run(port, "CREATE DATABASE air; CREATE TABLE air.airports (faa VARCHAR(9) PRIMARY KEY, name VARCHAR(9)) ENGINE = InnoDB;
            INSERT INTO air.airports VALUES ('JFK', 'old');
            CREATE USER app@'127.0.0.1' IDENTIFIED BY 'hunter2'; GRANT ALL ON air.* TO app@'127.0.0.1'").await;
    }
    for max_connections in [1, 4] {
        for port in [old.port, new.port] {
            run(port, "SET GLOBAL read_only = 0; UPDATE air.airports SET name = 'old'").await;
        }
        let forward = Forward::to(old.port).await;
        let url = format!("mysql://app:hunter2@127.0.0.1:{}/air", forward.port);
        let config =
            PoolConfig { max_connections: max_connections.try_into().unwrap(), ..PoolConfig::default() };
        let origin = Arc::new(
            Origin::new(&url, "airports:faa".parse().unwrap()).unwrap().writable().with_pool(config),
        );
        // As many connections as there may be.
        let warm = (0..max_connections).map(|_| {
            let origin = Arc::clone(&origin);
            tokio::spawn(async move { patch(&origin, "warm").await.unwrap() })
        });
        for warm in warm.collect::<Vec<_>>() {
            warm.await.unwrap();
        }
        run(old.port, "SET GLOBAL read_only = 1").await;
        forward.lead_to(new.port);
        for name in ["new", "newer", "newest"] {
            patch(&origin, name).await.unwrap();
            assert_eq!(read(&origin, "airports", "JFK").await.unwrap()["name"], name);
        }
    }
}

#[tokio::test]
async fn a_write_whose_connection_is_ended_before_its_commit_happens_once() {
    for (kind, who, kill) in [
        (
            Kind::Postgres,
            "SELECT pid AS id FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
            "SELECT pg_terminate_backend({id})",
        ),
        (
            Kind::MySql,
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT t.%FOR UPDATE'",
            "KILL CONNECTION {id}",
        ),
    ] {
        let place = Place::new(kind).await;
        let origin = Arc::new(place.origin());
        let first = place::put(&origin, "flights", "7", r#"{"distance": 1}"#).await.unwrap().version.unwrap();
        let holder = place.hold("SELECT * FROM flights WHERE id = 7 FOR UPDATE").await;
        let writer = Arc::clone(&origin);
        let waiting = tokio::spawn(async move {
            let change = Change::Patch(fields(r#"{"distance": 2}"#));
            write(&writer, "flights", "7", change, WriteOptions::default()).await
        });
        let who = ListQuery::Sql { statement: who.into(), parameters: Vec::new() };
        let deadline = no_hurry();
        let id = loop {
            let rows = place.read_only().list(&who, 1, deadline).await.unwrap();
            if let Some(row) = rows.first() {
                break parsed(row)["id"].to_string();
            }
            tokio::task::yield_now().await;
        };
        place.run(&kill.replace("{id}", &id)).await;
        holder.let_go().await;
        let written = waiting.await.unwrap().unwrap();
        assert_eq!(written.version, Some(first + 1), "{kind:?}");
    }
}

async fn put(origin: &Origin, name: &str) {
    place::put(origin, "airports", "JFK", &format!(r#"{{"name": "{name}"}}"#)).await.unwrap();
}

async fn patch(origin: &Origin, name: &str) -> Result<(), OriginError> {
    let change = Change::Patch(fields(&format!(r#"{{"name": "{name}"}}"#)));
    write(origin, "airports", "JFK", change, WriteOptions::default()).await.map(|_| ())
}

async fn run(port: u16, sql: &str) {
    let mut admin = place::mysql_options(&server::mariadb_url(port, "mysql")).connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
}
