//! TLS to a PostgreSQL server, by `sslmode`.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use larder_origin::{ListQuery, Origin, OriginError};
use serde_json::{Value, json};

use place::{no_hurry, parsed};

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn each_mode_checks_what_it_says_and_no_more() {
    let server = tokio::task::spawn_blocking(server::tls_postgres).await.unwrap();
    let file = |name: &str| server.dir.join(name).display().to_string();
    let trusted = format!("sslrootcert={}", file("ca.pem"));
    for (host, settings, expected) in [
        ("127.0.0.1", String::new(), Some(true)),
        ("127.0.0.1", "sslmode=disable".to_owned(), Some(false)),
        ("127.0.0.1", "sslmode=prefer".to_owned(), Some(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Some(true)),
        ("localhost", "sslmode=verify-full".to_owned(), None),
        ("localhost", "sslmode=verify-ca".to_owned(), None),
        ("127.0.0.1", format!("sslmode=verify-ca&{trusted}"), Some(true)),
        ("127.0.0.1", format!("sslmode=verify-full&{trusted}"), None),
        ("localhost", format!("sslmode=verify-full&{trusted}"), Some(true)),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(), None),
    ] {
        let told = session(&server, host, &settings).await.map(|told| told["ssl"].clone()).ok();
        assert_eq!(told, expected.map(Value::Bool), "{host} {settings}");
    }
    let pair = format!("sslmode=require&sslcert={}&sslkey={}", file("client.pem"), file("client.key"));
    let told = session(&server, "localhost", &pair).await.unwrap();
    assert_eq!((&told["ssl"], told["client_dn"].is_string()), (&json!(true), true), "{told}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let server = tokio::task::spawn_blocking(server::postgres).await.unwrap();
    for (mode, is_open) in [("prefer", true), ("require", false), ("verify-full", false)] {
        let told = session(server, "127.0.0.1", &format!("sslmode={mode}")).await;
        assert_eq!(told.is_ok(), is_open, "{mode}: {told:?}");
    }
}

/// What the server says of the session of an origin at `host`.
async fn session(server: &server::Server, host: &str, settings: &str) -> Result<Value, OriginError> {
    let url = server::postgres_url(server.port, "postgres").replace("127.0.0.1", host);
    let origin = Origin::new(&format!("{url}?{settings}"), "t:id".parse().unwrap()).unwrap();
    let query = ListQuery::Sql {
        statement: "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()".into(),
        parameters: Vec::new(),
    };
    Ok(parsed(&origin.list(&query, 1, no_hurry()).await?[0]))
}
