//! A server whose certificate is of an authority that no public store has, as those of RDS are.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]
#![allow(dead_code, reason = "the servers and places of other tests are not all needed here")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder_origin::{Origin, OriginError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use server::{PASSWORD, free_port, mariadb_url, postgres_url};

#[path = "support/server.rs"]
mod server;

#[tokio::test]
async fn postgresql_is_believed_by_the_authority_that_the_url_names() {
    let authority = Authority::new();
    let port = server::postgres().port;
    let mut admin: PgConnection =
        postgres_url(port, "postgres").parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    let data: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut admin).await.unwrap();
    authority.sign_into(Path::new(&data));
    for statement in
        ["CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)", "ALTER SYSTEM SET ssl = on"]
    {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
    let url = postgres_url(port, "postgres");
    // The server takes it up in its own time.
    let encrypted = || async { read(&format!("{url}?sslmode=require")).await.is_ok() };
    assert!(until(encrypted).await, "the server does not speak TLS");

    check(&authority, &format!("{url}?sslmode=verify-full"), "sslrootcert").await;
}

#[tokio::test]
async fn mariadb_is_believed_by_the_authority_that_the_url_names() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.sign_into(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let settings =
        [format!("--ssl-cert={}", file("server.crt")), format!("--ssl-key={}", file("server.key"))];
    let port = free_port();
    let place = tempfile::tempdir().unwrap().keep();
    let mut guard = server::start_mariadb_with(&place, port, &settings);
    let url = mariadb_url(port, "mysql");
    let connect = || async { url.parse::<MySqlConnectOptions>().unwrap().connect().await.is_ok() };
    assert!(until(connect).await, "{}", fs::read_to_string(place.join("stderr.log")).unwrap_or_default());
    let mut admin = url.parse::<MySqlConnectOptions>().unwrap().connect().await.unwrap();
    for statement in
        ["CREATE DATABASE air", "CREATE TABLE air.t (id INTEGER PRIMARY KEY)", "INSERT INTO air.t VALUES (1)"]
    {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    admin.close().await.unwrap();

    let url = mariadb_url(port, "air");
    check(&authority, &format!("{url}?ssl-mode=VERIFY_IDENTITY"), "ssl-ca").await;
    // The guard ends the server when its input ends, here or with this process.
    drop(guard.stdin.take());
    guard.wait().unwrap();
}

/// A server that has to be believed is, where the URL names the file of its authority, alone or among others; without
/// the file, and with that of another authority, nothing is asked of it.
async fn check(authority: &Authority, url: &str, setting: &str) {
    for file in [authority.file("alone.pem"), authority.file("bundle.pem")] {
        read(&format!("{url}&{setting}={}", file.display())).await.unwrap();
    }
    let other = authority.file("other.pem").display().to_string();
    for url in
        [url.to_owned(), format!("{url}&{setting}={other}"), format!("{url}&{setting}=/nowhere/bundle.pem")]
    {
        let refused = read(&url).await.unwrap_err();
        assert!(matches!(refused, OriginError::Unavailable(_)), "{refused:?}");
        let told = format!("{refused:?} {refused}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
}

/// Reads the row 1 of the table `t`.
async fn read(url: &str) -> Result<(), OriginError> {
    let origin = Origin::new(url, "t:id".parse().unwrap()).unwrap();
    let id = origin.id("t", "1").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    origin.load_many("t", &[id], deadline).await.map(|rows| assert!(rows[0].is_some()))
}

/// Whether `condition` holds within half a minute.
async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if condition().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// An authority, what it signed for 127.0.0.1, and files of it and of others.
struct Authority {
    dir: TempDir,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (issuer, own) = authority("Larder test");
        let (_, other) = authority("Another one");
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        for (name, text) in
            [("alone.pem", own.clone()), ("other.pem", other.clone()), ("bundle.pem", other + &own)]
        {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir, certificate, key: key.serialize_pem() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes certificate and key into `dir`, for the user who owns it.
    fn sign_into(&self, dir: &Path) {
        let owner = fs::metadata(dir).unwrap().uid();
        for (name, text) in [("server.crt", &self.certificate), ("server.key", &self.key)] {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(owner), None).unwrap();
        }
    }
}

/// An authority and its certificate.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), certificate)
}
