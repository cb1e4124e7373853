//! Behind PgBouncer, which gives a server to a transaction, and then to another client.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_origin::{Change, ListQuery, Origin, OriginError, Outage, PoolConfig, Scalar, WriteOptions};
use serde_json::json;
use sqlx::{ConnectOptions, Connection};
use tokio::task::JoinSet;

use forward::Forward;
use place::{Kind, Place, fields, ids, no_hurry, parsed, put, read, write};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/forward.rs"]
mod forward;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn environments_behind_a_pooler_read_and_write_their_own_table() {
    let place = cats_and_dogs().await;
    let mut environments = JoinSet::new();
    for number in 0..12 {
        let (table, other) = if number % 2 == 0 { ("cats", "dogs") } else { ("dogs", "cats") };
        let origin = pooled(&place);
        environments.spawn(async move {
            for round in 0..30 {
                let id = (1 + (number / 2 * 30 + round) % 100).to_string();
                let record = read(&origin, table, &id).await.unwrap();
                assert!(record["name"].as_str().unwrap().starts_with(table), "{record}");
                let many = ids(&origin, table, &["1", "7", "100", "101"][..(round as usize % 4) + 1]);
                for record in origin.load_many(table, &many, no_hurry()).await.unwrap().into_iter().flatten()
                {
                    assert!(parsed(&record)["name"].as_str().unwrap().starts_with(table), "{record:?}");
                }
                let name = format!("{table} {number} {round}");
                let patch = Change::Patch(fields(&json!({ "name": name }).to_string()));
                let written = write(&origin, table, &id, patch, WriteOptions::default()).await.unwrap();
                assert_eq!(parsed(&written.record.unwrap())["name"], name);
                if round % 10 == 9 {
                    let new = (1000 + number).to_string();
                    put(&origin, table, &new, &json!({ "name": name }).to_string()).await.unwrap();
                    let gone =
                        write(&origin, table, &new, Change::Delete, WriteOptions::default()).await.unwrap();
                    assert_eq!(parsed(&gone.before.unwrap())["name"], name);
                    assert!(read(&origin, other, &id).await.is_some());
                }
            }
        });
    }
    environments.join_all().await;
    let origin = pooled(&place);
    for table in ["cats", "dogs"] {
        for id in 1..=100 {
            let record = read(&origin, table, &id.to_string()).await.unwrap();
            assert!(record["name"].as_str().unwrap().starts_with(table), "{record}");
        }
    }
}

#[tokio::test]
async fn lists_behind_a_pooler_have_their_own_columns() {
    let place = cats_and_dogs().await;
    let mut environments = JoinSet::new();
    for number in 0..8 {
        let (table, mood) = if number % 2 == 0 { ("cats", "sad") } else { ("dogs", "ok") };
        let origin = pooled(&place);
        environments.spawn(async move {
            let statement =
                format!("SELECT name, mood, id AS {table}_id FROM {table} WHERE id > $1 ORDER BY id");
            let query = ListQuery::Sql { statement, parameters: vec![Scalar::Integer(1)] };
            for limit in [1, 5, 1000].repeat(5) {
                let rows = origin.list(&query, limit, no_hurry()).await.unwrap();
                assert_eq!(rows.len(), limit.min(99));
                let row = parsed(&rows[0]);
                assert_eq!(
                    row,
                    json!({"name": format!("{table} 2"), "mood": mood, format!("{table}_id"): 2})
                );
            }
        });
    }
    environments.join_all().await;
}

