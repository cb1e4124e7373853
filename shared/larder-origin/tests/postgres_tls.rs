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
async fn a_certificate_of_the_first_version_is_taken_where_it_is_not_checked() {
    let server = tokio::task::spawn_blocking(server::tls_postgres).await.unwrap();
    let key = std::fs::read_to_string(server.dir.join("server.key")).unwrap();
    std::fs::write(server.dir.join("server.pem"), first_version(&rcgen::KeyPair::from_pem(&key).unwrap()))
        .unwrap();
    let url = server::postgres_url(server.port, "postgres");
    let reload = ListQuery::Sql { statement: "SELECT pg_reload_conf()".into(), parameters: Vec::new() };
    let origin = Origin::new(&url, "t:id".parse().unwrap()).unwrap();
    origin.list(&reload, 1, no_hurry()).await.unwrap();
    // The server reads its files a moment later.
    while session(
        &server,
        "localhost",
        &format!("sslmode=verify-ca&sslrootcert={}/ca.pem", server.dir.display()),
    )
    .await
    .is_ok()
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for mode in ["prefer", "require"] {
        let told = session(&server, "localhost", &format!("sslmode={mode}")).await;
        assert_eq!(told.unwrap()["ssl"], true, "{mode}");
    }
}

/// A certificate without a version and extensions, which `key` has signed itself, in PEM.
///
/// Source: RFC 5280, section 4.1.
fn first_version(key: &rcgen::KeyPair) -> String {
    use rcgen::{PublicKeyData as _, SigningKey as _};
    let der = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        let len = match u8::try_from(content.len()).unwrap() {
            len @ ..0x80 => vec![len],
            len => vec![0x81, len],
        };
        [&[tag], &len[..], &content].concat()
    };
    let algorithm = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"; // ecdsa-with-SHA256
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[b"\x06\x03\x55\x04\x03", b"\x0c\x04host"])])]);
    let validity = der(0x30, &[b"\x17\x0d200101000000Z", b"\x17\x0d490101000000Z"]);
    let spki = key.subject_public_key_info();
    let to_sign = der(0x30, &[b"\x02\x01\x07", algorithm, &name, &validity, &name, &spki]);
    let signature = key.sign(&to_sign).unwrap();
    let content = [&to_sign[..], algorithm, &der(0x03, &[b"\x00", &signature])].concat();
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    let certificate = [&[0x30, 0x82], &len[..], &content].concat();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
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
