//! Whose fault it is that a real database gave no answer: its own, or that of the environment that asked.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]
#![allow(dead_code, reason = "the supports are for other tests, too")]

use std::time::Duration;

use larder_origin::{AwsSettings, ListQuery, Origin, OriginError, PoolConfig};

use place::{Kind, Place, no_hurry, tables};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn what_one_environment_cannot_reach_is_no_outage() {
    let nobody = server::free_port();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|address| (silent, address.port())).unwrap();
    let aws = AwsSettings::new("nobody", server::PASSWORD, None);
    let hasty = PoolConfig { connect_timeout: Duration::from_millis(200), ..PoolConfig::default() };
    for (what, url) in [
        ("no file", "sqlite:nowhere/at/all.db".to_owned()),
        ("nothing listens", server::postgres_url(nobody, "x")),
        ("nothing listens", server::mariadb_url(nobody, "x")),
        ("nothing answers", server::postgres_url(silent.1, "x")),
        ("nothing answers", server::mariadb_url(silent.1, "x")),
        ("no address", server::postgres_url(nobody, "x").replace("127.0.0.1", "nowhere.invalid")),
        ("no address", server::mariadb_url(nobody, "x").replace("127.0.0.1", "nowhere.invalid")),
        ("no connection", server::ministack_url(nobody, "")),
    ] {
        let origin = Origin::new(&url, tables()).unwrap().with_pool(hasty.clone()).with_aws(aws.clone());
        let error = load(&origin).await;
        assert!(!error.is_outage(), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn credentials_and_names_of_one_environment_are_no_outage() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let place = Place::new(kind).await;
        let stranger = place.url.replace("//larder:", "//stranger:");
        let misspelt = place.url.replace(server::PASSWORD, "hunter3");
        let elsewhere = format!("{}_elsewhere", place.url);
        for url in [stranger, misspelt, elsewhere] {
            let error = load(&Origin::new(&url, tables()).unwrap()).await;
            // Where a server trusts its own machine, a wrong password is let in, and then all is well or there is no
            // such table.
            assert!(!error.is_outage(), "{kind:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn credentials_and_names_that_a_pooler_does_not_take_are_no_outage() {
    let place = Place::new(Kind::Postgres).await;
    let port = tokio::task::spawn_blocking(|| server::pgbouncer().port).await.unwrap();
    let url = server::postgres_url(port, place.url.rsplit('/').next().unwrap());
    let stranger = url.replace("//larder:", "//stranger:");
    let misspelt = url.replace(server::PASSWORD, "hunter3");
    let elsewhere = format!("{url}_elsewhere");
    for url in [stranger, misspelt, elsewhere] {
        let error = load(&Origin::new(&url, tables()).unwrap()).await;
        assert!(!error.is_outage() && matches!(error, OriginError::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_has_no_room_or_is_too_slow_is_an_outage() {
    let place = Place::new(Kind::Postgres).await;
    let name = format!("narrow_{}", std::process::id());
    place.run(&format!("CREATE ROLE {name} LOGIN PASSWORD '{}' CONNECTION LIMIT 0", server::PASSWORD)).await;
    let url = place.url.replace("//larder:", &format!("//{name}:"));
    let error = load(&Origin::new(&url, tables()).unwrap()).await;
    place.run(&format!("DROP ROLE {name}")).await;
    assert!(error.is_outage(), "too many connections for a role: {error:?}");

    for (kind, sleep) in
        [(Kind::Postgres, "SELECT pg_sleep(60)::text AS n"), (Kind::MySql, "SELECT sleep(60) AS n")]
    {
        let place = Place::new(kind).await;
        let config = PoolConfig { statement_timeout: Duration::from_millis(200), ..PoolConfig::default() };
        let query = ListQuery::Sql { statement: sleep.into(), parameters: Vec::new() };
        let error = place.read_only().with_pool(config).list(&query, 1, no_hurry()).await.unwrap_err();
        assert!(error.is_outage(), "{kind:?}: {error:?}");
    }
}

async fn load(origin: &Origin) -> OriginError {
    let id = origin.id("flights", "7").unwrap();
    match origin.load("flights", &id, no_hurry()).await {
        Err(error) => error,
        // The caller's fault is no outage either, and what was let in after all is none.
        Ok(_) => OriginError::UnknownTable,
    }
}