#[tokio::test]
async fn a_session_of_the_pooler_keeps_nothing_of_ours() {
    let place = cats_and_dogs().await;
    let origin = pooled(&place);
    for _ in 0..4 {
        assert!(read(&origin, "cats", "1").await.is_some());
        put(&origin, "dogs", "1", "{}").await.unwrap();
    }
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = place::postgres_options(&pooled_url(&place)).connect().await.unwrap();
        // Both sessions of the pool at once.
        sqlx::raw_sql("BEGIN").execute(&mut other).await.unwrap();
        others.push(other);
    }
    for other in &mut others {
        for setting in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
            let shown =
                sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SHOW {setting}"))).fetch_one(&mut *other).await;
            assert_eq!(sqlx::Row::get::<String, _>(&shown.unwrap(), 0), "0", "{setting}");
        }
        let kept =
            sqlx::raw_sql("SELECT count(*)::text FROM pg_prepared_statements").fetch_one(&mut *other).await;
        assert_eq!(sqlx::Row::get::<String, _>(&kept.unwrap(), 0), "0");
    }
    for other in others {
        other.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_statement_behind_a_pooler_ends_though_nobody_waits_any_more() {
    let place = cats_and_dogs().await;
    place
        .run(
            "CREATE TABLE slow (id bigint PRIMARY KEY, n text); INSERT INTO slow VALUES (1, 'x');
        ALTER TABLE slow ENABLE ROW LEVEL SECURITY; ALTER TABLE slow FORCE ROW LEVEL SECURITY;
        CREATE POLICY slowly ON slow USING (pg_sleep(60) IS NOT NULL);
        CREATE ROLE sleeper LOGIN NOSUPERUSER PASSWORD 'hunter2'; GRANT ALL ON slow TO sleeper",
        )
        .await;
    let config = PoolConfig { statement_timeout: Duration::from_secs(1), ..PoolConfig::default() };
    // Outside of a transaction, too: straight to the server, whose row rules hold for this role.
    let url = place.url.replace("larder:", "sleeper:");
    let origin = Origin::new(&url, "slow:id".parse().unwrap()).unwrap().with_pool(config.clone());
    let (asked, id) = (Instant::now(), origin.id("slow", "1").unwrap());
    let answer = origin.load("slow", &id, no_hurry()).await;
    assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
    let origin = pooled(&place).with_pool(config);
    let query = ListQuery::Sql { statement: "SELECT pg_sleep(60)::text AS n".into(), parameters: Vec::new() };
    let answer = origin.list(&query, 1, no_hurry()).await;
    assert!(matches!(answer, Err(OriginError::Unavailable(Outage::Database(_)))), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(40));
    assert!(read(&origin, "cats", "1").await.is_some(), "the connection is of further use");
}

#[tokio::test]
async fn a_warm_read_is_one_turn_on_the_wire() {
    let place = cats_and_dogs().await;
    let forward = Forward::to(server::postgres().port).await;
    let url = format!("{}?sslmode=disable", forward.url(&place.url));
    let origin = Origin::new(&url, "cats:id".parse().unwrap()).unwrap().writable();
    read(&origin, "cats", "1").await.unwrap();
    for ids in [&["2"][..], &["3", "4", "5"], &["6"]] {
        let (before, ids) = (forward.turns(), place::ids(&origin, "cats", ids));
        assert!(origin.load_many("cats", &ids, no_hurry()).await.unwrap().iter().all(Option::is_some));
        assert_eq!(forward.turns() - before, 1);
    }
    // Begin, the row as it was, the change, the row as it is, commit.
    let before = forward.turns();
    put(&origin, "cats", "2", r#"{"name": "cats 2"}"#).await.unwrap();
    assert_eq!(forward.turns() - before, 5);
}

#[tokio::test]
async fn many_calls_at_once_wait_for_the_pooler_and_not_for_each_other() {
    let place = cats_and_dogs().await;
    let config = PoolConfig { max_connections: 8.try_into().unwrap(), ..PoolConfig::default() };
    let origin = Arc::new(pooled(&place).with_pool(config));
    let mut calls = JoinSet::new();
    for number in 0..60 {
        let origin = Arc::clone(&origin);
        let table = if number % 2 == 0 { "cats" } else { "dogs" };
        calls.spawn(async move { (table, read(&origin, table, "5").await.unwrap()) });
    }
    for (table, record) in calls.join_all().await {
        assert_eq!(record["name"], format!("{table} 5"));
    }
}

async fn cats_and_dogs() -> Place {
    let place = Place::empty(Kind::Postgres).await;
    place
        .run(
            "CREATE TYPE mood AS ENUM ('sad', 'ok');
             CREATE TABLE cats (id bigint PRIMARY KEY, name text, mood mood DEFAULT 'sad');
             CREATE TABLE dogs (id bigint PRIMARY KEY, name text, mood mood DEFAULT 'ok');
             INSERT INTO cats SELECT n, 'cats ' || n FROM generate_series(1, 100) AS n;
             INSERT INTO dogs SELECT n, 'dogs ' || n FROM generate_series(1, 100) AS n",
        )
        .await;
    place
}

/// An environment of its own, behind the pooler.
fn pooled(place: &Place) -> Origin {
    Origin::new(&pooled_url(place), "cats:id,dogs:id".parse().unwrap()).unwrap().writable()
}

fn pooled_url(place: &Place) -> String {
    let (_, database) = place.url.rsplit_once('/').unwrap();
    server::postgres_url(server::pgbouncer().port, database)
}
